"""The cells that a person added and removed, as ``manual_changes`` of a ``_seg.npy`` lists them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from cellpose import io
from cellpose.gui.model._labels import Edit

__all__ = ["changes_after"]

_BY_MACHINE = ("segment", "thresholds", "load masks")
_ANEW = ("load masks", "clear all cells")  # as nothing of the cells is left, nothing of the work on them is
_MOST = 2**20  # pixels of the cells of an edit from which their places stay empty: they would fill each file

_known: WeakKeyDictionary[Edit, list[list[Any]]] = WeakKeyDictionary()  # for each save asks for those of all edits


def changes_after(earlier: Iterable[Any], edits: Iterable[Edit], *, planes: int) -> list[Any]:
    """The changes that a file stated, and those of the edits made since.

    Each is a list of the date, ``"added mask"`` or ``"removed mask"``, and the rows and columns of the cell. The format
    knows no places in volumes and movies: they stay empty there, and where one edit changes very many pixels.

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
            if edit not in _known:
                _known[edit] = list(_changes_of(edit, with_places=planes == 1))
            changes += _known[edit]
    return changes


def _changes_of(edit: Edit, *, with_places: bool) -> Iterator[list[Any]]:
    when = datetime.fromtimestamp(edit.when)
    for cells, action, side in ((edit.removed, "removed mask", "before"), (edit.added, "added mask", "after")):
        places = _places(edit, cells, side) if with_places else {}
        for cell in cells.tolist():
            yield io.manual_change(action, places.get(cell, []), when)


def _places(edit: Edit, cells: npt.NDArray[np.int32], side: str) -> dict[int, list[npt.NDArray[np.int32]]]:
    """Rows and columns of cells of a plane, before an edit or after it."""
    rows = edit.rows_before if side == "before" else edit.rows_after
    ours = np.isin(edit.ids, cells)
    areas = dict(zip(edit.ids[ours].tolist(), rows["area"][ours].tolist(), strict=True))
    if not edit.patches or not 0 < sum(areas.values()) <= _MOST:
        return {}
    found = []
    for patch in edit.patches:
        labels = getattr(patch, side).unpacked()[0]
        y, x = np.nonzero(np.isin(labels, cells))
        found.append(np.stack([labels[y, x], y + patch.box.y0, x + patch.box.x0]).astype(np.int32))
    pixels = np.concatenate(found, axis=1)
    pixels = pixels[:, np.argsort(pixels[0], kind="stable")]  # by cell
    numbers, starts = np.unique(pixels[0], return_index=True)
    places = zip(numbers.tolist(), np.split(pixels[1:], starts[1:], axis=1), strict=True)
    return {cell: list(_once(place, areas[cell])) for cell, place in places}


def _once(place: npt.NDArray[np.int32], area: int) -> npt.NDArray[np.int32]:
    """Each of the pixels (2, n) of a cell once: there are more than its area where patches overlap."""
    return place if place.shape[1] == area else np.asarray(np.unique(place, axis=1))
