"""The open document: an image with its labels, their history, the selection, and the flows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple
from weakref import ReferenceType, ref

import numpy as np
import numpy.typing as npt
from psygnal import Signal

from cellpose.errors import EditRefusedError, InputError
from cellpose.gui._texts import tr
from cellpose.gui.model._box import Box
from cellpose.gui.model._corrections import ModelCells
from cellpose.gui.model._history import History
from cellpose.gui.model._labels import Edit, LabelStore
from cellpose.gui.model._links import Lineage
from cellpose.gui.model._picture import Picture
from cellpose.gui.model._provenance import Origin
from cellpose.gui.model._restored import Restored
from cellpose.gui.model._scores import Scoring

__all__ = ["Document", "Flows", "Prepared"]

_RUNS = 3  # number of runs whose flows are kept for undo


@dataclass(frozen=True, eq=False)
class Flows:
    """The output of a network, kept to recompute masks.

    Parameters
    ----------
    rgb
        Flows as colors, uint8 (Z, Y, X, 3).
    dP, cellprob
        Flows (2, Y, X) or (2 or 3, Z, Y, X) and logits of the cell probability, float32; None if a file does
        not have them.
    model
        Name of the model.
    region
        The part of the planes of the last run, if it was not the whole; elsewhere are older flows, or zeros.
    boxes
        All parts that were run, with their margins; empty: the whole, or unknown.
    frames
        For a movie, the flows by frame number; the other fields are then unused. Frames that were not run, or whose
        flows do not fit in memory, are missing.
    """

    rgb: npt.NDArray[np.uint8] | None
    dP: npt.NDArray[Any] | None
    cellprob: npt.NDArray[Any] | None
    model: str = ""
    region: Box | None = None
    boxes: tuple[Box, ...] = ()
    frames: Mapping[int, Flows] = field(default_factory=dict)

    @classmethod
    def joined(cls, older: Flows | None, shape: tuple[int, ...], box: Box, found: Flows, region: Box) -> Flows:
        """Insert the flows of a part into older ones, or into zeros.

        Parameters
        ----------
        older
            Older flows of planes of this ``shape``, (Z, Y, X); None: none.
        box
            The part of the planes that ``found`` covers.
        region
            The requested part of the box.
        """
        size, arrays = shape[1:], []
        seen = older.boxes if older is not None else ()
        for name, lead, tail in (("rgb", (1,), (3,)), ("dP", (2,), ()), ("cellprob", (), ())):
            new: Any = getattr(found, name)
            old: Any = getattr(older, name, None)
            fits = old is not None and old.shape == (*lead, *size, *tail)
            # a copy, since an undo restores the older flows; zeros elsewhere take no memory
            whole = old.copy() if fits and not seen else np.zeros((*lead, *size, *tail), new.dtype)
            for each in (*seen, box) if fits else (box,):
                part = (slice(None),) * len(lead) + each.slices[1:]
                whole[part] = new if each is box else old[part]
            arrays.append(whole)
        complete = older is not None and older.region is None and getattr(older.dP, "shape", ()) == arrays[1].shape
        unknown = older is not None and not complete and not seen
        boxes = () if complete or unknown else (*(each for each in seen if each.joined(box) != box), box)
        return cls(arrays[0], arrays[1], arrays[2], found.model, None if complete else region, boxes)


class Held(NamedTuple):
    """What a ``_seg.npy`` of a document would hold, to tell whether it has changed since.

    Parameters
    ----------
    labels
        The `History.state` of the labels.
    flows, restored
        References to the flows, and to the image from a restoration model; None: none.
    filters
        The filter of the image: names and values of the parameters that are set.
    classes
        Names and colors of the classes.
    """

    labels: int
    flows: ReferenceType[Flows] | None
    restored: ReferenceType[Restored] | None
    filters: tuple[tuple[str, Any], ...]
    classes: tuple[tuple[str, str], ...]


@dataclass(frozen=True, eq=False)
class Prepared:
    """A step of the history already done on a copy of the labels, which then replaces the labels.

    Parameters
    ----------
    labels
        The copy.
    edit
        The edit; None: an undo of the last edit (``back``), or a redo.
    over
        The edit that was undone first; None: none.
    """

    labels: LabelStore
    edit: Edit | None
    over: Edit | None = None
    back: bool = False


class Document:
    """One open image. All changes of its labels go through `do`, `undo` and `redo`.

    Parameters
    ----------
    stack
        Image (Z, C, Y, X), the input of networks.
    labels
        Its labels, (Y, X) or (Z, Y, X); None: no cells.
    path
        The file of the image; None: none.
    channels
        All channels, (Z, C, Y, X), for display; None: those of the stack.
    pixel_um
        Height and width of a pixel in micrometers; None if the file does not state it.
    channel_names
        Names of the channels; empty if unknown.
    picture
        Picture of the stack, if already made.
    z_aspect
        Distance between planes in pixels.
    axis
        The axis of its planes: ``"Z"``, planes of a volume, or ``"T"``, frames of a movie, with each cell in one frame.
    interval_s
        For a movie, seconds between frames; None if the file does not state it.

    Attributes
    ----------
    is_provisional
        Whether its cells are still being read. Cells drawn meanwhile are added to them; nothing else may use them.
    locked
        Why editing is impossible; empty if it is possible.
    found
        The cells as a model found them, before corrections; None if no model was run.
    scoring
        Meaning of the scores of its cells; None if they have none.
    origins
        Where its cells come from, oldest first; set together with the edits that add cells.
    filters
        Parameters of the filter of the image, from `SegmentationSettings.filters`; empty: none. When a file is opened,
        they are known before `restored` is made.
    earlier_changes
        ``manual_changes`` of its ``_seg.npy`` before the first edit of its history.
    thresholds
        The settings, by name, that its cells follow at once; set together with the edits that make cells with them.
    only_in_seg
        The image as its ``_seg.npy`` holds it, if there is no file of the image; it is written again with the cells.
    has_file
        Whether its cells were read from a ``_seg.npy`` or written to one.
    changed : Signal(Box)
        Labels changed within a box, or rows of the table (the box may be empty).
    edited : Signal(object)
        The `Edit` that was done, undone or redone.
    selection_changed : Signal(frozenset)
        Numbers of the selected cells.
    told : Signal(str)
        A message for the user: why an edit was refused, or its side effects.
    held_changed : Signal()
        What a ``_seg.npy`` would hold changed.
    """

    changed = Signal(Box)
    edited = Signal(object)
    selection_changed = Signal(frozenset)
    flows_changed = Signal()
    restored_changed = Signal()
    held_changed = Signal()
    told = Signal(str)

    def __init__(
        self,
        stack: npt.NDArray[Any],
        labels: npt.NDArray[Any] | LabelStore | None = None,
        path: Path | None = None,
        *,
        channels: npt.NDArray[Any] | None = None,
        pixel_um: tuple[float, float] | None = None,
        channel_names: tuple[str, ...] = (),
        picture: Picture | None = None,
        z_aspect: float = 1.0,
        axis: str = "Z",
        interval_s: float | None = None,
    ) -> None:
        self.stack = stack
        self.z_aspect, self.axis, self.interval_s = z_aspect, axis, interval_s
        self.channels = stack if channels is None else channels
        self.pixel_um = pixel_um
        self.channel_names = channel_names
        self.picture = picture or Picture.of(self.channels)
        self.path = path
        self.is_provisional = False
        self.locked = ""
        if labels is None:
            labels = LabelStore.empty(self.picture.shape)
        self.labels = labels if isinstance(labels, LabelStore) else LabelStore(labels)
        if self.labels.shape != self.picture.shape:
            message = tr(
                "labels of shape {shape} do not fit the image, of shape {image}",
                shape=self.labels.shape,
                image=self.picture.shape,
            )
            raise InputError(message)
        self.history = History(self.labels)
        self._flows: Flows | None = None
        self.found: ModelCells | None = None
        self.scoring: Scoring | None = None
        self.origins: tuple[Origin, ...] = ()
        self._restored: Restored | None = None
        self.filters: Mapping[str, Any] = {}
        self._classes: tuple[tuple[str, str], ...] = ()
        self.thresholds: Mapping[str, Any] = {}
        self.earlier_changes: tuple[Any, ...] = ()
        self.only_in_seg: npt.NDArray[Any] | None = None
        self.has_file = False
        self._saved = self.held
        self._selection: frozenset[int] = frozenset()
        self._lineage: Lineage | None = None

    @property
    def has_planes(self) -> bool:
        """Whether it has more than one plane or frame."""
        return self.labels.shape[0] > 1

    @property
    def is_volume(self) -> bool:
        """Whether it has several planes in depth."""
        return self.has_planes and self.axis == "Z"

    @property
    def is_movie(self) -> bool:
        """Whether it has several frames in time."""
        return self.has_planes and self.axis == "T"

    @property
    def lineage(self) -> Lineage:
        """The tracks of its cells, as they are linked now."""
        if self._lineage is None:
            self._lineage = Lineage.of(self.labels.table)
        return self._lineage

    def flows_at(self, plane: int) -> Flows | None:
        """The flows: in a movie those of this frame, else all."""
        return self._flows.frames.get(plane) if self.is_movie and self._flows is not None else self._flows

    @property
    def flows(self) -> Flows | None:
        """The output of the network; None if there is none."""
        return self._flows

    @flows.setter
    def flows(self, flows: Flows | None) -> None:
        self._flows = flows
        self.flows_changed.emit()
        self.held_changed.emit()

    @property
    def restored(self) -> Restored | None:
        """The image after a filter or a restoration model; None if neither is on."""
        return self._restored

    @restored.setter
    def restored(self, restored: Restored | None) -> None:
        self._restored = restored
        self.filters = {} if restored is None else restored.filters
        self.restored_changed.emit()
        self.held_changed.emit()

    @property
    def classes(self) -> tuple[tuple[str, str], ...]:
        """Names and colors of its classes."""
        return self._classes

    @classes.setter
    def classes(self, classes: tuple[tuple[str, str], ...]) -> None:
        if classes != self._classes:
            self._classes = classes
            self.held_changed.emit()

    @property
    def held(self) -> Held:
        """What a ``_seg.npy`` written now would hold."""
        flows, restored = self._flows, self._restored
        return Held(
            self.history.state,
            None if flows is None else ref(flows),
            None if restored is None or not restored.model else ref(restored),
            tuple(sorted((name, value) for name, value in self.filters.items() if value)),
            self._classes,
        )

    @property
    def is_saved(self) -> bool:
        """Whether its ``_seg.npy`` holds what there is now."""
        return self.history.is_saved and self.is_saved_beside

    @property
    def is_saved_beside(self) -> bool:
        """Whether its ``_seg.npy``, if it has one, holds what lies beside the cells; that alone needs no new file."""
        return not self.has_file or self.held[1:] == self._saved[1:]

    def mark_saved(self, held: Held | None = None) -> None:
        """Record that a file holds what there is now, or what was `held` when it was written."""
        self._saved = held or self.held
        self.history.mark_saved(self._saved.labels)
        self.has_file = True

    @property
    def selection(self) -> frozenset[int]:
        """Numbers of the selected cells."""
        return self._selection

    def select(self, cells: Iterable[int]) -> None:
        """Select these cells, and no others."""
        chosen = frozenset(int(cell) for cell in cells)
        there = frozenset(cell for cell in chosen if self.labels.has(cell))
        if there != self._selection:
            self._selection = there
            self.selection_changed.emit(there)

    def do(
        self,
        operation: Callable[..., Edit],
        *args: Any,
        over: Edit | None = None,
        beside: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Edit | None:
        """Run an operation on the labels and record it; None, with the reason as a message, if it is refused.

        Attributes of this document given in ``beside`` are set, undone and redone with the edit. The edit ``over`` is
        undone first, if it is the last one.
        """
        if self.locked:
            self.told.emit(self.locked)
            return None
        if over is not None and self.history.edits[-1:] == (over,):
            self.undo()
        try:
            edit = self._checked(self.labels, operation(self.labels, *args, **options))
        except EditRefusedError as refused:
            self.told.emit(str(refused))
            return None
        return self._record(edit, beside)

    def _checked(self, labels: LabelStore, edit: Edit) -> Edit:
        """Check an edit just done; undo it if it puts a cell of a movie into several frames."""
        boxes = edit.rows_after["box"]
        if self.is_movie and (boxes[:, 1] - boxes[:, 0] > 1).any():
            labels.revert(edit)
            message = tr(
                "{name}: a cell of a movie lies in one frame; link the cells of frames instead", name=edit.name
            )
            raise EditRefusedError(message)
        return edit

    def prepare(self, operation: Callable[..., Edit], *args: Any, over: Edit | None = None, **options: Any) -> Prepared:
        """Run an operation on a copy of the labels, in any thread, for `take`; the labels must not change meanwhile.

        Raises
        ------
        EditRefusedError
            If the operation makes no sense.
        """
        copy = self.labels.copied()
        if over is not None and self.history.edits[-1:] != (over,):
            over = None
        if over is not None:
            copy.revert(over)
        return Prepared(copy, self._checked(copy, operation(copy, *args, **options)), over)

    def prepare_step(self, *, back: bool) -> Prepared:
        """Prepare an undo (``back``) or a redo, as `prepare` does an operation."""
        copy = self.labels.copied()
        if back:
            copy.revert(self.history.edits[-1])
        else:
            copy.apply(self.history.undone[-1])
        return Prepared(copy, None, None, back)

    def take(self, prepared: Prepared, beside: Mapping[str, Any] | None = None) -> Edit | None:
        """Apply a prepared step; instant, however large the labels are."""
        self.labels.become(prepared.labels)
        if prepared.edit is None:
            edit = self.history.undo(moved=True) if prepared.back else self.history.redo(moved=True)
            self._set_beside(edit, after=not prepared.back)
            return self._tell(edit, undone=prepared.back)
        if prepared.over is not None:
            self._set_beside(self.history.undo(moved=True), after=False)
        return self._record(prepared.edit, beside)

    def _record(self, edit: Edit, beside: Mapping[str, Any] | None) -> Edit | None:
        if beside:
            edit = replace(edit, beside={name: (getattr(self, name), value) for name, value in beside.items()})
        self.history.record(edit)
        self._set_beside(edit, after=True)
        self._forget_old_flows()
        return self._tell(edit)

    def score(self, edit: Edit, scores: npt.NDArray[np.float32]) -> None:
        """Set scores (n,) of the cells added by an edit, computed after the edit; see `History.score`."""
        if self.history.score(edit, scores):
            rows = self.labels.table[edit.added]
            self._tell(Edit("score", (), edit.added, rows, rows))

    def undo(self) -> Edit | None:
        """Undo the last edit."""
        edit = self.history.undo()
        self._set_beside(edit, after=False)
        return self._tell(edit, otherwise=tr("nothing to undo"), undone=True)

    def redo(self) -> Edit | None:
        """Redo the last undone edit."""
        edit = self.history.redo()
        self._set_beside(edit, after=True)
        return self._tell(edit, otherwise=tr("nothing to redo"))

    def _set_beside(self, edit: Edit | None, *, after: bool) -> None:
        for name, values in edit.beside.items() if edit is not None else ():
            setattr(self, name, values[after])

    def _forget_old_flows(self) -> None:
        """Drop old flows: they take tens of bytes per pixel, so undo restores only those of a few runs."""
        runs = [edit for edit in self.history.edits if "flows" in edit.beside]
        for edit in runs[: -1 if self.is_movie else -_RUNS]:
            del edit.beside["flows"]

    def _tell(self, edit: Edit | None, otherwise: str = "", *, undone: bool = False) -> Edit | None:
        if edit is None:
            self.told.emit(otherwise)
            return None
        self._lineage = None
        self.select(self._selection)  # those that still exist
        self.held_changed.emit()
        self.edited.emit(edit)
        self.changed.emit(edit.box)
        if edit.note and not undone:  # what the edit led to is gone with it
            self.told.emit(edit.note)
        return edit
