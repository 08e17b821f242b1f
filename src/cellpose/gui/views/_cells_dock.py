"""The dock with the table of cells and the names of their classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import qtawesome
from qtpy.QtCore import QItemSelectionModel, QSize, Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDockWidget,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QTableView,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from cellpose.gui._texts import tr
from cellpose.gui.controllers._session import Session
from cellpose.gui.model import Document
from cellpose.gui.model._cell_filter import EXAMPLES, FIELDS, WORDS
from cellpose.gui.model._cell_list import COLUMNS
from cellpose.gui.model._classes import CellClass
from cellpose.gui.views._cells_model import CellsModel
from cellpose.gui.views.panels._bound import CollapsibleGroup, color_button, list_keys, own_keys, row

__all__ = ["CellsDock"]

_ROW, _ICON = 22, 12  # screen pixels
_WIDTHS = {"id": 40, "frame": 40, "track": 42, "size": 48, "diameter": 44, "score": 46, "state": 26}
_GRAY = "#8a8f98"
_Select = QItemSelectionModel.SelectionFlag


class ClassNames(CollapsibleGroup):
    """Names and colors of the classes of cells; a class of its own, so that `F1` finds their help."""


class CellsDock(QDockWidget):  # type: ignore[misc]
    """One row per cell; a click selects the cell and centers it in the view.

    Parameters
    ----------
    session
        The session whose cells are shown.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(tr("Cells"))
        self.setObjectName("cells")
        self._session = session
        self._quiet = False  # the document, not the user, is changing the table
        self.model = CellsModel(session)
        self.filter, self.table, self.words = QLineEdit(), QTableView(), QLabel()
        list_keys(self.table)
        self.table.setTabKeyNavigation(False)  # Tab moves on to the buttons
        self.table.setAccessibleName(tr("cells"))
        self.words.setWordWrap(True)
        self.classes = ClassNames(tr("classes"))
        self._build_filter()
        self._build_table()
        self._build_classes()
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.setContentsMargins(8, 8, 8, 8)
        for widget, stretch in (
            (self.filter, 0),
            (self.table, 1),
            (self._buttons(), 0),
            (self.words, 0),
            (self.classes, 0),
        ):
            column.addWidget(widget, stretch)
        self.setWidget(inner)
        session.opened.connect(self._watch)
        self._watch(None)
        session.review.filtered.connect(lambda: self._show_filter())
        self._tell()

    # --- parts ---

    def _build_filter(self) -> None:
        own_keys(self.filter)
        self.filter.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.filter.setAccessibleName(tr("filter of the cells"))
        self.filter.setPlaceholderText(tr("filter:  score<0.5  unchecked"))
        self.filter.setClearButtonEnabled(True)
        self._filter_hint = tr(
            "{examples}<br>fields: {fields}; words: {words}; “not” before any of them",
            examples=EXAMPLES,
            fields=", ".join(FIELDS),
            words=", ".join(WORDS),
        )
        self.filter.setToolTip(self._filter_hint)
        self.filter.textChanged.connect(lambda text: self._session.review.set_filter(text))

    def _build_table(self) -> None:
        table = self.table
        table.setModel(self.model)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setShowGrid(False)
        table.setAlternatingRowColors(True)
        table.setWordWrap(False)
        table.setFrameShape(table.Shape.NoFrame)
        table.setCornerButtonEnabled(False)
        table.setIconSize(QSize(_ICON, _ICON))
        rows, header = table.verticalHeader(), table.horizontalHeader()
        rows.hide()
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)  # no row is measured
        rows.setDefaultSectionSize(_ROW)
        rows.setMinimumSectionSize(_ROW)
        header.setHighlightSections(False)
        # with the table's own selection Qt would ask each of 20,000 rows whether its column is fully selected
        header.setSelectionModel(QItemSelectionModel(self.model, header))
        header.setMinimumSectionSize(_WIDTHS["state"])
        for place, name in enumerate(COLUMNS):
            if name in _WIDTHS:
                table.setColumnWidth(place, _WIDTHS[name])
            else:
                header.setSectionResizeMode(place, QHeaderView.ResizeMode.Stretch)
        for place, name in enumerate(("frame", "track"), 1):
            header.moveSection(header.visualIndex(COLUMNS.index(name)), place)
        small = table.font()
        small.setPointSizeF(small.pointSizeF() - 1)
        for widget in (table, header):
            widget.setFont(small)
        table.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        table.setSortingEnabled(True)
        table.selectionModel().selectionChanged.connect(lambda *_: self._select_in_view())
        self.model.modelReset.connect(lambda: self._select_in_table())

    def _buttons(self) -> QWidget:
        session = self._session
        review, cells = session.review, session.cells
        bar = QWidget()
        layout = QHBoxLayout(bar)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        entries: tuple[tuple[str, str, Callable[[], object]], ...] = (
            ("skip-next", tr("next doubtful cell (N)"), review.next),
            ("check", tr("mark as checked, and go on (Y)"), review.check_and_next),
            ("eye-off-outline", tr("hide all other cells, or show all (I)"), review.isolate),
            ("vector-union", tr("merge the selected cells (Shift+J)"), cells.merge),
            ("trash-can-outline", tr("remove the selected cells (Delete)"), session.remove_selected),
        )
        for icon, hint, run in entries:
            button = QToolButton()
            button.setIcon(qtawesome.icon(f"mdi6.{icon}", color=_GRAY))
            button.setAutoRaise(True)
            button.setToolTip(hint)
            own_keys(button)
            button.setAccessibleName(hint)
            button.clicked.connect(lambda _=False, run=run: run())
            layout.addWidget(button)
        layout.addStretch(1)
        self.buttons = bar.findChildren(QToolButton)
        return bar

    def _build_classes(self) -> None:
        self.names = [self._class_row(each) for each in self._session.review.classes]

    def _class_row(self, cell_class: CellClass) -> QLineEdit:
        name = QLineEdit(cell_class.name)
        own_keys(name)
        name.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        name.editingFinished.connect(lambda: cell_class.rename(name.text()))
        cell_class.events.name.connect(lambda text: name.setText(text))
        color = color_button(cell_class, "color", tr("color of the class"))
        name.setAccessibleName(tr("name of class {number}", number=cell_class.number))
        color.setAccessibleName(tr("color of class {number}", number=cell_class.number))
        self.classes.form.addRow(str(cell_class.number), row(name, color))
        return name

    # --- selection, both ways ---

    def _watch(self, document: Document | None) -> None:
        is_movie = document is not None and document.is_movie
        for name in ("frame", "track", "diameter"):  # there is no room for all of them
            self.table.setColumnHidden(COLUMNS.index(name), is_movie is (name == "diameter"))
        if document is not None:
            document.selection_changed.connect(lambda _: self._select_in_table())
            document.edited.connect(lambda _: self._tell())
        self._tell()

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before

    def _select_in_table(self) -> None:
        """Select the rows of the cells that are selected in the view."""
        document = self._session.document
        if self._quiet or document is None:
            return
        selection = self.model.selection_of(document.selection)
        with self._quietly():
            self.table.selectionModel().select(selection, _Select.ClearAndSelect)
            first = next(iter(selection.indexes()), None) if len(document.selection) == 1 else None
            if first is not None:
                self.table.selectionModel().setCurrentIndex(first, _Select.NoUpdate)
                self.table.scrollTo(first)

    def _select_in_view(self) -> None:
        """Select the cells whose rows the user selected; a single one is centered."""
        document = self._session.document
        if self._quiet or self.model.is_following or document is None or self._session.removing:
            return
        ranges = self.table.selectionModel().selection()
        rows = [each for run in ranges for each in range(run.top(), run.bottom() + 1)]
        cells = self.model.cells_at(rows)
        with self._quietly():
            if len(cells) == 1:
                self._session.review.show(cells[0])
            else:
                document.select(cells)

    def _show_filter(self) -> None:
        problem = self._session.review.filter_problem
        self.filter.setToolTip(problem or self._filter_hint)
        self.filter.setProperty("wrong", bool(problem))
        style: Any = self.filter.style()
        style.unpolish(self.filter)
        style.polish(self.filter)
        self._tell()

    def _tell(self) -> None:
        document, listed = self._session.document, self.model.rowCount()
        if document is None:
            self.words.setText(tr("no image is open"))
            return
        if self._session.review.filter_problem:
            self.words.setText(self._session.review.filter_problem)
            return
        words = [self._session.review.progress()]
        if self._session.review.filter:
            words.append(tr("{listed} listed", listed=listed))
        self.words.setText("  ·  ".join(words))
