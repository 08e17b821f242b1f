"""The minimap: the whole of a large image, with the visible part marked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from weakref import ref

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtGui import QColor, QImage, QMouseEvent, QPainter, QPen

from cellpose.gui.controllers._session import Session
from cellpose.gui.model import Box, Document
from cellpose.gui.model._overview import same_memory, samples
from cellpose.gui.views._canvas import Scene, rendered
from cellpose.gui.views._overlay import Overlay

__all__ = ["Minimap"]

Labels = npt.NDArray[np.int32]

_LONGEST = 180
_FRAME = QColor("#ffd166")
_UNDER = QColor(0, 0, 0, 150)
_LINE = QColor(255, 255, 255, 120)
_LOOKED_AT = 0x603FB27F  # 0xAARRGGBB
_SEEN_ALL = 0.999  # of a side


class Minimap(Overlay):
    """Shows the visible part; a click or a drag moves the view. Hidden while the full image is visible.

    Parameters
    ----------
    session
        The session whose image is shown.
    scene
        The view that is moved.
    """

    comes_first = True

    def __init__(self, session: Session, scene: Scene) -> None:
        super().__init__(scene.viewport(), "top right")
        self._session, self._scene = session, scene
        self._image: QImage | None = None
        self._labels: Labels | None = None  # of the visible plane
        self._small: Labels = np.zeros((0, 0), np.int32)  # samples of the labels
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        session.view.events.minimap_on.connect(lambda _: self._follow())
        session.field_by_field.changed.connect(lambda: self.update())
        session.overview.changed.connect(lambda: self.renew())
        session.opened.connect(self._open)
        scene.box.sigRangeChanged.connect(lambda *_: self._follow())

    def _open(self, document: Document | None) -> None:
        self._session.overview.forget()
        self._labels = None
        if document is not None:
            there = ref(document)  # a strong reference would keep the document alive
            document.changed.connect(lambda box: self._sample_again(there(), box))

    def renew(self) -> None:
        """Redraw, because the content of the view has changed."""
        self._image = None
        self._follow()
        self.update()

    def seen(self) -> QRectF:
        """The visible part, as fractions of the image."""
        if self._scene.canvas.size is None:
            return QRectF(0, 0, 1, 1)
        height, width = self._scene.canvas.size
        (x0, x1), (y0, y1) = self._scene.box.viewRange()
        part = QRectF(x0 / width, y0 / height, (x1 - x0) / width, (y1 - y0) / height)
        return part.intersected(QRectF(0, 0, 1, 1))

    def _follow(self) -> None:
        """Redraw only the frame, because the view has moved."""
        part = self.seen()
        wanted, size = self._session.view.minimap_on, self._scene.canvas.size
        self.setVisible(wanted and size is not None and min(part.width(), part.height()) < _SEEN_ALL)
        if size is not None and self.isVisible():
            height, width = size
            share = _LONGEST / max(height, width)
            self.put(QSize(max(12, round(width * share)), max(12, round(height * share))))
            self.update()

    def _drawn(self) -> QImage | None:
        """The small picture, in the colors of the large one."""
        shown = self._scene.canvas.shown if self._image is None else None
        if shown is not None:
            ratio = self.devicePixelRatioF()
            small = self._session.overview.of(shown.image, round(_LONGEST * ratio))
            if small is None:
                return None
            labels = self._sampled(shown.labels, small.shape[1:])
            self._image = rendered(replace(shown, image=small, labels=labels, outline_width=0))
        return self._image

    def _sampled(self, labels: Labels, size: tuple[int, ...]) -> Labels:
        """Labels sampled to this many rows and columns; kept: sampling a large image takes longer than drawing."""
        if self._labels is None or self._small.shape != size or not same_memory(labels, self._labels):
            places = (samples(length, n) for length, n in zip(labels.shape, size, strict=True))
            self._labels, self._small = labels, labels[np.ix_(*places)]
        return self._small

    def _sample_again(self, document: Document | None, box: Box) -> None:
        """Sample again, because labels within a box have changed."""
        if self._labels is None or document is None or document is not self._session.document:
            return
        places = [samples(length, n) for length, n in zip(self._labels.shape, self._small.shape, strict=True)]
        ends = ((box.y0, box.y1), (box.x0, box.x1))
        rows, columns = (slice(*np.searchsorted(each, end)) for each, end in zip(places, ends, strict=True))
        self._small[rows, columns] = self._labels[np.ix_(places[0][rows], places[1][columns])]

    def paintEvent(self, _event: Any) -> None:
        """Draw the small picture and the frame."""
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
        for color, thick in ((_UNDER, 4.0), (_FRAME, 1.5)):  # visible on light and dark images
            painter.setPen(QPen(color, thick))
            painter.drawRect(frame.adjusted(1, 1, -1, -1))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Move the view to the pointer."""
        self._go(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Follow the pointer while a button is held."""
        if event.buttons():
            self._go(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Accept the event, so that the image does not see a click."""
        event.accept()

    def _go(self, event: QMouseEvent) -> None:
        event.accept()
        if self._scene.canvas.size is not None:
            height, width = self._scene.canvas.size
            spot = event.position()
            self._scene.go_to(spot.y() / self.height() * height, spot.x() / self.width() * width)


def _tinted(seen: npt.NDArray[np.bool_]) -> QImage:
    """The regions already looked at, over the small picture."""
    pixels = np.where(seen, np.uint32(_LOOKED_AT), np.uint32(0))
    height, width = pixels.shape
    return QImage(pixels.tobytes(), width, height, 4 * width, QImage.Format.Format_ARGB32).copy()
