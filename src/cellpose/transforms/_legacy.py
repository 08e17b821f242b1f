"""Helpers for axes and channels that scripts for the older generations call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.transforms._values import channel_numbers, check_channels, real_image

__all__ = ["move_axis", "move_min_dim", "reshape", "update_axis"]

Array = npt.NDArray[Any]


def update_axis(m_axis: int | None, to_squeeze: Sequence[int] | npt.NDArray[np.intp], ndim: int) -> int | None:
    """Number that an axis has once other axes are squeezed out; None if it is one of them.

    Examples
    --------
    >>> update_axis(-1, [1], 4), update_axis(1, [1], 4)
    (2, None)
    """
    if m_axis is None:
        return None
    axis = m_axis % ndim
    gone = [int(a) % ndim for a in to_squeeze]
    return None if axis in gone else axis - sum(a < axis for a in gone)


def move_axis(img: npt.ArrayLike, m_axis: int = -1, first: bool = True) -> Array:
    """View with one axis moved to the front, or with ``first=False`` to the end. An axis too far is the last one.

    Examples
    --------
    >>> import numpy as np
    >>> move_axis(np.zeros((3, 12, 14)), m_axis=0, first=False).shape
    (12, 14, 3)
    """
    image = np.asarray(img)
    axis = min(m_axis, image.ndim - 1)
    return np.moveaxis(image, axis, 0 if first else -1)


def move_min_dim(img: npt.ArrayLike, force: bool = False) -> Array:
    """View of an image of three axes or more with its smallest axis last, if shorter than 10 or with ``force``.

    Examples
    --------
    >>> import numpy as np
    >>> move_min_dim(np.zeros((3, 12, 14))).shape
    (12, 14, 3)
    """
    image = np.asarray(img)
    if image.ndim < 3 or not (force or min(image.shape) < 10):
        return image
    return np.moveaxis(image, _last_index_or_first(image.shape), -1)


def _last_index_or_first(shape: tuple[int, ...]) -> int:
    least = min(shape)
    return len(shape) - 1 if shape[-1] == least else shape.index(least)


def reshape(data: npt.ArrayLike, channels: Sequence[int] = (0, 0), chan_first: bool = False) -> Array:
    """Two channels of an image.

    Parameters
    ----------
    data
        ``(Ly, Lx)``, ``(Ly, Lx, C)``, or ``(C, Ly, Lx)`` with fewer than 8 channels; or ``(Lz, Ly, Lx, C)``.
    channels
        ``[cytoplasm, nuclei]`` counted from 1; ``[0, 0]``: the mean of all.
    chan_first
        Put the channel axis first, in a stack too: ``(2, Lz, Ly, Lx)``.

    Returns
    -------
    numpy.ndarray
        New array of two channels; the second is zero where no nuclei are chosen.

    Raises
    ------
    AxisRangeError
        A channel that does not exist.
    """
    image = real_image(data)
    chosen = channel_numbers(channels)
    if image.ndim < 3:
        image = image[..., np.newaxis]
    elif image.ndim == 3 and image.shape[0] < 8:
        image = image.transpose(1, 2, 0)
    zero = np.zeros((*image.shape[:-1], 1), np.float32)
    if image.shape[-1] == 1:
        out = np.concatenate([image, zero], axis=-1)
    elif chosen[0] == 0:
        mean = image.mean(axis=-1, keepdims=True)
        out = np.concatenate([mean, np.zeros_like(mean)], axis=-1)
    else:
        picked = [c - 1 for c in chosen[:2] if c > 0]
        check_channels(picked, image.shape)
        out = image[..., picked]
        if len(picked) == 1:
            out = np.concatenate([out, zero], axis=-1)
    return np.moveaxis(out, -1, 0) if chan_first else out
