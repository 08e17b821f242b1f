"""The sorted and filtered cells of a label store: the rows of a table, without a copy of the data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cellpose.gui._texts import mark
from cellpose.gui.model._cell_filter import FIELDS, Filter, filter_of
from cellpose.gui.model._labels import LabelStore, Table
from cellpose.gui.model._marks import is_settled

__all__ = ["COLUMNS", "CellList", "Step"]

COLUMNS = ("id", "size", "diameter", mark("score"), mark("class"), "state", mark("frame"), mark("track"))


class Step(NamedTuple):
    """The change of the rows caused by one cell.

    ``old`` is the row before, -1 for none; ``new`` is the row afterwards, -1 for none.
    """

    cell: int
    old: int
    new: int


class CellList:
    """Numbers of cells by row.

    Parameters
    ----------
    store
        The labels, read at each query.
    tracks
        For a movie, the track number of each cell number, (labels,); None: there are no tracks.

    Attributes
    ----------
    order
        Numbers of the listed cells, int32 (rows,).

    Examples
    --------
    >>> cells = CellList(LabelStore(np.array([[1, 2, 2, 3, 3, 3]])))
    >>> cells.sort("size", descending=True)
    >>> cells.order.tolist()
    [3, 2, 1]
    """

    def __init__(self, store: LabelStore, tracks: Callable[[], npt.NDArray[np.int32]] | None = None) -> None:
        self._store, self._tracks = store, tracks
        self._column, self._descending = "id", False
        self._filter: Filter | None = None
        self.order: npt.NDArray[np.int32] = np.zeros(0, np.int32)
        self.refresh()

    def __len__(self) -> int:
        return self.order.size

    def sort(self, column: str, descending: bool = False) -> None:
        """Sort by a column of ``COLUMNS``; cells without a value come last, ties are sorted by number."""
        self._column, self._descending = column, descending
        self.refresh()

    def set_filter(self, text: str, classes: Sequence[str] = ()) -> None:
        """List only the cells that match a text, see `filter_of`."""
        self._filter = filter_of(text, classes)
        self.refresh()

    def refresh(self) -> None:
        """Rebuild the list."""
        ids = self._store.ids
        rows = self._store.table[ids]
        if self._filter is not None:
            kept = self._filter(ids, rows)
            ids, rows = ids[kept], rows[kept]
        self.order = ids[np.argsort(self._keys(ids, rows), kind="stable")]

    def row_of(self, cell: int) -> int:
        """The row of a cell; -1 if it is not listed."""
        found = np.flatnonzero(self.order == cell)
        return int(found[0]) if found.size else -1

    def rows_of(self, cells: npt.ArrayLike) -> npt.NDArray[np.intp]:
        """The rows of the listed ones among these cells, ascending."""
        return np.flatnonzero(np.isin(self.order, cells))

    def step(self, cell: int, pending: Sequence[int] = ()) -> Step:
        """The change of the rows caused by a change of a cell; apply it with `take`.

        Parameters
        ----------
        cell
            Its number.
        pending
            Cells that changed at the same time, with steps still to come: they may be out of order.
        """
        old = self.row_of(cell)
        ids = np.array(self._store.present([cell]), np.int32)
        rows = self._store.table[ids]
        if not ids.size or (self._filter is not None and not self._filter(ids, rows)[0]):
            return Step(cell, old, -1)
        others = self.order if old < 0 else np.delete(self.order, old)
        places = np.flatnonzero(~np.isin(others, pending)) if pending else np.arange(others.size)
        sorted_ = others[places]
        keys, key = self._keys(sorted_, self._store.table[sorted_]), self._keys(ids, rows)[0]
        first, last = (int(np.searchsorted(keys, key, side)) for side in ("left", "right"))
        place = first + int(np.searchsorted(sorted_[first:last], cell))
        return Step(cell, old, int(places[place]) if place < places.size else others.size)

    def take(self, step: Step) -> None:
        """Apply a step to the rows."""
        order = self.order if step.old < 0 else np.delete(self.order, step.old)
        self.order = order if step.new < 0 else np.insert(order, step.new, step.cell)

    def value(self, row: int, column: str) -> Any:
        """The value of a row in a column; for the state, a word."""
        cell = self.order[row : row + 1]
        facts = self._store.table[cell]
        if column == "state":
            return "hand-made" if facts["manual"][0] else "checked" if facts["checked"][0] else ""
        return self._values(column, cell, facts)[0].item()

    def _values(self, column: str, ids: npt.NDArray[np.int32], rows: Table) -> npt.NDArray[Any]:
        if column == "track":
            return np.zeros(ids.size) if self._tracks is None else self._tracks()[ids]
        return FIELDS[column](ids, rows)

    def _keys(self, ids: npt.NDArray[np.int32], rows: Table) -> npt.NDArray[np.float64]:
        if self._column == "state":
            values = np.where(rows["manual"], 2.0, is_settled(rows))
        else:
            values = self._values(self._column, ids, rows).astype(np.float64)
        signed = -values if self._descending else values
        return np.where(np.isnan(signed), np.inf, signed)
