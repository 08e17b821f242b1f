"""An image as it was read, with what the file says about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["UNKNOWN_AXIS", "Image", "ImageArray"]

ImageArray = npt.NDArray[Any]

UNKNOWN_AXIS = "Q"


@dataclass(frozen=True, eq=False)
class Image:
    """Pixels, and the meaning of their axes as far as the file tells it.

    Parameters
    ----------
    data
        The array as it stands in the file.
    axes
        One letter for each axis of ``data``: T time, Z plane, C channel, Y, X; Q where the file does not say.
    pixel_size_um
        Size of a pixel along (z, y, x) in micrometres; None where unknown.
    channel_names
        Names of the channels; empty where unknown.

    Examples
    --------
    >>> import numpy as np
    >>> image = Image(np.zeros((5, 2, 64, 64), np.uint8), "ZCYX", (1.0, 0.25, 0.25))
    >>> image.axis("C"), image.axis("T"), image.anisotropy
    (1, None, 4.0)
    """

    data: ImageArray
    axes: str
    pixel_size_um: tuple[float | None, float | None, float | None] = (None, None, None)
    channel_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.axes) != np.ndim(self.data):
            message = f"axes {self.axes!r} name {len(self.axes)} axes, the data has {np.ndim(self.data)}"
            raise ValueError(message)

    def axis(self, letter: str) -> int | None:
        """Position of an axis, or None where the image has none of that name."""
        place = self.axes.find(letter)
        return None if place < 0 else place

    @property
    def anisotropy(self) -> float | None:
        """Distance between planes divided by the size of a pixel, or None where the file does not say."""
        z, _, x = self.pixel_size_um
        return z / x if z and x else None
