"""Runs the current settings on folders of images: a queue, run by the command line in its own process."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from psygnal import Signal

from cellpose.gui._texts import tr, tr_n
from cellpose.gui.controllers._child import Child
from cellpose.gui.controllers._jobs import Report
from cellpose.gui.model._batch import BatchFolder, BatchOptions, ImageResult, news_of, results_of_run
from cellpose.gui.model._recipe import Recipe

if TYPE_CHECKING:
    from cellpose.gui.controllers._session import Session

__all__ = ["Batch"]

_INTERRUPTED = 130


class _Ended(NamedTuple):
    """How a folder ended: exit codes of segmenting and of measuring, the results, and the last message."""

    code: int
    measured: int | None
    results: list[ImageResult]
    reason: str


class Batch:
    """The queue of a session. One folder runs at a time; one that fails does not stop the next.

    Pausing interrupts the command line; finished images stay. Continuing uses its ``--resume``.

    Parameters
    ----------
    session
        Whose settings are used.

    Attributes
    ----------
    changed : Signal(object)
        A `BatchFolder` was added, removed or updated.
    finished : Signal(object)
        A `BatchFolder` has ended, and its results are available.
    queue
        The folders, in the order they run.
    options
        The files to write for each image.
    """

    job = "batch"
    changed = Signal(object)
    finished = Signal(object)

    def __init__(self, session: Session) -> None:
        self._session = session
        self.queue: list[BatchFolder] = []
        self.options: BatchOptions = BatchOptions()
        self._recipes: dict[BatchFolder, Callable[[], Recipe]] = {}
        self._child = Child()
        self._now: BatchFolder | None = None

    @property
    def is_running(self) -> bool:
        """Whether a folder is being segmented or measured."""
        return self._now is not None

    @property
    def is_paused(self) -> bool:
        """Whether a paused folder can be continued."""
        return not self.is_running and any(each.state == "paused" for each in self.queue)

    @property
    def is_ending(self) -> bool:
        """Whether the command line was interrupted and has not ended yet."""
        return self.is_running and self._child.interrupted

    @property
    def is_left(self) -> bool:
        """Whether there are folders that can be run."""
        return any(not each.is_over for each in self.queue)

    def add(self, folder: Path) -> None:
        """Put a folder at the end of the queue; a folder that has ended is queued again."""
        folder = folder.absolute()
        known = next((each for each in self.queue if each.folder == folder), None)
        if known is not None and not known.is_over:
            self._session.told.emit(tr("{name} is in the queue already", name=folder.name))
            return
        if known is not None:
            self.queue.remove(known)
        entry = BatchFolder(folder)
        self.queue.append(entry)
        if self.is_running:
            self._fix(entry)
        self.changed.emit(entry)

    def remove(self, entry: BatchFolder) -> None:
        """Take a folder off the queue; its files stay."""
        if entry is not self._now and entry in self.queue:
            self.queue.remove(entry)
            self.changed.emit(entry)

    def results_of(self, entry: BatchFolder) -> Path:
        """The folder of the results of an entry: where they are, or where they will be."""
        others = [each.folder for each in self.queue if each is not entry]
        return entry.place or self.options.results_of(entry.folder, others)

    def start(self) -> None:
        """Run the waiting folders with the current settings; paused ones continue with their own."""
        session = self._session
        if self.is_running:
            return
        if not self.is_left:
            session.failed.emit(tr("there is no folder to run on; add one first"))
            return
        if not session.models.is_here(session.settings.model):
            session.failed.emit(
                tr("the model {model} is not here yet; choose it to download it", model=session.settings.model)
            )
            return
        waiting = [each for each in self.queue if each.state == "waiting"]
        if not self._may_replace(waiting):
            return
        for entry in waiting:
            self._fix(entry)
        self._go_on()

    def pause(self) -> None:
        """Interrupt the run; finished images stay, and `start` continues from there."""
        self._interrupt("paused")

    def cancel(self) -> None:
        """End the run and drop the folder being processed; the folders after it wait."""
        self._interrupt("cancelled")

    def leave(self) -> None:
        """Stop everything, because the window is closing."""
        self._interrupt("paused")
        self._session.jobs.cancel(self.job)

    def _interrupt(self, state: str) -> None:
        paused = next((each for each in self.queue if each.state == "paused"), None)
        if self._now is not None:
            self._now.message = state
            self._child.interrupt()
            self.changed.emit(self._now)
        elif state == "cancelled" and paused is not None:
            paused.state = state
            self.changed.emit(paused)

    def _may_replace(self, entries: Iterable[BatchFolder]) -> bool:
        """Whether existing segmentations, perhaps corrected by hand, may be overwritten."""
        if not self.options.seg or self.options.savedir:
            return True
        n = sum(1 for entry in entries for _ in entry.folder.glob("*_seg.npy"))
        if not n:
            return True
        done = (
            tr(" Images that were done with these settings before are left as they are.")
            if self.options.skip_done
            else ""
        )
        what = tr_n("{n} image has", "{n} images have", n)
        question = tr(
            "{what} a _seg.npy already, perhaps with corrections by hand. Write over them?{done}", what=what, done=done
        )
        return self._session.dialogs.ask_yes(tr("Segment folders"), question)

    def _fix(self, entry: BatchFolder) -> None:
        """Store the current settings for a folder."""
        settings = self._session.settings
        self._recipes[entry] = self._session.recipes.recipe(entry.folder)
        size = tr(", {diameter:g} px", diameter=settings.diameter) if settings.diameter else ""
        entry.asked = f"{settings.model}{size}"

    def _go_on(self) -> None:
        """Start the next folder; called again when that folder has ended."""
        entry = next((each for each in self.queue if not each.is_over), None)
        self._now = entry
        if entry is None:
            return
        going_on = entry.state == "paused"
        entry.state, entry.message, entry.results, entry.before = "running", "", [], 0
        child = self._child = Child()
        options, recipe = self.options, self._recipes.get(entry) or self._session.recipes.recipe(entry.folder)
        resume, others = going_on or options.skip_done, [each.folder for each in self.queue if each is not entry]

        def work(_report: Report) -> _Ended:
            entry.place = options.results_of(entry.folder, others)
            return self._run(child, entry, entry.place, options, recipe(), resume=resume)

        def done(ended: _Ended) -> None:
            self._end(entry, ended)

        def failed(error: Exception) -> None:
            entry.state, entry.message = "failed", str(error)
            self._tell_end(entry)

        self.changed.emit(entry)
        self._session.jobs.start(self.job, work, done, failed)

    def _run(
        self,
        child: Child,
        entry: BatchFolder,
        results: Path,
        options: BatchOptions,
        recipe: Recipe,
        *,
        resume: bool,
    ) -> _Ended:
        """In a thread: segment a folder, then measure it."""
        folder = entry.folder
        results.mkdir(parents=True, exist_ok=True)

        def told(line: str) -> None:
            news = news_of(line)
            if news is not None:
                self._session.in_main(lambda: self._note(entry, lambda: entry.take(news)))

        code = child.run(options.segment_words(folder, results, recipe, resume=resume), told)
        found = results_of_run(results) if code in (0, 1, _INTERRUPTED) else []
        reason, measured = child.reason(), None
        if options.measure and code in (0, 1) and any(not each.error for each in found):
            self._session.in_main(lambda: self._note(entry, lambda: setattr(entry, "state", "measuring")))
            measured = child.run(options.measure_words(folder, results), lambda _: None)
            reason = child.reason() if measured not in (0, 1) else reason
        return _Ended(code, measured, found, reason)

    def _note(self, entry: BatchFolder, note: Callable[[], object]) -> None:
        if self._now is entry:
            note()
            self.changed.emit(entry)

    def _end(self, entry: BatchFolder, ended: _Ended) -> None:
        """In the main thread: record how a folder ended, and start the next."""
        if ended.results:
            entry.results, entry.before = ended.results, 0
            entry.total = max(entry.total, len(ended.results))
        if self._child.interrupted:
            entry.state = entry.message or "paused"
            entry.message = ""
            self._now = None
            self._refresh_open(entry)
            self.changed.emit(entry)
            return
        entry.state = "done" if any(not each.error for each in entry.results) else "failed"
        if entry.state == "failed" or ended.code not in (0, 1):
            entry.state, entry.message = "failed", ended.reason
        elif ended.measured not in (None, 0, 1):
            entry.message = tr("not measured: {reason}", reason=ended.reason)
        elif ended.measured is not None:
            entry.measurements = self.results_of(entry) / "measurements"
        self._tell_end(entry)

    def _tell_end(self, entry: BatchFolder) -> None:
        self._now = None
        self._refresh_open(entry)
        self.changed.emit(entry)
        self.finished.emit(entry)
        self._go_on()
        if self._now is None:
            self._session.told.emit(tr("all folders are done; the last was {name}", name=entry.folder.name))

    def _refresh_open(self, entry: BatchFolder) -> None:
        """Update the list of images if it shows this folder."""
        if self._session.folder.path == entry.folder.resolve():
            self._session.folder.look()
