"""Choosing several cells by clicks, a rectangle or lassos, and removing them together."""

from __future__ import annotations

import numpy as np
from psygnal import Signal

from cellpose.gui._texts import tr
from cellpose.gui.controllers.tools._drag import is_click
from cellpose.gui.controllers.tools._tool import Context, PointerEvent, Preview, Tool, pixel
from cellpose.gui.model import _operations as operations
from cellpose.gui.model._regions import Rectangle, cells_inside, cells_touched

__all__ = ["RemoveMany"]


class RemoveMany(Tool):
    """A click adds or drops a cell, a rectangle adds all cells it touches, a lasso those inside it.

    Enter removes the chosen cells, Escape keeps them.

    Attributes
    ----------
    region_changed : Signal(object)
        The `Rectangle` to show, or None.
    by_lasso
        Whether a drag draws a lasso; else it pans.
    """

    name = "remove"
    title = tr("Delete several cells")
    hint = tr(
        "click: choose a cell, or not; drag: move the rectangle or its corners, or draw a lasso; "
        "arrow keys: move the rectangle; Shift+arrow keys: move it farther; "
        "Ctrl+arrow keys: change the size of the rectangle; Enter: delete the chosen cells; Esc: keep all"
    )
    modal = True
    region_changed = Signal(object)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._picked: set[int] = set()
        self._touched: set[int] = set()
        self._pressed: PointerEvent | None = None
        self._lasso: list[tuple[float, float]] = []
        self._dragged = False
        self.region: Rectangle | None = None
        self.by_lasso = False

    @property
    def is_busy(self) -> bool:
        """Whether a lasso is being drawn."""
        return bool(self._lasso)

    @property
    def hint_now(self) -> str:
        """How to choose now: by the rectangle, by lassos, or by clicks."""
        if self.region is not None:
            return tr(
                "arrow keys or drag: move the rectangle (Shift: farther; Ctrl: change its size); "
                "Enter: delete; Esc: keep all"
            )
        if self.by_lasso:
            return tr("drag a line around cells, or click them; Enter: delete; Esc: keep all")
        return tr("click: choose a cell, or not; Enter: delete; Esc: keep all")

    @property
    def chosen(self) -> set[int]:
        """Numbers of the chosen cells."""
        return self._picked | self._touched

    def show_region(self, seen: Rectangle) -> None:
        """Show a rectangle in the middle of the view, half its height and width."""
        self.by_lasso = False
        y0, x0, y1, x1 = seen
        quarter_y, quarter_x = (y1 - y0) / 4, (x1 - x0) / 4
        self.region = (y0 + quarter_y, x0 + quarter_x, y1 - quarter_y, x1 - quarter_x)
        self.region_changed.emit(self.region)
        self.set_region(self.region)

    def set_region(self, region: Rectangle) -> None:
        """Update the choice after the rectangle was moved or resized."""
        self.region = region
        document = self.context.document
        if document is not None:
            self._touched = cells_touched(document.labels, self.context.view.plane, region)
            document.select(self.chosen)

    def move_region(self, down: float, right: float, size: bool = False) -> None:
        """Move the rectangle by some pixels, or only its last row and column; part of it stays in the image."""
        document = self.context.document
        if self.region is None or document is None:
            return
        _, height, width = document.labels.shape
        y0, x0, y1, x1 = self.region
        if size:
            y1 = max(min(y1 + down, max(y1, height)), y0 + 1)
            x1 = max(min(x1 + right, max(x1, width)), x0 + 1)
        else:
            down = min(max(down, 1 - y1), height - 1 - y0)
            right = min(max(right, 1 - x1), width - 1 - x0)
            y0, x0, y1, x1 = y0 + down, x0 + right, y1 + down, x1 + right
        self.set_region((y0, x0, y1, x1))
        self.region_changed.emit(self.region)

    def use_lasso(self) -> None:
        """Let drags draw lassos until another way of choosing is used; cells under the rectangle stay chosen."""
        self._picked |= self._touched
        self._touched = set()
        self._hide_region()
        self.by_lasso = True

    def refresh(self) -> None:
        """Update after the labels changed: removed cells are no longer chosen, even if they come back."""
        document = self.context.document
        if document is not None and self.chosen:
            self._picked = {cell for cell in self._picked if document.labels.has(cell)}
            self._touched = {cell for cell in self._touched if document.labels.has(cell)}

    def handle(self, event: PointerEvent) -> bool:
        """Choose by clicks, and by drags if they are lassos; other drags are left to the rectangle and the view."""
        if event.kind == "move" and self._lasso:
            if event.button != "left":  # the release went to another window
                return self._release(event)
            self._dragged = self._dragged or self._pressed is None or not is_click(self._pressed, event)
            self._lasso.append((event.y - 0.5, event.x - 0.5))
            self.context.show(Preview(np.array(self._lasso), closed=True))
            return True
        if event.button != "left":
            return event.button == "right"
        if event.kind == "press":
            self._pressed, self._dragged = event, False
            self._lasso = [(event.y - 0.5, event.x - 0.5)] if self.by_lasso else []
            return self.by_lasso
        if event.kind == "release" and self._pressed is not None:
            return self._release(event)
        return False

    def let_go(self) -> None:
        """Drop the lasso being drawn; chosen cells stay chosen."""
        self._pressed, self._lasso = None, []
        self.context.show(None)

    def cancel(self) -> None:
        """Keep all cells and clear the choice."""
        chosen = self.chosen
        self._forget()
        if self.context.document is not None and chosen:
            self.context.document.select([])

    def finish(self) -> None:
        """Remove the chosen cells."""
        document, chosen = self.context.document, sorted(self.chosen)
        self._forget()
        if document is not None and chosen:
            self.context.change(document, operations.delete, chosen)

    def _release(self, event: PointerEvent) -> bool:
        document, pressed, line = self.context.document, self._pressed, np.array(self._lasso)
        self.let_go()
        if document is None or pressed is None:
            return False
        if is_click(pressed, event) and not self._dragged:
            self._click(pressed)
        elif len(line):
            self._picked |= cells_inside(document.labels, self.context.view.plane, line)
            document.select(self.chosen)
        return self.by_lasso

    def _click(self, event: PointerEvent) -> None:
        document = self.context.document
        cell = document.labels.at(self.context.view.plane, *pixel(event)) if document else 0
        if document is None or not cell:
            return
        if cell in self.chosen:
            self._picked.discard(cell)
            self._touched.discard(cell)
        else:
            self._picked.add(cell)
        document.select(self.chosen)

    def _forget(self) -> None:
        self._picked, self._touched, self.by_lasso = set(), set(), False
        self.let_go()
        self._hide_region()

    def _hide_region(self) -> None:
        if self.region is not None:
            self.region = None
            self.region_changed.emit(None)
