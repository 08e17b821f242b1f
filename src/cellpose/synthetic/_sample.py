"""One image with its masks, of any kind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellpose.errors import OptionError
from cellpose.synthetic._camera import expose
from cellpose.synthetic._kinds import RECIPES
from cellpose.synthetic._noise import Field
from cellpose.synthetic._population import check_size
from cellpose.synthetic._scene import Labels

__all__ = ["KINDS", "Sample", "generator", "sample"]

KINDS = tuple(RECIPES)
MIN_SIDE = 16


@dataclass(frozen=True)
class Sample:
    """An image and what is true of it.

    Attributes
    ----------
    image
        float32 (C, Y, X), 0..1. Volumes: (C, Z, Y, X).
    masks
        int32 (Y, X): 0 background, 1..n cells (nuclei for the kinds "nuclei" and "tissue"), each one piece joined by
        sides. Volumes: (Z, Y, X).
    kind
        One of ``KINDS``.
    diameter
        Asked for or drawn, in pixels: of the disc that has the mean cell's area, without the processes of neurons.
    """

    image: Field
    masks: Labels
    kind: str
    diameter: float


def generator(seed: int | np.random.Generator) -> np.random.Generator:
    """The generator itself, or a new one for this seed."""
    if isinstance(seed, np.random.Generator):
        return seed
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        message = f"seed is {seed!r}; give a whole number from 0 or a numpy.random.Generator"
        raise OptionError(message) from error


def sample(
    seed: int | np.random.Generator,
    size: tuple[int, int] = (256, 256),
    kind: str | None = None,
    channels: int = 2,
    *,
    diameter: float | None = None,
) -> Sample:
    """A synthetic image of cells with its true masks.

    Parameters
    ----------
    seed
        Whole number, or a generator that is drawn from. The same seed and options give the same pixels.
    size
        Height and width in pixels, each at least 16.
    kind
        One of ``KINDS``; None draws one.
    channels
        1: the stain or contrast. 2: also the nuclear stain, zeros where the kind or the image has none. 3: colors for
        stained tissue, else the two and a channel of zeros. With fewer than 3 stained tissue is its mean of colors.
    diameter
        Of the mean cell in pixels, 2 to 2000; None draws one that is usual for the kind.

    Returns
    -------
    Sample
        Image, masks, kind, diameter.

    Raises
    ------
    OptionError
        If the kind is unknown, or the size, the number of channels or the diameter is not allowed.

    Examples
    --------
    >>> one = sample(7, (64, 80), "nuclei", channels=1)
    >>> one.image.shape, one.masks.shape, one.kind
    ((1, 64, 80), (64, 80), 'nuclei')
    """
    height, width = check_size(size, (MIN_SIDE, MIN_SIDE), "height and width in pixels")
    _check(kind, channels)
    rng = generator(seed)
    name = kind if kind is not None else KINDS[int(rng.integers(len(KINDS)))]
    recipe = RECIPES[name]
    scene = recipe.scene(rng, (height, width), diameter)
    light = recipe.light(rng, scene)
    image = expose(rng, light, recipe.optics(rng, scene.diameter, light))
    return Sample(
        _channels(image, channels), scene.labels, name, scene.diameter if diameter is None else float(diameter)
    )


def _check(kind: str | None, channels: int) -> None:
    if kind is not None and kind not in RECIPES:
        message = f"kind is {kind!r}; allowed: {', '.join(KINDS)}, or None for any"
        raise OptionError(message)
    if channels not in {1, 2, 3}:
        message = f"channels is {channels!r}; allowed: 1, 2, 3"
        raise OptionError(message)


def _channels(image: Field, channels: int) -> Field:
    """As many channels as asked for; colors become their mean if fewer than three are wanted."""
    if len(image) == 3 and channels < 3:
        image = image.mean(axis=0, keepdims=True)
    out = np.zeros((channels, *image.shape[1:]), np.float32)
    count = min(channels, len(image))
    out[:count] = image[:count]
    return out
