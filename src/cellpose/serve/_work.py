"""How much work a segmentation is, known before it starts."""

from __future__ import annotations

import math
from typing import NamedTuple

from cellpose.errors import OptionError
from cellpose.nets import Family
from cellpose.serve._about import About
from cellpose.serve._cells import Settings
from cellpose.transforms import scaled_shape

__all__ = ["Scaling", "check_work"]

_MP = 1e6
_SMALLEST = 64  # pixels: a smaller plane takes as long as one with this side
# Following the flows of a pixel for this many steps takes as long as the network takes for the pixel.
_STEPS_OF_NETWORK = 2000


class Scaling(NamedTuple):
    """What a model does to the size of an image.

    Attributes
    ----------
    family
        The family of its network.
    diam_mean
        Diameter in pixels to which cells are brought.
    diam_labels
        Diameter in pixels that is assumed if none is given.
    """

    family: Family
    diam_mean: float
    diam_labels: float

    def factor(self, diameter: float | None) -> float:
        """The factor by which the image is enlarged for the network, where cells have this diameter in pixels."""
        if self.family.diameter_px is not None:
            return self.family.diameter_px / diameter if diameter else 1.0
        return self.diam_mean / (diameter or self.diam_labels)


def check_work(about: About, settings: Settings, scaling: Scaling, most_pixels: float) -> None:
    """Refuse a segmentation that would keep the server busy for too long.

    Parameters
    ----------
    about
        The image.
    settings
        How to segment it.
    scaling
        Of the model.
    most_pixels
        On which the network may run.

    Raises
    ------
    OptionError
        If it is too much; the message says what to change.
    """
    factor = scaling.factor(settings.diameter)
    network = _network_pixels(about, settings, factor, scaling.family)
    if network > most_pixels:
        raise OptionError(_too_large(settings, factor, network, most_pixels))
    # the smaller the network saw the image, the more steps lead to the middle of a cell
    steps = settings.masking.at_scale(factor).steps
    image = about.frames * about.height * about.width
    followed = image * steps / _STEPS_OF_NETWORK
    if followed > most_pixels:
        diameter = settings.diameter or scaling.diam_labels
        message = (
            f"diameter={diameter:g} is not allowed for an image of {image / _MP:.1f} megapixels: its flows would be "
            f"followed for {steps} steps; give a diameter of at most {_rounded(diameter * most_pixels / followed)}"
        )
        raise OptionError(message)


def _network_pixels(about: About, settings: Settings, factor: float, family: Family) -> int:
    """Pixels of all planes that the network sees."""
    least = _SMALLEST if family.small_tiles else family.tile_side
    height, width = scaled_shape((about.height, about.width), (factor, factor))

    def seen(rows: int, columns: int) -> int:
        return max(rows, least) * max(columns, least)

    if settings.mode != "volume":
        return about.frames * seen(height, width)
    (depth,) = scaled_shape((about.planes,), (factor * settings.anisotropy,))
    # the planes of the three directions
    return about.times * (depth * seen(height, width) + height * seen(depth, width) + width * seen(depth, height))


def _too_large(settings: Settings, factor: float, pixels: int, most: float) -> str:
    volume, diameter = settings.mode == "volume", settings.diameter
    enlarged = [f"enlarged {factor:.3g} times"] if factor > 1 else []
    spaced = [f"with anisotropy={settings.anisotropy:g}"] if volume and settings.anisotropy > 1 else []
    given = f"diameter={diameter:g} is not allowed: " if enlarged and diameter else ""
    image = ", ".join(["the image", *enlarged, *spaced, ""]) if enlarged or spaced else "the image "
    found = f"{given}{image}has {pixels / _MP:.1f} megapixels for the network; at most {most / _MP:g} are allowed"
    if enlarged and diameter:  # a volume grows with its third power
        least = diameter * (pixels / most) ** (1 / 3 if volume else 1 / 2)
        return f"{found}; give a diameter of at least {_rounded(least, up=True)}, or a part of the image"
    return f"{found}; give a part of the image"


def _rounded(diameter: float, *, up: bool = False) -> str:
    """A diameter with two digits, rounded to the side that is allowed."""
    unit = 10.0 ** (math.floor(math.log10(diameter)) - 1)
    return f"{(math.ceil if up else math.floor)(diameter / unit) * unit:g}"
