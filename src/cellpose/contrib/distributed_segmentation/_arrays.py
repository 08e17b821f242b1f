"""Zarr arrays to start from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy.typing as npt

from cellpose._machine.reading import reading
from cellpose.io import create_array, open_zarr, zarr_library

__all__ = ["numpy_array_to_zarr", "wrap_folder_of_tiffs"]


def numpy_array_to_zarr(write_path: str | os.PathLike[str], array: npt.NDArray[Any], chunks: tuple[int, ...]) -> Any:
    """Write an array as Zarr, for workers that cannot see this program's memory.

    Parameters
    ----------
    write_path
        Folder of the new array; an existing Zarr array is replaced.
    array
        Any shape and dtype.
    chunks
        Shape of the chunks.

    Returns
    -------
    zarr.Array
        Open for reading.
    """
    Path(write_path).parent.mkdir(parents=True, exist_ok=True)
    create_array(write_path, array.shape, tuple(chunks), array.dtype)[...] = array
    return open_zarr(write_path)


def wrap_folder_of_tiffs(filename_pattern: str, block_index_pattern: str | None = r"_(Z)(\d+)(Y)(\d+)(X)(\d+)") -> Any:
    """A Zarr array over TIFF files that are blocks of one array; pixels are read when they are needed.

    Parameters
    ----------
    filename_pattern
        Names of the files, such as ``"folder/block*.tif"``. All files have one shape.
    block_index_pattern
        Regular expression of names and numbers of the axes in the names of the files; None: planes along the first
        axis, in the order of their names.

    Returns
    -------
    zarr.Array
        Open for reading.
    """
    import tifffile

    zarr = zarr_library("read a folder of TIFF files as one array")
    settings: dict[str, Any] = {"aszarr": True}
    if block_index_pattern is not None:
        axes = block_index_pattern.count(r"(\d+)")
        settings |= {"pattern": block_index_pattern, "axestiled": {axis: axis for axis in range(axes)}}
    with reading(filename_pattern):
        return zarr.open(tifffile.imread(filename_pattern, **settings), mode="r")
