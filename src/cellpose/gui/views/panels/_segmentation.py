"""What a segmentation is asked for, and the button that runs it."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QComboBox, QLabel, QProgressBar, QPushButton

from cellpose import weights
from cellpose.gui.controllers._jobs import Job
from cellpose.gui.controllers._session import Session
from cellpose.gui.views.panels._bound import Group, number_box

__all__ = ["SegmentationPanel"]


class SegmentationPanel(Group):
    """Model, diameter, thresholds, run."""

    def __init__(self, session: Session) -> None:
        super().__init__("Segmentation")
        self._session = session
        settings = session.settings
        self.model = QComboBox()
        for name in sorted(weights.bundled_models()):
            self.model.addItem(name, name)
        self.model.currentIndexChanged.connect(lambda _: setattr(settings, "model", self.model.currentData()))
        settings.model = str(self.model.currentData())
        self.diameter = number_box(settings, "diameter", 0, 10_000, 1, decimals=1)
        self.flow = number_box(settings, "flow_threshold", 0, 10, 0.1)
        self.cellprob = number_box(settings, "cellprob_threshold", -10, 10, 0.5)
        self.run = QPushButton("run")
        self.run.clicked.connect(self._run_or_cancel)
        self.progress = QProgressBar()
        self.count = QLabel("0 ROIs")
        self.form.addRow("model", self.model)
        self.form.addRow("diameter (pixels)", self.diameter)
        self.form.addRow("flow threshold", self.flow)
        self.form.addRow("cellprob threshold", self.cellprob)
        self.form.addRow(self.run)
        self.form.addRow(self.count, self.progress)
        session.jobs.changed.connect(self._show_job)

    def _run_or_cancel(self) -> None:
        runs = self._session.segmentation
        if runs.is_running:
            self._session.jobs.cancel(runs.name)
        else:
            runs.run()

    def _show_job(self, job: Job[Any]) -> None:
        runs = self._session.segmentation
        if job.name == runs.name:
            self.progress.setValue(round(100 * job.progress))
            self.run.setText("cancel" if runs.is_running else "run")
