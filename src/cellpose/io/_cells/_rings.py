"""Labels as polygons along the borders of their pixels, and polygons as labels."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cellpose._face.words import listed
from cellpose._labels.check import each_plane
from cellpose.errors import FileReadError, InputError
from cellpose.io._limits import check_claim

__all__ = ["Outline", "Polygon", "Rings", "outlines_of", "paint", "tell_without_area", "trace"]

logger = logging.getLogger(__name__)

Points = npt.NDArray[Any]

_FAR = 2.0**40  # what lies farther away is as good as there


class Rings(NamedTuple):
    """Borders of the labels of a plane, by label; of each piece the outer one first, then those of its holes.

    Attributes
    ----------
    points
        int32 (n, 2), corners x, y where a border turns; the first is not repeated at the end. Pixel (x, y) reaches from
        (x, y) to (x + 1, y + 1). Outer borders run clockwise as seen on a screen, those of holes the other way.
    starts, ends
        int64 (m,), where ring k lies in ``points``.
    owners
        int64 (m,), its label.
    outer
        bool (m,), whether it is an outer border; the holes that follow are in it.
    """

    points: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    owners: npt.NDArray[np.int64]
    outer: npt.NDArray[np.bool_]


class Outline(NamedTuple):
    """The polygons of one label in one plane: ``polygons[piece][0]`` is the border, further items are holes.

    ``plane`` is None where the labels are a single plane. Rings are int32 (n, 2) as in `Rings`.
    """

    label: int
    plane: int | None
    polygons: list[list[npt.NDArray[np.int32]]]

    @property
    def rings(self) -> list[npt.NDArray[np.int32]]:
        """All rings, of all polygons."""
        return [ring for polygon in self.polygons for ring in polygon]

    @property
    def has_holes(self) -> bool:
        """Whether a polygon has one."""
        return any(len(polygon) > 1 for polygon in self.polygons)


@dataclass(frozen=True, eq=False)
class Polygon:
    """A polygon to paint: rings (n, 2) of x, y, its number, and its plane (None: there are no planes)."""

    rings: Sequence[Points]
    number: int
    plane: int | None = None


def trace(plane: npt.NDArray[np.int32]) -> Rings:
    """The borders of all labels of a plane (Y, X).

    Examples
    --------
    >>> trace(np.array([[7, 7, 0]], np.int32)).points.tolist()
    [[0, 0], [2, 0], [2, 1], [0, 1]]
    """
    from cellpose.io._cells._kernels import CROSSED, END, OWNER, PARENT, trace_rings

    points, table = trace_rings(plane)
    ends = table[:, END].astype(np.int64)
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]])[: ends.size]
    owners, parents = table[:, OWNER].astype(np.int64), table[:, PARENT].astype(np.int64)
    outer = parents == np.arange(parents.size)
    if table[:, CROSSED].any():
        points, starts, ends, whole = _simple(points, starts, ends, table[:, CROSSED] > 0)
        owners, parents, outer = owners[whole], parents[whole], _areas(points, starts, ends) > 0
    order = np.lexsort((~outer, parents, owners))
    return Rings(points, starts[order], ends[order], owners[order], outer[order])


def _simple(points: Points, starts: Points, ends: Points, crossed: Points) -> tuple[Points, Points, Points, Points]:
    """Rings that pass no corner twice, as polygons must; and the ring that each is a part of."""
    parts: list[Points] = []
    whole: list[int] = []
    for k in range(len(starts)):
        ring = points[starts[k] : ends[k]]
        found = [np.array(loop, np.int32) for loop in _loops(ring.tolist())] if crossed[k] else [ring]
        parts += found
        whole += [k] * len(found)
    lengths = np.cumsum([len(part) for part in parts], dtype=np.int64)
    firsts = np.concatenate([np.zeros(1, np.int64), lengths[:-1]])
    return np.concatenate(parts), firsts, lengths, np.array(whole, np.int64)


def _loops(corners: list[list[int]]) -> Iterator[list[list[int]]]:
    way: list[list[int]] = []
    places: dict[tuple[int, int], int] = {}
    for x, y in corners:
        place = places.get((x, y))
        if place is not None:  # back here: the part in between is a separate loop
            yield way[place:]
            for other in way[place + 1 :]:
                del places[other[0], other[1]]
            del way[place + 1 :]
            continue
        places[x, y] = len(way)
        way.append([x, y])
    yield way


def _areas(points: Points, starts: Points, ends: Points) -> npt.NDArray[np.int64]:
    """Twice the area inside of each ring, negative around holes."""
    following = np.arange(1, len(points) + 1)
    following[ends - 1] = starts
    x, y = points.astype(np.int64).T
    doubled: npt.NDArray[np.int64] = np.add.reduceat(x * y[following] - x[following] * y, starts)
    return doubled


def outlines_of(labels: npt.NDArray[np.int32]) -> Iterator[Outline]:
    """The polygons of each label of each plane, of (Y, X) or (Z, Y, X), in ascending order of the labels of a plane."""
    for z, plane in enumerate(each_plane(labels)):
        found = trace(np.ascontiguousarray(plane))
        owners, outer = found.owners.tolist(), found.outer.tolist()
        starts, ends = found.starts.tolist(), found.ends.tolist()
        polygons: list[list[npt.NDArray[np.int32]]] = []
        for k, label in enumerate(owners):
            ring = found.points[starts[k] : ends[k]]
            if outer[k]:
                polygons.append([ring])
            else:
                polygons[-1].append(ring)
            if k + 1 == len(owners) or owners[k + 1] != label:
                yield Outline(label, z if labels.ndim == 3 else None, polygons)
                polygons = []


def paint(polygons: Iterable[Polygon], shape: Sequence[int] | None, source: str) -> npt.NDArray[np.int32]:
    """Labels of polygons: a pixel is inside of one if its center is.

    Parameters
    ----------
    polygons
        What to paint; where they overlap the later one lies on top, with a warning.
    shape
        Of the labels, (Y, X) or (Z, Y, X); None: the smallest that holds all polygons.
    source
        Name of the file, for messages.

    Raises
    ------
    InputError
        If the shape does not suit them.
    FileReadError
        If they would make an image larger than the memory, or a corner is no number.
    """
    from cellpose.io._cells._kernels import fill_polygons

    given = list(polygons)
    rings = [np.asarray(ring, np.float64).reshape(-1, 2) for polygon in given for ring in polygon.rings]
    points = np.concatenate(rings) if rings else np.zeros((0, 2))
    if not np.isfinite(points).all():
        message = f"{source} has corners that are not finite numbers; export it again"
        raise FileReadError(message)
    points = points.clip(-_FAR, _FAR)
    full = _shape_for(given, points, shape, source)
    check_claim(Path(source), 4 * math.prod(full))
    out = np.zeros(full, np.int32)
    ring_ends = np.cumsum([len(ring) for ring in rings], dtype=np.int64)
    polygon_ends = np.cumsum([len(polygon.rings) for polygon in given], dtype=np.int64)
    numbers = np.array([polygon.number for polygon in given], np.int32)
    planes = np.array([polygon.plane or 0 for polygon in given], np.int64)
    if planes.max(initial=0) >= (full[0] if len(full) == 3 else 1):
        message = f"{source} has outlines in plane {int(planes.max()) + 1}, which labels of shape {full} do not have"
        raise InputError(message)
    taken = fill_polygons(points, ring_ends, polygon_ends, numbers, planes, each_plane(out))
    if taken:
        logger.warning(f"{source}: outlines overlap in {taken} pixels; these belong to the later cell")
    _tell_what_is_lost(out, numbers, source)
    return out


def _shape_for(polygons: list[Polygon], points: Points, shape: Sequence[int] | None, source: str) -> tuple[int, ...]:
    stack = any(polygon.plane is not None for polygon in polygons)
    if shape is not None:
        full = tuple(int(n) for n in shape)
        if len(full) not in (2, 3) or min(full) < 0 or (stack and len(full) == 2):
            needed = "(Z, Y, X)" if stack else "(Y, X) or (Z, Y, X)"
            message = f"shape {full} does not fit the outlines of {source}; give {needed}"
            raise InputError(message)
        return full
    width, height = (int(n) for n in np.ceil(points.max(axis=0)).clip(0)) if len(points) else (0, 0)
    depth = max((polygon.plane or 0 for polygon in polygons), default=0) + 1
    return (depth, height, width) if stack else (height, width)


def _tell_what_is_lost(out: npt.NDArray[np.int32], numbers: npt.NDArray[np.int32], source: str) -> None:
    lost = np.setdiff1d(numbers, out)
    if lost.size:
        logger.warning(
            f"{source}: {lost.size} outlines contain no pixel center of labels of shape {out.shape} "
            f"({listed(lost.tolist())})"
        )


def tell_without_area(source: Path, count: int, what: str) -> None:
    """Warn of what a file holds beside the outlines of cells."""
    if count:
        logger.warning(f"{source}: {what} enclose no pixels and are left out ({count})")
