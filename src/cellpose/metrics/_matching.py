"""Predicted labels matched with true ones: average precision, IoUs, aggregated Jaccard index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellpose._labels.arrays import as_labels
from cellpose._labels.check import Labels
from cellpose.dynamics import Device
from cellpose.errors import InputError
from cellpose.metrics._inputs import check_pair, image_pairs, overlap_of

if TYPE_CHECKING:
    pass

__all__ = ["aggregated_jaccard_index", "average_precision", "mask_ious"]

Floats = NDArray[np.float64]

# Beyond this many pairs of label numbers, a table of present labels replaces one of all labels.
_MAX_TABLE = 50_000_000


class _Pairs(NamedTuple):
    """Pairs of a true and a predicted label that share pixels, background left out; and the sizes of all labels."""

    true: NDArray[np.int64]
    pred: NDArray[np.int64]
    shared: NDArray[np.int64]
    iou: Floats
    counts_true: NDArray[np.int64]
    counts_pred: NDArray[np.int64]


def _pairs(true: Labels, pred: Labels, device: Device) -> _Pairs:
    found = overlap_of(true, pred, device)
    counts_true, counts_pred = (np.bincount(n, found.counts).astype(np.int64) for n in (found.a, found.b))
    if not found.counts.size:
        counts_true, counts_pred = np.zeros(1, np.int64), np.zeros(1, np.int64)
    cells = (found.a > 0) & (found.b > 0)
    a, b, n = found.a[cells], found.b[cells], found.counts[cells]
    iou = n / (counts_true[a] + counts_pred[b] - n)
    return _Pairs(a, b, n, iou, counts_true, counts_pred)


def _matching_size(rows: NDArray[Any], cols: NDArray[Any], shape: tuple[int, int]) -> int:
    """Most pairs ``(rows[k], cols[k])`` that can be chosen so that none share a row or a column.

    The definition of a true positive is by an assignment of ``m = min(shape)`` pairs that minimizes the sum of
    ``-[iou >= th] - iou / (2 m)``. The second terms add up to at most 1/2, so no sum of them outweighs one pair more
    that reaches the threshold: the minimum has as many such pairs as can be, a largest bipartite matching. That one
    looks only at pairs that reach the threshold (Hopcroft and Karp 1973), not at all pairs of labels.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    if rows.size == 0:
        return 0
    # where no label is in two pairs (always true above 0.5) all of them match
    if np.bincount(rows).max() == 1 and np.bincount(cols).max() == 1:
        return int(rows.size)
    graph = csr_array((np.ones(rows.size), (rows, cols)), shape=shape)
    return int(np.count_nonzero(maximum_bipartite_matching(graph) >= 0))


def _image_true_positives(pairs: _Pairs, thresholds: Floats) -> list[int]:
    """True positives of one image at each threshold."""
    shape = (pairs.counts_true.size, pairs.counts_pred.size)
    fewest = min(np.count_nonzero(pairs.counts_true[1:]), np.count_nonzero(pairs.counts_pred[1:]))
    found = []
    for th in thresholds:
        if th <= 0:  # labels that share no pixel reach it too
            found.append(int(fewest))
            continue
        reach = pairs.iou >= th
        found.append(_matching_size(pairs.true[reach], pairs.pred[reach], shape))
    return found


def average_precision(
    masks_true: ArrayLike | Sequence[ArrayLike],
    masks_pred: ArrayLike | Sequence[ArrayLike],
    threshold: float | ArrayLike = (0.5, 0.75, 0.9),
    *,
    device: Device = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Average precision ``tp / (tp + fp + fn)`` of predicted labels at thresholds on their intersection over union.

    Parameters
    ----------
    masks_true, masks_pred
        Labels of one image, or lists of as many images; 0 is background. Any number of dimensions.
    threshold
        Least intersection over union of a match, one number or several.
    device
        Where to count what they share: None or the CPU, or a torch device.

    Returns
    -------
    ap, tp, fp, fn
        float32 (n images, n thresholds), or (n thresholds,) for one image: the average precision and the numbers of
        true positives, false positives and false negatives. Labels present are counted, so numbers may have gaps.
        Without any label in either image the average precision is NaN.

    Raises
    ------
    InputError
        If the lists differ in length, the images in shape, or one is not a label image.

    References
    ----------
    Stringer et al. (2021), Nature Methods 18, 100-106, Methods: segmentation quality.

    Examples
    --------
    >>> true = np.array([[1, 1, 0, 2, 2], [1, 1, 0, 2, 2]])
    >>> pred = np.array([[5, 5, 0, 0, 9], [5, 5, 0, 0, 0]])
    >>> ap, tp, fp, fn = average_precision(true, pred, threshold=0.5)
    >>> ap.tolist() == [np.float32(1 / 3)], tp.tolist(), fp.tolist(), fn.tolist()
    (True, [1.0], [1.0], [1.0])
    """
    images, one = image_pairs(masks_true, masks_pred)
    thresholds = np.atleast_1d(np.asarray(threshold, dtype=np.float64))
    tp, n_true, n_pred = (np.zeros((len(images), thresholds.size), np.float32) for _ in range(3))
    for k, (true, pred) in enumerate(images):
        pairs = _pairs(as_labels(true), as_labels(pred), device)
        n_true[k] = np.count_nonzero(pairs.counts_true[1:])
        n_pred[k] = np.count_nonzero(pairs.counts_pred[1:])
        tp[k] = _image_true_positives(pairs, thresholds)
    fp, fn = n_pred - tp, n_true - tp
    with np.errstate(invalid="ignore"):
        ap = tp / (tp + fp + fn)
    return (ap[0], tp[0], fp[0], fn[0]) if one else (ap, tp, fp, fn)


def _matched(pairs: _Pairs) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The best one-to-one assignment at threshold 0.5: true labels and their predicted ones.

    It is that of a dense table of all labels, those without pixels included, whose costs are 0 except for the given
    pairs; among equals it is the one that ``scipy.optimize.linear_sum_assignment`` chooses.
    """
    from cellpose.metrics._kernels import assign

    rows = np.arange(1, pairs.counts_true.size)
    cols = np.arange(1, pairs.counts_pred.size)
    if rows.size * cols.size > _MAX_TABLE:
        rows, cols = (np.flatnonzero(counts[1:]) + 1 for counts in (pairs.counts_true, pairs.counts_pred))
    fewer = min(rows.size, cols.size)
    if fewer == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    costs = -(pairs.iou >= 0.5).astype(np.float64) - pairs.iou / (2 * fewer)
    i, j = np.searchsorted(rows, pairs.true), np.searchsorted(cols, pairs.pred)
    if rows.size > cols.size:
        i, j = j, i
    order = np.lexsort((j, i))
    pointers = np.searchsorted(i[order], np.arange(fewer + 1))
    found = assign(pointers, j[order], costs[order], max(rows.size, cols.size))
    own = np.arange(fewer)
    return (rows[own], cols[found]) if rows.size <= cols.size else (rows[found], cols[own])


def mask_ious(
    masks_true: ArrayLike, masks_pred: ArrayLike, *, device: Device = None
) -> tuple[Floats, NDArray[np.int64]]:
    """Intersection over union of each true label with the predicted label it is matched with.

    Parameters
    ----------
    masks_true, masks_pred
        Labels of one image, same shape, 0 is background.
    device
        Where to count what they share: None or the CPU, or a torch device.

    Returns
    -------
    iou
        float64 (max true label,) in [0, 1]; item k is of true label k + 1.
    preds
        int64 (max true label,), the predicted label matched, 0 for none. Labels are matched one to one so that as many
        pairs as possible reach an IoU of 0.5, then for the highest sum. The remaining ones are paired too: an `iou` of
        0 means that the two share no pixel.

    Raises
    ------
    InputError
        If the shapes differ, or one is not a label image.

    Examples
    --------
    >>> iou, preds = mask_ious(np.array([[1, 1, 1, 0, 2]]), np.array([[2, 2, 0, 0, 1]]))
    >>> iou.round(4).tolist(), preds.tolist()
    ([0.6667, 1.0], [2, 1])
    """
    true, pred = check_pair(masks_true, masks_pred)
    pairs = _pairs_or_error(true, pred, device)
    rows, cols = _matched(pairs)
    iou = np.zeros(pairs.counts_true.size - 1)
    preds = np.zeros(pairs.counts_true.size - 1, np.int64)
    preds[rows - 1] = cols
    is_matched = preds[pairs.true - 1] == pairs.pred
    iou[pairs.true[is_matched] - 1] = pairs.iou[is_matched]
    return iou, preds


def _pairs_or_error(true: Labels, pred: Labels, device: Device) -> _Pairs:
    """Pairs by label number, where the numbers fit a table."""
    for labels, name in ((true, "masks_true"), (pred, "masks_pred")):
        if labels.size and as_labels(labels) is not labels:
            message = f"{name} holds the label {labels.max()} in an image of {labels.size} pixels; renumber the labels"
            raise InputError(message)
    return _pairs(true, pred, device)


def aggregated_jaccard_index(
    masks_true: Sequence[ArrayLike], masks_pred: Sequence[ArrayLike], *, device: Device = None
) -> Floats:
    """Pixels that matched labels share, over the pixels of any label.

    This is not the index of Kumar et al. (2017): labels are matched one to one, as in :func:`mask_ious`.

    Parameters
    ----------
    masks_true, masks_pred
        Lists of as many label images, 0 is background.
    device
        Where to count what they share: None or the CPU, or a torch device.

    Returns
    -------
    ndarray
        float64 (n images,) in [0, 1]; NaN where neither image holds a label.

    Raises
    ------
    InputError
        If the lists differ in length, the images in shape, or one is not a label image.

    Examples
    --------
    >>> aggregated_jaccard_index([np.array([[1, 1, 1, 0, 2]])], [np.array([[2, 2, 0, 0, 1]])]).tolist()
    [0.75]
    """
    images, _ = image_pairs(masks_true, masks_pred)
    index = np.full(len(images), np.nan)
    for k, (true, pred) in enumerate(images):
        union = np.count_nonzero((true > 0) | (pred > 0))
        if union:
            pairs = _pairs(as_labels(true), as_labels(pred), device)
            partner = np.zeros(pairs.counts_true.size, np.int64)
            rows, cols = _matched(pairs)
            partner[rows] = cols
            index[k] = pairs.shared[partner[pairs.true] == pairs.pred].sum() / union
    return index
