"""Editing label images: remove cells at the border, fill, dilate; and distances to the outlines."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellpose._labels.arrays import as_labels, fill_holes_and_remove_small, relabeled, scan
from cellpose._labels.check import check_labels

__all__ = [
    "fill_holes_and_remove_small_masks",
    "largest_pieces",
    "remove_edge_masks",
]


def fill_holes_and_remove_small_masks(masks: ArrayLike, min_size: int = 15) -> NDArray[Any]:
    """Labels without holes and without small ones, numbered 1..n.

    Parameters
    ----------
    masks
        Labels (Ly, Lx) or (Lz, Ly, Lx), 0 is background.
    min_size
        Labels of fewer pixels become background; 0 or less keeps all.

    Returns
    -------
    ndarray
        Same shape and dtype as `masks`. A hole is background inside a label that does not reach the border of the
        label's box over pixels that share an edge (in a volume: a face).

    Raises
    ------
    InputError
        If `masks` is not a label image of two or three dimensions.

    Examples
    --------
    >>> masks = np.array([[5, 5, 5, 0], [5, 0, 5, 0], [5, 5, 5, 2]])
    >>> fill_holes_and_remove_small_masks(masks, min_size=2)
    array([[1, 1, 1, 0],
           [1, 1, 1, 0],
           [1, 1, 1, 0]])
    """
    filled = fill_holes_and_remove_small(check_labels(masks), min_size)
    return filled.astype(np.asarray(masks).dtype, copy=False)


def largest_pieces(masks: ArrayLike) -> NDArray[Any]:
    """Labels of which each keeps its largest connected piece only, under its number.

    Flows may carry pixels across a gap into a cell, which then has a second piece.

    Parameters
    ----------
    masks
        Labels (Ly, Lx) or (Lz, Ly, Lx), 0 is background.

    Returns
    -------
    ndarray
        Same shape and dtype as `masks`, which is not changed. Pixels of one piece share edges (in a volume: faces); of
        equally large pieces the first one, row by row, stays.

    Raises
    ------
    InputError
        If `masks` is not a label image of two or three dimensions.

    Examples
    --------
    >>> largest_pieces(np.array([[3, 0, 3, 3], [3, 0, 0, 3], [0, 7, 0, 0]]))
    array([[0, 0, 3, 3],
           [0, 0, 0, 3],
           [0, 7, 0, 0]])
    """
    from cellpose._labels.kernels import largest_pieces as kept

    labels = check_labels(masks)
    if labels.size == 0:
        return np.array(masks)
    dense = as_labels(labels)
    volume = dense if dense.ndim > 2 else dense[np.newaxis]
    pieces, _ = kept(volume, int(dense.max()), 1)
    return np.where(pieces.reshape(dense.shape) > 0, labels, 0).astype(np.asarray(masks).dtype)


def _faces(array: NDArray[Any]) -> list[NDArray[Any]]:
    """First and last slice along every axis."""
    return [array.take(end, axis=axis) for axis in range(array.ndim) for end in (0, -1)]


def remove_edge_masks(masks: ArrayLike, change_index: bool = True) -> NDArray[Any]:
    """Labels without those that touch the border of the image.

    Parameters
    ----------
    masks
        Labels (Ly, Lx) or (Lz, Ly, Lx), 0 is background. In a volume the first and the last plane are border too.
    change_index
        Number the labels that stay 1..n in ascending order; else they keep their numbers.

    Returns
    -------
    ndarray
        Same shape; int32, or the dtype of `masks` where the numbers are kept. `masks` itself is not changed.

    Raises
    ------
    InputError
        If `masks` is not a label image of two or three dimensions.

    Examples
    --------
    >>> masks = np.array([[1, 0, 0, 0], [1, 0, 7, 0], [0, 0, 0, 0]])
    >>> remove_edge_masks(masks)
    array([[0, 0, 0, 0],
           [0, 0, 1, 0],
           [0, 0, 0, 0]], dtype=int32)
    """
    labels = check_labels(masks)
    if labels.size == 0:
        return labels.copy() if change_index else np.array(masks)
    dense = as_labels(labels)
    keep = scan(dense).counts > 0
    for face in _faces(dense):
        keep[face] = False
    keep[0] = False
    if not change_index:
        return np.where(keep[dense], labels, 0).astype(np.asarray(masks).dtype)
    return relabeled(dense, np.where(keep, np.cumsum(keep), 0).astype(np.int32))
