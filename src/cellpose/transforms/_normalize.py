"""Bringing the intensities of images to a common scale: percentiles, local (tile) percentiles, filters."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cellpose.errors import OptionError
from cellpose.options import Normalization
from cellpose.transforms._background import subtract_background
from cellpose.transforms._filters import smooth_sharpen_img
from cellpose.transforms._percentiles import (
    LEAST_RANGE,
    Scale,
    check_percentiles,
    has_contrast,
    percentiles,
    scale_of,
    thinned,
)
from cellpose.transforms._resize import resize_safe
from cellpose.transforms._tiles import TileGrid
from cellpose.transforms._values import as_float32, as_stack, fill_nonfinite, real_image

__all__ = [
    "DEFAULT_PERCENTILE",
    "apply_normalization",
    "given_bounds",
    "network_input",
    "normalize99_tile",
    "tell_of_flat",
    "tell_of_sparse",
]

logger = logging.getLogger("cellpose.transforms")

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]

DEFAULT_PERCENTILE = (1.0, 99.0)


# ---------------------------------------------------------------------------------------------- tile normalization


def normalize99_tile(
    img: npt.ArrayLike,
    blocksize: float = 100,
    lower: float = 1.0,
    upper: float = 99.0,
    tile_overlap: float = 0.1,
    norm3D: bool = False,
    smooth3D: float = 1,
    is3D: bool = False,
) -> Float32:
    """Scale an image by percentiles that vary over it, for uneven light.

    The percentiles of overlapping blocks are smoothed over their grid and interpolated between the blocks. Blocks
    whose percentiles are the same take those of the nearest block where they are not; if there is none, the
    scale of the whole plane serves all.

    Parameters
    ----------
    img
        ``(Ly, Lx[, C])``, or ``(Lz, Ly, Lx[, C])`` with ``is3D``; four axes are a stack in any case.
    blocksize
        Side of a block in pixels.
    lower, upper
        Percentiles that become 0 and 1.
    tile_overlap
        Fraction by which blocks overlap, limited to 0.05 to 0.5.
    norm3D
        The mean over all planes serves every plane; otherwise each plane has its own percentiles, smoothed along z
        with a sigma of one plane.
    smooth3D
        With ``norm3D``, sigma in blocks of one more Gaussian along y; 0 counts as 1.
    is3D
        The first of three axes is z.

    Returns
    -------
    numpy.ndarray
        float32, of the shape of ``img``.

    Raises
    ------
    OptionError
        Percentiles out of order, a blocksize below 1.
    AxesError
        Another number of axes.
    """
    lower, upper = check_percentiles(lower, upper)
    image = real_image(img)
    view, _ = as_stack(image, is3D)
    stack = as_float32(view)
    bounds = _tile_bounds(stack, max(1, int(blocksize)), lower, upper, tile_overlap)
    _scale_by_bounds(stack, bounds, norm3D, smooth3D if smooth3D > 0 else 1)
    return stack.reshape(image.shape)


def _tile_bounds(stack: Float32, blocksize: int, lower: float, upper: float, overlap: float) -> Float32:
    """Percentiles (2, Lz, ny, nx, C) of the blocks of a stack (Lz, Ly, Lx, C)."""
    Lz, Ly, Lx, C = stack.shape
    grid = TileGrid(Ly, Lx, blocksize, overlap)
    bounds = np.empty((2, Lz, len(grid), C), np.float32)
    for z in range(Lz):
        for k in range(len(grid)):
            rows, columns = grid.window(k)
            for c in range(C):
                bounds[:, z, k, c] = percentiles(stack[z, rows, columns, c], lower, upper)
    bounds = bounds.reshape(2, Lz, *grid.shape, C)
    whole: list[Scale | None] = [None] * (C * Lz)
    for z in range(Lz):
        for c in range(C):
            if not _fill_flat_blocks(bounds[:, z, :, :, c]):
                whole[c * Lz + z] = scale_of(stack[z, ..., c], lower, upper)
                scale = whole[c * Lz + z] or Scale(0, 1)
                bounds[0, z, ..., c], bounds[1, z, ..., c] = scale.low, scale.high
    tell_of_sparse(whole, C, (lower, upper))
    return bounds


def _fill_flat_blocks(bounds: Float32) -> bool:
    """Give blocks without contrast, in place, the bounds (2, ny, nx) of the nearest block that has some; or False."""
    flat = bounds[1] - bounds[0] < LEAST_RANGE
    if not flat.any():
        return True
    if flat.all():
        return False
    good = np.argwhere(~flat)
    for j, i in np.argwhere(flat):
        nearest = good[np.argmin(((good - (j, i)) ** 2).sum(axis=1))]
        bounds[:, j, i] = bounds[:, nearest[0], nearest[1]]
    return True


def _scale_by_bounds(stack: Float32, bounds: Float32, norm3D: bool, smooth3D: float) -> None:
    """Scale a stack in place by the bounds of its blocks."""
    from scipy.ndimage import gaussian_filter1d

    Lz, Ly, Lx, _ = stack.shape
    # along z and along the rows of blocks, as published, but not along their columns
    smooth: Float32 = gaussian_filter1d(gaussian_filter1d(bounds, 1, axis=1), 1, axis=2)
    if norm3D:
        smooth = gaussian_filter1d(smooth, smooth3D, axis=2)
    if norm3D or Lz == 1:
        smooth = smooth.mean(axis=1, keepdims=True)
    for z in range(smooth.shape[1]):
        low, high = (resize_safe(np.ascontiguousarray(b[z]), Ly, Lx, cv2.INTER_LINEAR) for b in smooth)
        planes = stack if smooth.shape[1] == 1 else stack[z : z + 1]
        planes -= low
        planes /= high - low


# ------------------------------------------------------------------------------------------------------- all of it


def network_input(stack: Array, options: Normalization, *, own: bool = False) -> Float32:
    """Channels of an image as networks take them: in training, evaluation and restoration, for all families.

    Parameters
    ----------
    stack, options, own
        As `apply_normalization`.

    Returns
    -------
    numpy.ndarray
        Float32, of the same shape. With ``normalize`` off the image as it is, its channels without contrast too.
    """
    if options.normalize:
        return apply_normalization(stack, options, own=own)
    if options.invert:
        logger.warning("the image is not inverted, because normalize is off")
    return fill_nonfinite(stack) if own else as_float32(stack)


def apply_normalization(img: Array, options: Normalization, *, own: bool = False) -> Float32:
    """Normalize the channels of an image as its options say.

    Parameters
    ----------
    img
        ``(Ly, Lx, C)`` or ``(Lz, Ly, Lx, C)``, any real dtype; not modified unless ``own``.
    options
        What to do. Nothing to be done leaves the image as it is.
    own
        The image is float32 and the caller's own: it may be written to instead of copied.

    Returns
    -------
    numpy.ndarray
        Float32, of the same shape; a new array unless ``own``. A channel without contrast becomes 0 (with
        ``norm3D`` off each plane for itself), also with ``lowhigh`` and ``invert``.
    """
    scaled = options.normalize or options.lowhigh is not None or options.tile_norm_blocksize > 0
    if options.invert and not scaled:
        message = "invert=True needs normalization; set normalize=True, lowhigh or tile_norm_blocksize"
        raise OptionError(message)
    out = fill_nonfinite(img) if own else as_float32(img)
    filtered = options.lowhigh is None and any(
        radius > 0 for radius in (options.background_radius, options.sharpen_radius, options.smooth_radius)
    )
    if not scaled:
        return _filtered(out, options) if filtered else out
    together = options.norm3D or out.ndim == 3
    # determined before the filters, whose rounding would give a constant channel a range
    extremes = [_extremes(part) for part in _parts(out, together=together)]
    varied = [has_contrast(*pair) for pair in extremes]
    tell_of_flat(extremes, out.shape[-1])
    if filtered:
        out = _filtered(out, options)
        extremes = [_extremes(part) for part in _parts(out, together=together)]
    lower, upper = options.percentile or DEFAULT_PERCENTILE
    if options.lowhigh is not None:
        low, width = given_bounds(options.lowhigh, out.shape[-1])
        out -= low
        out /= width
    elif options.tile_norm_blocksize > 0:
        out = normalize99_tile(
            out,
            options.tile_norm_blocksize,
            lower,
            upper,
            norm3D=options.norm3D,
            smooth3D=options.tile_norm_smooth3D,
        )
    else:
        known = [pair if contrast else (0.0, 0.0) for pair, contrast in zip(extremes, varied, strict=True)]
        varied = _scale_channels(out, known, (lower, upper), together=together)
    for part, contrast in zip(_parts(out, together=together), varied, strict=True):
        if not contrast:
            part[...] = 0
        elif options.invert:
            np.subtract(1, part, out=part)
    return out


def _filtered(image: Float32, options: Normalization) -> Float32:
    """The image without its background, sharpened and smoothed."""
    if options.background_radius > 0:
        image = subtract_background(image, options.background_radius)
    if options.sharpen_radius > 0 or options.smooth_radius > 0:
        image = smooth_sharpen_img(image, options.smooth_radius, options.sharpen_radius)
    return image


def _parts(out: Float32, *, together: bool) -> list[Float32]:
    """Views of the parts that share a scale: the channels, or those of each plane."""
    planes = [out] if together or out.ndim == 3 else list(out)
    return [plane[..., c] for c in range(out.shape[-1]) for plane in planes]


def _extremes(part: Float32) -> tuple[float, float]:
    return float(part.min()), float(part.max())


def given_bounds(lowhigh: Any, channels: int) -> tuple[Float32, Float32]:
    """The offset subtracted from each channel, and the divisor of the rest, where ``lowhigh`` is given."""
    bounds = np.asarray(lowhigh, dtype=np.float64)
    if bounds.shape not in ((2,), (channels, 2)) or not np.isfinite(bounds).all():
        message = f"lowhigh={lowhigh!r} is not allowed; give (low, high), or {channels} such pairs, one per channel"
        raise OptionError(message)
    bounds = np.broadcast_to(bounds, (channels, 2))
    if (bounds[:, 0] == bounds[:, 1]).any():
        message = f"lowhigh={lowhigh!r} is not allowed; low and high must differ"
        raise OptionError(message)
    return bounds[:, 0].astype(np.float32), (bounds[:, 1] - bounds[:, 0]).astype(np.float32)


def _scale_channels(
    out: Float32, extremes: Sequence[tuple[float, float]], percentile: tuple[float, float], *, together: bool
) -> list[bool]:
    """Scale by percentiles, in place, parts that have contrast between their extremes; whether each part has."""
    parts = _parts(out, together=together)
    scales = [scale_of(thinned(part), *percentile, pair) for part, pair in zip(parts, extremes, strict=True)]
    tell_of_sparse(scales, out.shape[-1], percentile)
    for part, scale in zip(parts, scales, strict=True):
        if scale is not None:
            scale(part)
    return [scale is not None for scale in scales]


def tell_of_flat(extremes: Sequence[tuple[float, float]], channels: int) -> None:
    """Warn, once per image, of channels that count as constant although their intensities differ.

    Parameters
    ----------
    extremes
        Smallest and largest intensity of each plane of each channel, channels first.
    channels
        How many there are.
    """
    found = [k for k, (least, most) in enumerate(extremes) if least < most and not has_contrast(least, most)]
    if not found:
        return
    logger.warning(
        "no contrast (%s of the network): intensities from %.9g to %.9g count as constant, since they may differ by "
        "rounding only; the network sees nothing there. If there is an image, subtract the smallest intensity and "
        "divide by the largest, in float64",
        _where(found, len(extremes) // channels, len(extremes)), *extremes[found[0]],
    )  # fmt: skip


def _where(parts: Sequence[int], planes: int, count: int) -> str:
    """The channels of some of ``count`` parts: the planes of each channel, channels first."""
    names = ", ".join(str(c + 1) for c in sorted({k // planes for k in parts}))
    return f"channel {names}" if planes == 1 else f"channel {names} in {len(parts)} of {count} planes"


def tell_of_sparse(scales: Sequence[Scale | None], channels: int, percentile: tuple[float, float]) -> None:
    """Warn, once per image, of channels whose percentiles say nothing about their cells.

    Parameters
    ----------
    scales
        Of each plane of each channel, channels first.
    channels
        How many there are.
    percentile
        The percentiles that were asked for.
    """
    planes = len(scales) // channels
    found = [(k, scale) for k, scale in enumerate(scales) if scale is not None and scale.percentiles is not None]
    if not found:
        return
    scale = found[0][1]
    low, high = scale.percentiles or (0.0, 0.0)
    where = _where([k for k, _ in found], planes, len(scales))
    logger.warning(
        "sparse image (%s of the network): percentiles %g and %g are %g and %g; it is scaled from %g to %g instead, "
        "by the pixels that stand out. To choose the scale, give other percentiles, normalize={'percentile': (1, "
        "99.9)} (--norm_percentile 1 99.9), or intensities, normalize={'lowhigh': (low, high)}",
        where, *percentile, low, high, scale.low, scale.high,
    )  # fmt: skip
