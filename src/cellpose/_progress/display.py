"""Bars on a terminal or in a notebook: the whole, and below it the pieces that take long.

One thread draws them several times per second, so that slow work is seen to be alive.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from cellpose._progress import stages
from cellpose._progress.stages import Job

__all__ = ["Display", "can_show", "printable", "shown", "waiting"]

_TICK = 0.5  # seconds between two drawings
_PATIENCE = 2.0  # seconds after which slow work is shown
_MOST_LETTERS = 40  # of the name of an image

_ALL = "{desc} {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left"
_ALL_UNKNOWN = "{desc}, {elapsed}"
_PART = "  {desc} {percentage:3.0f}%|{bar}| {n:.0f}/{total} {unit}, {remaining} left"
_PART_UNKNOWN = "  {desc}, {elapsed}"


def can_show() -> bool:
    """Whether a person can see bars: on a terminal that can rewrite a line, or in a notebook."""
    return _in_notebook() or (_is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb")


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):  # no stream (pythonw), or one that was closed
        return False


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


def printable(name: str, most: int = _MOST_LETTERS) -> str:
    """A name of a file without control characters, and without its middle where it is long."""
    clean = "".join(letter if letter.isprintable() else "?" for letter in name)
    half = (most - 3) // 2
    return clean if len(clean) <= most else f"{clean[:half]}...{clean[-half:]}"


class Display:
    """Bars for one call.

    Parameters
    ----------
    what
        Name of the counted items, in the plural; "": there is no bar of all, only what takes long is shown.
    total
        How many; None: unknown.
    after
        Seconds until the bar of all is shown, so that short calls show nothing.
    keep
        Whether the bar of all stays when all is done.
    visible
        Whether anything is shown. If not, all methods do nothing.

    Attributes
    ----------
    first
        How many were done before, which took no time.
    """

    def __init__(
        self,
        what: str,
        total: int | None = None,
        *,
        after: float = 0.0,
        keep: bool = False,
        visible: bool = True,
    ) -> None:
        self.what, self.total, self.visible = what, total, visible
        self._after, self._keep, self._speaks = after, keep, False
        self.first = 0.0
        self._began = time.monotonic()
        self._done, self._note = 0.0, ""
        self._finished = 0
        self._jobs: list[Job] = []
        self._bars: dict[str, Any] = {}
        self._shown: Any = None  # name and kind of the stage that has the second bar
        self._stop = threading.Event()
        self._lock = threading.RLock()
        self._notebook = visible and _in_notebook()
        self._owner, self._drawn = threading.get_ident(), 0.0
        self._stream = sys.stderr
        self._guarded: list[logging.Handler] = []

    def __enter__(self) -> Display:
        if not self.visible:
            return self
        self._guard_log_lines()
        # Lines that a person should see are written here where the log does not show them.
        self._speaks = not (self._guarded and logging.getLogger("cellpose").isEnabledFor(logging.INFO))
        if self._speaks:
            stages._line.append(self.line)
        if not self._notebook:
            self._thread = threading.Thread(target=self._tick, name="cellpose-display", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, kind: Any, *_: object) -> None:
        if not self.visible:
            return
        self._stop.set()
        if not self._notebook:
            self._thread.join()
        for handler in self._guarded:
            del handler.__dict__["emit"]
        if self._speaks:
            stages._line.remove(self.line)
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._jobs.clear()
            if kind is None and self._bars:
                self._draw()
            for name in ("part", "all"):  # from below
                self._close(name, keep=kind is None and self._keep)

    def advance(self, done: float, note: str = "") -> None:
        """Report how much of everything is done, parts included, with a few words about it."""
        self._done, self._note = done, note
        self._poke()

    def part(self, index: int) -> Callable[[float], None]:
        """A function that gets the fraction done of a piece, counted from 0."""
        return lambda fraction: self.advance(index + fraction)

    @contextlib.contextmanager
    def job(self, name: str) -> Iterator[None]:
        """Work on one piece: stages that this thread enters meanwhile are shown, if it takes long."""
        if not self.visible:
            yield
            return
        job = Job(name, self._poke)
        self._jobs.append(job)
        try:
            with stages.working_on(job):
                yield
        finally:
            with self._lock:
                self._finished += 1
                if job in self._jobs:
                    self._jobs.remove(job)

    def line(self, text: str) -> None:
        """Write a line above the bars."""
        if self._notebook:
            print(text)  # noqa: T201  (where the bars are)
            return
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._clear()
            self._stream.write(f"{text}\n")
            self._stream.flush()

    def _guard_log_lines(self) -> None:
        """Take the bars away while a handler of the log writes to the terminal; the next drawing brings them back."""
        for handler in dict.fromkeys((*logging.getLogger("cellpose").handlers, *logging.getLogger().handlers)):
            if isinstance(handler, logging.StreamHandler) and _is_terminal(handler.stream):
                if "emit" in handler.__dict__:
                    continue  # belongs to other code, which may take it back at any time
                handler.emit = self._above_the_bars(handler.emit)  # type: ignore[assignment]
                self._guarded.append(handler)

    def _above_the_bars(self, emit: Callable[[logging.LogRecord], None]) -> Callable[[logging.LogRecord], None]:
        """The same, without bars; none is drawn until the line is written."""

        def write(record: logging.LogRecord) -> None:
            with self._lock:
                with contextlib.suppress(OSError, ValueError):
                    self._clear()
                emit(record)

        return write

    def _tick(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # the terminal is gone
            while True:
                self._draw()
                if self._stop.wait(_TICK):
                    return

    def _poke(self) -> None:
        """Draw now in a notebook, which accepts drawings from its own thread only."""
        if self._notebook and threading.get_ident() == self._owner and time.monotonic() - self._drawn >= _TICK:
            self._draw()

    def _draw(self) -> None:
        with self._lock:
            self._drawn = now = time.monotonic()
            if self.what and now - self._began >= self._after:
                self._draw_all()
            job = next(iter(list(self._jobs)), None)  # the oldest
            if job is not None and now - job.began >= _PATIENCE:
                self._draw_part(job)
            else:
                self._close("part")

    def _draw_all(self) -> None:
        # Parts of several pieces do not add up to one piece.
        done = int(min(self._done, self.first + self._finished))
        count = f"{done}" if self.total is None else f"{done}/{self.total}"
        text = f"{self.what} {count}{f', {self._note}' if self._note else ''}"
        self._show("all", text, self._done, self.total, _ALL if self.total else _ALL_UNKNOWN, self._began)

    def _draw_part(self, job: Job) -> None:
        stage = job.stage
        words = [f"{printable(job.name)}{f' {job.part}' if job.part else ''}", stage.name]
        text = ": ".join(word for word in words if word)
        shown = job, job.part, stage.name, stage.began
        if shown != self._shown:
            self._close("part")
            self._shown = shown
        form = _PART if stage.total else _PART_UNKNOWN
        began = stage.began if stage.total else job.began
        self._show("part", text, stage.done, stage.total or None, form, began, stage.unit)

    def _show(
        self, name: str, text: str, done: float, total: int | None, form: str, began: float, unit: str = ""
    ) -> None:
        bar = self._bars.get(name)
        if bar is None:
            bar = self._bars[name] = _tqdm(notebook=self._notebook)(
                total=total, bar_format=form, unit=unit, file=self._stream, dynamic_ncols=True, leave=False,
                mininterval=0, delay=1e9,
            )  # fmt: skip
            bar.delay = 0
            bar.initial = self.first if name == "all" else 0
            bar.start_t = bar._time() - (time.monotonic() - began)
            if self._notebook and hasattr(bar, "container"):
                _put_into_notebook(bar)
        bar.n = min(done, total) if total else done
        bar.set_description_str(text, refresh=False)
        bar.refresh()

    def _close(self, name: str, *, keep: bool = False) -> None:
        bar = self._bars.pop(name, None)
        if name == "part":
            self._shown = None
        if bar is not None:
            bar.leave = keep
            if self._notebook and not keep:
                bar.n = bar.total or bar.n  # else a notebook keeps it, in red
            bar.close()

    def _clear(self) -> None:
        if not self._notebook:
            for name in ("part", "all"):
                if name in self._bars:
                    self._bars[name].clear()


def _tqdm(*, notebook: bool) -> Any:
    if notebook and importlib.util.find_spec("ipywidgets") is not None:
        from tqdm.notebook import tqdm as in_notebook

        return in_notebook
    from tqdm import tqdm

    return tqdm


def _put_into_notebook(bar: Any) -> None:
    if not bar.displayed:
        importlib.import_module("IPython.display").display(bar.container)
        bar.displayed = True


_one = threading.Lock()


@contextlib.contextmanager
def shown(progress: Any, what: str, total: int | None = None, *, after: float = 1.0, keep: bool = True) -> Any:
    """The display of a function of the library; it shows nothing if none is wanted.

    Parameters
    ----------
    progress
        None: where a person sees it; True: always; False, or an object that takes the progress: never.
    what, total, after, keep
        See :class:`Display`.

    Notes
    -----
    One display is open at a time: what is called meanwhile, or in other threads, opens none.
    """
    wanted = progress is True or (progress is None and can_show())
    if not wanted or stages.current_job() is not None or not _one.acquire(blocking=False):
        yield Display(what, total, visible=False)
        return
    try:
        with Display(what, total, after=after, keep=keep) as display:
            yield display
    finally:
        _one.release()


@contextlib.contextmanager
def waiting(name: str, progress: Any = None) -> Iterator[None]:
    """Show a name, and the stages of the work, if it takes long."""
    with shown(progress, "") as display, display.job(name):
        yield
