"""The minimap: all of a large image, with the part that is seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtGui import QColor, QImage, QMouseEvent, QPainter, QPen

from cellpose.gui.controllers._session import Session
from cellpose.gui.model._overview import samples
from cellpose.gui.views._canvas import Picturing, Scene, rendered
from cellpose.gui.views._overlay import Overlay

__all__ = ["Minimap"]

_LONGEST = 180
_FRAME = QColor("#ffd166")
_UNDER = QColor(0, 0, 0, 150)
_LINE = QColor(255, 255, 255, 120)
_LOOKED_AT = 0x603FB27F  # 0xAARRGGBB
_SEEN_ALL = 0.999  # of a side


class Minimap(Overlay):
    """Shows where one is; a click or a drag goes elsewhere. Hidden while all of the image is seen.

    Parameters
    ----------
    session
        Whose image it is.
    scene
        The view that moves.
    """

    comes_first = True

    def __init__(self, session: Session, scene: Scene) -> None:
        super().__init__(scene.viewport(), "top right")
        self._session, self._scene = session, scene
        self._shown: Picturing | None = None
        self._image: QImage | None = None
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        session.view.events.minimap_on.connect(lambda _: self._follow())
        session.field_by_field.changed.connect(lambda: self.update())
        session.overview.changed.connect(lambda: self._renew())
        session.opened.connect(lambda _: session.overview.forget())
        scene.box.sigRangeChanged.connect(lambda *_: self._follow())

    def show_picture(self, picturing: Picturing | None) -> None:
        """Show this from now on."""
        self._shown = picturing
        self._follow()
        self._renew()

    def seen(self) -> QRectF:
        """The part that is seen, in shares of the image."""
        if self._shown is None:
            return QRectF(0, 0, 1, 1)
        _, height, width = self._shown.image.shape
        (x0, x1), (y0, y1) = self._scene.box.viewRange()
        part = QRectF(x0 / width, y0 / height, (x1 - x0) / width, (y1 - y0) / height)
        return part.intersected(QRectF(0, 0, 1, 1))

    def _follow(self) -> None:
        """The view has moved: only the frame is drawn anew."""
        part = self.seen()
        wanted = self._session.view.minimap_on and self._shown is not None
        self.setVisible(wanted and min(part.width(), part.height()) < _SEEN_ALL)
        if self._shown is not None and self.isVisible():
            _, height, width = self._shown.image.shape
            share = _LONGEST / max(height, width)
            self.put(QSize(max(12, round(width * share)), max(12, round(height * share))))
            self.update()

    def _renew(self) -> None:
        self._image = None
        self.update()

    def _drawn(self) -> QImage | None:
        """The small picture, in the colours of the large one."""
        if self._image is None and self._shown is not None:
            ratio = self.devicePixelRatioF()
            small = self._session.overview.of(self._shown.image, round(_LONGEST * ratio))
            if small is None:
                return None
            _, rows, columns = small.shape
            height, width = self._shown.labels.shape
            labels = self._shown.labels[np.ix_(samples(height, rows), samples(width, columns))]
            self._image = rendered(replace(self._shown, image=small, labels=labels, outline_width=0))
        return self._image

    def paintEvent(self, _event: Any) -> None:
        """The small picture and the frame."""
        painter, image = QPainter(self), self._drawn()
        painter.fillRect(self.rect(), QColor(0, 0, 0, 160))
        if image is not None:
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            painter.drawImage(self.rect(), image)
        fields = self._session.field_by_field.fields
        if fields is not None:
            painter.drawImage(self.rect(), _tinted(fields.seen))
        painter.setPen(_LINE)
        painter.drawRect(self.rect().adjusted(0, 0, -1, -1))
        part, width, height = self.seen(), self.width(), self.height()
        frame = QRectF(part.x() * width, part.y() * height, part.width() * width, part.height() * height)
        for color, thick in ((_UNDER, 4.0), (_FRAME, 1.5)):  # seen on light and on dark
            painter.setPen(QPen(color, thick))
            painter.drawRect(frame.adjusted(1, 1, -1, -1))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Go where the pointer is."""
        self._go(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Go on with the pointer while a button is held."""
        if event.buttons():
            self._go(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """It is no click in the image."""
        event.accept()

    def _go(self, event: QMouseEvent) -> None:
        event.accept()
        if self._shown is not None:
            _, height, width = self._shown.image.shape
            spot = event.position()
            self._scene.go_to(spot.y() / self.height() * height, spot.x() / self.width() * width)


def _tinted(seen: npt.NDArray[np.bool_]) -> QImage:
    """What was looked at, over the small picture."""
    pixels = np.where(seen, np.uint32(_LOOKED_AT), np.uint32(0))
    height, width = pixels.shape
    return QImage(pixels.tobytes(), width, height, 4 * width, QImage.Format.Format_ARGB32).copy()
