"""Accepted forms of images, and options that differ between the images of a list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellpose.errors import AxesError, InputError, OptionError

__all__ = ["Images", "Layout", "as_image", "one_number", "read_with_axes"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Layout:
    """The meaning of the axes and channels of an array.

    Attributes
    ----------
    channels
        Version 3: channel to segment and channel of nuclei, 1-based, 0 for gray or none.
    channel_axis, z_axis
        Indices of axes, ``None`` to find them.
    """

    channels: Any = None
    channel_axis: int | None = None
    z_axis: int | None = None

    def of(self, index: int, n: int | None) -> Layout:
        """The layout of one image of a list of ``n`` (``None``: not known)."""
        if not _is_nested(self.channels) or len(self.channels) == 1:
            return self
        if n is not None and len(self.channels) != n:
            message = f"channels has {len(self.channels)} entries for {n} images; give one pair, or one per image"
            raise InputError(message)
        return Layout(_entry("channels", self.channels, index), self.channel_axis, self.z_axis)

    def of_some(self, indices: Sequence[int], n: int) -> Layout:
        """The layout of some images of a list of ``n``, as a list of their own."""
        if not _is_nested(self.channels) or len(self.channels) == 1:
            return self
        return Layout([self.of(index, n).channels for index in indices], self.channel_axis, self.z_axis)


@dataclass(frozen=True)
class Images:
    """One image, or several that are read when needed.

    Attributes
    ----------
    items
        Arrays or paths.
    count
        Number of images; ``None`` if it is unknown before all are read.
    many
        Whether results are lists.
    """

    items: Iterable[Any]
    count: int | None
    many: bool

    @classmethod
    def of(cls, x: Any) -> Images:
        """What ``x`` holds: an array, a file, a folder, or a list, tuple, generator or 5-D array of images.

        Raises
        ------
        InputError
            If it is none of these.
        """
        if isinstance(x, (str, Path)):
            return cls._of_path(Path(x))
        if isinstance(x, memoryview):
            return cls.of(as_array(x))
        if isinstance(x, np.ndarray) and x.dtype != object:
            squeezed = x.squeeze() if x.ndim >= 5 else x
            if squeezed.ndim > 5:
                message = f"an array of shape {x.shape} has too many axes; give at most 5: images of up to 4 axes"
                raise InputError(message)
            return cls(squeezed, len(squeezed), True) if squeezed.ndim == 5 else cls([x], 1, False)
        if type(x) in (list, tuple) and any(map(_is_group, x)):  # others may load their items when asked
            message = "lists of lists of images are not allowed; give one list, or call eval with each"
            raise InputError(message)
        if isinstance(x, (Sequence, np.ndarray)):
            return cls(x, len(x), True)
        if hasattr(x, "__array__"):
            return cls.of(as_array(x))
        if isinstance(x, (Iterator, Iterable)):
            return cls(x, None, True)
        message = (
            f"an image of type {type(x).__name__} cannot be segmented; give an array, the path of an image or of a "
            "folder, or a list of these"
        )
        raise InputError(message)

    @classmethod
    def _of_path(cls, path: Path) -> Images:
        from cellpose import io

        if not path.is_dir() or io.is_zarr(path):
            return cls([path], 1, False)
        files = io.once_per_set([Path(file) for file in io.get_image_files(path, "_masks")])
        return cls(files, len(files), True)


def read_with_axes(item: Any, layout: Layout, *, planes_by_name: bool) -> tuple[Array, Layout]:
    """One image as `as_image` gives it, and its layout: of a file, numbers of axes are those that the file has.

    Axes that no number is given for are those that the file declares; planes only ``planes_by_name``.

    Raises
    ------
    AxesError
        If the numbers contradict the file, or if it has time points that no number is given for; others as `as_image`.
    """
    if not isinstance(item, (str, Path)):
        return as_image(item), layout
    from cellpose import io

    image = io.read_image(item)
    c, z = image.place("C", layout.channel_axis), image.place("Z", layout.z_axis)
    if c is None and image.declares("C") and image.axis("C") != z:
        c = image.axis("C")
    if z is None and planes_by_name and image.declares("Z") and image.axis("Z") != c:
        z = image.axis("Z")
    t = image.axis("T")
    if t is not None and t != z:
        message = (
            f"{image.name} has axes {image.axes} of shape {image.data.shape}: its time points are neither planes nor "
            "channels. Segment it with models.segment_image(model, path), or give its frames, [frame.data for frame in "
            f"io.read_image(path).frames()]; if the time points are planes: z_axis={t}"
        )
        raise AxesError(message)
    return as_image(image.data), Layout(layout.channels, c, z)


def as_image(item: Any) -> Array:
    """One image as an array of real numbers; files are read.

    Raises
    ------
    InputError
        If it is empty, has fewer than 2 axes, or holds complex numbers, text or objects.
    FileReadError
        If a file cannot be read.
    """
    if isinstance(item, (str, Path)):
        from cellpose import io

        image = np.asarray(io.imread(str(item)))
    else:
        image = as_array(item)
    if image.dtype.kind == "O" and not image.ndim:
        message = f"{image.item()!r} is not an image; give an array or the path of an image"
        raise InputError(message)
    if image.dtype.kind not in "buif":
        message = (
            f"an image of dtype {image.dtype} cannot be segmented; give integers or floating-point numbers (for "
            "complex numbers their magnitude)"
        )
        raise InputError(message)
    if image.ndim < 2 or 0 in image.shape:
        message = f"an image of shape {image.shape} cannot be segmented; give 2 axes or more, none of length 0"
        raise InputError(message)
    return image


def as_array(x: Any) -> Array:
    """Arrays of any library as numpy arrays, without a copy where that is possible."""
    if hasattr(x, "detach") and hasattr(x, "cpu"):  # a torch tensor, on whichever device
        x = x.detach().cpu()
        if str(x.dtype) == "torch.bfloat16":  # numpy has none
            x = x.float()
    try:
        return np.asarray(x)
    except (TypeError, ValueError, NotImplementedError, BufferError) as error:
        message = f"an image of type {type(x).__name__} cannot be converted to an array: {error}"
        raise InputError(message) from error


def one_number(name: str, value: Any, index: int, n: int | None, *, many: bool) -> float | None:
    """``value`` of an option given for all images, or the one of image ``index``, as a number.

    Raises
    ------
    InputError
        If there are not as many values as images.
    OptionError
        If it is not a number.
    """
    if value is None:
        return None
    values = np.asarray(value, dtype=object) if isinstance(value, (list, tuple)) else np.asarray(value)
    if values.ndim == 1 and not (len(values) == 1 and n != 1):
        if not many and len(values) != 1:
            message = f"{name} has {len(values)} values for one image; give one"
            raise InputError(message)
        if n is not None and len(values) != n:
            message = f"{name} has {len(values)} values for {n} images; give one for all, or one per image"
            raise InputError(message)
        found = _entry(name, values, index)
    else:
        found = values.reshape(-1)[0] if values.size == 1 else values
    if found is None:
        return None
    try:
        if isinstance(found, (str, bytes)) or np.iscomplexobj(found):
            raise TypeError  # float() parses texts, and takes only a part of complex numbers
        if found is True or (isinstance(found, np.bool_) and found):
            raise TypeError  # a switch rather than one pixel
        return float(found)
    except (TypeError, ValueError, OverflowError) as error:
        message = f"{name}={value!r} is not allowed; give a number, or a list of one number per image"
        raise OptionError(message) from error


def _is_group(item: Any) -> bool:
    """Whether this is a list of images, rather than an image as nested lists of numbers."""
    if not isinstance(item, (list, tuple)) or not item:
        return False
    return all(isinstance(image, (str, Path)) or getattr(image, "ndim", 0) >= 2 for image in item)


def _entry(name: str, values: Any, index: int) -> Any:
    if index >= len(values):
        message = f"{name} has {len(values)} entries, but there are more images; give one per image"
        raise InputError(message)
    return values[index]


def _is_nested(channels: Any) -> bool:
    """Whether ``channels`` is one entry per image rather than one pair."""
    return (
        isinstance(channels, (list, tuple, np.ndarray))
        and len(channels) > 0
        and isinstance(channels[0], (list, tuple, np.ndarray))
    )
