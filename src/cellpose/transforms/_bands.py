"""Rows of a plane that is never in memory as a whole, as network input on the intensity scale of the whole plane."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cellpose.errors import OptionError
from cellpose.options import Normalization
from cellpose.transforms._channels import Channels
from cellpose.transforms._normalize import DEFAULT_PERCENTILE, given_bounds, tell_of_flat, tell_of_sparse
from cellpose.transforms._percentiles import LARGEST_EXACT, Scale, has_contrast, scale_of, thinning

__all__ = ["Bands", "PreparedBands", "prepare_bands"]

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]

_ROWS_AT_ONCE = 2**23  # intensities read together while the scale is determined


class Bands(Protocol):
    """A plane that is read by bands of rows, such as `cellpose.io.LazyPlane`."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows, columns, channels."""
        ...

    @property
    def chunk_rows(self) -> int:
        """Rows that are stored together."""
        ...

    @property
    def read(self) -> Callable[[int, int], Array]:
        """Read the rows from the first up to, but not including, the last, (rows, columns, channel)."""
        ...

    def reader(self) -> Callable[[int, int], Array]:
        """As ``read``, for bands that overlap."""
        ...


@dataclass(frozen=True)
class PreparedBands:
    """Gives prepared rows, float32 (rows, columns, channel).

    Attributes
    ----------
    shape
        Rows, columns.
    bounds
        For each channel the offset to subtract and the divisor of the rest; None: the channel becomes 0.
    finite
        For each channel its smallest and largest finite intensity.
    """

    shape: tuple[int, int]
    read: Callable[[int, int], Array]
    channels: Channels
    bounds: tuple[tuple[np.float32, np.float32] | None, ...]
    finite: tuple[tuple[float, float], ...]
    invert: bool

    def __call__(self, start: int, stop: int) -> Float32:
        rows = self.channels(self.read(start, stop), _floats)
        for c, bounds in enumerate(self.bounds):
            channel = rows[..., c]
            if bounds is None:
                channel[...] = 0
                continue
            low, high = self.finite[c]
            np.nan_to_num(channel, copy=False, nan=low, posinf=high, neginf=low)
            channel -= bounds[0]
            channel /= bounds[1]
            if self.invert:
                np.subtract(1, channel, out=channel)
        return rows


def prepare_bands(plane: Bands, channels: Channels, normalization: Normalization) -> PreparedBands:
    """Look through the whole plane once, for the scale of its intensities: that of `network_input`.

    Raises
    ------
    OptionError
        If the normalization needs the whole plane at once.
    """
    for name in ("background_radius", "sharpen_radius", "smooth_radius", "tile_norm_blocksize"):
        if getattr(normalization, name):
            message = (
                f"{name}={getattr(normalization, name)} is not possible for a plane that runs in blocks; set it to 0"
            )
            raise OptionError(message)
    samples, finite = _look_through(plane, channels)
    bounds: list[tuple[np.float32, np.float32] | None] = []
    scales: list[Scale | None] = [None] * channels.count
    given = None if normalization.lowhigh is None else given_bounds(normalization.lowhigh, channels.count)
    percentile = normalization.percentile or DEFAULT_PERCENTILE
    for c in range(channels.count):
        if not normalization.normalize:
            bounds.append((np.float32(0), np.float32(1)))
        elif not has_contrast(*finite[c]):
            bounds.append(None)
        elif given is not None:
            bounds.append((given[0][c], given[1][c]))
        else:
            scale = scales[c] = scale_of(samples[c], *percentile, finite[c])
            bounds.append(None if scale is None else (np.float32(scale.low), np.float32(scale.high - scale.low)))
    if normalization.normalize:
        tell_of_flat(finite, channels.count)
    tell_of_sparse(scales, channels.count, percentile)
    invert = normalization.invert and normalization.normalize
    return PreparedBands(plane.shape[:2], plane.reader(), channels, tuple(bounds), tuple(finite), invert)


def _floats(rows: Array) -> Float32:
    """Float32; values beyond its range count as not finite, and their replacement comes from the whole plane."""
    with np.errstate(over="ignore"):
        return rows.astype(np.float32)


def _look_through(plane: Bands, channels: Channels) -> tuple[list[Float32], list[tuple[float, float]]]:
    """For each channel every n-th intensity, and the smallest and largest finite one."""
    height, width, _ = plane.shape
    down, across = thinning((height, width)) if height * width > LARGEST_EXACT else (1, 1)
    low = np.full(channels.count, np.inf)
    high = np.full(channels.count, -np.inf)
    taken: list[list[Float32]] = [[] for _ in range(channels.count)]
    for first, rows in _rows(plane):
        values = channels(rows, _floats)
        for c in range(channels.count):
            channel = values[..., c]
            inside = channel if np.isfinite(channel.sum()) else channel[np.isfinite(channel)]
            if inside.size:
                low[c], high[c] = min(low[c], inside.min()), max(high[c], inside.max())
            taken[c].append(channel[-first % down :: down, ::across].ravel())
    finite = [(float(a), float(b)) if np.isfinite(a) else (0.0, 0.0) for a, b in zip(low, high, strict=True)]
    samples = [
        np.nan_to_num(np.concatenate(parts), nan=bounds[0], posinf=bounds[1], neginf=bounds[0])
        for parts, bounds in zip(taken, finite, strict=True)
    ]
    return samples, finite


def _rows(plane: Bands) -> Iterator[tuple[int, Array]]:
    height, width, count = plane.shape
    chunk = plane.chunk_rows
    step = max(1, _ROWS_AT_ONCE // (width * count * chunk)) * chunk
    for first in range(0, height, step):
        yield first, plane.read(first, min(first + step, height))
