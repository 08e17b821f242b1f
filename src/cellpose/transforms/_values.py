"""Checks of arrays and channels, and casts, that the rest of the room shares."""

from __future__ import annotations

import logging
import operator
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from cellpose.errors import AxesError, AxisRangeError, InputError

__all__ = ["as_float32", "as_stack", "channel_numbers", "check_channels", "fill_nonfinite", "real_image"]

logger = logging.getLogger("cellpose.transforms")

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]
Floats = TypeVar("Floats", npt.NDArray[np.float32], npt.NDArray[np.float64])


def real_image(x: Any) -> Array:
    """Array of a dtype that has an order, with at least one pixel; a view where it can be."""
    if hasattr(x, "detach") and hasattr(x, "cpu"):  # a torch tensor, recognized without importing torch
        logger.warning("a tensor was given and is converted to an array; give an array to avoid the copy")
        x = x.detach().cpu().numpy()
    image = np.asarray(x)
    if image.dtype.kind not in "buif":
        message = f"an image of dtype {image.dtype} is not allowed; give integers, floats or booleans"
        raise InputError(message)
    if image.size == 0:
        message = f"an image of shape {image.shape} has no pixels; give at least one pixel along every axis"
        raise InputError(message)
    return image


def as_float32(image: Array) -> Float32:
    """New float32 array (..., C), finite."""
    with np.errstate(over="ignore"):  # values beyond float32 become infinite, and are handled below
        floats = image.astype(np.float32)
    return fill_nonfinite(floats) if image.dtype.kind == "f" else floats


def fill_nonfinite(image: Floats) -> Floats:
    """Replace what is not a finite number, in place, channel by channel (the last axis).

    Not-a-number and minus infinity become the smallest finite intensity of the channel, infinity the largest, so that
    they are dark and bright as they would have been; a channel without finite intensities becomes 0. One warning
    gives their number.
    """
    if np.isfinite(image.min()) and np.isfinite(image.max()):  # the extremes of an array with a NaN are NaN
        return image
    count = 0
    for c in range(image.shape[-1]):
        channel = image[..., c]
        finite = np.isfinite(channel)
        count += int(channel.size - finite.sum())
        low, high = (float(channel[finite].min()), float(channel[finite].max())) if finite.any() else (0.0, 0.0)
        np.nan_to_num(channel, copy=False, nan=low, posinf=high, neginf=low)
    logger.warning(
        "%d of %d intensities are not finite; they were replaced by the minimum or maximum of the others",
        count,
        image.size,
    )
    return image


def channel_numbers(channels: Any) -> tuple[int, ...]:
    """``channels`` as plain numbers; a list of one list is that list."""
    try:
        given = list(channels)
        if len(given) == 1 and not isinstance(given[0], (int, np.integer)):
            given = list(given[0])
        numbers = tuple(operator.index(c) for c in given)
    except TypeError:
        numbers = ()
    if len(numbers) < 2 or min(numbers) < 0:
        message = f"channels={channels!r} is not allowed; give [cytoplasm, nuclei] counted from 1, or [0, 0]"
        raise AxesError(message)
    return numbers


def check_channels(picked: Sequence[int], shape: tuple[int, ...]) -> None:
    """Raise AxisRangeError if an index of ``picked`` is outside the last axis of this shape."""
    if max(picked) >= shape[-1]:
        message = (
            f"channel {max(picked) + 1} was chosen, but the image has {shape[-1]}, counted from 1 "
            f"(shape {shape}, channels last)"
        )
        raise AxisRangeError(message)


def as_stack(image: Array, is3D: bool) -> tuple[Array, int]:
    """View of an image as (Lz, Ly, Lx, C), and C."""
    spatial = 3 if image.ndim == 4 or (is3D and image.ndim == 3) else 2
    if image.ndim not in (spatial, spatial + 1):
        message = f"an image of shape {image.shape} is not allowed with is3D={is3D}; give (Ly, Lx[, C]) or a stack"
        raise AxesError(message)
    stack = image if image.ndim > spatial else image[..., np.newaxis]
    stack = stack if spatial == 3 else stack[np.newaxis]
    return stack, stack.shape[-1]
