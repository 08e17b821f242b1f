"""The look of the cells: opacity, colors, outlines."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QSlider

from cellpose.gui._texts import tr
from cellpose.gui.controllers._session import Session
from cellpose.gui.model._palettes import COLORINGS, ONE_COLOR, PALETTES
from cellpose.gui.views.panels._bound import (
    CollapsibleGroup,
    check_box,
    choice_box,
    color_button,
    number_box,
    own_keys,
    row,
)

__all__ = ["CellLook"]


class CellLook(CollapsibleGroup):
    """Rows for the masks and for the outlines."""

    def __init__(self, session: Session) -> None:
        super().__init__(tr("look of cells"))
        self._view = view = session.view
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        own_keys(self.opacity)
        self.opacity.setRange(0, 255)
        self.opacity.setValue(view.opacity)
        self.opacity.setToolTip(tr("opacity of the masks"))
        self.opacity.valueChanged.connect(lambda value: setattr(view, "opacity", value))
        view.events.opacity.connect(lambda value: self.opacity.setValue(value))
        self.coloring = choice_box(list(COLORINGS), view, "coloring")
        self.coloring.setToolTip(tr("what gives a cell its color (H: the next)"))
        self.palette_box = choice_box(PALETTES, view, "palette")
        self.palette_box.setToolTip(tr("Okabe-Ito and Tol: safe for the color-blind"))
        self.cell_color = color_button(view, "cell_color", tr("the one color of all masks"))
        self.width_box = number_box(view, "outline_width", 1, 9, 1, decimals=0)
        self.width_box.setSuffix(tr(" px"))
        self.width_box.setToolTip(tr("width of the outlines on the screen"))
        self.own = check_box(tr("as the cell"), view, "outlines_own")
        self.own.setToolTip(tr("each outline in the color of its cell"))
        self.outline_color = color_button(view, "outline_color", tr("color of all outlines"))
        self.palette_box.setAccessibleName(tr("colors of the cells"))
        self.cell_color.setAccessibleName(tr("the one color of all cells"))
        self.width_box.setAccessibleName(tr("width of the outlines"))
        self.outline_color.setAccessibleName(tr("color of the outlines"))
        self.form.addRow(tr("opacity"), self.opacity)
        self.form.addRow(tr("color by"), self.coloring)
        self.form.addRow(tr("colors"), row(self.palette_box, self.cell_color))
        self.form.addRow(tr("outlines"), row(self.width_box, self.own, self.outline_color))
        for event in (view.events.palette, view.events.coloring, view.events.outlines_own):
            event.connect(lambda _: self._show_state())
        self._show_state()

    def _show_state(self) -> None:
        """Enable a color only where it is used."""
        numbered = self._view.coloring == "number"
        self.palette_box.setEnabled(numbered)
        self.cell_color.setVisible(numbered and self._view.palette == ONE_COLOR)
        self.outline_color.setEnabled(not self._view.outlines_own)
