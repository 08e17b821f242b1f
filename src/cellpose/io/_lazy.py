"""Planes too large for memory, read a few rows at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cellpose._machine.reading import reading
from cellpose.errors import AxesError
from cellpose.io._axes import UNKNOWN_AXIS, FileAxes, named_axes, place_of_axis
from cellpose.io._image import Image
from cellpose.io._limits import check_claim
from cellpose.io._npy import map_npy
from cellpose.io._ome_zarr import open_ome_zarr
from cellpose.io._read import read_image
from cellpose.io._tiff import TIFF_SUFFIXES, open_tiff
from cellpose.io._zarr import is_zarr
from cellpose.io._zarr_check import check_any_chunk

__all__ = ["LazyPlane", "open_plane"]

PathLike = str | os.PathLike[str]
Array = npt.NDArray[Any]

_MOST_CHANNELS = 8  # an unnamed axis that is longer holds no channels


@dataclass(frozen=True, eq=False)
class LazyPlane:
    """A plane whose rows are read on demand.

    Attributes
    ----------
    shape
        Rows, columns, channels.
    dtype
        Of the intensities.
    pixel_size_um
        Along (z, y, x); None if unknown.
    channel_names
        Empty if unknown.
    chunk_rows
        Rows that are stored together: reading one of them costs as much as reading all.
    names_channels
        Whether the file or the caller names the channel axis; else the shortest one is used.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    read: Callable[[int, int], Array] = field(repr=False)
    pixel_size_um: tuple[float | None, float | None, float | None] = (None, None, None)
    channel_names: tuple[str, ...] = ()
    chunk_rows: int = 1
    names_channels: bool = True

    def reader(self) -> Callable[[int, int], Array]:
        """A function of first and last + 1 row that gives (rows, columns, channels).

        Rows are read in whole chunks, and the last ones are kept for the next call.
        """
        return self.read if self.chunk_rows <= 1 else _ChunkedRows(self)


class _ChunkedRows:
    """Keeps the chunks of the last call, since the rows of the next one overlap with them."""

    def __init__(self, plane: LazyPlane) -> None:
        self._plane = plane
        self._first, self._rows = 0, np.empty((0, *plane.shape[1:]), plane.dtype)

    def __call__(self, start: int, stop: int) -> Array:
        step, height = self._plane.chunk_rows, self._plane.shape[0]
        first, last = start // step * step, min(-(-stop // step) * step, height)
        held = self._first + len(self._rows)
        if not (self._first <= first and last <= held):
            if self._first <= first < held:
                more = self._plane.read(held, last)
                self._rows = np.concatenate([self._rows[first - self._first :], more])
            else:
                self._rows = self._plane.read(first, last)
            self._first = first
        return self._rows[start - self._first : stop - self._first]


def open_plane(source: Any, channel_axis: int | None = None, axes: str | None = None) -> LazyPlane:
    """A plane in a file or array, without reading its pixels.

    Parameters
    ----------
    source
        An open plane stays as it is. Else the
        path of a TIFF (tiled or not, compressed or not, BigTIFF, OME, pyramids), an OME-Zarr, a Zarr array or a
        ``.npy``; or an array, memory map or Zarr array. Images of other formats are read as a whole.
    channel_axis
        Axis of the channels, counted in the axes of the file; None: what the file says, else the shortest of three.
    axes
        Names of the axes, one letter of TZCYX for each that is longer than 1, instead of the names in the file.

    Raises
    ------
    AxesError
        If this is a stack or a time series.
    FileReadError
        If the file cannot be read.
    """
    if isinstance(source, LazyPlane):
        return source
    if not isinstance(source, (str, os.PathLike)):
        return _of_array(source, _named_by_caller(UNKNOWN_AXIS * len(source.shape), source.shape, axes, channel_axis))
    path = Path(source)
    with reading(path):
        plane = _of_file(path, channel_axis, axes)
    return replace(plane, read=_named(path, plane))


def _named(path: Path, plane: LazyPlane) -> Callable[[int, int], Array]:
    """The rows of a plane; errors name the file, and nothing is read that does not fit into memory."""
    row_bytes = plane.shape[1] * plane.shape[2] * plane.dtype.itemsize

    def read(start: int, stop: int) -> Array:
        with reading(path):
            check_claim(path, (stop - start) * row_bytes)
            return plane.read(start, stop)

    return read


def _of_file(path: Path, channel_axis: int | None, axes: str | None) -> LazyPlane:
    if path.is_dir() and is_zarr(path):
        lazy = open_ome_zarr(path)
        check_any_chunk(lazy.folder, lazy.array, lazy.is_image)
        names = _named_by_caller(lazy.axes, lazy.array.shape, axes, channel_axis)
        return _of_array(lazy.array, names, lazy.pixel_size_um, lazy.channel_names)
    if path.suffix.lower() == ".npy" and not path.name.lower().endswith("_seg.npy"):
        data = map_npy(path)
        return _of_array(data, _named_by_caller(UNKNOWN_AXIS * data.ndim, data.shape, axes, channel_axis))
    if path.suffix.lower() in TIFF_SUFFIXES:
        return _of_tiff(path, channel_axis, axes)
    image: Image = read_image(path)
    names = _named_by_caller(image.axes, image.data.shape, axes, channel_axis, image.file_axes)
    return _of_array(image.data, names, image.pixel_size_um, image.channel_names)


class _Named(NamedTuple):
    """Letters of the axes, the axis that the caller gives for channels, and whether channels are named at all."""

    letters: str
    channels: int | None
    sure: bool


def _named_by_caller(
    found: str,
    shape: Sequence[int],
    axes: str | None,
    channel_axis: int | None,
    file_axes: FileAxes | None = None,
) -> _Named:
    """The axes as the caller names them, with or without those of length 1."""
    shape = tuple(int(n) for n in shape)
    if axes is not None:
        found, file_axes = named_axes(axes, found, shape, file_axes)
    sure = "C" in found and (file_axes is None or "C" not in file_axes.assumed)
    given = place_of_axis("C", channel_axis, found, shape, file_axes)
    return _Named(found, given, sure or given is not None)


def _of_tiff(path: Path, channel_axis: int | None, axes: str | None) -> LazyPlane:
    tiff = open_tiff(path)
    sizes, names = tiff.metadata
    named = _named_by_caller(tiff.axes, tiff.shape, axes, channel_axis, tiff.file_axes)
    plane, c = _places(tiff.shape, named.letters, named.channels)
    if tiff.mapped is not None:
        return _of_array(tiff.mapped, named, sizes, names)
    if min(plane) < tiff.leading:  # each page is a row
        return _of_array(read_image(path).data, named, sizes, names)
    shape = (tiff.shape[plane[0]], tiff.shape[plane[1]], 1 if c is None else tiff.shape[c])
    return LazyPlane(shape, tiff.dtype, tiff.rows, sizes, names, tiff.chunk_rows, named.sure or c is None)


def _of_array(
    data: Any,
    named: _Named,
    pixel_size_um: tuple[float | None, float | None, float | None] = (None, None, None),
    channel_names: tuple[str, ...] = (),
) -> LazyPlane:
    shape = tuple(int(n) for n in data.shape)
    (y, x), c = _places(shape, named.letters, named.channels)
    order = [axis for axis in (y, x, c) if axis is not None]

    def read(start: int, stop: int) -> Array:
        index: list[Any] = [0] * len(shape)
        for axis in order:
            index[axis] = slice(None)
        index[y] = slice(start, stop)
        rows: Array = np.asarray(data[tuple(index)])
        left = sorted(order)
        rows = rows.transpose([left.index(axis) for axis in order])
        return rows if c is not None else rows[..., np.newaxis]

    chunks = getattr(data, "chunks", None)
    chunk_rows = int(chunks[y]) if isinstance(chunks, tuple) and isinstance(chunks[y], int) else 1
    full = (shape[y], shape[x], 1 if c is None else shape[c])
    sure = named.sure or c is None
    return LazyPlane(full, np.dtype(data.dtype), read, pixel_size_um, channel_names, chunk_rows, sure)


def _places(shape: tuple[int, ...], axes: str, given: int | None) -> tuple[tuple[int, int], int | None]:
    """Axes of y and x, and of the channels if there are any; all others must have length 1."""
    long = [i for i, n in enumerate(shape) if n > 1 or axes[i] in "YX"]
    c = given if given is not None else axes.find("C") if "C" in axes else None
    if c is not None and c not in long:
        c = given
    rest = [i for i in long if i != c]
    unnamed = UNKNOWN_AXIS in axes
    if c is None and unnamed and len(rest) == 3:
        shortest = min(rest, key=lambda i: shape[i])
        if shape[shortest] <= _MOST_CHANNELS:
            c = shortest
            rest.remove(c)
    if unnamed and len(rest) < 2:
        rest = [i for i in range(len(shape)) if i != c][-2:]
    if len(rest) != 2 or (not unnamed and {axes[i] for i in rest} != {"Y", "X"}):
        message = (
            f"an image of shape {shape}, axes {axes}, is not a single plane; give an image with axes Y, X and "
            "channels, and give channel_axis if the file does not name the channel axis"
        )
        raise AxesError(message)
    return (rest[0], rest[1]), c
