"""A queue of limited length that runs segmentations one at a time."""

from __future__ import annotations

import logging
import math
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any, Final, Literal

from cellpose._progress.stages import Job as Stages
from cellpose._progress.stages import working_on
from cellpose.errors import CellposeError
from cellpose.serve._busy import Busy
from cellpose.serve._warnings import collected

__all__ = ["Job", "Jobs", "State"]

logger = logging.getLogger("cellpose.serve")

Work = Callable[["Job"], Any]

_REMEMBERED = 1000  # finished jobs
State = Literal["queued", "running", "done", "failed", "cancelled"]
QUEUED: Final = "queued"
RUNNING: Final = "running"
DONE: Final = "done"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"


class _Stopped(Exception):
    """Raised inside work that was canceled or took too long, at its next report or stage."""


class Job:
    """One piece of work.

    Attributes
    ----------
    id
        Random and impossible to guess.
    about
        What the job works on.
    state
        ``"queued"``, ``"running"``, ``"done"``, ``"failed"`` or ``"cancelled"``.
    progress
        Completed fraction, 0 to 1.
    error
        Why it failed; empty if it did not.
    warnings
        What was logged about its result.
    """

    def __init__(self, about: str, work: Work, ended: Callable[[], None]) -> None:
        self.id, self.about, self._work, self._tell_end = secrets.token_urlsafe(16), about, work, ended
        self.state: State = QUEUED
        self.progress, self.error = 0.0, ""
        self.warnings: list[str] = []
        self._stages = Stages("", self._check)
        self._most_s = math.inf
        self._began = self._ended = time.monotonic()
        self._cancelled = threading.Event()
        self._lock = threading.Lock()

    @property
    def has_ended(self) -> bool:
        """Whether the job has ended for good."""
        return self.state in (DONE, FAILED, CANCELLED)

    @property
    def stage(self) -> str:
        """The current stage, in words."""
        return self._stages.stage.name if self.state == RUNNING else ""

    @property
    def seconds(self) -> float:
        """Seconds it has run."""
        return 0.0 if self.state == QUEUED else (self._ended if self.has_ended else time.monotonic()) - self._began

    def cancel(self) -> None:
        """End the job at its next report."""
        with self._lock:
            self._cancelled.set()
            if self.state != QUEUED:
                return
            self.state = CANCELLED
        self._tell_end()

    def run(self, most_s: float) -> None:
        """Do the work; errors are stored in `error`."""
        with self._lock:
            if self.state != QUEUED:
                return
            self._began, self._most_s, self.state = time.monotonic(), most_s, RUNNING

        state: State = FAILED
        try:
            with working_on(self._stages), collected(self.warnings):
                self._work(self)
            state, self.progress = DONE, 1.0
        except _Stopped as stop:
            self.error = str(stop)
            state = FAILED if self.error else CANCELLED
        except (CellposeError, MemoryError) as error:
            self.error = str(error) or "there was not enough memory"
        except OSError as error:
            self.error = f"the results could not be written: {error.strerror}"
        except Exception:
            logger.exception("a segmentation failed")
            self.error = "the segmentation failed; the log of the server says why"
        self._tell_end()
        self._ended, self.state = time.monotonic(), state

    def report(self, share: float) -> None:
        """Take the completed fraction, 0 to 1, from the work; an exception ends it if it should stop."""
        self._check()
        self.progress = max(self.progress, min(1.0, share))

    def _check(self) -> None:
        """End the work if it was canceled or has taken too long; called at each report and each stage of the work."""
        if self._cancelled.is_set():
            raise _Stopped
        if time.monotonic() - self._began > self._most_s:
            message = f"it took more than {self._most_s:g} s, which is all that is allowed"
            raise _Stopped(message)


class Jobs:
    """A thread that runs jobs in order.

    Parameters
    ----------
    most
        Maximum number of waiting jobs.
    most_s
        Maximum seconds per job.
    """

    def __init__(self, most: int, most_s: float) -> None:
        self._most, self._most_s = most, most_s
        self._waiting: deque[Job] = deque()
        self._known: OrderedDict[str, Job] = OrderedDict()
        self._changed = threading.Condition()
        self._running: Job | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="cellpose-jobs", daemon=True)
        self._thread.start()

    def add(self, about: str, work: Work, ended: Callable[[], None]) -> Job:
        """Queue work; ``ended`` is called once, even if the job is canceled before it starts.

        Raises
        ------
        Busy
            If the queue is full.
        """
        with self._changed:
            self._waiting = deque(job for job in self._waiting if job.state == QUEUED)
            running = self._running is not None and not self._running.has_ended
            if len(self._waiting) + running > self._most:
                message = f"{len(self._waiting)} segmentations are waiting, which is all that are allowed"
                raise Busy(message, 5.0)
            job = Job(about, work, ended)
            self._waiting.append(job)
            self._known[job.id] = job
            while len(self._known) > _REMEMBERED + len(self._waiting) + 1:
                self._known.popitem(last=False)
            self._changed.notify()
        return job

    def get(self, key: str) -> Job | None:
        """A job that waits, runs, or ended recently."""
        return self._known.get(key)

    def ahead_of(self, job: Job) -> int:
        """Number of jobs that run or wait before a waiting one."""
        with self._changed:
            waiting = [each for each in self._waiting if each.state == QUEUED]
        return 1 + waiting.index(job) if job in waiting else 0

    def works_on(self, about: str) -> bool:
        """Whether a job on this item waits or runs."""
        return any(job.about == about and not job.has_ended for job in list(self._known.values()))

    def stop(self, about: str) -> None:
        """Cancel the jobs on this item."""
        for job in list(self._known.values()):
            if job.about == about:
                job.cancel()

    def close(self) -> None:
        """Cancel everything and wait until the running job stops."""
        with self._changed:
            self._closed = True
            for job in list(self._known.values()):
                job.cancel()
            self._changed.notify()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                job = self._running = self._waiting.popleft()
            job.run(self._most_s)
