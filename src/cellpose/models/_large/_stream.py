"""The network over a plane row by row: prepared rows in, rows of flows and cell probability out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.core import padded_grid, tiles_at_once
from cellpose.engines import Engine, SmallerBatches
from cellpose.errors import InputError
from cellpose.options import Tiling
from cellpose.transforms import TileGrid

__all__ = ["LinearResize", "Rows", "output_rows"]

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]
Report = Callable[[float], None]
Rows = Callable[[int, int], Float32]


class LinearResize:
    """Bilinear interpolation along one axis, from ``old`` to ``new`` pixels.

    Pixels are squares compared at their centers. The float32 arithmetic is that of OpenCV, so pieces of a plane agree
    with the plane resized as a whole.
    """

    def __init__(self, old: int, new: int) -> None:
        place = ((np.arange(new) + 0.5) * (old / new) - 0.5).astype(np.float32)
        first = np.floor(place).astype(np.int64)
        weight = place - first.astype(np.float32)
        outside = (first < 0) | (first >= old - 1)
        weight[outside] = 0
        self.first = np.clip(first, 0, old - 1)
        self.second = np.minimum(self.first + 1, old - 1)
        self.weight = weight
        self.identity = old == new

    def columns(self, rows: Float32, axis: int) -> Float32:
        """Values along ``axis`` at all new places."""
        if self.identity:
            return rows
        shape = [1] * rows.ndim
        shape[axis] = len(self.weight)
        weight = self.weight.reshape(shape)
        return rows.take(self.first, axis) * (1 - weight) + rows.take(self.second, axis) * weight

    def needed(self, start: int, stop: int) -> tuple[int, int]:
        """First and last + 1 old row under new rows ``start`` to ``stop - 1``."""
        return int(self.first[start]), int(self.second[stop - 1]) + 1

    def rows(self, old: Float32, base: int, start: int, stop: int, axis: int) -> Float32:
        """New rows ``start`` to ``stop - 1`` from old ones, the first of which is number ``base``."""
        if self.identity:
            index: list[Any] = [slice(None)] * old.ndim
            index[axis] = slice(start - base, stop - base)
            same: Float32 = old[tuple(index)]
            return same
        shape = [1] * old.ndim
        shape[axis] = stop - start
        weight = self.weight[start:stop].reshape(shape)
        above = old.take(self.first[start:stop] - base, axis)
        new: Float32 = above * (1 - weight) + old.take(self.second[start:stop] - base, axis) * weight
        return new


def output_rows(
    engine: Engine,
    rows: Rows,
    shape: tuple[int, int],
    size: tuple[int, int],
    tiling: Tiling,
    report: Report | None = None,
    count: int = 3,
) -> Iterator[tuple[int, Float32]]:
    """The last outputs of a network for a plane, as bands of rows from the first to the last.

    Beside the rows under one row of tiles only the outputs of two rows of tiles are held.

    Parameters
    ----------
    engine
        The network.
    rows
        Prepared rows (rows, columns, channels).
    shape
        Of the plane.
    size
        Of the plane as the network sees it.
    tiling
        Tiles.
    report
        Called with the fraction of tiles that are done, 0 to 1.
    count
        How many outputs: 3 are flow in y, in x and cell probability; 1 is a restored image.

    Yields
    ------
    tuple
        Number of the first row; outputs, float32 (count, rows, columns), of the size of the plane.
    """
    old_y, old_x = LinearResize(size[0], shape[0]), LinearResize(size[1], shape[1])
    held = np.empty((count, 0, shape[1]), np.float32)
    base, done = 0, 0
    for first, band in _network_rows(engine, _scaled(rows, shape, size), size, tiling, report, count):
        held = np.concatenate([held, old_x.columns(band, 2)], axis=1)
        known = first + band.shape[1]
        # All rows whose lower neighbor, at the size of the network, is known.
        stop = int(np.searchsorted(old_y.second, known))
        if stop > done:
            yield done, old_y.rows(held, base, done, stop, 1)
            done = stop
        # where the network sees the plane much enlarged, the next row needed may not have arrived yet
        needed = known if done == shape[0] else min(old_y.needed(done, done + 1)[0], known)
        held, base = held[:, max(needed - base, 0) :], max(needed, base)


def _scaled(rows: Rows, shape: tuple[int, int], size: tuple[int, int]) -> Rows:
    """Rows of the plane resized to ``size``."""
    if shape == size:
        return rows
    y, x = LinearResize(shape[0], size[0]), LinearResize(shape[1], size[1])

    def scaled(start: int, stop: int) -> Float32:
        first, last = y.needed(start, stop)
        return y.rows(x.columns(rows(first, last), 1), first, start, stop, 0)

    return scaled


def _network_rows(
    engine: Engine, rows: Rows, size: tuple[int, int], tiling: Tiling, report: Report | None, count: int
) -> Iterator[tuple[int, Float32]]:
    """Outputs of the network, blended over its tiles, as bands of rows at the size of the network."""
    (y0, _, x0, _), grid = padded_grid(engine, size, tiling)
    n_down, n_across = grid.shape
    starts = [int(s) for s in grid.ystarts]
    sums = np.zeros((count, grid.tile_shape[0], grid.size[1]), np.float32)
    tiles, at_once = _tiles(rows, size, (y0, x0), grid), tiles_at_once(engine, grid, tiling)
    for index, output in _outputs(engine, tiles, at_once, count):
        j, i = divmod(index, n_across)
        _add(sums, starts[j], grid, index, output)
        if report is not None:
            report((index + 1) / len(grid))
        if i < n_across - 1:
            continue
        # No tile to come reaches above the next row of tiles.
        stop = starts[j + 1] if j + 1 < n_down else grid.Ly
        low, high = max(starts[j], y0), min(stop, y0 + size[0])
        if high > low:
            yield low - y0, sums[:, low - starts[j] : high - starts[j], x0 : x0 + size[1]].copy()
        moved = stop - starts[j]
        sums[:, : sums.shape[1] - moved] = sums[:, moved:].copy()
        sums[:, sums.shape[1] - moved :] = 0


def _tiles(rows: Rows, size: tuple[int, int], before: tuple[int, int], grid: TileGrid) -> Iterator[tuple[int, Float32]]:
    """Tiles (channel, rows, columns) of the padded plane with their numbers, row by row of tiles."""
    n_across = grid.shape[1]
    for j, start in enumerate(int(s) for s in grid.ystarts):
        low, high = max(start - before[0], 0), min(start + grid.tile_shape[0] - before[0], size[0])
        inside = rows(low, high)
        band = np.zeros((inside.shape[2], grid.tile_shape[0], grid.size[1]), np.float32)
        top = low + before[0] - start
        band[:, top : top + len(inside), before[1] : before[1] + size[1]] = inside.transpose(2, 0, 1)
        for i in range(n_across):
            index = j * n_across + i
            tile = band[:, :, grid.window(index)[1]]
            flip_y, flip_x = grid.flips(index)
            yield index, tile[:, :: -1 if flip_y else 1, :: -1 if flip_x else 1]


def _outputs(
    engine: Engine, tiles: Iterator[tuple[int, Float32]], batch_size: int, count: int
) -> Iterator[tuple[int, Float32]]:
    """Outputs of the tiles with their numbers, run in batches."""
    batches = SmallerBatches()
    while numbered := list(itertools.islice(tiles, batch_size)):
        outputs = _last(batches.run(engine, np.stack([tile for _, tile in numbered]), engine.device)[0], count)
        yield from ((index, output) for (index, _), output in zip(numbered, outputs, strict=True))


def _last(outputs: Float32, count: int) -> Float32:
    if outputs.shape[1] < count:
        message = f"this network has {outputs.shape[1]} outputs and no flows: it cannot segment"
        raise InputError(message)
    return outputs[:, -count:]


def _add(sums: Float32, base: int, grid: TileGrid, index: int, output: Float32) -> None:
    """Add a tile of outputs, with its weights, to the sums whose first row is ``base``."""
    flip_y, flip_x = grid.flips(index)
    if flip_y or flip_x:
        output = np.array(output[:, :: -1 if flip_y else 1, :: -1 if flip_x else 1])
        if len(output) > 1:  # flows; a restored image has no direction
            output[0] *= -1 if flip_y else 1
            output[1] *= -1 if flip_x else 1
    rows, columns = grid.window(index)
    where = slice(rows.start - base, rows.stop - base)
    if len(grid) == 1:
        sums[:, where, columns] = output
        return
    j, i = divmod(index, grid.shape[1])
    weights = grid.weights
    sums[:, where, columns] += output * np.outer(weights[0][j], weights[1][i])
