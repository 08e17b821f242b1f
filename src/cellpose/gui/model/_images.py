"""Images as the window takes them: stacks (Z, C, Y, X)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose import io
from cellpose.errors import AxesError

__all__ = ["MOST_CHANNELS", "plane_of_file", "stack_of_plane"]

MOST_CHANNELS = 3


def plane_of_file(path: Path) -> npt.NDArray[Any]:
    """The plane of a file as a stack (1, C, Y, X), its first three channels.

    Raises
    ------
    AxesError
        If the file holds a stack of planes.
    FileReadError
        If it cannot be read.
    """
    return stack_of_plane(io.imread_2D(path), str(path))


def stack_of_plane(image: npt.NDArray[Any], name: str = "the image") -> npt.NDArray[Any]:
    """An image (Y, X) or (Y, X, C) as a stack (1, C, Y, X); a view, constant channels after the first left out."""
    plane = image[..., None] if image.ndim == 2 else image
    if plane.ndim != 3:
        message = f"{name} has shape {image.shape}, more than one plane; open stacks with `cellpose --Zstack`"
        raise AxesError(message)
    channels = np.moveaxis(plane[..., :MOST_CHANNELS], -1, 0)
    last = len(channels)
    while last > 1 and channels[last - 1].min() == channels[last - 1].max():
        last -= 1
    return channels[None, :last]
