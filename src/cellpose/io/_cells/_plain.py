"""Formats that need no library of their own: a function that writes each, and one that reads it where it is read back.

Writers take the file and the cells. Readers take the file, the shape of the image where the file does not state it, and
the name of an image where the file may hold several.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cellpose._machine.reading import read_json
from cellpose._machine.writing import replacing
from cellpose.io._cells._cells import Cells
from cellpose.io._cells._coco import coco_of, from_coco
from cellpose.io._cells._geojson import from_geojson, geojson_of
from cellpose.io._cells._imagej import read_rois, write_exact_rois
from cellpose.io._cells._svg import svg_of
from cellpose.io._cells._text import csv_of, from_csv, from_lines, lines_of
from cellpose.io._write import write_text

__all__ = [
    "read_coco",
    "read_coco_polygons",
    "read_csv",
    "read_geojson",
    "read_geojson_detections",
    "read_outlines",
    "read_roi",
    "write_coco",
    "write_coco_polygons",
    "write_csv",
    "write_geojson",
    "write_geojson_detections",
    "write_outlines",
    "write_roi",
    "write_svg",
]

Shape = Sequence[int] | None


def write_roi(path: Path, cells: Cells) -> None:
    """ROIs along the borders of pixels."""
    with replacing(path) as file:
        write_exact_rois(file, cells)


def read_roi(path: Path, shape: Shape, _image: str | None) -> Cells:
    """ROIs of any maker."""
    return read_rois(path, shape)


def write_geojson(path: Path, cells: Cells) -> None:
    """A collection of features."""
    write_text(path, geojson_of(cells))


def read_geojson(path: Path, shape: Shape, _image: str | None) -> Cells:
    """Features or a geometry."""
    return from_geojson(read_json(path), path, shape)


def write_geojson_detections(path: Path, cells: Cells) -> None:
    """A collection of features, which QuPath shows faster and does not let users edit."""
    write_text(path, geojson_of(cells, "detection"))


read_geojson_detections = read_geojson


def write_coco(path: Path, cells: Cells) -> None:
    """Masks as run lengths."""
    write_text(path, coco_of(cells, _image_name(path)))


def write_coco_polygons(path: Path, cells: Cells) -> None:
    """Masks as polygons."""
    write_text(path, coco_of(cells, _image_name(path), polygons=True))


def read_coco(path: Path, shape: Shape, image: str | None) -> Cells:
    """Masks of one image, of both kinds."""
    return from_coco(read_json(path), path, shape, image)


read_coco_polygons = read_coco


def _image_name(path: Path) -> str:
    return path.name.removesuffix(path.suffix).removesuffix("_coco") + ".tif"


def write_csv(path: Path, cells: Cells) -> None:
    """A line for each corner."""
    write_text(path, csv_of(cells))


def read_csv(path: Path, shape: Shape, _image: str | None) -> Cells:
    """Corners by label and ring."""
    return from_csv(path, shape)


def write_outlines(path: Path, cells: Cells) -> None:
    """A line for each cell."""
    write_text(path, lines_of(cells))


def read_outlines(path: Path, shape: Shape, _image: str | None) -> Cells:
    """Lines of pixels."""
    return from_lines(path, shape)


def write_svg(path: Path, cells: Cells) -> None:
    """A drawing."""
    write_text(path, svg_of(cells))
