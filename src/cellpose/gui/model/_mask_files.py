"""Masks from other programs: files beside an image, and label images of any kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose import io
from cellpose.errors import InputError
from cellpose.gui._texts import tr

__all__ = ["labels_of_file", "masks_beside", "pieces"]

# Suffixes that programs add to the name of the image, most common first.
_ENDINGS = ("_masks", "_cp_masks", "_cp_output", "_labels", "_label", "_mask", "_gt", "_seg")
_FORMATS = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp")


def masks_beside(image: Path) -> list[Path]:
    """Mask files beside an image; those in the format of the image come first."""
    formats = dict.fromkeys((image.suffix, *_FORMATS))
    named = (image.with_name(f"{image.stem}{ending}{suffix}") for ending in _ENDINGS for suffix in formats)
    return [path for path in named if path.is_file()]


def labels_of_file(path: Path, shape: tuple[int, int, int]) -> npt.NDArray[np.int32]:
    """Labels 1..n, int32 (Z, Y, X), of a label image: integers, floats with integer values, or one color per cell.

    Parameters
    ----------
    path
        The file.
    shape
        Shape of the wanted labels, (Z, Y, X).

    Raises
    ------
    InputError
        If the file has no labels of this shape.
    FileReadError
        If it cannot be read.
    """
    found = np.asarray(io.imread(path))
    values = _numbers(found, shape)
    if values is None:
        message = tr(
            "{name} holds {dtype} of shape {shape}; masks of this image are whole numbers of shape {value}",
            name=path.name,
            dtype=found.dtype,
            shape=found.shape,
            value=shape[1:] if shape[0] == 1 else shape,
        )
        raise InputError(message)
    numbers, flat = np.unique(values, return_inverse=True)
    dense = flat.reshape(shape) + (0 if numbers[0] == 0 else 1)
    return np.asarray(dense, np.int32)


def pieces(labels: npt.NDArray[np.int32]) -> npt.NDArray[np.int32] | None:
    """Number the connected pieces of a mask with a single value; None if there is only one piece.

    Examples
    --------
    >>> print(pieces(np.array([[[1, 0, 1]]], np.int32)), pieces(np.array([[[1, 0, 2]]], np.int32)))
    [[[1 0 2]]] None
    """
    from scipy import ndimage

    if labels.max(initial=0) != 1:
        return None
    numbered, n = ndimage.label(labels)
    return numbered.astype(np.int32) if n > 1 else None


def _numbers(found: npt.NDArray[Any], shape: tuple[int, int, int]) -> npt.NDArray[Any] | None:
    """One number per pixel, (Z, Y, X); None if the array is not a label image of this shape."""
    wanted = shape[1:] if shape[0] == 1 else shape
    if found.ndim == len(wanted) + 1 and found.shape[:-1] == wanted and found.shape[-1] in (1, 3, 4):
        found = _of_colors(found)
    if found.ndim == 2:
        found = found[None]
    if found.shape != shape or found.dtype.kind not in "biuf":
        return None
    if found.dtype.kind == "f" and not (np.isfinite(found).all() and (found == np.rint(found)).all()):
        return None
    if found.size and found.min() < 0:
        return None
    return found


def _of_colors(found: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A number for each color, 0 for black; an alpha channel is dropped. Gray values stay unchanged."""
    colors = found[..., :3] if found.shape[-1] > 1 else found
    if (colors == colors[..., :1]).all():
        return colors[..., 0]
    if colors.dtype != np.uint8:
        return found
    parts = colors.astype(np.int64)
    return np.asarray((parts[..., 0] << 16) + (parts[..., 1] << 8) + parts[..., 2])
