"""Masks that follow the thresholds while a slider is dragged, computed from the network's flows."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from cellpose.gui._texts import mark
from cellpose.gui.controllers._frames import cells_of_frames, frame_box
from cellpose.gui.controllers._jobs import Report
from cellpose.gui.controllers._steps import Then
from cellpose.gui.controllers._stitched import StitchedFinder
from cellpose.gui.model import Box, Document, Edit, Flows
from cellpose.gui.model._corrections import ModelCells
from cellpose.gui.model._provenance import Origin
from cellpose.gui.model._removed import removed_by_hand, without_removed
from cellpose.gui.model._scores import Scored, Scoring, score_cells, score_others, scoring_of

if TYPE_CHECKING:
    from cellpose.dynamics import MaskFinder
    from cellpose.gui.controllers._session import Session

__all__ = ["FoundCells", "LiveMasks", "Part", "in_planes"]

STITCHED = 0.25  # overlap, if the settings have none and the flows are of single planes
_LIVE = ("flow_threshold", "cellprob_threshold", "niter", "min_size")  # fields that change the masks of known flows
_BOXES = (*_LIVE, "stitch_threshold", "isotropic_steps")  # fields that may change them
_REST_S = 0.15  # cells are scored after this long without a change


def in_planes(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Labels ([Z,] Y, X) as (Z, Y, X)."""
    return labels if labels.ndim == 3 else labels[None]


class Part(NamedTuple):
    """A region to segment, and the larger box given to the network so that cells on the border are whole."""

    region: Box
    box: Box


class FoundCells(NamedTuple):
    """New labels int32 ([Z,] Y, X) with their results; ``found`` only if they are of the whole image."""

    labels: npt.NDArray[np.int32]
    scores: npt.NDArray[Any]
    scoring: Scoring
    origin: Origin
    found: ModelCells | None

    @classmethod
    def of(cls, labels: npt.NDArray[Any], dP: Any, cellprob: Any, origin: Origin, part: Part | None) -> FoundCells:
        """The results of a run; slow work on the whole image is done here, in the thread of a job."""
        labels = labels if labels.dtype == np.int32 else np.ascontiguousarray(labels, np.int32)
        if np.ndim(dP) != labels.ndim + 1 or len(dP) != labels.ndim:  # stitched: flows cannot score whole cells
            unknown = np.full(int(labels.max(initial=0)), np.nan, np.float32)
            return cls.scored(labels, unknown, scoring_of(origin.model), origin, part)
        return cls.scored(labels, *score_cells(labels, dP, cellprob, origin.model), origin, part)

    @classmethod
    def scored(
        cls,
        labels: npt.NDArray[np.int32],
        scores: npt.NDArray[Any],
        scoring: Scoring,
        origin: Origin,
        part: Part | None,
    ) -> FoundCells:
        """Cells with the known scores."""
        found = ModelCells.of(in_planes(labels), origin.model) if part is None else None
        return cls(labels, scores, scoring, replace(origin, cells=int(labels.max(initial=0))), found)


class _Kept(NamedTuple):
    """For the open flows: the finder that makes masks from them, their position, and the last scored masks."""

    flows: Flows
    part: Part | None
    spacing: float
    dP: npt.NDArray[Any]
    cellprob: npt.NDArray[Any]
    finder: MaskFinder | StitchedFinder
    scored: Scored


class _Removed(NamedTuple):
    """Pixels of the cells of these flows that a person had removed before the thresholds changed."""

    flows: Flows
    pixels: npt.NDArray[np.intp]


class _Runs(Protocol):
    """The part of `Segmentations` used here."""

    def put(
        self,
        document: Document,
        part: Part | None,
        cells: FoundCells,
        then: Then,
        *,
        over: Edit | None,
        frames: Collection[int] | None = None,
        **beside: Any,
    ) -> None:
        """Put cells into a document, or a part of it."""

    def with_margin(self, document: Document, region: Box) -> Part:
        """A region with the box given to the network."""


class LiveMasks:
    """Recomputes masks whenever a threshold changes; the changes of one gesture are one step of the history.

    Undo and redo of such a step, or of a run, set the thresholds to those of the cells.

    Masks are shown before their cells are scored. Scores are computed once nothing has changed for a while. In a movie
    the frame in view follows at once; the other frames with known flows are updated after the same delay.

    Parameters
    ----------
    session
        Whose thresholds are followed.
    runs
        Puts the cells into the image.
    """

    name = "masks"
    scoring = "scores"

    def __init__(self, session: Session, runs: _Runs) -> None:
        self._session, self._runs = session, runs
        self._stale = False  # thresholds changed while masks were being made
        self._quiet = False  # they are being set to those of the cells
        self._gesture = self._asked = 0
        self._last: tuple[int, Edit | None] = (-1, None)
        self._kept: _Kept | None = None
        self._removed: _Removed | None = None
        for field in _LIVE:
            getattr(session.settings.events, field).connect(lambda _: self._changed())
        session.settings.events.stitch_threshold.connect(lambda _: self._stitching_changed())
        session.settings.events.isotropic_steps.connect(lambda _: self._note("isotropic_steps"))
        session.opened.connect(lambda _: self._begin())
        session.steps.moved.connect(lambda document, edit: self._go_back(document, edit))

    @property
    def thresholds(self) -> dict[str, Any]:
        """The settings that masks follow, as they are now."""
        return {name: getattr(self._session.settings, name) for name in _BOXES}

    def _changed(self) -> None:
        if not self._quiet:
            self.follow()

    def _stitching_changed(self) -> None:
        if self._is_stitched():
            self._changed()
        else:
            self._note("stitch_threshold")

    def follow(self) -> None:
        """Recompute masks from the kept flows in the background; changes made meanwhile share the next run."""
        self._stale, self._asked = True, self._gesture
        if self._session.jobs.running(self.name) is None:
            self._make()

    def _is_stitched(self) -> bool:
        """Whether the flows are those of single planes of a volume."""
        document = self._session.document
        flows = None if document is None or not document.is_volume else document.flows
        return flows is not None and flows.dP is not None and len(flows.dP) == 2

    def settle(self) -> None:
        """End the gesture: later changes are another step of the history."""
        self._gesture += 1

    def cancel(self) -> None:
        """Cancel all jobs, before another image is opened."""
        for job in (self.name, self.scoring):
            self._session.jobs.cancel(job)

    def _begin(self) -> None:
        self._kept = self._removed = None
        self._note()

    def _note(self, *names: str) -> None:
        """Note thresholds that change no cells, all or these, so that no undo takes them back."""
        document, now = self._session.document, self.thresholds
        if document is not None:
            document.thresholds = {**document.thresholds, **{name: now[name] for name in names or now}}

    def _go_back(self, document: Document, edit: Edit) -> None:
        """Set the thresholds to those of the cells that an undo or a redo has brought, which are there already.

        Those that the step did not change stay, unless cells for them were still being made.
        """
        if "thresholds" not in edit.beside or document is not self._session.document:
            return
        self.settle()
        jobs, coming = self._session.jobs, self._stale
        self._stale = False
        for job in (self.name, self.scoring) if document.is_movie else (self.name,):  # both make cells of movies
            coming = coming or jobs.running(job) is not None
            jobs.cancel(job)
        before, after = edit.beside["thresholds"]
        self._quiet = True
        try:
            for name, value in document.thresholds.items():
                if coming or before.get(name) != after.get(name):
                    setattr(self._session.settings, name, value)
        finally:
            self._quiet = False
        self._note()

    def _make(self) -> None:
        self._stale = False
        jobs, document, gesture = self._session.jobs, self._session.document, self._asked
        frame = self._session.view.plane
        flows = document.flows_at(frame) if document is not None else None
        if document is not None and document.is_movie and flows is None:
            self._make_all_frames(document, gesture)
            return
        if document is None or flows is None or flows.dP is None or flows.cellprob is None:
            self._note()
            return
        thresholds = self.thresholds
        jobs.cancel(self.scoring)
        part = None if flows.region is None else self._runs.with_margin(document, flows.region)
        if part is None and document.is_movie:
            part = Part(frame_box(frame, document.labels.shape), frame_box(frame, document.labels.shape))
        settings, known, keeps = self._session.settings, self._kept, self._session.settings.keep_corrected
        removed = self._removed if self._removed is not None and self._removed.flows is flows else None
        goes_on = self._last[0] == gesture and document.history.edits[-1:] == (self._last[1],)
        stitched = self._is_stitched()
        masking = settings.masking() if stitched else settings.masking_of(document.is_volume)
        size = document.labels.shape if document.is_volume else document.labels.shape[1:]
        spacing = settings.z_spacing if document.is_volume and flows.cellprob.shape == size else 1.0
        wanted = flows, part, size, spacing
        beside: dict[str, Any] = {"stitch_threshold": settings.stitch_threshold or STITCHED} if stitched else {}

        def work(_report: Report) -> tuple[_Kept, _Removed | None, FoundCells]:
            kept = known if known is not None and known[:3] == (flows, part, spacing) else _kept(*wanted)
            labels = np.ascontiguousarray(kept.finder.masks(**masking, **beside), np.int32)
            scores = kept.scored.for_cells_of(labels).scores
            origin = Origin(mark("thresholds"), flows.model, 0, {**masking, **beside})
            cells = FoundCells.scored(labels, scores, scoring_of(flows.model), origin, part)
            if not keeps or part is not None:
                return kept, None, cells
            gone = removed if removed is not None and goes_on else _removed_cells(document, flows, removed)
            return kept, gone, cells._replace(labels=without_removed(cells.labels, gone.pixels))

        def done(result: tuple[_Kept, _Removed | None, FoundCells]) -> None:
            kept, gone, cells = result
            if document is self._session.document and document.flows_at(frame) is flows:
                self._kept, self._removed = kept, gone
                self._replace(document, part, cells, gesture, thresholds, lambda edit: replaced(kept, cells, edit))
            elif self._stale:
                self._make()

        def replaced(kept: _Kept, cells: FoundCells, edit: Edit | None) -> None:
            if self._stale:
                self._make()
            elif edit is not None and document.flows is not None and len(document.flows.frames) > 1:
                self._make_all_frames(document, gesture)
            elif edit is not None:
                self._score(document, kept, cells, edit)

        jobs.start(self.name, work, done, lambda error: self._session.failed.emit(str(error)))

    def _make_all_frames(self, document: Document, gesture: int) -> None:
        """After a pause, recompute all frames with known flows, as one step together with this frame."""
        flows, masking = document.flows, self._session.settings.masking()
        known = {} if flows is None else {t: each for t, each in flows.frames.items() if each.region is None}
        if flows is None or not known:
            self._note()
            return
        thresholds = self.thresholds

        def work(report: Report) -> FoundCells:
            time.sleep(_REST_S)
            report(0)  # ends here if the thresholds have changed since
            labels, scores, scoring, _ = cells_of_frames(known, document.labels.shape, masking, report)
            return FoundCells.scored(labels, scores, scoring, Origin(mark("thresholds"), flows.model, 0, masking), None)

        def done(cells: FoundCells) -> None:
            if document is self._session.document and document.flows is flows:
                self._replace(document, None, cells, gesture, thresholds, lambda _: None, frames=known)

        self._session.jobs.start(self.scoring, work, done, lambda error: self._session.failed.emit(str(error)))

    def _replace(
        self,
        document: Document,
        part: Part | None,
        cells: FoundCells,
        gesture: int,
        thresholds: dict[str, Any],
        then: Then,
        frames: Collection[int] | None = None,
    ) -> None:
        step, last = self._last

        def put(edit: Edit | None) -> None:
            self._last = (gesture, edit)
            then(edit)

        over = last if step == gesture else None
        self._runs.put(document, part, cells, put, over=over, frames=frames, thresholds=thresholds)

    def _score(self, document: Document, kept: _Kept, cells: FoundCells, edit: Edit) -> None:
        """Score the cells without a score, after a pause."""
        model = kept.flows.model

        def work(report: Report) -> Scored:
            if np.isnan(cells.scores).any():
                time.sleep(_REST_S)
            report(0)  # ends here if the masks have changed since
            if isinstance(kept.finder, StitchedFinder):
                return Scored(cells.labels, cells.scores)
            return score_others(Scored(cells.labels, cells.scores), kept.dP, kept.cellprob, model)

        def done(scored: Scored) -> None:
            if self._kept is kept:
                self._kept = kept._replace(scored=scored)
            if document is self._session.document and edit.labels is not None and edit.labels.size:
                document.score(edit, scored.scores[edit.labels - 1])

        self._session.jobs.start(self.scoring, work, done, lambda error: self._session.failed.emit(str(error)))


def _removed_cells(document: Document, flows: Flows, before: _Removed | None) -> _Removed:
    """The cells of these flows that a person has removed; none where all are, since the user then begins anew."""
    nothing = np.zeros(0, np.intp)
    loaded = bool(document.origins) and document.origins[-1].what == "load masks"
    if document.found is None or loaded or not document.labels.count:
        return _Removed(flows, nothing)
    found = document.found.labels.unpacked()
    return _Removed(flows, removed_by_hand(found, document.labels.planes, nothing if before is None else before.pixels))


def _kept(flows: Flows, part: Part | None, size: tuple[int, ...], spacing: float) -> _Kept:
    from cellpose.dynamics import MaskFinder

    dP, cellprob = np.asarray(flows.dP), np.asarray(flows.cellprob)
    if part is not None:
        rows, columns = part.box.slices[1:]
        dP, cellprob, size = dP[:, rows, columns], cellprob[rows, columns], part.box.shape[1:]
    if len(dP) == 2 and dP.ndim == 4:
        finder: MaskFinder | StitchedFinder = StitchedFinder(dP, cellprob, size)
    else:
        finder = MaskFinder(dP, cellprob, size, z_spacing=spacing)
    nothing = Scored(np.zeros((0, 0), np.int32), np.zeros(0, np.float32))
    return _Kept(flows, part, spacing, dP, cellprob, finder, nothing)
