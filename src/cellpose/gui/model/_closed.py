"""The histories of images that were closed, so that they go on when these are opened again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cellpose.gui.model._document import Document
from cellpose.gui.model._labels import Edit, Table

__all__ = ["ClosedHistories", "ClosedHistory"]

_MOST_BYTES = 2**28  # of patches of all images together; the images closed longest ago are forgotten first


@dataclass(frozen=True, eq=False)
class ClosedHistory:
    """The history of an image at the moment it was closed.

    Parameters
    ----------
    state
        Of its file, see ``state_of``: labels of another state are others.
    ids, rows
        Numbers (n,) of the cells that there were, and their rows of the table.
    next_id
        The number that a new cell would have got.
    done, undone
        Edits, as in `History`.
    saved
        So many edits were in the file.
    """

    state: str
    ids: npt.NDArray[np.int32]
    rows: Table
    next_id: int
    done: tuple[Edit, ...]
    undone: tuple[Edit, ...]
    saved: int

    @classmethod
    def of(cls, document: Document, state: str) -> ClosedHistory:
        """The history of a document that is about to be closed; its edits give up their flows."""
        labels, history = document.labels, document.history
        for edit in (*history.edits, *history.undone):
            edit.beside.pop("flows", None)
        ids = labels.ids
        rows = labels.table[ids].copy()
        return cls(state, ids, rows, labels.next_id, history.edits, history.undone, history.saved)

    @property
    def nbytes(self) -> int:
        """Memory of its edits."""
        return sum(edit.nbytes for edit in (*self.done, *self.undone))

    def resume(self, document: Document) -> bool:
        """Give a document its history back; False, and nothing is done, where its cells are others."""
        labels = document.labels
        if not np.array_equal(labels.ids, self.ids):
            return False
        rows = labels.table[self.ids]
        if any(not np.array_equal(rows[name], self.rows[name]) for name in ("area", "box")):
            return False
        labels.reserve(self.next_id)
        document.history.resume(self.done, self.undone, self.saved)
        return True


class ClosedHistories:
    """Histories by the path of their image, of bounded size."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._closed: dict[Path, ClosedHistory] = {}

    def put(self, path: Path, closed: ClosedHistory) -> None:
        """Keep a history; the oldest go where all of them are too large."""
        self._closed.pop(path, None)
        if closed.done or closed.undone:
            self._closed[path] = closed
        sizes = {each: kept.nbytes for each, kept in self._closed.items()}
        for each in list(self._closed):
            if sum(sizes.values()) <= self._most_bytes:
                return
            del self._closed[each], sizes[each]

    def take(self, path: Path, state: str) -> ClosedHistory | None:
        """The history of an image that is opened again, out of the store; None where its file is another by now."""
        closed = self._closed.pop(path, None)
        return closed if closed is not None and closed.state == state else None
