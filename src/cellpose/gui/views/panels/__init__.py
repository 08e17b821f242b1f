"""The column of controls, one group per file."""

from __future__ import annotations

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QScrollArea, QVBoxLayout, QWidget

from cellpose.gui.controllers._session import Session
from cellpose.gui.views.panels._drawing import Drawing
from cellpose.gui.views.panels._filters import Filtering
from cellpose.gui.views.panels._segmentation import SegmentationPanel
from cellpose.gui.views.panels._time import TimePanel
from cellpose.gui.views.panels._views import Views
from cellpose.gui.views.panels._volume import VolumePanel

__all__ = ["Column"]

_LAID_OUT_MS = 50  # until a group that was unfolded has its size


class Column(QScrollArea):  # type: ignore[misc]
    """All groups, stacked vertically."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.views = Views(session)
        self.drawing = Drawing(session)
        self.segmentation = SegmentationPanel(session)
        self.volume, self.time = VolumePanel(session), TimePanel(session)
        self.filtering = Filtering(session)
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.setContentsMargins(8, 8, 8, 8)
        column.setSpacing(10)
        for group in (self.views, self.drawing, self.segmentation, self.volume, self.time, self.filtering):
            column.addWidget(group)
        column.addStretch(1)
        self.setWidget(inner)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFixedWidth(360)
        self.setFrameShape(self.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # it scrolls to the control that has the focus
        session.filters.unset.connect(lambda: QTimer.singleShot(_LAID_OUT_MS, self, self._show_filter))

    def _show_filter(self) -> None:
        """Scroll to the settings of the filter, which were unfolded."""
        self.ensureWidgetVisible(self.filtering.more)
