"""Spots, such as puncta of a protein, and the label that contains each."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._machine.optional import optional
from cellpose.errors import InputError, OptionError
from cellpose.measure._regions import Regions
from cellpose.transforms import fill_nonfinite

__all__ = ["METHODS", "find_spots", "spot_columns"]

Array = npt.NDArray[Any]

METHODS = ("log", "dog")
_NOISE_FACTOR = 6.0  # a spot must exceed the noise of the filtered image by this factor
_MAD = 1.4826  # converts the median deviation to the standard deviation of noise


def find_spots(
    image: npt.ArrayLike,
    method: str = "log",
    *,
    min_sigma: float = 1.0,
    max_sigma: float = 5.0,
    threshold: float | None = None,
    **options: Any,
) -> npt.NDArray[np.float64]:
    """Find bright spots in an image, with `skimage.feature.blob_log` or `blob_dog`.

    Parameters
    ----------
    image
        One channel, ``(Y, X)`` or ``(Z, Y, X)``. Its values are not scaled; those that are not finite are replaced as
        for a network, see `transforms.fill_nonfinite`.
    method
        "log", Laplacian of Gaussians, or "dog", difference of Gaussians: faster, less exact in size.
    min_sigma, max_sigma
        Sizes of spots, as standard deviations of Gaussians in pixels; the radius of a spot is sqrt(2) sigma in a plane,
        sqrt(3) sigma in a stack.
    threshold
        Minimum of the filtered image, in the units of the image. None: six times the noise of the filtered image, which
        makes the result independent of exposure.
    options
        More options of the scikit-image function, such as ``overlap``, ``num_sigma``, ``exclude_border``.

    Returns
    -------
    float64 array (number of spots, ndim + 1)
        Positions in pixels and sigma, as scikit-image returns them: ``y, x, sigma``.

    Raises
    ------
    OptionError
        If the method is unknown.
    InputError
        If the image does not have two or three axes.
    MissingExtraError
        If scikit-image is not installed.
    """
    if method not in METHODS:
        message = f"method={method!r} is not allowed; choose one of {', '.join(map(repr, METHODS))}"
        raise OptionError(message)
    if not 0 < min_sigma <= max_sigma:
        message = f"sigmas of spots from {min_sigma} to {max_sigma} are not allowed; give 0 < min_sigma <= max_sigma"
        raise OptionError(message)
    feature = optional("skimage.feature", "measure", "find spots")
    values = np.array(image, np.float64)
    if values.ndim not in (2, 3):
        message = f"image of shape {values.shape}: give one channel, (Y, X) or (Z, Y, X), to find spots"
        raise InputError(message)
    if values.size == 0:
        return np.zeros((0, values.ndim + 1))
    # a filter would spread one of them over all of the image
    fill_nonfinite(values[..., np.newaxis])
    if values.min() == values.max():
        return np.zeros((0, values.ndim + 1))
    least = _six_times_noise(values, method, min_sigma, max_sigma, options) if threshold is None else threshold
    find = feature.blob_log if method == "log" else feature.blob_dog
    found = find(values, min_sigma=min_sigma, max_sigma=max_sigma, threshold=least, **options)
    return np.asarray(found, np.float64).reshape(-1, values.ndim + 1)


def _six_times_noise(
    values: npt.NDArray[np.float64], method: str, low: float, high: float, options: dict[str, Any]
) -> float:
    """The threshold. The smallest scale has the most noise; most pixels are noise, so their spread measures it."""
    from scipy import ndimage

    if method == "log":
        filtered = ndimage.gaussian_laplace(values, low) * low**2
    else:
        ratio = options.get("sigma_ratio", 1.6)
        # as in blob_dog, which divides the difference by the ratio minus 1
        filtered = (ndimage.gaussian_filter(values, low) - ndimage.gaussian_filter(values, low * ratio)) / (ratio - 1)
    middle = np.median(filtered)
    noise = _MAD * float(np.median(np.abs(filtered - middle)))
    # spots on an empty background have no noise
    return max(_NOISE_FACTOR * noise, 1e-3 * float(np.abs(filtered).max()))


def spot_columns(regions: Regions, spots: npt.ArrayLike, image: Array | None) -> dict[str, Array]:
    """Spots of each label: ``spots_count``, ``spots_density`` per pixel, mean ``spots_sigma`` and ``spots_intensity``.

    ``spots`` has rows of positions and sigmas. A spot belongs to the label of the pixel at its position, truncated to
    whole numbers.
    """
    found = np.asarray(spots, np.float64)
    if found.ndim != 2 or (found.size and found.shape[1] < regions.ndim):
        message = f"spots of shape {found.shape} do not belong to {regions.ndim}D labels; give what find_spots returns"
        raise InputError(message)
    places = found[:, : regions.ndim].astype(np.int64) if found.size else np.zeros((0, regions.ndim), np.int64)
    if (places < 0).any() or (places >= regions.image.shape).any():
        message = f"some spots are outside the labels of shape {regions.image.shape}; use the spots of the same image"
        raise InputError(message)
    owner = regions.image[tuple(places.T)]
    inside = owner > 0
    index = np.searchsorted(regions.numbers, owner[inside])
    count = np.bincount(index, minlength=regions.n)
    columns = {"spots_count": count, "spots_density": count / regions.counts}

    def mean(values: Array) -> Array:
        sums = np.bincount(index, values[inside], minlength=regions.n)
        means: Array = np.divide(sums, count, out=np.full(regions.n, math.nan), where=count > 0)
        return means

    if found.ndim == 2 and found.shape[1] > regions.ndim:
        columns["spots_sigma"] = mean(found[:, regions.ndim])
    if image is not None:
        columns["spots_intensity"] = mean(np.asarray(image[tuple(places.T)], np.float64))
    return columns
