"""Marks of cells that do not change pixels: their class, and that they were checked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.errors import EditRefusedError
from cellpose.gui._texts import mark, tr
from cellpose.gui.model._labels import Edit, LabelStore, Table

__all__ = ["MOST_CLASSES", "by_doubt", "check", "is_settled", "next_doubtful", "set_class"]

MOST_CLASSES = 9  # one digit each


def set_class(store: LabelStore, cells: Iterable[int], kind: int) -> Edit:
    """Give cells a class, 1 to ``MOST_CLASSES``; 0: none.

    Raises
    ------
    EditRefusedError
        If there is no such class, or all of the cells already have it.

    Examples
    --------
    >>> store = LabelStore(np.eye(3, dtype=np.int32))
    >>> edit = set_class(store, [1], 2)
    >>> edit.name, store.table["kind"].tolist()
    ('class 2', [0, 2])
    """
    if not 0 <= kind <= MOST_CLASSES:
        message = tr(
            "there is no class {kind}; classes are 1 to {MOST_CLASSES}, 0 takes the class away",
            kind=kind,
            MOST_CLASSES=MOST_CLASSES,
        )
        raise EditRefusedError(message)
    return _marked(store, cells, tr("class {kind}", kind=kind) if kind else tr("no class"), "kind", kind)


def check(store: LabelStore, cells: Iterable[int], checked: bool = True) -> Edit:
    """Mark cells as checked and correct, or remove that mark.

    Raises
    ------
    EditRefusedError
        If all of them are already marked so.
    """
    return _marked(
        store, cells, mark("mark as checked") if checked else mark("mark as not checked"), "checked", checked
    )


def _marked(store: LabelStore, cells: Iterable[int], name: str, field: str, value: Any) -> Edit:
    present = store.present(cells)
    if not present:
        message = tr("{name}: no cell is selected", name=tr(name))
        raise EditRefusedError(message)
    changed = [cell for cell in present if store.table[field][cell] != value]
    if not changed:
        message = tr("{name}: nothing to change", name=tr(name))
        raise EditRefusedError(message)
    return store.write(name, facts={cell: {field: value} for cell in changed})


def is_settled(rows: Table) -> npt.NDArray[np.bool_]:
    """For rows (n,) of the table, whether the cell needs no check: it was checked, or made by hand."""
    return np.asarray(rows["checked"] | rows["manual"])


def by_doubt(rows: Table) -> npt.NDArray[np.float64]:
    """Sort key for rows (n,) of the table, most doubtful first: the score; cells without one come last."""
    return np.where(np.isnan(rows["score"]), np.inf, rows["score"]).astype(np.float64)


def next_doubtful(store: LabelStore, after: int | None = None, back: bool = False) -> int | None:
    """The most doubtful cell not yet settled, or the next one after a given cell, wrapping around.

    Parameters
    ----------
    store
        The labels.
    after
        A cell; None, or a missing cell: begin with the most doubtful.
    back
        Return the previous one instead.
    """
    table = store.table
    open_ = np.flatnonzero((table["area"] > 0) & ~is_settled(table))
    if not open_.size:
        return None
    order = open_[np.argsort(by_doubt(table[open_]), kind="stable")]
    here = store.present([] if after is None else [after])
    if not here:
        return int(order[-1 if back else 0])
    doubts, own = by_doubt(table[order]), float(by_doubt(table[here])[0])
    same = (doubts == own) & (order == here[0])
    before = (doubts < own) | ((doubts == own) & (order < here[0]))
    place = int(np.count_nonzero(before))
    step = -1 if back else int(same.any())
    return int(order[(place + step) % order.size])
