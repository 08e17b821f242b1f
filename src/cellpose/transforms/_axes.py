"""From an array with axes in any order to planes with channels last.

The two generations of models need different arrays: the U-Nets two channels (the one to segment, then the nuclei), the
transformers up to three in the given order. `prepare_unet` and `prepare_transformer` make them; `convert_image` is the
public function for both.

Named axes are obeyed. Axes without a name are inferred from the shape, and the log says what was inferred; where a
shape is ambiguous, an `AxesError` shows what to name.
"""

from __future__ import annotations

import logging
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.errors import AxesError, AxisRangeError
from cellpose.transforms._channels import choose_channels
from cellpose.transforms._values import real_image

__all__ = [
    "UNSET",
    "assumed_axes",
    "axis_meant_by",
    "convert_image",
    "is_one_number",
    "prepare_transformer",
    "prepare_unet",
    "update_axis",
]

logger = logging.getLogger("cellpose.transforms")

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]
_Pair = tuple[int | None, int | None]


class _Unset:
    """The default of an argument whose absence has its own meaning."""

    def __repr__(self) -> str:
        return "<not given>"


UNSET: Any = _Unset()

_FEWEST_PLANES = 6  # U-Net: a smallest axis at least this long is z where channels are chosen
_MOST_CHANNELS = 9  # U-Net: a smallest axis at most this long holds channels
_MOST_COLOURS, _LEAST_SIDE = 4, 8  # a last axis so short, behind two that are longer, holds channels


# ---------------------------------------------------------------------------------------------------------- public


def convert_image(
    x: npt.ArrayLike,
    channels: Any = UNSET,
    channel_axis: int | None = None,
    z_axis: int | None = None,
    do_3D: bool = False,
    nchan: int | None = UNSET,
) -> Array:
    """Bring the axes of an image into the order that the models take, channels last.

    With ``channels`` (None included) or ``nchan`` this is the preparation for U-Net models, otherwise the one for
    transformer models.

    Parameters
    ----------
    x
        ``(Ly, Lx)``, or three or four axes with channels, planes or both.
    channels
        ``[cytoplasm, nuclei]`` counted from 1: which channels to use; ``[0, 0]``: the mean of all. None: the first
        ``nchan`` channels. A plain number is taken as ``channel_axis``.
    channel_axis, z_axis
        Axes of the channels and of the planes; None: concluded from the shape.
    do_3D
        The image is a stack.
    nchan
        Number of channels wanted where ``channels`` is None, 2 if not given; None: all there are.

    Returns
    -------
    numpy.ndarray
        ``(Ly, Lx, C)`` or ``(Lz, Ly, Lx, C)``. U-Net: float32, a new array. Transformer: the dtype of ``x``, at most
        three channels, possibly a view of ``x``.

    Raises
    ------
    AxesError
        A shape that allows no conclusion, axes that are equal, do not exist or do not fit.
    InputError
        An array without pixels or of a dtype without order, such as complex numbers.

    Examples
    --------
    >>> import numpy as np
    >>> convert_image(np.zeros((3, 100, 120)), channels=[2, 3]).shape
    (100, 120, 2)
    >>> convert_image(np.zeros((3, 100, 120))).shape
    (100, 120, 3)
    """
    if is_one_number(channels):
        channels, channel_axis = UNSET, axis_meant_by(channels, channel_axis)
    if channels is UNSET and nchan is UNSET:
        image = _arrange_transformer(real_image(x), channel_axis, z_axis, do_3D)
        return choose_channels(image.shape, None, channel_pair=False, nchan=None).view(image)
    return prepare_unet(
        x,
        None if channels is UNSET else channels,
        channel_axis,
        z_axis,
        do_3D,
        2 if nchan is UNSET else nchan,
    )


def is_one_number(channels: Any) -> bool:
    """Whether ``channels`` is a plain number, by which scripts mean the channel axis."""
    return isinstance(channels, (int, np.integer)) and not isinstance(channels, bool)


def axis_meant_by(channels: int, channel_axis: int | None) -> int:
    """The channel axis where ``channels`` is a plain number."""
    if channel_axis is not None:
        message = f"channels={channels!r} is not allowed; give [cytoplasm, nuclei], such as [{channels}, 0]"
        raise AxesError(message)
    return int(channels)


def prepare_unet(
    x: npt.ArrayLike,
    channels: Sequence[int] | None,
    channel_axis: int | None = None,
    z_axis: int | None = None,
    do_3D: bool = False,
    nchan: int | None = 2,
) -> Float32:
    """Image for the U-Net models.

    Parameters
    ----------
    x
        Two to four axes.
    channels
        ``[cytoplasm, nuclei]`` counted from 1, ``[0, 0]`` for the mean of all, or None for the first ``nchan``. An
        image of one channel gives that one whatever is chosen. The result then has two channels, the second of them
        zero where no nuclei are chosen.
    channel_axis, z_axis
        Axes of the channels and of the planes. Not given: the smallest axis is z if it is longer than 5 and
        ``channels`` is given, otherwise it holds the channels.
    do_3D
        The image is a stack.
    nchan
        Channels where ``channels`` is None; None: as many as there are.

    Returns
    -------
    numpy.ndarray
        New array, float32, ``(Ly, Lx, C)`` or ``(Lz, Ly, Lx, C)``, finite.

    Raises
    ------
    AxesError, InputError
        As `convert_image`.
    """
    image = _arrange_unet(real_image(x), channels is not None, channel_axis, z_axis, do_3D)
    chosen = choose_channels(image.shape, channels, channel_pair=True, nchan=nchan)
    out = chosen(image)
    if channels is not None and not chosen.mean and image.shape[-1] > 1:
        for k, c in enumerate(chosen.picked):
            if out[..., k].min() == out[..., k].max():
                logger.warning("channel %d, chosen by channels=%s, has the same intensity everywhere", c + 1, channels)
    return out


def prepare_transformer(
    x: npt.ArrayLike,
    channels: Sequence[int] | None = None,
    channel_axis: int | None = None,
    z_axis: int | None = None,
    do_3D: bool = False,
) -> Float32:
    """Image for the transformer models.

    Parameters
    ----------
    x
        Two to four axes.
    channels
        Channels to use, counted from 1 and in this order, as scripts for the U-Net models give them; None or
        ``[0, ...]``: all, in their order.
    channel_axis, z_axis
        Axes of the channels and of the planes. Not given: z is the first axis; the channel axis is the smaller one of
        the first and the last axis of a plane or, in a stack, the smallest axis besides z.
    do_3D
        The image is a stack.

    Returns
    -------
    numpy.ndarray
        New array, float32, ``(Ly, Lx, C)`` or ``(Lz, Ly, Lx, C)`` of at most three channels, finite.

    Raises
    ------
    AxesError, InputError
        As `convert_image`.
    """
    image = _arrange_transformer(real_image(x), channel_axis, z_axis, do_3D)
    return choose_channels(image.shape, channels, channel_pair=False, nchan=None)(image)


# ------------------------------------------------------------------------------------------------------- arranging


def _arrange_unet(image: Array, choosing: bool, channel_axis: int | None, z_axis: int | None, do_3D: bool) -> Array:
    """View with z first (if there is one) and the channels last, an axis of length 1 if there are none."""
    given = image.shape
    c, z = _checked_axes(image, channel_axis, z_axis)
    if image.ndim > 3:
        image, c, z = _squeezed(image, c, z)
    if image.ndim == 2:
        if do_3D:
            raise AxesError(_no_stack(given))
        if z is not None:
            logger.info("shape %s is a single plane: z_axis is not used", given)
        return image[..., np.newaxis]
    if image.ndim == 4:
        return _arrange_unet_stack(image, c, z)
    if c is None and z is None:
        c, z = _conclude_unet_axes(image.shape, choosing, do_3D)
        _log_assumed(image.shape, (None, None), (c, z))
    if z is None:
        if do_3D:
            raise AxesError(_no_stack(given, c))
        moved = np.moveaxis(image, c if c is not None else -1, -1)
        return _channels_first_after_all(moved, channel_axis) if choosing and channel_axis is not None else moved
    if c is None or (channel_axis == -1 and len(given) == 3):
        # a stack without channels lacks the last axis that holds channels elsewhere
        return np.moveaxis(image, z, 0)[..., np.newaxis]
    # both are named: the planes have one axis only, and are one pixel wide
    return np.moveaxis(image, (z, c), (0, -1))[:, :, np.newaxis]


def _conclude_unet_axes(shape: tuple[int, ...], choosing: bool, do_3D: bool) -> tuple[int | None, int | None]:
    """Channel or z axis, one of the two, inferred from a shape of three axes alone."""
    least = min(shape)
    if choosing and least >= _FEWEST_PLANES:
        c, z = None, shape.index(least)
    elif do_3D:
        _refuse_colors(shape)
        c, z = None, 0
    elif least <= _MOST_CHANNELS:
        c, z = _last_index(shape, least), None
    else:
        c, z = None, shape.index(least)
    return c, z


def _arrange_unet_stack(image: Array, c: int | None, z: int | None) -> Array:
    found = _conclude_unet_stack_axes(image.shape, c, z)
    _log_assumed(image.shape, (c, z), found)
    if c is z is None and image.shape[found[0]] == image.shape[found[1]]:
        message = "axes %d and %d of shape %s are equally long: %d is taken for the channels; else give channel_axis"
        logger.warning(message, found[1], found[0], image.shape, found[0])
    return np.moveaxis(image, (found[1], found[0]), (0, -1))


def _conclude_unet_stack_axes(shape: tuple[int, ...], c: int | None, z: int | None) -> tuple[int, int]:
    if c is None:
        rest = [n if axis != z else np.inf for axis, n in enumerate(shape)]
        least = min(rest)
        if least > _MOST_CHANNELS:
            message = f"no axis of shape {shape} is short enough for channels; give channel_axis"
            raise AxesError(message)
        c = _last_index(rest, least)
    if z is None:
        z = 0 if c != 0 else 1
    return c, z


def _channels_first_after_all(image: Array, channel_axis: int) -> Array:
    """The same view, unless the named channel axis is long and the first one short enough to hold the channels."""
    first, last = image.shape[0], image.shape[-1]
    if first < 8 and last > first:
        logger.warning(
            "channel_axis=%d would give %d channels and a height of %d: channel_axis=0 is used instead",
            channel_axis,
            last,
            first,
        )
        return np.moveaxis(image, 0, -1)
    return image


def _arrange_transformer(image: Array, channel_axis: int | None, z_axis: int | None, do_3D: bool) -> Array:
    """View with z first (if there is one) and the channels last."""
    c, z = _checked_axes(image, channel_axis, z_axis)
    if image.ndim > 4:
        image, c, z = _squeezed(image, c, z)
    if image.ndim == 2:
        if do_3D:
            raise AxesError(_no_stack(image.shape))
        for name, axis in (("channel_axis", channel_axis), ("z_axis", z_axis)):
            if axis is not None:
                message = f"{name}={axis} was given for an image of shape {image.shape}, a single plane; leave it out"
                raise AxesError(message)
        return image[..., np.newaxis]
    if image.ndim == 3:
        return _arrange_transformer_three(image, c, z, do_3D)
    return _arrange_transformer_four(image, c, z, do_3D)


def _arrange_transformer_three(image: Array, c: int | None, z: int | None, do_3D: bool) -> Array:
    if do_3D and z is None and c is not None:
        raise AxesError(_no_stack(image.shape, c))
    if c is None and z is None:
        c, z = _conclude_transformer_axes(image.shape, do_3D)
        _log_assumed(image.shape, (None, None), (c, z))
    elif c is not None and z is not None:
        logger.info("shape %s has no axis for channels besides z, y and x: channel_axis is not used", image.shape)
    if z is not None:
        return np.moveaxis(image, z, 0)[..., np.newaxis]
    return np.moveaxis(image, c if c is not None else -1, -1)


def _conclude_transformer_axes(shape: tuple[int, ...], do_3D: bool) -> tuple[int | None, int | None]:
    """Channel or z axis, one of the two, inferred from a shape of three axes alone."""
    if do_3D:
        _refuse_colors(shape)
        return None, 0
    return 0 if shape[0] < shape[-1] else 2, None


def _arrange_transformer_four(image: Array, c: int | None, z: int | None, do_3D: bool) -> Array:
    found = _conclude_transformer_stack_axes(image.shape, c, z, do_3D)
    _log_assumed(image.shape, (c, z), found)
    return np.moveaxis(image, (found[1], found[0]), (0, -1))


def _conclude_transformer_stack_axes(
    shape: tuple[int, ...], c: int | None, z: int | None, do_3D: bool
) -> tuple[int, int]:
    planes = z is None and not do_3D
    if z is None:
        z = 0
        if c == 0:
            message = (
                f"channel_axis=0 was given without z_axis for shape {shape}, whose first axis would be z; give both"
            )
            raise AxesError(message)
    if c is None and planes:
        c = 1 if shape[1] < shape[3] else 3
    elif c is None:
        rest = sorted((n, axis) for axis, n in enumerate(shape) if axis != z)
        if rest[0][0] == rest[1][0]:
            message = (
                f"shape {shape} with z_axis={z} has more than one axis of length {rest[0][0]} that could hold the "
                f"channels: give channel_axis={rest[0][1]} or channel_axis={rest[1][1]}"
            )
            raise AxesError(message)
        c = rest[0][1]
    return c, z


def assumed_axes(
    shape: tuple[int, ...], *, transformer: bool, choosing: bool, do_3D: bool, beside: int | None = None
) -> str:
    """How an array is read if its axes are not named.

    Parameters
    ----------
    shape
        Of the array.
    transformer, choosing, do_3D
        Whether it is prepared by `prepare_transformer`, with ``channels``, as a stack.
    beside
        Of three axes the one that is neither y nor x, if that is known.

    Returns
    -------
    str
        One letter of ZCYX for each axis; "" where there is nothing to assume.

    Raises
    ------
    AxesError
        If the shape allows no conclusion.

    Examples
    --------
    >>> assumed_axes((4, 120, 120), transformer=False, choosing=True, do_3D=False)
    'CYX'
    """
    c: int | None
    z: int | None
    if len(shape) == 3 and beside is not None:
        planes = do_3D or (not transformer and shape[beside] >= (_FEWEST_PLANES if choosing else _MOST_CHANNELS + 1))
        c, z = (None, beside) if planes else (beside, None)
    elif len(shape) == 3 and transformer:
        c, z = _conclude_transformer_axes(shape, do_3D)
    elif len(shape) == 3:
        c, z = _conclude_unet_axes(shape, choosing, do_3D)
    elif len(shape) == 4 and transformer:
        c, z = _conclude_transformer_stack_axes(shape, None, None, do_3D)
    elif len(shape) == 4 and 1 not in shape:
        c, z = _conclude_unet_stack_axes(shape, None, None)
    else:
        return ""
    rest = iter("YX")
    return "".join("C" if k == c else "Z" if k == z else next(rest) for k in range(len(shape)))


def _log_assumed(shape: tuple[int, ...], given: _Pair, found: _Pair) -> None:
    """Log which axes were inferred, of channels and of planes; a stack of which z is not the first axis is unusual."""
    for name, before, axis in zip(("channel_axis", "z_axis"), given, found, strict=True):
        if before is None and axis is not None:
            level = logging.WARNING if name == "z_axis" and axis and len(shape) == 3 else logging.INFO
            logger.log(
                level, "shape %s: %s=%d assumed; give channel_axis or z_axis if that is wrong", shape, name, axis
            )


# ---------------------------------------------------------------------------------------------------------- checks


def _checked_axes(image: Array, channel_axis: int | None, z_axis: int | None) -> tuple[int | None, int | None]:
    """Both axes counted from the front."""
    c = _checked_axis(image, "channel_axis", channel_axis)
    z = _checked_axis(image, "z_axis", z_axis)
    least = sum(n > 1 or axis in (c, z) for axis, n in enumerate(image.shape))
    if image.ndim < 2 or (image.ndim > 4 and least > 4):
        message = f"shape {image.shape} has {image.ndim} axes; give (Ly, Lx), three or four axes, or a list of images"
        raise AxesError(message)
    if c is not None and c == z:
        message = f"channel_axis={channel_axis} and z_axis={z_axis} must be different axes of shape {image.shape}"
        raise AxesError(message)
    return c, z


def _no_stack(shape: tuple[int, ...], channels: int | None = None) -> str:
    plane = "one plane" if channels is None else f"one plane with {shape[channels]} channels along axis {channels}"
    return (
        f"do_3D and stitch_threshold need a stack, but shape {shape} is {plane}; give (Lz, Ly, Lx) or four axes, or "
        "leave them out"
    )


def _refuse_colors(shape: tuple[int, ...]) -> None:
    """Refuse a plane with its channels last where a stack is wanted: planes a few pixels wide are unlikely."""
    if shape[-1] <= _MOST_COLOURS and min(shape[:2]) > _LEAST_SIDE:
        message = f"{_no_stack(shape, 2)}; if its axes are z, y and x, give z_axis=0"
        raise AxesError(message)


def _checked_axis(image: Array, name: str, axis: int | None) -> int | None:
    if axis is None:
        return None
    try:
        index = operator.index(axis)
    except TypeError:
        message = f"{name}={axis!r} is not allowed; give the number of an axis, or None"
        raise AxesError(message) from None
    if not -image.ndim <= index < image.ndim:
        message = f"{name}={axis} does not exist in shape {image.shape}; give {-image.ndim} to {image.ndim - 1}"
        raise AxisRangeError(message)
    return index % image.ndim


def _squeezed(image: Array, c: int | None, z: int | None) -> tuple[Array, int | None, int | None]:
    """View without axes of length 1, except those that were named and, of narrow images, the last ones."""
    drop = [a for a, n in enumerate(image.shape) if n == 1 and a not in (c, z)]
    drop = drop[: image.ndim - 2]
    return image.squeeze(tuple(drop)), update_axis(c, drop, image.ndim), update_axis(z, drop, image.ndim)


def _last_index(values: Sequence[float], value: float) -> int:
    return max(k for k, v in enumerate(values) if v == value)


def update_axis(m_axis: int | None, to_squeeze: Sequence[int] | npt.NDArray[np.intp], ndim: int) -> int | None:
    """Number that an axis has once other axes are squeezed out; None if it is one of them.

    Examples
    --------
    >>> update_axis(-1, [1], 4), update_axis(1, [1], 4)
    (2, None)
    """
    if m_axis is None:
        return None
    axis = m_axis % ndim
    gone = [int(a) % ndim for a in to_squeeze]
    return None if axis in gone else axis - sum(a < axis for a in gone)
