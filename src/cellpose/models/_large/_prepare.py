"""Rows of a plane as the network takes them: channels chosen, intensities on the scale of the whole plane."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.errors import OptionError
from cellpose.io import LazyPlane
from cellpose.options import Normalization
from cellpose.transforms._normalize import tell_of_sparse
from cellpose.transforms._percentiles import LARGEST_EXACT, Scale, has_contrast, scale_of, thinning
from cellpose.transforms._values import channel_numbers, check_channels

__all__ = ["Channels", "Preparation", "chosen_channels", "prepare"]

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]

_ROWS_AT_ONCE = 2**23  # intensities read together while the scale is looked for


@dataclass(frozen=True)
class Channels:
    """Which channels of the plane the network sees.

    Attributes
    ----------
    picked
        Numbers of channels, counted from 0.
    mean
        Whether their mean is taken.
    count
        Channels of the network; those that are missing are zero.
    """

    picked: tuple[int, ...]
    mean: bool
    count: int

    def of(self, rows: Array) -> Float32:
        """Channels (rows, columns, count), float32, of rows (rows, columns, channel)."""
        out = np.zeros((*rows.shape[:2], self.count), np.float32)
        with np.errstate(over="ignore"):  # what float32 cannot hold is dealt with as what is not finite
            if self.mean:
                out[..., 0] = rows.astype(np.float32).mean(axis=-1)
            else:
                out[..., : len(self.picked)] = rows[..., self.picked]
        return out


@dataclass(frozen=True)
class Preparation:
    """Gives prepared rows, float32 (rows, columns, channel).

    Attributes
    ----------
    shape
        Rows, columns.
    bounds
        For each channel what is subtracted and by what the rest is divided; None: the channel becomes 0.
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
        rows = self.channels.of(self.read(start, stop))
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


def chosen_channels(count: int, channels: Any, nchan: int, *, transformer: bool) -> Channels:
    """The channels that a network of ``nchan`` channels sees of an image of ``count``.

    They are those that `prepare_unet` and `prepare_transformer` choose.
    """
    numbers = None if channels is None else channel_numbers(channels)
    if numbers is not None and numbers[0] > 0 and count > 1:
        picked = [c - 1 for c in (numbers if transformer else numbers[:2]) if c > 0]
        check_channels(picked, (1, 1, count))
        return Channels(tuple(picked), False, len(picked) if transformer else 2)
    if transformer:
        first = tuple(range(min(count, 3)))
        return Channels(first, False, len(first))
    if numbers is None:
        return Channels(tuple(range(min(count, nchan))), False, nchan)
    return Channels((0,), count > 1, 2)


def prepare(plane: LazyPlane, channels: Channels, normalization: Normalization) -> Preparation:
    """Look through the whole plane once, for the scale of its intensities: that of `transforms.network_input`.

    Raises
    ------
    OptionError
        If the normalisation needs the whole plane at once.
    """
    for name in ("sharpen_radius", "smooth_radius", "tile_norm_blocksize"):
        if getattr(normalization, name):
            message = f"{name}={getattr(normalization, name)} is not possible for a plane run in blocks; set it to 0"
            raise OptionError(message)
    samples, finite = _look_through(plane, channels)
    bounds: list[tuple[np.float32, np.float32] | None] = []
    scales: list[Scale | None] = [None] * channels.count
    given = _given_bounds(normalization.lowhigh, channels.count)
    percentile = normalization.percentile or (1.0, 99.0)
    for c in range(channels.count):
        if not normalization.normalize:
            bounds.append((np.float32(0), np.float32(1)))
        elif not has_contrast(*finite[c]):
            bounds.append(None)
        elif given is not None:
            bounds.append(given[c])
        else:
            scale = scales[c] = scale_of(samples[c], *percentile, finite[c])
            bounds.append(None if scale is None else (np.float32(scale.low), np.float32(scale.high - scale.low)))
    tell_of_sparse(scales, channels.count, percentile)
    invert = normalization.invert and normalization.normalize
    return Preparation(plane.shape[:2], plane.reader(), channels, tuple(bounds), tuple(finite), invert)


def _given_bounds(lowhigh: Any, count: int) -> list[tuple[np.float32, np.float32]] | None:
    if lowhigh is None:
        return None
    values = np.asarray(lowhigh, float)
    if values.shape not in ((2,), (count, 2)) or (np.diff(values) == 0).any():
        message = f"lowhigh={lowhigh!r} is not allowed; give (low, high), or {count} such pairs, one per channel"
        raise OptionError(message)
    return [(np.float32(low), np.float32(high - low)) for low, high in np.broadcast_to(values, (count, 2))]


def _look_through(plane: LazyPlane, channels: Channels) -> tuple[list[Float32], list[tuple[float, float]]]:
    """For each channel every n-th intensity, and the smallest and largest finite one."""
    height, width, _ = plane.shape
    down, across = thinning((height, width)) if height * width > LARGEST_EXACT else (1, 1)
    low = np.full(channels.count, np.inf)
    high = np.full(channels.count, -np.inf)
    taken: list[list[Float32]] = [[] for _ in range(channels.count)]
    for first, rows in _bands(plane):
        values = channels.of(rows)
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


def _bands(plane: LazyPlane) -> Iterator[tuple[int, Array]]:
    height, width, count = plane.shape
    chunk = plane.chunk_rows
    step = max(1, _ROWS_AT_ONCE // (width * count * chunk)) * chunk
    for first in range(0, height, step):
        yield first, plane.read(first, min(first + step, height))
