"""Building blocks of the widgets: layer choices that follow the viewer, and the row that runs a task."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from cellpose.errors import CellposeError
from cellpose.napari._tasks import Cancelled, Task

__all__ = ["Choices", "Page", "TaskRow", "group", "heading", "number", "put_layers", "watch_layers"]


class Page(QScrollArea):  # type: ignore[misc]
    """A dock widget: groups stacked vertically, which scroll if the dock is low.

    Parameters
    ----------
    viewer
        The napari viewer.
    """

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self.viewer = viewer
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumWidth(330)
        inside = QWidget()
        self.column = QVBoxLayout(inside)
        self.column.setContentsMargins(10, 8, 10, 8)
        self.column.setSpacing(10)
        self.setWidget(inside)

    def showEvent(self, event: QShowEvent) -> None:
        """Be as wide as the rows need: there is no horizontal scroll bar."""
        self.setMinimumWidth(max(self.minimumWidth(), self.widget().minimumSizeHint().width()))
        super().showEvent(event)


def group(title: str) -> tuple[QGroupBox, QFormLayout]:
    """A titled group of a page, with rows of a label and a field."""
    box = QGroupBox(title)
    form = QFormLayout(box)
    form.setContentsMargins(10, 14, 10, 8)
    form.setVerticalSpacing(6)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
    return box, form


def heading(text: str) -> QLabel:
    """A label that wraps."""
    label = QLabel(text)
    label.setWordWrap(True)
    return label


def number(
    low: float, high: float, value: float, step: float, unit: str = "", *, decimals: int | None = None, zero: str = ""
) -> QDoubleSpinBox:
    """A field for a number; ``zero`` is shown in place of the minimum."""
    field = QDoubleSpinBox()
    field.setDecimals((2 if step < 1 else 1) if decimals is None else decimals)
    field.setRange(low, high)
    field.setSingleStep(step)
    field.setSuffix(unit)
    field.setSpecialValueText(zero)
    field.setValue(value)
    field.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return field


class Choices(QComboBox):  # type: ignore[misc]
    """Choices that may change while the selected one stays selected.

    Parameters
    ----------
    tip
        Tooltip.
    """

    def __init__(self, tip: str = "") -> None:
        super().__init__()
        self.refresh: Callable[[], None] | None = None  # updates the choices before the list opens
        self.setToolTip(tip)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(9)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def showPopup(self) -> None:
        """Open the list."""
        if self.refresh is not None:
            self.refresh()
        super().showPopup()

    def offer(self, items: list[tuple[str, Any]], same: Callable[[Any, Any], bool] | None = None) -> None:
        """Offer texts and their values; emits `currentIndexChanged` only if the choice changes."""
        before = self.currentData()
        same = same or (lambda one, other: bool(one == other))
        at = next((index for index, (_, value) in enumerate(items) if before is not None and same(value, before)), 0)
        self.blockSignals(True)
        self.clear()
        for text, value in items:
            self.addItem(text, value)
        self.setCurrentIndex(at if items else -1)
        self.blockSignals(False)
        after = self.currentData()
        if (before is None) != (after is None) or (before is not None and not same(before, after)):
            self.currentIndexChanged.emit(self.currentIndex())


def watch_layers(viewer: Any, owner: QWidget, follow: Callable[[], None]) -> None:
    """Call ``follow`` once now, and whenever layers are added, removed or renamed, until ``owner`` is destroyed."""
    events = viewer.layers.events

    def changed(_event: Any = None) -> None:
        follow()

    def added(event: Any) -> None:
        event.value.events.name.connect(changed)
        follow()

    events.inserted.connect(added)
    events.removed.connect(changed)
    for layer in viewer.layers:
        layer.events.name.connect(changed)

    def forget() -> None:
        events.inserted.disconnect(added)
        events.removed.disconnect(changed)
        for layer in viewer.layers:
            layer.events.name.disconnect(changed)

    owner.destroyed.connect(lambda _=None: forget())
    follow()


def put_layers(viewer: Any, layers: list[tuple[Any, dict[str, Any], str]]) -> list[Any]:
    """Add layers to the viewer, each with a unique name as napari makes them."""
    return [getattr(viewer, f"add_{kind}")(data, **keywords) for data, keywords, kind in layers]


class TaskRow(QWidget):  # type: ignore[misc]
    """A button that runs a task in the background, a cancel button, the progress, and the result.

    Parameters
    ----------
    text
        Text of the button.
    begin
        Called when the button is clicked.
    """

    def __init__(self, text: str, begin: Callable[[], None]) -> None:
        super().__init__()
        self.button, self.cancel_button = QPushButton(text), QPushButton("Cancel")
        self.bar, self.words = QProgressBar(), heading("")
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(6)
        column, row = QVBoxLayout(self), QHBoxLayout()
        column.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.button, 1)
        row.addWidget(self.cancel_button)
        column.addLayout(row)
        column.addWidget(self.bar)
        column.addWidget(self.words)
        self.button.clicked.connect(lambda: self.guarded(begin))
        self.cancel_button.clicked.connect(self.cancel)
        self.running: Callable[[bool], None] | None = None  # called when a task begins and ends
        self._task: Task[Any] | None = None
        self._worker: Any = None
        self._shown: Any = None
        self._gone = threading.Event()
        self.destroyed.connect(lambda _=None, gone=self._gone: gone.set())
        self._show(False)

    @property
    def is_running(self) -> bool:
        """Whether a task runs."""
        return self._task is not None

    def tell(self, text: str) -> None:
        """Show a message below the button."""
        self.words.setText(text)

    def guarded(self, do: Callable[[], None]) -> None:
        """Run a function and show its errors here."""
        try:
            do()
        except CellposeError as error:
            self.tell(str(error))

    def start(self, title: str, work: Callable[[Callable[[Any], None]], Any], done: Callable[[Any], None]) -> None:
        """Run ``work`` in the background, then ``done`` with its result in the main thread.

        Parameters
        ----------
        title
            Title, also shown in napari's activity dock.
        work
            Takes a function to report progress to: a share, 0 to 1, or words.
        done
            Called with the result; not called if the task fails or is canceled.
        """
        if self.is_running:
            return
        from napari.qt.threading import create_worker
        from napari.utils import progress

        gone = self._gone

        def guarded_work(report: Callable[[Any], None]) -> Any:
            def told(news: Any) -> None:
                if gone.is_set():  # the widget was closed
                    raise Cancelled
                report(news)

            return work(told)

        task = Task(guarded_work)
        self._task, self._shown = task, progress(total=100, desc=title)
        self._worker = worker = create_worker(task.steps, _start_thread=False, _ignore_errors=True)
        worker.yielded.connect(self._if_here(self._progressed))
        worker.returned.connect(self._if_here(lambda result: self._returned(task, result, done)))
        worker.errored.connect(self._if_here(self._failed))
        worker.finished.connect(self._if_here(lambda: self._ended(task)))
        self.tell(f"{title} ...")
        self._show(True)
        worker.start()

    def cancel(self) -> None:
        """End the task at its next report and discard its result."""
        if self._task is not None and not self._task.is_cancelled:
            self._task.cancel()
            self.cancel_button.setEnabled(False)
            self.tell("canceling ...")

    def _if_here(self, do: Callable[..., None]) -> Callable[..., None]:
        """The same function, but without effect once the widget is closed."""
        gone = self._gone
        return lambda *values: None if gone.is_set() else do(*values)

    def _returned(self, task: Task[Any], result: Any, done: Callable[[Any], None]) -> None:
        if not task.is_cancelled:
            self.guarded(lambda: done(result))

    def _progressed(self, news: Any) -> None:
        if isinstance(news, str):
            self.tell(news)
        elif news is not None and self._shown is not None:
            percent = max(0, min(100, round(100 * float(news))))
            self.bar.setRange(0, 100)
            self.bar.setValue(percent)
            self._shown.n = percent
            self._shown.refresh()

    def _failed(self, error: BaseException) -> None:
        if not isinstance(error, CellposeError):
            from napari.utils.notifications import notification_manager

            notification_manager.dispatch_notification_from_exception(error)
        self.tell(str(error) or type(error).__name__)

    def _ended(self, task: Task[Any]) -> None:
        if task.is_cancelled:
            self.tell("canceled")
        if self._shown is not None:
            self._shown.close()
        self._task = self._worker = self._shown = None
        self._show(False)

    def _show(self, running: bool) -> None:
        if self.running is not None:
            self.running(running)
        self.button.setEnabled(not running)
        self.cancel_button.setVisible(running)
        self.cancel_button.setEnabled(running)
        self.bar.setRange(0, 0 if running else 100)
        self.bar.setValue(0)
        keep = self.bar.sizePolicy()
        keep.setRetainSizeWhenHidden(True)
        self.bar.setSizePolicy(keep)
        self.bar.setVisible(running)
