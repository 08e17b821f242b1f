"""Cells for programs of spatial data: GeoParquet, and stores of SpatialData."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._machine.optional import optional
from cellpose._machine.writing import replacing_by_name
from cellpose.errors import FileReadError, InputError
from cellpose.io._cells._cells import PLANE_COLUMNS, Cells, axes_of, keys_of, names_of
from cellpose.io._cells._numbers import number_in, numbered, whole
from cellpose.io._cells._rings import Polygon, outlines_of, paint, tell_without_area
from cellpose.io._ome_zarr_pyramid import new_folder

__all__ = ["read_geoparquet", "read_spatialdata", "write_geoparquet", "write_spatialdata"]

Shape = Sequence[int] | None

_SHAPE = "image_shape"
_LABELS, _OUTLINES, _TABLE = "cells", "cell_outlines", "cell_table"
_OWN = ("geometry", "label", "name", "class", *PLANE_COLUMNS.values())


def _library(name: str, extra: str, purpose: str) -> Any:
    with _quiet():
        return optional(name, extra, purpose)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences libraries of this field, which warn about each other."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _frame(cells: Cells, path: Path) -> Any:
    """A row for each label, in stacks for each label of each plane, with its polygons and its data."""
    geopandas, shapely = (_library(name, "spatial", f"write {path}") for name in ("geopandas", "shapely"))
    outlines = list(outlines_of(cells.labels))
    polygons = [[shapely.Polygon(polygon[0], polygon[1:]) for polygon in outline.polygons] for outline in outlines]
    columns: dict[str, Any] = {
        "label": np.array([outline.label for outline in outlines], np.int64),
        "name": [cells.name_of(outline.label, outline.plane) for outline in outlines],
    }
    if cells.class_names:
        kinds = [cells.class_of(outline.label, outline.plane) for outline in outlines]
        columns["class"] = [kind[0] if kind else None for kind in kinds]
    if cells.labels.ndim == 3:
        columns[PLANE_COLUMNS[cells.letter]] = np.array([outline.plane for outline in outlines], np.int64)
    measured = [cells.measured(outline.label, outline.plane) for outline in outlines]
    for name in dict.fromkeys(name for row in measured for name in row):
        if name not in _OWN:
            columns[name] = np.array([row.get(name, np.nan) for row in measured])
    geometry = [parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts) for parts in polygons]
    frame = geopandas.GeoDataFrame(columns, geometry=geometry)
    frame.attrs[_SHAPE] = list(cells.labels.shape)
    return frame


def write_geoparquet(path: Path, cells: Cells) -> None:
    """A table with the polygons of each label in pixels, x to the right and y down."""
    _library("pyarrow", "spatial", f"write {path}")
    frame = _frame(cells, path)
    with replacing_by_name(path) as name, _quiet():
        frame.to_parquet(name)


def read_geoparquet(path: Path, shape: Shape, _image: str | None) -> Cells:
    """Polygons from any program, by the columns label and plane, or frame, where these exist."""
    geopandas = _library("geopandas", "spatial", f"read {path}")
    _library("pyarrow", "spatial", f"read {path}")
    with _quiet():
        frame = geopandas.read_parquet(path)
    areas = [geometry is not None and geometry.geom_type in _AREAS for geometry in frame.geometry]
    kept = frame[np.array(areas, bool)]  # an empty list would select columns
    tell_without_area(path, len(frame) - len(kept), "points, lines and rows without a geometry")
    rows = {name: kept[name].tolist() for name in _OWN[1:] if name in kept}
    n = len(kept)
    movie = PLANE_COLUMNS["z"] not in rows and all(map(_is_plane, rows.get(PLANE_COLUMNS["t"], [None])))
    at = rows.get(PLANE_COLUMNS["t" if movie else "z"])
    planes = [None] * n if at is None else [_plane(value, path) for value in at]
    names = [str(name) for name in rows.get("name", [""] * n)]
    numbers = numbered(
        [[whole(value) for value in rows.get("label", [None] * n)], [number_in(name) for name in names]],
        planes,
        path.name,
    )
    painted = [
        Polygon([np.asarray(ring.coords)[:, :2] for ring in (part.exterior, *part.interiors)], number, plane)
        for geometry, number, plane in zip(kept.geometry, numbers, planes, strict=True)
        for part in getattr(geometry, "geoms", [geometry])
    ]
    labels = paint(painted, shape or frame.attrs.get(_SHAPE), str(path))
    table = {name: kept[name].to_numpy() for name in kept if name not in _OWN and kept[name].dtype.kind in "biuf"}
    axes = axes_of(labels, movie=movie)
    cells = keys_of(numbers, planes, movie=axes == "TYX")
    own = {"label": np.array(numbers)} | ({PLANE_COLUMNS["t"]: np.array(planes)} if axes == "TYX" else {})
    return Cells(
        labels,
        {cell: str(kind) for cell, kind in zip(cells, rows.get("class", []), strict=False) if isinstance(kind, str)},
        own | table if table else {},
        names_of(cells, numbers, names),
        axes=axes,
    )


_AREAS = ("Polygon", "MultiPolygon")


def _is_plane(value: Any) -> bool:
    return isinstance(value, (int, float)) and value >= 0 and value % 1 == 0


def _plane(value: Any, path: Path) -> int:
    if not _is_plane(value):
        message = f"{path} has an outline in plane {value}; planes must be whole numbers from 0"
        raise FileReadError(message)
    return int(value)


def write_spatialdata(path: Path, cells: Cells) -> None:
    """A store with labels, for single planes their outlines as shapes, and a table of the labels if there is one."""
    if cells.letter == "t":
        message = f"could not write {path}: SpatialData holds no movies; write one file per frame, or use ome-zarr"
        raise InputError(message)
    spatialdata = _library("spatialdata", "spatialdata", f"write {path}")
    with _quiet(), new_folder(path, overwrite=True) as folder:
        store = spatialdata.SpatialData.init_from_elements(_elements(cells, path))
        folder.rmdir()  # the library creates it
        store.write(folder)


def _elements(cells: Cells, path: Path) -> dict[str, Any]:
    from spatialdata.models import Labels2DModel, Labels3DModel, ShapesModel

    if cells.labels.ndim == 3:
        elements = {_LABELS: Labels3DModel.parse(cells.labels, dims=("z", "y", "x"))}
    else:
        elements = {_LABELS: Labels2DModel.parse(cells.labels, dims=("y", "x"))}
        if cells.numbers.size:
            elements[_OUTLINES] = ShapesModel.parse(
                _frame(cells, path).set_index("label", drop=False).rename_axis(None)
            )
    measured = [cells.measured(label) for label in cells.numbers.tolist()]
    if any(measured):
        elements[_TABLE] = _table(cells, measured)
    return elements


def _table(cells: Cells, measured: list[dict[str, float]]) -> Any:
    import pandas
    from anndata import AnnData
    from spatialdata.models import TableModel

    names = list(dict.fromkeys(name for row in measured for name in row))
    values = np.array([[row.get(name, np.nan) for name in names] for row in measured], np.float64)
    index = [str(label) for label in cells.numbers.tolist()]
    kinds = [cells.class_of(label) for label in cells.numbers.tolist()]
    about: dict[str, Any] = {"label": cells.numbers, "region": pandas.Categorical([_LABELS] * len(index))}
    if any(kinds):
        about["class"] = pandas.Categorical([kind[0] if kind else "" for kind in kinds])
    return TableModel.parse(
        AnnData(values, obs=pandas.DataFrame(about, index=index), var=pandas.DataFrame(index=names)),
        region=_LABELS,
        region_key="region",
        instance_key="label",
    )


def read_spatialdata(path: Path, _shape: Shape, image: str | None) -> Cells:
    """Labels of a store by their name, or the only ones; of a pyramid the finest."""
    spatialdata = _library("spatialdata", "spatialdata", f"read {path}")
    with _quiet():
        store = spatialdata.read_zarr(path, selection=("labels",))
        names = list(store.labels)
        name = image or (names[0] if len(names) == 1 else None)
        if name not in names:
            message = f"{path} has the labels {', '.join(names) or 'of no name'}; choose one with image="
            raise InputError(message)
        element = store.labels[name]
        if not hasattr(element, "to_numpy"):  # a tree of resolutions
            element = next(iter(element["scale0"].values()))
        labels: npt.NDArray[Any] = element.to_numpy()
    return Cells(labels)
