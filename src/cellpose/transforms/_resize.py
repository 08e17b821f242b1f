"""Resizing planes and stacks, and the three directions in which a stack is cut into planes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cellpose.errors import AxesError, OptionError
from cellpose.transforms._values import real_image

__all__ = ["PLANE_VIEWS", "PlaneView", "resize_image", "resize_plane", "resize_safe", "scaled_shape"]

Array = npt.NDArray[Any]

_BLENDED = ("uint8", "uint16", "int16", "float32", "float64")  # dtypes that OpenCV interpolates
_COPIED = (*_BLENDED, "int8", "int32")  # dtypes whose pixels it copies without loss
_CHANNELS_AT_ONCE = 4  # some interpolations accept no more channels


@dataclass(frozen=True)
class PlaneView:
    """One of the three directions in which a stack (z, y, x) is cut into planes.

    Attributes
    ----------
    name
        Axes of the planes.
    permutation
        Order of (z, y, x) that brings the axis across the planes first.
    inverse
        Order that brings it back.
    components
        Where in a flow (z, y, x) the two flows of a plane (first axis, second axis) belong.
    """

    name: str
    permutation: tuple[int, int, int]
    inverse: tuple[int, int, int]
    components: tuple[int, int]

    def planes(self, stack: Array) -> Array:
        """View of a stack (Z, Y, X, ...) with the axis across the planes first."""
        planes: Array = stack.transpose(*self.permutation, *range(3, stack.ndim))
        return planes

    def restore(self, planes: Array) -> Array:
        """View of such planes as a stack (Z, Y, X, ...) again."""
        stack: Array = planes.transpose(*self.inverse, *range(3, planes.ndim))
        return stack


PLANE_VIEWS = (
    PlaneView("YX", (0, 1, 2), (0, 1, 2), (1, 2)),
    PlaneView("ZX", (1, 0, 2), (1, 0, 2), (0, 2)),
    PlaneView("ZY", (2, 0, 1), (1, 2, 0), (0, 1)),
)


def scaled_shape(shape: Sequence[int], factors: Sequence[float]) -> tuple[int, ...]:
    """Shape times factors, cut off to whole pixels as the published code does, and at least 1.

    Examples
    --------
    >>> scaled_shape((101, 3), (0.5, 0.1))
    (50, 1)
    """
    return tuple(max(1, int(n * f)) for n, f in zip(shape, factors, strict=True))


def resize_image(
    img0: npt.ArrayLike,
    Ly: int | None = None,
    Lx: int | None = None,
    rsz: float | Sequence[float] | None = None,
    interpolation: int = cv2.INTER_LINEAR,
    no_channels: bool = False,
) -> Array:
    """Resize an image or every plane of a stack.

    Parameters
    ----------
    img0
        ``(Ly, Lx)``, ``(Ly, Lx, C)`` or ``(Lz, Ly, Lx, C)``; with ``no_channels`` ``(Ly, Lx)`` or ``(Lz, Ly, Lx)``.
        Any real dtype.
    Ly, Lx
        Size wanted in pixels.
    rsz
        Factor, or ``(factor along y, factor along x)``, used where ``Ly`` and ``Lx`` are not given; the new size is
        cut off to whole pixels.
    interpolation
        An OpenCV flag: 1 bilinear, 0 nearest (for labels), 2 cubic, 3 area.
    no_channels
        The last axis is x, not a channel axis.

    Returns
    -------
    numpy.ndarray
        New array of the same dtype; interpolated integers are rounded.

    Raises
    ------
    OptionError
        No size and no factor, or one that is not positive.
    AxesError, InputError
        A number of axes other than those above, an axis of length 0, a dtype that has no order.

    Examples
    --------
    >>> import numpy as np
    >>> resize_image(np.zeros((40, 50, 2), np.float32), rsz=0.5).shape
    (20, 25, 2)
    """
    image = real_image(img0)
    spatial = image.ndim if no_channels else max(2, image.ndim - 1)
    if image.ndim < 2 or spatial not in (2, 3):
        allowed = "(Ly, Lx) or (Lz, Ly, Lx)" if no_channels else "(Ly, Lx), (Ly, Lx, C) or (Lz, Ly, Lx, C)"
        message = f"an image of shape {image.shape} cannot be resized with no_channels={no_channels}; give {allowed}"
        raise AxesError(message)
    size = _target_size((image.shape[spatial - 2], image.shape[spatial - 1]), Ly, Lx, rsz)
    if spatial == 2:
        return resize_safe(image, *size, interpolation)
    out = np.empty((image.shape[0], *size, *image.shape[3:]), image.dtype)
    for z, plane in enumerate(image):
        out[z] = resize_safe(plane, *size, interpolation)
    return out


def _target_size(
    shape: tuple[int, int], Ly: int | None, Lx: int | None, rsz: float | Sequence[float] | None
) -> tuple[int, int]:
    if Ly is not None and Lx is not None:
        size = (int(Ly), int(Lx))
    elif rsz is None:
        message = "resize_image was given neither a size (Ly, Lx) nor a factor (rsz); give one of them"
        raise OptionError(message)
    else:
        factors = np.atleast_1d(np.asarray(rsz, dtype=np.float64))
        factors = np.repeat(factors, 2) if factors.size == 1 else factors
        if factors.size != 2 or not (np.isfinite(factors).all() and (factors > 0).all()):
            message = f"rsz={rsz!r} is not allowed; give one positive factor or (factor along y, factor along x)"
            raise OptionError(message)
        scaled = scaled_shape(shape, tuple(factors))
        size = (int(Ly) if Ly is not None else scaled[0], int(Lx) if Lx is not None else scaled[1])
    if min(size) < 1:
        message = f"a size of {size} pixels is not allowed; give at least 1 pixel along y and along x"
        raise OptionError(message)
    return size


def resize_safe(img: npt.ArrayLike, Ly: int, Lx: int, interpolation: int = cv2.INTER_LINEAR) -> Array:
    """Resize one plane of any real dtype and any number of channels.

    OpenCV refuses some dtypes and numbers of channels, and narrows 64-bit integers without a word. Those are
    interpolated as floats and rounded back here, or picked pixel by pixel where the nearest is wanted.

    Parameters
    ----------
    img
        ``(Ly, Lx)`` or ``(Ly, Lx, C)``.
    Ly, Lx
        Size wanted in pixels.
    interpolation
        An OpenCV flag: 1 bilinear, 0 nearest, 2 cubic, 3 area.

    Returns
    -------
    numpy.ndarray
        New array ``(Ly, Lx[, C])`` of the same dtype.

    Examples
    --------
    >>> import numpy as np
    >>> resize_safe(np.array([[0, 2**40]]), 1, 4, interpolation=0)
    array([[            0,             0, 1099511627776, 1099511627776]])
    """
    image: Array = np.asarray(img)
    if image.shape[:2] == (Ly, Lx):
        return np.array(image)
    native = image.dtype.newbyteorder("=")
    if interpolation == cv2.INTER_NEAREST:
        if native.name not in _COPIED:
            return _pick_nearest(image, Ly, Lx)
        return _resize_cv2(image.astype(native, copy=False), Ly, Lx, interpolation)
    if native.name in _BLENDED:
        return _resize_cv2(image.astype(native, copy=False), Ly, Lx, interpolation)
    wide = np.float32 if native.itemsize < 4 else np.float64
    return _cast_back(_resize_cv2(image.astype(wide), Ly, Lx, interpolation), native)


def _resize_cv2(image: Array, Ly: int, Lx: int, interpolation: int) -> Array:
    if image.ndim == 2:
        return np.asarray(cv2.resize(image, (Lx, Ly), interpolation=interpolation))
    out = np.empty((Ly, Lx, image.shape[2]), image.dtype)
    for c in range(0, image.shape[2], _CHANNELS_AT_ONCE):
        part = np.ascontiguousarray(image[..., c : c + _CHANNELS_AT_ONCE])
        resized = cv2.resize(part, (Lx, Ly), interpolation=interpolation)
        out[..., c : c + _CHANNELS_AT_ONCE] = resized.reshape(Ly, Lx, part.shape[2])
    return out


def _pick_nearest(image: Array, Ly: int, Lx: int) -> Array:
    """The pixels that OpenCV picks, found by resizing the numbers of rows and columns."""
    picked = []
    for old, new in ((image.shape[0], Ly), (image.shape[1], Lx)):
        numbers = np.arange(old, dtype=np.int32)[np.newaxis]
        picked.append(np.asarray(cv2.resize(numbers, (new, 1), interpolation=cv2.INTER_NEAREST))[0])
    return np.asarray(image[picked[0][:, np.newaxis], picked[1]])


def _cast_back(values: Array, dtype: np.dtype[Any]) -> Array:
    if dtype.kind == "b":
        return values > 0.5
    if dtype.kind == "f":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    # float64 cannot hold the largest 64-bit integers: the limit is then the largest float below them
    high = np.nextafter(float(limits.max), 0) if limits.bits == 64 else float(limits.max)
    return np.clip(np.rint(values), float(limits.min), high).astype(dtype)


def resize_plane(plane: npt.NDArray[Any], size: Sequence[int]) -> npt.NDArray[Any]:
    """A plane (Y, X) or (Y, X, channels) at another size ``(Y, X)``; the very plane where it has that size already.

    Resized bilinearly in float32; the number of axes stays, also with one channel.
    """
    if plane.shape[:2] == tuple(size):
        return plane
    floats = np.ascontiguousarray(plane, dtype=np.float32)
    resized = resize_image(floats, size[0], size[1], no_channels=plane.ndim == 2)
    return np.asarray(resized).reshape(*size, *plane.shape[2:])
