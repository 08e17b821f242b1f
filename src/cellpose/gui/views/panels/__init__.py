"""The column of controls, a group per file."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QScrollArea, QVBoxLayout, QWidget

from cellpose.gui.controllers._session import Session
from cellpose.gui.views.panels._drawing import Drawing
from cellpose.gui.views.panels._segmentation import SegmentationPanel
from cellpose.gui.views.panels._views import Views

__all__ = ["Column"]


class Column(QScrollArea):  # type: ignore[misc]
    """All groups, one above the other."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.views = Views(session)
        self.drawing = Drawing(session)
        self.segmentation = SegmentationPanel(session)
        inner = QWidget()
        column = QVBoxLayout(inner)
        for group in (self.views, self.drawing, self.segmentation):
            column.addWidget(group)
        column.addStretch(1)
        self.setWidget(inner)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumWidth(330)
