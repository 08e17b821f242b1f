"""Flows to masks with compiled kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._labels.arrays import Labels, fill_holes_and_remove_small, scan, without
from cellpose._machine.threads import run_sliced
from cellpose.dynamics._cells import Cells
from cellpose.dynamics._constants import NETWORK_SCALE
from cellpose.dynamics._cpu._follow import FEWEST_PIXELS, field_of, words_of
from cellpose.dynamics._cpu._gather import gather, index_type
from cellpose.dynamics._cpu._heat import cell_errors, cells_of, errors_above
from cellpose.dynamics._network_flows import NetworkFlows
from cellpose.options import Masking

__all__ = ["Gathered", "ends_of", "gathered", "masks_of"]


def ends_of(flows: NetworkFlows, masking: Masking) -> npt.NDArray[Any]:
    """For each pixel of the image the index of the pixel it ends in (see `index_of`), -1 in the background."""
    from cellpose.dynamics._cpu import _follow_kernels as kernels

    shape, threshold = flows.shape, masking.cellprob_threshold
    field = field_of(flows.dP, flows.cellprob, threshold, NETWORK_SCALE, NETWORK_SCALE * flows.z_spacing)
    ends = np.empty(shape, index_type(shape))
    side = kernels.TILE if len(shape) == 2 else kernels.BRICK
    tiles = int(np.prod([-(-length // side) for length in shape]))
    logits, fewest = np.ascontiguousarray(flows.cellprob, np.float32), max(1, FEWEST_PIXELS // side ** len(shape))
    args = (logits, np.float32(threshold), words_of(field), masking.steps, masking.interp)
    if len(shape) == 3:
        run_sliced(kernels.ends_volume, tiles, *args, ends, smallest=fewest)
    else:
        run_sliced(kernels.ends_plane, tiles, *args, np.array(flows.origin, np.int64), ends, smallest=fewest)
    return ends


class Gathered:
    """The cells that pixels gather in, before any is removed.

    Parameters
    ----------
    labels
        int32 ([Z,] Y, X); numbers may have gaps.
    most
        Cells of more pixels are none.
    """

    def __init__(self, labels: Labels, most: float) -> None:
        self.labels = labels
        self.found = scan(labels)
        self.wanted = (self.found.counts > 0) & (self.found.counts <= most)
        self.wanted[0] = False
        self._cells: Cells | None = None
        self._errors: npt.NDArray[np.float64] | None = None

    @property
    def cells(self) -> Cells:
        """Those of a plane that are wanted."""
        if self._cells is None:
            self._cells = cells_of(self.labels, self.found.boxes, np.flatnonzero(self.wanted))
        return self._cells

    def measure_errors(self, flows: NetworkFlows) -> None:
        """Once, for any threshold to come: it takes longer than to look at one threshold."""
        if self._errors is None and self.labels.ndim == 2:
            self._errors = cell_errors(self.labels, self.cells, flows.dP)

    def kept(self, flows: NetworkFlows, most_error: float | None) -> npt.NDArray[np.bool_]:
        """Which labels are cells whose flows agree with those of the network."""
        keep: npt.NDArray[np.bool_] = self.wanted.copy()
        if most_error is not None and self.labels.ndim == 2:
            known = self._errors
            bad = errors_above(self.labels, self.cells, flows.dP, most_error) if known is None else known > most_error
            keep[self.cells.labels] = ~bad
        return keep


def gathered(flows: NetworkFlows, masking: Masking) -> Gathered:
    """Where the pixels of an image gather."""
    labels = gather(ends_of(flows, masking), flows.shape)
    return Gathered(labels, labels.size * masking.max_size_fraction)


def masks_of(
    flows: NetworkFlows,
    masking: Masking,
    places: Sequence[npt.NDArray[np.int64] | None],
    known: Gathered | None = None,
) -> Labels:
    """Labels of an image; ``places`` are the pixels, along each axis, that those of the result are taken from."""
    cells = gathered(flows, masking) if known is None else known
    labels = without(cells.labels, cells.found, cells.kept(flows, masking.most_error))
    for axis, pixels in enumerate(places):
        if pixels is not None:
            labels = labels.take(pixels, axis)
    return fill_holes_and_remove_small(labels, masking.min_size) if masking.min_size > 0 else labels
