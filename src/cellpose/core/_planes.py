"""A network over a stack of planes, tile by tile."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellpose import transforms
from cellpose.core._grid import Grid
from cellpose.engines import Engine, is_transformer
from cellpose.errors import InputError, OptionError
from cellpose.options import Tiling

__all__ = ["Report", "run_planes", "tile_side"]

logger = logging.getLogger("cellpose.core")

FloatArray = NDArray[np.float32]
Report = Callable[[float], None]


@dataclass
class _Plane:
    """A plane whose tiles are being run."""

    missing: int
    total: FloatArray | None = None
    style: FloatArray | None = None


def run_planes(
    engine: Engine,
    stack: NDArray[np.generic],
    tiling: Tiling | None = None,
    size: tuple[int, int] | None = None,
    report: Report | None = None,
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Outputs of a network for each plane of a stack, one after another.

    Tiles are cut as they are needed, of one or several planes together, so that beside the stack only one batch of
    tiles and the outputs of the planes it touches are held.

    Parameters
    ----------
    engine
        The network.
    stack
        Prepared planes (plane, y, x, channel), any real dtype.
    tiling
        Batch size, tile side, overlap, augmentation.
    size
        Size ``(y, x)`` to which planes are resized before the network sees them; ``None``: as they are.
    report
        Called with the fraction of tiles done, 0 to 1, after every batch. What it raises ends the run.

    Yields
    ------
    tuple
        Outputs, float32 (channel, y, x) at the size the network saw; style, float32 (n,): the direction of the sum of
        the styles of all tiles, zeros for transformers, which have none.

    Raises
    ------
    InputError
        If the stack has not four axes or is empty.
    OptionError
        If tiles of this side cannot be run by the network.
    """
    tiling = tiling or Tiling()
    if stack.ndim != 4 or 0 in stack.shape:
        message = f"a stack of shape {stack.shape} cannot be run; it must be (planes, y, x, channels), none of them 0"
        raise InputError(message)
    bsize = tile_side(engine, tiling.bsize)
    ly, lx = size or stack.shape[1:3]
    grid = Grid.of(
        ly,
        lx,
        bsize,
        augment=tiling.augment,
        tile_overlap=tiling.tile_overlap,
        fill_tile=is_transformer(engine.backbone),
    )
    return _run(engine, stack, grid, tiling.batch_size, report)


def tile_side(engine: Engine, bsize: int | None) -> int:
    """Side of the tiles in pixels: ``bsize``, or what the network was made for.

    Raises
    ------
    OptionError
        If the network cannot run tiles of this side.
    """
    if bsize is None:
        return engine.default_bsize
    multiple = engine.tile_multiple
    if bsize % multiple:
        near = max(1, bsize // multiple) * multiple
        message = f"bsize={bsize} is not allowed; for this network it must be a multiple of {multiple}, e.g. {near}"
        raise OptionError(message)
    return bsize


def _run(
    engine: Engine, stack: NDArray[np.generic], grid: Grid, batch_size: int, report: Report | None
) -> Iterator[tuple[FloatArray, FloatArray]]:
    ty, tx = grid.tapers()
    weights = np.outer(ty, tx).astype(np.float32)
    norms = grid.y.weights(ty).astype(np.float32), grid.x.weights(tx).astype(np.float32)
    n_tiles, n_planes = len(grid), len(stack)
    batch = np.empty((min(batch_size, n_tiles * n_planes), stack.shape[3], grid.y.edge, grid.x.edge), np.float32)
    places: list[tuple[_Plane, int, int]] = []
    planes: deque[_Plane] = deque()
    done = 0
    for index in range(n_planes):
        image = _resized(stack[index], grid.y.length, grid.x.length)
        plane = _Plane(missing=n_tiles)
        planes.append(plane)
        for j, i in grid.indices():
            grid.read(image, j, i, batch[len(places)])
            places.append((plane, j, i))
            last = index == n_planes - 1 and (j + 1) * (i + 1) == n_tiles
            if len(places) < len(batch) and not last:
                continue
            _run_batch(engine, batch, places, grid, weights)
            done += len(places)
            places.clear()
            if report is not None:
                report(done / (n_tiles * n_planes))
            while planes and not planes[0].missing:
                yield _finished(planes.popleft(), norms, transformer=is_transformer(engine.backbone))


def _resized(plane: NDArray[np.generic], ly: int, lx: int) -> NDArray[np.generic]:
    if plane.shape[:2] == (ly, lx):
        return plane
    resized = transforms.resize_image(plane.astype(np.float32, copy=False), ly, lx)
    return np.asarray(resized).reshape(ly, lx, -1)


def _run_batch(
    engine: Engine, batch: FloatArray, places: list[tuple[_Plane, int, int]], grid: Grid, weights: FloatArray
) -> None:
    outputs, styles = engine(batch[: len(places)])
    for (plane, j, i), output, style in zip(places, outputs, styles, strict=True):
        if plane.total is None or plane.style is None:
            plane.total = np.zeros((len(output), grid.y.length, grid.x.length), np.float32)
            plane.style = np.zeros(style.shape, np.float32)
        grid.add(output, j, i, plane.total, weights)
        plane.style += style
        plane.missing -= 1


def _finished(
    plane: _Plane, norms: tuple[FloatArray, FloatArray], *, transformer: bool
) -> tuple[FloatArray, FloatArray]:
    total, style = plane.total, plane.style
    if total is None or style is None:  # pragma: no cover  (a plane has at least one tile)
        message = "a plane without tiles"
        raise InputError(message)
    total /= norms[0][:, None]
    total /= norms[1]
    if transformer:
        return total, np.zeros_like(style)
    length = float(np.sqrt(np.sum(style * style)))
    # All features of an image may be zero; its style has no direction then.
    return total, style / length if length > 0 else style
