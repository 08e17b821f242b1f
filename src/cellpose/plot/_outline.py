"""Outlines of masks drawn into an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from cellpose._labels.check import Labels, check_labels
from cellpose.errors import InputError, OptionError
from cellpose.plot._color import channels_last

__all__ = ["outline_view"]

Mode = Literal["inner", "outer", "thick", "subpixel"]

_MODES = ("inner", "outer", "thick", "subpixel")


def _thick(labels: Labels) -> NDArray[np.bool_]:
    """Pixels one of whose four neighbors has another label."""
    thick = _subpixel(labels)
    thick[1:] |= labels[1:] != labels[:-1]
    thick[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    return thick


def _subpixel(labels: Labels) -> NDArray[np.bool_]:
    """Pixels that lie half a pixel to the left of, or above, a boundary between pixels."""
    boundary = np.zeros(labels.shape, np.bool_)
    boundary[:-1] |= labels[:-1] != labels[1:]
    boundary[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    return boundary


def _between(labels: Labels) -> NDArray[np.bool_]:
    """Pixels of labels that have two different labels among their eight neighbors and themselves."""
    high: Labels = ndimage.maximum_filter(labels, size=3, mode="nearest")
    foreground_or_top = np.where(labels == 0, np.iinfo(labels.dtype).max, labels)
    low: Labels = ndimage.minimum_filter(foreground_or_top, size=3, mode="nearest")
    between: NDArray[np.bool_] = (low != high) & (labels > 0)
    return between


def _boundaries(labels: Labels, mode: str) -> NDArray[np.bool_]:
    if mode == "subpixel":
        return _subpixel(labels)
    drawn = _thick(labels)
    if mode == "inner":
        drawn &= labels > 0
    elif mode == "outer":
        drawn &= (labels == 0) | _between(labels)
    return drawn


def outline_view(
    img0: ArrayLike, maski: ArrayLike, color: Sequence[float] = (1, 0, 0), mode: Mode = "inner"
) -> NDArray[Any]:
    """An image with the outlines of masks drawn into it.

    Parameters
    ----------
    img0
        Image (Ly, Lx), (Ly, Lx, C) or (C, Ly, Lx); one channel is shown in gray, of more than three the first three.
    maski
        Labels (Ly, Lx), 0 is background.
    color
        RGB color of the outlines, in the units of the image: for 0 to 255 red is ``[255, 0, 0]``.
    mode
        Which pixels are drawn: "inner", of a label next to another label or background; "outer", of background next
        to a label, and of labels where they touch; "thick", both; "subpixel", the one to the left of, or above, each
        border between pixels.

    Returns
    -------
    ndarray
        (Ly, Lx, 3) in the dtype of `img0`.

    Raises
    ------
    InputError
        If `maski` is not a label image or `img0` of another shape.
    OptionError
        If `mode` is unknown or `color` not three numbers.

    Examples
    --------
    >>> masks = np.zeros((5, 5), int)
    >>> masks[1:4, 1:4] = 1
    >>> outline_view(np.zeros((5, 5)), masks)[..., 0].astype(int)
    array([[0, 0, 0, 0, 0],
           [0, 1, 1, 1, 0],
           [0, 1, 0, 1, 0],
           [0, 1, 1, 1, 0],
           [0, 0, 0, 0, 0]])
    """
    if mode not in _MODES:
        message = f"mode={mode!r} is not allowed; choose one of {', '.join(map(repr, _MODES))}"
        raise OptionError(message)
    if len(color) != 3:
        message = f"color={color!r} is not allowed; give three numbers: red, green, blue"
        raise OptionError(message)
    labels = check_labels(maski, ndim=(2,), name="maski")
    image = channels_last(np.asarray(img0))
    if image.shape[:2] != labels.shape:
        message = f"img0 has shape {np.shape(img0)} and maski {labels.shape}; they must belong to the same image"
        raise InputError(message)
    view = three_channels(image)
    view[_boundaries(labels, mode)] = np.asarray(color)
    return view


def three_channels(image: NDArray[Any]) -> NDArray[Any]:
    """A copy of an image (Ly, Lx, C) with three channels: one is repeated, two get an empty third, others are cut."""
    n = image.shape[-1]
    if n == 1:
        return np.repeat(image, 3, axis=-1)
    three = np.zeros((*image.shape[:2], 3), image.dtype)
    three[..., : min(n, 3)] = image[..., :3]
    return three
