"""Border following on label images, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["trace_outlines"]

# The eight neighbours anticlockwise (as seen on a screen, y downwards), starting to the right.
_DY = np.array([0, -1, -1, -1, 0, 1, 1, 1], np.int64)
_DX = np.array([1, 1, 0, -1, -1, -1, 0, 1], np.int64)
_RIGHT, _LEFT = 0, 4

_SEEN, _SEEN_RIGHT_EDGE = 1, -1


@njit(cache=True, nogil=True)
def _is(labels: Any, label: int, y: int, x: int) -> Any:
    return 0 <= y < labels.shape[0] and 0 <= x < labels.shape[1] and labels[y, x] == label


@njit(cache=True, nogil=True)
def _grown(points: Any) -> Any:
    larger = np.empty((2 * points.shape[0], 2), np.int32)
    for i in range(points.shape[0]):  # a slice, and np.append, take seconds to compile
        larger[i, 0], larger[i, 1] = points[i, 0], points[i, 1]
    return larger


@njit(cache=True, nogil=True)
def _follow(labels: Any, seen: Any, y0: int, x0: int, points: Any, n: int) -> Any:
    """Follow one outer border from its first pixel in raster order; marks it in ``seen``, appends (x, y).

    Steps 3.1 to 3.5 of Suzuki and Abe (1985). The mark shows whether the pixel right of a border pixel lies outside.
    """
    label = labels[y0, x0]
    # the border pixel that comes before the first one: search clockwise from the left neighbour
    last = -1
    for turn in range(1, 8):
        k = (_LEFT - turn) & 7
        if _is(labels, label, y0 + _DY[k], x0 + _DX[k]):
            last = k
            break
    if last < 0:  # a single pixel
        seen[y0, x0] = _SEEN_RIGHT_EDGE
        if n == points.shape[0]:
            points = _grown(points)
        points[n, 0], points[n, 1] = x0, y0
        return points, n + 1
    y_last, x_last = y0 + _DY[last], x0 + _DX[last]
    y, x, back = y0, x0, last
    while True:
        right_is_outside = False
        k = back
        while True:  # anticlockwise from where we came
            k = (k + 1) & 7
            if _is(labels, label, y + _DY[k], x + _DX[k]):
                break
            if k == _RIGHT:
                right_is_outside = True
        if right_is_outside:
            seen[y, x] = _SEEN_RIGHT_EDGE
        elif seen[y, x] == 0:
            seen[y, x] = _SEEN
        if n == points.shape[0]:
            points = _grown(points)
        points[n, 0], points[n, 1] = x, y
        n += 1
        y_next, x_next = y + _DY[k], x + _DX[k]
        if y_next == y0 and x_next == x0 and y == y_last and x == x_last:
            return points, n
        y, x, back = y_next, x_next, (k + 4) & 7


@njit(cache=True, nogil=True)
def trace_outlines(labels: Any, top: int) -> Any:
    """All outermost borders of all labels of a plane, in one pass over it.

    Algorithm 2 of Suzuki and Abe (1985), which finds the outermost borders of a binary image: a pixel whose left
    neighbour is outside starts a new border unless the last border pixel met in this row was entered and not left
    (then it lies in a hole). Keeping that one sign per label runs it for all labels at once, whatever their boxes.

    Parameters
    ----------
    labels
        int32 (Ly, Lx).
    top
        The largest label.

    Returns
    -------
    seen
        int8 (Ly, Lx), not 0 on border pixels.
    points
        int32 (n, 2), (x, y) of all borders, one after the other.
    ends
        int32 (m,), where each border ends in ``points``.
    owners
        int32 (m,), the label of each border.
    """
    height, width = labels.shape
    seen = np.zeros((height, width), np.int8)
    points = np.empty((1024, 2), np.int32)
    borders = np.empty((256, 2), np.int32)  # where each ends in the points, and its label
    n = m = 0
    last_mark = np.zeros(top + 1, np.int8)
    last_row = np.full(top + 1, -1, np.int64)
    for y in range(height):
        row = labels[y]
        marks = seen[y]
        left = 0
        for x in range(width):
            label = row[x]
            mark = marks[x]
            starts = label != left
            left = label
            if label == 0 or (mark == 0 and not starts):
                continue
            if mark == 0:
                if last_row[label] == y and last_mark[label] > 0:
                    continue
                points, n = _follow(labels, seen, y, x, points, n)
                if m == borders.shape[0]:
                    borders = _grown(borders)
                borders[m, 0], borders[m, 1] = n, label
                m += 1
            last_row[label] = y
            last_mark[label] = marks[x]
    return seen, points[:n], borders[:m, 0], borders[:m, 1]
