"""The scale bar: a round length, drawn in a corner of the view."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter

from cellpose.gui.controllers._session import Session
from cellpose.gui.model._scale import in_words, round_length
from cellpose.gui.views._canvas import Scene
from cellpose.gui.views._overlay import Overlay

__all__ = ["ScaleBar"]

_SHARE, _LONGEST = 0.2, 200  # of the width of the view; in its pixels
_HEIGHT, _BAR, _PAD = 38, 5, 10
_BEHIND = QColor(0, 0, 0, 90)


class ScaleBar(Overlay):
    """Follows the zoom. Visible if the pixel size is known.

    Parameters
    ----------
    session
        The session that knows the pixel size.
    scene
        The view.
    """

    def __init__(self, session: Session, scene: Scene) -> None:
        super().__init__(scene.viewport(), session.view.scale_bar_corner)
        self._session, self._scene = session, scene
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.text, self._length = "", 0.0
        view = session.view.events
        for event in (view.scale_bar_on, view.scale_bar_color, view.scale_bar_corner):
            event.connect(lambda _: self.follow())
        view.minimap_on.connect(lambda _: self.put())
        session.scale.changed.connect(lambda: self.follow())
        scene.box.sigRangeChanged.connect(lambda *_: self.follow())

    def follow(self) -> None:
        """Update, because the zoom, the pixel size or the choices have changed."""
        pixel_um = self._session.scale.pixel_um
        self.setVisible(pixel_um is not None and self._session.view.scale_bar_on)
        if pixel_um is None or self.isHidden():
            return
        around = self.parentWidget().width()
        (x0, x1), _ = self._scene.box.viewRange()
        um_per_point = (x1 - x0) / max(around, 1) * pixel_um[1]
        um = round_length(max(min(_SHARE * around, _LONGEST), 1) * um_per_point)
        self.text, self._length = in_words(um), um / um_per_point
        width = max(self._length, self.fontMetrics().horizontalAdvance(self.text)) + 2 * _PAD
        self.corner = self._session.view.scale_bar_corner
        self.put(QSize(round(width), _HEIGHT))
        self.update()

    def paintEvent(self, _event: Any) -> None:
        """Draw the text above the bar, on a translucent background that keeps it readable on any image."""
        painter, color = QPainter(self), QColor(self._session.view.scale_bar_color)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(_BEHIND if color.lightness() > 127 else QColor(255, 255, 255, 110))
        painter.drawRoundedRect(self.rect(), 5, 5)
        painter.setBrush(color)
        left = (self.width() - self._length) / 2
        painter.drawRect(QRectF(left, self.height() - _BAR - 7, self._length, _BAR))
        painter.setPen(color)
        painter.drawText(QRectF(0, 3, self.width(), 20), Qt.AlignmentFlag.AlignCenter, self.text)
