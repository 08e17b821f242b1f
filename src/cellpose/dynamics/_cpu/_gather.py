"""Labels of the places in which pixels gather, with compiled kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._labels.arrays import Labels
from cellpose._machine.threads import run_sliced
from cellpose.dynamics._constants import FRINGE, PEAK, REACH
from cellpose.dynamics._cpu._follow import FEWEST_PIXELS
from cellpose.errors import InputError

__all__ = ["gather", "index_of", "index_type"]

Array = npt.NDArray[Any]


def _rimmed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Sides of the image with its rim, into which seeds at the border grow."""
    return tuple(side + 2 * REACH for side in shape)


def index_type(shape: tuple[int, ...]) -> type[np.int32] | type[np.int64]:
    """Type of the indices of `index_of`."""
    return np.int32 if np.prod(_rimmed(shape), dtype=np.float64) < 2**31 else np.int64


def index_of(positions: Array, shape: tuple[int, ...]) -> Array:
    """Index, in an image with a rim, of the pixels that positions ``(ndim, n)`` are in."""
    if len(positions) != len(shape) or not np.isfinite(positions).all():
        message = (
            f"positions of shape {positions.shape} do not fit an image of shape {shape}, or some are not finite; give "
            "one row of positions for each axis"
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
    from cellpose.dynamics._cpu import _gather_kernels as kernels

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
