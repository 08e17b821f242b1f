"""The compiled loop of the screen, loaded in a thread while the window comes up: the compiler takes longer than it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

__all__ = ["fill_rows", "warm_up"]


@cache
def warm_up() -> threading.Thread:
    """Begin to load it; call this when the window is seen."""
    thread = threading.Thread(target=_load, name="warm up", daemon=True)
    thread.start()
    return thread


def fill_rows() -> Callable[..., Any]:
    """The loop; waits until it is loaded."""
    warm_up().join()
    from cellpose.gui.views._kernels import fill_rows as loop

    return loop  # type: ignore[no-any-return]


def _load() -> None:
    """Machine code for one pixel of each kind of image."""
    from cellpose.gui.views._kernels import fill_rows as loop

    place, cells = np.zeros(1, np.int32), np.zeros((1, 2), np.uint32)
    out, colors, palette = np.zeros((1, 1), np.uint32), np.zeros((1, 3), np.float32), np.zeros((0, 3), np.uint8)
    labels = np.zeros((1, 1), np.int32)
    for dtype in (np.uint8, np.uint16):
        image, tables = np.zeros((1, 1, 1), dtype), np.zeros((1, 2), np.uint8)
        loop(0, 1, out, place, place, image, place, tables, colors, palette, labels, cells, 0, np.uint32(0))
