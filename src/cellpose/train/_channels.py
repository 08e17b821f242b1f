"""Training images on their way to the network: channels first, normalised once."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cellpose import transforms
from cellpose.errors import InputError
from cellpose.options import Normalization

__all__ = ["Preparation", "pad_to_rgb"]

logger = logging.getLogger("cellpose.train")

_PERCENTILES = (1.0, 99.0)


@dataclass(frozen=True)
class Preparation:
    """How the images of a data set become network inputs.

    ``channel_pair``: they have two channels chosen by ``channels``, or RGB; else the first three channels are taken.
    ``channels=None`` takes the first ``nchan``.
    """

    channel_pair: bool = True
    channels: Any = None
    channel_axis: int | None = None
    rgb: bool = False
    nchan: int = 2
    normalization: Normalization = field(default_factory=Normalization)

    @classmethod
    def of(cls, channel_pair: bool, normalize: Any, **given: Any) -> Preparation:
        """Preparation with what ``normalize`` means in training; see :func:`training_normalization`."""
        return cls(channel_pair=channel_pair, normalization=training_normalization(normalize), **given)

    def __call__(self, images: Sequence[Any], rng: np.random.RandomState | None = None) -> list[Any]:
        """Images as float32 ``(C, Ly, Lx)``, normalised; the given arrays stay as they are."""
        arrays = self._unet(images, rng) if self.channel_pair else _three_channels(images, self.channel_axis)
        return [self._normalised(array) for array in arrays]

    def _unet(self, images: Sequence[Any], rng: np.random.RandomState | None) -> list[Any]:
        converted = []
        for image in images:
            if self.rgb:
                converted.append(pad_to_rgb(_channels_first(image, self.channel_axis), rng))
                continue
            last = transforms.convert_image(
                image, channels=self.channels, channel_axis=self.channel_axis, nchan=self.nchan
            )
            converted.append(np.moveaxis(last, -1, 0))
        return converted

    def _normalised(self, array: Any) -> Any:
        last = transforms.network_input(np.moveaxis(np.asarray(array), 0, -1), self.normalization)
        return np.ascontiguousarray(np.moveaxis(last, -1, 0))


def training_normalization(normalize: Any) -> Normalization:
    """The normalisation that the ``normalize`` argument of the training functions means.

    A bool turns it on or off. A dict does the same by its key ``"normalize"``; its other keys have no effect in
    training, in this as in the published versions, and a warning says so. A :class:`cellpose.options.Normalization`
    is obeyed in full.
    """
    if isinstance(normalize, Normalization):
        return normalize
    if isinstance(normalize, Mapping):
        chosen = Normalization.of(normalize)
        if chosen != Normalization(normalize=chosen.normalize) and chosen.percentile != _PERCENTILES:
            logger.warning(
                "training normalises by percentiles 1 and 99 whatever the dict given as normalize says; "
                "give a cellpose.options.Normalization to have it obeyed"
            )
        return Normalization(normalize=chosen.normalize)
    return Normalization(normalize=bool(normalize))


def _channels_first(image: Any, channel_axis: int | None) -> Any:
    image = np.asarray(image)
    if image.ndim == 2:
        return image[np.newaxis]
    if image.ndim != 3:
        message = f"an image of shape {image.shape} is not allowed; give (y, x) or three axes, one of them the channels"
        raise InputError(message)
    return np.moveaxis(image, int(np.argmin(image.shape)) if channel_axis is None else channel_axis, 0)


def _three_channels(images: Sequence[Any], channel_axis: int | None) -> list[Any]:
    """Images as (3, Ly, Lx), the missing channels 0; a set that is so already stays as it is."""
    if all(np.ndim(image) == 3 and np.shape(image)[0] == 3 for image in images):
        return [np.asarray(image) for image in images]
    converted = []
    for image in images:
        first = _channels_first(image, channel_axis)[:3]
        out = np.zeros((3, *first.shape[1:]), np.float32)
        out[: len(first)] = first
        converted.append(out)
    return converted


def pad_to_rgb(img: Any, rng: np.random.RandomState | None = None) -> Any:
    """Image ``(Ly, Lx)`` or ``(C, Ly, Lx)`` with up to three channels as ``(3, Ly, Lx)``.

    One channel, or a second channel without contrast, is repeated; two channels are put in a random order with an
    empty one at a random place, so that the network learns to do without an order. Random numbers come from ``rng``;
    None: NumPy's global source.

    Examples
    --------
    >>> pad_to_rgb(np.ones((4, 5))).shape
    (3, 4, 5)
    """
    img = np.asarray(img)
    if img.ndim == 2:
        img = img[np.newaxis]
    if len(img) >= 3:
        return img[:3]
    if len(img) == 1 or np.ptp(img[1]) < 1e-3:
        return np.repeat(img[:1], 3, axis=0)
    source: Any = np.random if rng is None else rng
    if source.rand() > 0.5:
        img = img[::-1]
    return np.insert(img, source.randint(3), 0, axis=0)
