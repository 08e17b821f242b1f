"""Running batches in parts where they do not fit into memory."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellpose.errors import CellposeError, DeviceMemoryError

__all__ = ["SmallerBatches", "is_out_of_memory"]

logger = logging.getLogger("cellpose.engines")

FloatArray = NDArray[np.float32]
Outputs = tuple[FloatArray, FloatArray]

# Texts of plain RuntimeErrors by which allocators report full memory: MPS, torch on the CPU, ONNX Runtime, OpenVINO.
_SAID = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "failed to allocate memory",
    "bad_alloc",
    "bad allocation",
)


class SmallerBatches:
    """Runs batches of tiles; after one that did not fit into memory it goes on with batches of half the size.

    Examples
    --------
    >>> def engine(tiles):
    ...     if len(tiles) > 2:
    ...         raise MemoryError
    ...     return tiles, tiles.mean(axis=(2, 3))
    >>> logger.disabled = True  # it would warn
    >>> outputs, styles = SmallerBatches().run(engine, np.ones((5, 1, 4, 4), np.float32))
    >>> logger.disabled = False
    >>> outputs.shape, styles.shape
    ((5, 1, 4, 4), (5, 1))
    """

    def __init__(self) -> None:
        # The largest batch known to fit; found when a batch does not.
        self._limit: int | None = None

    def run(
        self, engine: Callable[[FloatArray], Outputs], tiles: FloatArray, device: Any = "cpu", most: int = sys.maxsize
    ) -> Outputs:
        """Outputs and styles of tiles (n, channels, y, x), run in batches of at most ``most``.

        Raises
        ------
        DeviceMemoryError
            If not even one tile fits into the memory of ``device``.
        """
        step = min(len(tiles), self._limit or len(tiles), most)
        parts: list[Outputs] = []
        start = 0
        while start < len(tiles):
            try:
                parts.append(engine(tiles[start : start + step]))
            except (RuntimeError, MemoryError) as error:
                if isinstance(error, CellposeError) or not is_out_of_memory(error):
                    raise
                if step == 1:
                    message = (
                        f"one tile of {tiles.shape[-2]} x {tiles.shape[-1]} pixels does not fit in the memory of "
                        f"{device}; close other programs that use it, or run on the CPU with gpu=False"
                    )
                    raise DeviceMemoryError(message) from error
            else:
                start += step
                continue
            # Outside the handler, where the failed batch is no longer held by the traceback.
            logger.warning("out of memory on %s with batches of %d tiles: continuing with %d", device, step, step // 2)
            self._limit = step = step // 2
            _free_memory()
        if len(parts) == 1:
            return parts[0]
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory did not suffice.

    Examples
    --------
    >>> is_out_of_memory(MemoryError()), is_out_of_memory(RuntimeError("std::bad_alloc")), is_out_of_memory(KeyError())
    (True, True, False)
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in _SAID)


def _free_memory() -> None:
    """Release memory that torch caches, if it runs on a GPU at all."""
    torch = sys.modules.get("torch")
    if torch is None:
        return
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
