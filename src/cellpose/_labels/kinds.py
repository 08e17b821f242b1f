"""The kind of labels given to training: a label image, training targets, or something else, which is named."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.errors import InputError

__all__ = ["holds_targets", "label_plane"]

logger = logging.getLogger("cellpose.utils")

Array = npt.NDArray[Any]

_FEWEST_CHANNELS = 4  # label numbers, [classes,] cell mask, flow along y, flow along x
_LONGEST = 1.01  # flows are unit vectors, give or take what half precision and resizing do to them
_TINY = 1e-3


def label_plane(labels: Any) -> Array:
    """The label image ``(Y, X)`` in an array, or training targets ``(4 or more, Y, X)`` as they are.

    Parameters
    ----------
    labels
        ``(Y, X)``, the same with another axis of length 1 before or behind it, the same in three equal colors, or
        targets as `labels_to_flows` makes them.

    Raises
    ------
    InputError
        If the array is something else: planes of a stack, a color picture. The message begins with "labels of shape".

    Examples
    --------
    >>> label_plane(np.ones((1, 4, 5), int)).shape
    (4, 5)
    """
    array = np.asarray(labels)
    if array.ndim == 2:
        return array
    if array.ndim == 3 and len(array) == 1:
        return np.asarray(array[0])
    if array.ndim == 3 and array.shape[-1] == 1:
        return np.asarray(array[..., 0])
    if holds_targets(array):
        return array
    if _is_color(array):
        return _one_color(array)
    message = f"labels of shape {array.shape} {_what_it_is(array)}"
    raise InputError(message)


def holds_targets(array: Array) -> bool:
    """Whether an array is training targets: labels, [classes,] cell mask and flows, floats ``(4 or more, Y, X)``.

    Flows are distinguished from planes of labels by their values: labels are whole, the cell mask is 0 or 1 (-1:
    unknown), the vectors are at most 1 long and 0 outside of cells.

    Examples
    --------
    >>> holds_targets(np.zeros((4, 5, 6), np.float32)), holds_targets(np.zeros((4, 5, 6), np.uint16))
    (True, False)
    """
    if array.ndim != 3 or len(array) < _FEWEST_CHANNELS or array.dtype.kind != "f":
        return False
    numbers, cells = array[0], array[-3]
    if not np.array_equal(numbers, np.rint(numbers)) or not np.isin(cells, (-1, 0, 1)).all():
        return False
    squares = array[-1].astype(np.float32) ** 2 + array[-2].astype(np.float32) ** 2
    # a comparison with NaN is false
    return bool((squares <= np.where(cells > 0, np.float32(_LONGEST**2), np.float32(_TINY**2))).all())


def _is_color(array: Array) -> bool:
    return array.ndim == 3 and array.shape[-1] in (3, 4) and min(array.shape[:2]) > array.shape[-1]


def _one_color(picture: Array) -> Array:
    """The labels in a gray picture that was saved in colors; a fourth channel is its opacity."""
    if (picture[..., 0] == picture[..., 1]).all() and (picture[..., 0] == picture[..., 2]).all():
        logger.warning(
            f"labels of shape {picture.shape} are a gray image saved in color; its gray values are the labels"
        )
        return np.asarray(picture[..., 0])
    message = (
        f"labels of shape {picture.shape} are a color image; training needs one number per cell and 0 for the "
        "background: save the label numbers as 16-bit gray TIFF or PNG"
    )
    raise InputError(message)


def _what_it_is(array: Array) -> str:
    if array.ndim != 3:
        return f"have {array.ndim} axes; training needs label images (y, x)"
    if array.dtype.kind == "f" and len(array) >= _FEWEST_CHANNELS and not np.array_equal(array, np.rint(array)):
        return (
            "are neither label planes nor training targets, which are label numbers, cell mask (0 or 1) and flows "
            "(length up to 1, 0 outside cells); make targets with labels_to_flows"
        )
    return (
        f"are {len(array)} planes; training needs single planes: cut them with `cellpose slices`, or give them one by "
        "one"
    )
