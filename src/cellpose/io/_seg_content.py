"""The content of a ``_seg.npy``, from the results of a segmentation."""

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
from cellpose.io._scratch import roomy_zeros
from cellpose.io._write import PathLike, smallest_labels

__all__ = ["seg_content"]

logger = logging.getLogger(__name__)


def seg_content(
    masks: npt.ArrayLike,
    flows: Sequence[Any] | None,
    file_name: PathLike,
    *,
    channels: Sequence[int] = (0, 0),
    diameter: float = math.nan,
    model: str | None = None,
) -> dict[str, Any]:
    """The dict of a ``_seg.npy``: its first seven keys are those that all versions write.

    Without ``flows`` empty lists stand in their places, as in stacks that were drawn by hand with the original; zeros
    would take 20 bytes per voxel.
    """
    labels = smallest_labels(masks)
    return {
        "outlines": _outlined(labels),
        "masks": labels,
        "chan_choose": list(channels),
        "ismanual": np.zeros(int(labels.max(initial=0)), bool),
        "filename": os.fspath(file_name),
        "flows": [[] for _ in range(5)] if flows is None else _flows_content(labels.shape, flows),
        "diameter": diameter,
        # the name by which manuals and scripts look for the diameter
        "diams": diameter,
        "model": model,
        "version": version,
    }


def _outlined(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The labels on the boundary pixels of the masks, 0 elsewhere."""
    from cellpose.utils import masks_to_outlines

    if labels.ndim == 2:
        return np.asarray(labels * masks_to_outlines(labels))
    out = roomy_zeros(labels.shape, labels.dtype)
    for target, plane in zip(out, labels, strict=True):
        target[...] = plane * masks_to_outlines(plane)
    return out


def _flows_content(shape: tuple[int, ...], flows: Sequence[Any]) -> list[Any]:
    from cellpose.transforms import normalize99

    if len(flows) < 3:
        message = f"flows hold {len(flows)} arrays; give the three that eval returns: colors, flows, cell probability"
        raise InputError(message)
    colors, dP, cellprob = (np.asarray(item) for item in flows[:3])
    positions = flows[3] if len(flows) > 3 else []
    if cellprob.any() or dP.any():
        view = (np.clip(normalize99(cellprob.astype(np.float32)), 0, 1) * 255).astype(np.uint8)
        joined = np.concatenate((dP, cellprob[np.newaxis]), axis=0).astype(np.float32)
    else:  # unknown: zeros that take no memory
        view, joined = np.zeros(cellprob.shape, np.uint8), np.zeros((len(dP) + 1, *cellprob.shape), np.float32)
    if colors.ndim == 3:
        # every array has an axis of one plane, except those of the network
        return [
            resize_nearest(colors, shape)[np.newaxis],
            resize_nearest(view, shape)[np.newaxis],
            np.zeros((1, *cellprob.shape, 3), np.uint8),
            positions,
            joined,
        ]
    along_z = np.clip(dP[0] / 10 * 127 + 127, 0, 255).astype(np.uint8)
    return [*(resize_nearest(item, shape) for item in (colors, view, along_z)), positions, joined]


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
