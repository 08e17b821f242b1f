"""Reviewing cells: doubtful cells first, checked cells, classes, and which cells are listed and shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from cellpose.errors import InputError
from cellpose.gui._texts import tr, tr_n
from cellpose.gui.model import Document, Edit
from cellpose.gui.model._cell_filter import filter_of
from cellpose.gui.model._cell_list import CellList
from cellpose.gui.model._classes import Classes
from cellpose.gui.model._marks import check, is_settled, next_doubtful, set_class
from cellpose.gui.model._provenance import told

if TYPE_CHECKING:
    from cellpose.gui.controllers._session import Session

__all__ = ["Review"]


class Review:
    """The review of a session's cells by the user.

    Parameters
    ----------
    session
        Whose cells are reviewed.

    Attributes
    ----------
    look_at : Signal(Box)
        The view should center on the cell in this box.
    filtered : Signal()
        The list of cells changed.
    classes
        Names and colors of the classes.
    """

    look_at = Signal(object)
    filtered = Signal()

    def __init__(self, session: Session) -> None:
        self._session = session
        self.classes = Classes()
        self.filter, self.filter_problem = "", ""
        self._show_colors()
        self.classes.changed.connect(self._show_colors)
        self.classes.changed.connect(self._keep_classes)
        session.opened.connect(self._opened)

    # --- the list ---

    def listed(self, document: Document) -> CellList:
        """The cells of a document that pass the filter."""
        cells = CellList(document.labels, (lambda: document.lineage.track) if document.is_movie else None)
        cells.set_filter(self.filter, self.classes.names)
        return cells

    def set_filter(self, text: str) -> None:
        """List only the cells that a text describes; a text that cannot be understood shows a message and lists all."""
        self.filter, self.filter_problem = text, ""
        try:
            filter_of(text, self.classes.names)
        except InputError as error:
            self.filter, self.filter_problem = "", str(error)
        self.filtered.emit()

    # --- doubt ---

    def next(self, back: bool = False) -> None:
        """Select and show the next cell to review: the one with the lowest model confidence."""
        document = self._session.document
        if document is None:
            return
        cell = next_doubtful(document.labels, max(document.selection, default=None), back)
        if cell is None:
            self._session.told.emit(tr("all cells are checked or made by hand ({progress})", progress=self.progress()))
            return
        self.show(cell)
        score = float(document.labels.table["score"][cell])
        told = tr("no score") if np.isnan(score) else tr("score {score:.2f}", score=score)
        self._session.told.emit(tr("cell {cell}: {told}; {progress}", cell=cell, told=told, progress=self.progress()))

    def show(self, cell: int) -> None:
        """Select a cell and center the view on it."""
        document = self._session.document
        if document is None or not document.labels.has(cell):
            return
        document.select([cell])
        box = document.labels.box(cell)
        self._session.view.plane = min(max(self._session.view.plane, box.z0), box.z1 - 1)
        if document.is_volume:
            self._session.view.cross = ((box.y0 + box.y1) // 2, (box.x0 + box.x1) // 2)
        self.look_at.emit(box)

    def check_and_next(self) -> None:
        """Mark the selected cells as checked, and go to the next."""
        document = self._session.document
        if document is None:
            return
        unsettled = [cell for cell in sorted(document.selection) if not is_settled(document.labels.table[[cell]])[0]]
        if unsettled:
            document.do(check, unsettled)
        self.next()

    def set_checked(self, checked: bool) -> None:
        """Mark the selected cells as checked, or as not checked."""
        if self._session.document is not None:
            self._session.document.do(check, sorted(self._session.document.selection), checked)

    def progress(self) -> str:
        """How many cells need no further review, in words."""
        document = self._session.document
        if document is None:
            return ""
        table = document.labels.table
        there = table["area"] > 0
        return tr(
            "{settled} of {all} checked",
            settled=np.count_nonzero(is_settled(table) & there),
            all=np.count_nonzero(there),
        )

    # --- classes ---

    def set_class(self, kind: int) -> None:
        """Give the selected cells a class, 0 for none; if none is selected, give it to cells clicked from now on."""
        session, document = self._session, self._session.document
        if document is None:
            return
        if document.selection and session.pointer.tool != "classify":
            document.do(set_class, sorted(document.selection), kind)
            return
        session.pointer.classify(kind, self.classes.name(kind) or tr("no class"))

    def tell_history(self) -> None:
        """Show where the cells of the open image come from."""
        document = self._session.document
        if document is not None:
            name = document.path.name if document.path else tr("the open image")
            rows = document.labels.table[document.labels.ids]
            self._session.dialogs.show_text(tr("History of this file"), told(name, document.origins, rows))

    # --- what is seen ---

    def isolate(self) -> None:
        """Hide all cells but the selected ones, or show all again."""
        session, document = self._session, self._session.document
        if document is None:
            return
        if session.view.isolated or not document.selection:
            if not session.view.isolated:
                session.told.emit(tr("select the cells first that alone are to be seen"))
            self.show_all()
        else:
            chosen = document.lineage.alike(document.selection) if document.is_movie else document.selection
            session.view.isolated = frozenset(chosen)
            session.told.emit(
                tr_n(
                    "{n} cell is seen; press again to see all",
                    "{n} cells are seen; press again to see all",
                    len(document.selection),
                )
            )

    def show_all(self) -> None:
        """Show all cells."""
        self._session.view.isolated = frozenset()

    def _show_colors(self) -> None:
        self._session.view.class_colors = tuple(each.color for each in self.classes)

    def _keep_classes(self) -> None:
        if self._session.document is not None:
            self._session.document.classes = self.classes.told

    def _opened(self, document: Document | None) -> None:
        self.show_all()
        self._keep_classes()
        if document is not None:
            document.edited.connect(self._show_new)

    def _show_new(self, edit: Edit) -> None:
        """Show cells created while others are hidden."""
        view = self._session.view
        if view.isolated:
            view.isolated |= frozenset([*edit.added.tolist(), *edit.removed.tolist()])
