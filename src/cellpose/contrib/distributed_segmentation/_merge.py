"""Labels of blocks: which belong to one cell, and which number it gets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._labels.arrays import overlap as shared_pixels
from cellpose.errors import InputError

__all__ = [
    "Match",
    "as_slices",
    "block_faces",
    "determine_merge_relabeling",
    "match_labels",
    "merge_all_boxes",
    "merged_boxes",
    "number_cells",
]

Index = tuple[int, ...]
Labels = npt.NDArray[Any]
Match = tuple[int, int, float]

# Both blocks see a cell on their common edge whole, so that its two masks differ little. Even half of this
# distinguishes it from a neighbor, which shares next to nothing.
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
    """Cells joined two by two; never two that lie in one block."""

    def __init__(self, block_of: npt.NDArray[np.int32]) -> None:
        self._block_of = block_of
        self._parent: dict[int, int] = {}
        self._blocks: dict[int, set[int]] = {}

    def find(self, cell: int) -> int:
        """The smallest number of the group that a cell belongs to."""
        path = []
        while cell in self._parent:
            path.append(cell)
            cell = self._parent[cell]
        for step in path:
            self._parent[step] = cell
        return cell

    def join(self, one: int, other: int) -> None:
        """Join the groups of two cells, unless one block has a cell in both."""
        first, second = sorted((self.find(one), self.find(other)))
        if first == second:
            return
        of_first, of_second = (self._blocks.get(n, {int(self._block_of[n])}) for n in (first, second))
        if of_first & of_second:  # they would join two cells that one block sees apart
            return
        self._parent[second] = first
        self._blocks[first] = of_first | of_second
        self._blocks.pop(second, None)


def number_cells(
    present: Mapping[Index, npt.NDArray[Any]], matches: Iterable[tuple[Index, Index, npt.ArrayLike]]
) -> tuple[dict[Index, npt.NDArray[np.uint32]], int]:
    """Numbers 1..n for the cells of all blocks.

    Parameters
    ----------
    present
        For each block the labels that have a pixel in what it fills itself, ascending.
    matches
        Pairs of blocks and, as rows (label of the one, label of the other, IoU), the labels in which they agree.

    Returns
    -------
    tuple
        For each block a table from its labels to the cells, 0 for labels that are not its own to write; the number of
        cells.

    Raises
    ------
    InputError
        If there are more cells than uint32 can number.
    """
    indices = sorted(present)
    counts = np.array([len(present[index]) for index in indices], np.int64)
    starts = np.concatenate([[0], np.cumsum(counts)])
    block_of = np.repeat(np.arange(len(indices), dtype=np.int32), counts)
    pairs, iou = _pairs(indices, present, block_of, matches)
    first = _joined(pairs, iou, block_of)
    # A cell is numbered where it is met first.
    is_first = first == np.arange(len(first))
    numbers = np.cumsum(is_first, dtype=np.int64)
    n_cells = int(numbers[-1]) if len(numbers) else 0
    if n_cells > np.iinfo(np.uint32).max:
        message = f"{n_cells} cells are more than 32-bit labels can number; segment parts of the array separately"
        raise InputError(message)
    numbers = numbers[first]
    tables: dict[Index, npt.NDArray[np.uint32]] = {}
    for n, index in enumerate(indices):
        table = np.zeros(int(present[index].max(initial=0)) + 1, np.uint32)
        table[present[index]] = numbers[starts[n] : starts[n + 1]]
        tables[index] = table
    return tables, n_cells


def _pairs(
    indices: Sequence[Index],
    present: Mapping[Index, npt.NDArray[Any]],
    block_of: npt.NDArray[np.int32],
    matches: Iterable[tuple[Index, Index, npt.ArrayLike]],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Places (pair, 2), in the list of all labels of all blocks, of labels that agree, and their IoU."""
    number = {index: n for n, index in enumerate(indices)}
    ones: list[int] = []
    others: list[int] = []
    rows: list[npt.NDArray[np.float64]] = []
    for one, other, found in matches:
        table = np.asarray(found, np.float64).reshape(-1, 3)
        if len(table):
            ones.append(number[one])
            others.append(number[other])
            rows.append(table)
    if not rows or not len(block_of):
        return np.empty((0, 2), np.int64), np.empty(0)
    lengths = [len(table) for table in rows]
    together = np.concatenate(rows)
    rows.clear()
    # Blocks and labels ascend, so that names made of both do.
    names = (block_of.astype(np.int64) << 32) + np.concatenate([present[index] for index in indices]).astype(np.int64)
    wanted = np.stack([np.repeat(ones, lengths), np.repeat(others, lengths)], axis=1).astype(np.int64) << 32
    wanted += together[:, :2].astype(np.int64)
    places = np.minimum(np.searchsorted(names, wanted), len(names) - 1)
    known = (names[places] == wanted).all(axis=1)
    return places[known], together[known, 2]


def _joined(
    pairs: npt.NDArray[np.int64], iou: npt.NDArray[np.float64], block_of: npt.NDArray[np.int32]
) -> npt.NDArray[np.int64]:
    """For each label the first one of its cell. Pairs are joined from the best to the worst.

    The order matters only to groups in which a block has two labels; all others are joined at once.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(block_of)
    first = np.arange(n)
    if not len(pairs):
        return first
    graph = coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    _, group = connected_components(graph, directed=False)
    members = np.unique(pairs)
    _, place, inverse = np.unique(group[members], return_index=True, return_inverse=True)
    first[members] = members[place[inverse]]
    within = inverse.astype(np.int64) * (int(block_of.max()) + 1) + block_of[members]
    values, times = np.unique(within, return_counts=True)
    mixed = np.unique(values[times > 1] // (int(block_of.max()) + 1))
    if len(mixed):
        is_mixed = np.zeros(n, bool)
        is_mixed[members[np.isin(inverse, mixed)]] = True
        chosen = is_mixed[pairs[:, 0]]
        some, their_iou = pairs[chosen], iou[chosen]
        groups = _Groups(block_of)
        for k in np.lexsort((some[:, 1], some[:, 0], -their_iou)):
            groups.join(int(some[k, 0]), int(some[k, 1]))
        for cell in np.flatnonzero(is_mixed):
            first[cell] = groups.find(int(cell))
    return first


def block_faces(segmentation: Labels) -> list[Labels]:
    """First and last plane along each axis, of thickness 1.

    Examples
    --------
    >>> [face.tolist() for face in block_faces(np.array([[1, 2], [3, 4]]))]
    [[[1, 2]], [[3, 4]], [[1], [3]], [[2], [4]]]
    """
    return [np.take(segmentation, [end], axis) for axis in range(segmentation.ndim) for end in (0, -1)]


def determine_merge_relabeling(
    block_indices: Sequence[Index], faces: Sequence[Sequence[Labels]], used_labels: npt.ArrayLike
) -> npt.NDArray[np.uint32]:
    """New labels that join cells across the faces of blocks, where there are no overlaps to compare.

    Labels on both sides of a face are one cell where they cover the same part of it (IoU of at least 0.25, best pairs
    first, each label once). `distributed_eval` compares overlaps instead, which see cells whole.

    Parameters
    ----------
    block_indices
        Which blocks.
    faces
        Of each block, as `process_block` gives them.
    used_labels
        All labels of all blocks, unique in the array.

    Returns
    -------
    uint32 array
        New label, 1..n without gaps, at the place of each old one; 0 elsewhere.

    Examples
    --------
    >>> left, right = np.array([[1, 1], [0, 2]]), np.array([[5, 0], [6, 6]])
    >>> determine_merge_relabeling([(0, 0), (0, 1)], [block_faces(left), block_faces(right)], [1, 2, 5, 6])
    array([0, 1, 2, 0, 0, 1, 2], dtype=uint32)
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    used = np.unique(np.asarray(used_labels, np.int64))
    used = used[used > 0]
    known = {tuple(int(i) for i in index): n for n, index in enumerate(block_indices)}
    pairs: list[tuple[int, int]] = []
    for index, n in known.items():
        for axis in range(len(index)):
            after = known.get((*index[:axis], index[axis] + 1, *index[axis + 1 :]))
            if after is not None:
                found = match_labels(np.asarray(faces[n][2 * axis + 1]), np.asarray(faces[after][2 * axis]))
                pairs += [(a, b) for a, b, _ in found]
    places = np.searchsorted(used, np.array(pairs, np.int64).reshape(-1, 2))
    shape = (len(used), len(used))
    graph = coo_array((np.ones(len(places), np.int8), (places[:, 0], places[:, 1])), shape=shape)
    relabeling = np.zeros(int(used.max(initial=0)) + 1, np.uint32)
    if len(used):
        _, group = connected_components(graph, directed=False)
        _, place, inverse = np.unique(group, return_index=True, return_inverse=True)
        relabeling[used] = np.argsort(np.argsort(place))[inverse] + 1
    return relabeling


def merge_all_boxes(boxes: Sequence[tuple[slice, ...]], box_ids: npt.ArrayLike) -> list[tuple[slice, ...]]:
    """One box for each id, around all boxes with that id, in ascending order of the ids.

    Examples
    --------
    >>> merge_all_boxes([(slice(0, 3),), (slice(5, 6),), (slice(2, 8),)], [1, 2, 1])
    [(slice(0, 8, None),), (slice(5, 6, None),)]
    """
    if not len(boxes):
        return []
    _, limits = merged_boxes(
        np.asarray(box_ids), np.array([[(part.start, part.stop) for part in box] for box in boxes])
    )
    return as_slices(limits)


def merged_boxes(
    ids: npt.NDArray[np.integer[Any]], limits: npt.NDArray[np.integer[Any]]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """The ids, each once, and first and last + 1 pixel (id, axis, 2) around all boxes (box, axis, 2) of each."""
    order = np.argsort(ids, kind="stable")
    names = ids[order]
    begins = np.flatnonzero(np.concatenate([[True], names[1:] != names[:-1]])) if len(names) else np.empty(0, np.int64)
    out = np.empty((len(begins), *limits.shape[1:]), np.int64)
    if len(begins):
        out[..., 0] = np.minimum.reduceat(limits[order, :, 0], begins)
        out[..., 1] = np.maximum.reduceat(limits[order, :, 1], begins)
    return names[begins], out


def as_slices(limits: npt.NDArray[np.integer[Any]]) -> list[tuple[slice, ...]]:
    """Boxes (box, axis, 2) as slices."""
    return [tuple(slice(a, b) for a, b in ends) for ends in limits.tolist()]
