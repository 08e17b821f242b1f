"""The dock with the images of the folder, the progress of each, and the scores of the models."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pyqtgraph as pg
import qtawesome
from qtpy.QtCore import Qt
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import (
    QComboBox,
    QDockWidget,
    QHeaderView,
    QLabel,
    QProgressBar,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from cellpose.gui._texts import tr
from cellpose.gui.controllers._folder import ORDERS
from cellpose.gui.controllers._jobs import Job
from cellpose.gui.controllers._session import Session
from cellpose.gui.model._corrections import verdict
from cellpose.gui.model._folder import ImageState
from cellpose.gui.views._training_dock import BLUE, Curve
from cellpose.gui.views.panels._bound import list_keys, own_keys

__all__ = ["FolderDock"]

_ICONS = {
    "no masks": ("mdi6.circle-outline", "#888888"),
    "segmented": ("mdi6.circle-half-full", "#4c9be8"),
    "corrected": ("mdi6.pencil-circle", "#e8984c"),
    "checked": ("mdi6.check-circle", "#5bb974"),
    "cannot be read": ("mdi6.alert-circle", "#d9534f"),
}

_LEAST = 220  # screen pixels: names can be told apart, also after the window was small
_MOST_CHANGED = 50  # up to this many rows are changed in place


class FolderDock(QDockWidget):  # type: ignore[misc]
    """One row per image; a click opens it. Below: the AP of models on images before they were corrected.

    Parameters
    ----------
    session
        The session whose folder is shown.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(tr("Folder"))
        self.setObjectName("folder")
        self._session = session
        self._shown: list[ImageState] = []  # the content of the rows
        self.order, self.rows, self.words = QComboBox(), QTreeWidget(), QLabel()
        for order, title in ORDERS.items():
            self.order.addItem(title, order)
        self.looked = QProgressBar()
        self.looked.setFixedHeight(4)
        self.looked.setTextVisible(False)
        self.looked.setAccessibleName(tr("how many images were looked at"))
        self.looked.hide()
        self.rows.setHeaderLabels([tr("image"), tr("checked"), tr("AP")])
        self.rows.headerItem().setToolTip(1, tr("cells that were checked, drawn or corrected, of all"))
        self.rows.headerItem().setToolTip(2, tr("average precision at 0.5 that the model had before the correction"))
        self.rows.setRootIsDecorated(False)
        self.rows.setUniformRowHeights(True)
        header = self.rows.header()
        self.rows.setMinimumWidth(_LEAST)
        header.setStretchLastSection(False)
        header.setResizeContentsPrecision(0)  # only the visible rows; otherwise every change would measure all of them
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in (1, 2):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        self.history = Curve(tr("AP before correction"), tr("corrected image"))
        self.history.show_shares()
        self.line = self.history.plot(pen=pg.mkPen(BLUE, width=2), symbol="o", symbolSize=7, symbolBrush=BLUE)
        self.words.setWordWrap(True)
        inner = QWidget()
        column_of = QVBoxLayout(inner)
        for widget, stretch in ((self.order, 0), (self.looked, 0), (self.rows, 1), (self.history, 0), (self.words, 0)):
            column_of.addWidget(widget, stretch)
        self.setWidget(inner)
        self.order.activated.connect(lambda _: session.folder.set_order(self.order.currentData()))
        session.jobs.changed.connect(lambda job: self._show_looked(job))
        self.order.setAccessibleName(tr("order of the images"))
        own_keys(self.order)
        self.rows.setAccessibleName(tr("images of the folder"))
        list_keys(self.rows, Qt.Key.Key_Return, Qt.Key.Key_Enter)
        self.history.setAccessibleName(tr("average precision of the models before correction"))
        self.rows.itemActivated.connect(lambda row, _column: self._open(row))
        self.rows.itemClicked.connect(lambda row, _column: self._open(row))
        session.folder.changed.connect(lambda: self._show())
        self._show()

    def _open(self, row: QTreeWidgetItem) -> None:
        path = row.data(0, Qt.ItemDataRole.UserRole)
        document = self._session.document
        if document is None or document.path != Path(path):
            self._session.files.begin(Path(path))

    def _show_looked(self, job: Job[Any]) -> None:
        if job.name == self._session.folder.proposing:
            self.looked.setVisible(self._session.jobs.running(job.name) is not None)
            self.looked.setValue(round(100 * job.progress))

    def _show(self) -> None:
        self.order.setCurrentIndex(self.order.findData(self._session.folder.order))
        states, document = self._session.folder.states, self._session.document
        changed = [place for place, pair in enumerate(zip(states, self._shown, strict=False)) if pair[0] != pair[1]]
        if len(states) != len(self._shown) or len(changed) > _MOST_CHANGED:  # rows outside a table are quick to fill
            rows = [QTreeWidgetItem() for _ in states]
            for row, state in zip(rows, states, strict=True):
                _fill(row, state)
            self.rows.clear()
            self.rows.addTopLevelItems(rows)
        else:
            for place in changed:
                _fill(self.rows.topLevelItem(place), states[place])
        self._shown = states
        open_path = None if document is None else document.path
        here = next((place for place, state in enumerate(states) if state.path == open_path), None)
        if here is not None and self.rows.currentItem() is not self.rows.topLevelItem(here):
            self.rows.setCurrentItem(self.rows.topLevelItem(here))
        self._show_history()

    def _show_history(self) -> None:
        corrections = self._session.folder.corrections
        self.history.setVisible(bool(corrections))
        self.line.setData(range(1, len(corrections) + 1), [each.ap for each in corrections])
        self.history.show_counts(len(corrections))
        words = verdict(corrections)
        self.words.setVisible(bool(words))
        self.words.setText(words[:1].upper() + words[1:] + "." if words else "")


@cache
def _icon(state: str) -> QIcon:
    name, color = _ICONS[state]
    return qtawesome.icon(name, color=color)


def _fill(row: QTreeWidgetItem, state: ImageState) -> None:
    row.setIcon(0, _icon(state.state))
    row.setText(0, state.path.name)
    row.setText(1, f"{state.settled}/{state.cells}" if state.cells else "")
    row.setText(2, f"{state.correction.ap:.2f}" if state.correction else "")
    doubt = "" if state.doubt is None else tr(", mean score {score:.2f}", score=1 - state.doubt)
    row.setToolTip(0, f"{state.path.name}: {tr(state.state)}{doubt}")
    row.setData(0, Qt.ItemDataRole.UserRole, str(state.path))
    for column in (1, 2):
        row.setTextAlignment(column, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
