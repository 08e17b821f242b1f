"""Labels written as they are made: bands of rows, from the first to the last."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._machine.writing import replacing
from cellpose.errors import InputError
from cellpose.io._ome_zarr_labels import is_labels_place, write_zarr_bands
from cellpose.io._tiff import TIFF_SUFFIXES
from cellpose.io._write import CLASSIC_TIFF_LIMIT, ome_metadata

__all__ = ["write_label_bands"]

PathLike = str | os.PathLike[str]
Bands = Iterable[tuple[int, npt.NDArray[Any]]]

_TILE = 512


def write_label_bands(
    path: PathLike,
    shape: tuple[int, int],
    bands: Bands,
    dtype: Any = np.uint32,
    pixel_size_um: tuple[float | None, float | None, float | None] = (None, None, None),
    overwrite: bool = True,
) -> None:
    """Write labels of any size from bands of rows, holding little more than one band.

    Parameters
    ----------
    path
        ``.zarr`` (OME-Zarr with coarser resolutions), ``.tif`` or ``.tiff`` (tiled; BigTIFF where 4 GiB may not
        suffice; ``.ome.tif``: OME-TIFF), or ``.npy``. Or a place in the labels of an OME-Zarr image, see
        `labels_group`.
    shape
        Rows and columns of the whole.
    bands
        ``(first row, labels (rows, columns))``, in order and without gaps.
    dtype
        Of the labels in the file.
    pixel_size_um
        Along (z, y, x); None if unknown.
    overwrite
        Whether an existing Zarr folder may be replaced; files always are.

    Raises
    ------
    InputError
        If the suffix names none of these formats, or the bands do not fill the image.
    FileWriteError
        If the file cannot be written. Earlier results there are then untouched.
    """
    suffix = Path(path).suffix.lower()
    checked = _in_order(bands, shape)
    if suffix == ".zarr" or is_labels_place(path):
        write_zarr_bands(path, shape, checked, dtype, pixel_size_um, overwrite)
    elif suffix in TIFF_SUFFIXES:
        _write_tiff(path, shape, checked, np.dtype(dtype), pixel_size_um)
    elif suffix == ".npy":
        _write_npy(path, shape, checked, np.dtype(dtype))
    else:
        message = f"{path} has no suffix of a format for large labels; use .zarr, .tif or .npy"
        raise InputError(message)


def _in_order(bands: Bands, shape: tuple[int, int]) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    following = 0
    for first, rows in bands:
        if first != following or rows.shape[1] != shape[1] or first + len(rows) > shape[0]:
            message = (
                f"a band of shape {rows.shape} at row {first} does not follow row {following} of {shape}; write all "
                "bands in order"
            )
            raise InputError(message)
        following += len(rows)
        yield first, rows
    if following != shape[0]:
        message = f"the bands end at row {following} of {shape[0]}; write the bands that are missing"
        raise InputError(message)


def _write_tiff(
    path: PathLike,
    shape: tuple[int, int],
    bands: Bands,
    dtype: np.dtype[Any],
    pixel_size_um: tuple[float | None, float | None, float | None],
) -> None:
    import tifffile

    _, y, x = pixel_size_um
    ome = os.fspath(path).lower().endswith((".ome.tif", ".ome.tiff"))
    # pixels per centimeter
    resolution = {"resolution": (1e4 / x, 1e4 / y), "resolutionunit": "CENTIMETER"} if x and y else {}
    with replacing(path) as file:
        tifffile.imwrite(
            file,
            _tiles(bands, shape, dtype),
            shape=shape,
            dtype=dtype,
            tile=(_TILE, _TILE),
            compression="zlib",
            photometric="minisblack",
            bigtiff=shape[0] * shape[1] * dtype.itemsize > CLASSIC_TIFF_LIMIT,
            ome=ome,
            metadata=ome_metadata("YX", pixel_size_um) if ome else {"axes": "YX"},
            **resolution,
        )


def _tiles(bands: Bands, shape: tuple[int, int], dtype: np.dtype[Any]) -> Iterator[npt.NDArray[Any]]:
    """Full tiles in row-major order; those at the right and lower ends are filled with zeros."""
    strip = np.zeros((_TILE, -(-shape[1] // _TILE) * _TILE), dtype)
    filled = 0
    for first, rows in bands:
        taken = 0
        while taken < len(rows):
            n = min(len(rows) - taken, _TILE - filled)
            strip[filled : filled + n, : shape[1]] = rows[taken : taken + n]
            taken, filled = taken + n, filled + n
            if filled == _TILE or first + taken == shape[0]:
                strip[filled:] = 0
                for x in range(0, strip.shape[1], _TILE):
                    yield np.ascontiguousarray(strip[:, x : x + _TILE])
                filled = 0


def _write_npy(path: PathLike, shape: tuple[int, int], bands: Bands, dtype: np.dtype[Any]) -> None:
    with replacing(path) as file:
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_2_0(file, header)
        for _, rows in bands:
            file.write(np.ascontiguousarray(rows, dtype).tobytes())
