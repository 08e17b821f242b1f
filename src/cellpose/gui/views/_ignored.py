"""The regions that training ignores, drawn as hatching."""

from __future__ import annotations

from typing import Any

import pyqtgraph as pg
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QBrush, QColor, QPainter, QPainterPath, QPen, QPolygonF

from cellpose.gui.controllers._session import Session
from cellpose.gui.model import Document

__all__ = ["IgnoredRegions"]

_COLOR, _EDGE = QColor(255, 170, 60, 150), QColor(255, 170, 60, 220)


class IgnoredRegions(pg.GraphicsObject):  # type: ignore[misc]
    """The ignored regions of the visible plane, drawn above the cells; lets all events through.

    Parameters
    ----------
    session
        The session whose image is shown.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.path = QPainterPath()
        self._shown: tuple[object, ...] = ()
        session.opened.connect(lambda document: self._watch(document))
        session.view.events.plane.connect(lambda _: self._show())

    def _watch(self, document: Document | None) -> None:
        if document is not None:
            document.changed.connect(lambda _: self._show())
        self._show()

    def _show(self) -> None:
        document, plane = self._session.document, self._session.view.plane
        regions = () if document is None else document.labels.ignored
        if (plane, regions) == self._shown:
            return
        self.prepareGeometryChange()
        self._shown = (plane, regions)
        path = QPainterPath()
        path.setFillRule(Qt.FillRule.WindingFill)
        for region in regions:
            if region[0][0] == plane:
                path.addPolygon(QPolygonF([QPointF(x + 0.5, y + 0.5) for _, y, x in region]))
                path.closeSubpath()
        self.path = path
        self.update()

    def boundingRect(self) -> QRectF:
        """Return the bounds of all regions."""
        return self.path.boundingRect().adjusted(-2, -2, 2, 2)

    def shape(self) -> QPainterPath:
        """Return an empty shape, which the pointer cannot hit."""
        return QPainterPath()

    def paint(self, painter: QPainter, _option: Any, _widget: Any = None) -> None:
        """Draw hatching with the same density at every zoom."""
        inverse, _ = painter.worldTransform().inverted()
        brush, pen = QBrush(_COLOR, Qt.BrushStyle.BDiagPattern), QPen(_EDGE, 1.5)
        brush.setTransform(inverse)
        pen.setCosmetic(True)
        painter.setPen(pen)
        painter.setBrush(brush)
        painter.drawPath(self.path)
