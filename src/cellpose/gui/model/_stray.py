"""Edits in a journal whose file is gone: what can still be kept of them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose import io
from cellpose.errors import CellposeError
from cellpose.gui.model._history import History
from cellpose.gui.model._journal import Journal
from cellpose.gui.model._labels import LabelStore
from cellpose.gui.model._seg_file import flows_to_write

__all__ = ["Stray"]


@dataclass(frozen=True, eq=False)
class Stray:
    """The edits of a journal without the labels they were made on.

    Parameters
    ----------
    journal
        The journal.
    n_edits
        How many edits are done.
    labels
        The cells drawn or changed by them, int32 (Z, Y, X). Cells of which the edits know a part only are left out.
    """

    journal: Journal
    n_edits: int
    labels: npt.NDArray[np.int32]

    @classmethod
    def of(cls, journal: Journal) -> Stray:
        """The edits of a journal; none if it cannot be read."""
        found = journal.read()
        if found is None:
            return cls(journal, 0, np.zeros((1, 1, 1), np.int32))
        base, records = found
        history = History(store := LabelStore.empty(base.shape))
        with suppress(CellposeError):  # what follows a record that cannot be read is lost
            for what, edit in records:
                history.replay(what, edit)
        return cls(journal, len(history), _whole(store))

    def content(self, image: Path) -> dict[str, Any]:
        """Its cells as the dict of a ``_seg.npy``."""
        planes = self.labels[0] if len(self.labels) == 1 else self.labels
        flows = flows_to_write(None, planes.shape) if planes.ndim == 2 else None
        return {**io.seg_content(planes, flows, image), "ismanual": np.ones(int(planes.max()), bool)}


def _whole(store: LabelStore) -> npt.NDArray[np.int32]:
    """The cells of a store that have all their pixels, numbered 1..n."""
    areas = store.table["area"]
    pixels = np.bincount(store.planes.ravel(), minlength=len(areas))
    whole = np.flatnonzero((pixels[: len(areas)] == areas) & (areas > 0))
    numbers = np.zeros(len(pixels), np.int32)
    numbers[whole] = np.arange(1, len(whole) + 1)
    return numbers[store.planes]
