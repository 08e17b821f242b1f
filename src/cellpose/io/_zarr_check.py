"""A Zarr array in a folder: its errors name the folder, and its claims are compared with the memory and the chunks.

In the format a missing chunk means its fill value, and writers leave out chunks that hold nothing else; so a missing
chunk is no error by itself. An image without any chunk has lost them, or was never written. Planes without any chunk
may be empty or lost; a line of the log counts them.
"""

from __future__ import annotations

import itertools
import logging
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._machine.reading import reading
from cellpose.errors import FileReadError
from cellpose.io._limits import check_claim
from cellpose.io._scratch import leaves_on_disk, room_for, tell

__all__ = ["NamedArray", "check_any_chunk", "checked", "read_whole"]

logger = logging.getLogger(__name__)

Chunk = tuple[int, ...]

_SPARSE = 100  # from this many chunks for each stored one, only stored chunks are read
_FEW_CHUNKS = 1000


@dataclass(frozen=True, eq=False)
class NamedArray:
    """An array of the zarr library that reads like itself; every failure becomes an error naming the folder."""

    _zarr: Any
    _folder: str

    def __getitem__(self, index: Any) -> Any:
        with reading(self._folder):
            return _whole(Path(self._folder), self._zarr) if index is ... else self._zarr[index]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        whole = np.asarray(self[...])
        return whole if dtype is None else whole.astype(dtype, copy=False)

    def __len__(self) -> int:
        return int(self._zarr.shape[0])

    def __getattr__(self, name: str) -> Any:
        # also asked for while a copy is being made, before there is anything in it
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._zarr, name)


def checked(array: Any, folder: Path) -> NamedArray:
    """The array, if it can be that of an image.

    Raises
    ------
    FileReadError
        If it holds no pixels or no numbers, or the memory does not hold one chunk.
    """
    if min(array.shape, default=0) < 1 or min(array.chunks, default=0) < 1 or np.dtype(array.dtype).kind not in "biuf":
        message = f"{folder} holds no image: it claims an array of shape {tuple(array.shape)} and dtype {array.dtype}"
        raise FileReadError(message)
    check_claim(folder, math.prod(array.chunks) * np.dtype(array.dtype).itemsize)
    return NamedArray(array, os.fspath(folder))


def check_any_chunk(folder: Path, array: Any, image: bool) -> None:
    """Whether any pixel is stored: raises FileReadError if not and this is an image, warns of other arrays."""
    if next(_stored(folder, len(array.shape)), None) is not None:
        return
    message = f"{folder} holds none of its {math.prod(_grid(array))} chunks: its pixels are missing, or all "
    if image:
        message += "were never written; copy the folder again"
        raise FileReadError(message)
    logger.warning(f"{message}are {array.fill_value}")


def read_whole(folder: Path, array: Any, axes: str, image: bool) -> npt.NDArray[Any]:
    """All pixels, after it was compared with what is stored.

    Parameters
    ----------
    folder
        Of the array.
    array
        As the zarr library opened it, or a `NamedArray`.
    axes
        Their letters.
    image
        Whether these are intensities, not labels or an array of unknown content.

    Raises
    ------
    FileReadError
        If they do not fit in memory, or no chunk of an image exists.
    """
    check_any_chunk(folder, array, image)
    whole = _whole(folder, array)
    if image:
        _tell_empty_planes(folder, array, axes)
    return whole


def _whole(folder: Path, array: Any) -> npt.NDArray[Any]:
    dtype = np.dtype(array.dtype)
    n_bytes = math.prod(array.shape) * dtype.itemsize
    if leaves_on_disk(n_bytes):
        return _left_on_disk(folder, array, dtype)
    check_claim(folder, n_bytes)
    if math.prod(_grid(array)) > _FEW_CHUNKS:
        # asking for very many missing chunks one by one takes minutes
        stored = _stored_within(folder, array)
        if _SPARSE * len(stored) < math.prod(_grid(array)):
            return _of_chunks(array, stored, dtype)
    return np.asarray(array[tuple(slice(None) for _ in array.shape)])


def _left_on_disk(folder: Path, array: Any, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """All pixels in an unnamed file, a row of chunks after the other."""
    whole = room_for(folder, array.shape, dtype)
    for place in itertools.product(*(range(n) for n in _grid(array)[:-2])):
        sides = zip(place, _chunk(array), array.shape, strict=False)
        region = tuple(slice(k * c, min((k + 1) * c, n)) for k, c, n in sides)
        whole[region] = array[region]
        tell(region[0].stop / array.shape[0] if region else 1.0)
    return whole


def _of_chunks(array: Any, places: set[Chunk], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """An array with only the given chunks read; the rest has its fill value."""
    whole = np.full(array.shape, array.fill_value or 0, dtype)
    for place in places:
        sides = zip(place, _chunk(array), array.shape, strict=True)
        region = tuple(slice(k * c, min((k + 1) * c, n)) for k, c, n in sides)
        whole[region] = array[region]
    return whole


def _tell_empty_planes(folder: Path, array: Any, axes: str) -> None:
    lead = [i for i, letter in enumerate(axes) if letter in "TZC"]
    if not {"Y", "X"} <= set(axes) or not lead:
        return
    chunk, shape = _chunk(array), array.shape
    places = {tuple(place[i] for i in lead) for place in _stored_within(folder, array)}
    there = sum(
        math.prod(min(chunk[i], shape[i] - k * chunk[i]) for i, k in zip(lead, place, strict=True)) for place in places
    )
    planes = math.prod(shape[i] for i in lead)
    if there < planes:
        logger.warning(
            f"{folder}: {planes - there} of {planes} planes have no stored chunk and are read as {array.fill_value}, "
            "as the Zarr format defines; if they should not be empty, copy the folder again"
        )


def _chunk(array: Any) -> Chunk:
    """Sides of the part that is stored as one file."""
    return tuple(getattr(array, "shards", None) or array.chunks)


def _grid(array: Any) -> Chunk:
    return tuple(-(-int(n) // int(c)) for n, c in zip(array.shape, _chunk(array), strict=True))


def _stored_within(folder: Path, array: Any) -> set[Chunk]:
    """Places of the existing chunks, without those left by a larger array."""
    grid = _grid(array)
    return {place for place in _stored(folder, len(grid)) if all(k < n for k, n in zip(place, grid, strict=True))}


def _stored(folder: Path, ndim: int) -> Iterator[Chunk]:
    """Places of the existing chunks: files ``0/1/2`` or ``0.1.2``, in version 3 of the format behind ``c``."""
    for here, _, names in os.walk(folder):
        inside = os.path.relpath(here, folder)
        for name in names:
            parts = [part for part in re.split(r"[/\\.]", f"{inside}/{name}") if part]
            parts = parts[1:] if parts and parts[0] == "c" else parts
            # a chunk is a number of up to some digits for each axis
            if len(parts) == ndim and all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
                yield tuple(int(part) for part in parts)
