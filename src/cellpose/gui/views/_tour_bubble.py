"""A step of the tour: a frame around a part of the window, with a few words beside it. Everything stays usable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from qtpy.QtCore import QEvent, QObject, QPoint, QRect, Qt
from qtpy.QtGui import QPainter, QPalette, QPen
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from cellpose.gui._texts import tr
from cellpose.gui.controllers._tour import STEPS, Tour
from cellpose.gui.views.panels._bound import list_keys

__all__ = ["TourBubble"]

_WIDTH, _GAP, _LINE = 320, 14, 3
_LARGE = 1 / 4  # of the window
_KEYS = Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space, Qt.Key.Key_Escape
_FOLLOWED = {QEvent.Type.Resize, QEvent.Type.Move, QEvent.Type.Show, QEvent.Type.Hide, QEvent.Type.LayoutRequest}


class _Outline(QWidget):  # type: ignore[misc]
    """A frame that lets all events through."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.hide()

    def paintEvent(self, _event: Any) -> None:
        """Draw the frame."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(self.palette().color(QPalette.ColorRole.Highlight), _LINE))
        painter.drawRoundedRect(self.rect().adjusted(_LINE, _LINE, -_LINE, -_LINE), 6, 6)


class TourBubble(QFrame):  # type: ignore[misc]
    """Shows the steps of a tour.

    Parameters
    ----------
    tour
        The tour whose steps are shown.
    window
        The window that the bubble lies over.
    parts
        Functions that return the widget of each part, called for each step.
    """

    def __init__(self, tour: Tour, window: QWidget, parts: Mapping[str, Callable[[], QWidget]]) -> None:
        super().__init__(window)
        self._tour, self._window, self._parts = tour, window, parts
        self._part: QWidget | None = None
        self.outline = _Outline(window)
        self.setObjectName("tour")
        self.setFixedWidth(_WIDTH)
        self.count, self.title, self.text = QLabel(), QLabel(), QLabel()
        self.title.setObjectName("heading")
        self.count.setObjectName("faint")
        self.text.setWordWrap(True)
        self.skip = _button(tr("Skip the tour"), tour.end, tr("Esc; Help, Tour shows it again"))
        self.back, self.next = _button(tr("Back"), tour.back), _button(tr("Next"), tour.next, tr("Enter"))
        self._lay_out()
        window.installEventFilter(self)
        tour.changed.connect(self._show)
        self.hide()

    def _lay_out(self) -> None:
        head, foot = QHBoxLayout(), QHBoxLayout()
        head.addWidget(self.title, 1)
        head.addWidget(self.count)
        for each, stretch in ((self.skip, 0), (self.back, 0), (self.next, 0)):
            foot.addWidget(each, stretch)
        foot.insertStretch(1, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(14, 12, 14, 12)
        layout.setSpacing(8)
        layout.addLayout(head)
        layout.addWidget(self.text)
        layout.addLayout(foot)

    def _show(self, place: int | None) -> None:
        """Show a step; None: hide."""
        had_keys = self.isAncestorOf(self._window.focusWidget()) if self._window.focusWidget() else False
        if self._part is not None:
            self._part.removeEventFilter(self)
        for widget in (self, self.outline):
            widget.setVisible(place is not None)
        if place is None:
            if had_keys:
                self._parts["image"]().setFocus()
            return
        step = STEPS[place]
        self._part = self._parts[step.part]()
        self._part.installEventFilter(self)
        self.title.setText(step.title)
        self.text.setText(step.text)
        self.count.setText(tr("{number} of {n}", number=place + 1, n=len(STEPS)))
        self.setAccessibleName(f"{step.title}. {step.text}")
        self.next.setText(tr("Next") if place + 1 < len(STEPS) else tr("Done"))
        self.back.setEnabled(place > 0)
        if had_keys or place == 0:
            self.next.setFocus(Qt.FocusReason.OtherFocusReason)
        self._put()

    def _put(self) -> None:
        """Move beside the part: to its right, left, below or above; inside a large part, at its lower end."""
        if self._part is None:
            return
        whole = self._window.rect()
        target = QRect(self._part.mapTo(self._window, QPoint(0, 0)), self._part.size()).intersected(whole)
        self.outline.setGeometry(target.adjusted(-2 * _LINE, -2 * _LINE, 2 * _LINE, 2 * _LINE).intersected(whole))
        self.adjustSize()
        size, middle = self.size(), target.center()
        y = min(max(middle.y() - size.height() // 2, _GAP), whole.height() - size.height() - _GAP)
        x = min(max(middle.x() - size.width() // 2, _GAP), whole.width() - size.width() - _GAP)
        places = (
            QPoint(target.right() + _GAP, y),
            QPoint(target.left() - _GAP - size.width(), y),
            QPoint(x, target.bottom() + _GAP),
            QPoint(x, target.top() - _GAP - size.height()),
        )
        large = target.width() * target.height() > _LARGE * whole.width() * whole.height()
        fitting = [] if large else [place for place in places if whole.contains(QRect(place, size))]
        inside = QPoint(x, min(target.bottom(), whole.bottom()) - size.height() - 2 * _GAP)
        self.move(fitting[0] if fitting else inside)
        self.outline.raise_()
        self.raise_()

    def keyPressEvent(self, event: Any) -> None:
        """Enter continues, Escape ends the tour."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._tour.next()
        elif event.key() == Qt.Key.Key_Escape:
            self._tour.end()
        else:
            super().keyPressEvent(event)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Follow the window and the part."""
        if self.isVisible() and event.type() in _FOLLOWED:
            self._put()
        return bool(super().eventFilter(watched, event))


def _button(text: str, run: Callable[[], object], hint: str = "") -> QPushButton:
    made = QPushButton(text)
    list_keys(made, *_KEYS)  # elsewhere these keys are commands of the window
    made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    made.setToolTip(hint)
    made.clicked.connect(lambda: run())
    return made
