"""Bringing the intensities of images to a common scale: percentiles, local (tile) percentiles, filters."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from cellpose.errors import AxesError, InputError, OptionError
from cellpose.options import Normalization
from cellpose.transforms._resize import resize_safe
from cellpose.transforms._tiles import TileGrid

if TYPE_CHECKING:
    import torch

__all__ = [
    "apply_normalization",
    "gaussian_kernel",
    "normalize99",
    "normalize99_tile",
    "normalize_img",
    "smooth_sharpen_img",
]

logger = logging.getLogger("cellpose.transforms")

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.floating[Any]]
Float32 = npt.NDArray[np.float32]

_LEAST_RANGE = 1e-3  # a range of intensities below this is taken for noise of the arithmetic
_DEFAULT_PERCENTILE = (1.0, 99.0)
_LARGEST_EXACT = 224**3  # arrays of more values are thinned out before their percentiles are taken
_HISTOGRAM_BINS = 2**16


# ----------------------------------------------------------------------------------------------------- percentiles


def _percentiles(values: Array, lower: float, upper: float) -> tuple[float, float]:
    """Two percentiles with linear interpolation between order statistics, as ``numpy.percentile`` defines them.

    Values that are whole numbers below 65536, as cameras deliver them, are counted instead of sorted: the result is
    the same, several times faster.
    """
    flat = values.ravel()
    wanted = [q / 100.0 * (flat.size - 1) for q in (lower, upper)]
    ranks = sorted({int(f) for w in wanted for f in (math.floor(w), math.ceil(w))})
    statistics = _by_counting(flat, ranks) if flat.size > _HISTOGRAM_BINS else None
    if statistics is None:
        ordered = np.partition(flat, ranks)
        statistics = {r: float(ordered[r]) for r in ranks}
    low, high = (
        statistics[math.floor(w)] + (statistics[math.ceil(w)] - statistics[math.floor(w)]) * (w - math.floor(w))
        for w in wanted
    )
    return low, high


def _by_counting(flat: Array, ranks: Sequence[int]) -> dict[int, float] | None:
    """Order statistics from a histogram; None where the values are not all whole numbers of 16 bits."""
    sample = flat[:1024]
    if flat.dtype.kind == "f" and not (np.isfinite(sample).all() and (sample == np.floor(sample)).all()):
        return None
    least, most = flat.min(), flat.max()
    if not (least >= 0 and most < _HISTOGRAM_BINS):  # a NaN is neither
        return None
    whole = flat.astype(np.uint16)
    if flat.dtype.kind == "f" and not np.array_equal(whole, flat):
        return None
    cumulative = np.cumsum(np.bincount(whole, minlength=int(most) + 1))
    return {r: float(np.searchsorted(cumulative, r, side="right")) for r in ranks}


def _thinned(values: Array) -> Array:
    """Every n-th value along each axis of an array too large for exact percentiles to be worth their time."""
    if values.size <= _LARGEST_EXACT:
        return values
    steps = [max(1, n // 224) for n in values.shape]
    if values.ndim == 3:
        steps[0] = max(1, values.shape[0] // 50)
    return values[tuple(slice(None, None, s) for s in steps)]


def _check_percentiles(lower: float | None, upper: float | None) -> tuple[float, float]:
    if lower is None or upper is None or not 0 <= lower < upper <= 100:
        message = f"percentiles {lower!r} and {upper!r} are not allowed; give 0 <= lower < upper <= 100"
        raise OptionError(message)
    return float(lower), float(upper)


def _as_real(img: npt.ArrayLike) -> Array:
    image = np.asarray(img)
    if image.dtype.kind not in "buif":
        message = f"an image of dtype {image.dtype} cannot be normalised; give integers, floats or booleans"
        raise InputError(message)
    if image.size == 0:
        message = f"an image of shape {image.shape} holds no pixel; give at least one pixel along every axis"
        raise InputError(message)
    return image


def normalize99(
    Y: npt.ArrayLike, lower: float = 1, upper: float = 99, copy: bool = True, downsample: bool = False
) -> Floats:
    """Scale an array so that two percentiles become 0 and 1. Values beyond them are not cut off.

    Parameters
    ----------
    Y
        Intensities, any shape and real dtype.
    lower, upper
        Percentiles, ``0 <= lower < upper <= 100``, interpolated linearly.
    copy
        False: the result is written into ``Y`` where ``Y`` is of floats.
    downsample
        Take the percentiles from every n-th pixel where there are more than 224³.

    Returns
    -------
    numpy.ndarray
        float32, or float64 for float64; all 0 where the percentiles differ by less than 0.001.

    Raises
    ------
    OptionError
        Percentiles out of order or range.
    InputError
        An empty array or one without order.

    Examples
    --------
    >>> import numpy as np
    >>> normalize99(np.arange(101), lower=0, upper=100)[[0, 50, 100]]
    array([0. , 0.5, 1. ], dtype=float32)
    """
    lower, upper = _check_percentiles(lower, upper)
    given = _as_real(Y)
    wide = given.dtype if given.dtype in (np.float32, np.float64) else np.dtype(np.float32)
    values: Floats = given.astype(wide.newbyteorder("="), copy=copy)
    return _scale(values, *_percentiles(_thinned(values) if downsample else values, lower, upper))


def _scale(values: Floats, low: float, high: float) -> Floats:
    """Values moved and scaled in place so that low becomes 0 and high 1."""
    low, high = values.dtype.type(low), values.dtype.type(high)
    if high - low > _LEAST_RANGE:
        values -= low
        values /= high - low
    else:
        values[...] = 0
    return values


# --------------------------------------------------------------------------------------------------------- filters


def gaussian_kernel(sigma: float, Ly: int, Lx: int, device: Any = None) -> torch.Tensor:
    """Gaussian over a whole image, with the sum 1.

    Both axes are measured as the published code does, from -Ly/2 to Ly/2 + 1: the grid of x is stretched where an
    image is not square.

    Parameters
    ----------
    sigma
        Standard deviation in pixels, above 0.
    Ly, Lx
        Size in pixels.
    device
        Device of the tensor; None: CPU.

    Returns
    -------
    torch.Tensor
        float32 ``(Ly, Lx)``.

    Raises
    ------
    OptionError
        A sigma that is not above 0.
    """
    import torch

    if not sigma > 0:
        message = f"sigma={sigma!r} is not allowed; give a number of pixels above 0"
        raise OptionError(message)
    y = torch.linspace(-Ly / 2, Ly / 2 + 1, Ly, device=device)
    x = torch.linspace(-Ly / 2, Ly / 2 + 1, Lx, device=device)
    exponent = -(y[:, None] ** 2 + x[None] ** 2) / (2 * sigma**2)
    if sigma < 1:
        # a Gaussian this narrow may vanish at every point of the grid; only ratios count
        exponent = exponent - exponent.max()
    kernel: torch.Tensor = torch.exp(exponent)
    return kernel.div_(kernel.sum())


def smooth_sharpen_img(
    img: npt.ArrayLike,
    smooth_radius: float = 6,
    sharpen_radius: float = 12,
    device: Any = None,
    is3D: bool = False,
) -> Float32:
    """Smooth an image, sharpen it, or both (a band-pass), plane by plane and channel by channel.

    The filter is circular (the image repeats at its borders). Sharpening subtracts a Gaussian of ``sharpen_radius``,
    smoothing is a Gaussian of ``smooth_radius``.

    Parameters
    ----------
    img
        ``(Ly, Lx[, C])``, or ``(Lz, Ly, Lx[, C])`` with ``is3D``; four axes are a stack in any case.
    smooth_radius, sharpen_radius
        Standard deviations in pixels; 0: off.
    device
        Where to compute; None: CPU.
    is3D
        The first of three axes is z.

    Returns
    -------
    numpy.ndarray
        float32, of the shape of ``img``.

    Raises
    ------
    AxesError
        Another number of axes.
    """
    import torch

    image = _as_real(img)
    stack, channels = _as_stack(image, is3D)
    if smooth_radius <= 0 and sharpen_radius <= 0:
        return image.astype(np.float32)
    response = _filter_response(smooth_radius, sharpen_radius, stack.shape[1], stack.shape[2], device)
    out = np.empty(stack.shape, np.float32)
    for z, plane in enumerate(stack):
        for c in range(channels):
            values = torch.from_numpy(np.array(plane[..., c], np.float32)).to(device)
            filtered = torch.fft.ifft2(torch.fft.fft2(values) * response).real
            out[z, ..., c] = torch.fft.fftshift(filtered).cpu().numpy()
    return out.reshape(image.shape)


def _filter_response(smooth_radius: float, sharpen_radius: float, Ly: int, Lx: int, device: Any) -> torch.Tensor:
    import torch

    kernel = torch.zeros(Ly, Lx, device=device)
    if smooth_radius > 0:
        kernel += gaussian_kernel(smooth_radius, Ly, Lx, device)
    if sharpen_radius > 0:
        kernel -= gaussian_kernel(sharpen_radius, Ly, Lx, device)
        if smooth_radius <= 0:
            kernel[Ly // 2, Lx // 2] = 1
    response: torch.Tensor = torch.fft.fft2(kernel)
    return response.conj()


def _as_stack(image: Array, is3D: bool) -> tuple[Array, int]:
    """View of an image as (Lz, Ly, Lx, C), and C."""
    spatial = 3 if image.ndim == 4 or (is3D and image.ndim == 3) else 2
    if image.ndim not in (spatial, spatial + 1):
        message = f"an image of shape {image.shape} is not allowed with is3D={is3D}; give (Ly, Lx[, C]) or a stack"
        raise AxesError(message)
    stack = image if image.ndim > spatial else image[..., np.newaxis]
    stack = stack if spatial == 3 else stack[np.newaxis]
    return stack, stack.shape[-1]


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
        The mean over all planes serves every plane; otherwise each plane has its own.
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
    lower, upper = _check_percentiles(lower, upper)
    image = _as_real(img)
    view, _ = _as_stack(image, is3D)
    stack = view.astype(np.float32)
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
                bounds[:, z, k, c] = _percentiles(stack[z, rows, columns, c], lower, upper)
    bounds = bounds.reshape(2, Lz, *grid.shape, C)
    for z in range(Lz):
        for c in range(C):
            _fill_flat_blocks(bounds[:, z, :, :, c])
    return bounds


def _fill_flat_blocks(bounds: Float32) -> None:
    """Give blocks without contrast, in place, the bounds (2, ny, nx) of the nearest block that has some."""
    flat = bounds[1] - bounds[0] < _LEAST_RANGE
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
        New array, float32, of the shape of ``img``. A channel of constant intensity becomes 0; with
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
    image = _as_real(img)
    if image.ndim < 3:
        message = f"an image of shape {image.shape} has no channel axis; give (Ly, Lx, C) or (Lz, Ly, Lx, C)"
        raise AxesError(message)
    if not -image.ndim <= axis < image.ndim:
        message = f"axis={axis} does not exist in an image of shape {image.shape}; give the channel axis"
        raise AxesError(message)
    last = apply_normalization(np.moveaxis(image, axis, -1), options, zero_constant=True)
    return np.ascontiguousarray(np.moveaxis(last, -1, axis))


def apply_normalization(img: Array, options: Normalization, *, zero_constant: bool) -> Float32:
    """Normalise the channels of an image as its options say.

    Parameters
    ----------
    img
        ``(Ly, Lx, C)`` or ``(Lz, Ly, Lx, C)``, any real dtype; not modified.
    options
        What to do.
    zero_constant
        A channel of constant intensity becomes 0, as the transformer models were trained; False: it stays as it is,
        as the U-Net models were. With ``normalize`` off nothing is set to 0.

    Returns
    -------
    numpy.ndarray
        New array, float32, of the same shape.
    """
    scaled = options.normalize or options.lowhigh is not None or options.tile_norm_blocksize > 0
    if options.invert and not scaled:
        message = "invert=True needs a scale on which to invert; set normalize=True, lowhigh or tile_norm_blocksize"
        raise OptionError(message)
    out: Float32 = img.astype(np.float32)
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
            _scale(part, *_percentiles(_thinned(part), lower, upper))


def _inverted(out: Float32, channels: list[bool]) -> Float32:
    for c, wanted in enumerate(channels):
        if wanted:
            np.subtract(1, out[..., c], out=out[..., c])
    return out
