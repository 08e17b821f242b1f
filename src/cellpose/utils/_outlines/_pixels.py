"""Borders of the pixels of labels too small for a contour through pixel centers."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["pixel_border"]

Corner = tuple[int, int]

# Along the border downwards, to the right, upwards, to the left, with the pixel on the left hand.
_DOWN, _RIGHT, _UP, _LEFT = (0, 1), (1, 0), (0, -1), (-1, 0)
_TURNS = {step: k for k, step in enumerate((_DOWN, _RIGHT, _UP, _LEFT))}


def pixel_border(points: NDArray[np.int64]) -> NDArray[np.int64]:
    """Corners of the area that a few pixels cover.

    Parameters
    ----------
    points
        int64 (n, 2), columns x, y: the contour of the pixels, which touch by edges or corners.

    Returns
    -------
    ndarray
        int64 (m, 2), columns x, y of corners. Pixel (x, y) reaches from corner (x, y) to corner (x + 1, y + 1), as in
        ImageJ. The polygon begins at the upper left corner of the first pixel and runs down its left side.

    Examples
    --------
    >>> pixel_border(np.array([[4, 7], [5, 7]])).tolist()
    [[4, 7], [4, 8], [6, 8], [6, 7]]
    """
    border: NDArray[np.int64] = _border((points - points[0]).tobytes()) + points[0]
    return border


@lru_cache(maxsize=256)
def _border(points: bytes) -> NDArray[np.int64]:
    """The border of a shape, independent of its position, so that few have to be traced."""
    contour: list[Corner] = [(x, y) for x, y in np.frombuffer(points, np.int64).reshape(-1, 2).tolist()]
    pixels = set(contour)
    # pixels enclosed by four others belong to the area, as holes do in every outline
    pixels |= {(x + 1, y) for x, y in contour if {(x + 2, y), (x + 1, y - 1), (x + 1, y + 1)} <= pixels}
    steps: dict[Corner, list[Corner]] = {}
    for x, y in pixels:
        for corner, step, beside in (
            ((x, y), _DOWN, (x - 1, y)),
            ((x, y + 1), _RIGHT, (x, y + 1)),
            ((x + 1, y + 1), _UP, (x + 1, y)),
            ((x + 1, y), _LEFT, (x, y - 1)),
        ):
            if beside not in pixels:
                steps.setdefault(corner, []).append(step)
    corner, step = contour[0], _DOWN
    steps[corner].remove(step)
    border = [corner]
    while True:
        corner = (corner[0] + step[0], corner[1] + step[1])
        ways = steps[corner]
        if not ways:  # back at the beginning
            return np.array(border, np.int64)
        # where pixels touch at a corner, the border crosses to the other one: it turns right before it continues
        following = min(ways, key=lambda way: (_TURNS[way] - _TURNS[step] + 1) % 4)
        ways.remove(following)
        if following != step:
            border.append(corner)
        step = following
