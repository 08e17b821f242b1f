"""Cells as GeoJSON, as QuPath reads it: polygons along the borders of pixels, names, classes, measurements."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.errors import FileReadError, InputError
from cellpose.io._cells._cells import Cells, Key, axes_of, columns_of, keys_of, names_of
from cellpose.io._cells._numbers import number_in, numbered, whole
from cellpose.io._cells._rings import Outline, Polygon, outlines_of, paint, tell_without_area

__all__ = ["from_geojson", "geojson_of"]

_SHAPE, _AXES = "image_shape", "image_axes"  # of the collection: readers skip members that they do not know


def geojson_of(cells: Cells, object_type: str = "annotation") -> str:
    """A ``FeatureCollection`` with a feature for each label, of stacks and movies for each label of each plane.

    Parameters
    ----------
    cells
        What to write.
    object_type
        Kind of object in QuPath: annotation, detection or cell.
    """
    features = [_feature(cells, outline, object_type) for outline in outlines_of(cells.labels)]
    about = {_SHAPE: list(cells.labels.shape), _AXES: cells.axes}
    content = {"type": "FeatureCollection", **about, "features": features}
    return json.dumps(content, ensure_ascii=False, allow_nan=False)


def _feature(cells: Cells, outline: Outline, object_type: str) -> dict[str, Any]:
    label, plane = outline.label, outline.plane
    polygons = [[_closed(ring) for ring in polygon] for polygon in outline.polygons]
    geometry: dict[str, Any] = (
        {"type": "Polygon", "coordinates": polygons[0]}
        if len(polygons) == 1
        else {"type": "MultiPolygon", "coordinates": polygons}
    )
    if plane is not None:
        geometry["plane"] = {"c": -1, "z": 0, "t": 0, cells.letter: plane}
    properties: dict[str, Any] = {"objectType": object_type, "name": cells.name_of(label, plane), "label": label}
    kind = cells.class_of(label, plane)
    if kind is not None:
        properties["classification"] = {"name": kind[0], **({"color": list(kind[1])} if kind[1] else {})}
    properties["measurements"] = cells.measured(label, plane)
    identity = str(label) if plane is None else f"{label}-{cells.letter}{plane + 1}"
    return {"type": "Feature", "id": identity, "geometry": geometry, "properties": properties}


def _closed(ring: npt.NDArray[np.int32]) -> list[list[int]]:
    corners: list[list[int]] = ring.tolist()
    return [*corners, corners[0]]


def from_geojson(content: Any, source: Path, shape: Sequence[int] | None) -> Cells:
    """Cells of what a GeoJSON file holds: a collection, a list of features, a feature or a geometry."""
    features = _features(content)
    if features is None:
        message = f"{source} is not GeoJSON with outlines: it has no features and no polygons; export the cells again"
        raise FileReadError(message)
    kept = [(feature, polygons) for feature in features if (polygons := _polygons(feature.get("geometry")))]
    tell_without_area(source, len(features) - len(kept), "points, lines and features without a geometry")
    properties = [_mapping(feature.get("properties")) for feature, _ in kept]
    letter = _plane_letter(content, kept, source)
    planes = [_plane(feature["geometry"], letter) for feature, _ in kept]
    if any(plane is not None for plane in planes):
        planes = [plane or 0 for plane in planes]
    numbers = numbered(
        [
            [whole(told.get("label")) for told in properties],
            [whole(feature.get("id")) for feature, _ in kept],
            [number_in(str(told.get("name", ""))) for told in properties],
        ],
        planes,
        source.name,
    )
    painted = [
        Polygon([np.asarray(ring, np.float64)[:, :2] for ring in polygon], number, plane)
        for (_, polygons), number, plane in zip(kept, numbers, planes, strict=True)
        for polygon in polygons
    ]
    if shape is None and isinstance(content, dict) and isinstance(content.get(_SHAPE), list):
        shape = content[_SHAPE]
    labels = paint(painted, shape, str(source))
    axes = axes_of(labels, movie=letter == "t")
    keys = keys_of(numbers, planes, movie=axes == "TYX")
    told = dict(zip(keys, properties, strict=True))
    names = names_of(keys, numbers, [each.get("name") for each in properties])
    return Cells(labels, _classes(told), _table(told), names, axes=axes)


def _features(content: Any) -> list[dict[str, Any]] | None:
    if isinstance(content, dict):
        if isinstance(content.get("features"), list):
            content = content["features"]
        elif "geometry" in content:
            content = [content]
        elif content.get("type") in ("Polygon", "MultiPolygon", "GeometryCollection"):
            content = [{"geometry": content}]
    if not isinstance(content, list):
        return None
    return [feature for feature in content if isinstance(feature, dict)]


def _polygons(geometry: Any) -> list[list[Any]]:
    """The polygons of a geometry, each a list of rings; points and lines have none."""
    if not isinstance(geometry, dict):
        return []
    kind = geometry.get("type")
    if kind == "GeometryCollection":
        return [polygon for part in geometry.get("geometries", ()) for polygon in _polygons(part)]
    coordinates = geometry.get("coordinates")
    if kind == "Polygon" and coordinates:
        return [coordinates]
    return list(coordinates or ()) if kind == "MultiPolygon" else []


def _plane_letter(content: Any, kept: list[tuple[dict[str, Any], Any]], source: Path) -> str:
    """What the planes of the features are: z, or t for the frames of a movie."""
    if isinstance(content, dict) and isinstance(content.get(_AXES), str):
        return "t" if content[_AXES].startswith("T") else "z"
    z, t = (any(_plane(feature["geometry"], letter) for feature, _ in kept) for letter in "zt")
    if z and t:
        message = f"{source} has outlines in several planes of several frames; export each frame to a file of its own"
        raise InputError(message)
    return "t" if t else "z"


def _plane(geometry: dict[str, Any], letter: str) -> int | None:
    plane = _mapping(geometry.get("plane")).get(letter)
    return plane if isinstance(plane, int) and plane >= 0 else None


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _classes(told: dict[Key, dict[str, Any]]) -> dict[Key, Any]:
    classes: dict[Key, Any] = {}
    for cell, properties in told.items():
        kind = _mapping(properties.get("classification"))
        name = kind.get("name") or (": ".join(kind["names"]) if kind.get("names") else None)
        if name:
            classes[cell] = (str(name), _color(kind))
    return classes


def _color(kind: dict[str, Any]) -> list[Any] | None:
    """The color of a class; older versions of QuPath pack it into one signed number."""
    color, packed = kind.get("color"), kind.get("colorRGB")
    if isinstance(color, list) and len(color) >= 3:
        return color
    return list((packed & 0xFFFFFF).to_bytes(3, "big")) if isinstance(packed, int) else None


def _table(told: dict[Key, dict[str, Any]]) -> dict[str, Any]:
    """Measurements; older files list them."""
    rows: dict[Key, dict[Any, Any]] = {}
    for cell, properties in told.items():
        given = properties.get("measurements")
        if isinstance(given, list):
            given = {entry.get("name"): entry.get("value") for entry in given if isinstance(entry, dict)}
        rows[cell] = _mapping(given)
    return columns_of(rows)
