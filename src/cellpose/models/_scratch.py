"""Large arrays of zeros, in memory or, where they would fill it, in an unnamed temporary file."""

from __future__ import annotations

import logging
import math
import mmap
import os
import tempfile
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["zeros"]

logger = logging.getLogger("cellpose.models")

# What is left of the memory that is free must hold the rest of the work on a volume, about twice its flows.
_PART_OF_FREE = 1 / 3
# Smaller arrays are never worth a file.
_LEAST_BYTES = 2**26


def zeros(shape: Sequence[int], dtype: type[np.float32] = np.float32) -> NDArray[np.float32]:
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
    from cellpose import io

    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    free = io.available_memory()
    if n_bytes < _LEAST_BYTES or free is None or n_bytes < free * _PART_OF_FREE:
        return np.zeros(shape, dtype)
    try:
        mapped = _mapped(n_bytes)
    except OSError as error:
        logger.warning(
            "not enough space for %.1f GiB of flows in %s: %s", n_bytes / 2**30, tempfile.gettempdir(), error
        )
        return np.zeros(shape, dtype)
    logger.info("%.1f GiB of flows are kept in a file in %s", n_bytes / 2**30, tempfile.gettempdir())
    return np.frombuffer(mapped, dtype).reshape(shape)


def _mapped(n_bytes: int) -> mmap.mmap:
    with tempfile.TemporaryFile() as file:
        if hasattr(os, "posix_fallocate"):  # a file with holes would end the process where the disk is full
            os.posix_fallocate(file.fileno(), 0, n_bytes)
        else:
            file.truncate(n_bytes)
        return mmap.mmap(file.fileno(), n_bytes)
