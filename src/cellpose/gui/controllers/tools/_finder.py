"""Finding the cell at a position from the flows of the open image."""

from __future__ import annotations

from typing import Any

import numpy as np

from cellpose.dynamics import CellFinder
from cellpose.gui.model import Box, Document, Flows
from cellpose.gui.model._box import Mask, box_of_mask

__all__ = ["LOWEST", "FlowFinder", "cell_of_volume", "knows_volume"]

LOWEST = -6.0  # logit of the cell probability, below which no pixel belongs to a cell

_AROUND, _FARTHEST = 32, 512  # voxels searched around a position, at first and at most


def knows_volume(document: Document) -> bool:
    """Whether there are 3D flows with the size of the image."""
    flows = document.flows
    if flows is None or flows.dP is None or flows.cellprob is None:
        return False
    return len(flows.dP) == 3 and flows.cellprob.shape == document.labels.shape


def cell_of_volume(
    flows: Flows, place: tuple[int, int, int], threshold: float, z_spacing: float = 1.0
) -> tuple[Box, Mask] | None:
    """The cell at a voxel, from 3D flows; takes a fraction of a second.

    Only the flows around it are followed; the range grows if the cell extends beyond it.

    Parameters
    ----------
    flows
        With ``dP`` (3, Z, Y, X).
    place
        z, y, x.
    threshold
        Threshold of the cell probability.
    z_spacing
        As in `MaskFinder`.

    Returns
    -------
    box, mask
        Or None if the flows predict no cell.
    """
    from cellpose.dynamics import MaskFinder

    dP, cellprob = np.asarray(flows.dP), np.asarray(flows.cellprob)
    around = _AROUND
    while True:
        ends = [(max(0, at - around), min(n, at + around + 1)) for at, n in zip(place, cellprob.shape, strict=True)]
        part = tuple(slice(*end) for end in ends)
        near = np.ascontiguousarray(dP[:, part[0], part[1], part[2]])
        finder = MaskFinder(near, np.ascontiguousarray(cellprob[part]), z_spacing=z_spacing)
        labels = finder.masks(cellprob_threshold=threshold, flow_threshold=None, min_size=-1)
        label = labels[tuple(at - low for at, (low, _) in zip(place, ends, strict=True))]
        box = box_of_mask(labels == label, (ends[0][0], ends[1][0], ends[2][0])) if label else None
        if box is None:
            return None
        cut = any(
            (box[2 * axis] == low > 0) or (box[2 * axis + 1] == high < cellprob.shape[axis])
            for axis, (low, high) in enumerate(ends)
        )
        if not cut or around >= _FARTHEST:
            return box, labels[box.within(Box(*ends[0], *ends[1], *ends[2]))] == label
        around *= 2


class FlowFinder:
    """Finds cells with a `CellFinder`, which is cached for its flows."""

    def __init__(self) -> None:
        self._kept: tuple[Any, CellFinder] | None = None

    def at(self, document: Document, plane: int, y: int, x: int, threshold: float) -> tuple[Box, Mask] | None:
        """Box of a cell and its pixels (1, h, w); None if there is no cell, or no flows with the size of the image."""
        finder = self._of(document, plane)
        found = finder and finder.at(y, x, threshold)
        flows = document.flows_at(plane)
        if not found or flows is None or flows.dP is None:
            return None
        if flows.region is not None and not np.any(flows.dP[:, y, x]):  # the network has not run here
            return None
        (top, left), mask = found
        return Box(plane, plane + 1, top, top + len(mask), left, left + mask.shape[1]), mask[None]

    def knows(self, document: Document, plane: int) -> bool:
        """Whether there are flows for finding cells."""
        return self._of(document, plane) is not None

    def _of(self, document: Document, plane: int) -> CellFinder | None:
        flows = document.flows_at(plane)
        if flows is None or flows.dP is None or flows.cellprob is None:
            return None
        if self._kept is None or self._kept[0] is not flows:
            dP, cellprob = np.asarray(flows.dP), np.asarray(flows.cellprob)
            if cellprob.ndim != 2 or cellprob.shape != document.labels.shape[1:]:
                return None
            self._kept = (flows, CellFinder(dP, cellprob, lowest=LOWEST))
        return self._kept[1]
