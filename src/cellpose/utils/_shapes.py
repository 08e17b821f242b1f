"""Sizes and shapes of labels."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellpose._labels.arrays import sizes
from cellpose._labels.check import check_labels

__all__ = [
    "diameters",
]

Floats = NDArray[np.float64]


def _pixel_counts(masks: ArrayLike) -> NDArray[np.int64]:
    """Pixels of each label that is present, in ascending order of the labels."""
    counts = sizes(check_labels(masks, ndim=()))[1:]
    return counts[counts > 0]


def _disk_diameter(root_counts: Floats) -> float:
    """Diameter of the disk whose area is the square of the median of `root_counts`; 0 without labels."""
    return float(np.median(root_counts)) / (math.sqrt(math.pi) / 2) if root_counts.size else 0.0


def diameters(masks: ArrayLike) -> tuple[float, Floats]:
    """Diameters of the labels, in pixels.

    Parameters
    ----------
    masks
        Labels of any number of dimensions, 0 is background.

    Returns
    -------
    median
        Median over the labels of the diameter of the disk of the same area, ``2 * sqrt(count / pi)``; 0 without labels.
    roots
        float64 (n,), ``sqrt(count)`` of each label present, in ascending order of the labels.

    Raises
    ------
    InputError
        If `masks` is not a label image.

    Examples
    --------
    >>> masks = np.zeros((20, 20), np.uint16)
    >>> masks[:10, :10] = 1
    >>> median, roots = diameters(masks)
    >>> round(median, 4), roots.tolist()
    (11.2838, [10.0])
    """
    roots = np.sqrt(_pixel_counts(masks).astype(np.float64))
    return _disk_diameter(roots), roots
