"""TIFF to OME-Zarr, page by page, for programs on many machines that read parts of it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cellpose._machine.reading import fingerprint, reading
from cellpose.errors import AxesError
from cellpose.io._axes import UNKNOWN_AXIS, FileAxes, named_axes, place_of_axis
from cellpose.io._image import ImageArray
from cellpose.io._ome_zarr_pyramid import new_folder
from cellpose.io._ome_zarr_write import finish_image
from cellpose.io._tiff import LazyTiff, open_tiff
from cellpose.io._zarr import MARKS, create_array, is_zarr, open_zarr

__all__ = ["array_identity", "is_outdated_copy", "tiff_layout", "tiff_to_zarr"]

logger = logging.getLogger(__name__)

PathLike = str | os.PathLike[str]

_CHUNK = {"Z": 32, "Y": 256, "X": 256}
_FLAT_CHUNK = 1024
_ROWS = 1024  # rows that are read together
_SOURCE = "converted_from"  # attribute of the array that names the file


def tiff_layout(
    path: PathLike, axes: str | None = None, channel_axis: int | None = None
) -> tuple[str, tuple[int, ...]]:
    """Axes and shape that `tiff_to_zarr` gives a TIFF, of which no pixel is read; parameters and errors as there."""
    tiff = open_tiff(Path(path))
    with reading(path):
        names = _names(tiff, axes, channel_axis, tell=False)
    order = _order(names)
    return "".join(names[k] for k in order), tuple(tiff.shape[k] for k in order)


def _order(names: str) -> list[int]:
    """The axes of a file in the order of OME-Zarr."""
    return [names.index(letter) for letter in "TCZYX" if letter in names]


def tiff_to_zarr(path: PathLike, target: PathLike, axes: str | None = None, channel_axis: int | None = None) -> Path:
    """An OME-Zarr with the pixels of a TIFF, in chunks that suit blocks.

    One that was made of the same file with the same axes is kept; one of another file, of another state of it or with
    other axes is made again.

    Parameters
    ----------
    path
        TIFF of any size; of a pyramid the finest resolution is taken.
    target
        Folder to make; it appears when it is whole.
    axes
        Names of the axes, one letter of TZCYX for each, instead of the names in the file.
    channel_axis
        Axis of the channels, where the file does not name its axes.

    Raises
    ------
    AxesError
        If the file does not name its axes and neither ``axes`` nor ``channel_axis`` says them, or they contradict it.
    FileReadError, FileWriteError
        If it cannot be read or written, or the target is not a converted TIFF.
    """
    out = Path(target)
    tiff = open_tiff(Path(path))
    with reading(path):
        names = _names(tiff, axes, channel_axis)
    made_of, old = _made_of(path, names), _converted_in(out)
    if old == made_of:
        return out
    order = _order(names)
    letters = "".join(names[k] for k in order)
    shape = tuple(tiff.shape[k] for k in order)
    sizes, channels = tiff.metadata
    flat = "Z" not in letters
    chunks = tuple((_FLAT_CHUNK if flat else _CHUNK[a]) if a in "ZYX" else 1 for a in letters)
    with new_folder(out, overwrite=old is not None) as folder:
        array = create_array(folder / "0", shape, chunks, tiff.dtype, every_chunk=True)
        array.attrs[_SOURCE] = made_of
        for place, part in _parts(tiff, len(order)):
            array[tuple(place[k] for k in order)] = part.transpose(order)
        finish_image(folder, letters, sizes, channels)
    return out


def is_outdated_copy(
    path: PathLike, target: PathLike, axes: str | None = None, channel_axis: int | None = None
) -> bool:
    """Whether `tiff_to_zarr` would replace what it made at the target before; parameters and errors as there."""
    old = _converted_in(Path(target))
    if old is None:
        return False
    tiff = open_tiff(Path(path))
    with reading(path):
        return old != _made_of(path, _names(tiff, axes, channel_axis, tell=False))


def _made_of(path: PathLike, names: str) -> dict[str, Any]:
    """What tells a converted TIFF from another one, from another state of it and from other axes."""
    return {"path": os.path.abspath(path), **fingerprint(path), "axes": names}


def _converted_in(folder: Path) -> dict[str, Any] | None:
    return _converted_from(open_zarr(folder / "0")) if is_zarr(folder / "0") else None


def array_identity(array: Any) -> dict[str, Any]:
    """What tells a Zarr array from a later one of its name: path, size and time of change of the file it rests on.

    That file is the TIFF that it was made of, else its metadata, written with every new array. Empty for an array that
    is not in a folder.
    """
    made_of = _converted_from(array)
    if made_of is not None:
        return made_of
    store = getattr(array, "store", None)
    root = getattr(store, "root", None) or getattr(store, "path", None)  # versions 3 and 2 of the library
    if not isinstance(root, (str, os.PathLike)):
        return {}
    folder = Path(root) / str(getattr(array, "path", ""))
    return next(
        ({"path": str(file), **fingerprint(file)} for file in map(folder.joinpath, MARKS) if file.is_file()), {}
    )


def _converted_from(array: Any) -> dict[str, Any] | None:
    """The TIFF of which `tiff_to_zarr` made an array; None for any other."""
    found: dict[str, Any] | None = dict(getattr(array, "attrs", {})).get(_SOURCE)
    return found


def _names(tiff: LazyTiff, axes: str | None, channel_axis: int | None, *, tell: bool = True) -> str:
    letters, file_axes = tiff.axes, tiff.file_axes
    if axes is not None:
        letters, named = named_axes(axes, letters, tiff.shape, file_axes)
        file_axes = named or FileAxes(letters, tiff.shape)
    channels = place_of_axis("C", channel_axis, letters, tiff.shape, file_axes)
    if UNKNOWN_AXIS not in letters and (channels is None or letters[channels] == "C"):
        if tell and "C" in file_axes.assumed and channels is None:
            logger.warning(
                f"{tiff.path}: shape {tiff.shape} without named axes: read as {letters}; if that is wrong, name them, "
                f"such as axes={letters.replace('C', 'Z')!r}"
            )
        return letters
    rest = iter("ZYX"[-(len(letters) - 1) :])
    if channels is None or len(letters) not in (3, 4):
        message = f"a TIFF of shape {tiff.shape}, axes {letters}, does not name its axes; name them, such as axes='ZYX'"
        raise AxesError(message)
    return "".join("C" if k == channels else next(rest) for k in range(len(letters)))


def _parts(tiff: LazyTiff, ndim: int) -> Iterator[tuple[list[Any], ImageArray]]:
    """Slices along all axes of the file's array, and the pixels there."""
    if tiff.mapped is not None:
        y = tiff.axes.index("Y") if "Y" in tiff.axes else ndim - 2
        for lead in np.ndindex(tiff.shape[:y]):
            for rows in _bands(tiff.shape[y]):
                place: list[Any] = [*(slice(n, n + 1) for n in lead), rows, *(slice(None),) * (ndim - y - 1)]
                yield place, np.asarray(tiff.mapped[tuple(place)])
        return
    # Each page is a plane, of one or several samples, which stand before or behind y and x.
    height = tiff.pages[0].keyframe.imagelength
    samples = tiff.pages[0].keyframe.samplesperpixel
    first_axis = tiff.pages[0].keyframe.axes.startswith("S")
    page_axes = 2 + (samples > 1)
    lead_shape = tiff.shape[: ndim - page_axes]
    for page, lead in zip(tiff.pages, np.ndindex(lead_shape), strict=True):
        for rows in _bands(height):
            part = tiff.page_rows(page, rows.start, rows.stop)
            inside: list[Any] = [rows, slice(None)]
            if samples == 1:
                part = part[..., 0]
            elif first_axis:
                part, inside = np.moveaxis(part, -1, 0), [slice(None), *inside]
            else:
                inside = [*inside, slice(None)]
            yield [*(slice(n, n + 1) for n in lead), *inside], part[(np.newaxis,) * len(lead)]


def _bands(height: int) -> Iterator[slice]:
    for first in range(0, height, _ROWS):
        yield slice(first, min(first + _ROWS, height))
