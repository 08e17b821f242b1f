"""The dock that shows the progress and the result of a training."""

from __future__ import annotations

from typing import Any

import pyqtgraph as pg
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QPalette
from qtpy.QtWidgets import (
    QApplication,
    QDockWidget,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from cellpose.gui._texts import tr
from cellpose.gui.controllers._jobs import Job
from cellpose.gui.controllers._session import Session
from cellpose.gui.controllers._training import Epochs, Trained

__all__ = ["BLUE", "Curve", "TrainingDock"]

BLUE, ORANGE, GREEN = "#4c9be8", "#e8984c", "#5bb974"
_HEIGHT = 150  # of a plot, in pixels
_MOST_COUNTS = 8  # tick labels below an axis
_STEPS = [round_number * 10**zeros for zeros in range(6) for round_number in (1, 2, 5)]  # between tick labels
_MINUTE = 60
_LONG = 100  # seconds; longer times are shown in minutes


class Curve(pg.PlotWidget):  # type: ignore[misc]
    """A small plot in the colors of the window, without a menu.

    Parameters
    ----------
    title
        Title of the plot.
    below
        Label of the horizontal axis.
    """

    def __init__(self, title: str, below: str) -> None:
        super().__init__()
        self._title, self._below = title, below
        self.setAccessibleName(title)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setMenuEnabled(False)
        self.hideButtons()
        self.setMouseEnabled(False, False)
        self.showGrid(y=True, alpha=0.2)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)  # its own hint is half a screen
        self.setFixedHeight(_HEIGHT)
        self._color()

    def show_shares(self) -> None:
        """Let the vertical axis go from 0 to 1."""
        self.setYRange(0, 1, padding=0.05)
        self.getAxis("left").setTicks([[(0, "0"), (0.5, "0.5"), (1, "1")]])

    def show_counts(self, last: int) -> None:
        """Let the horizontal axis go from 1 to ``last``, with whole numbers only."""
        last = max(last, 2)
        self.setXRange(1, last, padding=0.05)
        step = next(step for step in _STEPS if last <= _MOST_COUNTS * step)
        self.getAxis("bottom").setTicks([[(number, str(number)) for number in range(step, last + 1, step)]])

    def changeEvent(self, event: QEvent) -> None:
        """Follow the window between dark and light."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "_below"):
            self._color()

    def _color(self) -> None:
        palette = QApplication.palette()
        ink = palette.color(QPalette.ColorRole.Text)
        self.setBackground(palette.color(QPalette.ColorRole.Base))
        self.setTitle(self._title, color=ink, size="9pt")
        self.setLabel("bottom", self._below, color=ink)
        for side in ("left", "bottom"):
            self.getAxis(side).setPen(ink)
            self.getAxis(side).setTextPen(ink)


class TrainingDock(QDockWidget):  # type: ignore[misc]
    """Epoch, time left, curves of loss and AP, the stop button, and the result.

    Parameters
    ----------
    session
        The session whose trainings are shown.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(tr("Training"))
        self.setObjectName("training")
        self._session = session
        self.line, self.bar, self.stop = QLabel(), QProgressBar(), QPushButton(tr("Stop"))
        self.stop.setToolTip(tr("end now and keep the model as it is"))
        self.line.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.bar.setFixedWidth(180)
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName(tr("progress of the training"))
        self.loss, self.ap = Curve(tr("loss"), tr("epoch")), Curve(tr("AP@0.5 of held-out images"), tr("epoch"))
        self.ap.show_shares()
        legend = self.loss.addLegend(offset=(-10, 5), labelTextColor=self.palette().color(QPalette.ColorRole.Text))
        legend.setLabelTextSize("8pt")
        self.train_curve = self.loss.plot(pen=pg.mkPen(BLUE, width=2), name="training")
        self.test_curve = self.loss.plot(pen=None, symbol="o", symbolSize=6, symbolBrush=ORANGE, name=tr("held out"))
        self.ap_curve = self.ap.plot(pen=pg.mkPen(GREEN, width=2), symbol="o", symbolSize=6, symbolBrush=GREEN)
        self.before = pg.InfiniteLine(0, angle=0, pen=pg.mkPen(ORANGE, style=Qt.PenStyle.DashLine))
        self.ap.addItem(self.before)
        self._lay_out()
        self._end(tr("Nothing is being trained. Ctrl+T begins a training."))
        self.stop.clicked.connect(session.training.stop)
        session.training.progressed.connect(lambda epochs: self._show(epochs))
        session.training.finished.connect(lambda trained: self._show_result(trained))
        session.training.failed.connect(lambda why: self._end(tr("training failed: {why}", why=why)))
        session.jobs.changed.connect(lambda job: self._show_job(job))
        self.hide()

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.addWidget(self.line, 1)
        head.addWidget(self.bar)
        head.addWidget(self.stop)
        plots = QHBoxLayout()
        plots.addWidget(self.loss)
        plots.addWidget(self.ap)
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.addLayout(head)
        column.addLayout(plots)
        self.setWidget(inner)

    def _show(self, epochs: Epochs) -> None:
        if not epochs.rows:
            self.bar.setValue(0)
            self.before.hide()
            self.show()
        self.bar.show()
        self.stop.show()
        self.stop.setEnabled(not epochs.stopping)
        self.stop.setText(tr("Stopping ...") if epochs.stopping else tr("Stop"))
        self.line.setText(_in_words(epochs))
        self._draw(epochs.rows)

    def _draw(self, rows: tuple[dict[str, float], ...]) -> None:
        for line, column in ((self.train_curve, "train_loss"), (self.test_curve, "test_loss"), (self.ap_curve, "ap50")):
            there = [row for row in rows if column in row]
            line.setData([row["epoch"] + 1 for row in there], [row[column] for row in there])
        losses = [row[column] for row in rows for column in ("train_loss", "test_loss") if column in row]
        self.loss.setYRange(0, max(losses, default=1.0), padding=0.05)
        for curve in (self.loss, self.ap):
            curve.show_counts(len(rows))
        self.ap.setVisible(any("ap50" in row for row in rows) or not rows)

    def _show_job(self, job: Job[Any]) -> None:
        if job.name == self._session.training.name:
            self.bar.setValue(round(100 * job.progress))

    def _show_result(self, trained: Trained) -> None:
        self._end(str(trained))
        if trained.before is not None:
            self.before.setValue(trained.before)
            self.before.show()

    def _end(self, words: str) -> None:
        self.line.setText(words)
        self.bar.hide()
        self.stop.hide()


def _in_words(epochs: Epochs) -> str:
    done = len(epochs.rows)
    if epochs.stopping:
        return tr("{name}: stopping; the model as it is will be kept", name=epochs.name)
    if not done:
        return tr("{name}: preparing images", name=epochs.name)
    left = epochs.seconds_left
    time = (
        ""
        if left is None
        else tr(", about {minutes:.0f} min left", minutes=left / _MINUTE)
        if left > _LONG
        else tr(", {left:.0f} s left", left=left)
    )
    return tr(
        "{name}: epoch {done} of {n_epochs}{time}", name=epochs.name, done=done, n_epochs=epochs.n_epochs, time=time
    )
