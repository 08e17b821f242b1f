"""Images in the layout of the window: stacks (Z, C, Y, X), or movies (T, C, Y, X)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose import io
from cellpose._machine.reading import reading
from cellpose.errors import AxesError
from cellpose.gui._texts import tr
from cellpose.gui.model._picture import some_planes
from cellpose.gui.model._volumes import MOST_COLORS, aspect_of, is_volume, movie_of, volume_of
from cellpose.transforms import convert_image, scale_of, thinned

__all__ = [
    "MOST_CHANNELS",
    "FileImage",
    "file_image",
    "image_of_file",
    "movie_of_folder",
    "plane_of_file",
    "scaled_as_whole",
    "stack_of_plane",
    "stack_of_seg",
]

MOST_CHANNELS = 3
_STACKS = tr("File > Files without names of axes are Z stacks opens planes as a volume")


@dataclass(frozen=True, eq=False)
class FileImage:
    """The image of a file.

    Parameters
    ----------
    stack
        Input of networks: (Z, C, Y, X), at most three channels.
    channels
        All channels, (Z, C, Y, X), for display.
    pixel_um
        Height and width of a pixel in micrometers; None if the file does not state it.
    channel_names
        Names of the channels; empty if unknown.
    left_out
        Message about parts of the file that are not shown; empty: all is shown.
    z_aspect
        Distance between planes in pixels.
    axis
        ``"Z"``, or ``"T"`` if the planes are frames of a movie.
    interval_s
        Seconds between frames; None if unknown.
    """

    stack: npt.NDArray[Any]
    channels: npt.NDArray[Any]
    pixel_um: tuple[float, float] | None = None
    channel_names: tuple[str, ...] = ()
    left_out: str = ""
    z_aspect: float = 1.0
    axis: str = "Z"
    interval_s: float | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of its labels, (Z, Y, X)."""
        z, _, y, x = self.channels.shape
        return z, y, x


def image_of_file(
    path: Path, as_stack: bool = False, axis: str = "", report: Callable[[float], None] = lambda _share: None
) -> FileImage:
    """The plane, the volume or the movie of a file; data too large for memory stays on disk.

    Raises `FileReadError` and the errors of `file_image`. ``report`` gets the fraction of a file copied to disk.
    """
    return file_image(io.open_image(path, report), path, as_stack, axis)


def file_image(image: io.Image, path: Path, as_stack: bool = False, axis: str = "") -> FileImage:
    """The plane, the volume or the movie of a file already read.

    Parameters
    ----------
    image, path
        The image, and its file.
    as_stack
        Read files without axis names as stacks of planes; see `is_volume`.
    axis
        The axis of its planes, overriding the file: ``"Z"`` or ``"T"``; empty: as in the file.

    Raises
    ------
    AxesError
        If the file has more dimensions than a volume or a movie of planes, with several channels.
    """
    if axis == "Z" and "Z" not in image.axes:
        image = replace(image, axes=image.axes.replace("T", "Z"))
    if axis == "T" or (not axis and "T" in image.axes):
        return _movie(image, path)
    if is_volume(image, as_stack or axis == "Z"):
        return _volume(image, path)
    with reading(path):
        stack = stack_of_plane(convert_image(image.data, do_3D=False), str(path))
    _, y, x = image.pixel_size_um
    size = (float(y), float(x)) if y and x else None
    channels = _all_channels(image)
    whole = stack if channels is None or channels.shape[2:] != stack.shape[2:] else channels
    return FileImage(stack, whole, size, image.channel_names, _left_out(image, path.name))


def _volume(image: io.Image, path: Path) -> FileImage:
    with reading(path):
        channels = volume_of(image, path.name)
    _, y, x = image.pixel_size_um
    size = (float(y), float(x)) if y and x else None
    stack = without_constant(channels[:, :MOST_CHANNELS])
    return FileImage(stack, channels, size, image.channel_names, z_aspect=aspect_of(image.pixel_size_um))


def _movie(image: io.Image, path: Path) -> FileImage:
    with reading(path):
        channels = movie_of(image, path.name)
    _, y, x = image.pixel_size_um
    size = (float(y), float(x)) if y and x else None
    stack = without_constant(channels[:, :MOST_CHANNELS])
    return FileImage(stack, channels, size, image.channel_names, axis="T", interval_s=image.interval_s)


def movie_of_folder(folder: Path, files: Sequence[Path]) -> FileImage:
    """The movie whose frames are the images of a folder, in this order.

    Raises
    ------
    AxesError
        If there are fewer than two images, or if one has several planes or not the shape of the first.
    FileReadError
        If an image cannot be read.
    """
    if len(files) < 2:
        message = tr(
            "{folder} holds {n} images; a movie needs a file for each of at least two frames",
            folder=folder,
            n=len(files),
        )
        raise AxesError(message)
    first = image_of_file(files[0])
    frames = []
    for file in files:
        image = first if file == files[0] else image_of_file(file)
        if image.shape[0] > 1 or image.channels.shape != first.channels.shape:
            message = tr(
                "{name} has {shape}, {first} has {first_shape}; frames of a movie are planes of one shape",
                name=file.name,
                shape=_in_words(image),
                first=files[0].name,
                first_shape=_in_words(first),
            )
            raise AxesError(message)
        frames.append(image.channels)
    channels = np.concatenate(frames)
    stack = without_constant(channels[:, :MOST_CHANNELS])
    return FileImage(stack, channels, first.pixel_um, first.channel_names, axis="T")


def _in_words(image: FileImage) -> str:
    planes, channels, height, width = image.channels.shape
    return tr(
        "{planes} planes, {channels} channels, {height} x {width} pixels",
        planes=planes,
        channels=channels,
        height=height,
        width=width,
    )


def _all_channels(image: io.Image) -> npt.NDArray[Any] | None:
    """All channels (1, C, Y, X) of a plane with more channels than networks take; else None."""
    if image.data.ndim != 3:
        return None
    axis = _channel_axis(image)
    letters = image.axes[:axis] + image.axes[axis + 1 :]
    if image.axes[axis] == "Z" or not MOST_CHANNELS < image.data.shape[axis] <= MOST_COLORS or "Z" in letters:
        return None
    return np.moveaxis(image.data, axis, 0)[None]


def _channel_axis(image: io.Image) -> int:
    """Index of the channel axis among three axes: by name, or the shortest."""
    declared = image.axis("C")
    return int(np.argmin(image.data.shape)) if declared is None else declared


def _left_out(image: io.Image, name: str) -> str:
    """Message about planes or times taken as channels."""
    if image.data.ndim != 3:
        return ""
    axis = _channel_axis(image)
    length, letter = image.data.shape[axis], image.axes[axis]
    if letter != "Z" and length <= MOST_COLORS:
        return ""
    return tr(
        "{name} holds {length} planes; the first {n} are seen as colors. File > "
        "Planes of this file are frames in time opens them as a movie",
        name=name,
        length=length,
        n=MOST_CHANNELS,
    )


def plane_of_file(path: Path) -> npt.NDArray[Any]:
    """The plane of a file as a stack (1, C, Y, X), with its first three channels.

    Raises
    ------
    AxesError
        If the file has a stack of planes.
    FileReadError
        If it cannot be read.
    """
    image = image_of_file(path)
    if image.shape[0] > 1:
        message = tr("{name} holds {n} planes where an image of one plane is needed", name=path.name, n=image.shape[0])
        raise AxesError(message)
    return image.stack


def stack_of_plane(image: npt.NDArray[Any], name: str = tr("the image")) -> npt.NDArray[Any]:
    """An image (Y, X) or (Y, X, C) as a stack (1, C, Y, X): a view, without trailing constant channels."""
    plane = image[..., None] if image.ndim == 2 else image
    if plane.ndim != 3:
        message = tr(
            "{name} has shape {shape}, more than one plane; {advice}", name=name, shape=image.shape, advice=_STACKS
        )
        raise AxesError(message)
    channels = np.moveaxis(plane[..., :MOST_CHANNELS], -1, 0)
    return without_constant(channels[None])


def stack_of_seg(image: npt.NDArray[Any], masks: tuple[int, ...], name: str) -> npt.NDArray[Any]:
    """The image in a ``_seg.npy`` as a stack (Z, C, Y, X); ``masks`` is the shape of its masks."""
    if len(masks) == 3 and image.shape[:3] == masks:
        return without_constant(np.moveaxis(image[..., None] if image.ndim == 3 else image, -1, 1)[:, :MOST_CHANNELS])
    return stack_of_plane(image, name)


def without_constant(stack: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A stack (Z, C, Y, X) without trailing constant channels: a view, with at least the first channel."""
    last, seen = stack.shape[1], some_planes(stack)
    while last > 1 and seen[:, last - 1].min() == seen[:, last - 1].max():
        last -= 1
    return stack[:, :last]


def scaled_as_whole(
    part: npt.NDArray[Any], stack: npt.NDArray[Any], lower: float, upper: float
) -> npt.NDArray[np.float32]:
    """A part ([Z,] Y, X, C) of an image, scaled by percentiles of the whole stack (Z, C, Y, X), not by its own.

    In a part with only background, its own percentiles would make noise as bright as cells.
    """
    out = np.array(part, np.float32)
    for number, channel in enumerate(stack[0] if len(stack) == 1 else np.moveaxis(stack, 1, 0)):
        scale = scale_of(thinned(channel), lower, upper, (float(channel.min()), float(channel.max())))
        if scale is None:
            out[..., number] = 0
        else:
            scale(out[..., number])
    return out
