"""An image as it was read, with what the file says about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.errors import AxesError

__all__ = ["UNKNOWN_AXIS", "Image", "ImageArray", "check_axes"]

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

    def frames(self) -> Iterator[Image]:
        """The image at each time, in order; the image itself where it has no axis of time.

        Examples
        --------
        >>> import numpy as np
        >>> movie = Image(np.zeros((4, 5, 64, 64), np.uint8), "TZYX")
        >>> [(frame.data.shape, frame.axes) for frame in movie.frames()][:1]
        [((5, 64, 64), 'ZYX')]
        """
        t = self.axis("T")
        if t is None:
            yield self
            return
        for time in range(self.data.shape[t]):
            yield replace(self, data=self.data.take(time, t), axes=self.axes[:t] + self.axes[t + 1 :])

    def named(self, axes: str) -> Image:
        """The same pixels with other names for their axes.

        Raises
        ------
        AxesError
            If these are not as many letters of TZCYXQ as the data has axes, or one but Q is there twice.

        Examples
        --------
        >>> import numpy as np
        >>> Image(np.zeros((9, 64, 64), np.uint8), "QYX").named("tyx").axes
        'TYX'
        """
        return replace(self, axes=check_axes(axes, self.data.shape))

    @property
    def anisotropy(self) -> float | None:
        """Distance between planes divided by the size of a pixel, or None where the file does not say."""
        z, _, x = self.pixel_size_um
        return z / x if z and x else None


def check_axes(axes: str, shape: tuple[int, ...]) -> str:
    """Names of the axes of an array, in capitals.

    Raises
    ------
    AxesError
        If they do not fit.
    """
    names = axes.upper()
    known = [letter for letter in names if letter != UNKNOWN_AXIS]
    if len(names) != len(shape) or not set(known) <= set("TZCYX") or len(set(known)) != len(known):
        message = (
            f"axes={axes!r} does not fit an array of shape {tuple(shape)}; give one letter for each axis: T time, Z "
            f"plane, C channel, Y, X, each at most once, or {UNKNOWN_AXIS} for others"
        )
        raise AxesError(message)
    return names
