"""The yellow rectangle that selects cells to remove."""

from __future__ import annotations

from typing import Any

import pyqtgraph as pg
from qtpy.QtCore import QEvent, QObject, QSignalBlocker, Qt

from cellpose.gui.controllers._session import Session
from cellpose.gui.model._regions import Rectangle
from cellpose.gui.views._canvas import Scene
from cellpose.gui.views._key_cursor import WAYS, keep_in_view

__all__ = ["Region"]

_YELLOW, _LIGHT = "#ffe000", "#fff3a0"
_Modifier = Qt.KeyboardModifier


class Region(pg.RectROI):  # type: ignore[misc]
    """Drag its inside to move it, its corners to resize it; the arrow keys do the same.

    Parameters
    ----------
    session
        Its tool for removing cells receives the place of the region, and signals when the region is shown.
    scene
        The view that it is drawn in, and that has the focus while it is shown.
    """

    def __init__(self, session: Session, scene: Scene) -> None:
        pens = {"pen": pg.mkPen(_YELLOW, width=2), "hoverPen": pg.mkPen(_LIGHT, width=3)}
        handles = {"handlePen": pg.mkPen(_YELLOW, width=2), "handleHoverPen": pg.mkPen(_LIGHT, width=3)}
        super().__init__((0, 0), (1, 1), **pens, **handles)
        for corner, opposite in (((0, 0), (1, 1)), ((0, 1), (1, 0)), ((1, 0), (0, 1))):
            self.addScaleHandle(corner, opposite)
        self._cursor, self._scene, self._tool = session.cursor, scene, session.pointer.removal
        self.setZValue(10)
        self.hide()
        scene.box.addItem(self, ignoreBounds=True)
        scene.installEventFilter(self)
        self.sigRegionChanged.connect(lambda *_: self._tell())
        self._tool.region_changed.connect(self._place)

    def eventFilter(self, watched: QObject, event: QEvent | Any) -> bool:
        """Take the arrow keys while the rectangle is shown, unless the keyboard cursor uses them."""
        pressed = event.type() in (QEvent.Type.ShortcutOverride, QEvent.Type.KeyPress)
        if not pressed or not self.isVisible() or self._cursor.place is not None or event.key() not in WAYS:
            return False
        keys = event.modifiers()
        if keys & _Modifier.AltModifier:
            return False
        event.accept()
        if event.type() == QEvent.Type.KeyPress:
            far, size = bool(keys & _Modifier.ShiftModifier), bool(keys & _Modifier.ControlModifier)
            self._cursor.move_region(*WAYS[event.key()], far=far, size=size)
            self._follow(corner=size)
        return True

    def _follow(self, corner: bool) -> None:
        """Keep the middle of the rectangle in view, or the corner that was moved."""
        if self._tool.region is not None:
            y0, x0, y1, x1 = self._tool.region
            keep_in_view(self._scene, *((y1, x1) if corner else ((y0 + y1) / 2, (x0 + x1) / 2)))

    def _place(self, region: Rectangle | None) -> None:
        self.setVisible(region is not None)
        if region is not None:
            self._scene.setFocus()
            y0, x0, y1, x1 = region
            with QSignalBlocker(self):
                self.setPos((x0, y0))
                self.setSize((x1 - x0, y1 - y0))

    def _tell(self) -> None:
        (x, y), (width, height) = self.pos(), self.size()
        self._tool.set_region((min(y, y + height), min(x, x + width), max(y, y + height), max(x, x + width)))
