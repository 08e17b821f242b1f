"""Label images: numbers, sizes, boxes, holes and overlaps.

A label image is an integer array ``(Y, X)`` or ``(Z, Y, X)``; 0 is background. Nothing here changes its arguments.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cellpose._machine.threads import run_sliced
from cellpose.errors import InputError

__all__ = [
    "PIXELS_PER_SLICE",
    "Overlap",
    "Scan",
    "as_labels",
    "bounding_boxes",
    "changed_labels",
    "compact",
    "fill_holes_and_remove_small",
    "overlap",
    "planes_apart",
    "relabeled",
    "remove_labels",
    "remove_small",
    "renumber",
    "same_cells",
    "scan",
    "sizes",
    "smallest_dtype",
    "tabled",
    "without",
]

Labels = npt.NDArray[np.int32]

PIXELS_PER_SLICE = 1 << 18  # pixels worth a thread in passes that do little per pixel (a tenth of a millisecond)


class Scan(NamedTuple):
    """What one pass over a label image finds out about the labels 0..max.

    ``boxes`` int32 (max + 1, 6), rows ``z0, z1, y0, y1, x0, x1``, half open, all zero where a label is absent;
    ``counts`` int64 (max + 1,), pixels; ``broken`` bool (max + 1,), whether a label has two runs in one line along x,
    and so may have a hole; ``first`` int64 (max + 1,), index of its first pixel in reading order, -1 where it is
    absent. Of the background only the pixels are counted.
    """

    boxes: npt.NDArray[np.int32]
    counts: npt.NDArray[np.int64]
    broken: npt.NDArray[np.bool_]
    first: npt.NDArray[np.int64]


class Overlap(NamedTuple):
    """Pairs of labels that share pixels.

    ``counts[i]`` pixels have label ``a[i]`` in one image and ``b[i]`` in the other. Sorted by ``a``, then ``b``;
    background (0) counts as a label.
    """

    a: npt.NDArray[np.int64]
    b: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]


def as_labels(labels: npt.ArrayLike) -> Labels:
    """The same labels as a C-contiguous int32 array, with the numbers they had where those fit a table.

    Whole numbers stored as floats are taken as they are. Labels below 0, or so large that a table over all numbers
    would dwarf the image, are renumbered 1..n in ascending order.

    Raises
    ------
    InputError
        If the values are not whole numbers.
    """
    return _with_largest(labels)[0]


def _with_largest(labels: npt.ArrayLike) -> tuple[Labels, int]:
    """`as_labels` and the largest label, which saves a pass to look for it."""
    array = np.asarray(labels)
    if array.dtype == np.bool_:
        return np.ascontiguousarray(array, np.int32), int(array.any())
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array == np.trunc(array)).all()):
        message = "labels must be whole numbers, but the array holds fractions or NaN; give a label image"
        raise InputError(message)
    if array.dtype.kind not in "iuf":
        message = f"labels of type {array.dtype} are not allowed; give an array of integers"
        raise InputError(message)
    if array.size == 0:
        return np.zeros(array.shape, np.int32), 0
    table_limit = _table_limit(array.size)
    # Read as unsigned, negative numbers are huge.
    largest = int((array.view(np.uint32) if array.dtype == np.int32 else array).max())
    if largest <= table_limit and (array.dtype == np.int32 or array.dtype.kind == "u" or array.min() >= 0):
        return np.ascontiguousarray(array, np.int32), largest
    values, numbers = np.unique(array, return_inverse=True)
    table = np.cumsum(values != 0)
    table[values == 0] = 0
    return np.ascontiguousarray(table[numbers.reshape(array.shape)], np.int32), int(table.max())


def _table_limit(size: int) -> int:
    """The largest label for which a table over all numbers does not dwarf an image of so many pixels."""
    return min(4 * size + 2**20, 2**31 - 1)


def tabled(labels: Labels) -> tuple[Labels, npt.NDArray[np.int64] | None]:
    """Labels that fit a table, as by `as_labels`, and the numbers they had; None: they keep their own.

    Examples
    --------
    >>> tabled(np.array([[0, 7]], np.int32))[1] is None
    True
    >>> tabled(np.array([[0, 60_000_000, 0, 60_000_007]], np.int32))
    (array([[0, 1, 0, 2]], dtype=int32), array([       0, 60000000, 60000007]))
    """
    if _largest(labels) <= _table_limit(labels.size):
        return labels, None
    numbers, places = np.unique(labels, return_inverse=True)
    if numbers[0] != 0:
        numbers, places = np.concatenate([[0], numbers]), places + 1
    return places.reshape(labels.shape).astype(np.int32), numbers.astype(np.int64)


def _volume(labels: Labels) -> Labels:
    """The labels as a volume (a view): planes get a Z axis of length 1."""
    if labels.ndim not in (2, 3):
        message = f"labels of shape {labels.shape} are not allowed; give (Y, X) or (Z, Y, X)"
        raise InputError(message)
    return labels if labels.ndim == 3 else labels[None]


def _largest(labels: npt.NDArray[Any]) -> int:
    return int(labels.max()) if labels.size else 0


def smallest_dtype(n: int) -> type[np.uint16] | type[np.uint32]:
    """uint16, or uint32 if there are more than 65535 labels."""
    return np.uint16 if n < 2**16 else np.uint32


def compact(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Labels as results have them: uint16, or uint32 if there are more than 65535; a copy if the dtype changes."""
    return labels.astype(smallest_dtype(_largest(labels)), copy=False)


def scan(labels: Labels, largest: int | None = None) -> Scan:
    """Boxes, sizes and places of all labels of a plane or volume; the largest label may be given."""
    from cellpose._labels.kernels import join_boxes, label_boxes

    volume, n = _volume(labels), _largest(labels) if largest is None else largest
    lines, width = volume.shape[0] * volume.shape[1], max(volume.shape[2], 1)
    # Each slice has tables of all labels: they must not outgrow the pixels.
    smallest = max(1, max(PIXELS_PER_SLICE, 16 * n) // width)
    parts = [Scan(*part) for part in run_sliced(label_boxes, lines, volume, n, smallest=smallest, per_thread=1)]
    for part in parts[1:]:
        join_boxes(*parts[0], *part)
    return parts[0]


def relabeled(labels: Labels, table: npt.NDArray[np.int32]) -> Labels:
    """``table[labels]``."""
    from cellpose._labels.kernels import relabel

    out = np.empty(labels.shape, np.int32)
    if table.size and np.array_equal(table, np.arange(table.size)):
        out[...] = labels
        return out
    run_sliced(relabel, labels.size, labels.reshape(-1), table, out.reshape(-1), smallest=PIXELS_PER_SLICE)
    return out


def changed_labels(before: Labels, after: Labels) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The labels of the pixels that are not the same, before and after, each once and ascending, 0 included.

    Examples
    --------
    >>> before, after = np.array([[1, 1, 2, 3]], np.int32), np.array([[1, 0, 2, 7]], np.int32)
    >>> [labels.tolist() for labels in changed_labels(before, after)]
    [[1, 3], [0, 7]]
    """
    from cellpose._labels.kernels import mark_changed

    tables = [np.zeros(_largest(labels) + 1, np.bool_) for labels in (before, after)]
    given = (np.ascontiguousarray(before).reshape(-1), np.ascontiguousarray(after).reshape(-1))
    run_sliced(mark_changed, before.size, *given, *tables, smallest=PIXELS_PER_SLICE)
    left, come = (np.flatnonzero(table) for table in tables)
    return left, come


def renumber(labels: npt.ArrayLike) -> tuple[Labels, int]:
    """Labels numbered 1..n in the order in which they are met row by row.

    Parameters
    ----------
    labels
        Integer array of any shape; 0 is background.

    Returns
    -------
    labels : int32 array of the same shape
    n : int
        Number of labels.

    Examples
    --------
    >>> renumber([[0, 7, 7], [3, 0, 7]])
    (array([[0, 1, 1],
           [2, 0, 1]], dtype=int32), 2)
    """
    array = as_labels(labels)
    found = scan(array.reshape(1, array.shape[0] if array.ndim else 1, -1)) if array.size else None
    if found is None:
        return array.copy(), 0
    old = _in_order(found)
    return _compact(array, old, found.counts.size - 1), old.size - 1


def sizes(labels: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Number of pixels of each label 0..max; index 0 is background.

    Examples
    --------
    >>> sizes([[0, 2, 2], [1, 0, 2]])
    array([2, 1, 3])
    """
    array = as_labels(labels)
    lines = array.shape[0] if array.ndim else 1
    return scan(array.reshape(1, lines, -1) if array.size else np.zeros((1, 1, 0), np.int32)).counts


def bounding_boxes(labels: npt.ArrayLike) -> npt.NDArray[np.int32]:
    """Box of each label.

    Parameters
    ----------
    labels
        Label image ``(Y, X)`` or ``(Z, Y, X)``.

    Returns
    -------
    int32 array (n, ndim, 2)
        ``boxes[l - 1, axis]`` is the half-open range ``start, stop`` of label ``l`` in pixels; both 0 where no pixel
        has that label. ``n`` is the largest label.

    Examples
    --------
    >>> bounding_boxes([[0, 2, 2], [0, 0, 2]])
    array([[[0, 0],
            [0, 0]],
           [[0, 2],
            [1, 3]]], dtype=int32)
    """
    array = as_labels(labels)
    boxes = scan(array).boxes[1:]
    return boxes.reshape(-1, 3, 2)[:, 3 - array.ndim :]


def overlap(a: npt.ArrayLike, b: npt.ArrayLike) -> Overlap:
    """How many pixels each label of one image shares with each label of another.

    Parameters
    ----------
    a, b
        Label images of equal shape.

    Raises
    ------
    InputError
        If the shapes differ.

    Examples
    --------
    >>> overlap([[1, 1, 0]], [[2, 0, 0]])
    Overlap(a=array([0, 1, 1]), b=array([0, 0, 2]), counts=array([1, 1, 1]))
    """
    first, second = as_labels(a), as_labels(b)
    if first.shape != second.shape:
        message = f"label images of shapes {first.shape} and {second.shape} cannot be compared; give equal shapes"
        raise InputError(message)
    from cellpose._labels.kernels import overlap_counts

    width = _largest(second) + 1
    args = (first.reshape(-1), second.reshape(-1), width)
    parts = run_sliced(overlap_counts, first.size, *args, smallest=PIXELS_PER_SLICE, per_thread=1)
    keys = np.concatenate([part[0][part[0] >= 0] for part in parts])
    lengths = np.concatenate([part[1][part[0] >= 0] for part in parts])
    pairs, index = np.unique(keys, return_inverse=True)
    counts = np.bincount(index, lengths, pairs.size).astype(np.int64)
    return Overlap(pairs // width, pairs % width, counts)


def same_cells(a: npt.ArrayLike, b: npt.ArrayLike) -> bool:
    """Whether two label images hold the same cells, regardless of numbering.

    Examples
    --------
    >>> same_cells([[0, 5, 5], [2, 0, 0]], [[0, 1, 1], [3, 0, 0]])
    True
    >>> same_cells([[0, 5, 5], [2, 0, 0]], [[0, 1, 1], [1, 0, 0]])
    False
    """
    first, second = as_labels(a), as_labels(b)
    if first.shape != second.shape:
        return False
    if np.array_equal(first, second):
        return True
    pairs = overlap(first, second)
    ours, theirs = np.unique(pairs.a), np.unique(pairs.b)
    return bool(ours.size == theirs.size == pairs.a.size and ((pairs.a == 0) == (pairs.b == 0)).all())


def planes_apart(labels: npt.ArrayLike) -> tuple[int, int]:
    """In how many steps from plane to plane labels of a volume are in pieces that do not touch, and in how many at all.

    A cell of a volume touches itself in the next plane. Where planes are numbered separately, labels that two planes
    have in common are different cells.

    Examples
    --------
    >>> planes_apart([[[1, 1, 0, 2]], [[0, 1, 2, 0]]])
    (1, 2)
    """
    array = as_labels(labels)
    apart = common = 0
    present = (scan(plane[np.newaxis]).counts > 0 for plane in array)
    for (a, in_a), (b, in_b) in itertools.pairwise(zip(array, present, strict=True)):
        n = min(in_a.size, in_b.size)
        in_both = np.flatnonzero(in_a[1:n] & in_b[1:n]) + 1
        touching = np.bincount(a[a == b], minlength=n)[in_both] > 0
        apart, common = apart + int(np.count_nonzero(~touching)), common + in_both.size
    return apart, common


def _in_order(found: Scan, keep: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[np.int32]:
    """0, then the labels present (of those flagged in ``keep``) in the order in which they are met row by row."""
    present = found.first >= 0 if keep is None else (found.first >= 0) & keep
    old = np.flatnonzero(present)
    return np.concatenate([[0], old[np.argsort(found.first[old])]])


def _compact(labels: Labels, old: npt.NDArray[np.int32], n: int) -> Labels:
    """Labels ``old[1:]`` numbered 1..n, others (up to ``n``) become background."""
    table = np.zeros(n + 1, np.int32)
    table[old] = np.arange(old.size)
    return relabeled(labels, table)


def remove_small(labels: npt.ArrayLike, min_size: int) -> Labels:
    """Labels with fewer than ``min_size`` pixels become background; the rest is numbered 1..n as in `renumber`.

    Examples
    --------
    >>> remove_small([[0, 2, 2], [1, 0, 2]], min_size=2)
    array([[0, 1, 1],
           [0, 0, 1]], dtype=int32)
    """
    array = as_labels(labels)
    found = scan(array)
    return without(array, found, found.counts >= min_size)


def remove_labels(labels: npt.ArrayLike, remove: npt.NDArray[np.bool_]) -> Labels:
    """Labels flagged in ``remove`` (indexed by label, 0..max) become background; the rest is numbered 1..n.

    Examples
    --------
    >>> remove_labels([[0, 2, 2], [1, 0, 3]], np.array([False, False, True, False]))
    array([[0, 0, 0],
           [1, 0, 2]], dtype=int32)
    """
    array = as_labels(labels)
    return without(array, scan(array), ~remove)


def without(labels: Labels, found: Scan, keep: npt.NDArray[np.bool_]) -> Labels:
    """Labels flagged in ``keep``, numbered 1..n as they are met; ``found`` is the result of `scan` for the labels."""
    return _compact(labels, _in_order(found, keep), keep.size - 1)


def fill_holes_and_remove_small(labels: npt.ArrayLike, min_size: int = 15) -> Labels:
    """Fill the holes of each label and remove small labels.

    A hole is background that a label cuts off from the faces of its box, stepping through face neighbors (4 in a
    plane, 6 in a volume). Stray pixels in it of cells that lie outside are filled, too; cells that lie in it as a
    whole keep their pixels.

    Parameters
    ----------
    labels
        Label image ``(Y, X)`` or ``(Z, Y, X)``.
    min_size
        Labels with fewer pixels are removed first; 0 or less: none.

    Returns
    -------
    int32 array of the same shape
        Numbered 1..n: in the order in which the labels are met if ``min_size`` is positive, else in ascending order
        of their old numbers.

    Raises
    ------
    InputError
        If the array has neither two nor three axes.

    Examples
    --------
    >>> fill_holes_and_remove_small([[5, 5, 5], [5, 0, 5], [5, 5, 5]], min_size=0)
    array([[1, 1, 1],
           [1, 1, 1],
           [1, 1, 1]], dtype=int32)
    """
    from cellpose._labels.kernels import fill_holes

    array, largest = _with_largest(labels)
    found = scan(array, largest)
    keep = found.counts >= max(min_size, 1)
    keep[0] = False
    old = _in_order(found, keep) if min_size > 0 else np.concatenate([[0], np.flatnonzero(keep)])
    out = _compact(array, old, keep.size - 1)
    broken = found.broken[old]
    if not broken.any():
        return out
    taken = fill_holes(_volume(out), found.boxes[old], found.counts[old], broken, array.ndim == 2)
    return remove_small(out, min_size) if taken and min_size > 0 else out
