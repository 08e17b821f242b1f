"""How much memory a plane will need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cellpose.io import LazyPlane, open_plane
from cellpose.models._large._blocks import BlockSize, block_size
from cellpose.models._network_memory import network_bytes, tile_rows
from cellpose.models._segment import scale_of
from cellpose.options import Blocks, Evaluation

if TYPE_CHECKING:
    from cellpose.models._model import CellposeModel

__all__ = ["MemoryEstimate", "estimate_memory"]

# Bytes, measured with benchmarks/scaling.py.
_WHOLE_PER_PIXEL = 130  # a plane segmented as a whole: image, flows, colors, dynamics
_DYNAMICS_PER_PIXEL = 48  # a window while it is followed


@dataclass(frozen=True)
class MemoryEstimate:
    """The maximum memory of a run in bytes, by part.

    Attributes
    ----------
    network
        Libraries, weights and the tiles of a batch.
    rows
        Rows of the image and of the flows in memory.
    labels
        Labels in progress.
    whole
        Memory of the same plane without blocks.
    """

    network: int
    rows: int
    labels: int
    whole: int

    @property
    def total(self) -> int:
        """Bytes of a run in blocks."""
        return self.network + self.rows + self.labels

    def __str__(self) -> str:
        parts = (("network", self.network), ("rows", self.rows), ("labels", self.labels))
        listed = ", ".join(f"{name} {_gigabytes(n)}" for name, n in parts)
        return f"{_gigabytes(self.total)} in blocks ({listed}); {_gigabytes(self.whole)} as a whole"


def estimate_memory(
    model: CellposeModel,
    source: Any,
    *,
    channel_axis: int | None = None,
    diameter: float | None = None,
    batch_size: int = 8,
    block: int = 1024,
    margin: int | None = None,
) -> MemoryEstimate:
    """Estimate the memory that `segment_large`, and ``eval``, need for a plane; its pixels are not read.

    Parameters
    ----------
    model
        The model.
    source, channel_axis, diameter, batch_size, block, margin
        As in `segment_large`.

    Returns
    -------
    MemoryEstimate
        Estimates on the safe side.

    Examples
    --------
    >>> import numpy as np
    >>> from cellpose.models import CellposeModel
    >>> model = CellposeModel(pretrained_model="nuclei-cells")
    >>> plane = np.broadcast_to(np.uint16(0), (100_000, 1000))
    >>> estimate = estimate_memory(model, plane)
    >>> estimate.total < 2**31, estimate.whole > 2**33
    (True, True)
    """
    plane = open_plane(source, channel_axis)
    network = model._network()
    options = Evaluation(diameter=diameter or None)
    return _estimate(
        plane,
        block_size(network, options, Blocks(block, margin)),
        scale_of(network, options),
        network_bytes(model, batch_size),
        tile_rows(model),
    )


def _estimate(plane: LazyPlane, blocks: BlockSize, scale: float, network: int, rows_of_tile: int) -> MemoryEstimate:
    height, width, channels = plane.shape
    itemsize = plane.dtype.itemsize
    held = min(height, blocks.side + 2 * blocks.most_margin)
    # The band of flows and one of labels; rows of tiles, twice, at the size of the network and of the plane.
    streamed = min(height, int(2 * rows_of_tile / scale) + 1)
    chunks = min(height, 2 * plane.chunk_rows) * channels * itemsize
    rows = width * (held * 16 + streamed * 40 + chunks)
    side = blocks.side + 2 * blocks.most_margin
    window = min(height, side) * min(width, side)
    whole = network + height * width * (_WHOLE_PER_PIXEL + channels * itemsize)
    return MemoryEstimate(network, rows, _DYNAMICS_PER_PIXEL * window, whole)


def _gigabytes(n: int) -> str:
    return f"{n / 2**30:.1f} GiB"
