"""A line that cuts cells."""

from __future__ import annotations

import numpy as np

from cellpose.gui.controllers.tools._tool import Context, PointerEvent, Preview, Tool
from cellpose.gui.model import _operations as operations

__all__ = ["Cut"]


class Cut(Tool):
    """Drag a line across a cell: each part becomes a cell."""

    name = "cut"
    title = "Split"
    hint = "drag a line across the cell that should be several"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._line: list[tuple[float, float]] = []

    @property
    def is_busy(self) -> bool:
        """Whether a line is being drawn."""
        return bool(self._line)

    def cancel(self) -> None:
        """Give up the line."""
        self._line = []
        self.context.show(None)

    def handle(self, event: PointerEvent) -> bool:
        """Draw from press to release."""
        place = (event.y - 0.5, event.x - 0.5)
        if event.kind == "press" and event.button == "left" and not (event.ctrl or event.alt or event.shift):
            self._line = [place]
            return True
        if event.kind == "move" and self._line:
            self._line.append(place)
            self.context.show(Preview(np.array(self._line)))
            return True
        if event.kind == "release" and event.button == "left" and self._line:
            line = np.array(self._line)
            self.cancel()
            self._cut(line)
            return True
        return False

    def _cut(self, line: np.ndarray) -> None:
        document, plane = self.context.document, self.context.view.plane
        if document is None:
            return
        steps = max(2, int(np.abs(np.diff(line, axis=0)).sum()) * 2 + 2)
        along = np.linspace(0, len(line) - 1, steps)
        places = np.stack([np.interp(along, np.arange(len(line)), line[:, axis]) for axis in (0, 1)], axis=1)
        cells = [document.labels.at(plane, round(y), round(x)) for y, x in places]
        counts = np.bincount(cells)
        counts[0] = 0
        if not counts.any():
            document.told.emit("the line crosses no cell")
            return
        document.do(operations.split, int(counts.argmax()), line)
