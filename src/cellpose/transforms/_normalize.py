"""Bringing the intensities of images to a common scale: percentiles, local (tile) percentiles, filters."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cellpose.errors import AxesError, OptionError
from cellpose.options import Normalization
from cellpose.transforms._filters import smooth_sharpen_img
from cellpose.transforms._percentiles import LEAST_RANGE, check_percentiles, percentiles, scale_to, thinned
from cellpose.transforms._resize import resize_safe
from cellpose.transforms._tiles import TileGrid
from cellpose.transforms._values import as_float32, as_stack, fill_nonfinite, real_image

__all__ = ["apply_normalization", "normalize99_tile", "normalize_img"]

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]

_DEFAULT_PERCENTILE = (1.0, 99.0)


# ---------------------------------------------------------------------------------------------- tile normalisation


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

    The percentiles of overlapping blocks are smoothed over their grid and interpolated between the blocks. Blocks of
    constant intensity take those of the nearest block that is not.

    Parameters
    ----------
    img
        ``(Ly, Lx[, C])``, or ``(Lz, Ly, Lx[, C])`` with ``is3D``; four axes are a stack in any case.
    blocksize
        Side of a block in pixels.
    lower, upper
        Percentiles that become 0 and 1.
    tile_overlap
        Fraction by which blocks overlap, kept between 0.05 and 0.5.
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
    for z in range(Lz):
        for c in range(C):
            _fill_flat_blocks(bounds[:, z, :, :, c])
    return bounds


def _fill_flat_blocks(bounds: Float32) -> None:
    """Give blocks without contrast, in place, the bounds (2, ny, nx) of the nearest block that has some."""
    flat = bounds[1] - bounds[0] < LEAST_RANGE
    if not flat.any():
        return
    if flat.all():
        bounds[0], bounds[1] = 0, 1
        return
    good = np.argwhere(~flat)
    for j, i in np.argwhere(flat):
        nearest = good[np.argmin(((good - (j, i)) ** 2).sum(axis=1))]
        bounds[:, j, i] = bounds[:, nearest[0], nearest[1]]


def _scale_by_bounds(stack: Float32, bounds: Float32, norm3D: bool, smooth3D: float) -> None:
    """Scale a stack in place by the bounds of its blocks."""
    from scipy.ndimage import gaussian_filter1d

    Lz, Ly, Lx, _ = stack.shape
    # along z and along the rows of blocks, as published: not along their columns
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


def normalize_img(
    img: npt.ArrayLike,
    normalize: bool = True,
    norm3D: bool = True,
    invert: bool = False,
    lowhigh: Any = None,
    percentile: tuple[float, float] | None = _DEFAULT_PERCENTILE,
    sharpen_radius: float = 0,
    smooth_radius: float = 0,
    tile_norm_blocksize: float = 0,
    tile_norm_smooth3D: float = 1,
    axis: int = -1,
) -> Float32:
    """Normalise each channel of an image or stack.

    Parameters
    ----------
    img
        At least three axes, one of them the channels, such as ``(Ly, Lx, C)`` or ``(Lz, Ly, Lx, C)``.
    normalize
        Scale each channel so that its percentiles become 0 and 1.
    norm3D
        One scale for all planes of a stack instead of one a plane.
    invert
        Turn intensities round afterwards: 1 - x.
    lowhigh
        Intensities that become 0 and 1, ``(low, high)`` or ``(C, 2)``; nothing else but ``invert`` is done then.
    percentile
        Percentiles that become 0 and 1; None: 1 and 99.
    sharpen_radius, smooth_radius
        See `smooth_sharpen_img`; done first.
    tile_norm_blocksize, tile_norm_smooth3D
        See `normalize99_tile`; done in place of the plain percentiles where the block size is above 0.
    axis
        The channel axis.

    Returns
    -------
    numpy.ndarray
        New array, float32, of the shape of ``img``; intensities that are no finite numbers count as the extremes of
        the rest of their channel. A channel of constant intensity becomes 0; with
        ``normalize=False`` and no other option the intensities stay as they are.

    Raises
    ------
    AxesError
        Fewer than three axes, or an axis that does not exist.
    OptionError
        Percentiles out of order, ``lowhigh`` of another shape, ``invert`` without any scaling.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.arange(200.0).reshape(10, 10, 2)
    >>> normalize_img(image, percentile=(0, 100))[[0, 9], [0, 9], 0]
    array([0., 1.], dtype=float32)
    """
    options = Normalization(
        normalize=normalize,
        lowhigh=lowhigh,
        percentile=percentile if percentile is None else (percentile[0], percentile[1]),
        norm3D=norm3D,
        sharpen_radius=sharpen_radius,
        smooth_radius=smooth_radius,
        tile_norm_blocksize=tile_norm_blocksize,
        tile_norm_smooth3D=tile_norm_smooth3D,
        invert=invert,
    )
    image = real_image(img)
    if image.ndim < 3:
        message = f"an image of shape {image.shape} has no channel axis; give (Ly, Lx, C) or (Lz, Ly, Lx, C)"
        raise AxesError(message)
    if not -image.ndim <= axis < image.ndim:
        message = f"axis={axis} does not exist in an image of shape {image.shape}; give the channel axis"
        raise AxesError(message)
    last = apply_normalization(np.moveaxis(image, axis, -1), options, zero_constant=True)
    return np.ascontiguousarray(np.moveaxis(last, -1, axis))


def apply_normalization(img: Array, options: Normalization, *, zero_constant: bool, own: bool = False) -> Float32:
    """Normalise the channels of an image as its options say.

    Parameters
    ----------
    img
        ``(Ly, Lx, C)`` or ``(Lz, Ly, Lx, C)``, any real dtype; not modified unless ``own``.
    options
        What to do.
    zero_constant
        A channel of constant intensity becomes 0, as the transformer models were trained; False: it stays as it is,
        as the U-Net models were. With ``normalize`` off nothing is set to 0.
    own
        The image is float32 and the caller's own: it may be written to instead of copied.

    Returns
    -------
    numpy.ndarray
        Float32, of the same shape; a new array unless ``own``.
    """
    scaled = options.normalize or options.lowhigh is not None or options.tile_norm_blocksize > 0
    if options.invert and not scaled:
        message = "invert=True needs a scale on which to invert; set normalize=True, lowhigh or tile_norm_blocksize"
        raise OptionError(message)
    out = fill_nonfinite(img) if own else as_float32(img)
    if options.lowhigh is not None:
        _scale_lowhigh(out, options.lowhigh)
        return _inverted(out, [True] * out.shape[-1]) if options.invert else out
    # looked for before the filters, whose rounding would give a constant channel a range
    varied = [bool(np.ptp(out[..., c]) > 0) for c in range(out.shape[-1])]
    if options.sharpen_radius > 0 or options.smooth_radius > 0:
        out = smooth_sharpen_img(out, options.smooth_radius, options.sharpen_radius)
    if not scaled:
        return out
    lower, upper = options.percentile or _DEFAULT_PERCENTILE
    if options.tile_norm_blocksize > 0:
        varied = [True] * out.shape[-1]
        out = normalize99_tile(
            out,
            options.tile_norm_blocksize,
            lower,
            upper,
            norm3D=options.norm3D,
            smooth3D=options.tile_norm_smooth3D,
        )
    else:
        _scale_channels(out, varied, lower, upper, together=options.norm3D or out.ndim == 3)
    if options.invert:
        _inverted(out, varied)
    if zero_constant:
        out[..., ~np.array(varied)] = 0
    return out


def _scale_lowhigh(out: Float32, lowhigh: Any) -> None:
    bounds = np.asarray(lowhigh, dtype=np.float64)
    channels = out.shape[-1]
    if bounds.shape not in ((2,), (channels, 2)) or not np.isfinite(bounds).all():
        message = f"lowhigh={lowhigh!r} is not allowed; give (low, high), or {channels} such pairs, one a channel"
        raise OptionError(message)
    bounds = np.broadcast_to(bounds, (channels, 2))
    if (bounds[:, 0] == bounds[:, 1]).any():
        message = f"lowhigh={lowhigh!r} is not allowed; low and high must differ"
        raise OptionError(message)
    out -= bounds[:, 0].astype(np.float32)
    out /= (bounds[:, 1] - bounds[:, 0]).astype(np.float32)


def _scale_channels(out: Float32, varied: list[bool], lower: float, upper: float, *, together: bool) -> None:
    for c in range(out.shape[-1]):
        if not varied[c]:
            continue
        for part in [out[..., c]] if together else list(out[..., c]):
            scale_to(part, *percentiles(thinned(part), lower, upper))


def _inverted(out: Float32, channels: list[bool]) -> Float32:
    for c, wanted in enumerate(channels):
        if wanted:
            np.subtract(1, out[..., c], out=out[..., c])
    return out
