"""Training images on their way to the network: channels first, normalized once."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cellpose.errors import InputError
from cellpose.options import Normalization
from cellpose.transforms import Preparation, axis_meant_by, is_one_number

__all__ = ["SetPreparation", "pad_to_rgb"]

logger = logging.getLogger("cellpose.train")

_PERCENTILES = (1.0, 99.0)


@dataclass(frozen=True)
class SetPreparation:
    """How the images of a training set become network inputs: each by one `Preparation`, channels first.

    Attributes
    ----------
    each
        Preparation of an image whose axes are known.
    channel_axis
        Of the images; None: their shortest axis, for networks that take no pair of channels.
    rgb
        Networks of a pair see three channels, in a random order where there are two.
    """

    each: Preparation
    channel_axis: int | None = None
    rgb: bool = False

    @classmethod
    def of(
        cls,
        channel_pair: bool = True,
        normalize: Any = True,
        *,
        channels: Any = None,
        channel_axis: int | None = None,
        rgb: bool = False,
        nchan: int = 2,
    ) -> SetPreparation:
        """Preparation with what ``normalize`` means in training; see :func:`training_normalization`.

        Of a pair, ``channels=None`` takes the first ``nchan`` channels; other networks see the first three.
        """
        normalization = training_normalization(normalize)
        if not channel_pair:
            return cls(Preparation(None, 0, channel_pair=False, normalization=normalization), channel_axis, rgb)
        if is_one_number(channels) and not rgb:
            channels, channel_axis = None, axis_meant_by(channels, channel_axis)
        return cls(Preparation(channels, channel_axis, nchan=nchan, normalization=normalization), channel_axis, rgb)

    def __call__(self, images: Sequence[Any], rng: np.random.RandomState | None = None) -> list[Any]:
        """Images as float32 ``(C, Ly, Lx)``, normalized; the given arrays stay as they are."""
        if not self.each.channel_pair:
            first = all(np.ndim(image) == 3 and np.shape(image)[0] == 3 for image in images)
            return [self._three(image, 0 if first else self.channel_axis) for image in images]
        if self.rgb:
            return [self._rgb(_channels_first(image, self.channel_axis), rng) for image in images]
        return [_first(self.each(image)) for image in images]

    def _rgb(self, image: Any, rng: np.random.RandomState | None) -> Any:
        last = np.moveaxis(pad_to_rgb(image, rng), 0, -1)[np.newaxis]
        return _first(self.each.normalised(last))

    def _three(self, image: Any, channel_axis: int | None) -> Any:
        """The first three channels; those that are missing are 0."""
        seen = _first(self.each(_channels_first(image, channel_axis)[:3]))
        return np.concatenate([seen, np.zeros((3 - len(seen), *seen.shape[1:]), np.float32)])


def training_normalization(normalize: Any) -> Normalization:
    """The normalization that the ``normalize`` argument of the training functions means.

    A bool turns it on or off. A dict does the same through its key ``"normalize"``; its other keys have no effect in
    training, here as in the published versions, and a warning says so. A :class:`cellpose.options.Normalization` is
    obeyed in full.
    """
    if isinstance(normalize, Normalization):
        return normalize
    if isinstance(normalize, Mapping):
        chosen = Normalization.of(normalize)
        if chosen != Normalization(normalize=chosen.normalize) and chosen.percentile != _PERCENTILES:
            logger.warning(
                "training ignores the dict given as normalize and uses percentiles 1 and 99; to use other settings, "
                "give a cellpose.options.Normalization"
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


def _first(stack: Any) -> Any:
    """The only plane of a prepared stack (1, y, x, channel), channels first."""
    return np.ascontiguousarray(np.moveaxis(stack[0], -1, 0))


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
