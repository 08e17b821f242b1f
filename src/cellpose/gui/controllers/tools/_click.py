"""One click adds the cell predicted by the flows at that position."""

from __future__ import annotations

from cellpose.gui._texts import tr
from cellpose.gui.controllers.tools._finder import LOWEST, cell_of_volume, knows_volume
from cellpose.gui.controllers.tools._tool import Context, PointerEvent, Preview, Tool, pixel
from cellpose.gui.model import Box, Document
from cellpose.gui.model import _operations as operations
from cellpose.gui.model._box import Mask

__all__ = ["Click"]

_WHEEL = 0.5  # change of the threshold per step of the wheel
_HIGHEST = 6.0


class Click(Tool):
    """Shows the cell that a click would add under the pointer; Shift+click removes its area from existing cells.

    The wheel raises or lowers the probability threshold, so the cell shrinks or grows.
    """

    name = "click"
    title = tr("Add by click")
    own_shift = True
    in_sections = True
    hint = tr("hover: see what a click adds; wheel: smaller or larger; click: add; Shift+click: take away")

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.threshold = 0.0
        self._shown: tuple[Box, Mask] | None = None

    def cancel(self) -> None:
        """Hide the preview."""
        self._shown = None
        self.context.show(None)

    def refresh(self) -> None:
        """Drop the preview, which came from older flows."""
        self.cancel()

    def handle(self, event: PointerEvent) -> bool:
        """Follow the pointer, the wheel and the click."""
        document = self.context.document
        if document is None or event.ctrl or event.alt:
            return False
        if event.kind == "wheel" and event.shift and document.has_planes:
            return False  # the wheel goes through the planes
        if event.kind == "wheel":
            step = -_WHEEL if event.steps > 0 else _WHEEL
            self.threshold = min(max(self.threshold + step, LOWEST), _HIGHEST)
            self._hover(event)
            document.told.emit(tr("cell probability above {threshold:g}", threshold=self.threshold))
            return True
        if event.kind == "move" and not event.button:
            self._hover(event)
            return False  # a drag pans
        return event.kind == "press" and event.button == "left" and self._press(document, event)

    def _press(self, document: Document, event: PointerEvent) -> bool:
        """Add the shown cell, or remove its area."""
        if document.is_volume:
            self._add_in_volume(document, event)
            return True
        self._hover(event)
        if self._shown is None:
            return False
        box, mask = self._shown
        document.do(operations.erase, box, mask) if event.shift else document.do(operations.add_cell, box, mask)
        self.cancel()
        return True

    def _add_in_volume(self, document: Document, event: PointerEvent) -> None:
        """Find the cell at the voxel in the background, then add it, or remove its area."""
        place, flows = self.context.section.voxel(*pixel(event)), document.flows
        inside = all(0 <= at < n for at, n in zip(place, document.labels.shape, strict=True))
        if flows is None or not knows_volume(document):
            document.told.emit(tr("there are no 3D flows to find cells by; run the network in 3D first"))
            return
        if not inside:
            return

        def done(found: tuple[Box, Mask] | None) -> None:
            if document is not self.context.document or document.flows is not flows:
                return
            if found is None:
                document.told.emit(tr("the flows tell of no cell there"))
                return
            document.do(operations.erase if event.shift else operations.add_cell, *found)

        threshold, spacing = self.threshold, self.context.z_spacing()
        self.context.background(lambda: cell_of_volume(flows, place, threshold, spacing), done)

    def _hover(self, event: PointerEvent) -> None:
        document, plane = self.context.document, self.context.view.plane
        if document is not None and document.is_volume:
            return
        found = self.context.finder.at(document, plane, *pixel(event), self.threshold) if document else None
        if found is None:
            self.cancel()
            return
        self._shown = found
        box, mask = found
        self.context.show(Preview(mask=mask[0], corner=(box.y0, box.x0)))
