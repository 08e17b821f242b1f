"""Outlines of labels, as an image and as lists of points.

The outline of a label are its outermost border pixels: those that touch, by an edge, the part of the image outside the
label that is connected to the image border. Borders of holes, and whatever lies inside a hole, are not outlines.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellpose._labels.arrays import PIXELS_PER_SLICE, as_labels, scan
from cellpose._labels.check import Labels, check_labels, each_plane
from cellpose._machine.threads import run_sliced
from cellpose.utils._outlines._pixels import pixel_border

# A contour of four points or fewer encloses no area, or a single pixel, and cannot be drawn as a region of interest.
_MIN_POINTS = 5


class Contours(NamedTuple):
    """All outermost contours of a plane, in sequence.

    Attributes
    ----------
    border
        bool (Ly, Lx), True on contour pixels.
    points
        int32 (n, 2), (x, y); each contour starts at its first pixel in raster order and runs down its left side.
    starts, ends
        int64 (m,), where contour k lies in ``points``.
    owners
        int32 (m,), the label of contour k. Contours are in raster order of their first pixels.
    """

    border: NDArray[np.bool_]
    points: NDArray[np.int32]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    owners: NDArray[np.int32]


def contours(plane: Labels) -> Contours:
    """Trace the outermost contours of all labels of one plane, whose numbers are not sparse (see `as_labels`)."""
    # numba takes a good part of a second to import
    from cellpose.utils._outlines._kernels import trace_outlines

    seen, points, ends, owners = trace_outlines(plane, int(plane.max()) if plane.size else 0)
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]])[: ends.size]
    return Contours(seen != 0, points, starts, ends, owners)


def masks_to_outlines(masks: ArrayLike) -> NDArray[np.bool_]:
    """Pixels on the outlines of the labels.

    Parameters
    ----------
    masks
        Labels (Ly, Lx) or (Lz, Ly, Lx), 0 is background; a volume is done plane by plane.

    Returns
    -------
    ndarray
        bool, same shape; True on the outermost border pixels of every label. Borders of holes are not marked.

    Raises
    ------
    InputError
        If `masks` is not a label image of two or three dimensions.

    Examples
    --------
    >>> masks = np.zeros((5, 5), np.uint16)
    >>> masks[1:4, 1:4] = 1
    >>> masks_to_outlines(masks).astype(int)
    array([[0, 0, 0, 0, 0],
           [0, 1, 1, 1, 0],
           [0, 1, 0, 1, 0],
           [0, 1, 1, 1, 0],
           [0, 0, 0, 0, 0]])
    """
    labels = as_labels(check_labels(masks))
    outlines = np.zeros(labels.shape, np.bool_)
    for plane, border in zip(each_plane(labels), each_plane(outlines), strict=True):
        if plane.size:
            _mark_borders(plane, border)
    return outlines


def _mark_borders(plane: Labels, out: NDArray[np.bool_]) -> None:
    """The borders of `contours`, without following them: only labels with holes are looked at one by one."""
    from cellpose._labels.kernels import borders, outer_borders

    run_sliced(borders, len(plane), plane, out, smallest=max(1, PIXELS_PER_SLICE // plane.shape[1]))
    found = scan(plane)
    outer_borders(plane[None], found.boxes, found.broken, out)


def outlines_list(
    masks: ArrayLike,
    multiprocessing_threshold: int = 50000,
    multiprocessing: bool | None = None,
) -> list[NDArray[np.int64]]:
    """Outline of every label as a list of points.

    Parameters
    ----------
    masks
        Labels (Ly, Lx), 0 is background.
    multiprocessing_threshold, multiprocessing
        Accepted for existing scripts, without effect: all labels are traced in one pass.

    Returns
    -------
    list of ndarray
        For each label present, in ascending order, the contour with the most points: int64 (n, 2), columns x, y in
        pixels, beginning at its first pixel in raster order and running down its left side. Where that has four points
        or fewer (a few pixels, or a line of up to three), the corners of the area that the pixels cover, pixel (x, y)
        reaching from (x, y) to (x + 1, y + 1).

    Raises
    ------
    InputError
        If `masks` is not a label image of two dimensions.

    Examples
    --------
    >>> masks = np.zeros((4, 5), np.uint16)
    >>> masks[1:3, 1:4] = 7
    >>> outlines_list(masks)[0].tolist()
    [[1, 1], [1, 2], [2, 2], [3, 2], [3, 1], [2, 1]]
    >>> outlines_list(np.eye(1, 3, 1, dtype=np.uint8))[0].tolist()
    [[1, 0], [1, 1], [2, 1], [2, 0]]
    """
    found = contours(as_labels(check_labels(masks, ndim=(2,))))
    lengths = found.ends - found.starts
    # by label, longest first; among equals the one that starts lowest in the image comes first, as in OpenCV's list
    order = np.lexsort((-np.arange(lengths.size), -lengths, found.owners))
    _, first = np.unique(found.owners[order], return_index=True)
    points = found.points.astype(np.int64)
    parts = (points[found.starts[k] : found.ends[k]] for k in order[first])
    return [part.copy() if len(part) >= _MIN_POINTS else pixel_border(part) for part in parts]
