"""Masks of one plane again and again, while the thresholds change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy.typing as npt

from cellpose._labels.arrays import compact
from cellpose.dynamics._cpu._masks import Gathered, gathered, masks_of
from cellpose.dynamics._masks import places_of
from cellpose.dynamics._network_flows import NetworkFlows
from cellpose.options import Masking

__all__ = ["MaskFinder"]

_MOST_KEPT = 2**24  # pixels; the labels of larger planes are not worth their memory


class MaskFinder:
    """Makes the masks of `resize_and_compute_masks` for one threshold after the other.

    The positions where pixels end depend only on the cell probability. So another flow threshold or minimum size costs
    a few percent of the first masks. Made for dragging a slider.

    Parameters
    ----------
    dP
        Flows ``(2, Y, X)`` or ``(3, Z, Y, X)``: 5 times unit vectors.
    cellprob
        Logits ``(Y, X)`` or ``(Z, Y, X)``. Neither array may change afterwards.
    size
        Shape of the masks; None: that of ``cellprob``.
    z_spacing
        Factor by which steps along z are shortened in volumes: the anisotropy, if ``eval`` used ``isotropic_steps``.

    Raises
    ------
    InputError
        If the shapes do not match.

    Examples
    --------
    >>> import numpy as np
    >>> from cellpose.dynamics import masks_to_flows
    >>> cells = np.zeros((20, 30), int); cells[2:11, 3:12] = 1; cells[8:18, 14:26] = 2
    >>> finder = MaskFinder(5 * masks_to_flows(cells), np.where(cells, 4.0, -4.0))
    >>> [int(finder.masks(min_size=size).max()) for size in (15, 100, 200)]
    [2, 1, 0]
    """

    def __init__(self, dP: Any, cellprob: Any, size: Sequence[int] | None = None, *, z_spacing: float = 1.0) -> None:
        self._flows = NetworkFlows(dP, cellprob, z_spacing=z_spacing)
        self._places = places_of(self._flows.shape, size)
        self._kept: tuple[Masking, Gathered] | None = None

    def masks(self, **masking: Any) -> npt.NDArray[Any]:
        """Masks with these fields of `cellpose.options.Masking`.

        Returns
        -------
        uint16 array, uint32 for more than 65535 masks
            Labels 1..n in the order in which they are met row by row; 0 is background.

        Raises
        ------
        OptionError
            If an option is outside its range.
        """
        wanted = Masking(**masking)
        same = replace(wanted, flow_threshold=None, min_size=-1)  # all that the places where pixels end depend on
        if self._kept is None or self._kept[0] != same:
            self._kept = None  # not two at once
            found = gathered(self._flows, wanted)
            if found.labels.size <= _MOST_KEPT:
                self._kept = same, found
        else:
            found = self._kept[1]
            if wanted.most_error is not None:
                found.measure_errors(self._flows)
        return compact(masks_of(self._flows, wanted, self._places, found))
