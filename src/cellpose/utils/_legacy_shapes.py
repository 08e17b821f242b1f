"""Shapes of labels, by names that older scripts call; nothing of the package itself does."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellpose._labels.arrays import as_labels
from cellpose._labels.check import check_labels
from cellpose.errors import InputError
from cellpose.utils._outlines import Contours, contours
from cellpose.utils._shapes import Floats, _disk_diameter, _pixel_counts

__all__ = [
    "circleMask",
    "get_mask_compactness",
    "get_mask_perimeters",
    "get_mask_stats",
    "get_perimeter",
    "radius_distribution",
    "size_distribution",
]


# A contour of four points or fewer encloses no area.
_MAX_POINTS_WITHOUT_LENGTH = 4


# Up to this many pixels, a shape is too coarse for meaningful statistics.
_MIN_PIXELS_FOR_STATS = 15


def radius_distribution(masks: ArrayLike, bins: ArrayLike) -> tuple[NDArray[np.float32], float, Floats]:
    """Histogram of half the square roots of the labels' pixel counts.

    Parameters
    ----------
    masks
        Labels of any number of dimensions, 0 is background.
    bins
        Edges of the bins (n + 1,), in pixels.

    Returns
    -------
    fractions
        float32 (n,), the fraction of the labels in each bin.
    diameter
        Median of the radii over ``sqrt(pi) / 2``; 0 without labels.
    radii
        float64 (m,), ``sqrt(count) / 2`` of each label present.
    """
    radii = np.sqrt(_pixel_counts(masks).astype(np.float64)) / 2
    histogram, _ = np.histogram(radii, bins=np.asarray(bins))
    fractions = histogram.astype(np.float32) / np.float32(max(1, histogram.sum()))
    return fractions, _disk_diameter(radii), radii


def size_distribution(masks: ArrayLike) -> float:
    """Spread of the sizes of the labels.

    Parameters
    ----------
    masks
        Labels of any number of dimensions, 0 is background.

    Returns
    -------
    float
        25th percentile of the labels' pixel counts over the 75th, in (0, 1]; NaN without labels.
    """
    counts = _pixel_counts(masks)
    if counts.size == 0:
        return math.nan
    low, high = np.percentile(counts, [25, 75])
    return float(low / high)


def circleMask(d0: ArrayLike) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
    """Distances of the pixels of a grid from its center.

    Parameters
    ----------
    d0
        Half sizes (rows, columns) in pixels.

    Returns
    -------
    rs
        float64 (2 * d0[0] + 1, 2 * d0[1] + 1), distance from the center in pixels.
    dx, dy
        int64, same shape, offsets from the center along columns and rows.

    Examples
    --------
    >>> rs, dx, dy = circleMask([1, 1])
    >>> dx[0].tolist(), dy[:, 0].tolist()
    ([-1, 0, 1], [-1, 0, 1])
    """
    half = np.asarray(d0)
    if half.shape != (2,) or (half < 0).any():
        message = f"d0={d0!r} is not a pair of half sizes; pass two whole numbers from 0 upwards"
        raise InputError(message)
    dy, dx = np.meshgrid(*(np.arange(-int(h), int(h) + 1) for h in half), indexing="ij")
    return np.sqrt(dx**2 + dy**2), dx, dy


def get_perimeter(points: ArrayLike) -> float:
    """Length of a closed polygon.

    Parameters
    ----------
    points
        Corners (n, 2) in pixels.

    Returns
    -------
    float
        In pixels; 0 for four corners or fewer.

    Examples
    --------
    >>> float(get_perimeter([[0, 0], [0, 1], [0, 2], [3, 2], [3, 0]]))
    10.0
    """
    corners = np.asarray(points, dtype=np.float64)
    if corners.shape[0] <= _MAX_POINTS_WITHOUT_LENGTH:
        return 0
    return float(_steps(corners).sum())


def _steps(corners: Floats) -> Floats:
    """Lengths of the sides of a closed polygon (n, 2)."""
    sides = np.roll(corners, -1, axis=0) - corners
    lengths: Floats = np.hypot(sides[:, 0], sides[:, 1])
    return lengths


def get_mask_perimeters(masks: ArrayLike) -> Floats:
    """Perimeters of the labels: the lengths of their outermost contours, from pixel center to pixel center.

    Parameters
    ----------
    masks
        Labels (Ly, Lx), 0 is background.

    Returns
    -------
    ndarray
        float64 (max label,), in pixels; item k is of label k + 1, 0 where that is absent. Contours of four pixels or
        fewer count 0, those of the parts of a label are added.

    Raises
    ------
    InputError
        If `masks` is not a label image of two dimensions.
    """
    labels = check_labels(masks, ndim=(2,))
    perimeters = np.zeros(int(labels.max()) if labels.size else 0)
    dense = as_labels(labels)
    found = contours(dense)
    lengths = _contour_lengths(found)
    # very sparse numbers were renumbered in ascending order
    owners = found.owners if dense is labels else np.unique(labels[labels > 0])[found.owners - 1]
    np.add.at(perimeters, owners - 1, lengths)
    return perimeters


def _contour_lengths(found: Contours) -> Floats:
    """`get_perimeter` of every contour, at once."""
    if found.ends.size == 0:
        return np.zeros(0)
    following = np.arange(1, found.points.shape[0] + 1)
    following[found.ends - 1] = found.starts
    sides = (found.points[following] - found.points).astype(np.float64)
    lengths = np.add.reduceat(np.hypot(sides[:, 0], sides[:, 1]), found.starts)
    return np.where(found.ends - found.starts > _MAX_POINTS_WITHOUT_LENGTH, lengths, 0.0)


def _areas(labels: NDArray[np.int32], n: int) -> NDArray[np.intp]:
    """Number of pixels of the labels 1..n."""
    return np.bincount(labels.ravel(), minlength=n + 1)[1:]


def get_mask_compactness(masks: ArrayLike) -> Floats:
    """Compactness of the labels, ``4 * pi * area / perimeter**2``.

    Parameters
    ----------
    masks
        Labels (Ly, Lx), 0 is background.

    Returns
    -------
    ndarray
        float64 (max label,) in [0, 1], 1 for a disk; item k is of label k + 1, 0 where that is absent or has no
        perimeter (see :func:`get_mask_perimeters`).

    Raises
    ------
    InputError
        If `masks` is not a label image of two dimensions.
    """
    labels = check_labels(masks, ndim=(2,))
    perimeters = get_mask_perimeters(labels)
    compactness = np.zeros_like(perimeters)
    areas = _areas(labels, perimeters.size)
    np.divide(4 * math.pi * areas, perimeters**2, out=compactness, where=perimeters > 0)
    return np.minimum(compactness, 1.0)


def get_mask_stats(masks_true: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """How convex, solid and compact the labels are.

    Parameters
    ----------
    masks_true
        Labels (Ly, Lx), 0 is background.

    Returns
    -------
    convexity
        Perimeter of the convex hull over the perimeter.
    solidity
        Area inside the contour (pixels - perimeter / 2 - 1, after Pick) over the area of the convex hull.
    compactness
        Mean distance from the center of a disk of as many pixels over the mean distance from the median pixel.

    Each is float64 (max label,) in [0, 1]; item k is of label k + 1, 0 where that has 15 pixels or fewer.
    Convexity and solidity are 0 for a straight line, which has no hull.

    Raises
    ------
    InputError
        If `masks_true` is not a label image of two dimensions.
    """
    labels = check_labels(masks_true, ndim=(2,))
    perimeters = get_mask_perimeters(labels)
    convexity, solidity, compactness = (np.zeros_like(perimeters) for _ in range(3))
    if perimeters.size == 0:
        return convexity, solidity, compactness
    foreground = np.flatnonzero(labels)
    order = np.argsort(labels.ravel()[foreground], kind="stable")
    counts = _areas(labels, perimeters.size)
    ys, xs = np.unravel_index(foreground[order], labels.shape)
    ends = np.cumsum(counts)
    disk = _mean_disk_distances(int(counts.max()))
    for k in np.flatnonzero(counts > _MIN_PIXELS_FOR_STATS):
        pixels = slice(ends[k] - counts[k], ends[k])
        y, x = ys[pixels], xs[pixels]
        hull_length, hull_area = _convex_hull(y, x)
        convexity[k] = hull_length / perimeters[k] if hull_area and perimeters[k] else 0.0
        solidity[k] = (counts[k] - perimeters[k] / 2 - 1) / hull_area if hull_area else 0.0
        distances = np.hypot(y - np.median(y), x - np.median(x))
        compactness[k] = disk[counts[k] - 1] / distances.mean()
    return np.clip(convexity, 0, 1), np.clip(solidity, 0, 1), np.clip(compactness, 0, 1)


def _mean_disk_distances(n: int) -> Floats:
    """Item k is the mean distance from the center of the k + 1 pixels nearest to it, k < n."""
    half = math.ceil(math.sqrt(n / math.pi)) + 2
    distances = np.sort(circleMask([half, half])[0], axis=None)[:n]
    return np.cumsum(distances) / np.arange(1, n + 1)


def _convex_hull(y: NDArray[np.intp], x: NDArray[np.intp]) -> tuple[float, float]:
    """Perimeter and area of the convex hull of pixel centers."""
    import cv2

    hull = cv2.convexHull(np.stack([x, y], axis=1).astype(np.int32)).reshape(-1, 2).astype(np.float64)
    # OpenCV's own length is float32; for two corners the polygon runs there and back
    length = float(_steps(hull).sum())
    xs, ys = hull.T
    area = abs(float(xs @ np.roll(ys, -1) - ys @ np.roll(xs, -1))) / 2
    return length, area
