"""Reducing a large image to an overview."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["overview", "same_memory", "samples"]


def samples(length: int, n: int) -> npt.NDArray[np.intp]:
    """The middle of each of ``n`` parts of an axis."""
    edges = _edges(length, n)
    return (edges[:-1] + edges[1:]) // 2


def overview(image: npt.NDArray[Any], longest: int) -> npt.NDArray[Any]:
    """Reduce an image (C, Y, X) to block means, with at most ``longest`` pixels on its longer side; same dtype.

    Examples
    --------
    >>> overview(np.array([[[0, 2, 8, 8], [2, 4, 8, 8]]], np.uint8), 2).tolist()
    [[[2, 8]]]
    """
    n_channels, height, width = image.shape
    share = min(1.0, longest / max(height, width))
    rows, columns = (max(1, round(side * share)) for side in (height, width))
    above, left = _edges(height, rows), _edges(width, columns)
    out = np.empty((n_channels, rows, columns), image.dtype)
    widths = np.diff(left).astype(np.float32)
    for row in range(rows):  # a band at a time: no second image of floats
        means = image[:, above[row] : above[row + 1]].mean(axis=1, dtype=np.float32)
        out[:, row] = np.add.reduceat(means, left[:-1], axis=1) / widths
    return out


def same_memory(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> bool:
    """Whether two live arrays are the same view of the same memory."""
    return _place(one) == _place(other)


def _place(array: npt.NDArray[Any]) -> tuple[Any, ...]:
    return array.__array_interface__["data"][0], array.shape, array.strides, array.dtype


def _edges(length: int, n: int) -> npt.NDArray[np.intp]:
    return np.arange(n + 1) * length // n
