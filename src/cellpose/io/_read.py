"""Reading an image, whatever its format."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cellpose._machine.reading import reading
from cellpose.errors import FileReadError
from cellpose.io._image import Image, ImageArray
from cellpose.io._microscope import BIOIO_SUFFIXES, read_bioio, read_dax, read_nrrd
from cellpose.io._npy import read_npy
from cellpose.io._ome_set import COMPANION
from cellpose.io._ome_zarr import read_ome_zarr
from cellpose.io._open import head_of
from cellpose.io._raster import read_raster
from cellpose.io._scratch import on_disk
from cellpose.io._tiff import TIFF_SUFFIXES, is_tiff, read_companion, read_tiff
from cellpose.io._zarr import is_zarr

__all__ = ["imread", "imread_2D", "open_image", "read_image"]

PathLike = str | os.PathLike[str]

_HEAD_BYTES = 16
_READERS: dict[str, Callable[[Path], Image]] = {
    ".npy": read_npy,
    ".dax": read_dax,
    ".nrrd": read_nrrd,
    **dict.fromkeys(BIOIO_SUFFIXES, read_bioio),
}


def read_image(path: PathLike) -> Image:
    """An image with its axes, pixel size and channel names.

    Parameters
    ----------
    path
        TIFF (plain, ImageJ, OME, BigTIFF, FLEX), PNG, JPEG, GIF, BMP, NumPy ``.npy``, ``_seg.npy`` (its masks),
        DAX; with the extra "formats" also CZI, ND2, LIF and NRRD; with "distributed" OME-Zarr (its finest
        resolution) and Zarr arrays, of format 2 and 3.

    Returns
    -------
    Image
        The array in the order of the file, one letter for each axis, and other facts from the file.

    Raises
    ------
    FileReadError
        If the file is missing, empty, truncated, corrupt, of an unknown format, or larger than the memory.
    UnsafeFileError
        If a ``.npy`` file holds objects other than plain data.
    MissingExtraError
        If the library for the format is not installed.
    """
    file = Path(path)
    with reading(file):
        return replace(_reader_of(file)(file), name=file.name)


def open_image(path: PathLike, report: Callable[[float], None] = lambda _share: None) -> Image:
    """An image as `read_image` gives it; one that would take more than a third of the free memory stays on the disk.

    Of a TIFF that holds its pixels as they are, and of a ``.npy``, the array is a memory map, to be read only. Of other
    files it lies in an unnamed temporary file, where ``TMPDIR`` says: memory is bounded, and the system removes it with
    the last reference to the array.

    Parameters
    ----------
    path
        See `read_image`.
    report
        Told the share that is done, 0 to 1; what it raises ends the reading.

    Raises
    ------
    FileReadError
        If it cannot be read, see `read_image`, or there is room for it neither in memory nor on the disk.
    """
    with on_disk(report):
        return read_image(path)


def _reader_of(file: Path) -> Callable[[Path], Image]:
    if is_zarr(file):
        return read_ome_zarr
    head = head_of(file, _HEAD_BYTES)
    if not head:
        message = f"{file} is empty"
        raise FileReadError(message)
    suffix = file.suffix.lower()
    if file.name.lower().endswith(COMPANION):
        return read_companion
    if suffix in _READERS:
        return _READERS[suffix]
    if is_tiff(head):
        return read_tiff
    if suffix in TIFF_SUFFIXES:
        message = (
            f"{file} is named {suffix} and is not a TIFF (it begins with {head[:8]!r}); rename it with the correct "
            "suffix"
        )
        raise FileReadError(message)
    return read_raster


def imread(filename: PathLike) -> ImageArray:
    """The array of an image file, its axes in the order of the file.

    Parameters
    ----------
    filename
        See ``read_image`` for the formats. Of a ``_seg.npy`` the masks are read.

    Returns
    -------
    ndarray
        Any dtype. PNG, JPEG, GIF and BMP give (Y, X) or (Y, X, 3) in RGB order, without alpha channel; TIFF what it
        declares, without axes of length 1 and without a declared alpha channel that is only opaque and clear.

    Raises
    ------
    FileReadError
        If the file cannot be read, see ``read_image``. (The error is also an ``OSError`` and a ``ValueError``; for a
        missing file also a ``FileNotFoundError``.)
    """
    return read_image(filename).data


def imread_2D(img_file: PathLike) -> ImageArray:
    """An image for segmentation in 2D, channels last.

    Parameters
    ----------
    img_file
        See ``read_image`` for the formats.

    Returns
    -------
    ndarray
        (Y, X, C) with at most 3 channels, of the dtype of the file; of a file with 4 axes (planes, Y, X, C).

    Raises
    ------
    FileReadError
        If the file cannot be read.
    AxesError
        If it does not have 2 to 4 axes.
    """
    from cellpose.transforms import convert_image

    with reading(img_file):
        image: ImageArray = convert_image(imread(img_file), do_3D=False)
    return image
