"""Loops of batch norm and rectifier over pixels, for training on processors.

All take rows ``start`` to ``stop`` of arrays float32 (pixels, channels), pixel by pixel of image after image of ``n``
pixels each, and arrays (images, channels) of numbers that are the same all over an image. They read and write each row
once: what they cost is the memory that they pass over.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from cellpose._progress.stages import announce_compiling

__all__ = ["norm_gradient", "norm_relu", "norm_relu_sums", "pixel_sums"]

announce_compiling()

# Rows that are added up in float32 before the sum goes to float64.
_BLOCK = 64


@njit(cache=True, nogil=True)
def pixel_sums(start: int, stop: int, x: Any, origin: Any, n: int) -> Any:
    """Sums over pixels of ``x - origin`` and of its square, float64 (2, images, channels)."""
    images, channels = origin.shape
    sums = np.zeros((2, images, channels), np.float64)
    first, second = np.empty(channels, np.float32), np.empty(channels, np.float32)
    row = start
    while row < stop:
        image = row // n
        end = min(stop, (image + 1) * n, row + _BLOCK)
        around = origin[image]
        first[:] = 0
        second[:] = 0
        for r in range(row, end):
            values = x[r]
            for c in range(channels):
                d = values[c] - around[c]
                first[c] += d
                second[c] += d * d
        for c in range(channels):
            sums[0, image, c] += first[c]
            sums[1, image, c] += second[c]
        row = end
    return sums


@njit(cache=True, nogil=True)
def norm_relu(start: int, stop: int, x: Any, scale: Any, offset: Any, lowest: float, n: int, out: Any) -> None:
    """``out = max(lowest, scale * x + offset)``."""
    channels = x.shape[1]
    low = np.float32(lowest)
    for image in range(start // n, (stop - 1) // n + 1):
        shift = offset[image]
        for r in range(max(start, image * n), min(stop, (image + 1) * n)):
            values, results = x[r], out[r]
            for c in range(channels):
                results[c] = max(low, scale[c] * values[c] + shift[c])


@njit(cache=True, nogil=True)
def norm_relu_sums(
    start: int, stop: int, x: Any, g: Any, scale: Any, offset: Any, origin: Any, lowest: float, n: int
) -> Any:
    """``g`` becomes the gradient that passes the rectifier; its sums, and those of it times ``x - origin``, float64."""
    images, channels = origin.shape
    low = np.float32(lowest)
    sums = np.zeros((2, images, channels), np.float64)
    first, second = np.empty(channels, np.float32), np.empty(channels, np.float32)
    row = start
    while row < stop:
        image = row // n
        end = min(stop, (image + 1) * n, row + _BLOCK)
        around, shift = origin[image], offset[image]
        first[:] = 0
        second[:] = 0
        for r in range(row, end):
            values, gradient = x[r], g[r]
            # two loops: the compiler makes vector code of each, but not of one
            for c in range(channels):
                gradient[c] = gradient[c] if scale[c] * values[c] + shift[c] > low else np.float32(0)
            for c in range(channels):
                first[c] += gradient[c]
                second[c] += gradient[c] * (values[c] - around[c])
        for c in range(channels):
            sums[0, image, c] += first[c]
            sums[1, image, c] += second[c]
        row = end
    return sums


@njit(cache=True, nogil=True)
def norm_gradient(start: int, stop: int, x: Any, g: Any, scale: Any, slope: Any, level: Any, n: int) -> None:
    """``g`` becomes ``scale * g + slope * x + level``."""
    channels = x.shape[1]
    for image in range(start // n, (stop - 1) // n + 1):
        base = level[image]
        for r in range(max(start, image * n), min(stop, (image + 1) * n)):
            values, gradient = x[r], g[r]
            for c in range(channels):
                gradient[c] = scale[c] * gradient[c] + slope[c] * values[c] + base[c]
