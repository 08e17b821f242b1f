"""Which channels of an image a network sees: one rule for arrays, stacks, and planes that are read by rows."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.transforms._values import as_float32, channel_numbers, check_channels

__all__ = ["MOST_CHANNELS", "Channels", "choose_channels"]

logger = logging.getLogger("cellpose.transforms")

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]

MOST_CHANNELS = 3  # that a transformer sees


@dataclass(frozen=True)
class Channels:
    """Channels that were chosen.

    Attributes
    ----------
    picked
        Numbers of channels, counted from 0.
    count
        Channels of the result; those that are missing are zero.
    mean
        Whether the mean of the picked ones is taken.
    """

    picked: tuple[int, ...]
    count: int
    mean: bool = False

    def view(self, image: Array) -> Array:
        """The picked channels of an image (..., channel), of its dtype; a view where it can be."""
        first = tuple(range(len(self.picked)))
        return image[..., : len(first)] if self.picked == first else image[..., list(self.picked)]

    def __call__(self, image: Array, floats: Callable[[Array], Float32] = as_float32) -> Float32:
        """New float32 array (..., count) of an image (..., channel), whose numbers ``floats`` casts."""
        chosen = floats(self.view(image))
        if self.mean:
            chosen = chosen.mean(axis=-1, keepdims=True)
        if chosen.shape[-1] == self.count:
            return chosen
        out = np.zeros((*chosen.shape[:-1], self.count), np.float32)
        out[..., : chosen.shape[-1]] = chosen
        return out


def choose_channels(shape: tuple[int, ...], channels: Any, *, channel_pair: bool, nchan: int | None) -> Channels:
    """The channels that a network sees of an image of this shape, channels last.

    Parameters
    ----------
    shape
        Of the image.
    channels
        Numbers counted from 1; ``[0, ...]`` or None: none is chosen.
    channel_pair
        The network sees what to segment and nuclei, and of an image without a choice the mean; else up to three
        channels in their order.
    nchan
        Of a pair, channels where ``channels`` is None; None: all.

    Raises
    ------
    AxesError
        If ``channels`` are no numbers, or the image has fewer.
    """
    count = shape[-1]
    numbers = None if channels is None else channel_numbers(channels)
    if numbers is not None and numbers[0] > 0 and count > 1:
        picked = tuple(c - 1 for c in (numbers[:2] if channel_pair else numbers) if c > 0)
        check_channels(picked, shape)
        return Channels(picked, 2 if channel_pair else len(picked))
    if channel_pair and numbers is not None:
        return Channels(tuple(range(count)) if numbers[0] == 0 else (0,), 2, mean=count > 1)
    most = (count if nchan is None else nchan) if channel_pair else MOST_CHANNELS
    if count > most:
        more = "" if channel_pair else ", or name z_axis if these are planes"
        logger.warning("the first %d of %d channels are used; choose others with channels%s", most, count, more)
    kept = min(count, most)
    return Channels(tuple(range(kept)), most if channel_pair else kept)
