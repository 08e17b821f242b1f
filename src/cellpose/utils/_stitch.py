"""Labels of planes joined into labels of a volume."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellpose._labels.arrays import overlap, sizes
from cellpose._labels.check import Labels, check_labels
from cellpose.errors import OptionError

__all__ = ["stitch3D"]


def stitch3D(masks: ArrayLike, stitch_threshold: float = 0.25) -> NDArray[Any]:
    """Join labels of neighboring planes that overlap.

    Going down the planes, each label takes the number of the label of the plane before with which its intersection
    over union is highest, if it is at least `stitch_threshold` and no other label of its plane overlaps that one more;
    else it gets a new number. Where two labels overlap one of the plane before equally, both take its number.

    Parameters
    ----------
    masks
        Labels (Lz, Ly, Lx), numbered from 1 in each plane, 0 is background. A list of planes will do.
    stitch_threshold
        Least intersection over union, 0 to 1.

    Returns
    -------
    ndarray
        Labels (Lz, Ly, Lx) of the volume, in the dtype of `masks`, or uint16 or uint32 where that cannot hold them.
        `masks` itself is not changed.

    Raises
    ------
    InputError
        If `masks` is not a label image of three dimensions.
    OptionError
        If `stitch_threshold` is outside 0 to 1.

    Examples
    --------
    >>> planes = [[[1, 1, 0, 2]], [[0, 2, 0, 1]], [[0, 0, 0, 1]]]
    >>> stitch3D(np.array(planes), stitch_threshold=0.25)[:, 0].tolist()
    [[1, 1, 0, 2], [0, 1, 0, 2], [0, 0, 0, 2]]
    """
    if not 0 <= stitch_threshold <= 1:
        message = f"stitch_threshold={stitch_threshold!r} is not allowed; it must be a number between 0 and 1"
        raise OptionError(message)
    volume = check_labels(masks, ndim=(3,)).copy()
    top = int(volume[0].max()) if volume.size else 0
    for z in range(1, volume.shape[0] if volume.size else 0):
        table, top = _numbers_from_above(volume[z], volume[z - 1], stitch_threshold, top)
        volume[z] = table[volume[z]]
    stitched: NDArray[Any] = volume.astype(_dtype_for(top, np.asarray(masks).dtype), copy=False)
    return stitched


def _numbers_from_above(plane: Labels, above: Labels, threshold: float, top: int) -> tuple[NDArray[np.int64], int]:
    """Number in the volume of each label 0..max of a plane, and the largest number given so far.

    `above` is the plane before, already in the numbers of the volume.
    """
    counts, counts_above = sizes(plane), sizes(above)
    partners = np.zeros(counts.size, np.int64)
    shared = overlap(plane, above)
    both = (shared.a > 0) & (shared.b > 0)
    rows, cols, n = shared.a[both], shared.b[both], shared.counts[both]
    iou = n / (counts[rows] + counts_above[cols] - n)
    rows, cols, iou = (values[iou >= threshold] for values in (rows, cols, iou))
    best_of_col = np.zeros(counts_above.size)
    np.maximum.at(best_of_col, cols, iou)
    kept = iou >= best_of_col[cols]
    rows, cols, iou = rows[kept], cols[kept], iou[kept]
    # each row's highest, the lowest number of the plane above among equals: written last
    order = np.lexsort((-cols, iou, rows))
    partners[rows[order]] = cols[order]
    new = partners[1:] == 0
    partners[1:][new] = top + np.arange(1, np.count_nonzero(new) + 1)
    return partners, top + int(np.count_nonzero(new))


def _dtype_for(top: int, like: np.dtype[Any]) -> np.dtype[Any]:
    """`like` where it holds the label `top`, else uint16 or uint32: a label never wraps."""
    if like.kind == "f" or (like.kind in "iu" and top <= np.iinfo(like).max):
        return like
    return np.dtype(np.uint16) if top <= np.iinfo(np.uint16).max else np.dtype(np.uint32)
