"""Reading files as volumes (Z, C, Y, X) or movies (T, C, Y, X), and choosing the axis of their planes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose import io
from cellpose.errors import AxesError
from cellpose.gui._texts import tr

__all__ = ["MOST_COLORS", "aspect_of", "is_volume", "movie_of", "volume_of"]

MOST_COLORS = 32  # a longer axis counts planes


def is_volume(image: io.Image, as_stack: bool) -> bool:
    """Whether a file is opened as a volume.

    Parameters
    ----------
    image
        The image as read.
    as_stack
        Whether the user chose to read files without axis names as stacks of planes, as with ``--Zstack``.

    Examples
    --------
    >>> planes = np.zeros((5, 64, 64), np.uint8)
    >>> is_volume(io.Image(planes, "ZYX"), False), is_volume(io.Image(planes, "QYX"), False)
    (True, False)
    >>> is_volume(io.Image(planes, "QYX"), True), is_volume(io.Image(planes, "TYX"), True)
    (True, False)
    """
    if "T" in image.axes:
        return False
    if image.declares("Z"):
        return True
    unnamed = [length for letter, length in zip(image.axes, image.data.shape, strict=True) if letter in "QZ"]
    if image.data.ndim == 4:
        return bool(unnamed)  # four axes are always more than a plane
    return bool(unnamed) and image.data.ndim == 3 and (as_stack or min(image.data.shape) > MOST_COLORS)


def volume_of(image: io.Image, name: str = tr("the image")) -> npt.NDArray[Any]:
    """All planes and channels of a file, (Z, C, Y, X), as a view where possible.

    If axes have no names, the first counts planes; with four axes, the shortest counts channels. With three axes and
    the last by far the shortest, the last counts planes, as in the original.

    Raises
    ------
    AxesError
        If there are more axes than planes, channels, rows and columns.

    Examples
    --------
    >>> volume_of(io.Image(np.zeros((5, 2, 64, 48)), "ZCYX")).shape
    (5, 2, 64, 48)
    >>> volume_of(io.Image(np.zeros((64, 48, 5)), "QQQ")).shape
    (5, 1, 64, 48)
    """
    data = image.data
    if data.ndim not in (3, 4):
        message = tr(
            "{name} has axes {axes} of lengths {shape}; a volume has Z, Y, X and at most channels",
            name=name,
            axes=image.axes,
            shape=data.shape,
        )
        raise AxesError(message)
    channel = image.axis("C")
    if channel is None and data.ndim == 4:
        left = [axis for axis in range(4) if image.axes[axis] not in "ZYX"] or list(range(4))
        channel = min(left, key=lambda axis: data.shape[axis])
    planes = np.moveaxis(data, channel, -1) if channel is not None else data[..., None]
    letters = image.axes if channel is None else image.axes[:channel] + image.axes[channel + 1 :]
    z = letters.find("Z")
    if z < 0:
        sides = planes.shape[:3]
        z = int(np.argmin(sides)) if min(sides) < max(sides) / 3 and "Y" not in letters else 0
    return np.moveaxis(np.moveaxis(planes, z, 0), -1, 1)


def movie_of(image: io.Image, name: str = tr("the image")) -> npt.NDArray[Any]:
    """All frames and channels of a file, (T, C, Y, X), as a view where possible.

    If no axis is named T, the axis of the planes is used, as found by `volume_of`.

    Raises
    ------
    AxesError
        If the file has planes at each time, or no possible time axis.

    Examples
    --------
    >>> movie_of(io.Image(np.zeros((5, 2, 64, 48)), "TCYX")).shape
    (5, 2, 64, 48)
    >>> movie_of(io.Image(np.zeros((5, 64, 48)), "ZYX")).shape
    (5, 1, 64, 48)
    """
    if "T" in image.axes and "Z" in image.axes:
        t, z = (image.data.shape[image.axes.index(letter)] for letter in "TZ")
        message = tr(
            "{name} holds {z} planes at each of {t} times (axes {axes}); the window shows one "
            "volume, or a movie of single planes: write one time, or one plane of all times, as a "
            "file of its own",
            name=name,
            z=z,
            t=t,
            axes=image.axes,
        )
        raise AxesError(message)
    if image.data.ndim < 3 or (image.data.ndim == 3 and image.declares("C")):
        message = tr(
            "{name} has axes {axes} of lengths {shape}; none of them can be times",
            name=name,
            axes=image.axes,
            shape=image.data.shape,
        )
        raise AxesError(message)
    return volume_of(replace(image, axes=image.axes.replace("T", "Z")), name)


def aspect_of(pixel_size_um: tuple[float | None, float | None, float | None]) -> float:
    """Distance between planes in pixels; 1 if the file does not state it or the value cannot be displayed.

    Examples
    --------
    >>> aspect_of((1.0, 0.25, 0.25)), aspect_of((None, 0.25, 0.25))
    (4.0, 1.0)
    """
    z, y, _ = pixel_size_um
    return float(z / y) if z and y and 0.01 <= z / y <= 100 else 1.0
