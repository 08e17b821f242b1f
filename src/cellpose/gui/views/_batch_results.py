"""The results of a folder: a picture of each image, the reasons for failures, and plots of the measurements."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qtawesome
from qtpy.QtCore import QAbstractListModel, QModelIndex, QSize, Qt, QUrl
from qtpy.QtGui import QDesktopServices, QIcon, QPixmap
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QListView,
    QPushButton,
    QScrollArea,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from cellpose.gui._texts import tr, tr_n
from cellpose.gui.controllers._session import Session
from cellpose.gui.model._batch import BatchFolder, ImageResult
from cellpose.gui.views.panels._bound import list_keys

__all__ = ["BatchResults", "in_words"]

_PICTURE, _CELL = 132, QSize(150, 182)
_PLOTS = ("sizes", "counts", "intensity")
_ORDERS: dict[str, Any] = {
    tr("failed first"): lambda result: (not result.error, result.path.name),
    tr("by name"): lambda result: result.path.name,
    tr("fewest cells first"): lambda result: (bool(result.error), result.cells),
    tr("slowest first"): lambda result: -result.seconds,
}


def in_words(entry: BatchFolder) -> str:
    """The outcome of a folder in one line."""
    done = [each for each in entry.results if not each.error]
    if not entry.results and not entry.before:
        return entry.message or {"waiting": tr("waits to be run"), "running": tr("begins")}.get(
            entry.state, entry.state
        )
    parts = [tr_n("{cells:,} cells in {n} image", "{cells:,} cells in {n:,} images", len(done), cells=entry.cells)]
    parts += [tr("{time} per image", time=_time(entry.seconds / max(len(done), 1)))] if done else []
    parts += [tr("{n} failed", n=len(entry.failed))] if entry.failed else []
    parts += [tr("{before} done before", before=entry.before)] if entry.before else []
    return ", ".join([*parts, *([entry.message] if entry.message else [])])


def _time(seconds: float) -> str:
    return tr("{seconds:.1f} s", seconds=seconds) if seconds < 60 else tr("{minutes:.1f} min", minutes=seconds / 60)


class _Results(QAbstractListModel):  # type: ignore[misc]
    """The images, with their pictures."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.rows: list[ImageResult] = []
        self._icons: dict[ImageResult, QIcon] = {}
        self._none = qtawesome.icon("mdi6.image-outline", color="#80858e", scale_factor=0.4)
        self._failed = qtawesome.icon("mdi6.alert-circle-outline", color="#d9534f", scale_factor=0.4)
        session.thumbnails.ready.connect(lambda path: self._renew(path))

    def show(self, rows: list[ImageResult]) -> None:
        """Show these rows; if the list only grew, the rows already shown stay in place."""
        if rows == self.rows:
            return
        if rows[: len(self.rows)] == self.rows and self.rows:
            self.beginInsertRows(QModelIndex(), len(self.rows), len(rows) - 1)
            self.rows = list(rows)
            self.endInsertRows()
            return
        self.beginResetModel()
        self.rows = list(rows)
        self.endResetModel()

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of images."""
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the name and number of cells, the picture, or the reason of a failure."""
        result = self.rows[index.row()]
        cells = "failed" if result.error else f"{result.cells:,} {'cell' if result.cells == 1 else 'cells'}"
        if role == Qt.ItemDataRole.DisplayRole:
            return f"{result.path.name}\n{cells}"
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{result.path.name}, {result.error or cells}"
        if role == Qt.ItemDataRole.ToolTipRole:
            return result.error or tr(
                "{name}: {cells} in {time}; a click opens it",
                name=result.path.name,
                cells=cells,
                time=_time(result.seconds),
            )
        if role == Qt.ItemDataRole.DecorationRole:
            return self._icon(result)
        return None

    def _icon(self, result: ImageResult) -> QIcon:
        if result.error:
            return self._failed
        if result not in self._icons:
            picture = self._session.thumbnails.of(result)
            if not picture:
                return self._none
            pixmap = QPixmap()
            pixmap.loadFromData(picture)
            self._icons[result] = QIcon(pixmap)
        return self._icons[result]

    def _renew(self, path: Path) -> None:
        for row, result in enumerate(self.rows):
            if result.path == path:
                self.dataChanged.emit(self.index(row), self.index(row), [Qt.ItemDataRole.DecorationRole])


class BatchResults(QWidget):  # type: ignore[misc]
    """The results of one folder.

    Parameters
    ----------
    session
        The session whose window opens an image when it is clicked.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._entry: BatchFolder | None = None
        self._plots_of: tuple[Path, bool] | None = None
        self.title, self.words, self.order = QLabel(), QLabel(), QComboBox()
        self.title.setObjectName("heading")
        self.words.setObjectName("faint")
        self.words.setWordWrap(True)
        self.order.addItems(list(_ORDERS))
        self.order.setAccessibleName(tr("order of the results"))
        self.list, self.results, self.plots = QListView(), _Results(session), QScrollArea()
        self._set_up_list()
        self.plots.setWidgetResizable(True)
        self.plots.setFrameShape(QScrollArea.Shape.NoFrame)
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.tabs.setAccessibleName(tr("results"))
        self.plots.setAccessibleName(tr("plots of the measurements"))
        self.tabs.addTab(self.list, tr("Images"))
        self.tabs.addTab(self.plots, tr("Plots"))
        self.report, self.open = QPushButton(tr("Report")), QPushButton(tr("Folder of the results"))
        self.report.setToolTip(tr("opens the report of the measurements in the browser"))
        self.open.setToolTip(tr("shows the files that were written"))
        for button in (self.report, self.open):
            button.setAutoDefault(False)
        self._lay_out()
        self.order.currentIndexChanged.connect(lambda _: self._show_rows())
        self.list.clicked.connect(self._open)
        self.list.activated.connect(self._open)
        self.report.clicked.connect(lambda: self._launch(self._report_file()))
        self.open.clicked.connect(lambda: self._launch(self._folder()))
        self.show_folder(None)

    def _set_up_list(self) -> None:
        self.list.setModel(self.results)
        self.list.setViewMode(QListView.ViewMode.IconMode)
        self.list.setIconSize(QSize(_PICTURE, _PICTURE))
        self.list.setGridSize(_CELL)
        self.list.setUniformItemSizes(True)
        self.list.setResizeMode(QListView.ResizeMode.Adjust)
        self.list.setMovement(QListView.Movement.Static)
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.list.setWordWrap(False)  # a long name is shortened; in two lines it would leave no room for the result
        self.list.setFrameShape(QListView.Shape.NoFrame)
        self.list.setAccessibleName(tr("images with their cells"))
        list_keys(self.list, Qt.Key.Key_Return, Qt.Key.Key_Enter)

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.addWidget(self.title, 1)
        head.addWidget(self.order)
        foot = QHBoxLayout()
        foot.addStretch(1)
        foot.addWidget(self.report)
        foot.addWidget(self.open)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(head)
        layout.addWidget(self.words)
        layout.addWidget(self.tabs, 1)
        layout.addLayout(foot)

    def show_folder(self, entry: BatchFolder | None) -> None:
        """Show the results of this folder; update them if it is already shown."""
        self._entry = entry
        self.title.setText(entry.folder.name if entry is not None else tr("Results"))
        self.title.setToolTip(str(entry.folder) if entry is not None else "")
        self.words.setText(in_words(entry) if entry is not None else tr("What comes of each image is shown here."))
        folder, report = self._folder(), self._report_file()
        self.open.setEnabled(folder is not None and folder.is_dir())
        self.report.setEnabled(report is not None)
        self._show_rows()
        self._show_plots()

    def _show_rows(self) -> None:
        rows = [] if self._entry is None else self._entry.results
        # while images come in, those already shown stay in place
        over = self._entry is not None and self._entry.state not in ("running", "measuring")
        self.results.show(sorted(rows, key=_ORDERS[self.order.currentText()]) if over else list(rows))

    def _show_plots(self) -> None:
        folder = None if self._entry is None else self._entry.measurements
        shown = None if folder is None else (folder, True)
        if shown == self._plots_of and self.plots.widget() is not None:
            return
        self._plots_of = shown
        inner = QWidget()
        column = QVBoxLayout(inner)
        files = [] if folder is None else [folder / f"measurements_{name}_cp_output.png" for name in _PLOTS]
        there = [file for file in files if file.is_file()]
        for file, name in zip(files, _PLOTS, strict=False):
            if file in there:
                label = QLabel()
                label.setPixmap(QPixmap(str(file)).scaledToWidth(520, Qt.TransformationMode.SmoothTransformation))
                label.setAccessibleName(tr("plot of {name}", name=name))
                column.addWidget(label, 0, Qt.AlignmentFlag.AlignHCenter)
        if not there:
            note = QLabel(tr("Plots of sizes, counts and intensities are here when a folder was measured."))
            note.setObjectName("faint")
            note.setWordWrap(True)
            column.addWidget(note)
        column.addStretch(1)
        self.plots.setWidget(inner)

    def _folder(self) -> Path | None:
        return None if self._entry is None else self._session.batch.results_of(self._entry)

    def _report_file(self) -> Path | None:
        folder = None if self._entry is None else self._entry.measurements
        file = None if folder is None else folder / "measurements_report.html"
        return file if file is not None and file.is_file() else None

    def _open(self, index: QModelIndex) -> None:
        self._session.files.begin(self.results.rows[index.row()].path)

    def _launch(self, path: Path | None) -> None:
        if path is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(path)))
