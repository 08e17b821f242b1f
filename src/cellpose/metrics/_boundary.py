"""How well the outlines of predicted labels lie on the true ones."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellpose._labels.arrays import PIXELS_PER_SLICE
from cellpose._labels.check import Labels, check_labels
from cellpose._machine.threads import run_sliced
from cellpose.dynamics import Device
from cellpose.errors import OptionError
from cellpose.metrics._inputs import image_pairs, outlines_of
from cellpose.utils import diameters

__all__ = ["boundary_scores"]

Floats = NDArray[np.float64]
Words = NDArray[np.uint64]


def _outline_bits(labels: Labels, device: Device) -> Words:
    """Outlines as bits, 64 pixels of a row in each word, beginning with the lowest bit."""
    packed = np.packbits(outlines_of(labels, device), axis=1, bitorder="little")
    words = np.zeros((len(packed), -(-packed.shape[1] // 8)), "<u8")
    words.view(np.uint8)[:, : packed.shape[1]] = packed
    return words.astype(np.uint64, copy=False)


def _dilated(bits: Words, squared: int) -> Words:
    """Pixels whose squared distance to one of the outlines is at most ``squared``."""
    from cellpose.metrics._kernels import dilate_rows

    out = np.zeros_like(bits)
    smallest = max(1, 4 * math.isqrt(squared), (PIXELS_PER_SLICE >> 6) // max(bits.shape[1], 1))
    run_sliced(dilate_rows, len(bits), bits, squared, out, smallest=smallest, per_thread=1)
    return out


def _squared_reach(radius: float) -> int:
    """The largest squared distance between pixels, a whole number, whose root is at most the radius."""
    squared = math.floor(radius**2)
    while math.sqrt(squared + 1) <= radius:
        squared += 1
    while math.sqrt(squared) > radius:
        squared -= 1
    return squared


def boundary_scores(
    masks_true: Sequence[ArrayLike],
    masks_pred: Sequence[ArrayLike],
    scales: Sequence[float] | NDArray[np.floating],
    *,
    device: Device = None,
) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and F-score of the outlines, thickened in proportion to the size of the cells.

    Parameters
    ----------
    masks_true, masks_pred
        Lists of as many label images (Ly, Lx), 0 is background.
    scales
        Radii of thickening as fractions of the median diameter of the true labels of an image; at least 1 pixel is
        used.
    device
        Where to find the outlines: None or the CPU, or a torch device.

    Returns
    -------
    precision, recall, fscore
        float64 (n scales, n images) in [0, 1]; NaN where they are undefined (0 over 0).

    Raises
    ------
    InputError
        If the lists differ in length, the images in shape, or one is not a label image of two dimensions.
    OptionError
        If a scale is negative or no number.

    Examples
    --------
    >>> true = np.zeros((9, 9), int)
    >>> true[2:7, 2:7] = 1
    >>> precision, recall, fscore = boundary_scores([true], [true], scales=[0.1])
    >>> precision.tolist(), recall.tolist(), fscore.tolist()
    ([[1.0]], [[1.0]], [[1.0]])
    """
    from cellpose.metrics._kernels import count_bits

    images, _ = image_pairs(masks_true, masks_pred)
    widths = np.atleast_1d(np.asarray(scales, dtype=np.float64))
    if not (widths >= 0).all():
        message = f"scales={widths.tolist()} are not allowed; each is a fraction of the median diameter, 0 or more"
        raise OptionError(message)
    tp, n_true, n_pred = (np.zeros((widths.size, len(images))) for _ in range(3))
    for k, (true, pred) in enumerate(images):
        check_labels(true, ndim=(2,), name="masks_true")
        diameter, _ = diameters(true)
        outlines_true, outlines_pred = (_outline_bits(labels, device) for labels in (true, pred))
        for s, width in enumerate(widths):
            squared = _squared_reach(min(max(1.0, width * diameter), math.hypot(*true.shape)))
            near_true, near_pred = _dilated(outlines_true, squared), _dilated(outlines_pred, squared)
            parts = count_bits(0, len(true), near_true, near_pred, true.shape[1])
            tp[s, k], n_true[s, k], n_pred[s, k] = parts
    with np.errstate(invalid="ignore"):
        precision, recall = tp / n_pred, tp / n_true
        fscore = 2 * precision * recall / (precision + recall)
    return precision, recall, fscore
