"""Formats that need no library of their own: each as a function that writes and one that reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cellpose._machine.reading import read_json
from cellpose._machine.writing import replacing
from cellpose.io._cells._cells import Cells
from cellpose.io._cells._geojson import from_geojson, geojson_of
from cellpose.io._cells._imagej import read_rois, write_exact_rois
from cellpose.io._write import write_text

__all__ = ["read_geojson", "read_roi", "write_geojson", "write_roi"]


def write_roi(path: Path, cells: Cells) -> None:
    with replacing(path) as file:
        write_exact_rois(file, cells)


def read_roi(path: Path, shape: Sequence[int] | None, _image: str | None) -> Cells:
    return read_rois(path, shape)


def write_geojson(path: Path, cells: Cells) -> None:
    write_text(path, geojson_of(cells))


def read_geojson(path: Path, shape: Sequence[int] | None, _image: str | None) -> Cells:
    return from_geojson(read_json(path), path, shape)
