"""Names of metrics that older scripts call; nothing of the package itself does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from cellpose._face.keywords import also_called
from cellpose._labels.arrays import overlap
from cellpose._labels.check import Labels, check_labels, check_same_shape
from cellpose.metrics._matching import Floats, _matching_size

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = [
    "_intersection_over_union",
    "_label_overlap",
    "_true_positive",
]


@also_called(x="masks_true", y="masks_pred")
def _label_overlap(masks_true: ArrayLike, masks_pred: ArrayLike) -> csr_array:
    """Number of pixels that each true label shares with each predicted one.

    Parameters
    ----------
    masks_true, masks_pred
        Labels of the same shape, 0 is background. Also called ``x`` and ``y``.

    Returns
    -------
    scipy.sparse.csr_array
        int64 (max true label + 1, max predicted label + 1); row and column 0 are background.
    """
    from scipy.sparse import csr_array

    true, pred = _same_size(masks_true, masks_pred)
    found = overlap(true, pred)
    shape = (_top(true) + 1, _top(pred) + 1)
    return csr_array((found.counts, (found.a, found.b)), shape=shape)


def _top(labels: Labels) -> int:
    return int(labels.max()) if labels.size else 0


def _same_size(masks_true: ArrayLike, masks_pred: ArrayLike) -> tuple[Labels, Labels]:
    """Both flattened; a plane and the same plane flattened match."""
    true = check_labels(masks_true, ndim=(), name="masks_true").ravel()
    pred = check_labels(masks_pred, ndim=(), name="masks_pred").ravel()
    check_same_shape(true, pred, ("masks_true (flat)", "masks_pred (flat)"))
    return true, pred


def _intersection_over_union(masks_true: ArrayLike, masks_pred: ArrayLike) -> Floats:
    """Intersection over union of each true label with each predicted one.

    Parameters
    ----------
    masks_true, masks_pred
        Labels of the same shape, 0 is background.

    Returns
    -------
    ndarray
        float64 (max true label + 1, max predicted label + 1) in [0, 1]; row and column 0 are background, and 0 stands
        where both labels are absent.
    """
    shared = _label_overlap(masks_true, masks_pred).toarray()
    union = shared.sum(axis=1, keepdims=True) + shared.sum(axis=0, keepdims=True) - shared
    iou: Floats = shared / np.maximum(union, 1)
    return iou


def _true_positive(iou: ArrayLike, th: float) -> int:
    """Number of pairs in the best one-to-one assignment that reach a threshold.

    Parameters
    ----------
    iou
        Intersection over union (n true, n predicted), without background.
    th
        Least intersection over union of a true positive.

    Returns
    -------
    int
        True positives.
    """
    table = np.asarray(iou)
    if min(table.shape) == 0:
        return 0
    rows, cols = np.nonzero(table >= th)
    return _matching_size(rows, cols, (table.shape[0], table.shape[1]))
