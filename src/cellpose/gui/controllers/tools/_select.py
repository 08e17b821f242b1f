"""Selecting with the left button; Ctrl removes a cell, Alt merges it into the selected one.

Shift with the left button begins an outline, so Ctrl+Shift extends and reduces the selection.
"""

from __future__ import annotations

from cellpose.gui._texts import tr
from cellpose.gui.controllers.tools._drag import is_click
from cellpose.gui.controllers.tools._tool import Context, PointerEvent, Tool, pixel
from cellpose.gui.model import Document
from cellpose.gui.model import _operations as operations

__all__ = ["Select"]


class Select(Tool):
    """Clicks on cells. Drags are left to the view, which pans."""

    name = "select"
    in_sections = True
    title = tr("Select")
    hint = tr(
        "click: select; Ctrl+Shift+click: add or remove one; Ctrl+click: delete; Alt+click: merge into the selected"
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._pressed: PointerEvent | None = None

    def cancel(self) -> None:
        """Forget the press."""
        self._pressed = None

    def handle(self, event: PointerEvent) -> bool:
        """Handle a click: a press and a release of the left button at one position."""
        if event.kind == "press" and event.button == "left":
            self._pressed = event
            return event.ctrl or event.alt  # without keys, a drag pans
        if event.kind != "release" or event.button != "left":
            return False
        pressed, self._pressed = self._pressed, None
        if pressed is None or not is_click(pressed, event):
            return False
        self._click(pressed)
        return pressed.ctrl or pressed.alt

    def _click(self, event: PointerEvent) -> None:
        document, view = self.context.document, self.context.view
        if document is None:
            return
        visible = view.masks_on or view.outlines_on
        cell = self.context.cell_at(event) if visible else 0
        cell = 0 if view.isolated and cell not in view.isolated else cell
        if event.ctrl and event.shift:
            document.select(document.selection ^ {cell})
        elif event.ctrl:
            if cell:
                document.do(operations.delete, [cell])
        elif event.alt:
            chosen = sorted(document.selection - {cell})
            if cell and chosen:
                document.do(operations.merge, [*chosen, cell])
                document.select(chosen[:1])
        else:
            self._move_cross(document, event)
            document.select([] if document.selection == {cell} else [cell])

    def _move_cross(self, document: Document, event: PointerEvent) -> None:
        """Move the cross-hairs of a volume to the click."""
        place = self.context.section.voxel(*pixel(event))
        if not document.is_volume or any(not 0 <= at < n for at, n in zip(place, document.labels.shape, strict=True)):
            return
        view, (z, y, x) = self.context.view, place
        view.plane, view.cross = z, (y, x)
