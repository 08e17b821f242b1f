"""Memory that the network needs, whatever it is run on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellpose._machine.threads import thread_count
from cellpose.core import MOST_ROWS
from cellpose.models._choice import weight_bytes

if TYPE_CHECKING:
    from cellpose.models._model import CellposeModel

__all__ = ["network_bytes", "tile_rows"]

# Bytes, measured with benchmarks/volumes.py and benchmarks/scaling.py.
_LIBRARIES = 450 * 2**20  # Python, an engine, numba and the compiled loops
_TRANSFORMER_TILE = 400 * 2**20  # activations of a tile of 256 x 256 pixels
# A pixel of a tile in a U-Net whose first layer has 32 channels: any engine with a batch of tiles of 224 pixels; torch
# and others with a large tile in each thread.
_PER_PIXEL, _PER_PIXEL_TORCH, _PER_PIXEL_OTHERS = 1280, 1700, 700
_SIDE = 224


def network_bytes(model: CellposeModel, batch_size: int) -> int:
    """Libraries, weights and the tiles of a batch."""
    return _LIBRARIES + 2 * weight_bytes(model) + _tiles(model, batch_size)


def tile_rows(model: CellposeModel) -> int:
    """The most rows of a tile."""
    return MOST_ROWS if model._bsize == 0 else 256


def _tiles(model: CellposeModel, batch_size: int) -> int:
    if not model.nbase:
        return batch_size * _TRANSFORMER_TILE
    of_32 = batch_size * _SIDE**2 * _PER_PIXEL
    if model._bsize == 0:
        per_pixel = _PER_PIXEL_TORCH if model.engine == "torch" else _PER_PIXEL_OTHERS
        of_32 = max(of_32, min(batch_size, thread_count()) * MOST_ROWS**2 * per_pixel)
    return int(of_32 * model.nbase[1] // 32)
