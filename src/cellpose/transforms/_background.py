"""Uneven ground and uneven light: a background that is subtracted, and a flat field by which images are divided."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cellpose.errors import InputError, OptionError
from cellpose.transforms._resize import resize_safe
from cellpose.transforms._values import as_float32, as_stack, real_image

__all__ = ["correct_flatfield", "estimate_flatfield", "subtract_background"]

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]

# For a wide disc, the plane is reduced until the disc has this radius in pixels: the ground has no detail to lose.
_RADIUS = 10
# Longest side in pixels at which a flat field is estimated, and the sigma of its smoothing there.
_FLAT_SIDE, _FLAT_SIGMA = 128, 8.0
_ROUNDS = 12
_GROUND = 0.3  # part of the pixels of an image that are darker than its ground
_FEWEST = 3  # images needed to tell a flat field from the cells
_DARKEST = 0.05  # of the mean light: darker corners hold no signal that could be made brighter


def subtract_background(img: npt.ArrayLike, radius: float, is3D: bool = False, *, crop: Any = None) -> Float32:
    """Subtract a background that changes slowly, plane by plane and channel by channel.

    The background is what a disc reaches from below (a gray-scale opening, like the rolling ball of ImageJ but flat),
    smoothed: what is brighter and narrower than the disc is left.

    Parameters
    ----------
    img
        ``(Ly, Lx[, C])``, or ``(Lz, Ly, Lx[, C])`` with ``is3D``; four axes are a stack in any case.
    radius
        Of the disc in pixels: more than the radius of the largest cell. 0: nothing is subtracted.
    is3D
        The first of three axes is z.
    crop
        Position of a block, which ``distributed_eval`` passes to its ``preprocessing_steps``; not used.

    Returns
    -------
    numpy.ndarray
        float32, of the shape of ``img``.

    Raises
    ------
    OptionError
        A radius below 0.
    AxesError
        Another number of axes.

    Examples
    --------
    >>> image = np.tile(np.linspace(100, 200, 64), (64, 1))
    >>> image[30:34, 30:34] += 50
    >>> flat = subtract_background(image, 10)
    >>> bool(flat[31, 31] > 40), bool(np.median(flat) < 5)
    (True, True)
    """
    if not 0 <= radius < np.inf:
        message = f"radius={radius!r} is not allowed; give a number of pixels, 0 or more"
        raise OptionError(message)
    image = real_image(img)
    stack, channels = as_stack(image, is3D)
    out = as_float32(stack)
    if radius > 0:
        for plane in out:
            for c in range(channels):
                plane[..., c] -= _background(np.ascontiguousarray(plane[..., c]), radius)
    return out.reshape(image.shape)


def _background(plane: Float32, radius: float) -> Float32:
    """The ground of a plane (y, x)."""
    factor = max(1.0, radius / _RADIUS)
    size = [max(1, round(n / factor)) for n in plane.shape]
    small = resize_safe(plane, size[0], size[1], cv2.INTER_AREA)
    disc = round(radius / factor)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * disc + 1, 2 * disc + 1))
    # the least of several noisy pixels is far below their mean: smoothed first
    opened = cv2.morphologyEx(cv2.blur(small, (3, 3)), cv2.MORPH_OPEN, kernel)
    smooth = cv2.GaussianBlur(opened, (0, 0), max(0.5, disc / 2), borderType=cv2.BORDER_REPLICATE)
    ground: Float32 = resize_safe(smooth, *plane.shape)
    return ground


def estimate_flatfield(images: Iterable[npt.ArrayLike], dark: float = 0.0) -> Float32:
    """Estimate the flat field of a microscope, from images of different places.

    Cells are in different places in every image, but the light is the same: it is the smoothed background that all
    images have in common. Use ten images or more; three are the minimum.

    Parameters
    ----------
    images
        Planes (Y, X) of one channel, all of equal size; read one by one.
    dark
        Intensity of the camera without light.

    Returns
    -------
    numpy.ndarray
        float32 (Y, X), of mean 1.

    Raises
    ------
    InputError
        Fewer than three images, images of several sizes, or none brighter than ``dark``.
    """
    small: list[Float32] = []
    shape: tuple[int, ...] = ()
    for given in images:
        image = real_image(given)
        if image.ndim != 2 or (shape and image.shape != shape):
            message = f"a flat field needs planes (Y, X) of equal size; got {image.shape}{shape and f' after {shape}'}"
            raise InputError(message)
        shape = image.shape
        factor = max(1.0, max(shape) / _FLAT_SIDE)
        size = [max(1, round(n / factor)) for n in shape]
        plane = resize_safe(
            as_float32(image[..., np.newaxis])[..., 0] - np.float32(dark), size[0], size[1], cv2.INTER_AREA
        )
        if plane.mean() > 0:
            small.append(plane)
    if len(small) < _FEWEST:
        message = (
            f"{len(small)} images brighter than {dark:g} are too few for a flat field; give at least {_FEWEST}, "
            "better ten, or an image of an empty field"
        )
        raise InputError(message)
    light = resize_safe(_common_light(np.stack(small)), shape[0], shape[1])
    return np.asarray(light / light.mean(), np.float32)


def _common_light(stack: Float32) -> Float32:
    """The common part of the ground of all images (image, y, x), with mean 1.

    Asymmetric least squares: what is brighter than the ground by more than its scatter are cells, which hardly count.
    """
    light = np.ones(stack.shape[1:], np.float32)
    for _ in range(_ROUNDS):
        levels = np.quantile(stack / light, _GROUND, axis=(1, 2))
        ground = stack / np.maximum(levels, 1e-6)[:, np.newaxis, np.newaxis].astype(np.float32)
        excess = ground - light
        below = -excess[excess < 0]
        scatter = 1.5 * float(np.median(below)) + 1e-3 if below.size else 1e-3
        weights = 1 / (1 + np.square(np.maximum(excess, 0) / (2 * scatter)))
        total = weights.sum(axis=0)
        light = _smoothed((weights * ground).sum(axis=0) / total, total)
        light = np.maximum(light / light.mean(), np.float32(_DARKEST))
    return light


def _smoothed(plane: Float32, weights: Float32) -> Float32:
    """A Gaussian that does not flatten slopes at the borders: a surface of third degree is taken away before."""
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in plane.shape)
    yy, xx = np.meshgrid(y, x, indexing="ij")
    terms = np.stack([yy**i * xx**j for i in range(4) for j in range(4 - i)], axis=-1).reshape(plane.size, -1)
    root = np.sqrt(weights).ravel()
    fit = terms @ np.linalg.lstsq(terms * root[:, np.newaxis], plane.ravel() * root, rcond=None)[0]
    fit = fit.reshape(plane.shape).astype(np.float32)
    sigma = min(_FLAT_SIGMA, max(plane.shape) / 8)
    rest, total = (
        cv2.GaussianBlur(np.ascontiguousarray(values), (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
        for values in (weights * (plane - fit), weights)
    )
    return np.asarray(fit + rest / total, np.float32)


def correct_flatfield(
    image: npt.ArrayLike, flat: npt.ArrayLike, dark: float = 0.0, *, crop: Sequence[Any] | None = None
) -> Float32:
    """Correct uneven light: divide an image by its flat field.

    Parameters
    ----------
    image
        ``(..., Y, X)``, any real dtype; of an image with channels last, one channel at a time.
    flat
        ``(Y, X)``, or one plane for each of the axes before Y, such as ``(C, Y, X)``. Of any mean.
    dark
        Intensity without light; it does not change.
    crop
        Position of a block, which ``distributed_eval`` passes to its ``preprocessing_steps``: the same part of a flat
        field of the whole image is used.

    Returns
    -------
    numpy.ndarray
        float32, of the shape of ``image``.

    Raises
    ------
    InputError
        If the flat field does not fit the image, or is nowhere brighter than 0.

    Examples
    --------
    >>> light = np.array([[1.0, 3.0]])
    >>> correct_flatfield(np.array([[10, 30]]), light)
    array([[20., 20.]], dtype=float32)
    """
    pixels, light = real_image(image), np.asarray(real_image(flat), np.float32)
    mean = float(light.mean())
    if not mean > 0:
        message = f"a flat field of mean {mean:g} is not allowed; it must hold the light at each pixel, above 0"
        raise InputError(message)
    light = np.maximum(light / np.float32(mean), np.float32(_DARKEST))
    if crop is not None and len(crop) >= light.ndim:
        light = light[tuple(crop)[-light.ndim :]]
    if light.ndim > pixels.ndim or light.shape != pixels.shape[pixels.ndim - light.ndim :]:
        message = (
            f"a flat field of shape {light.shape} does not fit an image of shape {pixels.shape}; give one of the same "
            "height and width"
        )
        raise InputError(message)
    out = as_float32(pixels[..., np.newaxis])[..., 0] - np.float32(dark)
    out /= light
    return np.asarray(out + np.float32(dark), np.float32)
