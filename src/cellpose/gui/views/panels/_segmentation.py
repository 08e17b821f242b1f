"""The settings of a segmentation, and the button that runs it."""

from __future__ import annotations

from typing import Any

import qtawesome
from qtpy.QtCore import QSignalBlocker, QSize
from qtpy.QtWidgets import QComboBox, QLabel, QProgressBar

from cellpose.gui._texts import tr
from cellpose.gui.controllers._jobs import Job
from cellpose.gui.controllers._session import Session
from cellpose.gui.views.panels._bound import (
    CollapsibleGroup,
    Group,
    SliderRow,
    button,
    check_box,
    number_box,
    own_keys,
    row,
)
from cellpose.gui.views.panels._diameter import DiameterBox, DiameterLabel

__all__ = ["SegmentationPanel"]

_CHANNELS = (tr("0: gray"), tr("1: red"), tr("2: green"), tr("3: blue"))
_SECOND = (tr("0: none"), tr("1: red"), tr("2: green"), tr("3: blue"))
_HERE, _AWAY = "#3fb27f", "#8a8f98"
_INVALID = "border: 1px solid #e5484d; border-radius: 3px;"


class SegmentationPanel(Group):
    """Model, diameter, channels, run, thresholds."""

    def __init__(self, session: Session) -> None:
        super().__init__(tr("Segmentation"))
        self._session = session
        self._add_model()
        self._add_size_and_channels()
        self._add_run()
        self._add_more()
        session.jobs.changed.connect(self._show_job)
        session.failed.connect(lambda _: self.progress.setValue(0))
        session.opened.connect(lambda _: self._begin())
        session.pointer.mode_changed.connect(lambda _: self._show_state())
        self._show_state()

    def _add_model(self) -> None:
        session = self._session
        self.model = QComboBox()
        own_keys(self.model)
        self.model.setMaxVisibleItems(24)
        self.model.setIconSize(QSize(14, 14))
        self.model.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.model.activated.connect(lambda place: session.models.choose(self.model.itemData(place)))
        self.stop_download = button(tr("cancel"), session.models.cancel_download, tr("give up the download"))
        self.form.addRow(tr("model"), row(self.model, self.stop_download))
        session.models.changed.connect(self._show_models)
        session.settings.events.model.connect(lambda _: self._show_models())
        self._show_models()

    def _add_size_and_channels(self) -> None:
        session, settings = self._session, self._session.settings
        self.diameter = number_box(settings, "diameter", 0, 10_000, 1, decimals=1, box=DiameterBox(session))
        self.diameter_um = DiameterLabel(session)
        self.calibrate = button(
            tr("calibrate"), session.segmentation.calibrate, tr("estimate the diameter of the cells")
        )
        self.diameter.setFixedWidth(74)
        self.calibrate.setProperty("narrow", True)
        self.form.addRow(tr("diameter (pixels)"), row(self.diameter, self.diameter_um, self.calibrate))
        self.channels = []
        for label, names in ((tr("chan to segment"), _CHANNELS), (tr("chan2 (optional)"), _SECOND)):
            box = QComboBox()
            own_keys(box)
            box.addItems(names)
            box.activated.connect(lambda _: self._set_channels())
            self.channels.append(box)
            self.form.addRow(label, box)
        settings.events.channels.connect(lambda _: self._show_channels())
        self.gpu = check_box(tr("use GPU"), settings, "gpu")
        self.gpu.setEnabled(False)
        self.gpu.setToolTip(tr("no GPU was found"))
        session.segmentation.gpu_found.connect(self._show_gpu)
        self.form.addRow(self.gpu)

    def _add_run(self) -> None:
        session = self._session
        self.run = button(tr("run"), self._run_or_cancel, tr("segment the image (Shift+Enter)"))
        self.run.setObjectName("run")
        self.count = QLabel(tr("0 ROIs"))
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.progress.setFixedHeight(10)
        self.progress.setAccessibleName(tr("progress of the run"))
        self.run_seen = button(
            tr("on what is seen"), session.segmentation.run_on_seen, tr("the rest stays as it is (Ctrl+Enter)")
        )
        self.run_region = button(
            tr("on a rectangle"), session.segmentation.choose_region, tr("drag it; the rest stays as it is")
        )
        self.form.addRow(self.run)
        self.form.addRow(row(self.run_seen, self.run_region, even=True))
        self.form.addRow(self.count, self.progress)

    def _add_more(self) -> None:
        settings, live = self._session.settings, self._session.segmentation.live
        self.more = CollapsibleGroup(tr("additional settings"))
        form = self.more.form

        def threshold(field: str, low: float, high: float, ends: tuple[float, float], step: float, places: int) -> Any:
            box = number_box(settings, field, low, high, step, places, entered=live.follow)
            return SliderRow(box, settings, field, ends, live.settle)

        self.flow = threshold("flow_threshold", 0, 100, (0, 3), 0.1, 2)
        self.cellprob = threshold("cellprob_threshold", -50, 50, (-6, 6), 0.25, 2)
        self.min_size = threshold("min_size", -1, 10_000_000, (0, 500), 5, 0)
        self.lower = number_box(settings, "lower", 0, 100, 0.5, 1)
        self.upper = number_box(settings, "upper", 0, 100, 0.5, 1)
        self.niter = number_box(settings, "niter", 0, 100_000, 50, 0, entered=live.follow)
        self.niter.blank = 0.0
        self.niter.setToolTip(tr("steps along the flows; 0: from the diameter; more for long cells"))
        self.keep = check_box(tr("keep cells corrected by hand"), settings, "keep_corrected")
        self.keep.setToolTip(
            tr("cells that you drew, changed, checked or classified stay; thresholds do not bring back removed cells")
        )
        form.addRow(tr("flow threshold"), self.flow)
        form.addRow(tr("cellprob threshold"), self.cellprob)
        form.addRow(tr("min size (pixels)"), self.min_size)
        self.lower.setAccessibleName(tr("lower percentile of the brightness"))
        self.upper.setAccessibleName(tr("upper percentile of the brightness"))
        form.addRow(tr("norm percentiles"), row(self.lower, self.upper, even=True))
        form.addRow(tr("niter dynamics"), self.niter)
        form.addRow(self.keep)
        self.form.addRow(self.more)
        self.more.expand(animate=False)
        for field in ("lower", "upper"):
            getattr(settings.events, field).connect(lambda _: self._show_percentiles())

    def _run_or_cancel(self) -> None:
        runs = self._session.segmentation
        if runs.is_running or self._session.jobs.running(runs.sizing) is not None:
            runs.cancel()
        else:
            runs.run()

    def _begin(self) -> None:
        """Another image: the bar does not stay full of the run of the last one."""
        runs = self._session.segmentation
        if not any(self._session.jobs.running(name) for name in (runs.name, runs.sizing, self._session.models.job)):
            self.progress.reset()
        self._show_state()

    def _show_job(self, job: Job[Any]) -> None:
        session, runs = self._session, self._session.segmentation
        if job.name not in (runs.name, runs.sizing, session.models.job):
            return
        loading = job.name == runs.name and runs.is_running and job.progress == 0
        self.progress.setRange(0, 0 if loading else 100)  # a busy bar: the time to load a model is unknown
        self.progress.setValue(0 if job.cancelled else round(100 * job.progress))
        self._show_state()

    def _show_state(self) -> None:
        session, runs = self._session, self._session.segmentation
        works = runs.is_running or session.jobs.running(runs.sizing) is not None
        ready = session.document is not None and not session.held
        run = tr("run on this frame") if session.movies.is_open else tr("run")
        self.run.setText(tr("cancel") if works else tr("canceling...") if runs.is_ending else run)
        self.run.setEnabled(works or (ready and not runs.is_ending))
        for other in (self.calibrate, self.run_seen, self.run_region):
            other.setEnabled(ready and not works)
        self.stop_download.setVisible(session.jobs.running(session.models.job) is not None)

    def _show_models(self) -> None:
        here = qtawesome.icon("mdi6.check-circle", color=_HERE)
        away = qtawesome.icon("mdi6.cloud-download-outline", color=_AWAY)
        session, last = self._session, None
        with QSignalBlocker(self.model):
            self.model.clear()
            for choice in session.models.choices():
                kind = choice.kind == "published"
                if last is not None and kind != last:
                    self.model.insertSeparator(self.model.count())
                last = kind
                self.model.addItem(here if choice.installed else away, choice.name, choice.name)
                state = (
                    "" if choice.installed else tr(" (not here yet, about {size_mib:.0f} MB)", size_mib=choice.size_mib)
                )
                self.model.setItemData(self.model.count() - 1, choice.note + state, 3)  # Qt.ToolTipRole
            self.model.setCurrentIndex(self.model.findData(session.models.wanted or session.settings.model))
        chosen = session.models.chosen()
        for box in getattr(self, "channels", []):
            box.setEnabled(chosen is None or chosen.takes_channels)

    def _set_channels(self) -> None:
        first, second = (box.currentIndex() for box in self.channels)
        self._session.settings.channels = (first, second)
        self._show_channels()  # also if they were changed back

    def _show_channels(self) -> None:
        for box, channel in zip(self.channels, self._session.settings.channels, strict=True):
            box.setCurrentIndex(channel)

    def _show_gpu(self, found: bool) -> None:
        self.gpu.setEnabled(found)
        self.gpu.setToolTip(tr("run the network on the GPU") if found else tr("no GPU was found"))

    def _show_percentiles(self) -> None:
        valid = self._session.settings.percentiles_valid
        for box in (self.lower, self.upper):
            box.setStyleSheet("" if valid else _INVALID)
        if not valid:
            self.more.expand(animate=False)  # they may come from a file of settings
