"""Operations on labels: each changes a `LabelStore` and returns the edit.

If an operation makes no sense (a cell too small, nothing there), it raises `EditRefusedError` and changes nothing.
No operation lets cells overlap. If a cell falls into pieces, the note of the edit says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cellpose.errors import EditRefusedError
from cellpose.gui._texts import mark, tr
from cellpose.gui.model._box import Box, Mask, hull
from cellpose.gui.model._growing import grown
from cellpose.gui.model._labels import Edit, LabelStore
from cellpose.gui.model._pieces import FEWEST_PIXELS, pieces_of
from cellpose.gui.model._replacing import replace_all, replace_within
from cellpose.gui.model._sections import XY, Section
from cellpose.gui.model._strokes import disk

__all__ = [
    "FEWEST_PIXELS",
    "add_cell",
    "add_to_cell",
    "change_number",
    "clear",
    "delete",
    "erase",
    "fill_holes",
    "grow",
    "merge",
    "replace_all",
    "replace_within",
    "smooth",
    "split",
]

Planes = npt.NDArray[np.int32]

_PIXELS_PER_CELL = 20_000  # changing one cell by itself takes as long as changing this many pixels
_MANY = 64  # from this number on, cells are changed in one pass
# For cells drawn or changed by a person: the model's score no longer applies.
_BY_HAND: dict[str, Any] = {"manual": True, "score": np.nan}


def add_cell(
    store: LabelStore, box: Box, mask: Mask, *, over_others: bool = False, name: str = "draw cell", facts: Any = None
) -> Edit:
    """Add a cell: the pixels of a mask that belong to no other cell or, with ``over_others``, all of them.

    Of each piece of the mask the largest part stays that other cells leave.

    Parameters
    ----------
    store
        The labels.
    box, mask
        Box of the cell and its pixels in the box, bool of the shape of the box.
    over_others
        Also take pixels from other cells. Pieces cut off from them become new cells.
    name
        Name of the edit.
    facts
        Values of fields of its row; by default, those of a cell drawn by hand.

    Raises
    ------
    EditRefusedError
        If fewer than ``FEWEST_PIXELS`` pixels are free.
    """
    free = pieces_of(mask if over_others else mask & (store.planes[box.slices] == 0))
    own = _one_of_each(mask, free)
    pixels = sum(int(np.count_nonzero(piece)) for piece in own)
    if pixels < FEWEST_PIXELS:
        message = tr(
            "the cell would have {pixels} free pixels, at least {FEWEST_PIXELS} are needed; it was not drawn",
            pixels=pixels,
            FEWEST_PIXELS=FEWEST_PIXELS,
        )
        raise EditRefusedError(message)
    cell, lost = store.next_id, sum(int(np.count_nonzero(piece)) for piece in free) - pixels
    told = []
    if lost:
        told.append(
            tr("other cells cut it into {n} pieces; the largest stayed, {lost} pixels did not", n=len(free), lost=lost)
        )
    if len(own) > 1:
        told.append(tr("cell {cell} is in {n} pieces", cell=cell, n=len(own)))
    stays = np.logical_or.reduce(own)
    around, after, new, notes = _without(store, box, stays, None, first_new=cell + 1)
    after[box.within(around)][stays] = cell
    return store.write(name, [(around, after)], {**new, cell: facts or _BY_HAND}, "; ".join([*told, *notes]))


def _one_of_each(mask: Mask, free: list[Mask]) -> list[Mask]:
    """Of the free pieces of a mask, from the largest on, the first in each piece of the mask itself."""
    if len(free) < 2:
        return free
    drawn = pieces_of(mask)
    if len(drawn) == 1:
        return free[:1]
    inside = ([part for part in free if (part & piece).any()][:1] for piece in drawn)
    return [part for parts in inside for part in parts]


def delete(store: LabelStore, cells: Iterable[int]) -> Edit:
    """Remove cells.

    Raises
    ------
    EditRefusedError
        If none of them exists.
    """
    present = _present(store, cells)
    name = "remove cell" if len(present) == 1 else tr("remove {n} cells", n=len(present))
    return store.write(name, _relabelled(store, present, 0))


def merge(store: LabelStore, cells: Sequence[int]) -> Edit:
    """Merge several cells into one, which keeps the number of the first.

    Raises
    ------
    EditRefusedError
        If fewer than two of them exist.
    """
    present = _present(store, cells)
    if len(present) < 2:
        message = tr("select at least two cells to merge")
        raise EditRefusedError(message)
    first = present[0]
    edit = store.write("merge cells", _relabelled(store, present[1:], first), {first: _BY_HAND})
    return _with_pieces_told(store, edit, first)


def add_to_cell(store: LabelStore, cell: int, box: Box, mask: Mask, *, over_others: bool = False) -> Edit:
    """Add pixels to a cell: free ones or, with ``over_others``, also those of other cells.

    Raises
    ------
    EditRefusedError
        If nothing would change, or there is no such cell.
    """
    _present(store, [cell])
    labels = store.planes[box.slices]
    wanted = mask & (labels != cell) if over_others else mask & (labels == 0)
    if not wanted.any():
        message = tr("cell {cell} has these pixels already, or they belong to other cells", cell=cell)
        raise EditRefusedError(message)
    around, after, new, notes = _without(store, box, wanted, None, first_new=store.next_id)
    after[box.within(around)][wanted] = cell
    edit = store.write("paint", [(around, after)], {**new, cell: _BY_HAND}, "; ".join(notes))
    return _with_pieces_told(store, edit, cell)


def erase(store: LabelStore, box: Box, mask: Mask, cell: int | None = None) -> Edit:
    """Remove pixels from one cell, or from all. Pieces cut off become new cells.

    Raises
    ------
    EditRefusedError
        If there is nothing to remove.
    """
    around, after, facts, notes = _without(store, box, mask, cell, first_new=store.next_id)
    if not facts:
        message = tr("there is no cell to erase from")
        raise EditRefusedError(message)
    return store.write("erase", [(around, after)], facts, "; ".join(notes))


def split(store: LabelStore, cell: int, line: npt.NDArray[Any], axis: int = XY) -> Edit:
    """Cut a cell along a line, in a volume through all its planes; no pixel is lost.

    Parameters
    ----------
    store
        The labels.
    cell
        The cell.
    line
        Corners (n, 2) of the line, rows and columns of the section in pixels.
    axis
        Axis of the section where the line was drawn; see `Section`.

    Raises
    ------
    EditRefusedError
        If the line does not cut the cell into parts of at least ``FEWEST_PIXELS`` pixels.
    """
    from scipy import ndimage

    box, mask = store.mask(cell)
    section = Section(axis, 0)
    seen = section.lifted(box)
    wall = np.zeros(seen.shape[1:], np.uint8)
    corners = np.rint(np.asarray(line, np.float64) - (seen.y0, seen.x0)).astype(np.int32)[:, None, ::-1]
    cv2.polylines(wall, [np.ascontiguousarray(corners)], isClosed=False, color=1)
    apart = mask & section.turned((wall == 0)[None])
    parts = [part for part in pieces_of(apart) if np.count_nonzero(part) >= FEWEST_PIXELS]
    if len(parts) < 2:
        message = tr("the line does not cut cell {cell} in two; begin and end it outside of the cell", cell=cell)
        raise EditRefusedError(message)
    numbers = np.zeros(box.shape, np.int32)
    for number, part in enumerate(parts):
        numbers[part] = cell if number == 0 else store.next_id + number - 1
    nearest = ndimage.distance_transform_edt(numbers == 0, return_distances=False, return_indices=True)
    after = np.where(mask, numbers[tuple(nearest)], store.planes[box.slices])
    facts = {int(number): _piece_of(store, cell) for number in np.unique(numbers[numbers > 0])}
    notes = [
        tr("cell {number} is in several pieces", number=number)
        for number in facts
        if len(pieces_of(after == number)) > 1
    ]
    return store.write("split cell", [(box, after)], facts, "; ".join(notes))


def fill_holes(store: LabelStore, cells: Iterable[int]) -> Edit:
    """Fill holes of cells, plane by plane: the background they enclose.

    Raises
    ------
    EditRefusedError
        If there is none.
    """
    from scipy import ndimage

    def filled(mask: Mask) -> Mask:
        return np.stack([ndimage.binary_fill_holes(plane) for plane in mask])

    return _reshaped(store, cells, mark("fill holes"), filled, margin=0)


def smooth(store: LabelStore, cells: Iterable[int], radius: float = 2.0) -> Edit:
    """Smooth the outlines of cells with a Gaussian of ``radius`` pixels, thresholded at one half.

    Raises
    ------
    EditRefusedError
        If nothing would change.
    """

    def smoothed(mask: Mask) -> Mask:
        soft = [cv2.GaussianBlur(plane.astype(np.float32), (0, 0), radius) for plane in mask]
        return np.stack([plane > 0.5 for plane in soft])

    return _reshaped(store, cells, mark("smooth"), smoothed, margin=int(3 * radius) + 1)


def grow(store: LabelStore, cells: Iterable[int], pixels: int) -> Edit:
    """Grow cells by this many pixels into the background, or shrink them by a negative number.

    Raises
    ------
    EditRefusedError
        If nothing would change.
    """
    name, present = mark("grow") if pixels > 0 else mark("shrink"), _present(store, cells)
    if len(present) > _MANY:
        return _grow_many(store, present, pixels, name)
    change = cv2.dilate if pixels > 0 else cv2.erode

    def changed(mask: Mask) -> Mask:
        planes = (
            change(plane.view(np.uint8), disk(2 * abs(pixels) + 1), borderType=cv2.BORDER_CONSTANT, borderValue=0)
            for plane in mask
        )
        return np.stack([plane > 0 for plane in planes])

    return _reshaped(store, present, name, changed, margin=abs(pixels) + 1)


def _grow_many(store: LabelStore, cells: list[int], pixels: int, name: str) -> Edit:
    around = hull(store.table["box"][cells].tolist()).grown(abs(pixels) + 1, store.shape)
    after, changed, pieces = grown(np.ascontiguousarray(store.planes[around.slices]), cells, pixels)
    if not changed:
        message = tr("{name}: nothing to change", name=tr(name))
        raise EditRefusedError(message)
    notes = [
        tr("cell {cell} is in {n} pieces", cell=cell, n=n) for cell, n in zip(changed, pieces, strict=True) if n > 1
    ]
    return store.write(name, [(around, after)], dict.fromkeys(changed, _BY_HAND), "; ".join(notes))


def change_number(store: LabelStore, cell: int, number: int) -> Edit:
    """Give a cell another number that is free.

    Raises
    ------
    EditRefusedError
        If the number is not free.
    """
    _present(store, [cell])
    if number < 1 or store.has(number):
        message = tr(
            "number {number} is not free; give one that no cell has, from 1 upwards, or merge the cells", number=number
        )
        raise EditRefusedError(message)
    row = store.table[cell]
    kept = {name: row[name] for name in ("score", "manual", "checked", "kind", "earlier")}
    later = np.flatnonzero((store.table["earlier"] == cell) & (store.table["area"] > 0)).tolist()
    facts = {number: kept, **{each: {"earlier": number} for each in later}}
    return store.write("change number", _relabelled(store, [cell], number), facts)


def clear(store: LabelStore) -> Edit:
    """Remove all cells.

    Raises
    ------
    EditRefusedError
        If there is none.
    """
    if not store.count:
        message = tr("there are no cells to clear")
        raise EditRefusedError(message)
    around = hull(store.table["box"][store.ids].tolist())
    return store.write("clear all cells", [(around, np.zeros(around.shape, np.int32))])


def _without(
    store: LabelStore, box: Box, mask: Mask, cell: int | None, *, first_new: int
) -> tuple[Box, Planes, dict[int, dict[str, Any]], list[str]]:
    """Labels without some pixels of one cell, or of all: box, labels, table values of the cells, and notes.

    Pieces cut off become new cells, numbered from ``first_new`` on, if they are large enough.
    """
    labels = store.planes[box.slices]
    gone = mask & (labels > 0 if cell is None else labels == cell)
    touched = [int(value) for value in np.unique(labels[gone])]
    around = hull([box, *(store.box(number) for number in touched)])
    after = store.planes[around.slices].copy()
    after[box.within(around)][gone] = 0
    facts: dict[int, dict[str, Any]] = dict.fromkeys(touched, _BY_HAND)
    notes, new = [], first_new
    for number in touched:
        within = store.box(number).within(around)
        pieces = pieces_of(after[within] == number)
        for piece in pieces[1:]:
            large = np.count_nonzero(piece) >= FEWEST_PIXELS
            after[within][piece] = new if large else 0
            if large:
                facts[new] = _piece_of(store, number)
                new += 1
        if len(pieces) > 1:
            notes.append(tr("cell {number} fell into {n} pieces", number=number, n=len(pieces)))
    return around, after, facts, notes


def _present(store: LabelStore, cells: Iterable[int]) -> list[int]:
    """The given cells that exist, each once, in order."""
    there = store.present(cells)
    if not there:
        message = tr("no cell is selected")
        raise EditRefusedError(message)
    return there


def _relabelled(store: LabelStore, cells: Iterable[int], number: int) -> Iterator[tuple[Box, Planes]]:
    """The pixels of the cells with another number, cell by cell, because boxes of neighbors overlap.

    Cells that densely fill their part of the image are changed all at once.
    """
    chosen = np.fromiter(cells, np.int32)
    around = hull(store.table["box"][chosen].tolist())
    if around.size < chosen.size * _PIXELS_PER_CELL:
        numbers = np.arange(store.next_id, dtype=np.int32)
        numbers[chosen] = number
        yield around, numbers[store.planes[around.slices]]
        return
    for cell in chosen.tolist():
        box, mask = store.mask(cell)
        yield box, np.where(mask, np.int32(number), store.planes[box.slices])


def _reshaped(
    store: LabelStore, cells: Iterable[int], name: str, change: Callable[[Mask], Mask], *, margin: int
) -> Edit:
    """Change the shape of cells one by one; they take only free pixels, and no cell vanishes."""
    present = _present(store, cells)
    around = hull(store.box(cell) for cell in present).grown(margin, store.shape)
    after = store.planes[around.slices].copy()
    facts: dict[int, dict[str, Any]] = {}
    notes: list[str] = []
    for cell in present:
        box = store.box(cell).grown(margin, store.shape)
        labels = after[box.within(around)]
        mask = labels == cell
        wanted = change(mask) & ((labels == 0) | mask)
        if wanted.any() and not np.array_equal(wanted, mask):
            labels[mask] = 0
            labels[wanted] = cell
            facts[cell] = _BY_HAND
            n = len(pieces_of(wanted))
            notes += [tr("cell {cell} is in {n} pieces", cell=cell, n=n)] if n > 1 else []
    if not facts:
        message = tr("{name}: nothing to change", name=tr(name))
        raise EditRefusedError(message)
    return store.write(name, [(around, after)], facts, "; ".join(notes))


def _piece_of(store: LabelStore, cell: int) -> dict[str, Any]:
    """Table values of a piece of a cell: it keeps the class of the cell."""
    return {**_BY_HAND, "kind": store.table["kind"][cell]}


def _with_pieces_told(store: LabelStore, edit: Edit, cell: int) -> Edit:
    n = len(pieces_of(store.mask(cell)[1]))
    return (
        edit
        if n < 2
        else replace(
            edit, note="; ".join([*filter(None, [edit.note]), tr("cell {cell} is in {n} pieces", cell=cell, n=n)])
        )
    )
