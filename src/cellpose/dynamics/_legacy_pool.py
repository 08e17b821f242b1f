"""Pooling, by names that older scripts call; nothing of the package itself does."""

from __future__ import annotations

from typing import Any

from cellpose.dynamics._device import as_array
from cellpose.errors import InputError

__all__ = [
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_pool_nd",
]


def max_pool1d(h: Any, kernel_size: int = 5, axis: int = 1, out: Any = None) -> Any:
    """Running maximum along one axis; beyond the ends of the axis nothing counts.

    Parameters
    ----------
    h
        Array or tensor.
    kernel_size
        Odd number of pixels.
    axis
        Axis along which to look.
    out
        Array or tensor of the same shape to write to; None: a new one.

    Returns
    -------
    array or tensor of the shape and type of ``h``
    """
    if kernel_size < 1 or kernel_size % 2 == 0:
        message = f"kernel_size={kernel_size} is not allowed; give an odd positive number"
        raise InputError(message)
    from scipy.ndimage import maximum_filter1d

    values = as_array(h)
    result = maximum_filter1d(values, kernel_size, axis=axis, mode="nearest")
    if out is not None:
        out[...] = h.new_tensor(result) if hasattr(h, "new_tensor") else result
        return out
    return h.new_tensor(result) if hasattr(h, "new_tensor") else result


def max_pool_nd(h: Any, kernel_size: int = 5) -> Any:
    """Running maximum over a square or cube, for images ``(n, Y, X)`` or volumes ``(n, Z, Y, X)``.

    Parameters
    ----------
    h
        Array or tensor; the first axis counts the images.
    kernel_size
        Odd number of pixels along each axis.

    Returns
    -------
    array or tensor of the shape and type of ``h``
    """
    for axis in range(1, h.ndim):
        h = max_pool1d(h, kernel_size, axis)
    return h


def max_pool2d(h: Any, kernel_size: int = 5) -> Any:
    """`max_pool_nd` of images ``(n, Y, X)``."""
    return max_pool_nd(h, kernel_size)


def max_pool3d(h: Any, kernel_size: int = 5) -> Any:
    """`max_pool_nd` of volumes ``(n, Z, Y, X)``."""
    return max_pool_nd(h, kernel_size)
