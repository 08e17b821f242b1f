"""Selecting cells, and changing the selected ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cellpose.gui._texts import tr
from cellpose.gui.model import Document, Edit
from cellpose.gui.model import _operations as operations

if TYPE_CHECKING:
    from cellpose.gui.controllers._session import Session

__all__ = ["Cells"]


class Cells:
    """The entries of the Cells menu.

    Parameters
    ----------
    session
        Whose cells are selected and changed.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def select_all(self) -> None:
        """Select every cell."""
        document = self._session.document
        if document is not None:
            document.select(document.labels.ids.tolist())

    def select_none(self) -> None:
        """Select no cell."""
        if self._session.document is not None:
            self._session.document.select([])

    def invert(self) -> None:
        """Select the cells that are not selected, and no others."""
        document = self._session.document
        if document is not None:
            document.select(set(document.labels.ids.tolist()) - document.selection)

    def fill(self) -> None:
        """Fill the holes of the selected cells."""
        self._change(operations.fill_holes)

    def smooth(self) -> None:
        """Make the outlines of the selected cells smoother."""
        self._change(operations.smooth)

    def grow(self, pixels: int) -> None:
        """Grow the selected cells by this many pixels; shrink them if negative."""
        self._change(operations.grow, pixels)

    def merge(self) -> None:
        """Merge the selected cells into one."""
        self._change(operations.merge)

    def change_number(self) -> None:
        """Ask for a free number and give it to the selected cell."""
        document = self._session.document
        if document is None or len(document.selection) != 1:
            self._session.told.emit(tr("select one cell, the one that gets another number"))
            return
        (cell,) = document.selection
        asked = tr(
            "Number of the cell that is {cell} now (files number the cells 1, 2, 3 ... in the order of their numbers "
            "here):",
            cell=cell,
        )
        number = self._session.dialogs.ask_number(tr("Change number"), asked, document.labels.next_id)
        if number is not None and document.do(operations.change_number, cell, number):
            document.select([number])

    def _change(self, operation: Callable[..., Edit], *args: Any) -> None:
        document: Document | None = self._session.document
        if document is not None:
            self._session.steps.change(document, operation, sorted(document.selection), *args)
