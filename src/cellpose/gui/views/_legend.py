"""The meaning of the cell colors, in a corner of the view."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtGui import QColor, QImage, QPainter

from cellpose.gui._texts import tr
from cellpose.gui.controllers._session import Session
from cellpose.gui.model import Document
from cellpose.gui.model._colors import UNKNOWN
from cellpose.gui.model._measures import MEASURES
from cellpose.gui.model._palettes import RAMPS
from cellpose.gui.views._canvas import Scene
from cellpose.gui.views._overlay import Overlay

__all__ = ["Legend"]

_PAD, _ROW, _SWATCH, _GAP, _RAMP = 10, 19, 11, 7, 130
_BEHIND = QColor(0, 0, 0, 130)
_INK = QColor(235, 235, 235)


class Legend(Overlay):
    """Visible while cells are colored by a property.

    Parameters
    ----------
    session
        The session whose cells are colored.
    scene
        The view.
    """

    def __init__(self, session: Session, scene: Scene) -> None:
        super().__init__(scene.viewport(), "top left")
        self._session = session
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.title, self.ends = "", ("", "")
        self.rows: list[tuple[QColor, str]] = []
        view = session.view.events
        for event in (view.coloring, view.masks_on, view.outlines_on, view.class_colors):
            event.connect(lambda _: self.follow())
        session.review.classes.changed.connect(lambda: self.follow())
        session.scale.changed.connect(lambda: self.follow())
        session.opened.connect(self._watch)

    def _watch(self, document: Document | None) -> None:
        if document is not None:
            document.edited.connect(lambda _: self.follow())
        self.follow()

    def follow(self) -> None:
        """Update, because the cells or the meaning of their colors have changed."""
        view, document = self._session.view, self._session.document
        by = view.coloring
        seen = document is not None and by != "number" and (view.masks_on or view.outlines_on)
        if seen and document is not None:
            table = document.labels.table
            self._classes(table) if by == "class" else self._ramp(by, table)
            self.title = {"score": tr("score: doubtful to sure"), "size": self._unit(), "class": "class"}[by]
            self.put(self._size())
        self.setVisible(seen and document is not None and document.labels.count > 0)
        self.update()

    def _unit(self) -> str:
        return tr("size in µm²") if self._session.scale.pixel_um else tr("size in pixels")

    def _ramp(self, by: str, table: Any) -> None:
        measured = MEASURES[by](table)
        um = self._session.scale.pixel_um if by == "size" else None
        unit = um[0] * um[1] if um else 1.0
        low, high = (f"{end * unit:.3g}" for end in measured.ends)
        self.ends = low, high
        unknown = (table["area"] > 0) & np.isnan(measured.shares)
        n = np.count_nonzero(unknown)
        by_hand = n and not np.count_nonzero(unknown & ~table["manual"])
        self.rows = [(QColor(*UNKNOWN), f"{tr('by hand') if by_hand else tr('no score')} ({n})")] if n else []

    def _classes(self, table: Any) -> None:
        self.ends = "", ""
        counts = np.bincount(table["kind"][table["area"] > 0], minlength=1)
        classes = self._session.review.classes
        self.rows = [
            (QColor(classes[kind - 1].color) if kind else QColor(*UNKNOWN), f"{classes.name(kind) or tr('none')} ({n})")
            for kind, n in enumerate(counts.tolist())
            if n
        ]

    def _size(self) -> QSize:
        measure = self.fontMetrics().horizontalAdvance
        texts = [measure(self.title), *(_SWATCH + _GAP + measure(text) for _, text in self.rows)]
        height = _ROW * (1 + len(self.rows) + (2 if self.ends[0] else 0))
        return QSize(max([*texts, _RAMP if self.ends[0] else 0]) + 2 * _PAD, height + _PAD)

    def paintEvent(self, _event: Any) -> None:
        """Draw the title, then a ramp with its ends or one row per class."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(_BEHIND)
        painter.drawRoundedRect(self.rect(), 5, 5)
        painter.setPen(_INK)
        left, y, width = _PAD, _PAD / 2, self.width() - 2 * _PAD
        painter.drawText(QRectF(left, y, width, _ROW), Qt.AlignmentFlag.AlignVCenter, self.title)
        y += _ROW
        if self.ends[0]:
            colors = np.ascontiguousarray(RAMPS[self._session.view.coloring]()[None])
            image = QImage(colors.tobytes(), 256, 1, 768, QImage.Format.Format_RGB888)
            painter.drawImage(QRectF(left, y + 4, width, _ROW - 8), image)
            y += _ROW
            for side, text in zip((Qt.AlignmentFlag.AlignLeft, Qt.AlignmentFlag.AlignRight), self.ends, strict=True):
                painter.drawText(QRectF(left, y - 2, width, _ROW), side | Qt.AlignmentFlag.AlignVCenter, text)
            y += _ROW
        for color, text in self.rows:
            painter.fillRect(QRectF(left, y + (_ROW - _SWATCH) / 2, _SWATCH, _SWATCH), color)
            shifted = QRectF(left + _SWATCH + _GAP, y, width, _ROW)
            painter.drawText(shifted, Qt.AlignmentFlag.AlignVCenter, text)
            y += _ROW
