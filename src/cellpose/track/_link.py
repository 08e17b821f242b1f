"""Links cells from frame to frame.

Cells of two frames are the same if they overlap enough, and neither overlaps another as much. The rest is a problem
of assignment by distance: `laptrack` solves it, closes gaps and finds divisions and merges (Jaqaman et al., Nature
Methods 5, 695, 2008). Divisions and merges are kept only where sizes agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._machine.optional import optional
from cellpose.errors import OptionError
from cellpose.track._cells import FrameCells, cells_of, diameter_of, shared_pixels
from cellpose.track._frames import Frames, as_frames
from cellpose.track._tracks import Tracks, sorted_tracks

__all__ = ["track"]

Node = tuple[int, int]  # frame, and index of the cell in it
Edge = tuple[Node, Node]

# A dividing cell: lowest and highest area of both halves together, and of each half, relative to the mother.
_HALVES = (0.5, 1.6)
_HALF = (0.15, 0.9)
_INSIDE = 0.5  # share of a half that lies on its mother


@dataclass(frozen=True)
class _Linking:
    """The options of a call, with defaults taken from the movie."""

    max_distance: float
    max_gap: int
    divisions: bool
    merges: bool
    min_overlap: float

    def __post_init__(self) -> None:
        if not self.max_distance > 0:
            message = f"max_distance={self.max_distance!r} is not allowed; give pixels above 0, or None"
            raise OptionError(message)
        if not (isinstance(self.max_gap, (int, np.integer)) and self.max_gap >= 0):
            message = f"max_gap={self.max_gap!r} is not allowed; give a number of frames, 0 for none"
            raise OptionError(message)
        if not 0 < self.min_overlap <= 1:
            message = f"min_overlap={self.min_overlap!r} is not allowed; give a share above 0, up to 1"
            raise OptionError(message)


def track(
    masks: Any,
    *,
    max_distance: float | None = None,
    max_gap: int = 2,
    divisions: bool = True,
    merges: bool = False,
    min_overlap: float = 0.3,
) -> Tracks:
    """Link the cells of a movie.

    Parameters
    ----------
    masks
        Label images of the frames, ``(T, [Z,] Y, X)`` or a sequence of ``([Z,] Y, X)``; labels of different frames are
        unrelated.
    max_distance
        Largest distance in pixels that a cell moves between frames; None: the diameter of the median cell.
    max_gap
        Frames in which a cell may be missing before its track ends.
    divisions
        Find cells that divide: both halves get their own tracks, whose parent is the mother's track.
    merges
        Find cells that merge.
    min_overlap
        Two cells whose intersection over union reaches this value, and is higher than with any other cell, are the
        same regardless of distance.

    Raises
    ------
    InputError
        If the masks are no movie of label images.
    OptionError
        If an option is outside its range.
    MissingExtraError
        If `laptrack` is not installed.

    Examples
    --------
    >>> movie = np.zeros((3, 12, 20), int)
    >>> for t in range(3):
    ...     movie[t, 2:8, 2 + 2 * t : 8 + 2 * t] = t + 5
    >>> track(movie)
    Tracks(1 track of 3 cells in 3 frames, 0 divisions)
    """
    frames = as_frames(masks)
    cells = [cells_of(frame) for frame in frames]
    distance = diameter_of(cells, frames[0].ndim) if max_distance is None else max_distance
    linking = _Linking(float(distance), max_gap, bool(divisions), bool(merges), float(min_overlap))
    if sum(one.label.size > 0 for one in cells) == 0:
        return _numbered(cells, [])
    sure = _sure_edges(frames, cells, linking)
    return _numbered(cells, _agreeing(_by_distance(cells, sure, linking), cells, linking))


def _sure_edges(frames: Frames, cells: list[FrameCells], linking: _Linking) -> list[Edge]:
    """Edges between cells that overlap in neighboring frames, and between mothers and the two halves on them."""
    edges: list[Edge] = []
    for t in range(len(frames) - 1):
        if not (cells[t].label.size and cells[t + 1].label.size):
            continue
        a, b, shared = shared_pixels(frames, cells, t)
        before, after = cells[t].area, cells[t + 1].area
        agreement = shared / (before[a] + after[b] - shared)
        split = _halves(a, b, shared, before, after) if linking.divisions else {}
        joined = _halves(b, a, shared, after, before) if linking.merges else {}
        best_a, best_b = _best(a, agreement, before.size), _best(b, agreement, after.size)
        taken_a = {*split, *(half for pair in joined.values() for half in pair)}
        taken_b = {*joined, *(half for pair in split.values() for half in pair)}
        for k in np.flatnonzero(agreement >= linking.min_overlap):
            i, j = int(a[k]), int(b[k])
            if best_a[i] == k == best_b[j] and i not in taken_a and j not in taken_b:
                edges.append(((t, i), (t + 1, j)))
        edges += [((t, i), (t + 1, j)) for i, pair in split.items() for j in pair]
        edges += [((t, i), (t + 1, j)) for j, pair in joined.items() for i in pair]
    return edges


def _best(groups: npt.NDArray[np.int64], values: npt.NDArray[np.float64], n: int) -> npt.NDArray[np.int64]:
    """The index of the largest value in each of ``n`` groups, -1 for empty groups."""
    order = np.argsort(values, kind="stable")
    best = np.full(n, -1)
    best[groups[order]] = order  # the last one written remains
    return best


def _halves(
    a: npt.NDArray[np.int64], b: npt.NDArray[np.int64], shared: npt.NDArray[np.int64], before: Any, after: Any
) -> dict[int, tuple[int, int]]:
    """Cells ``a`` that mostly contain exactly two cells ``b`` of the other frame, together as large as ``a``."""
    found: dict[int, list[int]] = {}
    for i, j, n in zip(a.tolist(), b.tolist(), shared.tolist(), strict=True):
        if n >= _INSIDE * after[j]:
            found.setdefault(i, []).append(j)
    return {
        i: (pair[0], pair[1])
        for i, pair in found.items()
        if len(pair) == 2 and _is_division(float(before[i]), [float(after[j]) for j in pair])
    }


def _is_division(mother: float, halves: list[float]) -> bool:
    """Whether the sizes fit a cell and its two halves."""
    alike = all(_HALF[0] * mother <= half <= _HALF[1] * mother for half in halves)
    return len(halves) == 2 and alike and _HALVES[0] * mother <= sum(halves) <= _HALVES[1] * mother


def _by_distance(cells: list[FrameCells], sure: list[Edge], linking: _Linking) -> list[Edge]:
    """All edges: the sure ones, and those that `laptrack` finds for the remaining cells."""
    laptrack = optional("laptrack", "track", "link cells through time")
    cutoff = linking.max_distance**2
    tracker = laptrack.LapTrack(
        metric="sqeuclidean",
        cutoff=cutoff,
        gap_closing_metric="sqeuclidean",
        gap_closing_cutoff=cutoff if linking.max_gap else False,
        # laptrack counts from the last frame before the gap to the first one after it
        gap_closing_max_frame_count=linking.max_gap + 1,
        splitting_metric="sqeuclidean",
        splitting_cutoff=cutoff if linking.divisions else False,
        merging_metric="sqeuclidean",
        merging_cutoff=cutoff if linking.merges else False,
    )
    graph = tracker.predict([one.centroid for one in cells], connected_edges=sure)
    return [((int(a[0]), int(a[1])), (int(b[0]), int(b[1]))) for a, b in graph.edges]


def _agreeing(edges: list[Edge], cells: list[FrameCells], linking: _Linking) -> list[Edge]:
    """Drop divisions and merges that contradict the sizes of the cells: only the nearest link remains."""
    edges = _of_equal_sizes(edges, cells, (0, 1)) if linking.divisions else edges
    return _of_equal_sizes(edges, cells, (1, 0)) if linking.merges else edges


def _of_equal_sizes(edges: list[Edge], cells: list[FrameCells], sides: tuple[int, int]) -> list[Edge]:
    """Edges that meet in a cell on the first of these sides, checked against the sizes of the cells on the other."""
    one, other = sides
    meeting: dict[Node, list[Edge]] = {}
    for edge in edges:
        meeting.setdefault(edge[one], []).append(edge)
    kept: list[Edge] = []
    for (t, i), group in meeting.items():
        sizes = [float(cells[edge[other][0]].area[edge[other][1]]) for edge in group]
        if len(group) == 1 or _is_division(float(cells[t].area[i]), sizes):
            kept += group
        else:
            places = np.array([cells[edge[other][0]].centroid[edge[other][1]] for edge in group])
            kept.append(group[int(np.square(places - cells[t].centroid[i]).sum(axis=1).argmin())])
    return kept


def _numbered(cells: list[FrameCells], edges: list[Edge]) -> Tracks:
    """Tracks from edges: each track ends where it divides or merges."""
    after: dict[Node, list[Node]] = {}
    before: dict[Node, list[Node]] = {}
    for first, second in edges:
        after.setdefault(first, []).append(second)
        before.setdefault(second, []).append(first)
    numbers: dict[Node, int] = {}
    parents: dict[int, list[int]] = {}
    count = 0
    for t, one in enumerate(cells):
        for i in range(one.label.size):
            node, sources = (t, i), before.get((t, i), [])
            if len(sources) == 1 and len(after[sources[0]]) == 1:
                numbers[node] = numbers[sources[0]]
                continue
            count += 1
            numbers[node] = count
            if sources:
                parents[count] = sorted(numbers[source] for source in sources)
    nodes = [(t, i) for t, one in enumerate(cells) for i in range(one.label.size)]
    rows = {
        "frame": np.array([t for t, _ in nodes], np.int64),
        "label": np.concatenate([one.label for one in cells]),
        "track": np.array([numbers[node] for node in nodes], np.int64),
        "area": np.concatenate([one.area for one in cells]),
        "centroid": np.concatenate([one.centroid for one in cells]),
    }
    return sorted_tracks(rows, len(cells), parents)
