"""Masks from the positions in which pixels end: where many gather is a cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.dynamics._device import as_array
from cellpose.dynamics._follow import FEWEST_PIXELS
from cellpose.errors import InputError
from cellpose.utils._labels import Labels, scan, smallest_dtype, without
from cellpose.utils._threads import run_sliced

__all__ = [
    "FRINGE",
    "PEAK",
    "compact",
    "gather",
    "get_masks",
    "get_masks_orig",
    "get_masks_torch",
    "index_of",
    "index_type",
]

Array = npt.NDArray[Any]

PEAK = 10  # a seed is where more pixels than this gather
FRINGE = 2  # it grows over its surroundings where more pixels than this gather


def _rimmed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Sides of the image with its rim, into which seeds at the border grow."""
    from cellpose.dynamics._follow_kernels import REACH

    return tuple(side + 2 * REACH for side in shape)


def index_type(shape: tuple[int, ...]) -> type[np.int32] | type[np.int64]:
    """Type of the indices of `index_of`."""
    return np.int32 if np.prod(_rimmed(shape), dtype=np.float64) < 2**31 else np.int64


def index_of(positions: Array, shape: tuple[int, ...]) -> Array:
    """Index, in an image with a rim, of the pixels that positions ``(ndim, n)`` are in."""
    from cellpose.dynamics._follow_kernels import REACH

    if len(positions) != len(shape) or not np.isfinite(positions).all():
        message = (
            f"positions of shape {positions.shape} do not fit an image of shape {shape}, or some are no finite "
            "numbers; give one row of positions for each axis"
        )
        raise InputError(message)
    index = np.zeros(positions.shape[1], index_type(shape))
    for position, side in zip(positions, shape, strict=True):
        index *= side + 2 * REACH
        index += np.clip(position, 0, side - 1).astype(np.int64) + REACH
    return index


def gather(ends: Array, shape: tuple[int, ...], *, small_wins: bool = False) -> Labels:
    """Label, 1..n in the order of the seeds, of each of the pixels whose ends are given (see `index_of`).

    Seeds are where most pixels gather; of two that claim a place the larger wins, or the smaller.
    """
    from cellpose.dynamics import _follow_kernels as kernels

    rimmed = _rimmed(shape)
    counts = np.zeros(int(np.prod(rimmed)), np.int32)
    flat = ends.reshape(-1)
    kernels.count_ends(flat, counts)
    volume = rimmed if len(shape) == 3 else (1, *rimmed)
    seeds = kernels.find_peaks(counts.reshape(volume), PEAK)
    sizes = counts[seeds]
    seeds = seeds[np.argsort(-sizes if small_wins else sizes, kind="stable")]
    kernels.grow_seeds(counts, volume, seeds, FRINGE)
    labels = np.empty(flat.shape, np.int32)
    run_sliced(kernels.labels_at, flat.size, flat, counts, labels, smallest=FEWEST_PIXELS)
    return labels.reshape(ends.shape)


def _without_large(labels: Labels, max_size_fraction: float) -> Labels:
    """Labels numbered 1..n without those that cover more than a fraction of the image."""
    found = scan(labels)
    return without(labels, found, found.counts <= labels.size * max_size_fraction)


def compact(labels: Labels) -> Array:
    """Masks as they are given out: uint16, or uint32 for more than 65535 of them."""
    return labels.astype(smallest_dtype(int(labels.max(initial=0))))


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
        Pixels that they started from, one array of indices an axis.
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
