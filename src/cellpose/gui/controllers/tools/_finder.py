"""The cell at a place, by the flows of the open image."""

from __future__ import annotations

from typing import Any

import numpy as np

from cellpose.dynamics import CellFinder
from cellpose.gui.model import Box, Document
from cellpose.gui.model._box import Mask

__all__ = ["LOWEST", "FlowFinder"]

LOWEST = -6.0  # logit of the cell probability, below which no pixel belongs to a cell


class FlowFinder:
    """Finds cells as `CellFinder` does, one of which is kept for the flows that it was made of."""

    def __init__(self) -> None:
        self._kept: tuple[Any, CellFinder] | None = None

    def at(self, document: Document, plane: int, y: int, x: int, threshold: float) -> tuple[Box, Mask] | None:
        """Box of a cell and its pixels (1, h, w); None where there is none, or no flows of the size of the image."""
        finder = self._of(document)
        found = finder and finder.at(y, x, threshold)
        flows = document.flows
        if not found or flows is None or flows.dP is None:
            return None
        if flows.region is not None and not np.any(flows.dP[:, y, x]):  # the network has not been here
            return None
        (top, left), mask = found
        return Box(plane, plane + 1, top, top + len(mask), left, left + mask.shape[1]), mask[None]

    def knows(self, document: Document) -> bool:
        """Whether there are flows to find cells by."""
        return self._of(document) is not None

    def _of(self, document: Document) -> CellFinder | None:
        flows = document.flows
        if flows is None or flows.dP is None or flows.cellprob is None:
            return None
        if self._kept is None or self._kept[0] is not flows:
            dP, cellprob = np.asarray(flows.dP), np.asarray(flows.cellprob)
            if cellprob.ndim != 2 or cellprob.shape != document.labels.shape[1:]:
                return None
            self._kept = (flows, CellFinder(dP, cellprob, lowest=LOWEST))
        return self._kept[1]
