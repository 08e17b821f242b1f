"""Cells as GeoJSON, as QuPath and other programs read it: polygons along the edges of pixels, classes, measurements."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._labels.arrays import bounding_boxes

__all__ = ["geojson_of", "rings"]

Ring = list[list[int]]


def rings(mask: npt.NDArray[np.bool_]) -> list[Ring]:
    """Closed polygons around the pixels of a mask (Y, X), corners as x, y; the pixel (x, y) reaches to (x + 1, y + 1).

    Outer ones run clockwise as seen on a screen, holes the other way; pixels that touch by a corner are apart.

    Examples
    --------
    >>> rings(np.array([[True, True, False]]))
    [[[0, 0], [2, 0], [2, 1], [0, 1], [0, 0]]]
    """
    padded = np.pad(mask, 1)
    inside = padded[1:-1, 1:-1]
    sides = {  # where the neighbour is none: from and to which corner of the pixel the edge goes, x and y
        ((0, 0), (1, 0)): padded[:-2, 1:-1],
        ((1, 0), (1, 1)): padded[1:-1, 2:],
        ((1, 1), (0, 1)): padded[2:, 1:-1],
        ((0, 1), (0, 0)): padded[1:-1, :-2],
    }
    ways: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for (begin, end), neighbour in sides.items():
        for y, x in np.argwhere(inside & ~neighbour).tolist():
            ways.setdefault((x + begin[0], y + begin[1]), []).append((x + end[0], y + end[1]))
    found = []
    while ways:
        found.append(_ring(ways))
    return found


def _ring(ways: dict[tuple[int, int], list[tuple[int, int]]]) -> Ring:
    """Follow edges until they are back, take them away, and leave out corners on a straight line."""
    start = here = min(ways, key=lambda corner: (corner[1], corner[0]))
    corners: list[tuple[int, int]] = []
    step = (0, 0)
    while True:
        ends = ways[here]
        right = (here[0] - step[1], here[1] + step[0])  # where two cells meet at a corner, stay on this one
        end = right if right in ends else ends[0]
        ends.remove(end)
        if not ends:
            del ways[here]
        turned = (end[0] - here[0], end[1] - here[1])
        if turned != step:
            corners.append(here)
        here, step = end, turned
        if here == start:
            return [list(corner) for corner in [*corners, corners[0]]]


def geojson_of(
    labels: npt.NDArray[Any],
    classes: Sequence[tuple[str, Sequence[int]] | None] | None = None,
    measurements: Sequence[Mapping[str, float]] | None = None,
) -> str:
    """A ``FeatureCollection`` with a feature per label.

    Parameters
    ----------
    labels
        (Y, X), numbered 1..n.
    classes
        For each label the name and the colour (red, green, blue) of its class; None: it has none.
    measurements
        For each label numbers by their names; those that are not finite are left out.
    """
    boxes = bounding_boxes(labels)
    features = []
    for number, ((y0, y1), (x0, x1)) in enumerate(boxes.tolist(), 1):
        if y1 <= y0:
            continue
        around = rings(labels[y0:y1, x0:x1] == number)
        features.append(
            {
                "type": "Feature",
                "id": str(number),
                "geometry": _geometry([[[x + x0, y + y0] for x, y in ring] for ring in around]),
                "properties": _properties(
                    number,
                    None if classes is None else classes[number - 1],
                    {} if measurements is None else measurements[number - 1],
                ),
            }
        )
    return json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False, allow_nan=False)


def _geometry(around: list[Ring]) -> dict[str, Any]:
    outer = [ring for ring in around if _area(ring) > 0]
    holes = [ring for ring in around if _area(ring) < 0]
    polygons = [[ring, *(hole for hole in holes if len(outer) == 1 or _holds(ring, hole[0]))] for ring in outer]
    if len(polygons) == 1:
        return {"type": "Polygon", "coordinates": polygons[0]}
    return {"type": "MultiPolygon", "coordinates": polygons}


def _area(ring: Ring) -> float:
    x, y = np.array(ring).T
    return float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum() / 2)


def _holds(ring: Ring, corner: list[int]) -> bool:
    """Whether the pixel at a corner of a hole lies inside of a ring: edges to its left are counted."""
    x, y = corner[0] + 0.5, corner[1] + 0.5
    pairs = itertools.pairwise(ring)
    return sum(a[0] == b[0] and a[0] < x and min(a[1], b[1]) < y < max(a[1], b[1]) for a, b in pairs) % 2 == 1


def _properties(
    number: int, cell_class: tuple[str, Sequence[int]] | None, measured: Mapping[str, float]
) -> dict[str, Any]:
    properties: dict[str, Any] = {"objectType": "annotation", "name": f"cell {number}"}
    if cell_class is not None:
        name, color = cell_class
        properties["classification"] = {"name": name, "color": [int(part) for part in color]}
    properties["measurements"] = {name: float(value) for name, value in measured.items() if np.isfinite(value)}
    return properties
