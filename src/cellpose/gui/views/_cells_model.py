"""The cells of an image as rows of a Qt table: nothing is copied, and an edit changes only its own rows."""

from __future__ import annotations

from collections.abc import Iterable
from math import isnan
from typing import Any
from weakref import ref

import numpy as np
import qtawesome
from qtpy.QtCore import QAbstractTableModel, QItemSelection, QModelIndex, Qt
from qtpy.QtGui import QColor

from cellpose.gui._texts import tr
from cellpose.gui.controllers._session import Session
from cellpose.gui.model import Document, Edit
from cellpose.gui.model._cell_list import COLUMNS, CellList, Step

__all__ = ["CellsModel"]

_MANY = 64  # if an edit changes this many cells, all rows are listed again
_Role = Qt.ItemDataRole
_NO_PARENT = QModelIndex()
_ICONS = {"checked": ("mdi6.check", "#5bb974"), "hand-made": ("mdi6.pencil", "#e8984c")}
_TITLES = {"id": tr("cell"), "size": tr("pixels"), "diameter": "⌀ px", "state": "✓"}


class CellsModel(QAbstractTableModel):  # type: ignore[misc]
    """Rows are cells, columns are ``COLUMNS``.

    Parameters
    ----------
    session
        The session whose cells are listed: those of the open document that pass the filter of `Review`.

    Attributes
    ----------
    is_following
        Whether rows come and go with an edit; the selection that Qt changes with them is no choice of the user.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._document: Document | None = None
        self.cells: CellList | None = None
        self.is_following = False
        self._sorted: tuple[str, bool] = ("id", False)
        session.opened.connect(self._open)
        session.review.filtered.connect(lambda: self.list_anew())
        session.scale.changed.connect(lambda: self._show_units())
        session.review.classes.changed.connect(lambda: self._column_changed("class"))

    def _open(self, document: Document | None) -> None:
        if document is not None and document is not self._document:
            there = ref(document)  # a strong reference would keep the document alive
            document.edited.connect(lambda edit: self._follow(there(), edit))
        self._document = document
        self.list_anew()

    def list_anew(self) -> None:
        """List the cells again: any row may have changed."""
        self.beginResetModel()
        if self._document is None:
            self.cells = None
        else:
            self.cells = self._session.review.listed(self._document)
            self.cells.sort(*self._sorted)
        self.endResetModel()

    def _follow(self, document: Document | None, edit: Edit) -> None:
        if document is not self._document or self.cells is None:
            return
        if edit.ids.size > _MANY:
            self.list_anew()
            return
        ids, self.is_following = edit.ids.tolist(), True
        try:
            for n, cell in enumerate(ids, 1):
                self._take(self.cells, self.cells.step(cell, ids[n:]))
        finally:
            self.is_following = False
        if self._document is not None and self._document.is_movie:  # one link changes the track of many cells
            if self._sorted[0] == "track":
                self.list_anew()
            else:
                self._column_changed("track")

    def _take(self, cells: CellList, step: Step) -> None:
        if step.old < 0 and step.new < 0:
            return
        if step.old < 0:
            self.beginInsertRows(_NO_PARENT, step.new, step.new)
            cells.take(step)
            self.endInsertRows()
        elif step.new < 0:
            self.beginRemoveRows(_NO_PARENT, step.old, step.old)
            cells.take(step)
            self.endRemoveRows()
        else:
            if step.old != step.new:
                place = step.new + (step.new > step.old)  # Qt counts the rows before the move
                self.beginMoveRows(_NO_PARENT, step.old, step.old, _NO_PARENT, place)
                cells.take(step)
                self.endMoveRows()
            self.dataChanged.emit(self.index(step.new, 0), self.index(step.new, len(COLUMNS) - 1))

    def _show_units(self) -> None:
        self.headerDataChanged.emit(Qt.Orientation.Horizontal, 0, len(COLUMNS) - 1)
        for name in ("size", "diameter"):
            self._column_changed(name)

    def _column_changed(self, name: str) -> None:
        if self.rowCount():
            column = COLUMNS.index(name)
            self.dataChanged.emit(self.index(0, column), self.index(self.rowCount() - 1, column))

    # --- what Qt asks ---

    def rowCount(self, parent: QModelIndex = _NO_PARENT) -> int:
        """Return the number of listed cells."""
        return 0 if self.cells is None or parent.isValid() else len(self.cells)

    def columnCount(self, parent: QModelIndex = _NO_PARENT) -> int:
        """Return the number of ``COLUMNS``."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(self, section: int, orientation: Any, role: int = _Role.DisplayRole) -> Any:
        """Return the titles of the columns and their explanations."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        name = COLUMNS[section]
        micrometres = self._pixel_um() is not None
        if role == _Role.DisplayRole:
            if micrometres and name in ("size", "diameter"):
                return {"size": "µm²", "diameter": "⌀ µm"}[name]
            return _TITLES.get(name, tr(name))
        if role == _Role.ToolTipRole:
            return self._hint(name)
        if role == _Role.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        return None

    def _hint(self, name: str) -> str:
        if name == "score":
            scoring = None if self._document is None else self._document.scoring
            return tr("how sure the model is, 0 to 1") if scoring is None else scoring.words
        return {
            "id": tr("number of the cell"),
            "frame": tr("of the movie, from 0 on"),
            "track": tr("the number of its first cell; a track ends where its cell divides"),
            "size": tr("area; the other unit is shown when the pointer rests on it"),
            "diameter": tr("of a disk of the same area"),
            "class": tr("given by the keys 1 to 9"),
            "state": tr("checked by Y, or made or corrected by hand"),
        }[name]

    def data(self, index: QModelIndex, role: int = _Role.DisplayRole) -> Any:
        """Return the content of a table cell."""
        if self.cells is None or not index.isValid():
            return None
        name = COLUMNS[index.column()]
        if role == _Role.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignLeft if name in ("class", "state") else Qt.AlignmentFlag.AlignRight
            return side | Qt.AlignmentFlag.AlignVCenter
        show = {_Role.DisplayRole: self._text, _Role.DecorationRole: self._icon, _Role.ToolTipRole: self._tip}.get(role)
        return None if show is None else show(name, self.cells.value(index.row(), name))

    def _icon(self, name: str, value: Any) -> Any:
        if name == "class" and value:
            return QColor(self._session.review.classes[value - 1].color)
        return qtawesome.icon(_ICONS[value][0], color=_ICONS[value][1]) if name == "state" and value else None

    def _tip(self, name: str, value: Any) -> str | None:
        if name == "size":
            return tr("{value} pixels", value=value)
        return str(value) or None if name == "state" else None

    def _text(self, name: str, value: Any) -> str:
        um = self._pixel_um()
        if name == "state":
            return ""
        if name == "score":
            return "" if isnan(value) else f"{value:.2f}"
        if name == "class":
            return self._session.review.classes.name(value)
        if name == "diameter":
            return f"{value * (um[0] * um[1]) ** 0.5:.4g}" if um else f"{value:.1f}"
        if name == "size" and um:
            return f"{value * um[0] * um[1]:.4g}"
        return str(value)

    def _pixel_um(self) -> tuple[float, float] | None:
        return self._session.scale.pixel_um

    def sort(self, column: int, order: Any = Qt.SortOrder.AscendingOrder) -> None:
        """Sort the rows by a column."""
        self._sorted = (COLUMNS[column], order == Qt.SortOrder.DescendingOrder)
        self.list_anew()

    # --- cells and rows ---

    def cells_at(self, rows: Iterable[int]) -> list[int]:
        """The numbers of the cells in these rows."""
        return [] if self.cells is None else self.cells.order[list(rows)].tolist()

    def selection_of(self, cells: Iterable[int]) -> QItemSelection:
        """The rows of cells, in as few ranges as possible."""
        found = QItemSelection()
        if self.cells is None:
            return found
        rows = self.cells.rows_of(np.fromiter(cells, np.int32))
        for run in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1):
            if run.size:
                found.select(self.index(int(run[0]), 0), self.index(int(run[-1]), len(COLUMNS) - 1))
        return found
