"""How much memory a plane will need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cellpose.models._large._blocks import BlockSize

__all__ = ["MemoryEstimate", "estimate_memory"]

# Bytes, measured with benchmarks/scaling.py.
_LIBRARIES = 450 * 2**20  # Python, torch, numba and the compiled loops
_WHOLE_PER_PIXEL = 130  # a plane segmented as a whole: image, flows, colours, dynamics
_DYNAMICS_PER_PIXEL = 48  # a window while it is followed
_PER_CHUNK_PIXEL = 40  # a pixel of a tile in the widest layers of a U-Net, for each channel of its first layer / 32
_TRANSFORMER_TILE = 400 * 2**20  # activations of a tile of 256 x 256 pixels


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that a run will need at most, by what needs them.

    Attributes
    ----------
    network
        Libraries, weights and the tiles of a batch.
    rows
        Rows of the image and of the flows that are held.
    labels
        Cells being made.
    whole
        What the same plane would need without blocks.
    """

    network: int
    rows: int
    labels: int
    whole: int

    @property
    def total(self) -> int:
        """All of it, in blocks."""
        return self.network + self.rows + self.labels

    def __str__(self) -> str:
        parts = (("network", self.network), ("rows", self.rows), ("labels", self.labels))
        listed = ", ".join(f"{name} {_gigabytes(n)}" for name, n in parts)
        return f"{_gigabytes(self.total)} in blocks ({listed}); {_gigabytes(self.whole)} as a whole"


def estimate_memory(
    shape: tuple[int, int, int],
    itemsize: int,
    network: Any,
    *,
    batch_size: int = 8,
    scale: float = 1.0,
    blocks: BlockSize | None = None,
    chunk_rows: int = 1,
) -> MemoryEstimate:
    """Estimate the memory that `segment_large` and ``eval`` need for a plane.

    Parameters
    ----------
    shape
        Rows, columns, channels.
    itemsize
        Bytes of an intensity in the file.
    network
        The torch module.
    batch_size
        Tiles run at once.
    scale
        Factor by which the plane is resized for the network.
    blocks
        Sizes of blocks and margins.
    chunk_rows
        Rows that the file stores together.

    Returns
    -------
    MemoryEstimate
        Estimates on the safe side, within about a third of what was measured.

    Examples
    --------
    >>> from cellpose.nets import CPnet
    >>> small = estimate_memory((1000, 1000, 1), 2, CPnet([2, 32, 64, 128, 256]))
    >>> tall = estimate_memory((100_000, 1000, 1), 2, CPnet([2, 32, 64, 128, 256]))
    >>> tall.total - small.total < 2**28, tall.whole > 2**33
    (True, True)
    """
    blocks = blocks or BlockSize()
    height, width, channels = shape
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    nbase = list(getattr(network, "nbase", []) or [])
    tile = _PER_CHUNK_PIXEL * 224**2 * nbase[1] if len(nbase) > 1 else _TRANSFORMER_TILE
    of_network = _LIBRARIES + 2 * weights + batch_size * tile
    held = min(height, blocks.side + 2 * blocks.most_margin)
    side = blocks.side + 2 * blocks.margin
    window = min(height, side) * min(width, side)
    # The band of flows and one of labels; rows of tiles, twice, at the size of the network and of the plane.
    tile_rows = min(height, int(2 * 256 / scale) + 1)
    rows = width * (held * 16 + tile_rows * 40 + min(height, 2 * chunk_rows) * channels * itemsize)
    largest = min(height, blocks.side + 2 * blocks.most_margin) * min(width, blocks.side + 2 * blocks.most_margin)
    labels = _DYNAMICS_PER_PIXEL * (window + largest) // 2
    return MemoryEstimate(
        of_network, rows, labels, of_network + height * width * (_WHOLE_PER_PIXEL + channels * itemsize)
    )


def _gigabytes(n: int) -> str:
    return f"{n / 2**30:.1f} GiB"
