"""A click gives a cell a class."""

from __future__ import annotations

from cellpose.gui._texts import tr
from cellpose.gui.controllers.tools._select import Select
from cellpose.gui.controllers.tools._tool import Context, PointerEvent
from cellpose.gui.model._marks import set_class

__all__ = ["Classify"]


class Classify(Select):
    """Clicks give the class chosen by a digit; with keys held, clicks work as usual, and drags pan."""

    name = "classify"
    own_clicks = True
    hint = tr("click: give the class; a digit: another class, 0: none; Esc: end")

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.use(0, tr("no class"))

    def use(self, kind: int, called: str) -> None:
        """Assign this class from now on."""
        self.kind, self.title = kind, f"{kind}: {called}" if kind else called

    def _click(self, event: PointerEvent) -> None:
        document = self.context.document
        if document is None or event.ctrl or event.alt or event.shift:
            super()._click(event)
            return
        cell = self.context.cell_at(event)
        if cell and document.labels.table["kind"][cell] != self.kind:
            document.do(set_class, [cell], self.kind)
