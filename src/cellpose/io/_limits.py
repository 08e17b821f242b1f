"""Guards against headers that claim more than a file or the memory can hold."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from cellpose.errors import FileReadError

__all__ = ["available_memory", "check_claim", "check_pixels", "within_memory"]

_GIB = 2**30
_allowed: ContextVar[int | None] = ContextVar("cellpose_memory", default=None)
_most_pixels: ContextVar[float | None] = ContextVar("cellpose_pixels", default=None)


@contextmanager
def within_memory(n_bytes: int, most_pixels: float | None = None) -> Iterator[None]:
    """Limit the memory that readers take for an image; larger images are refused by their headers.

    Parameters
    ----------
    n_bytes
        For the pixels.
    most_pixels
        The most pixels of an image, all planes together, channels not counted; None: any number.

    Examples
    --------
    >>> with within_memory(1000):
    ...     available_memory()
    1000
    """
    memory, pixels = _allowed.set(n_bytes), _most_pixels.set(most_pixels)
    try:
        yield
    finally:
        _allowed.reset(memory)
        _most_pixels.reset(pixels)


def available_memory() -> int | None:
    """Bytes that this process can still use, or None if unknown."""
    amounts = (_allowed.get(), _free_of_machine(), _free_of_container())
    limits = [amount for amount in amounts if amount is not None]
    return min(limits) if limits else None


def _free_of_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        amounts = {key: int(rest.split()[0]) * 1024 for key, _, rest in (line.partition(":") for line in lines)}
        return amounts["MemAvailable"] + amounts.get("SwapFree", 0)
    except (OSError, ValueError, KeyError, IndexError):
        pass
    try:
        # free memory is unknown: the installed memory is still a bound
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _free_of_container() -> int | None:
    folder = Path("/sys/fs/cgroup")
    try:
        limit = (folder / "memory.max").read_text(encoding="ascii").strip()
        used = int((folder / "memory.current").read_text(encoding="ascii"))
        return None if limit == "max" else max(int(limit) - used, 0)
    except (OSError, ValueError):
        return None


def check_pixels(path: Path, pixels: int) -> None:
    """Refuse a file whose header claims more pixels than `within_memory` allows, before any is decoded.

    Raises
    ------
    FileReadError
        If so.
    """
    most = _most_pixels.get()
    if most is not None and pixels > most:
        message = f"{path} has {pixels / 1e6:.1f} megapixels; at most {most / 1e6:g} are allowed"
        raise FileReadError(message)


def check_claim(
    path: Path, claimed: int, stored: int | None = None, ratio: float = 1.0, *, in_memory: bool = True
) -> None:
    """Refuse a file before memory is taken for what its header claims.

    Parameters
    ----------
    path
        The file, for the message.
    claimed
        Bytes of the array that the header describes.
    stored
        Bytes of coded pixels that the file really has; None: not checked.
    ratio
        The most that the coding can expand a byte.
    in_memory
        Whether all of it will be in memory at the same time.

    Raises
    ------
    FileReadError
        If the coded bytes cannot make up the array, or the memory cannot hold it.
    """
    if stored is not None and claimed > ratio * stored + 4096:
        message = (
            f"{path} is truncated or corrupt: its header claims {claimed} bytes of pixels, the file holds {stored} "
            "bytes of them; download or copy it again"
        )
        raise FileReadError(message)
    memory = available_memory() if in_memory else None
    if memory is not None and claimed > memory:
        message = (
            f"{path} claims an image of {claimed / _GIB:.1f} GiB and {memory / _GIB:.1f} GiB of memory are free; "
            "if the file is sound, crop or tile it, or use cellpose.contrib.distributed_segmentation"
        )
        raise FileReadError(message)
