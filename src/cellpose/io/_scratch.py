"""Large arrays, in memory or, where they would fill it, in an unnamed temporary file."""

from __future__ import annotations

import logging
import math
import mmap
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.errors import FileReadError
from cellpose.io._limits import available_memory, check_claim

__all__ = ["is_large", "leaves_on_disk", "on_disk", "room_for", "roomy_zeros", "tell"]

logger = logging.getLogger("cellpose.io")

# The remaining free memory must hold the rest of the work on a volume, about twice its flows.
_PART_OF_FREE = 1 / 3
# Smaller arrays are never worth a file.
_LEAST_BYTES = 2**26


_Report = Callable[[float], None]
_report: ContextVar[_Report | None] = ContextVar("cellpose_on_disk", default=None)


@contextmanager
def on_disk(report: _Report) -> Iterator[None]:
    """Let readers leave large images on the disk and report the share done; an error in ``report`` ends them."""
    token = _report.set(report)
    try:
        yield
    finally:
        _report.reset(token)


def leaves_on_disk(n_bytes: int) -> bool:
    """Whether an image of this size is left on the disk now."""
    return _report.get() is not None and is_large(n_bytes)


def tell(share: float) -> None:
    """Report that this much of an image has been read."""
    report = _report.get()
    if report is not None:
        report(share)


def room_for(path: Path, shape: Sequence[int], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """An array for the pixels of a file: in memory or, within `on_disk`, in an unnamed file where it is large.

    Raises
    ------
    FileReadError
        If there is no room.
    """
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    if not leaves_on_disk(n_bytes):
        check_claim(path, n_bytes)
        return np.empty(shape, dtype)
    try:
        return np.frombuffer(_mapped(n_bytes), dtype).reshape(shape)
    except OSError as error:
        message = (
            f"{path} takes {n_bytes / 2**30:.1f} GiB, more than the memory holds and than there is room for in "
            f"{tempfile.gettempdir()}; set TMPDIR to a folder with more room"
        )
        raise FileReadError(message) from error


def is_large(n_bytes: int) -> bool:
    """Whether an array would take more than a third of the free memory."""
    free = available_memory() if n_bytes >= _LEAST_BYTES else None
    return free is not None and n_bytes >= free * _PART_OF_FREE


def roomy_zeros(shape: Sequence[int], dtype: npt.DTypeLike = np.float32) -> npt.NDArray[Any]:
    """Zeros; in a memory-mapped temporary file if they would take more than a third of the free memory.

    The file has no name: the system removes it with the last reference to the array, also after an error or the end
    of the process. It is made where ``TMPDIR`` says. If there is no room, the array is made in memory after all.

    Parameters
    ----------
    shape
        Lengths of the axes.
    dtype
        Type of the numbers.

    Returns
    -------
    array of zeros
    """
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    if not is_large(n_bytes):
        return np.zeros(shape, dtype)
    try:
        mapped = _mapped(n_bytes)
    except OSError as error:
        logger.warning(
            "not enough space for an array of %.1f GiB in %s: %s", n_bytes / 2**30, tempfile.gettempdir(), error
        )
        return np.zeros(shape, dtype)
    logger.info("an array of %.1f GiB is kept in a file in %s", n_bytes / 2**30, tempfile.gettempdir())
    return np.frombuffer(mapped, dtype).reshape(shape)


def _mapped(n_bytes: int) -> mmap.mmap:
    with tempfile.TemporaryFile() as file:
        if hasattr(os, "posix_fallocate"):  # writing to a sparse file would kill the process where the disk is full
            os.posix_fallocate(file.fileno(), 0, n_bytes)
        else:
            file.truncate(n_bytes)
        return mmap.mmap(file.fileno(), n_bytes)
