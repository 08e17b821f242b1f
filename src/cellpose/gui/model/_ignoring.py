"""Regions that training ignores: adding and removing them, with undo as for all edits of labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.errors import EditRefusedError
from cellpose.gui._texts import tr
from cellpose.gui.model._labels import CELL, Edit, LabelStore, Regions

__all__ = ["ignore", "ignored_at", "stop_ignoring"]

_LEAST_AREA = 10.0  # pixels


def ignore(store: LabelStore, plane: int, corners: npt.NDArray[Any]) -> Edit:
    """Ignore the inside of a closed line in a plane, with corners (n, 2), y and x in pixels.

    Raises
    ------
    EditRefusedError
        If the enclosed area is too small.
    """
    import cv2

    line = np.asarray(corners, np.float64).reshape(-1, 2)
    if len(line) < 3 or cv2.contourArea(line.astype(np.float32)) < _LEAST_AREA:
        message = tr("the region is smaller than {LEAST_AREA:g} pixels; it was not drawn", LEAST_AREA=_LEAST_AREA)
        raise EditRefusedError(message)
    region = tuple((float(plane), float(y), float(x)) for y, x in line)
    return _changed(store, "ignore a region", (*store.ignored, region))


def ignored_at(store: LabelStore, plane: int, y: float, x: float) -> int | None:
    """List index of the region at a pixel, the latest if several; None if there is none."""
    import cv2

    for number in reversed(range(len(store.ignored))):
        region = np.array(store.ignored[number], np.float32)
        line = np.ascontiguousarray(region[:, 1:])[:, None]
        if region[0, 0] == plane and cv2.pointPolygonTest(line, (float(y), float(x)), False) >= 0:
            return number
    return None


def stop_ignoring(store: LabelStore, number: int) -> Edit:
    """Remove a region from the list.

    Raises
    ------
    EditRefusedError
        If there is no such region.
    """
    if not 0 <= number < len(store.ignored):
        message = tr("there is no region that is ignored")
        raise EditRefusedError(message)
    return _changed(store, "stop ignoring", store.ignored[:number] + store.ignored[number + 1 :])


def _changed(store: LabelStore, name: str, regions: Regions) -> Edit:
    nobody = np.zeros(0, CELL)
    edit = Edit(name, (), np.zeros(0, np.int32), nobody, nobody, regions=(store.ignored, regions))
    store.apply(edit)
    return edit
