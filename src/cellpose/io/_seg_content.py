"""What a ``_seg.npy`` is made of, from the results of a segmentation."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._version import version
from cellpose.errors import InputError
from cellpose.io._npy import write_npy_object
from cellpose.io._output import OutputPaths
from cellpose.io._per_image import per_image, split
from cellpose.io._write import PathLike, smallest_labels

__all__ = ["masks_flows_to_seg", "seg_content"]

logger = logging.getLogger(__name__)


def masks_flows_to_seg(
    images: Any,
    masks: Any,
    flows: Any,
    file_names: Any,
    channels: Any = None,
    imgs_restore: Any = None,
    restore_type: str | None = None,
    ratio: float = 1.0,
    *,
    diams: Any = None,
    model: str | None = None,
) -> None:
    """Write ``<file name without extension>_seg.npy``, which the GUI opens and training reads.

    The positional orders of earlier versions, with the diameters in the fourth or fifth place, are understood, too.

    Parameters
    ----------
    images
        The image or a list of images; only their number is looked at.
    masks
        Labels (Y, X) or (Z, Y, X), or a list of such.
    flows
        What ``eval`` gives as its second value, or a list of such: colours (…, Y, X, 3) uint8, flows (ndim, …, Y, X)
        and cell probability (…, Y, X).
    file_names
        Path of the image, or a list of paths.
    channels
        Pair ``[segmented, nuclear]``, or a list of pairs; None: [0, 0].
    imgs_restore
        Restored image, or a list of such; kept with ``restore_type``.
    restore_type
        Name of the restoration model.
    ratio
        Size of the restored image divided by that of the image.
    diams
        Diameter in pixels, or one for each image; None: unknown, written as NaN.
    model
        Name of the model that ran.

    Raises
    ------
    InputError
        If the lists differ in length, or the masks are not labels.
    FileWriteError
        If a file cannot be written.
    """
    if _are_paths(channels) and not _are_paths(file_names):
        diams, file_names, channels, imgs_restore = file_names, channels, imgs_restore, None
    elif _is_diameter(channels):
        diams, channels, imgs_restore = channels, imgs_restore, None
    items = per_image(images, masks, flows, file_names)
    count = len(items)
    for item, pair, restored, diameter in zip(
        items,
        _pairs(channels, count),
        split(imgs_restore, count, isinstance(masks, list)),
        _diameters(diams, count),
        strict=True,
    ):
        content = seg_content(item.masks, item.flows, item.file_name, channels=pair, diameter=diameter, model=model)
        if restore_type is not None and restored is not None:
            content |= {"restore": restore_type, "ratio": ratio, "img_restore": restored}
        write_npy_object(OutputPaths(item.file_name).seg_npy, content)


def _are_paths(value: Any) -> bool:
    first = value[0] if isinstance(value, (list, tuple)) and value else value
    return isinstance(first, (str, os.PathLike))


def _is_diameter(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return bool(np.issubdtype(value.dtype, np.floating))
    if isinstance(value, (list, tuple)):
        return bool(value) and all(isinstance(item, (float, np.floating)) for item in value)
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def _pairs(channels: Any, count: int) -> list[list[Any]]:
    if channels is None:
        return [[0, 0]] * count
    nested = len(channels) > 0 and np.ndim(channels[0]) > 0
    return [list(channels[index]) if nested else list(channels) for index in range(count)]


def _diameters(diams: Any, count: int) -> list[float]:
    if diams is None:
        return [math.nan] * count
    values = np.atleast_1d(np.asarray(diams, np.float64)).ravel()
    if len(values) not in (1, count):
        message = f"{len(values)} diameters are given for {count} images; give one, or one for each"
        raise InputError(message)
    return [float(value) for value in np.broadcast_to(values, count)]


def seg_content(
    masks: npt.ArrayLike,
    flows: Sequence[Any],
    file_name: PathLike,
    *,
    channels: Sequence[int] = (0, 0),
    diameter: float = math.nan,
    model: str | None = None,
) -> dict[str, Any]:
    """The dict of a ``_seg.npy``: its first seven keys are those that all versions write."""
    from cellpose.utils import masks_to_outlines

    labels = smallest_labels(masks)
    return {
        "outlines": labels * masks_to_outlines(labels),
        "masks": labels,
        "chan_choose": list(channels),
        "ismanual": np.zeros(int(labels.max(initial=0)), bool),
        "filename": os.fspath(file_name),
        "flows": _flows_content(labels.shape, flows),
        "diameter": diameter,
        # the name under which manuals and scripts look for the diameter
        "diams": diameter,
        "model": model,
        "version": version,
    }


def _flows_content(shape: tuple[int, ...], flows: Sequence[Any]) -> list[Any]:
    from cellpose.transforms import normalize99

    if len(flows) < 3:
        message = f"flows hold {len(flows)} arrays; give the three that eval returns: colours, flows, cell probability"
        raise InputError(message)
    colours, dP, cellprob = (np.asarray(item) for item in flows[:3])
    positions = flows[3] if len(flows) > 3 else []
    if cellprob.any() or dP.any():
        view = (np.clip(normalize99(cellprob.astype(np.float32)), 0, 1) * 255).astype(np.uint8)
        joined = np.concatenate((dP, cellprob[np.newaxis]), axis=0).astype(np.float32)
    else:  # nothing is known: zeros that take no memory
        view, joined = np.zeros(cellprob.shape, np.uint8), np.zeros((len(dP) + 1, *cellprob.shape), np.float32)
    if colours.ndim == 3:
        # every array has an axis of one plane, save those of the network
        return [
            resize_nearest(colours, shape)[np.newaxis],
            resize_nearest(view, shape)[np.newaxis],
            np.zeros((1, *cellprob.shape, 3), np.uint8),
            positions,
            joined,
        ]
    along_z = np.clip(dP[0] / 10 * 127 + 127, 0, 255).astype(np.uint8)
    return [*(resize_nearest(item, shape) for item in (colours, view, along_z)), positions, joined]


def resize_nearest(array: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Leading axes brought to a shape by repeating or leaving out pixels, as OpenCV's INTER_NEAREST does.

    Examples
    --------
    >>> import numpy as np
    >>> resize_nearest(np.array([[1, 2]]), (2, 4)).tolist()
    [[1, 1, 2, 2], [1, 1, 2, 2]]
    """
    resized = array
    for axis, length in enumerate(shape):
        if array.shape[axis] != length:
            index = np.arange(length) * array.shape[axis] // length
            resized = np.take(resized, index, axis=axis)
    return resized
