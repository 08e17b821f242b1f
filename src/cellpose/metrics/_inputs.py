"""Arguments of the metrics: one image or many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellpose._labels.arrays import Overlap, overlap
from cellpose._labels.check import Labels, check_labels, check_same_shape
from cellpose.dynamics import Device, on_gpu
from cellpose.errors import InputError
from cellpose.utils import masks_to_outlines

__all__ = ["check_pair", "image_pairs", "outlines_of", "overlap_of"]


def check_pair(masks_true: ArrayLike, masks_pred: ArrayLike) -> tuple[Labels, Labels]:
    """True and predicted labels of one image, as int32 of the same shape."""
    true = check_labels(masks_true, ndim=(), name="masks_true")
    pred = check_labels(masks_pred, ndim=(), name="masks_pred")
    check_same_shape(true, pred, ("masks_true", "masks_pred"))
    return true, pred


def image_pairs(
    masks_true: ArrayLike | Sequence[ArrayLike], masks_pred: ArrayLike | Sequence[ArrayLike]
) -> tuple[list[tuple[Labels, Labels]], bool]:
    """The images as a list of pairs, and whether one array was given instead of lists."""
    for given, name in ((masks_true, "masks_true"), (masks_pred, "masks_pred")):
        if not hasattr(given, "__iter__"):
            message = f"{name} is of type {type(given).__name__}; give a label image or a list of them"
            raise InputError(message)
    one = isinstance(masks_true, np.ndarray) and isinstance(masks_pred, np.ndarray)
    trues = [masks_true] if isinstance(masks_true, np.ndarray) else list(masks_true)  # type: ignore[arg-type]
    preds = [masks_pred] if isinstance(masks_pred, np.ndarray) else list(masks_pred)  # type: ignore[arg-type]
    if len(trues) != len(preds):
        message = (
            f"masks_true holds {len(trues)} images and masks_pred {len(preds)}; pass one prediction for each image"
        )
        raise InputError(message)
    return [check_pair(true, pred) for true, pred in zip(trues, preds, strict=True)], one


def overlap_of(true: Labels, pred: Labels, device: Device) -> Overlap:
    """Pairs of labels that share pixels, counted on the device."""
    if not on_gpu(device):
        return overlap(true, pred)
    from cellpose.dynamics import label_tensors

    return label_tensors.overlap(true, pred, device)


def outlines_of(plane: Labels, device: Device) -> NDArray[np.bool_]:
    """Pixels on the outlines of the labels, found on the device."""
    if not on_gpu(device):
        return masks_to_outlines(plane)
    from cellpose.dynamics import label_tensors

    return label_tensors.outlines(plane, device)
