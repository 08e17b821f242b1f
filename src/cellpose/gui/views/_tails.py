"""The paths of the cells of a movie through its last frames, and where cells divided."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from pyqtgraph.Qt.internals import PrimitiveArray
from qtpy.QtCore import QLineF, QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPainterPath, QPen

from cellpose.gui.controllers._session import Session
from cellpose.gui.model import Document
from cellpose.gui.model._links import Tails
from cellpose.gui.model._palettes import track_rgb

__all__ = ["CellTails"]

_HALO, _WIDTH, _RING = QColor(0, 0, 0, 150), 2.0, 4.5  # screen pixels
_MARK = QColor(255, 255, 255)
_FIELDS = ("plane", "tails_on", "tail_frames", "palette", "cell_color", "isolated")


class CellTails(pg.GraphicsObject):  # type: ignore[misc]
    """Lines in the colors of their tracks, and a ring where a cell divided; lets all events through.

    Parameters
    ----------
    session
        The session whose movie is shown.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.tails: Tails | None = None
        self._colors = np.zeros((0, 3), np.uint8)
        session.opened.connect(lambda document: self._watch(document))
        for name in _FIELDS:
            getattr(session.view.events, name).connect(lambda _: self._show())

    def _watch(self, document: Document | None) -> None:
        if document is not None and document.is_movie:
            document.changed.connect(lambda _: self._show())
        self._show()

    def _show(self) -> None:
        document, view = self._session.document, self._session.view
        wanted = document is not None and document.is_movie and view.tails_on
        if not wanted and self.tails is None:
            return
        self.prepareGeometryChange()
        self.tails = None
        if wanted and document is not None:
            self.tails = document.lineage.tails(document.labels.table, view.plane, view.tail_frames)
            if view.isolated:
                alone = np.isin(self.tails.track, document.lineage.track[sorted(view.isolated)])
                self.tails = Tails(self.tails.lines[alone], self.tails.track[alone], self.tails.divisions[:0])
            self._colors = track_rgb(self.tails.track, view)
        self.update()

    def boundingRect(self) -> QRectF:
        """Return the bounds of the whole image."""
        document = self._session.document
        if self.tails is None or document is None:
            return QRectF()
        _, height, width = document.labels.shape
        return QRectF(0, 0, width, height)

    def shape(self) -> QPainterPath:
        """Return an empty shape, which the pointer cannot hit."""
        return QPainterPath()

    def paint(self, painter: QPainter, _option: Any, _widget: Any = None) -> None:
        """Draw all lines dark and wide, then each track in its color."""
        if self.tails is None:
            return
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        lines, track, divisions = self.tails
        if len(lines):
            painter.setPen(_pen(_HALO, _WIDTH + 2))
            _draw(painter, lines)
            starts = np.flatnonzero(np.diff(track, prepend=-1))
            for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(track)], strict=True):
                painter.setPen(_pen(QColor(*self._colors[start].tolist()), _WIDTH))
                _draw(painter, lines[start:stop])
        across = _RING / max(abs(painter.worldTransform().m11()), 1e-9)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for color, width in ((_HALO, _WIDTH + 2), (_MARK, _WIDTH)):
            painter.setPen(_pen(color, width))
            for x, y in divisions.tolist():
                painter.drawEllipse(QPointF(x, y), across, across)


def _draw(painter: QPainter, lines: Any) -> None:
    """Draw lines (n, 4) without a Python object for each."""
    given = PrimitiveArray(QLineF, 4)
    given.resize(len(lines))
    given.ndarray()[:] = lines
    painter.drawLines(*given.drawargs())


def _pen(color: QColor, width: float) -> QPen:
    pen = QPen(color, width)
    pen.setCosmetic(True)
    pen.setCapStyle(Qt.PenCapStyle.RoundCap)
    return pen
