"""Outlines as text: CSV with a line for each corner, and lines of pixels as in the published outline files."""

from __future__ import annotations

import csv
import itertools
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.errors import FileReadError
from cellpose.io._cells._cells import Cells, axes_of
from cellpose.io._cells._imagej import through_pixels
from cellpose.io._cells._numbers import whole
from cellpose.io._cells._rings import Polygon, outlines_of, paint, trace

__all__ = ["csv_of", "format_outlines", "from_csv", "from_lines", "lines_of"]

logger = logging.getLogger(__name__)

_COLUMNS = ("label", "z", "t", "ring", "x", "y")
_NEEDED = ("label", "x", "y")


def csv_of(cells: Cells) -> str:
    """``label,ring,hole,x,y``, after the label ``z`` of stacks and ``t`` of movies: the corners of each ring.

    Examples
    --------
    >>> csv_of(Cells(np.array([[0, 7]]))).splitlines()
    ['label,ring,hole,x,y', '7,0,0,1,0', '7,0,0,2,0', '7,0,0,2,1', '7,0,0,1,1']
    """
    stack = cells.labels.ndim == 3
    lines = [f"label,{f'{cells.letter},' if stack else ''}ring,hole,x,y"]
    for outline in outlines_of(cells.labels):
        begin = f"{outline.label},{outline.plane}" if stack else f"{outline.label}"
        number = 0
        for polygon in outline.polygons:
            for k, ring in enumerate(polygon):
                start = f"{begin},{number},{int(k > 0)}"
                lines += [f"{start},{x},{y}" for x, y in ring.tolist()]
                number += 1
    return "\n".join([*lines, ""])


def from_csv(path: Path, shape: Sequence[int] | None) -> Cells:
    """Cells of corners; ``ring``, ``z`` and ``t`` may be missing, and other columns are left out."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        header = [name.strip().lower() for name in next(csv.reader(file), [])]
        if not set(_NEEDED) <= set(header):
            message = (
                f"{path} has the columns {', '.join(header)}; it must have {', '.join(_NEEDED)}, and for holes also "
                "ring"
            )
            raise FileReadError(message)
        columns = [header.index(name) for name in _COLUMNS if name in header]
        names = [name for name in _COLUMNS if name in header]
        lines = [line for line in file if line.strip()]
    rows = np.loadtxt(lines, delimiter=",", usecols=columns, ndmin=2) if lines else np.zeros((0, len(names)))
    column = {name: rows[:, k] for k, name in enumerate(names)}
    times = column.pop("t", None)
    if times is not None and "z" not in column and not (times % 1).any() and (times >= 0).all():  # frames, no seconds
        column["t"] = times
    labels, planes = column["label"], column.get("z", column.get("t"))
    ring = column.get("ring", np.zeros(len(rows)))
    keys = np.stack([labels, labels * 0 if planes is None else planes, ring], axis=1)
    points = np.stack([column["x"], column["y"]], axis=1)
    polygons = list(_polygons(keys, points, planes is not None, path))
    painted = paint(polygons, shape, str(path))
    return Cells(painted, axes=axes_of(painted, movie="t" in column and "z" not in column))


def _polygons(keys: npt.NDArray[Any], points: npt.NDArray[Any], stack: bool, path: Path) -> Iterator[Polygon]:
    """One for each label and plane: its rings together define the inside."""
    changes = np.flatnonzero((keys[1:] != keys[:-1]).any(axis=1)) + 1
    edges = [0, *changes.tolist(), len(keys)] if len(keys) else [0]
    rings: dict[tuple[float, float], list[npt.NDArray[Any]]] = {}
    for start, stop in itertools.pairwise(edges):
        label, plane = keys[start, :2].tolist()
        rings.setdefault((label, plane), []).append(points[start:stop])
    for (label, plane), found in rings.items():
        number = whole(label)
        if number is None or plane < 0 or plane != plane // 1:
            message = (
                f"{path} has a corner of the label {label:g} in plane {plane:g}; labels must be whole numbers from 1"
            )
            raise FileReadError(message)
        yield Polygon(found, number, int(plane) if stack else None)


def format_outlines(outlines: Iterable[npt.ArrayLike]) -> str:
    r"""One line ``x1,y1,x2,y2,…`` for each outline; an empty one gives an empty line.

    Examples
    --------
    >>> format_outlines([[[1, 2], [3, 4]], []])
    '1,2,3,4\n\n'
    """
    return "".join(",".join(map(str, np.asarray(outline, np.int64).ravel().tolist())) + "\n" for outline in outlines)


def lines_of(cells: Cells) -> str:
    """The outlines that `outlines_to_text` writes, without numbers, holes or second pieces."""
    from cellpose.utils import outlines_list

    found = trace(cells.labels)
    lost = np.unique(found.owners[~found.outer]).size
    pieces = np.bincount(np.unique(found.owners, return_inverse=True)[1], found.outer)
    if lost or (pieces > 1).any():
        logger.warning(
            f"{lost} cells have holes and {int((pieces > 1).sum())} are in several pieces: a text file holds only the "
            "largest piece of each, without holes"
        )
    return format_outlines(outlines_list(cells.labels))


def from_lines(path: Path, shape: Sequence[int] | None) -> Cells:
    """Cells of lines ``x,y,x,y,...``, numbered by line: the pixels that each outline runs through or encloses."""
    polygons = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        values = [float(value) for value in line.split(",") if value.strip()]
        if len(values) % 2:
            message = f"line {number} of {path} has {len(values)} numbers; an outline needs pairs of x and y"
            raise FileReadError(message)
        if values:
            polygons.append(Polygon([through_pixels(np.array(values).reshape(-1, 2))], number))
    return Cells(paint(polygons, shape, str(path)))
