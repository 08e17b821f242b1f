"""Images as the window takes them: stacks (Z, C, Y, X)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose import io
from cellpose._machine.reading import reading
from cellpose.errors import AxesError
from cellpose.transforms import convert_image, scale_of, thinned

__all__ = ["MOST_CHANNELS", "FileImage", "image_of_file", "plane_of_file", "scaled_as_whole", "stack_of_plane"]

MOST_CHANNELS = 3
_STACKS = "`cellpose --image_path FILE --do_3D --save_tif` segments stacks"
_MOST_SHOWN = 32  # an axis that is longer counts planes or times


@dataclass(frozen=True, eq=False)
class FileImage:
    """An image as a file holds it.

    Parameters
    ----------
    stack
        As networks take it: (1, C, Y, X), at most three channels.
    channels
        All channels, (1, C, Y, X), to be looked at.
    pixel_um
        Height and width of a pixel in micrometres; None where the file does not say.
    channel_names
        Empty where unknown.
    left_out
        What of the file is not seen, for the user; empty: all is.
    """

    stack: npt.NDArray[Any]
    channels: npt.NDArray[Any]
    pixel_um: tuple[float, float] | None = None
    channel_names: tuple[str, ...] = ()
    left_out: str = ""


def image_of_file(path: Path) -> FileImage:
    """The plane of a file; raises as `plane_of_file` does."""
    image = io.read_image(path)
    with reading(path):
        stack = stack_of_plane(convert_image(image.data, do_3D=False), str(path))
    _, y, x = image.pixel_size_um
    size = (float(y), float(x)) if y and x else None
    channels = _all_channels(image)
    whole = stack if channels is None or channels.shape[2:] != stack.shape[2:] else channels
    return FileImage(stack, whole, size, image.channel_names, _left_out(image, path.name))


def _all_channels(image: io.Image) -> npt.NDArray[Any] | None:
    """(1, C, Y, X) of a plane with more channels than networks take; else None."""
    if image.data.ndim != 3:
        return None
    axis = _channel_axis(image)
    letters = image.axes[:axis] + image.axes[axis + 1 :]
    if image.axes[axis] in "ZT" or not MOST_CHANNELS < image.data.shape[axis] <= _MOST_SHOWN or "Z" in letters:
        return None
    return np.moveaxis(image.data, axis, 0)[None]


def _channel_axis(image: io.Image) -> int:
    """Index of the channel axis among three axes, by its name or as the shortest."""
    declared = image.axis("C")
    return int(np.argmin(image.data.shape)) if declared is None else declared


def _left_out(image: io.Image, name: str) -> str:
    """What to tell of planes or times that are taken for channels."""
    if image.data.ndim != 3:
        return ""
    axis = _channel_axis(image)
    length, letter = image.data.shape[axis], image.axes[axis]
    if letter not in "ZT" and length <= _MOST_SHOWN:
        return ""
    what = {"Z": "planes", "T": "time points"}.get(letter, "planes")
    return (
        f"{name} holds {length} {what}; the window shows single planes, and of these the first {MOST_CHANNELS} as "
        f"colors. {_STACKS}"
    )


def plane_of_file(path: Path) -> npt.NDArray[Any]:
    """The plane of a file as a stack (1, C, Y, X), its first three channels.

    Raises
    ------
    AxesError
        If the file holds a stack of planes.
    FileReadError
        If it cannot be read.
    """
    return image_of_file(path).stack


def stack_of_plane(image: npt.NDArray[Any], name: str = "the image") -> npt.NDArray[Any]:
    """An image (Y, X) or (Y, X, C) as a stack (1, C, Y, X); a view, constant channels after the first left out."""
    plane = image[..., None] if image.ndim == 2 else image
    if plane.ndim != 3:
        message = f"{name} has shape {image.shape}, more than one plane, and the window shows single planes; {_STACKS}"
        raise AxesError(message)
    channels = np.moveaxis(plane[..., :MOST_CHANNELS], -1, 0)
    last = len(channels)
    while last > 1 and channels[last - 1].min() == channels[last - 1].max():
        last -= 1
    return channels[None, :last]


def scaled_as_whole(
    part: npt.NDArray[Any], stack: npt.NDArray[Any], lower: float, upper: float
) -> npt.NDArray[np.float32]:
    """A part (Y, X, C) of an image, scaled by percentiles of the whole stack (1, C, Y, X), not by its own.

    Of a part of background alone, its own percentiles would make noise as bright as cells.
    """
    out = np.array(part, np.float32)
    for number, channel in enumerate(stack[0]):
        scale = scale_of(thinned(channel), lower, upper, (float(channel.min()), float(channel.max())))
        if scale is None:
            out[..., number] = 0
        else:
            scale(out[..., number])
    return out
