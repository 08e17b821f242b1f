"""A round brush that adds to a cell, makes a new one, or erases."""

from __future__ import annotations

import numpy as np

from cellpose.errors import EditRefusedError
from cellpose.gui._texts import tr
from cellpose.gui.controllers.tools._drag import Drag, Points
from cellpose.gui.controllers.tools._tool import Context, PointerEvent, Preview
from cellpose.gui.model import Box
from cellpose.gui.model import _operations as operations
from cellpose.gui.model._box import Mask
from cellpose.gui.model._sections import XY, Section
from cellpose.gui.model._strokes import painted, painted_through

__all__ = ["Brush", "Eraser"]

_SIZES = (1, 201)  # pixels


class Brush(Drag):
    """Paints while the left button is held. The cell under the start of the stroke grows; on background one begins.

    With Alt it erases from that cell. Ctrl+wheel changes its size.
    """

    name = "brush"
    title = tr("Brush")
    hint = tr("drag: add to the cell under the start, or draw a new one; Alt: erase; Ctrl+wheel: size")
    by_path = True
    in_sections = True
    erases = False

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._cell = 0
        self._sizes: list[float] = []  # brush size at each point

    def begins(self, event: PointerEvent) -> bool:
        """Whether a press starts a stroke: also with Alt, not with Shift (outline) or Ctrl (delete)."""
        if event.shift or event.ctrl or self.context.document is None:
            return False
        self._cell = self._under(event)
        self._sizes = []
        return True

    def handle(self, event: PointerEvent) -> bool:
        """Paint from press to release; elsewhere a ring shows the size."""
        if event.kind == "wheel" and event.ctrl:
            size = self.context.view.brush + (2 if event.steps > 0 else -2)
            self.context.view.brush = min(max(size, _SIZES[0]), _SIZES[1])
            self.moved(event)
            return True
        if super().handle(event):
            return True
        if event.kind == "move":
            self.moved(event)
        return False

    def moved(self, event: PointerEvent) -> None:
        """Show the stroke, or the size of the brush."""
        points = self.path if self.is_busy else np.array([(event.y - 0.5, event.x - 0.5)])
        size = self._size(event)
        new = len(points) - len(self._sizes)
        self._sizes = [*self._sizes, *[size] * new] if new > 0 else self._sizes[: len(points)]
        width = self._sizes[-1] if self.is_busy else size
        self.context.show(Preview(points, width))

    def done(self, path: Points, pressed: PointerEvent, released: PointerEvent) -> None:
        """Change the cell where the stroke began, if it still exists."""
        document, view = self.context.document, self.context.view
        if document is None:
            return
        try:
            sizes = np.array(self._sizes[: len(path)]) if view.pressure else view.brush
            section = self.context.section
            box, mask = section.lift(*self._painting(path, sizes, section.shape(document.labels.shape), section))
        except EditRefusedError as refused:
            document.told.emit(str(refused))
            return
        cell = self._cell if document.labels.has(self._cell) else self._under(pressed)
        if self.erases != pressed.alt:
            document.do(operations.erase, box, mask, cell or None)
        elif cell:
            document.do(operations.add_to_cell, cell, box, mask, over_others=not view.preserve)
        else:
            document.do(operations.add_cell, box, mask, over_others=not view.preserve)

    def _painting(
        self, path: Points, sizes: float | Points, shape: tuple[int, ...], section: Section
    ) -> tuple[Box, Mask]:
        """The area covered by the brush, as displayed."""
        view, document = self.context.view, self.context.document
        if view.ball and document is not None and document.is_volume:
            spacing = view.z_aspect if section.axis == XY else 1.0
            return painted_through(path, sizes, shape, section.place, spacing)
        return painted(path, sizes, shape, section.place)

    def _size(self, event: PointerEvent) -> float:
        """Size of the brush, by the pressure of the pen if that is on."""
        view = self.context.view
        return max(1.0, view.brush * event.pressure) if view.pressure and self.is_busy else view.brush

    def _under(self, event: PointerEvent) -> int:
        return self.context.cell_at(event)


class Eraser(Brush):
    """The brush that erases: from the cell under the start of the stroke or, begun on background, from all."""

    name = "eraser"
    title = tr("Eraser")
    hint = tr("drag: erase from the cell under the start, or from all; Alt: add; Ctrl+wheel: size")
    erases = True
