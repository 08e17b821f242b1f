"""Label images: numbers, sizes, boxes, holes and overlaps.

A label image is an integer array ``(Y, X)`` or ``(Z, Y, X)``; 0 is background. Nothing here changes its arguments.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cellpose.errors import InputError

__all__ = [
    "Overlap",
    "as_labels",
    "bounding_boxes",
    "fill_holes_and_remove_small",
    "overlap",
    "remove_labels",
    "remove_small",
    "renumber",
    "scan",
    "sizes",
    "smallest_dtype",
]

Labels = npt.NDArray[np.int32]


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
    array = np.asarray(labels)
    if array.dtype == np.bool_:
        return np.ascontiguousarray(array, np.int32)
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array == np.trunc(array)).all()):
        message = "labels must be whole numbers, but the array holds fractions or NaN; give a label image"
        raise InputError(message)
    if array.dtype.kind not in "iuf":
        message = f"labels of type {array.dtype} are not allowed; give an array of integers"
        raise InputError(message)
    if array.size == 0:
        return np.zeros(array.shape, np.int32)
    largest = int(array.max())
    table_limit = min(4 * array.size + 2**20, 2**31 - 1)
    if largest <= table_limit and (array.dtype.kind == "u" or array.min() >= 0):
        return np.ascontiguousarray(array, np.int32)
    values, numbers = np.unique(array, return_inverse=True)
    table = np.cumsum(values != 0)
    table[values == 0] = 0
    return np.ascontiguousarray(table[numbers.reshape(array.shape)], np.int32)


def _volume(labels: Labels) -> Labels:
    """The labels as a volume (a view): planes get a Z axis of length 1."""
    if labels.ndim not in (2, 3):
        message = f"labels of shape {labels.shape} are not allowed; give (Y, X) or (Z, Y, X)"
        raise InputError(message)
    return labels if labels.ndim == 3 else labels[None]


def _largest(labels: Labels) -> int:
    return int(labels.max()) if labels.size else 0


def smallest_dtype(n: int) -> type[np.uint16] | type[np.uint32]:
    """uint16, or uint32 if there are more than 65535 labels."""
    return np.uint16 if n < 2**16 else np.uint32


def scan(labels: Labels) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Boxes, sizes and "may have holes" of the labels 0..max (see the kernel)."""
    from cellpose.utils._kernels import label_boxes

    return label_boxes(_volume(labels), _largest(labels))  # type: ignore[no-any-return]


def _relabel(labels: Labels, table: npt.NDArray[np.int32]) -> Labels:
    from cellpose.utils._kernels import relabel

    out = np.empty(labels.shape, np.int32)
    relabel(labels.reshape(-1), table, out.reshape(-1))
    return out


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
    from cellpose.utils._kernels import first_appearance

    array = as_labels(labels)
    table, n = first_appearance(array.reshape(-1), _largest(array))
    return _relabel(array, table), int(n)


def sizes(labels: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Number of pixels of each label 0..max; index 0 is background.

    Examples
    --------
    >>> sizes([[0, 2, 2], [1, 0, 2]])
    array([2, 1, 3])
    """
    array = as_labels(labels)
    flat = array.reshape(1, 1, -1)
    return scan(flat)[1]


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
    boxes = scan(array)[0][1:]
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
    from cellpose.utils._kernels import overlap_runs

    first, second = as_labels(a), as_labels(b)
    if first.shape != second.shape:
        message = f"label images of shapes {first.shape} and {second.shape} cannot be compared; give equal shapes"
        raise InputError(message)
    width = _largest(second) + 1
    keys, lengths = overlap_runs(first.reshape(-1), second.reshape(-1), width)
    pairs, index = np.unique(keys, return_inverse=True)
    counts = np.bincount(index, lengths, pairs.size).astype(np.int64)
    return Overlap(pairs // width, pairs % width, counts)


def _compact_table(labels: Labels, keep: npt.NDArray[np.bool_], *, by_number: bool = False) -> npt.NDArray[np.int32]:
    """Old labels, indexed by the new ones 0..n: those flagged in ``keep``, as they are met or in ascending order."""
    from cellpose.utils._kernels import first_appearance

    kept = keep.copy()
    kept[0] = False
    old = np.flatnonzero(kept)
    if not by_number:
        numbers, _ = first_appearance(labels.reshape(-1), keep.size - 1)
        old = old[numbers[old] > 0]
        old = old[np.argsort(numbers[old], kind="stable")]
    return np.concatenate([[0], old])


def _compact(labels: Labels, old: npt.NDArray[np.int32], n: int) -> Labels:
    """Labels ``old[1:]`` numbered 1..n, others (up to ``n``) become background."""
    table = np.zeros(n + 1, np.int32)
    table[old] = np.arange(old.size)
    return _relabel(labels, table)


def remove_small(labels: npt.ArrayLike, min_size: int) -> Labels:
    """Labels with fewer than ``min_size`` pixels become background; the rest is numbered 1..n as in `renumber`.

    Examples
    --------
    >>> remove_small([[0, 2, 2], [1, 0, 2]], min_size=2)
    array([[0, 1, 1],
           [0, 0, 1]], dtype=int32)
    """
    return remove_labels(labels, sizes(labels) < min_size)


def remove_labels(labels: npt.ArrayLike, remove: npt.NDArray[np.bool_]) -> Labels:
    """Labels flagged in ``remove`` (indexed by label, 0..max) become background; the rest is numbered 1..n.

    Examples
    --------
    >>> remove_labels([[0, 2, 2], [1, 0, 3]], np.array([False, False, True, False]))
    array([[0, 0, 0],
           [1, 0, 2]], dtype=int32)
    """
    array = as_labels(labels)
    return _compact(array, _compact_table(array, ~remove), remove.size - 1)


def fill_holes_and_remove_small(labels: npt.ArrayLike, min_size: int = 15) -> Labels:
    """Fill the holes of each label and remove small labels.

    A hole is background that a label cuts off from the faces of its box, stepping through face neighbours (4 in a
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
    from cellpose.utils._kernels import fill_holes

    array = as_labels(labels)
    boxes, counts, broken = scan(array)
    old = _compact_table(array, counts >= max(min_size, 1), by_number=min_size <= 0)
    out = _compact(array, old, counts.size - 1)
    broken[0] = False
    if not broken.any():
        return out
    taken = fill_holes(_volume(out), boxes[old], counts[old], broken[old], array.ndim == 2)
    return remove_small(out, min_size) if taken and min_size > 0 else out
