"""The facts about an image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["TILE", "About"]

TILE = 512  # pixels, the side of a tile


@dataclass(frozen=True)
class About:
    """An image (T, Z, Y, X, C).

    Attributes
    ----------
    width, height, planes, times, channels
        Lengths of its axes.
    dtype
        uint8, uint16 or float32.
    channel_names
        Empty where unknown.
    pixel_size_um
        Along (z, y, x) in micrometres; None where unknown.
    spans
        For each channel the values that are shown black and bright.
    """

    width: int
    height: int
    planes: int
    times: int
    channels: int
    dtype: str
    channel_names: tuple[str, ...]
    pixel_size_um: tuple[float | None, float | None, float | None]
    spans: tuple[tuple[float, float], ...]

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> About:
        """Build it from the fields of JSON."""
        z, y, x = found["pixel_size_um"]
        spans = tuple((float(low), float(high)) for low, high in found["spans"])
        names = tuple(found["channel_names"])
        return cls(**{**found, "channel_names": names, "pixel_size_um": (z, y, x), "spans": spans})

    @property
    def frames(self) -> int:
        """Number of planes over all times."""
        return self.planes * self.times

    @property
    def levels(self) -> int:
        """Levels of tiles: the full size, then halves until one tile holds the image."""
        return max(0, (max(self.width, self.height) - 1) // TILE).bit_length() + 1

    @property
    def axes(self) -> str:
        """Letters of the axes longer than 1; Y and X always."""
        sides = {"T": self.times, "Z": self.planes, "C": self.channels}
        return "".join(letter for letter in "TZYXC" if sides.get(letter, 2) > 1)
