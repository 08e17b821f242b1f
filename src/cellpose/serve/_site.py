"""The state that all routes share: options, images, jobs, models, and limits on concurrent work."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ParamSpec, TypeVar

import anyio
from anyio.to_thread import run_sync

from cellpose.options import Serving
from cellpose.serve._busy import Busy
from cellpose.serve._collection import Collection
from cellpose.serve._guard import Rates
from cellpose.serve._jobs import Jobs
from cellpose.serve._models import Models
from cellpose.serve._readers import Readers
from cellpose.serve._store import Item, Store

__all__ = ["Site"]

P = ParamSpec("P")
R = TypeVar("R")

_READERS = 2
_MB, _GB, _MP = 1_000_000, 1_000_000_000, 1_000_000
# Requests that wait for work on arrays: each costs a connection and little more.
_MOST_WAITING = 400
_SWEEP_S = 5.0


@dataclass(eq=False)
class Site:
    """One server.

    Attributes
    ----------
    options
        Its limits.
    examples
        Example images, by name.
    collection
        Of contributions; None: contributions are not accepted.
    thumbnails
        Thumbnails of the examples that were requested so far, JPEG.
    """

    options: Serving
    examples: dict[str, Path] = field(default_factory=dict)
    gpu: bool = False
    collection: Collection | None = None
    thumbnails: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        options = self.options
        self.store = Store(options.store_gb * _GB, options.keep_min * 60)
        self.jobs = Jobs(options.queue, options.job_s)
        self.models = Models(gpu=self.gpu)
        self.readers = Readers(_READERS, options.image_mp * _MP)
        self.rates = Rates(options.rate_per_min)
        self._light, self._heavy = anyio.CapacityLimiter(8), anyio.CapacityLimiter(max(1, (os.cpu_count() or 2) // 2))
        self._reading = anyio.CapacityLimiter(_READERS)

    @property
    def most_bytes(self) -> int:
        """Size limit of an upload."""
        return int(self.options.upload_mb * _MB)

    async def quick(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run work that takes milliseconds, such as a tile, in a thread.

        Raises
        ------
        Busy
            If too many requests are waiting.
        """
        return await _limited(self._light, work, *args, **kwargs)

    async def heavy(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run work that takes seconds or much memory, such as an export, in a thread; raises as `quick`."""
        return await _limited(self._heavy, work, *args, **kwargs)

    async def read(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Wait in a thread for the process that reads an upload; raises as `quick`."""
        return await _limited(self._reading, work, *args, **kwargs)

    def forget(self, item: Item) -> None:
        """Delete an image."""
        self.jobs.stop(item.id)
        self.store.remove(item)

    async def sweep(self) -> None:
        """Delete unused images for as long as the server runs."""
        while True:
            await anyio.sleep(min(_SWEEP_S, self.options.keep_min * 15))
            for item in await run_sync(self.store.outdated, lambda item: self.jobs.works_on(item.id)):
                self.forget(item)

    def close(self) -> None:
        """Stop all work and delete everything."""
        self.jobs.close()
        self.readers.close()
        self.store.close()


async def _limited(limiter: anyio.CapacityLimiter, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    waiting = limiter.statistics().tasks_waiting
    if waiting >= _MOST_WAITING:
        message = f"{waiting} requests are waiting"
        raise Busy(message)
    return await run_sync(lambda: work(*args, **kwargs), limiter=limiter)
