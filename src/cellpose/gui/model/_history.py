"""The edits of an image, with unlimited undo and redo."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

import numpy as np
import numpy.typing as npt
from psygnal import Signal

from cellpose.gui.model._labels import Edit, LabelStore

__all__ = ["History"]

_numbers = count()  # of states of labels, each used once


class History:
    """The edits of one label store.

    Parameters
    ----------
    store
        The labels. All of their edits must be recorded here.

    Examples
    --------
    >>> import numpy as np
    >>> from cellpose.gui.model._box import Box
    >>> store = LabelStore(np.zeros((9, 9), np.int32))
    >>> history = History(store)
    >>> history.record(store.write("draw cell", [(Box(0, 1, 2, 5, 2, 5), np.full((1, 3, 3), 1, np.int32))]))
    >>> history.undo().name, store.count, history.redo().name, store.count
    ('draw cell', 0, 'draw cell', 1)
    """

    recorded = Signal(str, object)  # "edit", "undo" or "redo", and the `Edit`

    def __init__(self, store: LabelStore) -> None:
        self._store = store
        self._done: list[Edit] = []
        self._undone: list[Edit] = []
        self._states = [next(_numbers)]  # before the first edit and after each one, done or undone
        self._saved = self.state

    def __len__(self) -> int:
        return len(self._done)

    @property
    def edits(self) -> tuple[Edit, ...]:
        """All done edits, in order."""
        return tuple(self._done)

    @property
    def undone(self) -> tuple[Edit, ...]:
        """The undone edits, with the last undone one at the end."""
        return tuple(self._undone)

    @property
    def state(self) -> int:
        """Number of the current state of the labels: undo and redo return to it, and no other edit leads to it."""
        return self._states[len(self._done)]

    @property
    def saved(self) -> int:
        """Number of edits done when the labels were last saved; -1: this state can no longer be reached."""
        return self._states.index(self._saved) if self._saved in self._states else -1

    @property
    def next_undo(self) -> str | None:
        """Name of the edit that `undo` would undo; None if there is none."""
        return self._done[-1].name if self._done else None

    @property
    def next_redo(self) -> str | None:
        """Name of the edit that `redo` would redo; None if there is none."""
        return self._undone[-1].name if self._undone else None

    @property
    def is_saved(self) -> bool:
        """Whether the labels are unchanged since the last save."""
        return self._saved == self.state

    def mark_saved(self, state: int | None = None) -> None:
        """Record that the labels were saved as they are now, or as they were in this `state`."""
        self._saved = self.state if state is None else state

    def resume(self, done: Iterable[Edit], undone: Iterable[Edit], saved: int) -> None:
        """Resume with earlier edits, which are already part of the labels."""
        self._done, self._undone = list(done), list(undone)
        self._states = [next(_numbers) for _ in range(len(self._done) + len(self._undone) + 1)]
        self._saved = self._states[saved] if saved >= 0 else -1

    def record(self, edit: Edit) -> None:
        """Record an edit just done; undone edits are dropped."""
        self._done.append(edit)
        self._undone.clear()
        self._renumber(len(self._done))
        self.recorded.emit("edit", edit)

    def score(self, edit: Edit, scores: npt.NDArray[np.float32]) -> bool:
        """Set scores (n,) of the cells added by an edit, computed after it; return whether the edit is still done.

        The scores are not a separate step: listeners see the edits undone, then redone with the scores.
        """
        place = next((n for n, each in enumerate(self._done) if each is edit), None)
        if place is None:
            self._store.set_scores(edit, scores, self._undone)
            self._renumber(len(self._done) + 1)
            return False
        for each in reversed(self._done[place:]):
            self.recorded.emit("undo", each)
        self._store.set_scores(edit, scores, self._done[place + 1 :])
        for each in self._done[place:]:
            self.recorded.emit("edit", each)
        self._renumber(place + 1)
        return True

    def _renumber(self, first: int) -> None:
        """Give new numbers to the states from this place on: they are others now."""
        self._states[first:] = [next(_numbers) for _ in range(len(self._done) + len(self._undone) + 1 - first)]

    def undo(self, *, moved: bool = False) -> Edit | None:
        """Undo the last edit; None if there is none. ``moved``: the labels are already without it."""
        if not self._done:
            return None
        edit = self._done.pop()
        if not moved:
            self._store.revert(edit)
        self._undone.append(edit)
        self.recorded.emit("undo", edit)
        return edit

    def redo(self, *, moved: bool = False) -> Edit | None:
        """Redo the last undone edit; None if there is none. ``moved``: the labels already have it."""
        if not self._undone:
            return None
        edit = self._undone.pop()
        if not moved:
            self._store.apply(edit)
        self._done.append(edit)
        self.recorded.emit("redo", edit)
        return edit

    def replay(self, what: str, edit: Edit | None) -> None:
        """Repeat a record of a journal: an edit, an undo or a redo."""
        if what == "edit" and edit is not None:
            self._store.apply(edit)
            self.record(edit)
        elif what == "undo":
            self.undo()
        elif what == "redo":
            self.redo()
