"""Zarr: opening and making arrays, with versions 2 and 3 of the library and of the format."""

from __future__ import annotations

import os
from typing import Any

from cellpose._machine.optional import optional
from cellpose._machine.reading import reading
from cellpose.errors import FileReadError

__all__ = ["MARKS", "create_array", "is_zarr", "open_zarr", "zarr_library"]

PathLike = str | os.PathLike[str]

MARKS = (".zarray", ".zgroup", "zarr.json")


def zarr_library(purpose: str) -> Any:
    """The zarr library.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    return optional("zarr", "distributed", purpose)


def is_zarr(path: PathLike) -> bool:
    """Whether a folder is a Zarr array or group, of format 2 or 3."""
    return any(os.path.isfile(os.path.join(path, mark)) for mark in MARKS)


def open_zarr(path: PathLike) -> Any:
    """A Zarr array or group, to be read.

    Raises
    ------
    FileReadError
        If there is none, or it is broken.
    """
    zarr = zarr_library(f"read {path}")
    if not is_zarr(path):
        message = f"{path} is not a Zarr array or group: it must contain one of {', '.join(MARKS)}"
        raise FileReadError(message)
    with reading(path):
        return zarr.open(os.fspath(path), mode="r")


def create_array(
    path: PathLike,
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    dtype: Any,
    *,
    zarr_format: int = 2,
    every_chunk: bool = False,
) -> Any:
    """A new array of zeros; chunks lie in nested folders, compressed as every reader understands.

    Parameters
    ----------
    path
        Folder of the array; an existing one is replaced.
    shape, chunks, dtype
        Of the array and of its chunks.
    zarr_format
        Version of the format on disk, 2 or 3 (3 only with version 3 of the library).
    every_chunk
        Store chunks of zeros as well: of an image none is then missing.
    """
    zarr = zarr_library(f"write {path}")
    from numcodecs import Zlib

    chunks = tuple(min(chunk, max(side, 1)) for chunk, side in zip(chunks, shape, strict=True))
    if not hasattr(zarr, "create_array"):  # version 2 of the library
        return zarr.open_array(
            os.fspath(path),
            mode="w",
            shape=shape,
            chunks=chunks,
            dtype=dtype,
            fill_value=0,
            compressor=Zlib(level=1),
            dimension_separator="/",
            write_empty_chunks=every_chunk,
        )
    settings: dict[str, Any] = {}
    if zarr_format == 2:
        settings = {
            "compressors": Zlib(level=1),
            "chunk_key_encoding": {"name": "v2", "separator": "/"},
        }
    return zarr.create_array(
        store=os.fspath(path),
        shape=shape,
        chunks=chunks,
        dtype=dtype,
        fill_value=0,
        zarr_format=zarr_format,
        overwrite=True,
        config={"write_empty_chunks": every_chunk},
        **settings,
    )
