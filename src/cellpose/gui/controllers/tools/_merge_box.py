"""A box that makes one cell of all that it touches."""

from __future__ import annotations

import numpy as np

from cellpose.gui.controllers.tools._remove import cells_touched
from cellpose.gui.controllers.tools._tool import Context, PointerEvent, Preview, Tool
from cellpose.gui.model import _operations as operations

__all__ = ["MergeBox"]


class MergeBox(Tool):
    """Drag a box over the parts of a cell: they become one, with the lowest of their numbers."""

    name = "merge_box"
    title = "Merge by a box"
    hint = "drag a box over the cells that should be one"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._start: PointerEvent | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a box is being drawn."""
        return self._start is not None

    def cancel(self) -> None:
        """Give up the box."""
        self._start = None
        self.context.show(None)

    def handle(self, event: PointerEvent) -> bool:
        """Draw the box from press to release."""
        if event.kind == "press" and event.button == "left" and not (event.ctrl or event.alt or event.shift):
            self._start = event
            return True
        start = self._start
        if start is None:
            return False
        if event.kind == "move":
            corners = [(start.y, start.x), (start.y, event.x), (event.y, event.x), (event.y, start.x)]
            self.context.show(Preview(np.array(corners) - 0.5, closed=True))
        elif event.kind == "release" and event.button == "left":
            self.cancel()
            self._merge(start, event)
        return True

    def _merge(self, start: PointerEvent, end: PointerEvent) -> None:
        document = self.context.document
        if document is None:
            return
        region = (min(start.y, end.y), min(start.x, end.x), max(start.y, end.y), max(start.x, end.x))
        cells = sorted(cells_touched(document.labels, self.context.view.plane, region))
        if len(cells) < 2:
            document.told.emit(f"the box touches {len(cells) or 'no'} cell; drag it over at least two")
        elif document.do(operations.merge, cells):
            document.select(cells[:1])
