"""Writing images and labels, each file atomically."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._labels.arrays import compact, smallest_dtype
from cellpose._machine.writing import make_folder, replacing
from cellpose.errors import AxesError, InputError
from cellpose.io._axes import check_axes
from cellpose.io._scratch import is_large, roomy_zeros

__all__ = [
    "CLASSIC_TIFF_LIMIT",
    "check_dir",
    "encode_raster",
    "imsave",
    "ome_metadata",
    "smallest_labels",
    "write_bytes",
    "write_ome_tiff",
    "write_png",
    "write_text",
    "write_tiff",
]

PathLike = str | os.PathLike[str]

_TIFF_SUFFIXES = (".tif", ".tiff")
# dtypes that each format holds beside uint8
_DEEPEST: dict[str, type[np.generic]] = {
    **dict.fromkeys((".png", ".jp2", ".pgm", ".ppm", ".pnm"), np.uint16),
    **dict.fromkeys((".exr", ".hdr", ".pfm"), np.float32),
}
CLASSIC_TIFF_LIMIT = 2**32 - 2**25


def smallest_labels(masks: npt.ArrayLike) -> npt.NDArray[np.uint16] | npt.NDArray[np.uint32]:
    """Labels in the smallest of uint16 and uint32 that holds them; a copy only where the dtype changes.

    Examples
    --------
    >>> smallest_labels([[0, 65535]]).dtype, smallest_labels([[0, 65536]]).dtype
    (dtype('uint16'), dtype('uint32'))
    """
    labels = np.asarray(masks)
    if labels.dtype == bool:
        return labels.astype(np.uint16)
    if labels.size == 0:
        return np.zeros(labels.shape, np.uint16)
    if not np.issubdtype(labels.dtype, np.integer):
        if not np.issubdtype(labels.dtype, np.floating) or not np.array_equal(labels, np.round(labels)):
            message = f"masks of dtype {labels.dtype} are not labels; give integers, 0 for the background"
            raise InputError(message)
        labels = labels.astype(np.int64)
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high > np.iinfo(np.uint32).max:
        message = f"masks hold labels from {low} to {high}; allowed are 0 (background) to {np.iinfo(np.uint32).max}"
        raise InputError(message)
    if not is_large(labels.nbytes):
        return compact(labels)
    out = roomy_zeros(labels.shape, smallest_dtype(high))
    for target, part in zip(out, labels, strict=True):
        target[...] = part
    return out


def write_bytes(path: PathLike, data: bytes) -> None:
    """Write a file atomically."""
    with replacing(path) as file:
        file.write(data)


def write_text(path: PathLike, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    write_bytes(path, text.encode("utf-8"))


def write_tiff(
    path: PathLike,
    array: npt.NDArray[Any],
    *,
    axes: str | None = None,
    compression: str | None = "zlib",
) -> None:
    """One TIFF, readable to the same shape and dtype; BigTIFF if 4 GiB may not suffice.

    Channels behind y and x that are no colors are stored before them: viewers take the last two axes for a plane.

    Parameters
    ----------
    path
        Where to write.
    array
        Any shape. Only uint8 and uint16 arrays whose axes end in ``YXC`` with 3 or 4 channels are marked as color.
    axes
        One letter for each axis, kept in the file; None: unnamed.
    compression
        "zlib" (lossless) or None.
    """
    import tifffile

    color = array.dtype in (np.uint8, np.uint16) and array.ndim >= 3 and array.shape[-1] in (3, 4)
    color = color and (axes is None or axes.endswith("C"))
    if axes is not None and axes.endswith("YXC") and not color:
        array, axes = np.moveaxis(array, -1, -3), f"{axes[:-3]}CYX"
    metadata = {} if axes is None else {"axes": axes.replace("C", "S") if color else axes}
    with replacing(path) as file:
        tifffile.imwrite(
            file,
            np.ascontiguousarray(array),
            compression=compression,
            # explicit: tifffile would take a stack of 3 or 4 planes of labels for colors
            photometric="rgb" if color else "minisblack",
            bigtiff=array.nbytes > CLASSIC_TIFF_LIMIT,
            metadata=metadata,
        )


def write_ome_tiff(
    path: PathLike,
    array: npt.ArrayLike,
    axes: str,
    *,
    pixel_size_um: tuple[float | None, float | None, float | None] = (None, None, None),
    channel_names: Sequence[str] = (),
) -> None:
    """An image or labels as OME-TIFF; BigTIFF if 4 GiB may not suffice.

    Parameters
    ----------
    path
        Where to write; the name should end in ``.ome.tif``.
    array
        Any dtype of OME: integers of up to 32 bits and floating-point numbers.
    axes
        One letter for each axis: any of TCZYX, Y and X last.
    pixel_size_um
        Along (z, y, x) in micrometers; None if unknown.
    channel_names
        Names of the channels.

    Raises
    ------
    AxesError
        If the axes do not match.
    InputError
        If OME has no such dtype.
    FileWriteError
        If it cannot be written.
    """
    import tifffile

    image = np.asarray(array)
    letters = check_axes(axes, image.shape)
    if not letters.endswith("YX") or "Q" in letters:
        message = f"axes={axes!r} cannot be written as OME-TIFF; give letters of TCZYX, Y and X last"
        raise AxesError(message)
    if image.dtype.kind not in "uif" or image.dtype in (np.int64, np.uint64, np.float16):
        message = f"an image of dtype {image.dtype} cannot be written as OME-TIFF; use uint16 or uint32 for labels"
        raise InputError(message)
    with replacing(path) as file:
        tifffile.imwrite(
            file,
            image,
            ome=True,
            compression="zlib",
            tile=(512, 512) if min(image.shape[-2:]) > 512 else None,
            photometric="minisblack",
            bigtiff=image.nbytes > CLASSIC_TIFF_LIMIT,
            metadata=ome_metadata(letters, pixel_size_um, channel_names),
        )


def ome_metadata(
    axes: str, pixel_size_um: tuple[float | None, float | None, float | None], channel_names: Sequence[str] = ()
) -> dict[str, Any]:
    """The OME metadata of an image, as tifffile takes it."""
    metadata: dict[str, Any] = {"axes": axes}
    for letter, size in zip("ZYX", pixel_size_um, strict=True):
        if size and letter in axes:
            metadata |= {f"PhysicalSize{letter}": size, f"PhysicalSize{letter}Unit": "µm"}
    if channel_names:
        metadata["Channel"] = {"Name": list(channel_names)}
    return metadata


def encode_raster(suffix: str, array: npt.NDArray[Any]) -> bytes:
    """An array (Y, X), or (Y, X, 3) in RGB order, in the format that a suffix such as ".png" names."""
    import cv2

    deepest = _DEEPEST.get(suffix.lower(), np.uint8)
    colors = array.ndim == 3 and array.shape[-1] in (1, 3, 4)
    if array.dtype not in (np.uint8, deepest) or not (array.ndim == 2 or colors):
        # OpenCV would cut other dtypes to 8 bits
        depths = "uint8" if deepest is np.uint8 else f"uint8 or {np.dtype(deepest)}"
        message = (
            f"an array of shape {array.shape} and dtype {array.dtype} cannot be written as {suffix or 'no suffix'}; "
            f"give (Y, X) or (Y, X, 3) of {depths}, or write a .tif"
        )
        raise InputError(message)
    picture = array
    if array.ndim == 3 and array.shape[-1] in (3, 4):
        picture = cv2.cvtColor(
            np.ascontiguousarray(array), cv2.COLOR_RGB2BGR if array.shape[-1] == 3 else cv2.COLOR_RGBA2BGRA
        )
    try:
        # encoded in memory and written by Python: OpenCV cannot open every file name on every system
        done, coded = cv2.imencode(suffix, np.ascontiguousarray(picture))
    except cv2.error:
        done = False
    if not done:
        message = f"{suffix or 'no suffix'} is not a format that can be written; use .tif or .png"
        raise InputError(message)
    return bytes(coded)


def write_png(path: PathLike, array: npt.NDArray[Any]) -> None:
    """Write a plane (y, x) or (y, x, channel) as PNG."""
    write_bytes(path, encode_raster(".png", array))


def imsave(filename: PathLike, arr: npt.ArrayLike) -> None:
    """Write an image; the suffix chooses the format.

    Parameters
    ----------
    filename
        ``.tif`` or ``.tiff`` (any shape and dtype, losslessly compressed), or ``.png``, ``.jpg`` and what else OpenCV
        writes.
    arr
        The image; for formats other than TIFF (Y, X), or (Y, X, 3) in RGB order.

    Raises
    ------
    InputError
        If the format cannot hold the array.
    FileWriteError
        If the file cannot be written.
    """
    array = np.asarray(arr)
    suffix = Path(filename).suffix.lower()
    if suffix in _TIFF_SUFFIXES:
        write_tiff(filename, array)
    else:
        write_bytes(filename, encode_raster(suffix, array))


def check_dir(path: PathLike) -> None:
    """Make a folder, with its parents, if it does not exist.

    Parameters
    ----------
    path
        The folder.

    Raises
    ------
    FileWriteError
        If it cannot be made.
    """
    make_folder(path)
