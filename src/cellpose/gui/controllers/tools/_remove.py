"""Several cells chosen by clicks and by a rectangle, and removed together."""

from __future__ import annotations

from math import hypot
from typing import Any

import numpy as np
from psygnal import Signal

from cellpose.gui.controllers.tools._tool import CLICK_PX, Context, PointerEvent, Tool, pixel
from cellpose.gui.model import LabelStore
from cellpose.gui.model import _operations as operations

__all__ = ["Rectangle", "RemoveMany"]

Rectangle = tuple[float, float, float, float]  # first row, first column, last row, last column


class RemoveMany(Tool):
    """A click takes a cell or leaves it, a rectangle takes all that it touches; Enter removes them, Escape does not.

    Attributes
    ----------
    region_changed : Signal(object)
        The `Rectangle` that is to be shown, or None.
    """

    name = "remove"
    title = "Delete several cells"
    hint = "click: choose or leave a cell; drag the rectangle over others; Enter: delete them; Esc: keep them"
    modal = True
    region_changed = Signal(object)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._picked: set[int] = set()
        self._touched: set[int] = set()
        self._pressed: PointerEvent | None = None
        self.region: Rectangle | None = None

    def show_region(self, seen: Rectangle) -> None:
        """Show a rectangle in the middle of what is seen, half as high and as wide."""
        y0, x0, y1, x1 = seen
        quarter_y, quarter_x = (y1 - y0) / 4, (x1 - x0) / 4
        self.region = (y0 + quarter_y, x0 + quarter_x, y1 - quarter_y, x1 - quarter_x)
        self.region_changed.emit(self.region)
        self.set_region(self.region)

    def set_region(self, region: Rectangle) -> None:
        """The rectangle was moved or resized."""
        self.region = region
        document = self.context.document
        if document is not None:
            self._touched = cells_touched(document.labels, self.context.view.plane, region)
            document.select(self._picked | self._touched)

    def handle(self, event: PointerEvent) -> bool:
        """Clicks choose; drags are left to the rectangle, and to the view, which pans."""
        if event.button != "left":
            return event.button == "right"
        if event.kind == "press":
            self._pressed = event
        elif event.kind == "release" and self._pressed is not None:
            pressed, self._pressed = self._pressed, None
            if hypot(*np.subtract(event.screen, pressed.screen)) <= CLICK_PX:
                self._click(pressed)
        return False

    def cancel(self) -> None:
        """Keep all cells, and choose none."""
        chosen = self._picked | self._touched
        self._forget()
        if self.context.document is not None and chosen:
            self.context.document.select([])

    def finish(self) -> None:
        """Remove the chosen cells."""
        document, chosen = self.context.document, sorted(self._picked | self._touched)
        self._forget()
        if document is not None and chosen:
            document.do(operations.delete, chosen)

    def _click(self, event: PointerEvent) -> None:
        document = self.context.document
        cell = document.labels.at(self.context.view.plane, *pixel(event)) if document else 0
        if document is None or not cell:
            return
        if cell in self._picked | self._touched:
            self._picked.discard(cell)
            self._touched.discard(cell)
        else:
            self._picked.add(cell)
        document.select(self._picked | self._touched)

    def _forget(self) -> None:
        self._picked, self._touched, self._pressed = set(), set(), None
        if self.region is not None:
            self.region = None
            self.region_changed.emit(None)


def cells_touched(labels: LabelStore, plane: int, region: Rectangle) -> set[int]:
    """Numbers of the cells with a pixel in a rectangle of a plane; only those on its border are looked at."""
    _, height, width = labels.shape
    y0, x0 = max(0, int(np.floor(region[0]))), max(0, int(np.floor(region[1])))
    y1, x1 = min(height, int(np.ceil(region[2]))), min(width, int(np.ceil(region[3])))
    if y1 <= y0 or x1 <= x0:
        return set()
    ids = labels.ids
    z_first, z_end, top, bottom, left, right = (labels.table["box"][ids][:, end] for end in range(6))
    here = (z_first <= plane) & (plane < z_end)
    meets = here & (top < y1) & (y0 < bottom) & (left < x1) & (x0 < right)
    inside = meets & (y0 <= top) & (bottom <= y1) & (x0 <= left) & (right <= x1) & (z_end - z_first == 1)
    found: set[int] = set(ids[inside].tolist())
    rectangle: Any = labels.planes[plane]
    for place in np.flatnonzero(meets & ~inside):
        rows = slice(max(y0, int(top[place])), min(y1, int(bottom[place])))
        columns = slice(max(x0, int(left[place])), min(x1, int(right[place])))
        if (rectangle[rows, columns] == ids[place]).any():
            found.add(int(ids[place]))
    return found
