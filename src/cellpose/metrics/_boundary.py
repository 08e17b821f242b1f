"""How well the outlines of predicted labels lie on the true ones."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellpose.metrics._inputs import image_pairs
from cellpose.utils import diameters, masks_to_outlines
from cellpose.utils._check import Labels, check_labels

__all__ = ["boundary_scores"]

Floats = NDArray[np.float64]


def _distance_to_outlines(labels: Labels) -> NDArray[np.float32]:
    """Distance of each pixel to the nearest outline pixel, infinite where there is no outline."""
    import cv2

    outlines = masks_to_outlines(labels)
    if not outlines.any():
        return np.full(labels.shape, np.inf, np.float32)
    distance: NDArray[np.float32] = cv2.distanceTransform(
        (~outlines).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
    )
    return distance


def _reach(radius: float) -> float:
    """A bound between the pixels whose distance is at most `radius` and those beyond.

    Squared distances between pixels are whole numbers, so a bound half way between two of them leaves float32's error
    without effect up to 2000 pixels.
    """
    squared = math.floor(radius**2)
    while math.sqrt(squared + 1) <= radius:
        squared += 1
    while math.sqrt(squared) > radius:
        squared -= 1
    return math.sqrt(squared + 0.5)


def boundary_scores(
    masks_true: Sequence[ArrayLike], masks_pred: Sequence[ArrayLike], scales: Sequence[float] | NDArray[np.floating]
) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and F-score of the outlines, thickened in proportion to the size of the cells.

    Parameters
    ----------
    masks_true, masks_pred
        Lists of as many label images (Ly, Lx), 0 is background.
    scales
        Radii of thickening as fractions of the median diameter of the true labels of an image; at least 1 pixel is
        used.

    Returns
    -------
    precision, recall, fscore
        float64 (n scales, n images) in [0, 1]; NaN where they are undefined (0 over 0).

    Raises
    ------
    InputError
        If the lists differ in length, the images in shape, or one is not a label image of two dimensions.

    Examples
    --------
    >>> true = np.zeros((9, 9), int)
    >>> true[2:7, 2:7] = 1
    >>> precision, recall, fscore = boundary_scores([true], [true], scales=[0.1])
    >>> precision.tolist(), recall.tolist(), fscore.tolist()
    ([[1.0]], [[1.0]], [[1.0]])
    """
    images, _ = image_pairs(masks_true, masks_pred)
    widths = np.atleast_1d(np.asarray(scales, dtype=np.float64))
    tp, n_true, n_pred = (np.zeros((widths.size, len(images))) for _ in range(3))
    for k, (true, pred) in enumerate(images):
        check_labels(true, ndim=(2,), name="masks_true")
        diameter, _ = diameters(true)
        to_true, to_pred = _distance_to_outlines(true), _distance_to_outlines(pred)
        for s, width in enumerate(widths):
            # a pixel lies in the outlines dilated by a disk if an outline pixel is at most the radius away
            reach = _reach(max(1.0, width * diameter))
            near_true, near_pred = to_true <= reach, to_pred <= reach
            tp[s, k] = np.count_nonzero(near_true & near_pred)
            n_true[s, k], n_pred[s, k] = np.count_nonzero(near_true), np.count_nonzero(near_pred)
    with np.errstate(invalid="ignore"):
        precision, recall = tp / n_pred, tp / n_true
        fscore = 2 * precision * recall / (precision + recall)
    return precision, recall, fscore
