"""Mouse and pen input over a view, turned into events for the tools."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QMouseEvent, QPointingDevice, QTabletEvent, QWheelEvent

from cellpose.gui.controllers._session import Session
from cellpose.gui.controllers.tools import PointerEvent
from cellpose.gui.model._sections import XY
from cellpose.gui.views._canvas import Scene

__all__ = ["Pointing", "wheel_steps"]

_BUTTONS = {
    Qt.MouseButton.LeftButton: "left",
    Qt.MouseButton.RightButton: "right",
    Qt.MouseButton.MiddleButton: "middle",
}
_ERASER = QPointingDevice.PointerType.Eraser
_KINDS = {
    QEvent.Type.MouseButtonPress: "press",
    QEvent.Type.MouseMove: "move",
    QEvent.Type.MouseButtonRelease: "release",
    QEvent.Type.MouseButtonDblClick: "press",
    QEvent.Type.TabletPress: "press",
    QEvent.Type.TabletMove: "move",
    QEvent.Type.TabletRelease: "release",
}


class Pointing(QObject):  # type: ignore[misc]
    """Offers pointer input in a view to the tools first; input that they leave pans and zooms.

    Parameters
    ----------
    session
        The session whose tools are used.
    scene
        The view.
    axis
        The axis of the section that the view shows.
    """

    def __init__(self, session: Session, scene: Scene, axis: int = XY) -> None:
        super().__init__(scene)
        self._session, self._scene, self._axis = session, scene, axis
        scene.viewport().installEventFilter(self)
        scene.viewport().setTabletTracking(True)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Pass an event to the tools."""
        session = self._session
        if isinstance(event, QWheelEvent):
            return bool(session.pointer.handle(self._wheel_event(event)) or self._turn(event))
        if event.type() == QEvent.Type.Leave:
            session.pointer.leave()
        kind = _KINDS.get(event.type())
        if kind is not None and isinstance(event, QTabletEvent):
            facts = {"pressure": event.pressure(), "eraser": event.pointerType() == _ERASER}
            taken = bool(session.pointer.handle(self._pointer_event(kind, event, **facts)))
            event.setAccepted(taken)  # Qt turns pen events that are left to the view into mouse events
            return taken
        if kind is not None and isinstance(event, QMouseEvent):
            taken = session.pointer.handle(self._pointer_event(kind, event))
            double = event.type() == QEvent.Type.MouseButtonDblClick and event.button() == Qt.MouseButton.LeftButton
            if double and not taken and session.pointer.mode == "select":
                session.fit.emit()
            return bool(taken)
        return bool(super().eventFilter(watched, event))

    def _turn(self, event: QWheelEvent) -> bool:
        """With Shift the wheel steps through the planes of a volume; return whether it did."""
        keys: Any = event.modifiers()
        if not keys & Qt.KeyboardModifier.ShiftModifier or not self._session.volumes.is_open:
            return False
        self._session.volumes.turn(wheel_steps(event))
        return True

    def _pointer_event(self, kind: str, event: QMouseEvent | QTabletEvent, **facts: Any) -> PointerEvent:
        held = next((name for button, name in _BUTTONS.items() if event.buttons() & button), "")
        return self._at(event, kind=kind, button=held if kind == "move" else _BUTTONS.get(event.button(), ""), **facts)

    def _wheel_event(self, event: QWheelEvent) -> PointerEvent:
        return self._at(event, kind="wheel", steps=wheel_steps(event))

    def _at(self, event: QMouseEvent | QWheelEvent | QTabletEvent, **facts: Any) -> PointerEvent:
        """The pointer event, with its place and the pressed modifier keys."""
        y, x = self._scene.place(event.position())
        keys: Any = event.modifiers()
        return PointerEvent(
            y=y,
            x=x,
            shift=bool(keys & Qt.KeyboardModifier.ShiftModifier),
            ctrl=bool(keys & Qt.KeyboardModifier.ControlModifier),
            alt=bool(keys & Qt.KeyboardModifier.AltModifier),
            screen=(event.position().x(), event.position().y()),
            axis=self._axis,
            **facts,
        )


def wheel_steps(event: QWheelEvent) -> float:
    """Steps of the wheel; with some modifier keys Qt reports them as sideways."""
    return float((event.angleDelta().y() or event.angleDelta().x()) / 120)
