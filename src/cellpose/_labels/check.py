"""Checks of label images in public functions: shape, type and values, once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellpose.errors import InputError

__all__ = ["Labels", "check_labels", "check_same_shape", "each_plane"]

Labels = NDArray[np.int32]

_INT32_MAX = int(np.iinfo(np.int32).max)


def check_labels(masks: ArrayLike, *, ndim: tuple[int, ...] = (2, 3), name: str = "masks") -> Labels:
    """Label image as C-contiguous int32 with its own numbers; the input itself where it already is one.

    Parameters
    ----------
    masks
        Labels, 0 is background. Any integer type, bool, or floats that are whole numbers.
    ndim
        Allowed numbers of dimensions; empty allows any.
    name
        Name of the array in messages.

    Raises
    ------
    InputError
        For a wrong number of dimensions, numbers that are not whole, negative or above 2**31 - 1.
    """
    try:
        array = np.asarray(masks)
    except ValueError as error:
        message = f"{name} is not one array ({error}); pass one label image"
        raise InputError(message) from error
    if ndim and array.ndim not in ndim:
        wanted = " or ".join(str(n) for n in ndim)
        message = (
            f"{name} has {array.ndim} dimensions (shape {array.shape}); {wanted} are allowed here: "
            "pass one label image without a channel axis"
        )
        raise InputError(message)
    if array.dtype.kind not in "biuf":
        message = f"{name} has dtype {array.dtype}; give an integer array, 0 = background"
        raise InputError(message)
    if array.size:
        _check_values(array, name)
    return np.ascontiguousarray(array, dtype=np.int32)


def _check_values(array: NDArray[Any], name: str) -> None:
    """Raise an error that names the first kind of value that is not a label."""
    if array.dtype.kind == "f":
        whole = np.isfinite(array) & (np.rint(array) == array)
        if not whole.all():
            message = f"{name} holds {array[~whole].flat[0]}; give whole numbers, 0 = background"
            raise InputError(message)
    if array.dtype.kind == "b" or array.dtype in (np.uint8, np.uint16):
        return
    if array.dtype == np.int32 and array.view(np.uint32).max() <= _INT32_MAX:  # negative ones would be huge
        return
    low, top = array.min(), array.max()
    if low < 0:
        message = f"{name} holds the label {low:g}; labels start at 1 and background is 0"
        raise InputError(message)
    if top > _INT32_MAX:
        message = f"{name} holds the label {top:g}; the largest allowed is {_INT32_MAX}: renumber the labels"
        raise InputError(message)


def check_same_shape(first: NDArray[Any], second: NDArray[Any], names: tuple[str, str]) -> None:
    """Raise InputError where two arrays that belong together differ in shape."""
    if first.shape != second.shape:
        message = (
            f"{names[0]} has shape {first.shape} and {names[1]} {second.shape}; they must belong to the same image"
        )
        raise InputError(message)


def each_plane(array: NDArray[Any]) -> NDArray[Any]:
    """The planes of a (Ly, Lx) or (Lz, Ly, Lx) image as one (n, Ly, Lx) view."""
    return array[None] if array.ndim == 2 else array
