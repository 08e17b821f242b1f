"""Labels of overlapping blocks: which are one cell, and which number it gets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.utils._labels import overlap as shared_pixels

__all__ = ["Match", "match_labels", "merge_all_boxes", "number_cells"]

Index = tuple[int, ...]
Labels = npt.NDArray[Any]
Match = tuple[int, int, float]

# Both blocks see a cell on their common edge whole, so that its two masks differ little. Half of this is still told
# from a neighbour, which shares next to nothing.
_LEAST_IOU = 0.25


def match_labels(a: Labels, b: Labels) -> list[Match]:
    """Cells that two blocks both see.

    Parameters
    ----------
    a, b
        Labels of both in what both see.

    Returns
    -------
    list of (label in a, label in b, IoU)
        Each label at most once: pairs with the largest IoU go first.

    Examples
    --------
    >>> match_labels(np.array([[1, 1, 1, 0, 2]]), np.array([[7, 7, 0, 0, 9]]))
    [(2, 9, 1.0), (1, 7, 0.6666666666666666)]
    """
    pairs = shared_pixels(a, b)
    size_a = np.bincount(pairs.a, pairs.counts)
    size_b = np.bincount(pairs.b, pairs.counts)
    iou = pairs.counts / (size_a[pairs.a] + size_b[pairs.b] - pairs.counts)
    candidates = np.flatnonzero((pairs.a > 0) & (pairs.b > 0) & (iou >= _LEAST_IOU))
    found: list[Match] = []
    met_a: set[int] = set()
    met_b: set[int] = set()
    for k in candidates[np.argsort(-iou[candidates], kind="stable")]:
        one, other = int(pairs.a[k]), int(pairs.b[k])
        if one not in met_a and other not in met_b:
            met_a.add(one)
            met_b.add(other)
            found.append((one, other, float(iou[k])))
    return found


class _Groups:
    """Labels of different blocks that are one cell; never two labels of one block."""

    def __init__(self) -> None:
        self._parent: dict[tuple[Index, int], tuple[Index, int]] = {}
        self._blocks: dict[tuple[Index, int], set[Index]] = {}

    def find(self, key: tuple[Index, int]) -> tuple[Index, int]:
        path = []
        while key in self._parent:
            path.append(key)
            key = self._parent[key]
        for step in path:
            self._parent[step] = key
        return key

    def join(self, one: tuple[Index, int], other: tuple[Index, int]) -> None:
        a, b = self.find(one), self.find(other)
        if a == b:
            return
        of_a, of_b = self._blocks.get(a, {a[0]}), self._blocks.get(b, {b[0]})
        if of_a & of_b:  # they would join two cells that one block sees apart
            return
        first, second = min(a, b), max(a, b)
        self._parent[second] = first
        self._blocks[first] = of_a | of_b
        self._blocks.pop(second, None)


def number_cells(
    present: Mapping[Index, npt.NDArray[np.int64]], matches: Iterable[tuple[Index, Index, Sequence[Match]]]
) -> tuple[dict[Index, npt.NDArray[np.uint32]], int]:
    """Numbers 1..n for the cells of all blocks.

    Parameters
    ----------
    present
        For each block the labels that have a pixel in what it fills itself, ascending.
    matches
        Pairs of blocks and the labels in which they agree.

    Returns
    -------
    tuple
        For each block a table from its labels to the cells, 0 for labels that are not its own to write; the number of
        cells.
    """
    groups = _Groups()
    own = {index: set(labels.tolist()) for index, labels in present.items()}
    pairs = [
        (iou, (one, a), (other, b))
        for one, other, found in matches
        for a, b, iou in found
        if a in own[one] and b in own[other]
    ]
    for _, first, second in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
        groups.join(first, second)
    numbers: dict[tuple[Index, int], int] = {}
    tables: dict[Index, npt.NDArray[np.uint32]] = {}
    for index in sorted(present):
        labels = present[index]
        table = np.zeros(int(labels.max(initial=0)) + 1, np.uint32)
        for label in labels.tolist():
            table[label] = numbers.setdefault(groups.find((index, label)), len(numbers) + 1)
        tables[index] = table
    return tables, len(numbers)


def merge_all_boxes(boxes: Sequence[tuple[slice, ...]], box_ids: npt.ArrayLike) -> list[tuple[slice, ...]]:
    """One box for each id, around all boxes with that id, in ascending order of the ids.

    Examples
    --------
    >>> merge_all_boxes([(slice(0, 3),), (slice(5, 6),), (slice(2, 8),)], [1, 2, 1])
    [(slice(0, 8, None),), (slice(5, 6, None),)]
    """
    ids, where = np.unique(np.asarray(box_ids), return_inverse=True)
    if not len(ids):
        return []
    limits = np.array([[(part.start, part.stop) for part in box] for box in boxes])
    low = np.full((len(ids), limits.shape[1]), np.iinfo(np.int64).max)
    high = np.zeros_like(low)
    np.minimum.at(low, where, limits[..., 0])
    np.maximum.at(high, where, limits[..., 1])
    return [tuple(slice(int(a), int(b)) for a, b in zip(*ends, strict=True)) for ends in zip(low, high, strict=True)]
