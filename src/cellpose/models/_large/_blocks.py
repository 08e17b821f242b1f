"""Cells from flows that arrive row by row: block after block, none cut and none found twice.

A band of rows of the flows is held. Each of its blocks is followed with a margin around it, so that its cells and their
competitors are seen whole. A cell belongs to the block that holds its first pixel (the leftmost of its uppermost ones),
on which all blocks that see it agree. Hence rows above the block being worked on are final and can be written. Where a
cell of a block comes near the end of the margin, the block is followed again with a wider one.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.models._segment import Network
from cellpose.options import Blocks, Evaluation

__all__ = ["BlockSize", "Follow", "block_size", "label_bands"]

logger = logging.getLogger("cellpose.models")

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]
# Masks 1..n from flows (2, y, x) and cell probability (y, x) of a window that begins at a row and column of the plane.
Follow = Callable[[Float32, Float32, tuple[int, int]], Array]

_LEAST_MARGIN, _LEAST_MOST = 64, 256
_NEAR = 8  # a cell that comes this near to the end of the margin, in pixels, may continue beyond it
_SAME = 0.5  # share of a cell's pixels already taken from which another block has found it


@dataclass(frozen=True)
class BlockSize:
    """How a plane is divided, in pixels.

    Attributes
    ----------
    side
        Side of a block.
    margin
        Seen around a block.
    most_margin
        The widest margin, for cells larger than expected. Flows of so many rows are held above and below a block.
    """

    side: int = 1024
    margin: int = 64
    most_margin: int = 256


def block_size(network: Network, options: Evaluation, blocks: Blocks) -> BlockSize:
    """Blocks, and margins that hold a few cells where none is given."""
    if blocks.margin is not None:
        return BlockSize(blocks.block, blocks.margin, 4 * blocks.margin)
    expected = options.diameter or network.diam_labels
    margins = max(_LEAST_MARGIN, math.ceil(2 * expected)), max(_LEAST_MOST, math.ceil(8 * expected))
    return BlockSize(blocks.block, *margins)


class _Flows:
    """The band of flows that is held."""

    def __init__(self, bands: Iterator[tuple[int, Float32]], shape: tuple[int, int], rows: int) -> None:
        self._bands = bands
        self._rest = np.empty((3, 0, shape[1]), np.float32)
        self._held = np.empty((3, min(rows, shape[0]), shape[1]), np.float32)
        self.base = self.end = 0

    def read_to(self, stop: int) -> None:
        """Hold all rows up to ``stop``."""
        while self.end < stop:
            if self._rest.shape[1] == 0:
                _, self._rest = next(self._bands)
            n = min(self._rest.shape[1], stop - self.end)
            at = self.end - self.base
            self._held[:, at : at + n] = self._rest[:, :n]
            self._rest = self._rest[:, n:]
            self.end += n

    def drop_to(self, start: int) -> None:
        """Hold no rows above ``start`` any more."""
        if start > self.base:
            kept = self.end - start
            # in slices that do not overlap, so that no second band is needed
            moved = start - self.base
            for first in range(0, kept, moved):
                n = min(moved, kept - first)
                self._held[:, first : first + n] = self._held[:, first + moved : first + moved + n]
            self.base = start

    def window(self, rows: slice, columns: slice) -> Float32:
        """The flows of a block whose rows are held."""
        return self._held[:, rows.start - self.base : rows.stop - self.base, columns]


def label_bands(
    flows: Iterator[tuple[int, Float32]],
    shape: tuple[int, int],
    follow: Follow,
    blocks: BlockSize,
    report: Callable[[float], None] | None = None,
) -> Iterator[tuple[int, Array, int]]:
    """Labels of a plane, band by band.

    Parameters
    ----------
    flows
        ``(first row, flows and cell probability (3, rows, columns))`` in order.
    shape
        Of the plane.
    follow
        Makes masks of a window.
    blocks
        Sizes.
    report
        Called with the fraction of the plane that is done.

    Yields
    ------
    tuple
        Number of the first row; labels, uint32 (rows, columns), unique in the whole plane and without gaps; number of
        cells found so far.
    """
    height, width = shape
    side, most = blocks.side, blocks.most_margin
    held = _Flows(flows, shape, side + 2 * most)
    canvas = np.zeros((min(side + most, height), width), np.uint32)
    count = too_large = 0
    for top in range(0, height, side):
        bottom = min(top + side, height)
        held.read_to(min(bottom + most, height))
        for left in range(0, width, side):
            core = slice(top, bottom), slice(left, min(left + side, width))
            window, labels, owned, cut = _followed(held, core, shape, follow, blocks)
            too_large += cut
            count = _paint(canvas, top, window, labels, owned, count)
        yield top, canvas[: bottom - top].copy(), count
        canvas[: len(canvas) - (bottom - top)] = canvas[bottom - top :].copy()
        canvas[len(canvas) - (bottom - top) :] = 0
        held.drop_to(max(bottom - most, 0))
        if report is not None:
            report(bottom / height)
    if too_large:
        logger.warning(
            "%d cells are larger than the margin of %d pixels and may be cut; give their diameter, or a wider margin",
            too_large,
            most,
        )


def _followed(
    held: _Flows, core: tuple[slice, slice], shape: tuple[int, int], follow: Follow, blocks: BlockSize
) -> tuple[tuple[slice, slice], Array, npt.NDArray[np.bool_], int]:
    """Window of a block, its labels 1..n, which of them (index 0..n) are the block's, and how many of these are cut."""
    margin = min(blocks.margin, blocks.most_margin)
    while True:
        window = _widened(core[0], margin, shape[0]), _widened(core[1], margin, shape[1])
        flows = held.window(*window)
        labels = follow(flows[:2], flows[2], (window[0].start, window[1].start))
        owned = _owned(labels, window, core)
        cut = _near_ends(labels, window, shape) & owned[1:] if owned.any() else np.zeros(0, bool)
        if not cut.any() or margin >= blocks.most_margin:
            return window, labels, owned, int(cut.sum())
        margin = min(2 * margin, blocks.most_margin)


def _widened(part: slice, margin: int, length: int) -> slice:
    return slice(max(part.start - margin, 0), min(part.stop + margin, length))


def _owned(labels: Array, window: tuple[slice, slice], core: tuple[slice, slice]) -> npt.NDArray[np.bool_]:
    """Whether the first pixel of each label 0..n lies in the block; never for the background."""
    n = int(labels.max(initial=0))
    owned = np.zeros(n + 1, bool)
    if n == 0:
        return owned
    first = np.zeros(n + 1, np.int64)
    flat = labels.reshape(-1)
    # From the last pixel to the first, so that the first one remains.
    first[flat[::-1]] = np.arange(flat.size - 1, -1, -1)
    y, x = np.divmod(first, labels.shape[1])
    y, x = y + window[0].start, x + window[1].start
    owned[:] = (y >= core[0].start) & (y < core[0].stop) & (x >= core[1].start) & (x < core[1].stop)
    owned[0] = False
    return owned


def _near_ends(labels: Array, window: tuple[slice, slice], shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Which labels 1..n come near an end of the window that is not an end of the plane."""
    near = np.zeros(int(labels.max(initial=0)) + 1, bool)
    for axis in range(2):
        along = np.moveaxis(labels, axis, 0)
        if window[axis].start > 0:
            near[along[:_NEAR]] = True
        if window[axis].stop < shape[axis]:
            near[along[-_NEAR:]] = True
    return near[1:]


def _paint(
    canvas: Array,
    top: int,
    window: tuple[slice, slice],
    labels: Array,
    owned: npt.NDArray[np.bool_],
    count: int,
) -> int:
    """Write the block's own cells into free pixels; returns the number of cells so far.

    Blocks see the same flows, so their cells do not overlap. Should they overlap slightly, the earlier cell stays, and
    a cell whose pixels are mostly taken was found before.
    """
    skipped = max(top - window[0].start, 0)
    inside = labels[skipped:]
    first = window[0].start + skipped - top
    place = canvas[first : first + len(inside), window[1]]
    # A cell of this block has no pixel above it, and none below the margin.
    mine = owned[inside] & (place == 0)
    taken = owned[inside] & (place > 0)
    if taken.any():
        n = len(owned)
        lost, all_of_it = np.bincount(inside[taken], minlength=n), np.bincount(inside.ravel(), minlength=n)
        owned = owned & (lost <= _SAME * all_of_it)
        mine &= owned[inside]
    numbers = np.zeros(len(owned), np.uint32)
    numbers[owned] = count + 1 + np.arange(int(owned.sum()), dtype=np.uint32)
    place[mine] = numbers[inside[mine]]
    return count + int(owned.sum())
