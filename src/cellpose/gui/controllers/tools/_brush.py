"""A round brush that adds to a cell, makes a new one, or erases."""

from __future__ import annotations

import numpy as np

from cellpose.errors import EditRefusedError
from cellpose.gui.controllers.tools._tool import Context, PointerEvent, Preview, Tool, pixel
from cellpose.gui.model import _operations as operations
from cellpose.gui.model._strokes import painted

__all__ = ["Brush", "Eraser"]

_SIZES = (1, 201)  # pixels


class Brush(Tool):
    """Paints while the left button is held. The cell under the start of the stroke grows; on background one begins.

    With Alt it erases from that cell. The wheel with Ctrl changes its size.
    """

    name = "brush"
    title = "Brush"
    hint = "drag: add to the cell under the start, or draw a new one; Alt: erase; Ctrl+wheel: size"
    erases = False

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._stroke: list[tuple[float, float]] = []
        self._cell = 0
        self._erasing = False

    @property
    def is_busy(self) -> bool:
        """Whether a stroke is open."""
        return bool(self._stroke)

    def cancel(self) -> None:
        """Give up the stroke."""
        self._stroke = []
        self.context.show(None)

    def handle(self, event: PointerEvent) -> bool:
        """Paint from press to release; elsewhere a ring shows the size."""
        if event.kind == "wheel" and event.ctrl:
            size = self.context.view.brush + (2 if event.steps > 0 else -2)
            self.context.view.brush = min(max(size, _SIZES[0]), _SIZES[1])
            self._show(event)
            return True
        if event.kind == "press" and event.button == "left":
            return self._press(event)
        if event.kind == "move":
            if self._stroke:
                self._stroke.append((event.y - 0.5, event.x - 0.5))
            self._show(event)
            return bool(self._stroke)
        if event.kind == "release" and event.button == "left" and self._stroke:
            self._release()
            return True
        return False

    def _press(self, event: PointerEvent) -> bool:
        document = self.context.document
        if document is None or event.shift or event.ctrl:
            return False
        self._cell = document.labels.at(self.context.view.plane, *pixel(event))
        self._erasing = self.erases != event.alt
        self._stroke = [(event.y - 0.5, event.x - 0.5)]
        self._show(event)
        return True

    def _show(self, event: PointerEvent) -> None:
        points = self._stroke or [(event.y - 0.5, event.x - 0.5)]
        self.context.show(Preview(np.array(points), self.context.view.brush))

    def _release(self) -> None:
        document, view = self.context.document, self.context.view
        points, self._stroke = np.array(self._stroke), []
        self.context.show(None)
        if document is None:
            return
        try:
            box, mask = painted(points, view.brush, document.labels.shape, view.plane)
        except EditRefusedError as refused:
            document.told.emit(str(refused))
            return
        if self._erasing:
            document.do(operations.erase, box, mask, self._cell or None)
        elif self._cell:
            document.do(operations.add_to_cell, self._cell, box, mask)
        else:
            document.do(operations.add_cell, box, mask)


class Eraser(Brush):
    """The brush that erases: from the cell under the start of the stroke or, begun on background, from all."""

    name = "eraser"
    title = "Eraser"
    hint = "drag: erase from the cell under the start, or from all; Alt: add; Ctrl+wheel: size"
    erases = True
