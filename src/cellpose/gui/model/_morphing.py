"""Interpolation of planes between drawn planes, by morphing the shapes."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.gui.model._box import Box, Mask, hull

__all__ = ["filled_between", "morphed"]

Shape = npt.NDArray[np.bool_]
Distances = npt.NDArray[np.float64]


def morphed(first: Shape, last: Shape, share: float) -> Shape:
    """The shape at a fraction of the way between two shapes of the same array size: a linear morph.

    The center moves along a straight line, and around it the signed distances to the outlines are interpolated
    (S. P. Raya and J. K. Udupa, Shape-based interpolation of multidimensional objects, IEEE Transactions on Medical
    Imaging 9, 1990). Between circles, all shapes are circles with interpolated centers and radii. The result is never
    empty, and has no holes if the two shapes have none.

    Parameters
    ----------
    first, last
        bool (Y, X), each with at least one set pixel.
    share
        From 0, the first, to 1, the last.

    Examples
    --------
    >>> y, x = np.ogrid[:21, :41]
    >>> one, other = (y - 10) ** 2 + (x - 10) ** 2 <= 16, (y - 10) ** 2 + (x - 30) ** 2 <= 64
    >>> between = morphed(one, other, 0.5)
    >>> [int(ends) for ends in (*np.flatnonzero(between.any(0))[[0, -1]], *np.flatnonzero(between.any(1))[[0, -1]])]
    [14, 26, 4, 16]
    """
    from scipy import ndimage

    margin = max(first.shape)  # room to move
    padded = [np.pad(shape, margin) for shape in (first, last)]
    inside = [_signed(shape) for shape in padded]
    wanted = ((1 - share) * np.sqrt(first.sum()) + share * np.sqrt(last.sum())) ** 2  # pixels, as for circles
    between = np.zeros_like(padded[0])
    for centres in ([_centre(shape) for shape in padded], [_deepest(distances) for distances in inside]):
        middle = (1 - share) * centres[0] + share * centres[1]
        moved = [_moved(distances, middle - centre) for distances, centre in zip(inside, centres, strict=True)]
        other = (1 - share) * moved[0] + share * moved[1] > 0
        between = other if other.sum() > between.sum() else between
        if between.sum() > wanted / 2:  # else the center of a shape lies outside it
            break
    if not any(_has_holes(shape) for shape in padded):
        between = ndimage.binary_fill_holes(between)
    return np.asarray(between[margin:-margin, margin:-margin])


def filled_between(drawn: Mapping[int, tuple[Box, Mask]]) -> tuple[Box, Mask]:
    """A cell from drawn planes, with the planes between them filled in.

    Parameters
    ----------
    drawn
        For each plane, its box and mask (1, Y, X); at least one plane.

    Returns
    -------
    box, mask
        Those of the whole cell, (Z, Y, X).
    """
    from scipy import ndimage

    around = hull(box for box, _ in drawn.values())
    mask = np.zeros(around.shape, bool)
    planes = sorted(drawn)
    for plane in planes:
        box, own = drawn[plane]
        mask[box.within(around)] = ndimage.binary_fill_holes(own[0])  # a self-crossing line leaves holes
    for low, high in pairwise(planes):
        ends = [mask[plane - around.z0] for plane in (low, high)]
        for plane in range(low + 1, high):
            mask[plane - around.z0] = morphed(ends[0], ends[1], (plane - low) / (high - low))
    return around, mask


def _signed(shape: Shape) -> Distances:
    """Signed distance to the outline, which runs between pixels: positive inside."""
    from scipy import ndimage

    inside, outside = (ndimage.distance_transform_edt(part) for part in (shape, ~shape))
    return np.where(shape, inside - 0.5, 0.5 - outside)


def _centre(shape: Shape) -> npt.NDArray[np.float64]:
    return np.array([places.mean() for places in np.nonzero(shape)])


def _deepest(distances: Distances) -> npt.NDArray[Any]:
    return np.array(np.unravel_index(distances.argmax(), distances.shape), np.float64)


def _moved(distances: Distances, by: npt.NDArray[np.float64]) -> Distances:
    from scipy import ndimage

    return np.asarray(ndimage.shift(distances, by, order=1, mode="nearest"))


def _has_holes(shape: Shape) -> bool:
    from scipy import ndimage

    return bool((ndimage.binary_fill_holes(shape) != shape).any())
