"""The window that runs the current settings on folders: the queue, what to write, and the results."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QFormLayout,
    QGridLayout,
    QGroupBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QSplitter,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from cellpose.gui._texts import tr
from cellpose.gui.controllers._session import Session
from cellpose.gui.model._batch import OUTPUTS, BatchFolder
from cellpose.gui.views._batch_results import BatchResults, in_words
from cellpose.gui.views.panels._bound import check_box
from cellpose.gui.views.panels._names import give_names

__all__ = ["BatchWindow"]

_STATES = {
    "waiting": tr("waits"), "running": tr("runs"), "measuring": tr("is measured"), "paused": tr("paused"),
    "cancelled": tr("canceled"),
    "done": tr("done"), "failed": tr("failed"),
}  # fmt: skip
_MOVING = ("running", "measuring", tr("paused"))  # states in which a progress bar says more than the word
_ENTRY = Qt.ItemDataRole.UserRole


class BatchWindow(QDialog):  # type: ignore[misc]
    """A separate window beside the main one, which stays usable.

    Parameters
    ----------
    session
        The session whose settings are run.
    parent
        The main window.
    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("Segment folders"))
        self.resize(1040, 640)
        self.setAcceptDrops(True)
        self._session, self._batch = session, session.batch
        self.settings, self.rows = QLabel(), QTreeWidget()
        self.add, self.remove = _button(tr("Add folder…")), _button(tr("Remove"), tr("takes the folder off the list"))
        self.run, self.pause, self.cancel = _button(tr("Run")), _button(tr("Pause")), _button(tr("Cancel"))
        self.run.setObjectName("run")
        self.pause.setToolTip(tr("images that are finished stay, and the run goes on from there"))
        self.cancel.setToolTip(tr("ends this folder; images that are finished stay"))
        self.results = BatchResults(session)
        self._set_up_rows()
        self._lay_out()
        self._connect()
        give_names(self)
        self._show_settings()
        self._show_queue()

    def _set_up_rows(self) -> None:
        self.rows.setHeaderLabels([tr("folder"), tr("cells"), tr("state"), ""])
        self.rows.setRootIsDecorated(False)
        self.rows.setUniformRowHeights(True)
        self.rows.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.rows.setAccessibleName(tr("folders to segment"))
        self.rows.setStyleSheet("QTreeView::item { padding: 4px 2px; }")
        header = self.rows.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in (1, 2):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        self.rows.setColumnWidth(3, 92)

    def _lay_out(self) -> None:
        self.settings.setObjectName("faint")
        self.settings.setWordWrap(True)
        change = QHBoxLayout()
        for widget in (self.add, self.remove):
            change.addWidget(widget)
        change.addStretch(1)
        go = QHBoxLayout()
        go.addWidget(self.run, 2)
        go.addWidget(self.pause, 1)
        go.addWidget(self.cancel, 1)
        left = QWidget()
        column = QVBoxLayout(left)
        column.setContentsMargins(0, 0, 8, 0)
        column.setSpacing(10)
        column.addWidget(self.settings)
        column.addWidget(self.rows, 1)
        column.addLayout(change)
        column.addWidget(self._options())
        column.addLayout(go)
        split = QSplitter(Qt.Orientation.Horizontal)
        split.addWidget(left)
        split.addWidget(self.results)
        split.setStretchFactor(1, 1)
        split.setSizes([430, 600])
        split.setChildrenCollapsible(False)
        whole = QHBoxLayout(self)
        whole.setContentsMargins(16, 14, 16, 14)
        whole.addWidget(split)

    def _options(self) -> QGroupBox:
        options, box = self._batch.options, QGroupBox(tr("Write for each image"))
        form = QFormLayout(box)
        form.setContentsMargins(10, 8, 10, 8)
        grid = QGridLayout()
        self.outputs = {name: check_box(what, options, name) for name, (_, what) in OUTPUTS.items()}
        for place, made in enumerate(self.outputs.values()):
            grid.addWidget(made, place // 2, place % 2)
        self.measure = check_box(tr("measure the cells: CSV, plots"), options, "measure")
        self.parquet = check_box(tr("Parquet too"), options, "parquet")
        there = importlib.util.find_spec("pyarrow") is not None
        self.parquet.setEnabled(there)
        self.parquet.setToolTip(
            tr("the same table for pandas and R") if there else tr('pip install "cellpose[measure]"')
        )
        grid.addWidget(self.measure, 3, 0)
        grid.addWidget(self.parquet, 3, 1)
        self.skip_done = check_box(tr("leave out what is done already"), options, "skip_done")
        self.skip_done.setToolTip(tr("images that the same model with the same options has segmented here before"))
        grid.addWidget(self.skip_done, 4, 0, 1, 2)
        form.addRow(grid)
        self.savedir, self.choose = (
            QLineEdit(options.savedir),
            _button(tr("Choose…"), tr("choose a folder for the results")),
        )
        self.savedir.setPlaceholderText(tr("beside the images"))
        self.savedir.setAccessibleName(tr("folder of the results"))
        place = QHBoxLayout()
        place.addWidget(self.savedir, 1)
        place.addWidget(self.choose)
        form.addRow(tr("results"), place)
        return box

    def _connect(self) -> None:
        batch = self._batch
        self.add.clicked.connect(lambda: self._add())
        self.remove.clicked.connect(lambda: self._remove())
        self.run.clicked.connect(lambda: batch.start())
        self.pause.clicked.connect(lambda: batch.pause())
        self.cancel.clicked.connect(lambda: batch.cancel())
        self.choose.clicked.connect(lambda: self._choose())
        self.savedir.textChanged.connect(lambda text: setattr(batch.options, "savedir", text.strip()))
        self.rows.currentItemChanged.connect(lambda *_: self._show_results())
        batch.changed.connect(lambda entry: self._show_news(entry))
        self._session.settings.events.connect(lambda _: self._show_settings())

    def _add(self) -> None:
        folder = self._session.dialogs.ask_folder(tr("Add a folder of images"), self._session.files.folder())
        if folder is not None:
            self._batch.add(folder)

    def _remove(self) -> None:
        entry = self._chosen()
        if entry is not None:
            self._batch.remove(entry)

    def _choose(self) -> None:
        folder = self._session.dialogs.ask_folder(tr("Folder for the results"), self._session.files.folder())
        if folder is not None:
            self.savedir.setText(str(folder))

    def _chosen(self) -> BatchFolder | None:
        item = self.rows.currentItem()
        return None if item is None else item.data(0, _ENTRY)

    def _show_settings(self) -> None:
        settings = self._session.settings
        size = (
            tr("{diameter:g} pixels", diameter=settings.diameter)
            if settings.diameter
            else tr("the diameter of its training")
        )
        self.settings.setText(
            tr(
                "Settings of the window: {model}, {size}, flow threshold {flow_threshold:g}, cellprob "
                "threshold {cellprob_threshold:g}",
                model=settings.model,
                size=size,
                flow_threshold=settings.flow_threshold,
                cellprob_threshold=settings.cellprob_threshold,
            )
        )

    def _show_news(self, entry: BatchFolder) -> None:
        if self.rows.topLevelItemCount() != len(self._batch.queue):
            self._show_queue()
        elif (place := next((n for n, each in enumerate(self._batch.queue) if each is entry), None)) is not None:
            self._fill(self.rows.topLevelItem(place), entry)
        if entry.state == "running" and not entry.results:
            self.rows.setCurrentItem(self.rows.topLevelItem(self._batch.queue.index(entry)))
        if entry is self._chosen():
            self._show_results()
        self._show_buttons()

    def _show_queue(self) -> None:
        chosen = self._chosen()
        self.rows.clear()
        for entry in self._batch.queue:
            item = QTreeWidgetItem()
            item.setData(0, _ENTRY, entry)
            self.rows.addTopLevelItem(item)
            self._fill(item, entry)
            if entry is chosen or chosen is None:
                self.rows.setCurrentItem(item)
                chosen = entry
        self._show_results()
        self._show_buttons()

    def _fill(self, item: QTreeWidgetItem, entry: BatchFolder) -> None:
        item.setText(0, entry.folder.name)
        asked = tr(", with {settings}", settings=entry.asked) if entry.asked else ""
        item.setToolTip(0, f"{entry.folder}: {in_words(entry)}{asked}")
        item.setText(1, f"{entry.cells:,}" if entry.results else "")
        item.setTextAlignment(1, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        failed = tr(", {n} failed", n=len(entry.failed)) if entry.failed and entry.state == "done" else ""
        count = (
            tr("{done} of {total}", done=entry.before + len(entry.results), total=entry.total)
            if entry.state == "running"
            else ""
        )
        item.setText(2, count if entry.total and count else _STATES[entry.state] + failed)
        if entry.state not in _MOVING:
            self.rows.removeItemWidget(item, 3)
            return
        bar: Any = self.rows.itemWidget(item, 3) or self._bar(item, entry)
        swings = entry.state == "running" and not entry.total  # the model is being loaded
        bar.setRange(0, 0 if swings else 100)
        bar.setValue(round(100 * entry.share))

    def _bar(self, item: QTreeWidgetItem, entry: BatchFolder) -> QProgressBar:
        bar = QProgressBar()
        bar.setTextVisible(False)
        bar.setFixedHeight(10)
        bar.setAccessibleName(tr("progress of {name}", name=entry.folder.name))
        self.rows.setItemWidget(item, 3, bar)
        return bar

    def _show_results(self) -> None:
        self.results.show_folder(self._chosen())
        self._show_buttons()

    def _show_buttons(self) -> None:
        batch, chosen = self._batch, self._chosen()
        self.run.setText(tr("Go on") if batch.is_paused else tr("Run"))
        self.run.setEnabled(not batch.is_running and batch.is_left)
        self.pause.setEnabled(batch.is_running and not batch.is_ending)
        self.pause.setText(tr("Pausing…") if batch.is_ending else tr("Pause"))
        self.cancel.setEnabled((batch.is_running and not batch.is_ending) or batch.is_paused)
        self.remove.setEnabled(chosen is not None and chosen.state not in ("running", "measuring"))

    def dragEnterEvent(self, event: Any) -> None:
        """Accept folders."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: Any) -> None:
        """Add the dropped folders."""
        for url in event.mimeData().urls():
            if url.isLocalFile() and Path(url.toLocalFile()).is_dir():
                self._batch.add(Path(url.toLocalFile()))


def _button(text: str, hint: str = "") -> QPushButton:
    made = QPushButton(text)
    made.setToolTip(hint)
    made.setAutoDefault(False)
    return made
