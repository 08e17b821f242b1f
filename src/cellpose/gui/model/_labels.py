"""Editable labels: planes of pixels, a table of cells, and edits as patches that can be undone and redone.

The cost of an edit depends on the cells it touches, not on the image size. Cell numbers never change and are never
reused while an image is open, so any edit can be undone later. Files get numbers 1..n when they are written.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakSet

import numpy as np
import numpy.typing as npt

from cellpose import io
from cellpose._labels.arrays import changed_labels, scan
from cellpose.errors import InputError
from cellpose.gui._texts import tr
from cellpose.gui.model._box import Box, Mask, box_of_mask, hull
from cellpose.gui.model._frozen import Frozen
from cellpose.gui.model._packed import Packed

__all__ = ["CELL", "Edit", "LabelStore", "Patch", "Regions", "Table"]

Planes = npt.NDArray[np.int32]
Regions = tuple[tuple[tuple[float, float, float], ...], ...]  # corners z, y, x of each
Table = npt.NDArray[Any]

CELL = np.dtype(
    [
        ("area", np.int64),  # pixels; 0: no such cell
        ("box", np.int32, (6,)),  # a Box
        ("score", np.float32),  # confidence of the model, 0 to 1; NaN: unknown
        ("manual", np.bool_),  # drawn or corrected by hand
        ("checked", np.bool_),  # reviewed and found correct
        ("kind", np.int16),  # class given by the user, 0: none
        ("earlier", np.int32),  # in a movie: the same cell in an earlier frame, 0: none
    ]
)

# If an edit touches more cells than this, one pass over all their pixels is faster than one pass per cell.
_FEW = 64
_LARGE = 2**16  # pixels from which a patch is compared by a kernel


@dataclass(frozen=True, eq=False)
class Patch:
    """The labels of a box before and after an edit."""

    box: Box
    before: Packed
    after: Packed


@dataclass(frozen=True, eq=False)
class Edit:
    """One step of the history: what changed in the pixels and in the table.

    Parameters
    ----------
    name
        What was done, as shown in the Edit menu: "Undo draw cell".
    patches
        Changed boxes; none if only the table changed.
    ids, rows_before, rows_after
        Numbers (n,) of the affected cells and their rows of the table, of dtype ``CELL``.
    note
        Message for the user, for example about dropped pieces; may be empty.
    beside
        Attributes of the `Document` that changed with it: their values before and after.
    regions
        The regions that training ignores, before and after; None: unchanged.
    labels
        For a segmentation, its label (n,) of each cell in ``added``; None: not from a segmentation.
    when
        When it was done, in seconds since 1970.
    """

    name: str
    patches: tuple[Patch, ...]
    ids: npt.NDArray[np.int32]
    rows_before: Table
    rows_after: Table
    note: str = ""
    beside: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    regions: tuple[Regions, Regions] | None = None
    labels: npt.NDArray[np.intp] | None = None
    when: float = field(default_factory=time.time)

    @property
    def nbytes(self) -> int:
        """Memory of its patches and rows."""
        patches = sum(patch.before.nbytes + patch.after.nbytes for patch in self.patches)
        return int(patches + self.rows_before.nbytes + self.rows_after.nbytes)

    @property
    def box(self) -> Box:
        """The smallest box around all changes."""
        return hull(patch.box for patch in self.patches)

    def reversed(self) -> Edit:
        """The edit that undoes this one."""
        patches = tuple(Patch(patch.box, patch.after, patch.before) for patch in reversed(self.patches))
        regions = None if self.regions is None else self.regions[::-1]
        return Edit(f"undo {self.name}", patches, self.ids, self.rows_after, self.rows_before, regions=regions)

    @property
    def added(self) -> npt.NDArray[np.int32]:
        """Numbers of the cells created by this edit."""
        return np.asarray(self.ids[(self.rows_before["area"] == 0) & (self.rows_after["area"] > 0)])

    @property
    def removed(self) -> npt.NDArray[np.int32]:
        """Numbers of the cells removed by this edit."""
        return np.asarray(self.ids[(self.rows_before["area"] > 0) & (self.rows_after["area"] == 0)])


class LabelStore:
    """The labels of one image.

    Parameters
    ----------
    labels
        Label image, (Y, X) or (Z, Y, X), any integer dtype; copied. 0 is background.

    Attributes
    ----------
    planes
        int32 (Z, Y, X). Read only: all changes go through `write`, `apply` and `revert`.
    ignored
        Regions that training ignores.

    Examples
    --------
    >>> labels = np.zeros((20, 20), np.uint16)
    >>> labels[2:8, 2:8] = 1
    >>> store = LabelStore(labels)
    >>> box = Box(0, 1, 10, 15, 10, 15)
    >>> edit = store.write("draw cell", [(box, np.full(box.shape, store.next_id, np.int32))])
    >>> store.count, edit.added.tolist(), int(store.table["area"][2])
    (2, [2], 25)
    >>> store.revert(edit)
    >>> store.count, bool((store.planes[0] == labels).all())
    (1, True)
    """

    def __init__(self, labels: npt.NDArray[Any]) -> None:
        if labels.ndim not in (2, 3) or labels.dtype.kind not in "iub":
            message = tr(
                "labels of shape {shape} and dtype {dtype}; give whole numbers (Y, X) or (Z, Y, X)",
                shape=labels.shape,
                dtype=labels.dtype,
            )
            raise InputError(message)
        planes = io.roomy_zeros(labels.shape if labels.ndim == 3 else (1, *labels.shape), np.int32)
        planes[...] = labels
        if labels.dtype.kind == "i" and planes.size and planes.min() < 0:
            message = tr(
                "labels down to {min} are not allowed; the background is 0, cells are 1, 2, 3, ...", min=planes.min()
            )
            raise InputError(message)
        found = scan(planes)
        self._begin(planes, len(found.counts))
        self._rows["area"][: len(found.counts)] = found.counts
        self._rows["box"][: len(found.counts)] = found.boxes
        self._rows["area"][0] = 0

    def _begin(self, planes: Planes, end: int) -> None:
        self.planes = planes
        self.ignored: Regions = ()
        self._rows = np.zeros(max(64, end), CELL)
        self._rows["score"] = np.nan
        self._end = max(1, end)
        self._frozen: WeakSet[Frozen] = WeakSet()

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> LabelStore:
        """A store without cells, (Z, Y, X); takes memory only where cells are created."""
        store = cls.__new__(cls)
        store._begin(io.roomy_zeros(shape, np.int32), 1)
        return store

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the planes, (Z, Y, X)."""
        z, y, x = self.planes.shape
        return z, y, x

    @property
    def table(self) -> Table:
        """Rows of dtype ``CELL``, one per number including 0; rows with area 0 are not cells."""
        view: Table = self._rows[: self._end]
        view.flags.writeable = False
        return view

    @property
    def ids(self) -> npt.NDArray[np.int32]:
        """Numbers of the existing cells, ascending."""
        return np.asarray(np.flatnonzero(self.table["area"]), np.int32)

    @property
    def count(self) -> int:
        """How many cells there are."""
        return int(np.count_nonzero(self.table["area"]))

    @property
    def next_id(self) -> int:
        """The number of the next new cell."""
        return self._end

    def has(self, cell: int) -> bool:
        """Whether there is a cell of this number."""
        return 0 < cell < self._end and bool(self._rows["area"][cell])

    def present(self, cells: Iterable[int]) -> list[int]:
        """The given cells that exist, each once, in order."""
        return [cell for cell in dict.fromkeys(cells) if self.has(cell)]

    def at(self, z: int, y: int, x: int) -> int:
        """The cell at a pixel; 0 if there is none, or no such pixel."""
        inside = all(0 <= place < length for place, length in zip((z, y, x), self.shape, strict=True))
        return int(self.planes[z, y, x]) if inside else 0

    def box(self, cell: int) -> Box:
        """Box of a cell.

        Raises
        ------
        InputError
            If there is no such cell.
        """
        if not self.has(cell):
            message = tr("there is no cell {cell}", cell=cell)
            raise InputError(message)
        return Box(*(int(end) for end in self._rows["box"][cell]))

    def mask(self, cell: int) -> tuple[Box, Mask]:
        """Box of a cell, and which of its pixels belong to the cell."""
        box = self.box(cell)
        return box, self.planes[box.slices] == cell

    def write(
        self,
        name: str,
        pieces: Iterable[tuple[Box, Planes]] = (),
        facts: Mapping[int, Mapping[str, Any]] | None = None,
        note: str = "",
    ) -> Edit:
        """Change pixels and attributes of cells, and return the edit, which can be undone and redone.

        Parameters
        ----------
        name
            Name of the edit.
        pieces
            Boxes with their new labels (of the shape of the box), written in order.
        facts
            Table values by cell number; not ``area`` and ``box``, which follow from the pixels.
        note
            Message stored in the edit.
        """
        patches: list[Patch] = []
        hulls: dict[int, Box] = {}  # boxes around the touched cells
        wide: list[tuple[npt.NDArray[np.int32], Box]] = []  # the same for many cells together
        for box, after in pieces:
            before = self.planes[box.slices]
            left, come = _changed(before, after)
            if not come:
                continue
            self._make_room(come[-1])
            if len(left) + len(come) > _FEW:
                many = np.array([*left, *come], np.int32)
                wide.append((many, hull([box, *self._rows["box"][many[self._rows["area"][many] > 0]]])))
            else:
                for cell, known in self._known_boxes(left, box):
                    hulls.setdefault(cell, known)
                for cell, known in self._known_boxes(come, box):
                    hulls[cell] = hulls.get(cell, known).joined(box)
            patches.append(Patch(box, Packed.of(before), Packed.of(after)))
            self._tell_frozen(box, patches[-1].before)
            self.planes[box.slices] = after
        hulls.pop(0, None)
        touched = np.unique(np.concatenate([np.fromiter(hulls, np.int32, len(hulls)), *(many for many, _ in wide)]))
        touched = touched[touched > 0]
        told = np.fromiter(facts or {}, np.int32, len(facts or {}))
        ids = np.union1d(touched, told).astype(np.int32)
        if ids.size:
            self._make_room(int(ids[-1]))
        before_rows = self._rows[ids].copy()
        if wide or len(hulls) > _FEW:
            self._measure_all(touched, hull([*hulls.values(), *(around for _, around in wide)]))
        else:
            self._measure(hulls)
        together: dict[int, tuple[Mapping[str, Any], list[int]]] = {}  # cells that get the same values
        for cell, values in (facts or {}).items():
            together.setdefault(id(values), (values, []))[1].append(cell)
        for values, cells in together.values():
            for name_of_field, value in values.items():
                self._rows[name_of_field][cells] = value
        return Edit(name, tuple(patches), ids, before_rows, self._rows[ids].copy(), note)

    def apply(self, edit: Edit) -> None:
        """Apply an edit that was undone, or that was made on equal labels."""
        if edit.ids.size:
            self._make_room(int(edit.ids.max()))
        for patch in edit.patches:
            self._tell_frozen(patch.box, patch.before)
            self.planes[patch.box.slices] = patch.after.unpacked()
        self._rows[edit.ids] = edit.rows_after
        if edit.regions is not None:
            self.ignored = edit.regions[1]

    def revert(self, edit: Edit) -> None:
        """Undo the last edit."""
        for patch in reversed(edit.patches):
            self._tell_frozen(patch.box, patch.after)
            self.planes[patch.box.slices] = patch.before.unpacked()
        self._rows[edit.ids] = edit.rows_before
        if edit.regions is not None:
            self.ignored = edit.regions[0]

    def copied(self) -> LabelStore:
        """An independent copy of labels and table; may be called in any thread."""
        other = LabelStore.__new__(LabelStore)
        other._begin(Frozen(self.planes, None).labels(), self._end)
        other.ignored, other._rows = self.ignored, self._rows.copy()
        return other

    def become(self, other: LabelStore) -> None:
        """Take over labels and table from an edited copy, which must not be used afterwards."""
        self._frozen.clear()  # they keep the old planes, which no longer change
        self.planes, self.ignored, self._rows, self._end = other.planes, other.ignored, other._rows, other._end

    def set_scores(self, edit: Edit, scores: npt.NDArray[np.float32], later: Iterable[Edit] = ()) -> None:
        """Set scores (n,) of the cells added by an edit, as if they had been known when it was done.

        They are stored in the edit and in later ones; a cell changed by hand has none.
        """
        ids = edit.added
        found = np.full(self._end, np.nan, np.float32)
        found[ids] = scores
        tables: list[tuple[npt.NDArray[Any], Table]] = [(edit.ids, edit.rows_after)]
        tables.append((np.arange(self._end), self._rows[: self._end]))
        tables += [(each.ids, rows) for each in later for rows in (each.rows_before, each.rows_after)]
        for numbers, rows in tables:
            known = ~np.isnan(found[numbers]) & (rows["area"] > 0) & ~rows["manual"]
            rows["score"][known] = found[numbers[known]]

    def restore(self, field: str, values: npt.NDArray[Any]) -> None:
        """Set a field (n,) of the cells 1..n of labels just read."""
        ids = self.ids
        self._rows[field][ids] = values[ids - 1]

    def renumber_to(self, ids: Sequence[int]) -> None:
        """Give the cells 1..n of labels just read, in order, their numbers in a journal."""
        numbers = np.array([0, *ids], np.int32)
        if np.array_equal(numbers, np.arange(self._end)):
            return
        rows = self._rows[1 : self._end].copy()
        rows["earlier"] = numbers[rows["earlier"]]
        for plane in self.planes:  # plane by plane: no second volume
            plane[...] = numbers[plane]
        self._rows[1 : self._end] = np.zeros((), CELL)
        self._make_room(int(numbers.max()))
        self._rows[numbers[1:]] = rows

    def reserve(self, next_id: int) -> None:
        """Number new cells from at least this number."""
        self._make_room(next_id - 1)

    def numbered(self) -> tuple[Planes, Table]:
        """Labels (Z, Y, X) renumbered 1..n in order, and the rows (n,) of these cells."""
        numbers = self._consecutive()
        return (self.planes, self.table[1:]) if numbers is None else (numbers[self.planes], self.table[self.ids])

    def frozen(self) -> tuple[Frozen, Table]:
        """`numbered` for the current state; labels are copied on demand, unaffected by later edits."""
        frozen = Frozen(self.planes, self._consecutive())
        self._frozen.add(frozen)
        return frozen, self.table[self.ids]

    def _consecutive(self) -> npt.NDArray[np.int32] | None:
        """The new numbers 1..n by cell number; None if they are unchanged."""
        ids = self.ids
        if ids.size == self._end - 1:
            return None
        numbers = np.zeros(self._end, np.int32)
        numbers[ids] = np.arange(1, ids.size + 1, dtype=np.int32)
        return numbers

    def _tell_frozen(self, box: Box, labels: Packed) -> None:
        for frozen in list(self._frozen):
            frozen.before(box, labels)

    def _known_boxes(self, cells: Sequence[int], otherwise: Box) -> Iterator[tuple[int, Box]]:
        rows = self._rows[list(cells)]
        for cell, area, box in zip(cells, rows["area"].tolist(), rows["box"].tolist(), strict=True):
            yield cell, Box(*box) if area else otherwise

    def _make_room(self, cell: int) -> None:
        if cell >= len(self._rows):
            more = np.zeros(2 * cell + 1 - len(self._rows), CELL)
            more["score"] = np.nan
            self._rows = np.concatenate([self._rows, more])
        self._end = max(self._end, cell + 1)

    def _measure_all(self, ids: npt.NDArray[np.int32], around: Box) -> None:
        """Measure areas and boxes of cells within one box."""
        found = scan(np.ascontiguousarray(self.planes[around.slices]), self._end - 1)
        self._rows["area"][ids] = found.counts[ids]
        corner = np.repeat(np.array(around[::2], np.int32), 2)
        self._rows["box"][ids] = np.where(found.counts[ids, None] > 0, found.boxes[ids] + corner, 0)

    def _measure(self, hulls: Mapping[int, Box]) -> None:
        """Measure areas and boxes of cells within their boxes."""
        for cell, around in hulls.items():
            mask = self.planes[around.slices] == cell
            box = box_of_mask(mask, around[::2])
            self._rows["area"][cell] = np.count_nonzero(mask)
            self._rows["box"][cell] = box or 0


def _changed(before: Planes, after: Planes) -> tuple[list[int], list[int]]:
    """The cell numbers at changed pixels, before and after, ascending."""
    if before.size < _LARGE:
        changed = before != after
        return np.unique(before[changed]).tolist(), np.unique(after[changed]).tolist()
    left, come = changed_labels(before, after)
    return left.tolist(), come.tolist()
