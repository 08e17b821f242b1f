"""The column of controls."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QGroupBox,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)
from superqt import QLabeledDoubleRangeSlider

from cellpose import weights
from cellpose.gui.controllers._jobs import Job
from cellpose.gui.controllers._session import Session
from cellpose.gui.model._view import BRUSHES, COLOR_MODES, VIEWS

__all__ = ["Panel"]

_CHANNELS = ("gray", "red", "green", "blue")


class Panel(QScrollArea):  # type: ignore[misc]
    """Views, drawing and segmentation: widgets bound to the state of a session, both ways."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        inner = QWidget()
        self._column = QVBoxLayout(inner)
        self._views()
        self._drawing()
        self._segmentation()
        self._column.addStretch(1)
        self.setWidget(inner)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumWidth(320)

    def _group(self, title: str) -> QFormLayout:
        group = QGroupBox(title)
        self._column.addWidget(group)
        return QFormLayout(group)

    def _views(self) -> None:
        form, state = self._group("Views"), self._session.view
        self.color = _choice(COLOR_MODES, state, "color")
        self.picture = _choice(VIEWS, state, "view")
        self.auto = _check("auto-adjust saturation", state, "auto_levels")
        form.addRow("colour", self.color)
        form.addRow("view", self.picture)
        form.addRow(self.auto)
        self.levels = [QLabeledDoubleRangeSlider(Qt.Orientation.Horizontal) for _ in range(3)]
        for channel, (slider, name) in enumerate(zip(self.levels, ("gray/red", "green", "blue"), strict=True)):
            slider.setRange(-0.1, 255.1)
            slider.setValue((0.0, 255.0))
            slider.setToolTip("display only: does not change the segmentation")
            slider.valueChanged.connect(lambda ends, channel=channel: self._set_levels(channel, ends))
            form.addRow(name, slider)
        state.events.levels.connect(self._show_levels)

    def _set_levels(self, channel: int, ends: tuple[float, float]) -> None:
        levels = list(self._session.view.levels)
        levels[channel] = (float(ends[0]), float(ends[1]))
        self._session.view.levels = levels

    def _show_levels(self, levels: list[tuple[float, float]]) -> None:
        for slider, ends in zip(self.levels, levels, strict=True):
            blocked = slider.blockSignals(True)
            slider.setValue(ends)
            slider.blockSignals(blocked)

    def _drawing(self) -> None:
        form, state = self._group("Drawing"), self._session.view
        self.brush = _choice(BRUSHES, state, "brush")
        self.masks = _check("MASKS ON [X]", state, "masks_on")
        self.outlines = _check("outlines on [Z]", state, "outlines_on")
        self.single = _check("single stroke", state, "single_stroke")
        form.addRow("brush size", self.brush)
        for box in (self.masks, self.outlines, self.single):
            form.addRow(box)

    def _segmentation(self) -> None:
        form, settings = self._group("Segmentation"), self._session.settings
        self.model = QComboBox()
        for name in sorted(weights.bundled_models()):
            self.model.addItem(name, name)
        self.model.currentIndexChanged.connect(lambda _: setattr(settings, "model", self.model.currentData()))
        settings.model = str(self.model.currentData())
        self.diameter = _number(settings, "diameter", 0, 10_000, 0.5)
        self.flow = _number(settings, "flow_threshold", 0, 10, 0.1)
        self.cellprob = _number(settings, "cellprob_threshold", -10, 10, 0.5)
        self.run = QPushButton("run")
        self.run.clicked.connect(self._run_or_cancel)
        self.progress = QProgressBar()
        self.count = QLabel("0 ROIs")
        form.addRow("model", self.model)
        form.addRow("diameter (pixels)", self.diameter)
        form.addRow("flow threshold", self.flow)
        form.addRow("cellprob threshold", self.cellprob)
        form.addRow(self.run)
        form.addRow(self.count, self.progress)
        self._session.jobs.changed.connect(self._show_job)

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


def _choice(choices: tuple[Any, ...], state: Any, field: str) -> QComboBox:
    """A box for a field of few values."""
    box = QComboBox()
    box.addItems([str(choice) for choice in choices])
    box.setCurrentIndex(choices.index(getattr(state, field)))
    box.currentIndexChanged.connect(lambda place: setattr(state, field, choices[place]))
    getattr(state.events, field).connect(lambda value: box.setCurrentIndex(choices.index(value)))
    return box


def _check(title: str, state: Any, field: str) -> QCheckBox:
    """A box for a field that is true or false."""
    box = QCheckBox(title)
    box.setChecked(getattr(state, field))
    box.toggled.connect(lambda on: setattr(state, field, on))
    getattr(state.events, field).connect(lambda on: box.setChecked(on))
    return box


def _number(state: Any, field: str, low: float, high: float, step: float) -> QDoubleSpinBox:
    """A box for a field that is a number."""
    box = QDoubleSpinBox()
    box.setRange(low, high)
    box.setSingleStep(step)
    box.setValue(getattr(state, field))
    box.valueChanged.connect(lambda value: setattr(state, field, value))
    getattr(state.events, field).connect(lambda value: box.setValue(value))
    return box
