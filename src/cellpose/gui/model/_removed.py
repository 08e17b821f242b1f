"""Cells of a model that a person removed, so that other thresholds do not bring them back."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._labels.arrays import relabeled, scan

__all__ = ["removed_by_hand", "without_removed"]

Planes = npt.NDArray[np.int32]
Pixels = npt.NDArray[np.intp]  # indices of flat planes


def removed_by_hand(found: Planes, labels: Planes, earlier: Pixels) -> Pixels:
    """Pixels of cells that a model found and that are mostly background now.

    Parameters
    ----------
    found, labels
        The cells of the model, and those of today, (Z, Y, X).
    earlier
        Pixels of cells removed before that the model may not have found again.

    Examples
    --------
    >>> found, labels = np.array([[[1, 1, 1, 2, 2]]], np.int32), np.array([[[0, 0, 3, 2, 2]]], np.int32)
    >>> removed_by_hand(found, labels, np.array([3]))
    array([0, 1])
    """
    free = labels == 0
    counts = scan(found).counts
    mask = _mostly(np.bincount(found[free], minlength=counts.size), counts)[found]
    mask.ravel()[earlier] = True
    return np.flatnonzero(mask & free)


def without_removed(labels: Planes, removed: Pixels) -> Planes:
    """New cells without those of which most pixels were removed; the others keep their numbers.

    Examples
    --------
    >>> without_removed(np.array([[1, 1, 1, 2, 2]], np.int32), np.array([0, 1, 3]))
    array([[0, 0, 0, 2, 2]], dtype=int32)
    """
    if not removed.size:
        return labels
    counts = scan(labels).counts
    numbers = np.arange(counts.size, dtype=np.int32)
    numbers[_mostly(np.bincount(labels.ravel()[removed], minlength=counts.size), counts)] = 0
    return relabeled(labels, numbers)


def _mostly(part: npt.NDArray[Any], whole: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """For each label except the background, whether more than half of its pixels are of a part."""
    mostly = 2 * part > whole
    mostly[0] = False
    return mostly
