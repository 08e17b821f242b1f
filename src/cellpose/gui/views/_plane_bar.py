"""The bar below a volume: its planes, and the sections that are seen."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSlider, QWidget

from cellpose.gui.controllers._session import Session
from cellpose.gui.model._view import LAYOUTS
from cellpose.gui.views._pointing import wheel_steps
from cellpose.gui.views.panels._bound import choice_box, number_box

__all__ = ["PlaneBar"]

_SLIDER, _BOX = 80, 64  # pixels of the screen


class _Slider(QSlider):  # type: ignore[misc]
    """A step of the wheel is one plane."""

    def __init__(self, session: Session) -> None:
        super().__init__(Qt.Orientation.Horizontal)
        self._session = session

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Go through the planes."""
        self._session.volumes.turn(wheel_steps(event))
        event.accept()


class PlaneBar(QWidget):  # type: ignore[misc]
    """A slider and a box for the plane, and which sections are seen. Hidden for single planes.

    Parameters
    ----------
    session
        Whose volume it is.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session, view = session, session.view
        self.slider = _Slider(session)
        self.slider.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # keys go through the planes anyhow
        self.slider.setPageStep(1)
        self.slider.setAccessibleName("plane")
        self.slider.setToolTip("Page Up, Page Down, the arrows, or Shift and the wheel")
        self.slider.valueChanged.connect(lambda plane: setattr(view, "plane", plane))
        self.plane = number_box(view, "plane", 0, 0, 1, 0)
        self.last = QLabel()
        self.last.setObjectName("faint")
        self.layout_box = choice_box(LAYOUTS, view, "layout")
        self.slider.setMinimumWidth(_SLIDER)
        self.plane.setFixedWidth(_BOX)
        self.plane.setAccessibleName("plane, typed")
        self.layout_box.setAccessibleName("sections")
        whole = QHBoxLayout(self)
        whole.setContentsMargins(10, 4, 10, 4)
        whole.setSpacing(8)
        whole.addWidget(QLabel("Z"))
        whole.addWidget(self.slider, 1)
        for widget in (self.plane, self.last, self.layout_box):
            whole.addWidget(widget)
        view.events.plane.connect(lambda _: self._show_plane())
        session.opened.connect(lambda _: self._show())
        self._show()

    def _show(self) -> None:
        n = self._session.volumes.n_planes
        for box in (self.slider, self.plane):
            with QSignalBlocker(box):
                box.setRange(0, max(n - 1, 0))
        self.last.setText(f"/ {n - 1}")
        self.setVisible(n > 1)
        self._show_plane()

    def _show_plane(self) -> None:
        for box in (self.slider, self.plane):
            with QSignalBlocker(box):
                box.setValue(self._session.view.plane)
