"""Memory that the network needs, whatever it is run on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellpose._machine.threads import thread_count
from cellpose.models._choice import weight_bytes

if TYPE_CHECKING:
    from cellpose.models._model import CellposeModel

__all__ = ["network_bytes", "tile_rows"]

# Bytes, measured with benchmarks/volumes.py and benchmarks/scaling.py.
_LIBRARIES = 450 * 2**20  # Python, an engine, numba and the compiled loops
_PER_TILE_PIXEL = 1280  # a pixel of a tile in a U-Net whose first layer has 32 channels; half where each thread has one
_TRANSFORMER_TILE = 400 * 2**20  # activations of a tile of 256 x 256 pixels
_SIDE, _LARGE_SIDE = 224, 448


def network_bytes(model: CellposeModel, batch_size: int) -> int:
    """Libraries, weights and the tiles of a batch."""
    return _LIBRARIES + 2 * weight_bytes(model) + _tiles(model, batch_size)


def tile_rows(model: CellposeModel) -> int:
    """The most rows of a tile."""
    return _LARGE_SIDE if model._bsize == 0 else 256


def _tiles(model: CellposeModel, batch_size: int) -> int:
    if not model.nbase:
        return batch_size * _TRANSFORMER_TILE
    pixels = batch_size * _SIDE**2
    if model._bsize == 0:
        pixels = max(pixels, min(batch_size, thread_count()) * _LARGE_SIDE**2 // 2)
    return int(_PER_TILE_PIXEL * pixels * model.nbase[1] // 32)
