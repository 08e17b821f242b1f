"""A network over a stack of planes, tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cellpose import transforms
from cellpose._machine.threads import thread_count
from cellpose._progress.stages import stage
from cellpose.engines import Engine, SmallerBatches
from cellpose.errors import InputError, OptionError
from cellpose.nets import family_named
from cellpose.options import Tiling
from cellpose.transforms import TileAverage, TileGrid, iter_tiles

__all__ = ["MOST_ROWS", "Report", "Stack", "padded_grid", "run_planes", "tiles_at_once"]

FloatArray = NDArray[np.float32]
# With bsize=0 tiles have up to this many pixels per side, so that few pixels are seen more than once. Parts of larger
# images may look different, and a tile has only one style.
MOST_ROWS = 448
Report = Callable[[float], None]


class Stack(Protocol):
    """Planes (plane, y, x, channel) that are taken one by one: an array, or an object that makes them on demand."""

    @property
    def ndim(self) -> int:
        """Number of axes: four."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Number and size of the planes, number of channels."""
        ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...


@dataclass
class _Plane:
    """A plane whose tiles are being run: the outputs and the styles added up so far."""

    average: TileAverage
    style: FloatArray


def run_planes(
    engine: Engine,
    stack: Stack,
    tiling: Tiling | None = None,
    size: tuple[int, int] | None = None,
    report: Report | None = None,
    what: str | None = "running the network",
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Outputs of a network for each plane of a stack, in order.

    Tiles are cut as they are needed, of one or several planes together, so that beside the stack only one batch of
    tiles and the outputs of the planes it touches are held.

    Parameters
    ----------
    engine
        The network.
    stack
        Prepared planes (plane, y, x, channel), any real dtype; an array, or planes made as they are needed.
    tiling
        Batch size, tile side, overlap, augmentation.
    size
        Size ``(y, x)`` to which planes are resized before the network sees them; ``None``: as they are.
    report
        Called with the fraction of tiles done, 0 to 1, after every batch. An exception in it ends the run.
    what
        Text shown to a person who waits; None: the caller shows it.

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
        message = f"a stack of shape {stack.shape} cannot be run; it must be (planes, y, x, channels), all above 0"
        raise InputError(message)
    ly, lx = size or (stack.shape[1], stack.shape[2])
    has_style = family_named(engine.backbone).has_style
    pads, grid = padded_grid(engine, (ly, lx), tiling)
    inside = slice(pads[0], pads[0] + ly), slice(pads[2], pads[2] + lx)
    if what is not None:
        report = _shown(report, len(stack) * len(grid), what)
    planes = (_padded(transforms.resize_plane(plane, (ly, lx)), pads) for plane in stack)
    for output, style in _run(engine, planes, len(stack), grid, tiles_at_once(engine, grid, tiling), report):
        yield (
            output[:, inside[0], inside[1]],
            _direction(style) if has_style else np.zeros_like(style),
        )


def padded_grid(engine: Engine, size: tuple[int, int], tiling: Tiling) -> tuple[tuple[int, int, int, int], TileGrid]:
    """The padding in pixels before and after an image along y and x, and the tiles of the padded image.

    Raises
    ------
    OptionError
        If the network cannot run tiles of this side.
    """
    small_tiles = family_named(engine.backbone).small_tiles
    side = _tile_side(engine, tiling.bsize or None)
    pads = transforms.get_pad_yx(*size, min_size=None if small_tiles else (side, side))
    rows, columns = size[0] + sum(pads[:2]), size[1] + sum(pads[2:])
    free = tiling.bsize == 0 and small_tiles and _takes_any_tile(engine)
    most = MOST_ROWS if free and not tiling.augment else None
    if free and tiling.augment and max(rows, columns) <= MOST_ROWS:
        side = max(rows, columns)
    return pads, TileGrid(rows, columns, side, tiling.tile_overlap, tiling.augment, most)


def tiles_at_once(engine: Engine, grid: TileGrid, tiling: Tiling) -> int:
    """Number of tiles in a batch.

    The large tiles of ``bsize=0`` come in batches of about as many pixels as usual tiles would, but at least of one
    tile for each thread: between two batches progress is reported, and a run can be canceled.
    """
    if tiling.bsize != 0:
        return tiling.batch_size
    pixels = tiling.batch_size * engine.default_bsize**2
    rows, columns = grid.tile_shape
    return min(tiling.batch_size, max(pixels // (rows * columns), thread_count()))


def _takes_any_tile(engine: Engine) -> bool:
    """Whether tiles may have the sides that a grid chooses; a compiled network is compiled anew for each size."""
    compiled = getattr(engine, "name", "") == "compile"
    return not compiled and TileGrid.step % engine.tile_multiple == 0 and 2 * engine.default_bsize <= MOST_ROWS


def _tile_side(engine: Engine, bsize: int | None) -> int:
    """Side of the tiles in pixels: ``bsize``, or what the network was made for."""
    if bsize is None:
        return engine.default_bsize
    multiple = engine.tile_multiple
    if bsize % multiple:
        near = max(1, bsize // multiple) * multiple
        message = f"bsize={bsize} is not allowed; for this network it must be a multiple of {multiple}, e.g. {near}"
        raise OptionError(message)
    return bsize


def _run(
    engine: Engine, planes: Iterator[FloatArray], n_planes: int, grid: TileGrid, batch_size: int, report: Report | None
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Outputs of the padded planes, and the sums of their styles."""
    batches = SmallerBatches()
    running: dict[int, _Plane] = {}
    done = 0
    for indices, tiles in iter_tiles(grid, planes, batch_size):
        outputs, styles = batches.run(engine, tiles, engine.device)
        for (p, k), output, style in zip(indices, outputs, styles, strict=True):
            if p not in running:
                running[p] = _Plane(grid.average(len(output)), np.zeros_like(style))
            running[p].average.add(k, output)
            running[p].style += style
        done += len(indices)
        if report is not None:
            report(done / (n_planes * len(grid)))
        for p in sorted(p for p, plane in running.items() if plane.average.complete):
            plane = running.pop(p)
            yield plane.average.result(), plane.style


def _shown(report: Report | None, n_tiles: int, what: str) -> Report:
    """Progress that is reported, and shown in tiles."""
    advance = stage(what, n_tiles, "tiles")

    def tell(fraction: float) -> None:
        advance(fraction * n_tiles)
        if report is not None:
            report(fraction)

    return tell


def _padded(plane: NDArray[np.generic], pads: tuple[int, int, int, int]) -> FloatArray:
    """The plane (y, x, channel) with zeros around it, channels first."""
    y0, y1, x0, x1 = pads
    ly, lx, channels = plane.shape
    padded = np.zeros((channels, ly + y0 + y1, lx + x0 + x1), np.float32)
    padded[:, y0 : y0 + ly, x0 : x0 + lx] = plane.transpose(2, 0, 1)
    return padded


def _direction(style: FloatArray) -> FloatArray:
    length = float(np.sqrt(np.sum(style * style)))
    # All features of an image may be zero; its style has no direction then.
    return style / np.float32(length) if length > 0 else style
