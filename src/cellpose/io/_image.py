"""An image as it was read, with what the file says about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.io._axes import FileAxes, named_axes, place_of_axis

__all__ = ["FINEST_PRINT_UM", "Image", "ImageArray"]

ImageArray = npt.NDArray[Any]

# Resolutions are kept by plain formats for printers and screens, too, and most say 72 or 300 dpi of any image. Pixels
# smaller than this, of more than 1,270 dpi, are those of a microscope.
FINEST_PRINT_UM = 20.0


@dataclass(frozen=True, eq=False)
class Image:
    """Pixels, and the meaning of their axes as far as the file declares it.

    Parameters
    ----------
    data
        The array as it stands in the file.
    axes
        One letter for each axis of ``data``: T time, Z plane, C channel, Y, X; Q where the file does not say.
    pixel_size_um
        Size of a pixel along (z, y, x) in micrometers; None if unknown.
    channel_names
        Names of the channels; empty if unknown.
    file_axes
        The axes of the file, where it has others than ``data`` or does not declare all of them; None: ``axes``.
    name
        Of the file, for messages.
    interval_s
        Seconds from frame to frame; None where unknown.

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
    file_axes: FileAxes | None = None
    name: str = ""
    interval_s: float | None = None

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
            yield replace(self, data=self.data.take(time, t), axes=self.axes[:t] + self.axes[t + 1 :], file_axes=None)

    def place(self, letter: str, number: int | None) -> int | None:
        """Which axis of ``data`` is meant by the number that the caller gives for channels (C) or planes (Z).

        Numbers are counted in the axes of the file, those of length 1 among them.

        Returns
        -------
        int or None
            None where no number is given, or the axis has length 1 and is not in ``data``.

        Raises
        ------
        AxesError
            If there is no such axis (`AxisRangeError`), or the file says that it is another.

        Examples
        --------
        >>> import numpy as np
        >>> file_axes = FileAxes("TCZYX", (1, 3, 4, 64, 64))
        >>> image = Image(np.zeros((3, 4, 64, 64), np.uint8), "CZYX", file_axes=file_axes)
        >>> image.place("Z", 2), image.place("C", -4), image.place("Z", None)
        (1, 0, None)
        """
        return place_of_axis(letter, number, self.axes, self.data.shape, self.file_axes)

    def named(self, axes: str) -> Image:
        """The same pixels with other names for their axes.

        Parameters
        ----------
        axes
            One letter of TZCYXQ for each axis of the data, or for each axis of the file.

        Raises
        ------
        AxesError
            If there are more or fewer, or a name other than Q occurs twice.

        Examples
        --------
        >>> import numpy as np
        >>> Image(np.zeros((9, 64, 64), np.uint8), "QYX").named("tyx").axes
        'TYX'
        """
        letters, file_axes = named_axes(axes, self.axes, self.data.shape, self.file_axes)
        return replace(self, axes=letters, file_axes=file_axes)

    def declares(self, letter: str) -> bool:
        """Whether an axis has this name, and not only because the format suggests it."""
        return letter in self.axes and (self.file_axes is None or letter not in self.file_axes.assumed)

    @property
    def anisotropy(self) -> float | None:
        """Distance between planes divided by the size of a pixel, or None where the file does not say."""
        z, _, x = self.pixel_size_um
        return z / x if z and x else None
