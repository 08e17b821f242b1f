"""The keyboard cursor on the image: its cross, and the keys it uses."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QObject, QPointF, Qt
from qtpy.QtGui import QColor, QPainterPath, QPen
from qtpy.QtWidgets import QGraphicsPathItem

from cellpose.gui.controllers._session import Session
from cellpose.gui.views._canvas import Scene

__all__ = ["WAYS", "KeyCursor", "keep_in_view"]

_Key = Qt.Key
WAYS = {_Key.Key_Up: (-1, 0), _Key.Key_Down: (1, 0), _Key.Key_Left: (0, -1), _Key.Key_Right: (0, 1)}
_ENDING = (_Key.Key_Return, _Key.Key_Enter)
_YELLOW, _BLACK = QColor("#ffd166"), QColor(0, 0, 0, 200)
_GAP, _ARM = 4, 16  # screen pixels
_MARGIN = 0.05  # of the visible part; the cursor keeps this distance from its border


class KeyCursor(QObject):  # type: ignore[misc]
    """Takes the keyboard cursor's keys from the view while the cursor is on, and draws the cursor.

    Parameters
    ----------
    session
        The session that owns the cursor.
    scene
        The view.
    """

    def __init__(self, session: Session, scene: Scene) -> None:
        super().__init__(scene)
        self._cursor, self._scene = session.cursor, scene
        self._items = []
        for color, width in ((_BLACK, 5), (_YELLOW, 2)):
            item = QGraphicsPathItem(_cross())
            pen = QPen(color, width)
            pen.setCosmetic(True)
            item.setPen(pen)
            item.setFlag(item.GraphicsItemFlag.ItemIgnoresTransformations)
            item.setZValue(20)
            item.hide()
            scene.box.addItem(item, ignoreBounds=True)
            self._items.append(item)
        scene.installEventFilter(self)
        session.cursor.changed.connect(self._show)

    def eventFilter(self, watched: QObject, event: QEvent | Any) -> bool:
        """Take the cursor's keys before they trigger commands of the window."""
        kind = event.type()
        if self._cursor.place is None or kind not in (QEvent.Type.ShortcutOverride, QEvent.Type.KeyPress):
            return bool(super().eventFilter(watched, event))
        keys = event.modifiers()
        held = {name: bool(keys & getattr(Qt.KeyboardModifier, f"{name}Modifier")) for name in ("Shift", "Control")}
        if not self._wants(event.key(), held["Control"]):
            return bool(super().eventFilter(watched, event))
        event.accept()
        if kind == QEvent.Type.KeyPress:
            self._do(event.key(), held["Shift"], held["Control"])
        return True

    def _wants(self, key: Qt.Key, ctrl: bool) -> bool:
        if key in _ENDING:
            return bool(self._cursor.is_busy and not ctrl)
        if key in (_Key.Key_Left, _Key.Key_Right):
            return not ctrl
        return key in WAYS or key == _Key.Key_Space

    def _do(self, key: Qt.Key, shift: bool, ctrl: bool) -> None:
        if key in _ENDING:
            self._cursor.finish()
        elif key == _Key.Key_Space:
            self._cursor.press(shift, ctrl)
        elif ctrl:
            self._cursor.turn(-WAYS[key][0])
        else:
            self._cursor.move(*WAYS[key], far=shift)

    def _show(self, place: tuple[int, int] | None) -> None:
        for item in self._items:
            item.setVisible(place is not None)
            if place is not None:
                item.setPos(QPointF(place[1] + 0.5, place[0] + 0.5))
        if place is not None:
            self._scene.setFocus()
            keep_in_view(self._scene, *place)


def keep_in_view(scene: Scene, y: float, x: float) -> None:
    """Center this place if it is outside the view or, in an enlarged image, near its border."""
    (x0, x1), (y0, y1) = scene.box.viewRange()
    edge_y, edge_x = _MARGIN * (y1 - y0), _MARGIN * (x1 - x0)
    if not (y0 <= y <= y1 and x0 <= x <= x1) or (
        not (y0 + edge_y <= y <= y1 - edge_y and x0 + edge_x <= x <= x1 - edge_x) and not scene.shows_all
    ):
        scene.go_to(y + 0.5, x + 0.5)


def _cross() -> QPainterPath:
    """Four arms around a gap that keeps the pixel below visible."""
    path = QPainterPath()
    for x, y in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        path.moveTo(_GAP * x, _GAP * y)
        path.lineTo(_ARM * x, _ARM * y)
    return path
