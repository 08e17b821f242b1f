"""Finding the cells in a part of a plane: touched by a rectangle, or inside a line."""

from __future__ import annotations

from math import ceil, sqrt
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cellpose.gui.model._labels import LabelStore

__all__ = ["Rectangle", "box_of", "cells_inside", "cells_touched"]

Rectangle = tuple[float, float, float, float]  # first row, first column, last row, last column

_MOST_PIXELS = 2**20  # pixels of a region that are checked; in a larger region every n-th


def box_of(region: Rectangle, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Rows y0 to y1 and columns x0 to x1 (half open) of planes (Z, Y, X) that a rectangle touches."""
    _, height, width = shape
    y0, x0 = max(0, int(np.floor(region[0]))), max(0, int(np.floor(region[1])))
    return y0, min(height, ceil(region[2])), x0, min(width, ceil(region[3]))


def cells_touched(labels: LabelStore, plane: int, region: Rectangle) -> set[int]:
    """Numbers of the cells with a pixel in a rectangle of a plane; only cells on its border are checked by pixel."""
    y0, y1, x0, x1 = box_of(region, labels.shape)
    if y1 <= y0 or x1 <= x0:
        return set()
    ids, ends = _near(labels, plane, y0, y1, x0, x1)
    z_first, z_end, top, bottom, left, right = ends.T
    inside = (y0 <= top) & (bottom <= y1) & (x0 <= left) & (right <= x1) & (z_end - z_first == 1)
    found: set[int] = set(ids[inside].tolist())
    rectangle: Any = labels.planes[plane]
    for place in np.flatnonzero(~inside):
        rows = slice(max(y0, int(top[place])), min(y1, int(bottom[place])))
        columns = slice(max(x0, int(left[place])), min(x1, int(right[place])))
        if (rectangle[rows, columns] == ids[place]).any():
            found.add(int(ids[place]))
    return found


def cells_inside(labels: LabelStore, plane: int, line: npt.NDArray[Any]) -> set[int]:
    """Numbers of the cells with more than half of their area inside a closed line.

    Parameters
    ----------
    labels
        The cells.
    plane
        The plane of the line.
    line
        Its corners (n, 2), y and x in pixels. In a large region, pixels are sampled at regular steps.
    """
    if len(line) < 3:
        return set()
    (top, left), (bottom, right) = line.min(0), line.max(0)
    y0, y1, x0, x1 = box_of((top, left, bottom + 1, right + 1), labels.shape)
    if y1 <= y0 or x1 <= x0:
        return set()
    step = ceil(sqrt(max(1.0, (y1 - y0) * (x1 - x0) / _MOST_PIXELS)))
    seen = labels.planes[plane, y0:y1:step, x0:x1:step]
    inside = np.zeros(seen.shape, np.uint8)
    cv2.fillPoly(inside, [np.rint((line[:, ::-1] - (x0, y0)) / step).astype(np.int32)], 1)
    counts = np.bincount(seen[inside > 0], minlength=labels.next_id)
    ids, ends = _near(labels, plane, y0, y1, x0, x1)
    if step == 1:
        return set(ids[2 * counts[ids] > labels.table["area"][ids]].tolist())
    middle = np.stack([(ends[:, 2] + ends[:, 3]) // 2 - y0, (ends[:, 4] + ends[:, 5]) // 2 - x0]) // step
    within = (middle >= 0).all(0) & (middle[0] < seen.shape[0]) & (middle[1] < seen.shape[1])
    centred = np.zeros(ids.size, bool)
    centred[within] = inside[tuple(middle[:, within])] > 0
    all_seen = np.bincount(seen.ravel(), minlength=labels.next_id)[ids]
    return set(ids[np.where(all_seen > 4, 2 * counts[ids] > all_seen, centred)].tolist())


def _near(
    labels: LabelStore, plane: int, y0: int, y1: int, x0: int, x1: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Numbers and boxes (n, 6) of the cells whose boxes intersect a rectangle of a plane."""
    ids = labels.ids
    ends: npt.NDArray[np.int32] = labels.table["box"][ids]
    z_first, z_end, top, bottom, left, right = ends.T
    meets = (z_first <= plane) & (plane < z_end) & (top < y1) & (y0 < bottom) & (left < x1) & (x0 < right)
    return ids[meets], ends[meets]
