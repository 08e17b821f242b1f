"""Matching a drawn outline with the cell that the flows predict there."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, sqrt

import cv2
import numpy as np

from cellpose.gui.model._box import Box, Mask, box_of_mask, hull

__all__ = ["LEAST_OVERLAP", "snapped"]

LEAST_OVERLAP = 0.5  # intersection over union of the drawn and the predicted cell
_REACH = 0.15  # of the diameter: how far the cell may extend beyond the drawn one


def snapped(
    box: Box, mask: Mask, find: Callable[[int, int], tuple[Box, Mask] | None]
) -> tuple[tuple[Box, Mask] | None, float]:
    """The cell that the middle pixels of a drawn cell flow to, limited to the surroundings of the drawn cell.

    Parameters
    ----------
    box, mask
        The drawn cell, in one plane.
    find
        Returns the cell at a pixel (y, x).

    Returns
    -------
    found : (Box, Mask) or None
        None if the flows predict no cell there, or a different one.
    overlap : float
        Intersection over union of the drawn cell and the whole predicted cell, 0 to 1.
    """
    best: tuple[Box, Mask] | None = None
    overlap = 0.0
    for y, x in _middles(mask[0]):
        cell = find(y + box.y0, x + box.x0)
        share = _overlap(box, mask, *cell) if cell else 0.0
        best, overlap = (cell, share) if share > overlap else (best, overlap)
    if best is None or overlap < LEAST_OVERLAP:
        return None, overlap
    return _near(box, mask, *best), overlap


def _middles(mask: Mask) -> list[tuple[int, int]]:
    """The pixel farthest from the outline, and the pixel nearest to the mean."""
    inner = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    places = np.argwhere(mask)
    nearest = places[np.abs(places - places.mean(0)).sum(1).argmin()]
    deepest = np.unravel_index(int(inner.argmax()), inner.shape)
    return list(dict.fromkeys(((int(deepest[0]), int(deepest[1])), (int(nearest[0]), int(nearest[1])))))


def _near(box: Box, mask: Mask, cell_box: Box, cell: Mask) -> tuple[Box, Mask] | None:
    """The part of a cell inside the drawn cell or close to it."""
    reach = max(2, ceil(_REACH * sqrt(np.count_nonzero(mask))))
    around = hull([box, cell_box])
    drawn = np.zeros(around.shape[1:], np.uint8)
    drawn[box.within(around)[1:]] = mask[0]
    grown = cv2.dilate(drawn, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)))
    part = np.zeros(around.shape, bool)
    part[cell_box.within(around)] = cell
    part &= grown[None] > 0
    corner = (around.z0, around.y0, around.x0)
    tight = box_of_mask(part, corner)
    return tight and (tight, part[tight.within(around)])


def _overlap(first: Box, one: Mask, second: Box, other: Mask) -> float:
    around = hull([first, second])
    both = np.zeros(around.shape, np.uint8)
    both[first.within(around)] += one
    both[second.within(around)] += other
    return int(np.count_nonzero(both == 2)) / max(1, int(np.count_nonzero(both)))
