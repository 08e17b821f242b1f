"""Long work in threads: with progress, canceled at once, and never applied too late."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from psygnal import Signal

__all__ = ["Cancelled", "Job", "Jobs", "Report"]

logger = logging.getLogger("cellpose.gui")

R = TypeVar("R")
Report = Callable[[float], None]  # takes the fraction done, 0 to 1


class Cancelled(Exception):
    """Raised inside a canceled job when it reports progress."""


class Job(Generic[R]):
    """One piece of work in its own thread. Made by `Jobs.start`."""

    def __init__(self, name: str, generation: int) -> None:
        self.name = name
        self.generation = generation
        self.progress = 0.0
        self._cancelled = threading.Event()
        self.thread: threading.Thread | None = None

    @property
    def cancelled(self) -> bool:
        """Whether its result is no longer wanted."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Ask it to end at its next report; its result is not used."""
        self._cancelled.set()


class Jobs:
    """The running jobs, at most one of each name.

    Parameters
    ----------
    to_main
        The only way back from a job: schedules a function in the main thread.

    Attributes
    ----------
    changed : Signal(object)
        A `Job` that began, progressed or ended; sent in the main thread.
    """

    changed = Signal(object)

    def __init__(self, to_main: Callable[[Callable[[], None]], None]) -> None:
        self._to_main = to_main
        self._running: dict[str, Job[Any]] = {}
        self._ending: list[Job[Any]] = []  # canceled, but not yet at their next report
        self._generation = 0

    def running(self, name: str) -> Job[Any] | None:
        """The job of this name, while it runs."""
        return self._running.get(name)

    def is_ending(self, name: str) -> bool:
        """Whether a canceled job of this name has not ended yet."""
        return any(job.name == name for job in self._ending)

    @property
    def any(self) -> bool:
        """Whether something runs."""
        return bool(self._running)

    def start(
        self,
        name: str,
        work: Callable[[Report], R],
        done: Callable[[R], None],
        failed: Callable[[Exception], None],
    ) -> Job[R]:
        """Run ``work`` in a thread, then ``done`` or ``failed`` in the main thread.

        A running job of the same name is canceled: neither of its functions is called.
        """
        self.cancel(name)
        self._generation += 1
        job: Job[R] = Job(name, self._generation)
        self._running[name] = job
        # A daemon: a network in the middle of a tile must not keep the program from ending.
        job.thread = threading.Thread(target=self._run, args=(job, work, done, failed), name=name, daemon=True)
        self.changed.emit(job)
        job.thread.start()
        return job

    def cancel(self, name: str | None = None) -> None:
        """Cancel the job of a name, or all."""
        for job in [self._running[key] for key in list(self._running) if name in (None, key)]:
            job.cancel()
            self._running.pop(job.name, None)
            self._ending.append(job)
            self.changed.emit(job)

    def _run(
        self,
        job: Job[R],
        work: Callable[[Report], R],
        done: Callable[[R], None],
        failed: Callable[[Exception], None],
    ) -> None:
        def report(share: float) -> None:
            if job.cancelled:
                raise Cancelled
            job.progress = min(1.0, max(0.0, share))
            self._to_main(lambda: self._tell(job))

        try:
            result = work(report)
        except Cancelled:
            self._to_main(lambda: self._finish(job, lambda: None))
        except Exception as error:  # show every error to the user instead of ending the window
            logger.debug("%s failed", job.name, exc_info=True)
            reason = error
            self._to_main(lambda: self._finish(job, lambda: failed(reason)))
        else:
            self._to_main(lambda: self._finish(job, lambda: done(result)))

    def _tell(self, job: Job[Any]) -> None:
        if self._running.get(job.name) is job:
            self.changed.emit(job)

    def _finish(self, job: Job[Any], then: Callable[[], None]) -> None:
        """Runs in the main thread: the result is used unless a newer job has replaced this one."""
        if job in self._ending:
            self._ending.remove(job)
            self.changed.emit(job)
        if self._running.get(job.name) is not job:
            return
        del self._running[job.name]
        job.progress = 1.0
        self.changed.emit(job)
        then()
