"""Pieces of images."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellpose._labels.check import check_labels
from cellpose.errors import InputError, OptionError

__all__ = ["disk", "interesting_patch"]

Indices = NDArray[np.int64]


def interesting_patch(mask: ArrayLike, bsize: int = 130) -> list[Indices]:
    """Where a square patch has most of the masks in it.

    Parameters
    ----------
    mask
        Labels (Ly, Lx), 0 is background.
    bsize
        Side of the patch in pixels; an odd one is made even.

    Returns
    -------
    list of ndarray
        ``[yindices, xindices]``, int64 (bsize,) each. In an image smaller than the patch they begin at 0 and run
        beyond its end.

    Raises
    ------
    InputError
        If `mask` is not a label image, or has no pixel.
    OptionError
        If `bsize` is less than 2.
    """
    from scipy import ndimage

    if bsize < 2:
        message = f"bsize={bsize!r} is not allowed; a patch has a side of 2 pixels or more"
        raise OptionError(message)
    labels = check_labels(mask, ndim=(2,), name="mask")
    if labels.size == 0:
        message = f"mask has shape {labels.shape}; a patch needs an image of at least one pixel"
        raise InputError(message)
    density: NDArray[np.float32] = ndimage.gaussian_filter((labels > 0).astype(np.float32), bsize / 2)
    half = int(bsize) // 2
    centre = np.unravel_index(int(np.argmax(density)), labels.shape)
    starts = [max(half, min(int(c), n - half)) - half for c, n in zip(centre, labels.shape, strict=True)]
    return [np.arange(start, start + 2 * half) for start in starts]


def disk(med: tuple[float, float], r: float, Ly: int, Lx: int) -> tuple[Indices, Indices]:
    """Pixels of a disk inside an image.

    Parameters
    ----------
    med
        Centre (y, x) in pixels.
    r
        Radius in pixels; pixels at that distance belong to the disk.
    Ly, Lx
        Shape of the image.

    Returns
    -------
    y, x
        int64 (n,), in raster order.

    Examples
    --------
    >>> y, x = disk((0, 0), 1, 4, 4)
    >>> y.tolist(), x.tolist()
    ([0, 0, 1], [0, 1, 0])
    """
    rows, cols = np.arange(Ly)[:, None], np.arange(Lx)[None, :]
    inside = np.hypot(rows - med[0], cols - med[1]) <= r
    y, x = np.nonzero(inside)
    return y, x
