"""Kernels run on all cores: slices of their work in threads.

The kernels release the lock of the interpreter, so plain threads do. Unlike the thread layers of the compiler this
costs no extra compile time, may be called from many threads at once and survives a fork.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

__all__ = ["OwnLock", "run_sliced", "thread_count"]

R = TypeVar("R")

SLICES_PER_THREAD = 8  # so that a thread with easy slices can take over slices of another


class OwnLock:
    """A lock that objects which are copied or pickled may hold: a copy has its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type[OwnLock], tuple[()]]:
        return OwnLock, ()


def thread_count() -> int:
    """How many threads to use: ``OMP_NUM_THREADS`` or ``NUMBA_NUM_THREADS`` if set, else the cores we may run on."""
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        value = os.environ.get(name, "")
        if value.isdigit() and int(value) > 0:
            return int(value)
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def run_sliced(
    kernel: Callable[..., R], n: int, *args: Any, smallest: int = 1, per_thread: int = SLICES_PER_THREAD
) -> list[R]:
    """``kernel(start, stop, *args)`` over slices of ``range(n)``, in threads; the results in order.

    Parameters
    ----------
    kernel
        Function that releases the lock of the interpreter and whose slices do not touch each other's results.
    n
        Number of items.
    smallest
        Fewest items worth a slice of their own.
    per_thread
        Most slices for each thread.
    """
    threads = thread_count()
    pieces = min(threads * per_thread, n // smallest) if threads > 1 else 1
    if pieces <= 1:
        return [kernel(0, n, *args)]
    edges = [int(edge) for edge in np.linspace(0, n, pieces + 1)]
    results: list[Any] = [None] * pieces
    left = deque(range(pieces))

    def work() -> None:
        while True:
            try:
                k = left.popleft()  # safe in threads; checking first whether something is left would not be
            except IndexError:
                return
            results[k] = kernel(edges[k], edges[k + 1], *args)

    # The caller works too: one thread less to start and to wait for.
    with ThreadPoolExecutor(min(threads, pieces) - 1) as pool:
        others = [pool.submit(work) for _ in range(min(threads, pieces) - 1)]
        work()
        for other in others:
            other.result()
    return results
