"""Label images changed: without the cells at the border, filled, dilated; and distances to the outlines."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellpose._labels.arrays import as_labels, bounding_boxes, fill_holes_and_remove_small, relabeled, scan
from cellpose._labels.check import Labels, check_labels, each_plane
from cellpose.errors import OptionError
from cellpose.utils._outlines import contours

__all__ = [
    "dilate_masks",
    "distance_to_boundary",
    "fill_holes_and_remove_small_masks",
    "masks_to_edges",
    "remove_edge_masks",
]

_SQUARE = np.ones((3, 3), np.uint8)


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


def distance_to_boundary(masks: ArrayLike) -> NDArray[np.float64]:
    """Squared distance of each pixel to the outline of its own label.

    Parameters
    ----------
    masks
        Labels (Ly, Lx) or (Lz, Ly, Lx), 0 is background; a volume is done plane by plane.

    Returns
    -------
    ndarray
        float64, same shape, in pixels squared; 0 on outlines and in the background.

    Raises
    ------
    InputError
        If `masks` is not a label image of two or three dimensions.

    Examples
    --------
    >>> masks = np.zeros((5, 5), np.uint16)
    >>> masks[:] = 1
    >>> distance_to_boundary(masks)[2].tolist()
    [0.0, 1.0, 4.0, 1.0, 0.0]
    """
    labels = as_labels(check_labels(masks))
    distances = np.zeros(labels.shape)
    for plane, out in zip(each_plane(labels), each_plane(distances), strict=True):
        border = contours(plane).border
        for label, box in _boxes(plane):
            inside = plane[box] == label
            away = (~(border[box] & inside)).view(np.uint8)
            # exact up to the rounding of float32, and a squared distance between pixels is a whole number
            distance = cv2.distanceTransform(away, cv2.DIST_L2, cv2.DIST_MASK_PRECISE).astype(np.float64)
            out[box][inside] = np.rint(distance[inside] ** 2)
    return distances


def _boxes(plane: Labels) -> list[tuple[int, tuple[slice, ...]]]:
    """Labels present, in ascending order, with their boxes."""
    boxes = bounding_boxes(plane)
    present = np.flatnonzero(boxes[:, 0, 1])
    return [(int(k) + 1, tuple(slice(int(a), int(b)) for a, b in boxes[k])) for k in present]


def masks_to_edges(masks: ArrayLike, threshold: float = 1.0) -> NDArray[np.bool_]:
    """Pixels of the labels that are close to their outlines.

    Parameters
    ----------
    masks
        Labels (Ly, Lx) or (Lz, Ly, Lx), 0 is background.
    threshold
        Squared distance (pixels squared) below which a pixel counts; 1 gives the outlines themselves.

    Returns
    -------
    ndarray
        bool, same shape.

    Raises
    ------
    InputError
        If `masks` is not a label image of two or three dimensions.
    """
    return (distance_to_boundary(masks) < threshold) & (check_labels(masks) > 0)


def dilate_masks(masks: ArrayLike, n_iter: int = 5) -> NDArray[Any]:
    """Labels dilated by a 3 x 3 square, again and again.

    In each round the labels take their turn in ascending order and may take what is background, or belongs to others;
    later ones take it back. So labels that touch push each other by at most a pixel per round, and one that is thinner
    than three pixels can vanish between its neighbours.

    Parameters
    ----------
    masks
        Labels (Ly, Lx) or (Lz, Ly, Lx), 0 is background; a volume is done plane by plane.
    n_iter
        Rounds; each adds a rim of one pixel.

    Returns
    -------
    ndarray
        Same shape and dtype as `masks`.

    Raises
    ------
    InputError
        If `masks` is not a label image of two or three dimensions.
    OptionError
        If `n_iter` is negative or no whole number.

    Examples
    --------
    >>> masks = np.array([[0, 0, 0, 0, 0], [0, 3, 0, 0, 0]])
    >>> dilate_masks(masks, n_iter=1)
    array([[3, 3, 3, 0, 0],
           [3, 3, 3, 0, 0]])
    """
    if not isinstance(n_iter, (int, np.integer)) or n_iter < 0:
        message = f"n_iter={n_iter} is not allowed; it is a whole number of rounds, 0 or more"
        raise OptionError(message)
    labels = check_labels(masks).copy()
    for plane in each_plane(labels):
        for _ in range(n_iter):
            before = plane.copy()
            _dilate_once(plane)
            if np.array_equal(plane, before):  # nothing is left to take
                break
    dilated: NDArray[Any] = labels.astype(np.asarray(masks).dtype, copy=False)
    return dilated


def _dilate_once(plane: Labels) -> None:
    """One round of dilation, in place."""
    dense = as_labels(plane)
    numbers = np.unique(plane[plane > 0]) if dense is not plane else None
    boxes = _boxes(dense)
    for k, (position, (rows, cols)) in enumerate(boxes):
        label = position if numbers is None else numbers[k]
        # a label grows only in its own turn, so it is still inside its box
        box = (slice(max(0, rows.start - 1), rows.stop + 1), slice(max(0, cols.start - 1), cols.stop + 1))
        crop = plane[box]
        crop[cv2.dilate((crop == label).view(np.uint8), _SQUARE) > 0] = label
