"""Masks from the positions in which pixels end: where many gather is a cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._labels.arrays import Labels, compact, scan, without
from cellpose.dynamics._cpu._gather import gather, index_of
from cellpose.dynamics._device import as_array

__all__ = ["get_masks", "get_masks_orig", "get_masks_torch"]

Array = npt.NDArray[Any]


def _without_large(labels: Labels, max_size_fraction: float) -> Labels:
    """Labels numbered 1..n without those that cover more than a fraction of the image."""
    found = scan(labels)
    return without(labels, found, found.counts <= labels.size * max_size_fraction)


def get_masks_torch(
    pt: Any, inds: Any, shape0: tuple[int, ...], rpad: int = 20, max_size_fraction: float = 0.4
) -> Array:
    """Masks from the positions in which pixels end.

    A seed is a pixel in which more than 10 pixels end, and no fewer than in any within 2 pixels along each axis. It
    grows five times by its neighbours in which more than 2 end. Where two meet, the one with more pixels wins.

    Parameters
    ----------
    pt
        Positions ``(ndim, n)`` in pixels, array or tensor; fractions are cut off.
    inds
        Pixels that they started from, one array of indices per axis.
    shape0
        Shape of the image, ``(Y, X)`` or ``(Z, Y, X)``.
    rpad
        Has no effect; kept for scripts that pass it.
    max_size_fraction
        Masks that cover more of the image are removed.

    Returns
    -------
    uint16 array of shape ``shape0``, uint32 for more than 65535 masks
        Labels 1..n in the order in which they are met row by row.
    """
    positions = np.trunc(as_array(pt))
    labels = np.zeros(shape0, np.int32)
    labels[tuple(as_array(i) for i in inds)] = gather(index_of(positions, tuple(shape0)), tuple(shape0))
    return compact(_without_large(labels, max_size_fraction))


def get_masks_orig(p: Any, iscell: Any = None, rpad: int = 20, max_size_fraction: float = 0.4) -> Array:
    """Masks from the positions in which all pixels of an image end; of two seeds that meet the smaller wins.

    Parameters
    ----------
    p
        Positions ``(2, Y, X)`` or ``(3, Z, Y, X)`` in pixels; fractions are cut off.
    iscell
        Array ``(Y, X)`` or ``(Z, Y, X)``, False for pixels that stay where they are; None: as ``p`` says.
    rpad
        Has no effect; kept for scripts that pass it.
    max_size_fraction
        Masks that cover more of the image are removed.

    Returns
    -------
    uint32 array (Y, X) or (Z, Y, X)
        Labels 1..n in the order in which they are met row by row.
    """
    positions = np.trunc(as_array(p))
    shape = positions.shape[1:]
    if iscell is not None:
        stay = ~as_array(iscell).astype(bool)
        positions[:, stay] = np.array(np.nonzero(stay))
    ends = index_of(positions.reshape(len(positions), -1), shape)
    labels = gather(ends, shape, small_wins=True).reshape(shape)
    return _without_large(labels, max_size_fraction).astype(np.uint32)


def get_masks(p: Any, iscell: Any = None, rpad: int = 20, max_size_fraction: float = 0.4) -> Array:
    """`get_masks_orig` under the name that scripts for versions 1 and 2 use."""
    return get_masks_orig(p, iscell, rpad, max_size_fraction)
