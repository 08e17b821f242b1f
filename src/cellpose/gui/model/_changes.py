"""The cells that a person added and removed, as ``manual_changes`` of a ``_seg.npy`` lists them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.gui.model._labels import Edit

__all__ = ["changes_after"]

_BY_MACHINE = ("segment", "thresholds", "load masks")
_ANEW = ("load masks", "clear all cells")  # as nothing of the cells is left, nothing of the work on them is


def changes_after(earlier: Iterable[Any], edits: Iterable[Edit], *, planes: int) -> list[Any]:
    """The changes that a file stated, and those of the edits made since.

    Each is a list of the date, ``"added mask"`` or ``"removed mask"``, and the rows and columns of the cell. The format
    knows no places in volumes and movies: they stay empty there.

    Parameters
    ----------
    earlier
        The changes in the file.
    edits
        The edits that are done, in order.
    planes
        Number of planes of the image.
    """
    changes = list(earlier)
    for edit in edits:
        if edit.name in _ANEW or ("found" in edit.beside and edit.name == "segment"):
            changes.clear()
        elif edit.name.removeprefix("undo ") not in (*_BY_MACHINE, "change number"):
            changes += _changes_of(edit, with_places=planes == 1)
    return changes


def _changes_of(edit: Edit, *, with_places: bool) -> Iterator[list[Any]]:
    date = datetime.fromtimestamp(edit.when).strftime("%m/%d/%Y, %H:%M:%S")
    for cells, action, side in ((edit.removed, "removed mask", "before"), (edit.added, "added mask", "after")):
        places = _places(edit, cells, side) if with_places else {}
        for cell in cells.tolist():
            yield [date, action, places.get(cell, [])]


def _places(edit: Edit, cells: npt.NDArray[np.int32], side: str) -> dict[int, list[npt.NDArray[np.int32]]]:
    """Rows and columns of cells of a plane, before an edit or after it."""
    found: list[npt.NDArray[np.int32]] = []  # a row for each pixel: its cell, row and column
    for patch in edit.patches if cells.size else ():
        labels = getattr(patch, side).unpacked()[0]
        y, x = np.nonzero(np.isin(labels, cells))
        pixels = np.stack([labels[y, x], y + patch.box.y0, x + patch.box.x0], axis=1)
        found.append(pixels.astype(np.int32))
    if not found:
        return {}
    pixels = np.unique(np.concatenate(found), axis=0)  # by cell; patches may overlap
    numbers, starts = np.unique(pixels[:, 0], return_index=True)
    parts = np.split(pixels[:, 1:], starts[1:])
    return {int(number): [part[:, 0], part[:, 1]] for number, part in zip(numbers, parts, strict=True)}
