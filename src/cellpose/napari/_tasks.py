"""Work in the background, with progress reports, which can be canceled at each report."""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar, cast

__all__ = ["Cancelled", "Task"]

R = TypeVar("R")
_TICK_S = 0.2  # wake up this often, so that work without reports can be canceled too


class Cancelled(Exception):
    """Raised inside canceled work when it reports its progress."""


class Task(Generic[R]):
    """One piece of work.

    Parameters
    ----------
    work
        Takes a function to report progress to: a share, 0 to 1, or words.

    Examples
    --------
    >>> def work(report):
    ...     report(0.5)
    ...     return "done"
    >>> steps = Task(work).steps()
    >>> next(steps)
    0.5
    """

    def __init__(self, work: Callable[[Callable[[Any], None]], R]) -> None:
        self._work = work
        self._cancelled = threading.Event()

    @property
    def is_cancelled(self) -> bool:
        """Whether the result is no longer wanted."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Ask the work to end at its next report."""
        self._cancelled.set()

    def steps(self) -> Generator[Any, None, R | None]:
        """Run the work in its own thread and yield its reports; yields None when there is none for a while.

        Returns
        -------
        object
            The result of the work; None if it was canceled.
        """
        told: queue.SimpleQueue[Any] = queue.SimpleQueue()
        outcome: list[Any] = []

        def report(news: Any) -> None:
            if self.is_cancelled:
                raise Cancelled
            told.put(news)

        def run() -> None:
            try:
                outcome.append((self._work(report), None))
            except BaseException as error:
                outcome.append((None, error))

        thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True, name="cellpose")
        thread.start()
        try:
            while thread.is_alive() or not told.empty():
                try:
                    yield told.get(timeout=_TICK_S)
                except queue.Empty:
                    yield None
        except GeneratorExit:
            self.cancel()
            raise
        result, error = outcome[0]
        if isinstance(error, Cancelled) or self.is_cancelled:
            return None
        if error is not None:
            raise error
        return cast(R, result)
