"""Where tiles lie on an image that is padded, and how much each of their pixels counts.

Image, padding and tiles are never put together in memory: a tile is cut from the image with zeros where it reaches
beyond it, and its output is added to the part of the result that the image covers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellpose import transforms

__all__ = ["Axis", "Grid"]

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Axis:
    """The tiles along one axis: ``length`` of the image, ``before`` zeros ahead of it, ``starts`` in image pixels."""

    length: int
    edge: int
    starts: tuple[int, ...]

    @classmethod
    def of(cls, length: int, pad: tuple[int, int], bsize: int, *, augment: bool, tile_overlap: float) -> Axis:
        """Tiles of at most ``bsize`` pixels over ``length`` pixels with ``pad`` zeros before and after."""
        padded = length + sum(pad)
        if augment:
            padded = max(padded, bsize)
            n = max(2, int(np.ceil(2.0 * padded / bsize)))
        else:
            n = 1 if padded <= bsize else int(np.ceil((1.0 + 2 * np.clip(tile_overlap, 0.05, 0.5)) * padded / bsize))
        edge = min(bsize, padded)
        starts = np.linspace(0, padded - edge, n).astype(int) - pad[0]
        return cls(length, edge, tuple(int(s) for s in starts))

    def parts(self, start: int) -> tuple[slice, slice]:
        """The part of the image that the tile at ``start`` covers, and where it lies in the tile."""
        low, high = max(0, start), min(self.length, start + self.edge)
        return slice(low, high), slice(low - start, high - start)

    def weights(self, taper: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum of the weights of all tiles at each pixel of the image."""
        total = np.zeros(self.length)
        for start in self.starts:
            image, tile = self.parts(start)
            total[image] += taper[tile]
        return total


@dataclass(frozen=True)
class Grid:
    """Tiles of one plane.

    Attributes
    ----------
    y, x
        The tiles along each axis.
    augment
        Whether every other tile is flipped.
    """

    y: Axis
    x: Axis
    augment: bool

    @classmethod
    def of(cls, ly: int, lx: int, bsize: int, *, augment: bool, tile_overlap: float, fill_tile: bool) -> Grid:
        """Tiles over a plane of ``ly`` by ``lx`` pixels.

        ``fill_tile`` pads small planes to a whole tile, for networks that take no other size.
        """
        pad = transforms.get_pad_yx(ly, lx, min_size=(bsize, bsize) if fill_tile else None)
        ypad, xpad = tuple(pad[:2]), tuple(pad[2:])
        options = {"augment": augment, "tile_overlap": tile_overlap}
        return cls(Axis.of(ly, ypad, bsize, **options), Axis.of(lx, xpad, bsize, **options), augment)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.y.starts) * len(self.x.starts)

    def indices(self) -> Iterator[tuple[int, int]]:
        """Tiles by row and column, row by row."""
        return ((j, i) for j in range(len(self.y.starts)) for i in range(len(self.x.starts)))

    def tapers(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weight of a tile's pixels along y and along x; the weight of a pixel is their product."""
        side = max(224, self.y.edge, self.x.edge)
        return _taper(self.y.edge, side), _taper(self.x.edge, side)

    def flips(self, j: int, i: int) -> tuple[slice, slice]:
        """The slices that flip tile (j, i), or flip it back."""
        keep, flip = slice(None), slice(None, None, -1)
        if not self.augment:
            return keep, keep
        return flip if i % 2 else keep, flip if j % 2 else keep

    def read(self, plane: NDArray[np.generic], j: int, i: int, out: FloatArray) -> None:
        """Copy tile (j, i) of ``plane`` (y, x, channel) into ``out`` (channel, y, x)."""
        (ys, ty), (xs, tx) = self.y.parts(self.y.starts[j]), self.x.parts(self.x.starts[i])
        out.fill(0)
        fy, fx = self.flips(j, i)
        out[:, fy, fx][:, ty, tx] = plane[ys, xs].transpose(2, 0, 1)

    def add(self, tile: FloatArray, j: int, i: int, total: FloatArray, weights: FloatArray) -> None:
        """Add the output ``tile`` (channel, y, x) of tile (j, i), times ``weights`` (y, x), to ``total``."""
        (ys, ty), (xs, tx) = self.y.parts(self.y.starts[j]), self.x.parts(self.x.starts[i])
        fy, fx = self.flips(j, i)
        if self.augment and len(tile) >= 3:
            # The flow against a flipped axis points the other way; flows are the third and second last channels.
            tile = tile.copy()
            tile[-3] *= -1 if fy.step == -1 else 1
            tile[-2] *= -1 if fx.step == -1 else 1
        total[:, ys, xs] += tile[:, fy, fx][:, ty, tx] * weights[ty, tx]


def _taper(length: int, side: int) -> NDArray[np.float64]:
    """Weights that fall off towards both ends of a tile of ``side`` pixels, of its middle ``length`` pixels."""
    distance = np.abs(np.arange(side) - (side - 1) / 2)
    taper: NDArray[np.float64] = 1 / (1 + np.exp((distance - (side / 2 - 20)) / 7.5))
    first = side // 2 - length // 2
    return taper[first : first + length]
