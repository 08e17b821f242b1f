"""Names of plot that older scripts call; nothing of the package itself does."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellpose._labels.check import check_labels
from cellpose.errors import InputError, OptionError
from cellpose.plot._color import Image8, _checked_colors, _labels_to_color, _table
from cellpose.utils import hsv_to_rgb, rgb_to_hsv

__all__ = [
    "disk",
    "interesting_patch",
    "mask_rgb",
]

Indices = NDArray[np.int64]


def mask_rgb(masks: ArrayLike, colors: ArrayLike | None = None) -> Image8:
    """Masks in colors on white.

    Parameters
    ----------
    masks
        Labels (Ly, Lx), 0 is background.
    colors
        RGB colors (max label, 3), 0 to 255 or 0 to 1, of which the hue is used. Without, hues are random. Saturation
        and value are random between 0.5 and 1 (``np.random.seed`` makes them repeat).

    Returns
    -------
    ndarray
        uint8 RGB (Ly, Lx, 3).

    Raises
    ------
    InputError
        If `masks` is not a label image, or there are fewer colors than labels.
    """
    labels = _labels_to_color(masks, colors)
    n = int(labels.max()) if labels.size else 0
    given = None if colors is None else _checked_colors(colors, n)
    # the global generator, which scripts seed to get the same picture again
    draw = np.random.rand(n, 3 if given is None else 2)  # noqa: NPY002
    hsv = np.empty((n, 3))
    hsv[:, 0] = draw[:, 0] if given is None else rgb_to_hsv(given)[:, 0]
    hsv[:, 1:] = draw[:, -2:] * 0.5 + 0.5
    table = _table((hsv_to_rgb(hsv) * 255).astype(np.uint8), [255, 255, 255])
    picture: Image8 = table[labels]
    return picture


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
        Center (y, x) in pixels.
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
