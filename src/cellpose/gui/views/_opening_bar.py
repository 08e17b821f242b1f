"""The progress of opening an image, in the status bar, with a button that cancels it."""

from __future__ import annotations

from typing import Any

import qtawesome
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QToolButton, QWidget

from cellpose.gui._texts import tr
from cellpose.gui.controllers._jobs import Job
from cellpose.gui.controllers._session import Session

__all__ = ["OpeningBar"]

_PATIENCE_MS = 200  # an image that opens sooner shows no bar


class OpeningBar(QWidget):  # type: ignore[misc]
    """Hidden while no image is being opened."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._files = session.files
        self.words, self.share, self.stop = QLabel(), QProgressBar(), QToolButton()
        self.share.setFixedSize(120, 8)
        self.share.setTextVisible(False)
        self.stop.setIcon(qtawesome.icon("mdi6.close", color="#8a8f98"))
        self.stop.setToolTip(tr("stop reading"))
        self.stop.setAutoRaise(True)
        self.stop.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.share.setAccessibleName(tr("how much is read"))
        self.stop.clicked.connect(lambda: session.files.cancel())
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 8, 0)
        for widget in (self.words, self.share, self.stop):
            layout.addWidget(widget)
        self._patience = QTimer(self)
        self._patience.setSingleShot(True)
        self._patience.timeout.connect(lambda: self.setVisible(self._files.is_opening))
        session.jobs.changed.connect(lambda job: self._show(job))
        session.opened.connect(lambda _: None if self._files.is_opening else self._end())
        self.hide()

    def _show(self, job: Job[Any]) -> None:
        if job.name not in (self._files.name, self._files.autosave.name):
            return
        self.words.setText(self._files.opening)
        self.share.setValue(round(100 * job.progress))
        if not self._files.is_opening:
            self._end()
        elif not self.isVisible() and not self._patience.isActive():
            self._patience.start(_PATIENCE_MS)

    def _end(self) -> None:
        self._patience.stop()
        self.hide()
