"""The running window without its widgets: the open image, the view of it, and every command."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy.typing as npt
from psygnal import Signal

from cellpose import weights
from cellpose.gui._texts import tr
from cellpose.gui.controllers._batch import Batch
from cellpose.gui.controllers._cells import Cells
from cellpose.gui.controllers._contributing import Contributing
from cellpose.gui.controllers._cursor import Cursor
from cellpose.gui.controllers._dialogs import Dialogs, NoDialogs
from cellpose.gui.controllers._exports import Exports
from cellpose.gui.controllers._fields import FieldByField
from cellpose.gui.controllers._files import Files
from cellpose.gui.controllers._filters import Filters
from cellpose.gui.controllers._folder import Folder
from cellpose.gui.controllers._jobs import Jobs
from cellpose.gui.controllers._keymap import KeyMap
from cellpose.gui.controllers._models import Models
from cellpose.gui.controllers._movies import Movies
from cellpose.gui.controllers._overview import Overview
from cellpose.gui.controllers._projection import Projection
from cellpose.gui.controllers._recipes import Recipes
from cellpose.gui.controllers._restoration import Restoration
from cellpose.gui.controllers._review import Review
from cellpose.gui.controllers._scale import Scale
from cellpose.gui.controllers._segmentation import Segmentations, allowed_channels
from cellpose.gui.controllers._slicing import Slicing
from cellpose.gui.controllers._steps import Steps
from cellpose.gui.controllers._thumbnails import Thumbnails
from cellpose.gui.controllers._tour import Tour
from cellpose.gui.controllers._training import Training
from cellpose.gui.controllers._volumes import Volumes
from cellpose.gui.controllers._wishes import Wishes
from cellpose.gui.controllers.tools import Pointer
from cellpose.gui.model import Document, Picture, SegmentationSettings, ViewState
from cellpose.gui.model import _operations as operations
from cellpose.gui.model._choices import recall, recall_settings, remember_settings
from cellpose.gui.model._images import MOST_CHANNELS
from cellpose.gui.model._preferences import Preferences
from cellpose.gui.model._view import BRUSHES, COLOR_MODES, VIEWS, ChannelLook

__all__ = ["PANELS", "Session"]

logger = logging.getLogger("cellpose.gui")

PANELS = {"folder": tr("List of images"), "cells": tr("Table of cells"), "training": tr("Training")}


class Session:
    """State and commands of the window.

    Parameters
    ----------
    to_main
        Schedules a function in the main thread; see `Jobs`.
    dialogs
        Asks the user; None: no questions.

    Attributes
    ----------
    opened : Signal(object)
        Another `Document` is open, or None.
    saved : Signal(object)
        The path of a ``_seg.npy`` that was written.
    told : Signal(str)
        A message for the user.
    failed : Signal(str)
        An error message for a failed request, shown until dismissed.
    copied : Signal(str)
        A text for the clipboard.
    warm
        Prepares what the view needs to draw a document, in any thread, to spare the main thread.
    seen
        The part of the image in view: first row, first column, last row, last column.
    panel_wanted : Signal(str)
        Show a panel beside the image, or hide it if shown; one of ``PANELS``.
    help_wanted : Signal()
        Show help on the part of the window with keyboard focus.
    body_wanted : Signal()
        Show the cells of the volume as a rotating 3D body.
    picture_wanted : Signal(object)
        Save the view to this path or, for None, copy it.
    fit : Signal()
        Show the whole image.
    zoom : Signal(float)
        Show this many times as much of the image.
    """

    opened = Signal(object)
    saved = Signal(object)
    told = Signal(str)
    failed = Signal(str)
    copied = Signal(str)
    panel_wanted = Signal(str)
    help_wanted = Signal()
    body_wanted = Signal()
    picture_wanted = Signal(object)
    fit = Signal()
    zoom = Signal(float)

    def __init__(self, to_main: Callable[[Callable[[], None]], None], dialogs: Dialogs | None = None) -> None:
        self.preferences = Preferences()
        self.keys = KeyMap(self.preferences)
        self.view: ViewState = ViewState()
        recall(self.view, self.preferences)
        self.settings: SegmentationSettings = SegmentationSettings()
        self.settings.model = weights.default_model()
        self.wishes = Wishes(self.settings)
        self.in_main = to_main
        self.warm: Callable[[Document], None] = lambda _: None
        self.dialogs: Dialogs = dialogs or NoDialogs()
        self.jobs: Jobs = Jobs(to_main)
        self.steps = Steps(self)
        self.models = Models(self)
        self.files = Files(self)
        self.exports = Exports(self)
        self.segmentation = Segmentations(self)
        self.recipes = Recipes(self)
        self.restoration = Restoration(self)
        self.filters = Filters(self)
        self.training = Training(self)
        self.contributing = Contributing(self)
        self.folder = Folder(self)
        self.pointer = Pointer(
            self.view,
            pixel_um=lambda: self.scale.pixel_um,
            change=self.steps.change,
            background=self._in_background,
            z_spacing=lambda: self.settings.z_spacing,
        )
        self.cursor, self.tour = Cursor(self), Tour(self)
        self.scale: Scale = Scale(self)
        self.overview = Overview(self)
        self.cells = Cells(self)
        self.review = Review(self)
        self.field_by_field = FieldByField(self)
        self.volumes, self.movies = Volumes(self), Movies(self)
        self.projection = Projection(self)
        self.slicing = Slicing(self)
        self.batch, self.thumbnails = Batch(self), Thumbnails(self)
        self.seen = (0.0, 0.0, 0.0, 0.0)
        self._tool_work: deque[tuple[Callable[[], Any], Callable[[Any], None]]] = deque()
        self._looks: dict[tuple[str, int], tuple[ChannelLook, ...]] = {}  # of channels, by the kind of image
        self._levels: WeakKeyDictionary[Picture, tuple[Any, list[tuple[float, float]]]] = WeakKeyDictionary()
        self.document: Document | None = None
        recall_settings(self.settings, self.preferences, self.models.is_here)
        self._connect()

    def remember(self) -> None:
        """Save the preferences for the next start."""
        remember_settings(self.wishes.settings(), self.preferences)

    def _connect(self) -> None:
        """Connect field changes to their effects."""
        view, settings = self.view.events, self.settings.events
        view.color.connect(lambda _: setattr(self.view, "view", "image"))
        for event in (view.auto_levels, view.view, settings.lower, settings.upper):
            event.connect(lambda _: self._adjust())
        self.pointer.run_region.drawn.connect(lambda rectangle: self.segmentation.run_on(rectangle))
        for event in (settings.channels, settings.model):
            event.connect(lambda _: self._check_channels())

    def _in_background(self, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        """Run slow work of a tool in the background, after the work that it asked for before."""
        self._tool_work.append((work, done))
        if self.jobs.running("tool") is None:
            self._next_tool_work()

    def _next_tool_work(self) -> None:
        if not self._tool_work or self.jobs.running("tool") is not None:
            return
        work, done = self._tool_work.popleft()

        def then(report: Callable[[Any], None], result: Any) -> None:
            try:
                report(result)
            finally:
                self._next_tool_work()

        self.jobs.start(
            "tool",
            lambda _report: work(),
            partial(then, done),
            partial(then, lambda error: self.failed.emit(str(error))),
        )

    def open_array(
        self, stack: npt.NDArray[Any], labels: npt.NDArray[Any] | None = None, path: Path | None = None, **facts: Any
    ) -> Document:
        """Show an image (Z, C, Y, X) with its labels; ``facts`` as `Document` takes them."""
        return self.show(Document(stack, labels, path, **facts))

    def prepare(self, document: Document) -> None:
        """Prepare a document for display, in any thread."""
        self.levels_of(document.picture)
        self.warm(document)

    def show(self, document: Document) -> Document:
        """Make a document the open one."""
        self.finish()
        before, stopped = self.document, self._stop()
        self._tool_work.clear()
        if self.document is not None:
            self.document.told.disconnect()
        self.document = document
        document.told.connect(lambda text: self.told.emit(text))
        document.restored_changed.connect(self._see_what_is_there)
        self.pointer.open(document)
        self.volumes.open(document)
        self._look_at(None if before is None else before.picture, document.picture)
        self.wishes.restore()
        self._see_what_is_there()
        self._check_channels()
        self.opened.emit(document)
        for text in stopped:
            logger.info(text)
            self.told.emit(text)
        return document

    def _stop(self) -> list[str]:
        """Stop all work on the open image, because another one opens; return what is to be said of it."""
        path = None if self.document is None else self.document.path
        works = {
            self.segmentation.name: tr("the run"),
            self.segmentation.sizing: tr("the calibration"),
            self.restoration.job: tr("the restoration"),
            self.segmentation.live.name: tr("the change of thresholds"),
        }
        stopped = [work for job, work in works.items() if self.jobs.running(job) is not None]
        if self.pointer.mode == "drawing":
            stopped.append(tr("the unfinished stroke"))
        for job in (*works, self.filters.job):  # a filter costs little, and its parameters stay
            self.jobs.cancel(job)
        self.segmentation.live.cancel()
        name = tr("the image") if path is None else path.name
        return [
            tr("{work} on {name} was stopped because an image was opened; start it again there", work=work, name=name)
            for work in stopped
        ]

    def finish(self) -> None:
        """Finish what was begun on the open image, before it is left: background steps, strokes that wait for Enter."""
        self.steps.finish()
        if self.pointer.complete():
            self.told.emit(tr("the strokes that waited for Enter became a cell"))

    # --- what is seen ---

    def _look_at(self, before: Picture | None, picture: Picture) -> None:
        """For an image of another kind: its usual colors, and channels as they were when one was last seen."""
        kind = _usual_color(picture), picture.n_channels
        if before is None or kind[0] != _usual_color(before):
            self.view.color = kind[0]
        if before is not None and kind != (_usual_color(before), before.n_channels):
            self._looks[_usual_color(before), before.n_channels] = self.view.channels
            plain = tuple(replace(look, on=True, gamma=1.0) for look in self.view.channels)
            self.view.channels = self._looks.get(kind, plain)

    @property
    def removing(self) -> bool:
        """Whether the user is choosing cells to remove together; nothing is run, opened or saved meanwhile."""
        return self.pointer.tool == "remove"

    @property
    def held(self) -> str:
        """Why the cells cannot be run on, saved or trained on now; empty if they can."""
        if self.removing:
            return tr("finish deleting first")
        document = self.document
        if document is None:
            return ""
        return document.locked or (
            tr("the cells of this image are still being read") if document.is_provisional else ""
        )

    def picture(self) -> Picture | None:
        """The picture in view: the image, or its restored or filtered version."""
        document = self.document
        if document is None:
            return None
        restored = document.restored if self.view.view == "restored" else None
        return document.picture if restored is None else restored.picture

    @property
    def compares(self) -> bool:
        """Whether the image and its restored version are shown side by side."""
        document, view = self.document, self.view
        there = document is not None and document.restored is not None
        return view.compare and there and view.view in ("image", "restored")

    def auto_levels(self) -> None:
        """Set levels from the percentiles in the settings, over the whole stack; one channel sets all three."""
        picture = self.picture()
        if picture is not None and self.settings.percentiles_valid:
            self.view.levels = self.levels_of(picture)

    def levels_of(self, picture: Picture) -> list[tuple[float, float]]:
        """The levels of a picture: from the percentiles in the settings, or as set by hand."""
        settings = self.settings
        if not settings.percentiles_valid or not self.view.auto_levels:
            return self.view.levels
        percentiles, known = (settings.lower, settings.upper), self._levels.get(picture)
        if known is None or known[0] != percentiles:
            found = picture.levels(None, *percentiles)
            levels = [*found, *[found[0] if len(found) == 1 else (0.0, 255.0)] * (3 - len(found))]
            known = self._levels[picture] = (percentiles, levels)
        return list(known[1])

    def _adjust(self) -> None:
        if self.view.auto_levels:
            self.auto_levels()

    def _see_what_is_there(self) -> None:
        """Switch to the image if the picture in view no longer exists; update the levels."""
        if self.view.view not in self.available_views():
            self.view.view = "image"
        self._adjust()

    def _check_channels(self) -> None:
        """Limit the channels to those that the image and the model have; the wish stays for other images."""
        if self.document is None:
            return
        wanted, settings = self.settings.channels, self.settings
        allowed = allowed_channels(wanted, self.document.stack.shape[1], settings.model)
        if allowed != wanted:
            if self.document.stack.shape[1] == 2 and 3 in wanted:
                self.told.emit(tr("the image has two channels, red and green: blue was replaced"))
            with self.wishes.for_this_image():
                settings.channels = allowed

    def next_color(self, by: int = 1) -> None:
        """Switch to the next color mode, or the one before."""
        color = self.view.color
        place = COLOR_MODES.index(color) + by if color in COLOR_MODES else min(by, 0)  # from elsewhere to an end
        self.view.color = COLOR_MODES[place % len(COLOR_MODES)]

    def toggle_color(self, color: str) -> None:
        """Show one channel alone, or all."""
        self.view.color = "RGB" if self.view.color == color else color

    def next_view(self, by: int = 1) -> None:
        """Switch to the next available picture, or the one before."""
        views = self.available_views()
        place = views.index(self.view.view) if self.view.view in views else 0
        self.view.view = views[(place + by) % len(views)]

    def available_views(self) -> list[str]:
        """The available pictures of the open image."""
        flows = None if self.document is None else self.document.flows
        if flows is not None and flows.frames:
            flows = next(iter(flows.frames.values()))  # those of all frames have the same fields
        there = {"image": True, "gradXY": flows is not None and flows.rgb is not None}
        there["cellprob"] = flows is not None and flows.cellprob is not None
        there["gradZ"] = flows is not None and flows.dP is not None and len(flows.dP) == 3
        there["restored"] = self.document is not None and self.document.restored is not None
        return [view for view in VIEWS if there.get(view, False)]

    def next_brush(self, by: int) -> None:
        """Make the brush larger or smaller."""
        place = BRUSHES.index(min(BRUSHES, key=lambda size: abs(size - self.view.brush)))
        self.view.brush = BRUSHES[min(max(place + by, 0), len(BRUSHES) - 1)]

    # --- labels ---

    def undo(self) -> None:
        """Cancel an unfinished stroke, or else undo the last edit."""
        if not self.pointer.take_back() and self.document is not None:
            self.steps.undo(self.document)

    def escape(self) -> None:
        """Cancel an unfinished action, or else put down the tool, hide the keyboard cursor, or end the tour."""
        if not self.pointer.escape() and not self.cursor.leave():
            self.tour.end()

    def redo(self) -> None:
        """Redo the last undone edit."""
        if self.document is not None:
            self.steps.redo(self.document)

    def clear(self) -> None:
        """Remove all cells."""
        if self.document is not None:
            self.steps.do(self.document, operations.clear, pixels=self.document.labels.planes.size)

    def remove_selected(self) -> None:
        """Remove the selected cells."""
        if self.document is not None:
            self.steps.change(self.document, operations.delete, sorted(self.document.selection))

    def remove_by(self, how: str) -> None:
        """Let the user choose cells to remove together: by ``"click"``, ``"region"`` or ``"lasso"``."""
        if self.document is not None:
            if how == "region":
                self.cursor.leave()  # the arrow keys move the rectangle
            self.pointer.remove_by(how, self.seen)

    def cell_count(self) -> int:
        """How many cells there are."""
        return 0 if self.document is None else self.document.labels.count


def _usual_color(picture: Picture) -> str:
    """Gray if at most the first channel has content; all channels if there are more than three."""
    if picture.constant[1:].all():
        return "gray"
    return "RGB" if picture.n_channels <= MOST_CHANNELS else "composite"
