"""Percentiles of intensities, and the scale that they make."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.errors import OptionError
from cellpose.transforms._values import real_image

__all__ = [
    "LARGEST_EXACT",
    "LEAST_RANGE",
    "Scale",
    "check_percentiles",
    "has_contrast",
    "normalize99",
    "percentiles",
    "scale_of",
    "scale_to",
    "thinned",
    "thinning",
]

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.floating[Any]]

LEAST_RANGE = 1e-3  # a range of intensities below this counts as rounding noise
LARGEST_EXACT = 224**3  # arrays of more values are thinned out before their percentiles are taken
_WORTH_COUNTING = 2**16  # number of values from which tables of counts pay off

_LEAST_CONTRAST = 1e-5  # less than one 16-bit gray level where 1 is white
_ROUNDING = 1e-6  # of the largest intensity: eight steps of float32
# Networks see cells up to about 40 times the range of the percentiles, and none from 90 times on.
_FAR = 64.0
_LEAST_SHARE = 0.1  # of the pixels beyond a percentile that must stand out, so that hot pixels do not change the scale


def percentiles(values: Array, lower: float, upper: float) -> tuple[float, float]:
    """Two percentiles with linear interpolation between order statistics, as ``numpy.percentile`` defines them.

    The values of large arrays are counted instead of sorted: the result is the same, many times faster.
    """
    flat = values.ravel()
    wanted = [q / 100.0 * (flat.size - 1) for q in (lower, upper)]
    ranks = sorted({int(f) for w in wanted for f in (math.floor(w), math.ceil(w))})
    if flat.size > _WORTH_COUNTING and flat.dtype == np.float32:
        from cellpose.transforms._kernels import order_statistics

        bits = order_statistics(flat.view(np.uint32), np.array(ranks))
        statistics = dict(zip(ranks, bits.view(np.float32).tolist(), strict=True))
    else:
        ordered = np.partition(flat, ranks)
        statistics = {r: float(ordered[r]) for r in ranks}
    low, high = (
        statistics[math.floor(w)] + (statistics[math.ceil(w)] - statistics[math.floor(w)]) * (w - math.floor(w))
        for w in wanted
    )
    return low, high


def thinned(values: Array) -> Array:
    """Every n-th value along each axis of an array too large for exact percentiles to be worth their time."""
    if values.size <= LARGEST_EXACT:
        return values
    return values[tuple(slice(None, None, s) for s in thinning(values.shape))]


def thinning(shape: Sequence[int]) -> list[int]:
    """Steps along the axes by which an array of this shape is thinned out."""
    steps = [max(1, n // 224) for n in shape]
    if len(shape) == 3:
        steps[0] = max(1, shape[0] // 50)
    return steps


def check_percentiles(lower: float | None, upper: float | None) -> tuple[float, float]:
    """Both as floats; raises OptionError unless 0 <= lower < upper <= 100."""
    if lower is None or upper is None or not 0 <= lower < upper <= 100:
        message = f"percentiles {lower!r} and {upper!r} are not allowed; give 0 <= lower < upper <= 100"
        raise OptionError(message)
    return float(lower), float(upper)


def normalize99(
    Y: npt.ArrayLike, lower: float = 1, upper: float = 99, copy: bool = True, downsample: bool = False
) -> Floats:
    """Scale an array so that two percentiles become 0 and 1. Values beyond them are not cut off.

    Parameters
    ----------
    Y
        Intensities, any shape and real dtype.
    lower, upper
        Percentiles, ``0 <= lower < upper <= 100``, interpolated linearly.
    copy
        False: the result is written into ``Y`` where ``Y`` is of floats.
    downsample
        Take the percentiles from every n-th pixel where there are more than 224³.

    Returns
    -------
    numpy.ndarray
        float32, or float64 for float64; all 0 where the percentiles differ by less than 0.001.

    Raises
    ------
    OptionError
        Percentiles out of order or range.
    InputError
        An empty array or one without order.

    Examples
    --------
    >>> import numpy as np
    >>> normalize99(np.arange(101), lower=0, upper=100)[[0, 50, 100]]
    array([0. , 0.5, 1. ], dtype=float32)
    """
    lower, upper = check_percentiles(lower, upper)
    given = real_image(Y)
    wide = given.dtype if given.dtype in (np.float32, np.float64) else np.dtype(np.float32)
    values: Floats = given.astype(wide.newbyteorder("="), copy=copy)
    return scale_to(values, *percentiles(thinned(values) if downsample else values, lower, upper))


def scale_to(values: Floats, low: float, high: float) -> Floats:
    """Values moved and scaled in place so that low becomes 0 and high 1."""
    low, high = values.dtype.type(low), values.dtype.type(high)
    if high - low > LEAST_RANGE:
        values -= low
        values /= high - low
    else:
        values[...] = 0
    return values


# ------------------------------------------------------------------------------------------ the scale of a channel


def has_contrast(least: float, most: float) -> bool:
    """Whether the smallest and the largest intensity of a channel differ by more than rounding."""
    return most - least > max(_LEAST_CONTRAST, _ROUNDING * max(abs(least), abs(most)))


@dataclass(frozen=True)
class Scale:
    """Intensities that become 0 and 1.

    Attributes
    ----------
    low, high
        The intensities.
    percentiles
        Where these are not the percentiles that were asked for, since those say nothing: the percentiles.
    """

    low: float
    high: float
    percentiles: tuple[float, float] | None = None

    def __call__(self, values: Array) -> None:
        """Scale floats in place."""
        low = values.dtype.type(self.low)
        values -= low
        values /= values.dtype.type(self.high) - low


def scale_of(values: Array, lower: float, upper: float, extremes: tuple[float, float] | None = None) -> Scale | None:
    """The scale of a channel by its percentiles, or None where it has no contrast.

    Cells that cover less than one percent of a clean background lie beyond the percentiles: these are then the same
    number, or that of the background and one gray level more. The pixels that stand out make the scale in that case,
    and the background keeps its place at the end of it.

    Parameters
    ----------
    values
        Intensities, or a part of them from all over the channel; finite.
    lower, upper
        Percentiles.
    extremes
        Smallest and largest intensity of the whole channel; None: those of ``values``.
    """
    least, most = extremes if extremes is not None else (float(values.min()), float(values.max()))
    if not has_contrast(least, most):
        return None
    low, high = percentiles(values, lower, upper)
    same = not has_contrast(low, high)
    far = 0.0 if same else _FAR * (high - low)
    if not same and most - high <= far and low - least <= far:
        return Scale(low, high)
    flat = values.ravel()
    above, below = flat[flat > high + far], flat[flat < low - far]
    if not same and above.size < _LEAST_SHARE * (100 - upper) / 100 * flat.size:
        above = above[:0]
    if not same and below.size < _LEAST_SHARE * lower / 100 * flat.size:
        below = below[:0]
    if not same and not above.size and not below.size:
        return Scale(low, high)
    bottom = percentiles(below, lower, upper)[0] if below.size else low
    top = percentiles(above, lower, upper)[1] if above.size else high
    if not has_contrast(bottom, top):  # the sampled values miss the contrast
        bottom, top = least, most
    return Scale(bottom, top, (low, high))
