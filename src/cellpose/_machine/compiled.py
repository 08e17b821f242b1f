"""How kernels are compiled."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from numba import njit

from cellpose._progress.stages import announce_compiling

__all__ = ["compiled"]

logger = logging.getLogger("cellpose.utils")

announce_compiling()


def compiled(function: Callable[..., Any]) -> Any:
    """Machine code of a function, made when it is first called and kept on disk; it releases the lock of Python.

    Where no folder can be written to (a container that is read-only) it is kept for the running program only.
    """
    try:
        return njit(cache=True, nogil=True)(function)
    except RuntimeError:
        logger.info("no folder for compiled code is writable; %s is compiled in every run", function.__name__)
        return njit(nogil=True)(function)
