"""The cell at one place: the pixels that flow to where this one flows, at any threshold, without a network."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from cellpose.dynamics._constants import FRINGE, REACH
from cellpose.dynamics._cpu._masks import ends_of
from cellpose.dynamics._device import as_array
from cellpose.dynamics._network_flows import NetworkFlows
from cellpose.errors import InputError
from cellpose.options import Masking

__all__ = ["CellFinder"]

Array = npt.NDArray[Any]

_SIDE = 256  # of the squares whose pixels are followed together
_KEPT = 9  # squares, so that a hand that moves about an edge waits once only
_NEAR = 5  # pixels, farther from the end of a pixel its peak is not looked for
_SQUARE = np.ones((3, 3), np.uint8)


class _Part(NamedTuple):
    """A square with its margin: where it begins, and the bin that each of its pixels ends in, -1 for none."""

    top: int
    left: int
    ends: Array
    width: int  # of the rows of bins


class CellFinder:
    """Finds the cell at a place of a plane, for previews under a pointer.

    It finds what `compute_masks` finds, but one cell at a time and with its own threshold: the pixels of higher
    probability that end within a few pixels of each other. Pixels are followed on demand.

    Parameters
    ----------
    dP
        Flows ``(2, Y, X)``: 5 times unit vectors.
    cellprob
        Logits ``(Y, X)``.
    reach_px
        Half the length of the largest cells, in pixels.
    lowest
        Pixels with lower logits belong to no cell, at any threshold.
    niter
        Steps along the flows.

    Raises
    ------
    InputError
        If the shapes do not match.

    Examples
    --------
    >>> from cellpose.dynamics import masks_to_flows
    >>> cells = np.zeros((40, 60), int); cells[5:22, 3:20] = 1; cells[5:22, 20:40] = 2
    >>> finder = CellFinder(5 * masks_to_flows(cells), np.where(cells, 4.0, -9.0))
    >>> (top, left), mask = finder.at(10, 25)
    >>> top, left, int(mask.sum()), bool((cells[top:top + 17, left:left + 20][mask] == 2).all())
    (5, 20, 340, True)
    >>> finder.at(30, 50) is None
    True
    """

    def __init__(self, dP: Any, cellprob: Any, *, reach_px: int = 128, lowest: float = -6.0, niter: int = 200) -> None:
        self._flows, self._logits = as_array(dP), as_array(cellprob)
        if self._logits.ndim != 2 or self._flows.shape != (2, *self._logits.shape):
            message = (
                f"flows of shape {self._flows.shape} and cell probability of shape {self._logits.shape} do not fit; "
                "give (2, Y, X) and (Y, X)"
            )
            raise InputError(message)
        self._margin = max(16, int(reach_px))
        self._masking = Masking(cellprob_threshold=float(lowest), niter=niter)
        self._parts: OrderedDict[tuple[int, int], _Part] = OrderedDict()

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the plane, (Y, X)."""
        height, width = self._logits.shape
        return height, width

    def at(self, y: int, x: int, threshold: float = 0.0) -> tuple[tuple[int, int], npt.NDArray[np.bool_]] | None:
        """The cell that a pixel flows to.

        Parameters
        ----------
        y, x
            The pixel.
        threshold
            Pixels of higher logits belong to the cell.

        Returns
        -------
        corner : (int, int)
            First row and column of the cell.
        mask : bool array (h, w)
            Its pixels, one piece without holes. None is returned where there is no cell.
        """
        height, width = self.shape
        if not (0 <= y < height and 0 <= x < width):
            return None
        part = self._part(y // _SIDE, x // _SIDE)
        end = int(part.ends[y - part.top, x - part.left])
        if end < 0:
            return None
        rows, cols = slice(part.top, part.top + len(part.ends)), slice(part.left, part.left + part.ends.shape[1])
        sure = (self._logits[rows, cols] > max(threshold, self._masking.cellprob_threshold)) & (part.ends >= 0)
        counts = np.bincount(part.ends[sure], minlength=1)
        bins = _bins_around(end, counts, part.width)
        if bins is None:
            return None
        mask = np.zeros(part.ends.shape, np.uint8)
        mask[sure] = bins[part.ends[sure]]
        found = _piece(mask, y - part.top, x - part.left)
        return found and ((found[0][0] + part.top, found[0][1] + part.left), found[1])

    def _part(self, row: int, column: int) -> _Part:
        """The pixels of a square followed, with a margin of cells that reach into it."""
        part = self._parts.pop((row, column), None)
        if part is None:
            top, left = max(0, row * _SIDE - self._margin), max(0, column * _SIDE - self._margin)
            bottom, right = (row + 1) * _SIDE + self._margin, (column + 1) * _SIDE + self._margin
            logits = self._logits[top:bottom, left:right]
            flows = NetworkFlows(self._flows[:, top:bottom, left:right], logits, (top, left))
            ends = ends_of(flows, self._masking)
            part = _Part(top, left, ends, logits.shape[1])
        self._parts[row, column] = part
        if len(self._parts) > _KEPT:
            self._parts.popitem(last=False)
        return part


def _bins_around(end: int, counts: Array, width: int) -> npt.NDArray[np.uint8] | None:
    """Which bins belong to the peak next to one; None where nothing gathers there."""
    stride = width + 2 * REACH
    side = _NEAR + REACH + 1
    rows, cols = end // stride + np.arange(-side, side + 1), end % stride + np.arange(-side, side + 1)
    index = rows[:, None] * stride + np.clip(cols, 0, stride - 1)
    inside = (index >= 0) & (index < counts.size)
    near = np.where(inside, counts[np.clip(index, 0, counts.size - 1)], 0)
    centre = near[side - _NEAR : side + _NEAR + 1, side - _NEAR : side + _NEAR + 1]
    if not centre.any():
        return None
    peak = np.unravel_index(int(centre.argmax()), centre.shape)
    region = np.zeros(near.shape, np.uint8)
    region[peak[0] + side - _NEAR, peak[1] + side - _NEAR] = 1
    region[side, side] = 1  # where the pixel itself ends, be it a peak or not
    for _ in range(REACH):
        region = cv2.dilate(region, _SQUARE) & (region | (near > FRINGE).astype(np.uint8))
    bins = np.zeros(counts.size, np.uint8)
    bins[index[inside]] = region[inside]
    return bins


def _piece(mask: npt.NDArray[np.uint8], y: int, x: int) -> tuple[tuple[int, int], npt.NDArray[np.bool_]] | None:
    """The piece of a mask at a pixel, or else the largest, without its holes, and where it begins."""
    n, pieces, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    if n < 2:
        return None
    number = int(pieces[y, x]) or 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    left, top, width, height = (int(value) for value in stats[number, :4])
    piece = (pieces[top : top + height, left : left + width] == number).astype(np.uint8)
    outlines, _ = cv2.findContours(piece, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(piece, outlines, -1, 1, cv2.FILLED)
    return (top, left), piece > 0
