"""Labels as they were at one moment, copied later and elsewhere while they are edited on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cellpose import io
from cellpose.gui.model._box import Box
from cellpose.gui.model._packed import Packed

__all__ = ["Frozen"]

_BAND = 2**20  # pixels that are copied at once


class Frozen:
    """A snapshot of labels: free to begin; the copy of the whole image can be made in any thread.

    Edits that come meanwhile tell first what they are about to change. What the copy may have caught of them is put
    back: the last edit first, so that each pixel ends as it was before the first edit that touched it.

    Parameters
    ----------
    planes
        Labels, int32 (Z, Y, X), which are edited in place.
    numbers
        What each label is called in the copy, int32 (labels,); None: as it is.
    """

    def __init__(self, planes: npt.NDArray[np.int32], numbers: npt.NDArray[np.int32] | None) -> None:
        self._planes, self._numbers = planes, numbers
        self._before: list[tuple[Box, Packed]] | None = []
        self._copy: npt.NDArray[np.int32] | None = None

    def before(self, box: Box, labels: Packed) -> None:
        """The labels of a box are about to change; this is what they are."""
        changes = self._before
        if changes is not None:
            changes.append((box, labels))

    def labels(self) -> npt.NDArray[np.int32]:
        """The copy, int32 (Z, Y, X); made once, band by band, since a long one would hold up other threads."""
        if self._copy is not None:
            return self._copy
        depth, height, width = self._planes.shape
        copy = io.roomy_zeros((depth, height, width), np.int32)
        step = max(1, _BAND // max(1, width))
        bands = [(z, slice(y, y + step)) for z in range(depth) for y in range(0, height, step)]
        for band in bands:
            copy[band] = self._planes[band]
        changes, self._before = self._before, None  # what comes now the copy has not seen
        for box, labels in reversed(changes or []):
            copy[box.slices] = labels.unpacked()
        if self._numbers is not None:
            for band in bands:
                copy[band] = self._numbers[copy[band]]
        self._copy = copy
        return copy
