"""The current stage of the work, for a person who waits.

Every room may report which stage its work is in. The report reaches the display that was opened for this work, if there
is one (see `display.py`), and costs nothing otherwise. Lines that a person should see once go to the log too.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

__all__ = [
    "TOLD", "Job", "Stage", "about_image", "announce_compiling", "current_job", "image_name", "name_image",
    "part_of_job", "say", "stage", "working_on",
]  # fmt: skip

logger = logging.getLogger("cellpose")

#: ``extra`` of log records that a person at a terminal sees without ``--verbose``.
TOLD = {"told": True}

_COMPILING = "compiling for this CPU: only in the first run, 10 to 20 seconds in total"


class Stage(NamedTuple):
    """A stage of a job: its progress, out of ``total`` (None: unknown) ``unit``s, and when it began."""

    name: str
    total: int | None = None
    unit: str = ""
    done: float = 0
    began: float = 0.0


class Job:
    """One piece of work, such as an image or a model that is loaded.

    Attributes
    ----------
    name
        Of the piece.
    part
        Which part of it is worked on, such as a frame of a movie; "" where there is only one.
    began
        Time of ``time.monotonic``.
    stage
        The current stage.
    """

    def __init__(self, name: str, on_change: Callable[[], None] = lambda: None) -> None:
        self.name, self.part = name, ""
        self.began = time.monotonic()
        self.stage = Stage("", began=self.began)
        self._on_change = on_change

    def begin(self, name: str, total: int | None, unit: str) -> Callable[[float], None]:
        """Enter a stage; what is returned says how much of it is done."""
        mine = self.stage = Stage(name, total, unit, 0, time.monotonic())
        self._on_change()

        def advance(done: float) -> None:
            if self.stage.began == mine.began and self.stage.name == name:  # else another stage has begun
                self.stage = mine._replace(done=done)
                self._on_change()

        return advance

    def step(self, parts: int = 1) -> None:
        """Count more parts of the stage as done; who entered it corrects the number."""
        if self.stage.total:
            self.stage = self.stage._replace(done=self.stage.done + parts)


_job: ContextVar[Job | None] = ContextVar("cellpose_job", default=None)
#: The function that writes a line above the bars of the open display.
_line: list[Callable[[str], None]] = []


def current_job() -> Job | None:
    """The job that this thread works on, if its progress is shown."""
    return _job.get()


@contextmanager
def working_on(job: Job) -> Iterator[None]:
    """A context in which stages that this thread enters belong to a job."""
    before = _job.set(job)
    try:
        yield
    finally:
        _job.reset(before)


def stage(name: str, total: int | None = None, unit: str = "") -> Callable[[float], None]:
    """Say that the work of this thread enters a stage, which ends where the next one begins.

    Parameters
    ----------
    name
        Name of the work, such as "loading weights".
    total, unit
        How many parts it has, and what they are; None: unknown.

    Returns
    -------
    callable
        To be called with the number of parts that are done.
    """
    job = _job.get()
    return _ignore if job is None else job.begin(name, total, unit)


def _ignore(done: float) -> None:
    """Does nothing: no progress is shown."""


@contextmanager
def part_of_job(part: str) -> Iterator[None]:
    """Name the part of its job that this thread works on, such as a frame of a movie."""
    job = _job.get()
    if job is None:
        yield
        return
    before, job.part = job.part, part
    try:
        yield
    finally:
        job.part = before


_image: ContextVar[str] = ContextVar("cellpose_image", default="")


@contextmanager
def about_image(name: str) -> Iterator[None]:
    """Let warnings of this thread name the image that it works on, where they do not already."""
    before = _image.set(name)
    try:
        yield
    finally:
        _image.reset(before)


def image_name() -> str:
    """The image that this thread works on, as `about_image` says; empty where nothing does."""
    return _image.get()


def name_image(record: logging.LogRecord) -> bool:
    """Add the name of the image that this thread works on to a warning about it; a filter that lets all pass."""
    name = _image.get()
    if name and record.levelno >= logging.WARNING:
        message = record.getMessage()
        if name not in message:
            record.msg, record.args = f"{name}: {message}", None
    return True


def say(text: str) -> None:
    """Log a line that the user should see at once."""
    logger.info(text, extra=TOLD)
    for write in _line:
        write(text)


def announce_compiling() -> None:
    """Say once that loops are compiled, when the first one of this package really is."""
    if _compiler_is_watched:
        return
    _compiler_is_watched.append(True)
    from numba.core import event

    class Listener(event.Listener):  # type: ignore[misc]
        def on_start(self, event: Any) -> None:
            module = event.data["dispatcher"].py_func.__module__ or ""
            if not _compiling_was_said and module.startswith("cellpose."):
                _compiling_was_said.append(True)
                say(_COMPILING)

        def on_end(self, event: Any) -> None:
            pass

    event.register("numba:compile", Listener())


_compiler_is_watched: list[bool] = []
_compiling_was_said: list[bool] = []
