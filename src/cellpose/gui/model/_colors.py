"""Colors of cells, and of channels."""

from __future__ import annotations

import colorsys
from functools import cache

import numpy as np
import numpy.typing as npt

__all__ = [
    "CHANNEL_COLORS",
    "OUTLINE_OPACITY",
    "SELECTED",
    "UNKNOWN",
    "blue_white_red",
    "cell_colors",
    "doubt_ramp",
    "size_ramp",
    "spectral",
]

OUTLINE_OPACITY = 200  # if all outlines have one color
SELECTED = (255, 255, 255)
UNKNOWN = (150, 150, 150)  # color of cells with an unknown value

# For each color mode, the color of each of three channels. Gray is the mean, so each channel adds a third.
CHANNEL_COLORS = {
    "RGB": np.eye(3, dtype=np.float32),
    "red": np.diag([1, 0, 0]).astype(np.float32),
    "green": np.diag([0, 1, 0]).astype(np.float32),
    "blue": np.diag([0, 0, 1]).astype(np.float32),
}

_N = 1009  # colors before they repeat: a prime, so that no stride of numbers cycles through only a few


@cache
def cell_colors() -> npt.NDArray[np.uint8]:
    """Bright colors (n, 3) of cells by number; consecutive numbers get clearly different colors."""
    golden = 0.618034
    hues = (np.arange(_N) * golden) % 1
    values = 0.75 + 0.25 * ((np.arange(_N) * 0.37) % 1)
    pairs = zip(hues, values, strict=True)
    return np.array([[255 * part for part in colorsys.hsv_to_rgb(hue, 0.85, value)] for hue, value in pairs], np.uint8)


@cache
def spectral() -> npt.NDArray[np.uint8]:
    """A rainbow (256, 3) from violet over blue, green, yellow to red, black at 0 and white at 255."""
    stops = np.array(
        [(0, 0, 0), (110, 0, 160), (0, 0, 255), (0, 190, 230), (0, 200, 0), (230, 230, 0), (255, 110, 0), (230, 0, 0),
         (255, 255, 255)], np.float64
    )  # fmt: skip
    return _between(stops)


@cache
def blue_white_red() -> npt.NDArray[np.uint8]:
    """Colors (256, 3) from blue over white to red."""
    return _between(np.array([(0, 0, 255), (255, 255, 255), (255, 0, 0)], np.float64))


@cache
def doubt_ramp() -> npt.NDArray[np.uint8]:
    """Colors (256, 3) from orange (doubtful) over pale yellow to blue (certain), safe for the color-blind."""
    return _between(
        np.array([(213, 62, 0), (244, 150, 60), (250, 226, 150), (120, 190, 225), (0, 104, 180)], np.float64)
    )


@cache
def size_ramp() -> npt.NDArray[np.uint8]:
    """Colors (256, 3) from violet (small) over green to yellow (large): stops of viridis."""
    stops = [(68, 1, 84), (65, 68, 135), (42, 120, 142), (34, 168, 132), (122, 209, 81), (253, 231, 37)]
    return _between(np.array(stops, np.float64))


def _between(stops: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """256 colors interpolated between equidistant stops (n, 3)."""
    places = np.linspace(0, 255, len(stops))
    return np.stack([np.interp(np.arange(256), places, stops[:, c]) for c in range(3)], axis=1).astype(np.uint8)
