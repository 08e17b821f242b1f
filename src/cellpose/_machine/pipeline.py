"""Work on many items at once, whose results, errors and log records come in the order of the items."""

from __future__ import annotations

import logging
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from cellpose._machine.threads import thread_count
from cellpose._progress.stages import name_image

__all__ = ["AT_ONCE_ENV", "Budget", "Stopped", "Tell", "in_order", "worker_count"]

T = TypeVar("T")
R = TypeVar("R")

#: Called repeatedly with the fraction done, 0 to 1; raises `Stopped` where the rest is not wanted.
Tell = Callable[[float], None]

#: Environment variable with the number of images to work on at once.
AT_ONCE_ENV = "CELLPOSE_IMAGES_AT_ONCE"
_MOST_WORKERS = 8
_AHEAD = 2  # items started for each worker before the first result is taken
_WAIT = 0.2  # seconds; where a wait cannot be interrupted, Ctrl-C is seen this late


class Stopped(BaseException):
    """The results are no longer wanted. Not an `Exception`, so that handlers of errors let it pass."""


def worker_count() -> int:
    """Images worth working on at once: one for each thread, and one that is being read or written.

    The environment variable ``CELLPOSE_IMAGES_AT_ONCE`` overrides this.
    """
    wanted = os.environ.get(AT_ONCE_ENV, "")
    if wanted.isdecimal() and int(wanted):
        return int(wanted)
    threads = thread_count()
    return min(threads + 1, _MOST_WORKERS) if threads > 1 else 1


class Budget:
    """Bounds what is worked on at once, by size.

    Parameters
    ----------
    size
        What fits. Something larger is let in alone.
    """

    def __init__(self, size: int) -> None:
        self._size, self._used = size, 0
        self._changed = threading.Condition()

    @contextmanager
    def of(self, size: float) -> Iterator[None]:
        """Wait until something of this size fits, and hold its place."""
        held = int(min(size, self._size))
        with self._changed:
            self._changed.wait_for(lambda: self._used + held <= self._size)
            self._used += held
        try:
            yield
        finally:
            with self._changed:
                self._used -= held
                self._changed.notify_all()


@dataclass
class _Outcome(Generic[R]):
    value: R | None = None
    error: BaseException | None = None
    records: list[logging.LogRecord] = field(default_factory=list)


class _Hold(logging.Filter):
    """Holds back what the threads of `in_order` log."""

    def __init__(self) -> None:
        super().__init__()
        self._here = threading.local()

    @contextmanager
    def into(self, records: list[logging.LogRecord]) -> Iterator[None]:
        """Collect what this thread logs in the list."""
        for name, logger in list(logging.root.manager.loggerDict.items()):
            # Filters of a logger do not see what those below it log, so each of them gets it.
            if name.split(".")[0] == "cellpose" and isinstance(logger, logging.Logger) and self not in logger.filters:
                logger.addFilter(self)
        self._here.records = records
        try:
            yield
        finally:
            self._here.records = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the records of a worker thread for later; let those of all other threads pass."""
        records = getattr(self._here, "records", None)
        if records is None or getattr(record, "told", False):  # shown to the user at once
            return True
        name_image(record)  # only this thread knows
        records.append(record)
        return False


_hold = _Hold()


def in_order(
    call: Callable[[T, Tell], R],
    items: Iterable[T],
    workers: int,
    progress: Callable[[float], None] | None = None,
) -> Iterator[R]:
    """``call(item, tell)`` for each item in several threads; results in the order of the items.

    Items are taken as they are needed and few are begun before the first of them is done, so that memory is bounded.
    What a call logs is passed on when its result is taken. An error is raised in the turn of its item, and ends the
    rest; so does leaving the iterator, or Ctrl-C.

    Parameters
    ----------
    call
        Processes one item. It should call ``tell`` often.
    items
        Taken in the thread that runs through the results.
    workers
        Threads.
    progress
        Called in that thread with the number of items that are done, parts included.
    """
    events: queue.SimpleQueue[tuple[int, float | _Outcome[R]]] = queue.SimpleQueue()
    stop = threading.Event()
    pool = ThreadPoolExecutor(workers, "cellpose-images")
    numbered = enumerate(items)
    done: dict[int, _Outcome[R]] = {}
    parts: dict[int, float] = {}
    begun = taken = 0
    more = True
    try:
        while True:
            while more and begun - taken < workers + _AHEAD:
                index, item = next(numbered, (-1, None))
                if index < 0:
                    more = False
                else:
                    pool.submit(_work, call, index, item, stop, events)
                    begun += 1
            if taken == begun:
                break
            while taken not in done:
                _take(events, done, parts)
                if progress is not None:
                    progress(taken + sum(parts.values()))
            outcome = done.pop(taken)
            del parts[taken]
            taken += 1
            for record in outcome.records:
                logging.getLogger(record.name).handle(record)
            if outcome.error is not None:
                raise outcome.error
            yield outcome.value  # type: ignore[misc]
            del outcome
    finally:
        stop.set()
        # After Ctrl-C nobody waits for the threads, which end when they next report progress.
        pool.shutdown(wait=isinstance(sys.exc_info()[1], (Exception, type(None))), cancel_futures=True)


def _take(
    events: queue.SimpleQueue[tuple[int, float | _Outcome[R]]], done: dict[int, _Outcome[R]], parts: dict[int, float]
) -> None:
    """Wait for the next message from the threads."""
    try:
        index, news = events.get(timeout=_WAIT)
    except queue.Empty:
        return
    if isinstance(news, _Outcome):
        done[index] = news
        parts[index] = 1.0
    else:
        parts[index] = news


def _work(call: Callable[[Any, Tell], R], index: int, item: Any, stop: threading.Event, events: Any) -> None:
    """One item, in a thread."""
    outcome: _Outcome[R] = _Outcome()

    def tell(fraction: float) -> None:
        if stop.is_set():
            raise Stopped
        events.put((index, fraction))

    try:
        with _hold.into(outcome.records):
            tell(0.0)
            outcome.value = call(item, tell)
    except BaseException as error:  # raised where the result is taken
        outcome.error = error
    events.put((index, outcome))
