"""Links between the cells of a movie: each cell stores the same cell's number in an earlier frame.

A link is a field of the table of cells, so links are edited, undone and saved like all other fields. If two cells link
to the same earlier cell, that cell has divided. Links to removed cells have no effect until an undo restores them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cellpose._labels.arrays import overlap, scan
from cellpose.errors import EditRefusedError
from cellpose.gui._texts import tr
from cellpose.gui.model._box import Box
from cellpose.gui.model._labels import Edit, LabelStore, Table

__all__ = [
    "LINKS_KEY",
    "Lineage",
    "Tails",
    "apart",
    "cut",
    "cut_after",
    "inherited",
    "join",
    "link_all",
    "make_daughters",
    "numbered_links",
    "restore_links",
    "swap",
]

LINKS_KEY = "links"  # of a _seg.npy

_SAME = 0.5  # intersection over union from which a newly found cell counts as the old one

Numbers = npt.NDArray[np.int32]


class Tails(NamedTuple):
    """The paths of cells: lines (n, 4), x and y of both ends, with tracks (n,); divisions (m, 2), x and y."""

    lines: npt.NDArray[Any]
    track: Numbers
    divisions: npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Lineage:
    """The assignment of cells to tracks.

    Parameters
    ----------
    frame
        The frame of each cell number, (labels,).
    earlier
        The earlier cell it is linked to, 0 for none: only links between existing cells.
    later
        Number of later cells linked to it; with two or more it divides.
    track
        Its track number, which is the number of the track's first cell; 0: no such cell. A track ends where its cell
        divides.
    """

    frame: Numbers
    earlier: Numbers
    later: Numbers
    track: Numbers

    @classmethod
    def of(cls, table: Table) -> Lineage:
        """The tracks given by the links of a table of cells, dtype ``CELL`` (labels,).

        Examples
        --------
        >>> store = LabelStore(np.array([[[1, 0, 2]], [[3, 0, 4]], [[5, 0, 6]]]))
        >>> edit = link_all(store, {3: 1, 4: 2, 5: 3, 6: 3})
        >>> Lineage.of(store.table).track.tolist(), Lineage.of(store.table).later.tolist()
        ([0, 1, 2, 1, 2, 5, 6], [0, 1, 1, 2, 0, 0, 0])
        """
        there = table["area"] > 0
        earlier = table["earlier"].clip(0, len(table) - 1)
        earlier[~there | ~there[earlier]] = 0
        later = np.bincount(earlier, minlength=len(table)).astype(np.int32)
        later[0] = 0
        numbers = np.arange(len(table), dtype=np.int32)
        track = np.where((earlier > 0) & (later[earlier] == 1), earlier, numbers)
        while not np.array_equal(further := track[track], track):
            track = further
        return cls(table["box"][:, 0].copy(), earlier, later, np.where(there, track, 0).astype(np.int32))

    def later_than(self, cell: int) -> list[int]:
        """The later cells linked directly to a cell."""
        return [int(each) for each in np.flatnonzero(self.earlier == cell)] if cell else []

    def in_frame(self, cells: Iterable[int], frame: int) -> list[int]:
        """The cells in a frame that belong to the tracks of the given cells."""
        return [cell for cell in self.alike(cells) if self.frame[cell] == frame]

    def alike(self, cells: Iterable[int]) -> list[int]:
        """All cells of the tracks of the given cells."""
        wanted = np.unique(self.track[[cell for cell in cells if cell < self.track.size]])
        return [int(cell) for cell in np.flatnonzero((self.track > 0) & np.isin(self.track, wanted))]

    def tails(self, table: Table, frame: int, frames: int) -> Tails:
        """The paths of the cells up to a frame, over the last ``frames`` frames."""
        recent = (self.earlier > 0) & (self.frame <= frame) & (self.frame > frame - frames)
        cells = np.flatnonzero(recent)
        box = table["box"].astype(np.float32)
        centres = np.stack([box[:, 4] + box[:, 5], box[:, 2] + box[:, 3]], axis=1) / np.float32(2)
        before = self.earlier[cells]
        divided = np.unique(before[self.later[before] > 1])
        lines = np.concatenate([centres[before], centres[cells]], axis=1)
        order = np.argsort(self.track[cells], kind="stable")
        return Tails(lines[order], self.track[cells][order], centres[divided])

    def mother_of(self, cell: int) -> int:
        """The number of the mother track of a cell's track; 0: none."""
        return int(self.track[self.earlier[self.track[cell]]])


def join(store: LabelStore, cell: int, later: int, *, divides: bool = False) -> Edit:
    """Link a cell to a cell of a later frame; its other later links are cut, unless it divides.

    Raises
    ------
    EditRefusedError
        If the other is not in a later frame, or they are already linked.
    """
    lineage = Lineage.of(store.table)
    _of_frames(store, cell, later)
    others = [each for each in lineage.later_than(cell) if each != later]
    if lineage.earlier[later] == cell and (divides or not others):
        message = tr("cells {cell} and {later} are linked already", cell=cell, later=later)
        raise EditRefusedError(message)
    facts = {each: {"earlier": 0} for each in ([] if divides else others)}
    name = tr("mark division") if divides and others else tr("join cells")
    return store.write(name, facts={**facts, later: {"earlier": cell}})


def cut(store: LabelStore, cells: Iterable[int]) -> Edit:
    """Cut the links of cells to earlier ones: their tracks begin with them.

    Raises
    ------
    EditRefusedError
        If none of them is linked to an earlier cell.
    """
    lineage = Lineage.of(store.table)
    linked = [cell for cell in store.present(cells) if lineage.earlier[cell]]
    if not linked:
        message = tr("no selected cell is linked to one of an earlier frame")
        raise EditRefusedError(message)
    return store.write(tr("cut links"), facts={cell: {"earlier": 0} for cell in linked})


def cut_after(store: LabelStore, cells: Iterable[int]) -> Edit:
    """Cut the links of cells to later ones: their tracks end with them.

    Raises
    ------
    EditRefusedError
        If none of them is linked to a later cell.
    """
    earlier = Lineage.of(store.table).earlier
    linked = np.flatnonzero((earlier > 0) & np.isin(earlier, store.present(cells))).tolist()
    if not linked:
        message = tr("no selected cell is linked to one of a later frame")
        raise EditRefusedError(message)
    return store.write(tr("cut links"), facts={cell: {"earlier": 0} for cell in linked})


def swap(store: LabelStore, cells: Sequence[int]) -> Edit:
    """Swap the tracks of two cells of one frame, from this frame on.

    Raises
    ------
    EditRefusedError
        If they are not two cells of one frame, or nothing would change.
    """
    first, second = _pair(store, cells, tr("swap tracks"))
    earlier = Lineage.of(store.table).earlier
    if earlier[first] == earlier[second]:
        message = tr("swap tracks: these cells do not come from different cells")
        raise EditRefusedError(message)
    facts = {first: {"earlier": int(earlier[second])}, second: {"earlier": int(earlier[first])}}
    return store.write(tr("swap tracks"), facts=facts)


def make_daughters(store: LabelStore, cells: Sequence[int]) -> Edit:
    """Make two cells of one frame daughters of the cell that one of them is linked to.

    Raises
    ------
    EditRefusedError
        If they are not two cells of one frame, or not exactly one of them is linked to an earlier cell.
    """
    first, second = _pair(store, cells, tr("mark division"))
    earlier = Lineage.of(store.table).earlier
    known = {int(earlier[cell]) for cell in (first, second)} - {0}
    if len(known) != 1:
        what = (
            tr("come from different cells; cut the wrong link") if known else tr("come from no cell; join one of them")
        )
        message = tr("mark division: these cells {what} first", what=what)
        raise EditRefusedError(message)
    (mother,) = known
    if earlier[first] == earlier[second]:
        message = tr("cell {mother} divides into these cells already", mother=mother)
        raise EditRefusedError(message)
    new = first if not earlier[first] else second
    return store.write(tr("mark division"), facts={new: {"earlier": mother}})


def link_all(
    store: LabelStore, links: Mapping[int, int], new: Sequence[tuple[Box, npt.NDArray[np.int32]]] = ()
) -> Edit:
    """Replace all links of a movie.

    Parameters
    ----------
    store
        The labels.
    links
        For each linked cell, the cell of an earlier frame.
    new
        Cells filled in where some were missing: boxes with their labels.
    """
    had = np.flatnonzero(store.table["earlier"] > 0).tolist()
    facts: dict[int, dict[str, Any]] = {cell: {"earlier": links.get(cell, 0)} for cell in {*had, *links}}
    return store.write(tr("link cells"), new, facts)


def inherited(
    store: LabelStore, box: Box, placed: npt.NDArray[np.int32], gone: npt.NDArray[np.bool_]
) -> dict[int, dict[str, int]]:
    """Links that newly found cells take over from the cells they replace, as values of the table.

    Parameters
    ----------
    store
        The labels before.
    box, placed
        Position and labels of the new cells.
    gone
        For each number, whether its cell is replaced.
    """
    if not (store.table["earlier"] > 0).any():
        return {}
    old = store.planes[box.slices]
    pairs = overlap(np.ascontiguousarray(old), placed)
    both = (pairs.a > 0) & (pairs.b > 0)
    a, b, shared = pairs.a[both], pairs.b[both], pairs.counts[both]
    sizes = scan(placed).counts
    union = store.table["area"][a] + sizes[b] - shared
    again = (shared > _SAME * union) & gone[a]
    same = dict(zip(a[again].tolist(), b[again].tolist(), strict=True))
    lineage, facts = Lineage.of(store.table), {}
    for before, after in same.items():
        cell = int(lineage.earlier[before])
        facts[after] = {"earlier": same.get(cell, 0 if gone[cell] else cell)}
    for cell in np.flatnonzero(np.isin(lineage.earlier, list(same))).tolist():
        if not gone[cell]:
            facts[cell] = {"earlier": same[int(lineage.earlier[cell])]}
    return facts


def apart(frames: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int32], Numbers]:
    """Labels of a movie with each cell in one frame only, and the links that equal numbers imply.

    Parameters
    ----------
    frames
        Labels (T, Y, X) of any numbers.

    Returns
    -------
    labels : int32 (T, Y, X)
        Numbered 1..n, frame by frame; unchanged if each number is in one frame only.
    earlier : int32 (n + 1,)
        For each label, the label of the same original number in an earlier frame.

    Examples
    --------
    >>> labels, earlier = apart(np.array([[[4, 7]], [[4, 0]]]))
    >>> labels.tolist(), earlier.tolist()
    ([[[1, 2]], [[3, 0]]], [0, 0, 0, 1])
    """
    labels = np.ascontiguousarray(frames, np.int32)
    boxes = scan(labels).boxes.reshape(-1, 6)
    if not (boxes[1:, 1] - boxes[1:, 0] > 1).any():
        return labels, np.zeros(len(boxes), np.int32)
    out, earlier, last = np.zeros(labels.shape, np.int32), [0], dict[int, int]()
    for frame, target in zip(labels, out, strict=True):
        numbers, places = np.unique(frame, return_inverse=True)
        new = np.where(numbers > 0, len(earlier) - 1 + np.cumsum(numbers > 0), 0)
        target[...] = new[places].reshape(frame.shape)
        for number, label in zip(numbers.tolist(), new.tolist(), strict=True):
            if number > 0:
                earlier.append(last.get(number, 0))
                last[number] = label
    return out, np.array(earlier, np.int32)


def numbered_links(rows: Table, ids: Numbers) -> Numbers:
    """The earlier cell of each cell 1..n, numbered as in a file, int32 (n,); 0: none.

    Parameters
    ----------
    rows, ids
        Rows and numbers of the cells, ascending by number, dtype ``CELL`` (n,) and int32 (n,).
    """
    places = np.searchsorted(ids, rows["earlier"])
    known = ids[places.clip(0, max(ids.size - 1, 0))] == rows["earlier"] if ids.size else np.zeros(0, bool)
    return np.where(known, places + 1, 0).astype(np.int32)


def restore_links(store: LabelStore, links: Any) -> None:
    """Set links (n,) of the cells 1..n of labels just read; links that lead to no earlier frame are dropped."""
    count = store.next_id - 1
    if not isinstance(links, np.ndarray) or links.shape != (count,) or links.dtype.kind not in "iu":
        return
    frame = store.table["box"][:, 0]
    there = (links > 0) & (links <= count)
    kept = np.where(there, links, 0).astype(np.int32)
    kept[frame[kept] >= frame[1:]] = 0
    store.restore("earlier", kept)


def _of_frames(store: LabelStore, cell: int, later: int) -> None:
    """Refuse links that do not lead to a later frame."""
    if not (store.has(cell) and store.has(later)):
        message = tr("one of the two cells is not there any more")
        raise EditRefusedError(message)
    first, second = store.box(cell).z0, store.box(later).z0
    if second <= first:
        message = tr(
            "cell {later} lies in frame {second}; link a cell of frame {first} to one of a later frame",
            later=later,
            second=second,
            first=first,
        )
        raise EditRefusedError(message)


def _pair(store: LabelStore, cells: Sequence[int], what: str) -> tuple[int, int]:
    present = store.present(cells)
    if len(present) != 2 or store.box(present[0]).z0 != store.box(present[1]).z0:
        message = tr("{what}: select two cells of one frame, with Ctrl+Shift+click", what=what)
        raise EditRefusedError(message)
    return present[0], present[1]
