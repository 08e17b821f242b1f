"""Cell colors that stay while cell numbers change, so that nothing flickers while a slider is dragged."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["carried_hues"]

Array = npt.NDArray[Any]


def carried_hues(before: Array, hues: Array, labels: Array) -> npt.NDArray[np.uint32]:
    """The hue of each label: that of the cell that was there before, else a new one.

    Parameters
    ----------
    before
        Previous labels, of any shape.
    hues
        Hues of the previous labels, by number.
    labels
        Current labels, of the same shape.

    Returns
    -------
    uint32 (highest label + 1,)
        Hues, all different.

    Examples
    --------
    >>> before, now = np.array([0, 1, 1, 0, 2, 2, 0]), np.array([1, 1, 1, 0, 0, 2, 3])
    >>> carried_hues(before, np.array([0, 7, 5]), now).tolist()
    [0, 7, 5, 8]
    """
    count = int(labels.max(initial=0))
    carried = np.zeros(count + 1, np.uint32)
    now, then = labels.ravel(), before.ravel()
    # a cell that grew contains a pixel of the previous cell; one that shrank has its own pixels inside it
    places = _a_pixel_of_each(then, len(hues) - 1)
    known = np.flatnonzero(places >= 0)
    carried[now[places[known]]] = hues[known]
    places = _a_pixel_of_each(now, count)
    own = np.flatnonzero(places >= 0)
    shrunk = own[then[places[own]] > 0]
    carried[shrunk] = hues[then[places[shrunk]]]
    carried[0] = 0
    _, first = np.unique(carried, return_index=True)
    lone = np.zeros(count + 1, bool)
    lone[first] = carried[first] > 0
    fresh = np.flatnonzero(~lone)[1:]
    carried[fresh] = int(hues.max(initial=0)) + 1 + np.arange(len(fresh))
    return carried


def _a_pixel_of_each(flat: Array, count: int) -> npt.NDArray[np.int64]:
    """The index of one pixel of each label; -1 for labels without pixels and for the background."""
    places = np.full(count + 1, -1, np.int64)
    cells = np.flatnonzero(flat)
    places[flat[cells]] = cells
    return places
