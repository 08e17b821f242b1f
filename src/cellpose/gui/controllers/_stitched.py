"""Masks of planes stitched into cells, recomputed for each threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["StitchedFinder"]


class StitchedFinder:
    """Makes the masks that a run with ``stitch_threshold`` makes, from its flows.

    Parameters
    ----------
    dP, cellprob
        Flows (2, Z, Y, X) and logits (Z, Y, X) of the planes.
    size
        Size of the masks, (Z, Y, X).
    """

    def __init__(self, dP: npt.NDArray[Any], cellprob: npt.NDArray[Any], size: Sequence[int]) -> None:
        self._dP, self._cellprob, self._size = dP, cellprob, tuple(size)

    def masks(self, *, stitch_threshold: float, min_size: int, **masking: Any) -> npt.NDArray[np.int32]:
        """Labels 1..n, int32 (Z, Y, X), for a stitch threshold and fields of `cellpose.options.Masking`."""
        from cellpose import dynamics, utils

        planes = np.zeros(self._size, np.int32)
        for index in range(len(planes)):  # caching per plane would take too much memory
            finder = dynamics.MaskFinder(self._dP[:, index], self._cellprob[index], self._size[1:])
            planes[index] = finder.masks(min_size=-1, **masking)
        joined = utils.stitch3D(planes, stitch_threshold=stitch_threshold)
        return np.asarray(utils.fill_holes_and_remove_small_masks(joined, min_size=min_size), np.int32)
