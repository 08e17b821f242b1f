"""Controls for drawing cells, and for removing several at once."""

from __future__ import annotations

from qtpy.QtWidgets import QGridLayout, QWidget

from cellpose.gui._texts import tr
from cellpose.gui.controllers._session import Session
from cellpose.gui.model._view import BRUSHES
from cellpose.gui.views.panels._bound import Group, button, check_box, choice_box, row
from cellpose.gui.views.panels._cells import CellLook

__all__ = ["Drawing"]


class Drawing(Group):
    """Brush, layers, strokes, and the box to delete several cells."""

    def __init__(self, session: Session) -> None:
        super().__init__(tr("Drawing"))
        self._session = session
        view, pointer = session.view, session.pointer
        self.brush = choice_box(BRUSHES, view, "brush")
        self.masks = check_box(tr("MASKS ON [X]"), view, "masks_on")
        self.outlines = check_box(tr("outlines on [Z]"), view, "outlines_on")
        self.single = check_box(tr("single stroke [A]"), view, "single_stroke")
        self.single.setToolTip(tr("on: a closed stroke is a cell; off: draw several strokes, then Enter"))
        layers = QWidget()
        grid = QGridLayout(layers)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(self.masks, 0, 0)
        grid.addWidget(self.outlines, 0, 1)
        grid.addWidget(self.single, 1, 0)
        self.preserve = check_box(tr("preserve labels"), view, "preserve")
        self.preserve.setToolTip(
            tr("on: drawing and painting leave other cells as they are; off: they take their pixels")
        )
        grid.addWidget(self.preserve, 1, 1)
        self.snap = check_box(tr("snap to flows"), view, "snap")
        self.snap.setToolTip(tr("on: a drawn outline becomes the cell that the flows tell of there"))
        self.form.addRow(tr("brush size"), row(self.brush, self.snap))
        self.form.addRow(layers)
        self.look = CellLook(session)
        self.form.addRow(self.look)
        self.click = button(tr("click-select"), lambda: session.remove_by("click"), tr("click the cells"))
        self.region = button(
            tr("region-select"),
            lambda: session.remove_by("region"),
            tr("move the yellow rectangle over the cells: drag it, or use the arrow keys"),
        )
        self.lasso = button(tr("lasso-select"), lambda: session.remove_by("lasso"), tr("drag lines around the cells"))
        self.done = button(tr("done"), pointer.finish, tr("delete the chosen cells (Enter)"))
        self.cancel = button(tr("cancel"), pointer.cancel, tr("keep all cells (Esc)"))
        for made in (self.click, self.region, self.lasso, self.done, self.cancel):
            made.setProperty("narrow", True)
        self.form.addRow(tr("delete multiple ROIs"), row(self.done, self.cancel, even=True))
        self.form.addRow(row(self.click, self.region, self.lasso, even=True))
        for signal in (pointer.mode_changed, session.opened):
            signal.connect(lambda _: self._show_state())
        self._show_state()

    def _show_state(self) -> None:
        removing, opened = self._session.removing, self._session.document is not None
        self.click.setEnabled(opened and not removing)
        self.region.setEnabled(opened)
        self.lasso.setEnabled(opened)
        self.done.setEnabled(removing)
        self.cancel.setEnabled(removing)
