"""How cells are drawn."""

from __future__ import annotations

from cellpose.gui.controllers._session import Session
from cellpose.gui.model._view import BRUSHES
from cellpose.gui.views.panels._bound import Group, check_box, choice_box

__all__ = ["Drawing"]


class Drawing(Group):
    """Brush, layers, strokes."""

    def __init__(self, session: Session) -> None:
        super().__init__("Drawing")
        view = session.view
        self.brush = choice_box(BRUSHES, view, "brush")
        self.masks = check_box("MASKS ON [X]", view, "masks_on")
        self.outlines = check_box("outlines on [Z]", view, "outlines_on")
        self.single = check_box("single stroke", view, "single_stroke")
        self.form.addRow("brush size", self.brush)
        for box in (self.masks, self.outlines, self.single):
            self.form.addRow(box)
