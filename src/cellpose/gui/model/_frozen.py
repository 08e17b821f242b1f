"""A snapshot of labels, copied later in another thread while editing continues."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cellpose import io
from cellpose.gui.model._box import Box
from cellpose.gui.model._packed import Packed

__all__ = ["Frozen"]

_BAND = 2**20  # pixels copied at a time


class Frozen:
    """A snapshot of labels: free to create; any thread can make the copy of the whole image.

    Later edits first report the labels they are about to change. The copy then reverts changes it may have caught, the
    last edit first, so each pixel ends as it was before the first edit that touched it.

    Parameters
    ----------
    planes
        Labels, int32 (Z, Y, X), edited in place.
    numbers
        The number of each label in the copy, int32 (labels,); None: unchanged.
    """

    def __init__(self, planes: npt.NDArray[np.int32], numbers: npt.NDArray[np.int32] | None) -> None:
        self._planes, self._numbers = planes, numbers
        self._before: list[tuple[Box, Packed]] | None = []
        self._copy: npt.NDArray[np.int32] | None = None

    def before(self, box: Box, labels: Packed) -> None:
        """Report the labels of a box before they change."""
        changes = self._before
        if changes is not None:
            changes.append((box, labels))

    def labels(self) -> npt.NDArray[np.int32]:
        """The copy, int32 (Z, Y, X); made once, in bands, so it does not block other threads for long."""
        if self._copy is not None:
            return self._copy
        depth, height, width = self._planes.shape
        copy = io.roomy_zeros((depth, height, width), np.int32)
        step = max(1, _BAND // max(1, width))
        bands = [(z, slice(y, y + step)) for z in range(depth) for y in range(0, height, step)]
        for band in bands:
            copy[band] = self._planes[band]
        changes, self._before = self._before, None  # the copy has not seen later edits
        for box, labels in reversed(changes or []):
            copy[box.slices] = labels.unpacked()
        if self._numbers is not None:
            for band in bands:
                copy[band] = self._numbers[copy[band]]
        self._copy = copy
        return copy
