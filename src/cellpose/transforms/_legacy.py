"""Names of transforms that older scripts call; nothing of the package itself does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cellpose.errors import AxesError, OptionError
from cellpose.options import Normalization
from cellpose.transforms._normalize import DEFAULT_PERCENTILE, Float32, apply_normalization
from cellpose.transforms._padding import _pad_one, get_pad_yx
from cellpose.transforms._resize import resize_image
from cellpose.transforms._values import channel_numbers, check_channels, real_image

__all__ = [
    "move_axis",
    "move_min_dim",
    "normalize_img",
    "pad_image_ND",
    "reshape",
    "resize_image_3d",
]

Array = npt.NDArray[Any]


def move_axis(img: npt.ArrayLike, m_axis: int = -1, first: bool = True) -> Array:
    """View with one axis moved to the front, or with ``first=False`` to the end. An axis too far is the last one.

    Examples
    --------
    >>> import numpy as np
    >>> move_axis(np.zeros((3, 12, 14)), m_axis=0, first=False).shape
    (12, 14, 3)
    """
    image = np.asarray(img)
    axis = min(m_axis, image.ndim - 1)
    return np.moveaxis(image, axis, 0 if first else -1)


def move_min_dim(img: npt.ArrayLike, force: bool = False) -> Array:
    """View of an image of three axes or more with its smallest axis last, if shorter than 10 or with ``force``.

    Examples
    --------
    >>> import numpy as np
    >>> move_min_dim(np.zeros((3, 12, 14))).shape
    (12, 14, 3)
    """
    image = np.asarray(img)
    if image.ndim < 3 or not (force or min(image.shape) < 10):
        return image
    return np.moveaxis(image, _last_index_or_first(image.shape), -1)


def _last_index_or_first(shape: tuple[int, ...]) -> int:
    least = min(shape)
    return len(shape) - 1 if shape[-1] == least else shape.index(least)


def reshape(data: npt.ArrayLike, channels: Sequence[int] = (0, 0), chan_first: bool = False) -> Array:
    """Two channels of an image.

    Parameters
    ----------
    data
        ``(Ly, Lx)``, ``(Ly, Lx, C)``, or ``(C, Ly, Lx)`` with fewer than 8 channels; or ``(Lz, Ly, Lx, C)``.
    channels
        ``[cytoplasm, nuclei]`` counted from 1; ``[0, 0]``: the mean of all.
    chan_first
        Put the channel axis first, in a stack too: ``(2, Lz, Ly, Lx)``.

    Returns
    -------
    numpy.ndarray
        New array of two channels; the second is zero where no nuclei are chosen.

    Raises
    ------
    AxisRangeError
        A channel that does not exist.
    """
    image = real_image(data)
    chosen = channel_numbers(channels)
    if image.ndim < 3:
        image = image[..., np.newaxis]
    elif image.ndim == 3 and image.shape[0] < 8:
        image = image.transpose(1, 2, 0)
    zero = np.zeros((*image.shape[:-1], 1), np.float32)
    if image.shape[-1] == 1:
        out = np.concatenate([image, zero], axis=-1)
    elif chosen[0] == 0:
        mean = image.mean(axis=-1, keepdims=True)
        out = np.concatenate([mean, np.zeros_like(mean)], axis=-1)
    else:
        picked = [c - 1 for c in chosen[:2] if c > 0]
        check_channels(picked, image.shape)
        out = image[..., picked]
        if len(picked) == 1:
            out = np.concatenate([out, zero], axis=-1)
    return np.moveaxis(out, -1, 0) if chan_first else out


def normalize_img(
    img: npt.ArrayLike,
    normalize: bool = True,
    norm3D: bool = True,
    invert: bool = False,
    lowhigh: Any = None,
    percentile: tuple[float, float] | None = DEFAULT_PERCENTILE,
    sharpen_radius: float = 0,
    smooth_radius: float = 0,
    tile_norm_blocksize: float = 0,
    tile_norm_smooth3D: float = 1,
    axis: int = -1,
) -> Float32:
    """Normalize each channel of an image or stack.

    Parameters
    ----------
    img
        At least three axes, one of them the channels, such as ``(Ly, Lx, C)`` or ``(Lz, Ly, Lx, C)``.
    normalize
        Scale each channel so that its percentiles become 0 and 1.
    norm3D
        One scale for all planes of a stack instead of one per plane.
    invert
        Turn intensities round afterwards: 1 - x.
    lowhigh
        Intensities that become 0 and 1, ``(low, high)`` or ``(C, 2)``; nothing else but ``invert`` is done then.
    percentile
        Percentiles that become 0 and 1; None: 1 and 99.
    sharpen_radius, smooth_radius
        See `smooth_sharpen_img`; done first.
    tile_norm_blocksize, tile_norm_smooth3D
        See `normalize99_tile`; done instead of the plain percentiles where the block size is above 0.
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
    last = apply_normalization(np.moveaxis(image, axis, -1), options)
    return np.ascontiguousarray(np.moveaxis(last, -1, axis))


def pad_image_ND(
    img0: npt.ArrayLike,
    div: int = 16,
    extra: int = 1,
    min_size: tuple[int, int] | None = None,
    zpad: bool = False,
) -> tuple[Any, ...]:
    """Pad an image with zeros, evenly on both sides, so that the network can take it.

    Parameters
    ----------
    img0
        ``(..., Ly, Lx)`` with at least one axis before y and x, such as ``(C, Ly, Lx)`` or ``(Lz, C, Ly, Lx)``.
    div, extra, min_size
        As in `get_pad_yx`.
    zpad
        Pad the third axis from the end too, for arrays of four axes or more.

    Returns
    -------
    padded
        New array of the same dtype.
    ysub, xsub
        Indices of the rows and columns of the padded array that hold the image.
    zsub
        With ``zpad``, the same of the third axis from the end.

    Raises
    ------
    AxesError
        Too few axes.

    Examples
    --------
    >>> import numpy as np
    >>> padded, ysub, xsub = pad_image_ND(np.ones((2, 30, 40), np.float32))
    >>> padded.shape, bool((padded[:, ysub][:, :, xsub] == 1).all())
    ((2, 48, 64), True)
    """
    image = np.asarray(img0)
    if image.ndim < (4 if zpad else 3):
        allowed = "(Lz, C, Ly, Lx) or more" if zpad else "(C, Ly, Lx) or more"
        message = f"an image of shape {image.shape} cannot be padded with zpad={zpad}; give axes {allowed}"
        raise AxesError(message)
    y0, y1, x0, x1 = get_pad_yx(image.shape[-2], image.shape[-1], div, extra, min_size)
    pads = [(0, 0)] * (image.ndim - 2) + [(y0, y1), (x0, x1)]
    if zpad:
        pads[-3] = _pad_one(image.shape[-3], div, extra, None)
    padded = np.pad(image, pads)
    inside = tuple(np.arange(before, before + n) for (before, _), n in zip(pads, image.shape, strict=True))
    return (padded, inside[-2], inside[-1], inside[-3]) if zpad else (padded, inside[-2], inside[-1])


def resize_image_3d(
    img: npt.ArrayLike,
    shape: Sequence[int],
    interpolation: int = cv2.INTER_LINEAR,
    no_channels: bool = False,
) -> Array:
    """Resize a stack along all its axes: first its planes, then across them. Unchanged axes cost nothing.

    Parameters
    ----------
    img
        ``(Lz, Ly, Lx, C)``, or ``(Lz, Ly, Lx)`` with ``no_channels``.
    shape
        ``(Lz, Ly, Lx)`` wanted, in pixels.
    interpolation
        An OpenCV flag: 1 bilinear, 0 nearest (for labels), 2 cubic, 3 area.
    no_channels
        The array has no channel axis.

    Returns
    -------
    numpy.ndarray
        New array of the same dtype, ``(*shape[, C])``.

    Raises
    ------
    AxesError
        An array with another number of axes.
    OptionError
        A shape that is not three positive numbers.

    Examples
    --------
    >>> import numpy as np
    >>> resize_image_3d(np.zeros((4, 40, 44, 2), np.float32), (8, 20, 30)).shape
    (8, 20, 30, 2)
    """
    stack = real_image(img)
    if stack.ndim != (3 if no_channels else 4):
        allowed = "(Lz, Ly, Lx)" if no_channels else "(Lz, Ly, Lx, C)"
        message = f"a stack of shape {stack.shape} cannot be resized with no_channels={no_channels}; give {allowed}"
        raise AxesError(message)
    if len(shape) != 3 or min(shape) < 1:
        message = f"shape={tuple(shape)} is not allowed; give three positive numbers (Lz, Ly, Lx)"
        raise OptionError(message)
    Lz, Ly, Lx = (int(n) for n in shape)
    out: Array = stack.copy()
    if out.shape[1:3] != (Ly, Lx):
        out = resize_image(out, Ly=Ly, Lx=Lx, interpolation=interpolation, no_channels=no_channels)
    if out.shape[0] != Lz:
        # planes (Z, X) of constant y: only z changes
        across = resize_image(out.swapaxes(0, 1), Ly=Lz, Lx=Lx, interpolation=interpolation, no_channels=no_channels)
        out = np.ascontiguousarray(across.swapaxes(0, 1))
    return out
