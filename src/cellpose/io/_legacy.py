"""Names of io that older scripts call; nothing of the package itself does."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._machine.reading import reading
from cellpose.errors import AxesError, InputError
from cellpose.io._cells._text import format_outlines
from cellpose.io._image import ImageArray
from cellpose.io._microscope import read_dax
from cellpose.io._npy import write_npy_object
from cellpose.io._output import OutputPaths, groups_of_same_results, warn_of_same_results
from cellpose.io._per_image import per_image, split
from cellpose.io._read import imread
from cellpose.io._results import save_masks
from cellpose.io._seg_content import seg_content
from cellpose.io._write import PathLike, write_text

__all__ = [
    "imread_3D",
    "load_dax",
    "masks_flows_to_seg",
    "outlines_to_text",
    "remove_model",
    "save_to_png",
]

logger = logging.getLogger(__name__)


def load_dax(filename: str | Path) -> npt.NDArray[np.uint16]:
    """Frames of a ``.dax`` file.

    Parameters
    ----------
    filename
        The file; its description ``.inf`` (frame dimensions, number of frames, byte order) stands beside it.

    Returns
    -------
    ndarray
        uint16, (frames, Y, X).

    Raises
    ------
    FileReadError
        If one of the two files is missing, incomplete or wrong.
    """
    with reading(filename):
        data: npt.NDArray[np.uint16] = read_dax(Path(filename)).data
    return data


def remove_model(filename: PathLike, delete: bool = False) -> None:
    """Take a name from the list of the user's models.

    Parameters
    ----------
    filename
        Name of the model, or a path that ends in it.
    delete
        Delete the copy in the folder of models, too.

    Raises
    ------
    UnknownModelError
        If the name is not in the list.
    """
    from pathlib import Path

    from cellpose import weights

    weights.remove_model(Path(filename).name, delete=delete)


def imread_3D(img_file: PathLike) -> ImageArray:
    """A stack for segmentation in 3D, channels last.

    The first axis that is not the channel axis is taken for the planes; of 4 axes the shortest for the channels.

    Parameters
    ----------
    img_file
        See ``read_image`` for the formats.

    Returns
    -------
    ndarray
        (Z, Y, X, C), of the dtype of the file.

    Raises
    ------
    FileReadError
        If the file cannot be read.
    AxesError
        If it does not have 3 or 4 axes.
    """
    from cellpose.transforms import convert_image

    image = imread(img_file)
    if image.ndim not in (3, 4):
        message = (
            f"{img_file} has {image.ndim} axes, shape {image.shape}; a stack has 3 (planes, Y, X) or 4 with channels; "
            "use imread_2D for other images"
        )
        raise AxesError(message)
    channel_axis = int(min(range(4), key=image.shape.__getitem__)) if image.ndim == 4 else None
    z_axis = 1 if channel_axis == 0 else 0
    with reading(img_file):
        stack: ImageArray = convert_image(image, channel_axis=channel_axis, z_axis=z_axis, do_3D=True)
    return stack


def save_to_png(images: Any, masks: Any, flows: Any, file_names: Any) -> None:
    """Write the masks as PNG beside the images, see ``save_masks``."""
    save_masks(images, masks, flows, file_names, png=True)


def outlines_to_text(base: PathLike, outlines: Iterable[npt.ArrayLike]) -> None:
    """Write outlines to ``<base>_cp_outlines.txt``, one per line, as ``x1,y1,x2,y2,…``.

    Parameters
    ----------
    base
        Path of the image without its extension.
    outlines
        Arrays (N, 2) of pixel positions (x, y), as ``utils.outlines_list`` gives them.

    Raises
    ------
    FileWriteError
        If the file cannot be written.
    """
    target = f"{os.fspath(base)}_cp_outlines.txt"
    lines = format_outlines(outlines)
    empty = sum(not line for line in lines.splitlines())
    if empty:  # not from outlines_list, which gives every label an outline
        logger.warning(f"{empty} of the outlines for {target} have no points: their lines are empty")
    write_text(target, lines)


def masks_flows_to_seg(
    images: Any,
    masks: Any,
    flows: Any,
    file_names: Any,
    channels: Any = None,
    imgs_restore: Any = None,
    restore_type: str | None = None,
    ratio: float = 1.0,
    *,
    diams: Any = None,
    model: str | None = None,
) -> None:
    """Write ``<file name without extension>_seg.npy``, which the GUI opens and training reads.

    The positional orders of earlier versions, with the diameters in the fourth or fifth place, are understood, too.

    Parameters
    ----------
    images
        The image or a list of images; only their number is looked at.
    masks
        Labels (Y, X) or (Z, Y, X), or a list of such.
    flows
        The second value that ``eval`` returns, or a list of such: colors (…, Y, X, 3) uint8, flows (ndim, …, Y, X)
        and cell probability (…, Y, X).
    file_names
        Path of the image, or a list of paths.
    channels
        Pair ``[segmented, nuclear]``, or a list of pairs; None: [0, 0].
    imgs_restore
        Restored image, or a list of such; kept with ``restore_type``.
    restore_type
        Name of the restoration model.
    ratio
        Size of the restored image divided by that of the image.
    diams
        Diameter in pixels, or one for each image; None: unknown, written as NaN.
    model
        Name of the model that ran.

    Raises
    ------
    InputError
        If the lists differ in length, or the masks are not labels.
    FileWriteError
        If a file cannot be written.
    """
    if _are_paths(channels) and not _are_paths(file_names):
        diams, file_names, channels, imgs_restore = file_names, channels, imgs_restore, None
    elif _is_diameter(channels):
        diams, channels, imgs_restore = channels, imgs_restore, None
    items = per_image(images, masks, flows, file_names)
    count = len(items)
    warn_of_same_results(groups_of_same_results([item.file_name for item in items]))
    for item, pair, restored, diameter in zip(
        items,
        _pairs(channels, count),
        split(imgs_restore, count, isinstance(masks, list)),
        _diameters(diams, count),
        strict=True,
    ):
        content = seg_content(item.masks, item.flows, item.file_name, channels=pair, diameter=diameter, model=model)
        if restore_type is not None and restored is not None:
            content |= {"restore": restore_type, "ratio": ratio, "img_restore": restored}
        write_npy_object(OutputPaths(item.file_name).seg_npy, content)


def _are_paths(value: Any) -> bool:
    first = value[0] if isinstance(value, (list, tuple)) and value else value
    return isinstance(first, (str, os.PathLike))


def _is_diameter(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return bool(np.issubdtype(value.dtype, np.floating))
    if isinstance(value, (list, tuple)):
        return bool(value) and all(isinstance(item, (float, np.floating)) for item in value)
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def _pairs(channels: Any, count: int) -> list[list[Any]]:
    if channels is None:
        return [[0, 0]] * count
    nested = len(channels) > 0 and np.ndim(channels[0]) > 0
    return [list(channels[index]) if nested else list(channels) for index in range(count)]


def _diameters(diams: Any, count: int) -> list[float]:
    if diams is None:
        return [math.nan] * count
    values = np.atleast_1d(np.asarray(diams, np.float64)).ravel()
    if len(values) not in (1, count):
        message = f"{len(values)} diameters are given for {count} images; give one, or one for each"
        raise InputError(message)
    return [float(value) for value in np.broadcast_to(values, count)]
