"""Cutting images into overlapping tiles for the network, and blending the tiles of its outputs.

`make_tiles` and `average_tiles` hold all tiles at once. `TileGrid` walks over them in batches and adds the outputs up
as they come, with the same numbers, so that the memory does not grow with the number of tiles.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from cellpose.errors import AxesError, InputError, OptionError

__all__ = [
    "TileAverage",
    "TileGrid",
    "iter_tiles",
]

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]

_LEAST_OVERLAP, _MOST_OVERLAP = 0.05, 0.5
_TAPER_WIDTH = 7.5  # in pixels, the softness of the fall of a tile's weight towards its edge
_TAPER_START = 20  # in pixels from the edge, where its weight is one half


# ----------------------------------------------------------------------------------------------------------- tiles


@dataclass(frozen=True)
class TileGrid:
    """Where the tiles of an image lie, in row-major order.

    Attributes
    ----------
    Ly, Lx
        Size of the image in pixels, padding included.
    bsize
        Side of a tile in pixels; the tiles of a shorter image are as short as the image, unless ``augment``.
    overlap
        Fraction by which neighbors overlap, limited to 0.05 to 0.5.
    augment
        Tiles overlap by half and every second one is flipped; images shorter than a tile are padded with zeros at
        their lower and right ends.
    most
        If given, which ``augment`` does not allow: as few tiles as possible with at most ``most`` pixels per side, and
        each as small as that number allows, in steps of ``step`` pixels. They overlap by as many pixels as many tiles
        of ``bsize`` pixels would. The fewer the tiles, the fewer pixels are seen more than once.
    """

    step: ClassVar[int] = 16

    Ly: int
    Lx: int
    bsize: int = 224
    overlap: float = 0.1
    augment: bool = False
    most: int | None = None

    def __post_init__(self) -> None:
        if self.Ly < 1 or self.Lx < 1:
            message = f"an image of {self.Ly} x {self.Lx} pixels cannot be tiled; give at least one pixel"
            raise InputError(message)
        if self.bsize < 1:
            message = f"bsize={self.bsize} is not allowed; give the side of a tile in pixels, at least 1"
            raise OptionError(message)
        if self.most is not None and self.augment:
            message = "most and augment exclude each other: tiles that are averaged have one size; leave one out"
            raise OptionError(message)
        if self.most is not None and self.most < 2 * self.bsize:
            message = f"most={self.most} is not allowed with bsize={self.bsize}; give at least {2 * self.bsize}"
            raise OptionError(message)
        if math.isnan(self.overlap):
            message = f"tile_overlap={self.overlap} is not allowed; give a fraction between 0.05 and 0.5"
            raise OptionError(message)

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns that the tiles cover: the image, padded up to one tile where ``augment``."""
        if self.augment:
            return max(self.Ly, self.bsize), max(self.Lx, self.bsize)
        return self.Ly, self.Lx

    @property
    def tile_shape(self) -> tuple[int, int]:
        """Rows and columns of each tile."""
        rows, columns = (min(self._side(n), n) for n in self.size)
        return rows, columns

    def _side(self, n: int) -> int:
        """Side in pixels of the tiles along an axis of ``n`` pixels."""
        if self.most is None:
            return self.bsize
        count, shared = self._fewest(n, self.most), self._shared
        return self.step * math.ceil((n + (count - 1) * shared) / count / self.step)

    def _fewest(self, n: int, most: int) -> int:
        """Number of tiles of up to ``most`` pixels that cover ``n`` pixels."""
        return 1 if n <= most else math.ceil((n - self._shared) / (most - self._shared))

    @property
    def _shared(self) -> int:
        """Pixels that neighbors share among many tiles of ``bsize`` pixels."""
        return math.ceil(self.bsize * (1 - 1 / (1 + 2 * self._overlap)))

    @property
    def _overlap(self) -> float:
        return min(_MOST_OVERLAP, max(_LEAST_OVERLAP, self.overlap))

    @cached_property
    def ystarts(self) -> npt.NDArray[np.intp]:
        """First row of the tiles of each row of tiles."""
        return self._starts(self.Ly, self.size[0])

    @cached_property
    def xstarts(self) -> npt.NDArray[np.intp]:
        """First column of the tiles of each column of tiles."""
        return self._starts(self.Lx, self.size[1])

    def _starts(self, n: int, covered: int) -> npt.NDArray[np.intp]:
        if self.augment:
            count = max(2, math.ceil(2.0 * covered / self.bsize))
        elif self.most is not None:
            count = self._fewest(n, self.most)
        elif n <= self.bsize:
            count = 1
        else:
            count = math.ceil((1.0 + 2.0 * self._overlap) * n / self.bsize)
        return np.linspace(0, covered - min(self._side(n), covered), count).astype(np.intp)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return len(self.ystarts), len(self.xstarts)

    def __len__(self) -> int:
        return len(self.ystarts) * len(self.xstarts)

    def window(self, index: int) -> tuple[slice, slice]:
        """Rows and columns of the covered area under one tile."""
        j, i = divmod(index, len(self.xstarts))
        (y, x), (by, bx) = (int(self.ystarts[j]), int(self.xstarts[i])), self.tile_shape
        return slice(y, y + by), slice(x, x + bx)

    def flips(self, index: int) -> tuple[bool, bool]:
        """Whether one tile is flipped along y, along x: with ``augment``, y in odd columns and x in odd rows."""
        j, i = divmod(index, len(self.xstarts))
        return self.augment and i % 2 == 1, self.augment and j % 2 == 1

    def tile(self, img: Array, index: int) -> Array:
        """One tile (C, rows, columns) of an image (C, Ly, Lx), flipped if it is to be."""
        rows, columns = self.window(index)
        tile = img[:, rows, columns]
        missing = [(0, 0), *((0, want - have) for want, have in zip(self.tile_shape, tile.shape[1:], strict=True))]
        if any(after for _, after in missing):
            tile = np.pad(tile, missing)
        flip_y, flip_x = self.flips(index)
        return tile[:, :: -1 if flip_y else 1, :: -1 if flip_x else 1]

    def tiles(self, img: Array, batch_size: int = 8) -> Iterator[tuple[range, Float32]]:
        """Batches of tiles of an image.

        Parameters
        ----------
        img
            ``(C, Ly, Lx)``.
        batch_size
            Most tiles in a batch.

        Yields
        ------
        indices, tiles
            The range of tile numbers and the tiles, float32 ``(n, C, rows, columns)``, contiguous.
        """
        self._check(img)
        for start in range(0, len(self), batch_size):
            indices = range(start, min(start + batch_size, len(self)))
            yield indices, self._gather([(img, k) for k in indices])

    def _check(self, img: Array) -> None:
        if img.ndim != 3 or img.shape[1:] != (self.Ly, self.Lx):
            message = f"an image of shape {img.shape} does not fit this grid; give (C, {self.Ly}, {self.Lx})"
            raise AxesError(message)

    def _gather(self, wanted: Sequence[tuple[Array, int]]) -> Float32:
        batch = np.empty((len(wanted), wanted[0][0].shape[0], *self.tile_shape), np.float32)
        for n, (img, index) in enumerate(wanted):
            batch[n] = self.tile(img, index)
        return batch

    @cached_property
    def weights(self) -> tuple[list[Float32], list[Float32]]:
        """Weights along y of each row of tiles and along x of each column of tiles.

        The weight of a tile is their product. Since the grid is a product too, so is the sum of the weights at each
        pixel. The weights are divided by it here, once, and add up to 1 everywhere.
        """
        tapers = [_taper(n) for n in self.tile_shape]
        normalized = []
        for starts, taper, n in zip((self.ystarts, self.xstarts), tapers, self.size, strict=True):
            total = np.zeros(n)
            for s in starts:
                total[s : s + len(taper)] += taper
            normalized.append([(taper / total[s : s + len(taper)]).astype(np.float32) for s in starts])
        return normalized[0], normalized[1]

    def average(self, nout: int) -> TileAverage:
        """A fresh sum of weighted output tiles of ``nout`` channels."""
        return TileAverage(self, nout)


class TileAverage:
    """Adds up output tiles as they come, in any order.

    Parameters
    ----------
    grid
        Where the tiles lie.
    nout
        Number of output channels. With ``grid.augment`` and three or more, the third and second channel from the
        end are the flows along y and x, which change sign with the flip of their axis.
    """

    def __init__(self, grid: TileGrid, nout: int) -> None:
        self.grid = grid
        self.added = 0
        self._sum = np.zeros((nout, *grid.size), np.float32)

    @property
    def complete(self) -> bool:
        """Whether as many tiles were added as the grid has."""
        return self.added >= len(self.grid)

    def add(self, index: int | Iterable[int], y: Array) -> None:
        """Add one output tile (nout, rows, columns), or several (n, nout, rows, columns) with their numbers."""
        if isinstance(index, (int, np.integer)):
            self._add_one(int(index), y)
        else:
            for k, tile in zip(index, y, strict=True):
                self._add_one(int(k), tile)

    def _add_one(self, index: int, y: Array) -> None:
        flip_y, flip_x = self.grid.flips(index)
        if flip_y or flip_x:
            y = _unflip(y, flip_y, flip_x)
        wy, wx = self.grid.weights
        j, i = divmod(index, len(self.grid.xstarts))
        rows, columns = self.grid.window(index)
        if len(self.grid) == 1:
            self._sum[:, rows, columns] = y
        else:
            self._sum[:, rows, columns] += y * np.outer(wy[j], wx[i])
        self.added += 1

    def result(self) -> Float32:
        """The blended output, float32 (nout, Ly, Lx)."""
        if not self.complete:
            message = f"only {self.added} of {len(self.grid)} tiles were added; add all of them first"
            raise InputError(message)
        return self._sum[:, : self.grid.Ly, : self.grid.Lx]


def iter_tiles(
    grid: TileGrid, planes: Iterable[Array], batch_size: int = 8
) -> Iterator[tuple[list[tuple[int, int]], Float32]]:
    """Full batches of tiles over many planes of one size: the last tiles of a plane share a batch with the next.

    Parameters
    ----------
    grid
        Where the tiles lie in each plane.
    planes
        Arrays (C, Ly, Lx), taken one by one; at most those of one batch are held.
    batch_size
        Tiles in a batch; only the last one may hold fewer.

    Yields
    ------
    indices, tiles
        ``(plane, tile)`` numbers in order, and the tiles, float32 ``(n, C, rows, columns)``.
    """
    indices: list[tuple[int, int]] = []
    wanted: list[tuple[Array, int]] = []
    for p, plane in enumerate(planes):
        grid._check(plane)
        for k in range(len(grid)):
            indices.append((p, k))
            wanted.append((plane, k))
            if len(wanted) == batch_size:
                yield indices, grid._gather(wanted)
                indices, wanted = [], []
    if wanted:
        yield indices, grid._gather(wanted)


def _unflip(y: Array, flip_y: bool, flip_x: bool) -> Array:
    out = np.array(y[:, :: -1 if flip_y else 1, :: -1 if flip_x else 1])
    if out.shape[0] >= 3:
        if flip_y:
            out[-3] *= -1
        if flip_x:
            out[-2] *= -1
    return out


def _taper(n: int, longest: int = 0, sig: float = _TAPER_WIDTH) -> npt.NDArray[np.float64]:
    """Weights of ``n`` pixels: the middle of those along a side of 224 pixels, or of ``longest`` or ``n`` if larger."""
    side = max(224, longest, n)
    distance = np.abs(np.arange(side) - (side - 1) / 2)
    taper: npt.NDArray[np.float64] = 1.0 / (1.0 + np.exp((distance - (side / 2 - _TAPER_START)) / sig))
    return taper[side // 2 - n // 2 : side // 2 + n // 2 + n % 2]
