"""Linking cells of a movie by hand: click a cell, then the same cell in the next frame, and so on."""

from __future__ import annotations

import numpy as np

from cellpose.gui._texts import tr
from cellpose.gui.controllers.tools._drag import is_click
from cellpose.gui.controllers.tools._tool import Context, PointerEvent, Preview, Tool
from cellpose.gui.model import Document
from cellpose.gui.model import _links as links

__all__ = ["Link"]


class Link(Tool):
    """A click on a cell shows the next frame, and a click there links the cell to it.

    With Shift the clicked cell is one of several daughters: the frame stays for the click on the other. A click on
    background ends the chain of links. Ctrl+click cuts the link of a cell to the earlier one.
    """

    name = "link"
    title = tr("Link through time")
    own_shift = True
    own_clicks = True
    hint = tr(
        "click: a cell, then the same one in the next frame; Shift+click: a daughter; "
        "Ctrl+click: cut; background: begin anew"
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._pressed: PointerEvent | None = None
        self.start = 0  # the cell to be linked to a later one

    def cancel(self) -> None:
        """Start over."""
        self._pressed, self.start = None, 0
        self.context.show(None)

    def let_go(self) -> None:
        """Keep the cell: the user may look elsewhere before continuing."""
        self._pressed = None

    def refresh(self) -> None:
        """Update, because the cell may be gone or another frame may be in view."""
        document = self.context.document
        if document is None or not document.labels.has(self.start):
            self.cancel()

    def handle(self, event: PointerEvent) -> bool:
        """Handle a click: a press and a release of the left button at one position."""
        document = self.context.document
        if document is None or event.alt:
            return False
        if event.kind == "move" and not event.button:
            self._show(document, event)
            return False
        if event.kind == "press" and event.button == "left":
            self._pressed = event
            return event.shift or event.ctrl
        if event.kind != "release" or event.button != "left":
            return False
        pressed, self._pressed = self._pressed, None
        if pressed is None or not is_click(pressed, event):
            return False
        if not document.is_movie:
            document.told.emit(tr("links go through the frames of a movie; open one first"))
        else:
            self._click(document, pressed)
            self._show(document, event)
        return True

    def _click(self, document: Document, event: PointerEvent) -> None:
        cell = self.context.cell_at(event)
        if event.ctrl:
            if cell:
                document.do(links.cut, [cell])
            return
        if not cell:
            self.start = 0
            return
        if self.start and document.labels.box(cell).z0 > document.labels.box(self.start).z0:
            lineage = document.lineage
            known = lineage.earlier[cell] == self.start and (event.shift or lineage.later[self.start] == 1)
            if not known and document.do(links.join, self.start, cell, divides=event.shift) is None:
                return
            if event.shift:
                return  # the other daughter is in this frame too
        self.start = cell
        document.select([cell])
        view = self.context.view
        view.plane = min(view.plane + 1, document.labels.shape[0] - 1)

    def _show(self, document: Document, event: PointerEvent) -> None:
        """Show a line from the cell in its frame to the pointer."""
        if not document.labels.has(self.start):
            self.context.show(None)
            return
        box = document.labels.box(self.start)
        middle = (box.y0 + box.y1 - 1) / 2, (box.x0 + box.x1 - 1) / 2
        self.context.show(Preview(np.array([middle, (event.y - 0.5, event.x - 0.5)])))
