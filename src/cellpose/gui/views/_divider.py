"""The image and its restored version side by side: a divider that is dragged across the view."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QObject, QPointF, Qt
from qtpy.QtGui import QColor, QMouseEvent, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QSlider

from cellpose.gui._texts import tr
from cellpose.gui.controllers._session import Session
from cellpose.gui.model import Document
from cellpose.gui.views._canvas import RenderSettings, Scene
from cellpose.gui.views._renderer import render_settings
from cellpose.gui.views.panels._bound import own_keys

__all__ = ["Divider"]

_WIDTH, _KNOB = 24, 11  # screen pixels
_STEPS = 1000
_LINE, _SHADE, _FOCUS = QColor("#ffffff"), QColor(0, 0, 0, 150), QColor("#3d7bd9")


class Divider(QSlider):  # type: ignore[misc]
    """Left of it is the image, right of it the output of a filter or a network. For the keyboard it is a slider.

    Parameters
    ----------
    session
        The session whose images are compared.
    scene
        The view that the divider lies over.
    """

    def __init__(self, session: Session, scene: Scene) -> None:
        super().__init__(Qt.Orientation.Horizontal, scene.viewport())
        self._session, self._scene = session, scene
        self._document: Document | None = None
        self.setRange(0, _STEPS)
        self.setSingleStep(_STEPS // 100)
        self.setPageStep(_STEPS // 10)
        own_keys(self, Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.SplitHCursor)
        self.setToolTip(tr("drag it: left the image, right what was restored (Alt+Left, Alt+Right)"))
        self.setAccessibleName(tr("divider between the image and the restored one"))
        self.valueChanged.connect(lambda value: setattr(session.view, "divider", value / _STEPS))
        session.opened.connect(self._open)
        for event in (session.view.events.compare, session.view.events.view, session.view.events.divider):
            event.connect(lambda _: self.follow())
        scene.viewport().installEventFilter(self)
        self.hide()

    def settings(self, document: Document, side: str) -> RenderSettings:
        """What is drawn of a document on one side of the divider, ``"image"`` or ``"restored"``."""
        restored = document.restored if side == "restored" else None
        picture = document.picture if restored is None else restored.picture
        return render_settings(document, self._session.view, side=(side, self._session.levels_of(picture)))

    def main(self, document: Document) -> RenderSettings:
        """What is drawn across the whole view, below the other side in a comparison."""
        if self._session.compares:
            return self.settings(document, "image")
        return render_settings(document, self._session.view)

    def follow(self) -> None:
        """Move to where the view state says, or hide if nothing is compared."""
        document, around = self._document, self.parentWidget()
        on = self._session.compares and document is self._session.document and document is not None
        if on and document is not None:
            x = round(self._session.view.divider * around.width())
            self.setGeometry(x - _WIDTH // 2, 0, _WIDTH, around.height())
            self._scene.after.begins = x
            if self._scene.after.size is None:
                self._scene.after.show(lambda: self.settings(document, "restored"), document.picture.shape[1:])
            self._scene.after.update()
            self.blockSignals(True)
            self.setValue(round(self._session.view.divider * _STEPS))
            self.blockSignals(False)
        elif self._scene.after.size is not None:
            self._scene.after.show(None)
        self.setVisible(on)
        self.raise_()

    def refresh(self) -> None:
        """Redraw, because the picture, the cells or their colors have changed."""
        self._scene.after.refresh()

    def _open(self, document: Document | None) -> None:
        self._document = document
        self._scene.after.show(None)
        if document is not None:
            document.restored_changed.connect(lambda: self.follow())
        self.follow()

    def paintEvent(self, _event: Any) -> None:
        """Draw a line with a knob."""
        painter, middle = QPainter(self), self.width() / 2
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for color, thick in ((_SHADE, 4.0), (_FOCUS if self.hasFocus() else _LINE, 1.6)):  # visible on light and dark
            painter.setPen(QPen(color, thick))
            painter.drawLine(QPointF(middle, 0), QPointF(middle, self.height()))
        centre = QPointF(middle, self.height() / 2)
        painter.setBrush(_SHADE)
        painter.drawEllipse(centre, _KNOB, _KNOB)
        painter.setBrush(_LINE)
        painter.setPen(Qt.PenStyle.NoPen)
        for way in (-1, 1):
            tip, tail = centre + QPointF(way * 8, 0), centre + QPointF(way * 3, 0)
            painter.drawPolygon(QPolygonF([tip, tail + QPointF(0, -4), tail + QPointF(0, 4)]))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Start the drag."""
        self._drag(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Follow the pointer while a button is held."""
        if event.buttons():
            self._drag(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Accept the event, so that the image does not see a click."""
        event.accept()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Move to the middle."""
        event.accept()
        self._session.view.divider = 0.5

    def _drag(self, event: QMouseEvent) -> None:
        event.accept()
        around = self.parentWidget()
        place = around.mapFromGlobal(event.globalPosition().toPoint()).x()
        self._session.view.divider = min(max(place / max(around.width(), 1), 0.0), 1.0)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Follow the size of the view."""
        if event.type() == QEvent.Type.Resize and watched is self.parentWidget():
            self.follow()
        return bool(super().eventFilter(watched, event))
