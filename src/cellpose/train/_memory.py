"""Keeping the memory that one step frees for the next.

Every step of a U-Net needs the same gigabyte or two. The C library of Linux returns blocks above 32 MB to the system at
once and gets new ones, which the system has to clear page by page at their first use: a tenth of the time of a step on
the processor.

The memory of the library's main arena is kept: that of the main thread, unless the system once refused it a block (the
library then serves the thread from another arena for good, whose large blocks always go back). Elsewhere steps take a
little longer.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["memory_is_kept"]

# Parameters of mallopt, from malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4

# The values that the library reaches by itself in a process with large blocks, and its initial ones.
_USUAL = {_MMAP_MAX: 65536, _MMAP_THRESHOLD: 32 * 2**20, _TRIM_THRESHOLD: 64 * 2**20}

# Parameters that a user may have set, each in its own variable or in the common one (with lowercase names).
_OF_USERS = ("TRIM_THRESHOLD", "MMAP_THRESHOLD", "MMAP_MAX", "TOP_PAD")


@contextmanager
def memory_is_kept(*, wanted: bool = True) -> Iterator[None]:
    """Inside the block, freed memory stays with the process; afterwards it goes back to the system.

    Does nothing where the C library is another one, or where these parameters are set by environment variables.
    """
    library = _c_library() if wanted else None
    if library is None:
        yield
        return
    library.mallopt(_MMAP_MAX, 0)
    library.mallopt(_TRIM_THRESHOLD, -1)
    try:
        yield
    finally:
        for parameter, value in _USUAL.items():
            library.mallopt(parameter, value)
        library.malloc_trim(0)


def _c_library() -> Any:
    if sys.platform != "linux" or _set_by_user():
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None


def _set_by_user() -> bool:
    """Whether variables for the C library set what is kept; others, such as the number of arenas, do not matter."""
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    return any(f"MALLOC_{name}_" in os.environ or f"malloc.{name.lower()}" in tunables for name in _OF_USERS)
