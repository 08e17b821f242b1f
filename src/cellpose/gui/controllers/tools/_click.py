"""One click adds the cell that the flows tell of at that place."""

from __future__ import annotations

from typing import Any

import numpy as np

from cellpose.dynamics import CellFinder
from cellpose.gui.controllers.tools._tool import Context, PointerEvent, Preview, Tool, pixel
from cellpose.gui.model import Box
from cellpose.gui.model import _operations as operations

__all__ = ["Click"]

_WHEEL = 0.5  # change of the threshold per step of the wheel
_LOWEST, _HIGHEST = -6.0, 6.0


class Click(Tool):
    """Shows under the pointer what a click would add; Shift+click takes it away from the cells there.

    The wheel raises and lowers the threshold of the probability, so that the cell shrinks and grows.
    """

    name = "click"
    title = "Add by click"
    own_shift = True
    hint = "hover: see what a click adds; wheel: smaller or larger; click: add; Shift+click: take away"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.threshold = 0.0
        self._finder: tuple[Any, CellFinder] | None = None
        self._shown: tuple[Box, Any] | None = None

    def cancel(self) -> None:
        """Show nothing more."""
        self._shown = None
        self.context.show(None)

    def refresh(self) -> None:
        """What was shown came from other flows."""
        self.cancel()

    def handle(self, event: PointerEvent) -> bool:
        """Follow the pointer, the wheel and the click."""
        document = self.context.document
        if document is None or event.ctrl or event.alt:
            return False
        if event.kind == "wheel":
            step = -_WHEEL if event.steps > 0 else _WHEEL
            self.threshold = min(max(self.threshold + step, _LOWEST), _HIGHEST)
            self._hover(event)
            document.told.emit(f"cell probability above {self.threshold:g}")
            return True
        if event.kind == "move" and not event.button:
            self._hover(event)
            return False  # a drag pans
        if event.kind == "press" and event.button == "left":
            self._hover(event)
            if self._shown is None:
                return False
            box, mask = self._shown
            document.do(operations.erase, box, mask) if event.shift else document.do(operations.add_cell, box, mask)
            self.cancel()
            return True
        return False

    def _hover(self, event: PointerEvent) -> None:
        finder = self._finder_of_flows()
        found = finder and finder.at(*pixel(event), self.threshold)
        if not found:
            self.cancel()
            return
        (top, left), mask = found
        plane = self.context.view.plane
        self._shown = Box(plane, plane + 1, top, top + len(mask), left, left + mask.shape[1]), mask[None]
        self.context.show(Preview(mask=mask, corner=(top, left)))

    def _finder_of_flows(self) -> CellFinder | None:
        """Made anew when the flows are others; None where there are none of the size of the image."""
        document = self.context.document
        flows = document.flows if document else None
        if document is None or flows is None or flows.dP is None or flows.cellprob is None:
            return None
        if self._finder is None or self._finder[0] is not flows:
            dP, cellprob = np.asarray(flows.dP), np.asarray(flows.cellprob)
            if cellprob.ndim != 2 or cellprob.shape != document.labels.shape[1:]:
                return None
            self._finder = (flows, CellFinder(dP, cellprob, lowest=_LOWEST))
        return self._finder[1]
