"""Flows, images and masks as RGB images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellpose._labels.arrays import PIXELS_PER_SLICE, as_labels
from cellpose._labels.check import Labels, check_labels
from cellpose._machine.threads import run_sliced
from cellpose.errors import InputError, OptionError
from cellpose.transforms import LEAST_RANGE, normalize99, percentiles
from cellpose.utils import hsv_to_rgb, rgb_to_hsv

__all__ = ["channels_last", "dx_to_circ", "image_to_rgb", "mask_overlay"]

Image8 = NDArray[np.uint8]

# Up to this many slices along the first axis of an image are channels, if the last axis is longer.
_MAX_CHANNELS_FIRST = 4
# Images are dark more often than bright.
_GAIN = 1.5


def channels_last(image: NDArray[Any]) -> NDArray[Any]:
    """An image (Ly, Lx), (Ly, Lx, C) or (C, Ly, Lx) as (Ly, Lx, C); intensities that are no numbers as 0."""
    if image.dtype.kind not in "buif":
        message = f"the image has dtype {image.dtype}; integers, floats or booleans are allowed"
        raise InputError(message)
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        image = np.nan_to_num(image)
    if image.ndim == 2:
        return image[..., None]
    if image.ndim != 3:
        message = f"the image has shape {image.shape}; (Ly, Lx), (Ly, Lx, C) or (C, Ly, Lx) is allowed: pass one plane"
        raise InputError(message)
    first = image.shape[0] <= _MAX_CHANNELS_FIRST < image.shape[-1]
    return np.moveaxis(image, 0, -1) if first else image


def dx_to_circ(dP: ArrayLike) -> Image8:
    """Flows as colors: the direction is the hue, the length the brightness.

    Parameters
    ----------
    dP
        Flows (2, Ly, Lx), along Y and X, or (3, Lz, Ly, Lx), along Z, Y and X. Of three, the direction is that of the
        first two.

    Returns
    -------
    ndarray
        uint8 RGB (Ly, Lx, 3) or (Lz, Ly, Lx, 3).

    Raises
    ------
    InputError
        If `dP` has another number of axes or components.

    Examples
    --------
    >>> dx_to_circ(np.zeros((2, 4, 5))).shape
    (4, 5, 3)
    """
    flows = np.asarray(dP)
    if flows.ndim not in (3, 4) or flows.shape[0] not in (2, 3):
        message = f"dP has shape {flows.shape}; (2, Ly, Lx) or (3, Lz, Ly, Lx) is allowed"
        raise InputError(message)
    from cellpose.plot._kernels import colors, lengths

    vectors = np.ascontiguousarray(flows, np.float32).reshape(len(flows), -1)
    length = np.empty(vectors.shape[1], np.float32)
    picture = np.zeros((*flows.shape[1:], 3), np.uint8)
    if length.size == 0:
        return picture
    run_sliced(lengths, length.size, vectors, length, smallest=PIXELS_PER_SLICE)
    low, high = (np.float32(value) for value in percentiles(length, 1, 99))
    if high - low > LEAST_RANGE:
        pixels = picture.reshape(-1, 3)
        run_sliced(colors, length.size, vectors, length, low, high - low, pixels, smallest=PIXELS_PER_SLICE)
    return picture


def image_to_rgb(img0: ArrayLike, channels: Sequence[int] | None = (0, 0)) -> Image8:
    """An image as RGB, each channel scaled between its 1st and 99th percentile.

    Parameters
    ----------
    img0
        Image (Ly, Lx), (Ly, Lx, C) or (C, Ly, Lx), any real dtype.
    channels
        ``[main, second]``. With main 0, or of a single channel, the mean of all channels is shown in gray. Else the
        first channel is shown in the color `main` (1 red, 2 green, 3 blue) and the second in the color `second` (0:
        not at all).

    Returns
    -------
    ndarray
        uint8 (Ly, Lx, 3).

    Raises
    ------
    InputError
        If `img0` is not an image.
    OptionError
        If `channels` are not two numbers from 0 to 3.

    Examples
    --------
    >>> image_to_rgb(np.eye(5)).shape
    (5, 5, 3)
    """
    main, second = _checked_channels(channels)
    image = channels_last(np.asarray(img0)).astype(np.float32)
    if main == 0 or image.shape[-1] == 1:
        return np.repeat(_scaled(image.mean(axis=-1))[..., None], 3, axis=-1)
    rgb = np.zeros((*image.shape[:2], 3), np.uint8)
    rgb[..., main - 1] = _scaled(image[..., 0])
    if second:
        rgb[..., second - 1] = _scaled(image[..., 1])
    return rgb


def _checked_channels(channels: Sequence[int] | None) -> tuple[int, int]:
    values = [0, 0] if channels is None else [int(c) for c in channels]
    if len(values) == 1:
        values.append(0)
    if len(values) != 2 or not all(0 <= c <= 3 for c in values):
        message = f"channels={channels!r} is not allowed; give [main, second], each 0 (gray or none), 1, 2 or 3"
        raise OptionError(message)
    return values[0], values[1]


def _scaled(channel: NDArray[np.float32]) -> Image8:
    """A channel from 0 to 255; a constant one has no percentiles and is left as it is."""
    values = normalize99(channel) if channel.size and np.ptp(channel) > 0 else channel
    scaled: Image8 = (np.clip(values, 0, 1) * 255).astype(np.uint8)
    return scaled


def _checked_colors(colors: ArrayLike, n: int) -> NDArray[np.float64]:
    """Colors of the labels 1..n in [0, 1], float64 (n, 3)."""
    table = np.asarray(colors)
    if table.ndim != 2 or table.shape[-1] != 3 or table.shape[0] < n:
        message = (
            f"colors has shape {table.shape}; ({n}, 3) is needed: give one RGB color for each of the labels 1 to {n}"
        )
        raise InputError(message)
    scale = 255.0 if table.size and table.max() > 1 else 1.0
    return table[:n].astype(np.float64) / scale


def _labels_to_color(masks: ArrayLike, colors: ArrayLike | None) -> Labels:
    """A plane of labels whose colors fit a table; a list of colors goes by the numbers that they have."""
    labels = check_labels(masks, ndim=(2,))
    return as_labels(labels) if colors is None else labels


def _table(of_label: NDArray[Any], background: ArrayLike) -> NDArray[Any]:
    """A table indexed by label from one that begins with label 1."""
    return np.concatenate([np.asarray(background, of_label.dtype)[None], of_label])


def _gray(img: ArrayLike, labels: Labels) -> NDArray[np.float32]:
    """Brightness of an image in [0, 1], of the shape of the labels."""
    image = np.asarray(img)
    channels = channels_last(image).astype(np.float32)
    gray: NDArray[np.float32] = channels.mean(axis=-1)
    if gray.shape != labels.shape:
        message = f"img has shape {image.shape} and masks {labels.shape}; they must belong to the same image"
        raise InputError(message)
    if gray.size and gray.max() > 1:
        gray /= 255
    bright: NDArray[np.float32] = np.clip(gray * _GAIN, 0, 1)
    return bright


def mask_overlay(img: ArrayLike, masks: ArrayLike, colors: ArrayLike | None = None) -> Image8:
    """An image in gray with its masks in colors.

    Parameters
    ----------
    img
        Image (Ly, Lx), (Ly, Lx, C) or (C, Ly, Lx), 0 to 1 or 0 to 255; the mean of the channels is shown.
    masks
        Labels (Ly, Lx), 0 is background.
    colors
        RGB colors (max label, 3), 0 to 255 or 0 to 1, of which the hue is used. Without, hues are evenly spaced in
        random order (``np.random.seed`` makes it repeat).

    Returns
    -------
    ndarray
        uint8 RGB (Ly, Lx, 3).

    Raises
    ------
    InputError
        If `masks` is not a label image, `img` of another shape, or there are fewer colors than labels.
    """
    labels = _labels_to_color(masks, colors)
    value = _gray(img, labels)
    n = int(labels.max()) if labels.size else 0
    if colors is None:
        # the global generator, which scripts seed to get the same picture again
        hues = np.linspace(0, 1, n + 1)[np.random.permutation(n)]  # noqa: NPY002
    else:
        hues = rgb_to_hsv(_checked_colors(colors, n))[:, 0]
    hsv = np.stack([_table(hues, 0.0)[labels], (labels > 0).astype(np.float64), value.astype(np.float64)], axis=-1)
    return (hsv_to_rgb(hsv) * 255).astype(np.uint8)
