"""The bar below a volume: its planes, and the sections that are seen."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSlider, QWidget

from cellpose.gui.controllers._session import Session
from cellpose.gui.model._view import LAYOUTS
from cellpose.gui.views.panels._bound import choice_box, number_box, own_keys

__all__ = ["PlaneBar"]


class PlaneBar(QWidget):  # type: ignore[misc]
    """A slider and a box for the plane, which layout is seen, how far apart the planes are. Hidden for single planes.

    Parameters
    ----------
    session
        Whose volume it is.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session, view = session, session.view
        self.slider = QSlider(Qt.Orientation.Horizontal)
        own_keys(self.slider, Qt.FocusPolicy.NoFocus)
        self.slider.setPageStep(1)
        self.slider.setAccessibleName("plane")
        self.slider.setToolTip("Page Up, Page Down, the arrows, or Shift and the wheel")
        self.slider.installEventFilter(self)
        self.slider.valueChanged.connect(lambda plane: setattr(view, "plane", plane))
        self.plane = number_box(view, "plane", 0, 0, 1, 0)
        self.last = QLabel()
        self.last.setObjectName("faint")
        self.layout_box = choice_box(LAYOUTS, view, "layout")
        self.dz = number_box(view, "dz", 1, 100, 1, 0)
        self.dz.setToolTip("planes above and below the plane that thin slices show")
        self.aspect = number_box(view, "z_aspect", 0.01, 100, 0.5, 2)
        self.aspect.setToolTip("distance of planes in pixels, as it is shown")
        for box, width in ((self.plane, 64), (self.dz, 60), (self.aspect, 72)):
            box.setFixedWidth(width)
        for box, name in ((self.plane, "plane"), (self.layout_box, "sections"), (self.dz, "dz")):
            box.setAccessibleName(name)
        self.aspect.setAccessibleName("z-aspect")
        self._dz_label = QLabel("dz")
        whole = QHBoxLayout(self)
        whole.setContentsMargins(10, 4, 10, 4)
        whole.setSpacing(8)
        whole.addWidget(QLabel("Z"))
        whole.addWidget(self.slider, 1)
        for widget in (
            self.plane,
            self.last,
            self.layout_box,
            self._dz_label,
            self.dz,
            QLabel("z-aspect"),
            self.aspect,
        ):
            whole.addWidget(widget)
        view.events.plane.connect(lambda _: self._show_plane())
        view.events.layout.connect(lambda _: self._show_layout())
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
        self._show_layout()

    def _show_plane(self) -> None:
        for box in (self.slider, self.plane):
            with QSignalBlocker(box):
                box.setValue(self._session.view.plane)

    def _show_layout(self) -> None:
        thin = self._session.view.layout == "thin slices"
        for widget in (self._dz_label, self.dz):
            widget.setVisible(thin)
