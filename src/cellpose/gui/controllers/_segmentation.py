"""Running a network on the open image, and recomputing masks from its flows."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Callable, Collection
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from cellpose import io
from cellpose._progress.bars import Fractions
from cellpose.errors import CellposeError
from cellpose.gui._texts import mark, tr, tr_n
from cellpose.gui.controllers._by_planes import segment_by_planes
from cellpose.gui.controllers._frames import FoundFrame, found_in_frames, frame_box, with_frame
from cellpose.gui.controllers._jobs import Report
from cellpose.gui.controllers._live import FoundCells, LiveMasks, Part, in_planes
from cellpose.gui.controllers._preload import load_networks
from cellpose.gui.controllers._source import Source
from cellpose.gui.controllers._steps import Then
from cellpose.gui.model import Box, Document, Edit, Flows
from cellpose.gui.model import _operations as operations
from cellpose.gui.model._marks import is_settled
from cellpose.gui.model._provenance import Origin
from cellpose.gui.model._regions import Rectangle, box_of
from cellpose.gui.model._scores import score_cells

if TYPE_CHECKING:
    from cellpose.gui.controllers._session import Session

__all__ = ["Segmentations", "allowed_channels"]

_FLOW_BYTES = 20  # per voxel: flows, their colors and cell probability
_LEAST_DIAMETER = 5.0
_USUAL_DIAMETER = 30.0  # pixels, if none is set
_MARGIN_DIAMETERS, _LEAST_MARGIN = 2.0, 32  # around a region


class Segmentations:
    """The segmentations of a session.

    Parameters
    ----------
    session
        Whose image is segmented.

    Attributes
    ----------
    gpu_found : Signal(bool)
        Whether a GPU works.
    live
        Keeps the masks in step with the thresholds.
    """

    gpu_found = Signal(bool)
    name = "segment"
    sizing = "calibrate"

    def __init__(self, session: Session) -> None:
        self._session = session
        self._model: tuple[Any, Any] = (None, None)  # the requested model, with the state of its file; the loaded one
        self.live = LiveMasks(session, self)

    @property
    def is_running(self) -> bool:
        """Whether a network is running."""
        return self._session.jobs.running(self.name) is not None

    @property
    def is_ending(self) -> bool:
        """Whether a canceled network is still busy with its last tile."""
        return self._session.jobs.is_ending(self.name)

    def run_on_seen(self) -> None:
        """Segment the visible part of the open image, in the background; the rest stays as it is."""
        self.run_on(self._session.seen)

    def choose_region(self) -> None:
        """Let the user drag the rectangle to segment."""
        self._session.pointer.choose(self._session.pointer.run_region.name)

    def run_on(self, rectangle: Rectangle) -> None:
        """Segment a part of the open image, in the background; the rest stays as it is."""
        session, document = self._session, self._session.document
        if session.pointer.tool == session.pointer.run_region.name:
            session.pointer.choose("select")
        if document is None:
            self.run()
            return
        y0, y1, x0, x1 = box_of(rectangle, document.labels.shape)
        if min(y1 - y0, x1 - x0) < 1:
            session.told.emit(tr("nothing of the image lies there"))
            return
        region = Box(0, document.labels.shape[0], y0, y1, x0, x1)
        if document.is_movie:
            region = region._replace(z0=session.view.plane, z1=session.view.plane + 1)
        self.run(None if region.shape[1:] == document.labels.shape[1:] else region)

    def run(self, region: Box | None = None) -> None:
        """Segment the open image, or a region of it, with the current settings, in the background.

        In a movie, segment the frame in view.
        """
        document, frame = self._session.document, self._session.view.plane
        if not self._may_run() or document is None:
            return
        older, shape, is_volume = document.flows_at(frame), document.labels.shape, document.is_volume
        part = None if region is None else self.with_margin(document, region)
        if region is None and document.is_movie:
            part = Part(frame_box(frame, shape), frame_box(frame, shape))
        asked = self._asked(document, part)
        if asked is None:
            return
        source, options, origin = asked
        thresholds = self.live.thresholds
        by_planes = is_volume and "stitch_threshold" in options and io.is_large(_FLOW_BYTES * source.stack[:, 0].size)

        def work(model: Any, report: Report) -> tuple[FoundCells, Flows]:
            if by_planes:
                labels = segment_by_planes(model, source, options, report)
                cells = FoundCells.of(labels, None, None, replace(origin, model=model.model_name), part)
                return cells, Flows(None, None, None, model.model_name)
            axes = {"channel_axis": -1, **({"z_axis": 0} if is_volume else {})}
            masks, flows, _ = model.eval(source.image(), progress=Fractions(report), **axes, **options)
            masks, (rgb, dP, cellprob) = source.at_image_size(masks, flows)
            cells = FoundCells.of(masks, dP, cellprob, replace(origin, model=model.model_name), part)
            found = Flows(rgb if is_volume else rgb[None], dP, cellprob, model.model_name)
            if region is not None and is_volume:
                found = Flows(None, None, None, model.model_name)  # flows of a part of a volume are not kept
            elif region is not None and part is not None:
                found = Flows.joined(older, (1, *shape[1:]), part.box, found, part.region)
            return cells, found

        def done(result: tuple[FoundCells, Flows]) -> None:
            cells, found = result
            flows = with_frame(document.flows, frame, found) if document.is_movie else found
            self._take(document, part, cells, flows, thresholds)

        self._start(work, done)

    def run_all_frames(self) -> None:
        """Segment each frame of the open movie with the current settings, in the background."""
        document = self._session.document
        if not self._may_run() or document is None:
            return
        shape = document.labels.shape
        asked = self._asked(document, Part(frame_box(0, shape), frame_box(0, shape)))
        if asked is None:
            return
        first, options, origin = asked
        thresholds = self.live.thresholds

        def work(model: Any, report: Report) -> tuple[FoundCells, Flows]:
            def find(frame: int, told: Report) -> FoundFrame:
                source = first.of_frame(document, frame)
                masks, flows, _ = model.eval(source.image(), progress=Fractions(told), channel_axis=-1, **options)
                masks, (rgb, dP, cellprob) = source.at_image_size(masks, flows)
                labels = np.ascontiguousarray(masks, np.int32)
                scored = score_cells(labels, dP, cellprob, model.model_name)
                return FoundFrame(labels, *scored, Flows(rgb[None], dP, cellprob, model.model_name))

            labels, scores, scoring, kept = found_in_frames(find, range(shape[0]), shape, report)
            cells = FoundCells.scored(labels, scores, scoring, replace(origin, model=model.model_name), None)
            return cells, Flows(None, None, None, model.model_name, frames=kept)

        self._start(work, lambda result: self._take(document, None, *result, thresholds))

    def _may_run(self) -> bool:
        """Whether a run can start now; if not, show the user why."""
        session = self._session
        if session.document is None:
            session.failed.emit(tr("open an image first, then run"))
        elif session.held or self.is_ending:
            session.told.emit(session.held or tr("the last run is still being canceled"))
        else:
            return True
        return False

    def _asked(self, document: Document, part: Part | None) -> tuple[Source, dict[str, Any], Origin] | None:
        """The source, keywords of ``eval``, and the history without the model; None if it cannot be segmented."""
        settings, is_volume = self._session.settings, document.is_volume
        volume = settings.volume() if is_volume else {}
        box, coming = None if part is None else part.box, self._session.filters.coming
        try:
            source = Source.of(document, settings, self.channel_pair(), box, coming)
        except CellposeError as error:
            self._session.failed.emit(str(error))
            return None
        options = {**source.options, **settings.masking_of(is_volume), **volume}
        asked = {**settings.told(), **volume, **source.told}
        asked |= {name: list(value) for name, value in self.channels().items()}
        return source, options, Origin(mark("segment"), "", 0, asked)

    def _start(
        self,
        work: Callable[[Any, Report], tuple[FoundCells, Flows]],
        done: Callable[[tuple[FoundCells, Flows]], None],
    ) -> None:
        """Start a run: ``work`` gets the model, which is loaded first if necessary."""
        session, settings = self._session, self._session.settings
        wanted = settings.model, settings.gpu
        if self._model[0] != wanted:
            session.told.emit(tr("loading {model} ...", model=settings.model or tr("the model")))
        session.jobs.start(
            self.name,
            lambda report: work(self._loaded(*wanted), report),
            done,
            lambda error: session.failed.emit(tr("NET ERROR: {error}", error=error)),
        )

    def find_gpu(self) -> None:
        """Use a GPU if one works. The check runs in the background, and torch is not loaded if no GPU is likely."""
        if not _gpu_likely():
            return

        def work(_report: Report) -> bool:
            load_networks()
            from cellpose import core

            return core.use_gpu()

        def done(found: bool) -> None:
            self._session.settings.gpu = found
            self.gpu_found.emit(found)

        self._session.jobs.start("gpu", work, done, lambda _: self.gpu_found.emit(False))

    def cancel(self) -> None:
        """Stop the run, or the calibration; its result is not used."""
        self._session.jobs.cancel(self.name)
        self._session.jobs.cancel(self.sizing)

    def calibrate(self) -> None:
        """Estimate the diameter of the cells, in the background, and set it."""
        session, document, settings = self._session, self._session.document, self._session.settings
        if document is None:
            session.failed.emit(tr("open an image first, then calibrate"))
            return
        name, gpu, options = settings.model, settings.gpu, self.channels()
        image = np.moveaxis(document.stack[session.view.plane], 0, -1)

        def work(report: Report) -> float:
            load_networks()
            from cellpose import models

            sized, path = _with_size_model(name)
            sizes = models.SizeModel(self._loaded(sized, gpu), pretrained_size=path)
            return float(sizes.eval(image, channel_axis=-1, progress=Fractions(report), **options)[0])

        def done(diameter: float) -> None:
            settings.diameter = round(max(_LEAST_DIAMETER, diameter), 1)
            session.told.emit(tr("cells are about {diameter:g} pixels wide", diameter=settings.diameter))

        session.jobs.start(
            self.sizing, work, done, lambda error: session.failed.emit(tr("no diameter found: {error}", error=error))
        )

    def put(
        self,
        document: Document,
        part: Part | None,
        cells: FoundCells,
        then: Then,
        *,
        over: Edit | None = None,
        frames: Collection[int] | None = None,
        **beside: Any,
    ) -> None:
        """Replace the cells of the image, or of a part of it; ``beside`` is undone and redone with them.

        ``then`` gets the edit, or None if it was refused. The edit ``over`` is undone first and replaced. In a movie,
        the new cells may be of some ``frames`` only; the cells of other frames stay.
        """
        labels, scores, beside["scoring"], origin, found = cells
        labels, origins = in_planes(labels), document.origins if over is None else over.beside["origins"][0]
        beside["origins"] = (*origins, origin)
        operation: Callable[..., Edit] = operations.replace_all
        inside: tuple[Any, ...] = (labels, scores)
        if part is None:
            beside["found"] = found
        else:
            operation, inside = operations.replace_within, (part.box, labels, part.region, scores)
        self._session.steps.do(
            document, operation, *inside, pixels=labels.size, then=then, over=over,
            keep=self._kept(document, frames), name=origin.what, beside=beside,
        )  # fmt: skip

    def with_margin(self, document: Document, region: Box) -> Part:
        """A region, and a margin around it as wide as cells may reach."""
        diameter = self._session.settings.diameter or _USUAL_DIAMETER
        margin = max(_LEAST_MARGIN, ceil(_MARGIN_DIAMETERS * diameter))
        return Part(region, region.grown(margin, document.labels.shape))

    def channels(self) -> dict[str, Any]:
        """The keyword for channels, for models that take them."""
        pair = self.channel_pair()
        return {} if pair is None else {"channels": list(pair)}

    def channel_pair(self) -> tuple[int, int] | None:
        """The channel of cells and that of nuclei; None for models that take all."""
        choice = self._session.models.chosen()
        takes = choice is None or choice.takes_channels
        return self._session.settings.channels if takes else None

    def trained_diameter(self, model: str, *, gpu: bool) -> float:
        """Mean diameter in pixels of the cells that a U-Net was trained on; loads the network."""
        return float(self._loaded(model, gpu).diam_labels)

    def _loaded(self, name: str, gpu: bool) -> Any:
        load_networks()
        from cellpose import models, weights

        named = name or weights.default_model()
        wanted = named, gpu, weights.state_of(named)
        if self._model[0] != wanted:
            self._model = wanted, models.CellposeModel(gpu=gpu, pretrained_model=named)
        return self._model[1]

    def _take(
        self, document: Document, part: Part | None, cells: FoundCells, found: Flows, thresholds: dict[str, Any]
    ) -> None:
        def tell(edit: Edit | None) -> None:
            if edit is None:
                document.flows = found
            n = 0 if edit is None else edit.added.size
            self._session.told.emit(tr_n("{model}: {n} cell found", "{model}: {n} cells found", n, model=found.model))
            asked, settings = cells.origin.settings, self._session.settings
            if any(asked.get(name) != value for name, value in settings.masking().items()):
                self.live.follow()  # thresholds were changed during the run

        self.put(document, part, cells, tell, flows=found, thresholds=thresholds)

    def _kept(self, document: Document, frames: Collection[int] | None) -> list[int]:
        """The cells to keep: corrected cells, if the user wants it, and cells of other frames."""
        table = document.labels.table
        kept = np.zeros(len(table), np.bool_)
        if self._session.settings.keep_corrected:
            kept |= is_settled(table) | (table["kind"] > 0)
        if frames is not None:
            kept |= ~np.isin(table["box"][:, 0], list(frames))
        return [int(cell) for cell in np.flatnonzero((table["area"] > 0) & kept)]


def _gpu_likely() -> bool:
    """Whether it makes sense to ask torch, which takes seconds to load."""
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    return Path("/dev/nvidia0").exists() or Path("/dev/kfd").exists() or shutil.which("nvidia-smi") is not None


def _with_size_model(name: str) -> tuple[str, Any]:
    """A model and the file of its size model: those of ``name``, else those of the bundled model."""
    from cellpose import weights

    try:
        return name, weights.size_model_path(name)
    except CellposeError:
        return weights.BUNDLED, weights.size_model_path(weights.BUNDLED)


def allowed_channels(wanted: tuple[int, int], n_channels: int, model: str) -> tuple[int, int]:
    """The channel to segment and that of nuclei, limited to those possible for the image and the model.

    Gray has no second channel, and neither has the model of nuclei. An image of one channel is gray. In an image of
    two channels, blue becomes green for cells and red for nuclei.

    Examples
    --------
    >>> allowed_channels((2, 3), 3, "cyto3"), allowed_channels((0, 3), 3, "cyto3"), allowed_channels((2, 3), 2, "cyto3")
    ((2, 3), (0, 0), (2, 1))
    >>> allowed_channels((2, 3), 1, "cyto3"), allowed_channels((3, 1), 3, "nuclei")
    ((0, 0), (3, 0))
    """
    first, second = wanted
    if n_channels == 1:
        return 0, 0
    if n_channels == 2:
        first = 2 if first == 3 else first
        second = 1 if second == 3 else second
    return first, 0 if first == 0 or model == "nuclei" else second
