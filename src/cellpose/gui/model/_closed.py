"""Edit histories of closed images, resumed when the images are opened again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.gui.model._document import Document
from cellpose.gui.model._labels import Edit, Table

__all__ = ["ClosedHistories", "ClosedHistory"]

_MOST_BYTES = 2**28  # of the patches of all images; the images closed longest ago are dropped first


@dataclass(frozen=True, eq=False)
class ClosedHistory:
    """The history of an image at the moment it was closed.

    Parameters
    ----------
    state
        State of its file, see ``state_of``: another state means other labels.
    ids, rows
        Numbers (n,) of the existing cells, and their rows of the table.
    next_id
        The number the next new cell would have got.
    done, undone
        Edits, as in `History`.
    saved
        Number of edits saved in the file.
    earlier_changes
        As in `Document`.
    """

    state: str
    ids: npt.NDArray[np.int32]
    rows: Table
    next_id: int
    done: tuple[Edit, ...]
    undone: tuple[Edit, ...]
    saved: int
    earlier_changes: tuple[Any, ...] = ()

    @classmethod
    def of(cls, document: Document, state: str) -> ClosedHistory:
        """The history of a document about to be closed, without the flows of its edits."""
        labels, history = document.labels, document.history
        for edit in (*history.edits, *history.undone):
            edit.beside.pop("flows", None)
        ids = labels.ids
        rows = labels.table[ids].copy()
        done, undone, earlier = history.edits, history.undone, document.earlier_changes
        return cls(state, ids, rows, labels.next_id, done, undone, history.saved, earlier)

    @property
    def nbytes(self) -> int:
        """Memory of its edits."""
        return sum(edit.nbytes for edit in (*self.done, *self.undone))

    def resume(self, document: Document) -> bool:
        """Restore the history of a document; do nothing and return False if its cells differ."""
        labels = document.labels
        if not np.array_equal(labels.ids, self.ids):
            return False
        rows = labels.table[self.ids]
        if any(not np.array_equal(rows[name], self.rows[name]) for name in ("area", "box")):
            return False
        labels.reserve(self.next_id)
        document.history.resume(self.done, self.undone, self.saved)
        document.earlier_changes = self.earlier_changes  # the file states those of its edits, too
        return True


class ClosedHistories:
    """Histories by image path, with bounded memory."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._closed: dict[Path, ClosedHistory] = {}

    def put(self, path: Path, closed: ClosedHistory) -> None:
        """Store a history; drop the oldest if the total is too large."""
        self._closed.pop(path, None)
        if closed.done or closed.undone:
            self._closed[path] = closed
        sizes = {each: kept.nbytes for each, kept in self._closed.items()}
        for each in list(self._closed):
            if sum(sizes.values()) <= self._most_bytes:
                return
            del self._closed[each], sizes[each]

    def take(self, path: Path, state: str) -> ClosedHistory | None:
        """Remove and return the history of an image opened again; None if its file has changed since."""
        closed = self._closed.pop(path, None)
        return closed if closed is not None and closed.state == state else None
