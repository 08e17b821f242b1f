"""The bar below a volume or a movie: its planes and visible sections, or its frames, which can play."""

from __future__ import annotations

import qtawesome
from qtpy.QtCore import QSignalBlocker, Qt, QTimer
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QSlider, QToolButton, QWidget

from cellpose.gui._texts import tr
from cellpose.gui.controllers._session import Session
from cellpose.gui.model._view import LAYOUTS
from cellpose.gui.views._pointing import wheel_steps
from cellpose.gui.views.panels._bound import choice_box, number_box, own_keys

__all__ = ["PlaneBar"]

_SLIDER, _BOX = 80, 64  # screen pixels
_GRAY = "#8a8f98"
_AXES = {"Z": tr("Z planes"), "T": tr("T frames")}


class _Slider(QSlider):  # type: ignore[misc]
    """A slider on which one wheel step is one plane."""

    def __init__(self, session: Session) -> None:
        super().__init__(Qt.Orientation.Horizontal)
        self._session = session

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Step through the planes."""
        self._session.volumes.turn(wheel_steps(event))
        event.accept()


class PlaneBar(QWidget):  # type: ignore[misc]
    """A slider and a box for the plane or frame, and the choice of the stack's axis. Hidden for single planes.

    Parameters
    ----------
    session
        The session whose volume or movie is shown.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session, view = session, session.view
        self._build_axis()
        self.slider = _Slider(session)
        self.slider.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # keys step through the planes anyway
        self.slider.setPageStep(1)
        self.slider.setAccessibleName(tr("plane"))
        self.slider.setToolTip(tr("Page Up, Page Down, the arrows, or Shift and the wheel"))
        self.slider.valueChanged.connect(lambda plane: setattr(view, "plane", plane))
        self.plane = number_box(view, "plane", 0, 0, 1, 0)
        self.last = QLabel()
        self.last.setObjectName("faint")
        self.layout_box = choice_box(LAYOUTS, view, "layout")
        self.slider.setMinimumWidth(_SLIDER)
        self.plane.setFixedWidth(_BOX)
        self.plane.setAccessibleName(tr("plane, typed"))
        self.layout_box.setAccessibleName(tr("sections"))
        self._build_time()
        whole = QHBoxLayout(self)
        whole.setContentsMargins(10, 4, 10, 4)
        whole.setSpacing(8)
        whole.addWidget(self.axis)
        whole.addWidget(self.play)
        whole.addWidget(self.slider, 1)
        for widget in (self.plane, self.last, self.seconds, self.speed, self.layout_box):
            whole.addWidget(widget)
        view.events.plane.connect(lambda _: self._show_plane())
        session.opened.connect(lambda _: self._show())
        self._show()

    def _build_axis(self) -> None:
        self.axis = QComboBox()
        own_keys(self.axis)
        self.axis.addItems(list(_AXES.values()))
        self.axis.setAccessibleName(tr("what the planes of the file are"))
        self.axis.setToolTip(tr("planes of a volume, one above the other, or frames of a movie, one after the other"))
        self.axis.activated.connect(lambda place: self._choose_axis("ZT"[place]))

    def _build_time(self) -> None:
        session, view = self._session, self._session.view
        self.play = QToolButton()
        self.play.setAutoRaise(True)
        self.play.setToolTip(tr("play, or stop (O)"))
        self.play.setAccessibleName(tr("play"))
        own_keys(self.play)
        self.play.clicked.connect(lambda: session.movies.play())
        self.seconds = QLabel()
        self.seconds.setObjectName("faint")
        self.speed = number_box(view, "frames_per_s", 0.5, 60, 1, 1)
        self.speed.setSuffix(" /s")
        self.speed.setFixedWidth(_BOX + 16)
        self.speed.setAccessibleName(tr("frames per second"))
        self.speed.setToolTip(tr("frames per second while the movie plays"))
        self._clock = QTimer(self)
        self._clock.timeout.connect(lambda: session.movies.advance())
        view.events.playing.connect(lambda _: self._show_playing())
        view.events.frames_per_s.connect(lambda _: self._show_playing())
        self._show_playing()

    def _choose_axis(self, axis: str) -> None:
        """Reopen the file with this stack axis, unless it is shown that way already."""
        if (axis == "T") is not self._session.movies.is_open:
            self._session.movies.toggle()
        self._show()  # also if that failed

    def _show(self) -> None:
        session = self._session
        n, is_movie = session.volumes.n_planes, session.movies.is_open
        for box in (self.slider, self.plane):
            with QSignalBlocker(box):
                box.setRange(0, max(n - 1, 0))
        document = session.document
        self.axis.setCurrentText(_AXES["T" if is_movie else "Z"])
        self.axis.setEnabled(document is not None and document.path is not None)
        self.last.setText(f"/ {n - 1}")
        for widget in (self.play, self.speed, self.seconds):
            widget.setVisible(is_movie)
        self.layout_box.setVisible(not is_movie)
        what = tr("frame") if is_movie else tr("plane")
        self.slider.setAccessibleName(what)
        self.plane.setAccessibleName(tr("{what}, typed", what=what))
        self.setVisible(n > 1)
        self._show_plane()

    def _show_plane(self) -> None:
        document, plane = self._session.document, self._session.view.plane
        for box in (self.slider, self.plane):
            with QSignalBlocker(box):
                box.setValue(plane)
        interval = None if document is None else document.interval_s
        self.seconds.setText("" if interval is None else _in_words(plane * interval))

    def _show_playing(self) -> None:
        view = self._session.view
        self.play.setIcon(qtawesome.icon("mdi6.pause" if view.playing else "mdi6.play", color=_GRAY))
        self._clock.setInterval(round(1000 / view.frames_per_s))
        if view.playing:
            self._clock.start()
        else:
            self._clock.stop()


def _in_words(seconds: float) -> str:
    """A time since the first frame."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
