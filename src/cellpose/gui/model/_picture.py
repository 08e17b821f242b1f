"""The image as shown in the window: planes, channels, and the mapping of intensity to brightness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cellpose import io
from cellpose.errors import InputError
from cellpose.gui._texts import tr

__all__ = ["FULL", "Picture", "some_planes"]

FULL = 255.0  # levels are on a scale from 0, the lowest intensity of the stack, to this, the highest

_SOME = 16  # planes of a large volume sampled for its levels
_TABLES = {np.dtype(np.uint8): 2**8, np.dtype(np.uint16): 2**16}


@dataclass(frozen=True, eq=False)
class Picture:
    """Planes for display.

    Parameters
    ----------
    planes
        uint8 or uint16 (Z, C, Y, X).
    low, high
        The values of ``planes`` shown as 0 and as 255 with unchanged levels.
    constant
        bool (C,): channels with a single intensity.

    Examples
    --------
    >>> picture = Picture.of(np.arange(12, dtype=np.uint16).reshape(1, 1, 3, 4) * 10)
    >>> picture.low, picture.high, picture.table(0, 255)[[0, 50, 110]].tolist()
    (0.0, 110.0, [0, 116, 255])
    """

    planes: npt.NDArray[Any]
    low: float
    high: float
    constant: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, stack: npt.NDArray[Any]) -> Picture:
        """A picture of a stack (Z, C, Y, X) of any real dtype; only 8- and 16-bit integers are not copied."""
        if stack.ndim != 4 or stack.dtype.kind not in "buif":
            message = tr(
                "a picture of shape {shape} and dtype {dtype}; give real numbers (Z, C, Y, X)",
                shape=stack.shape,
                dtype=stack.dtype,
            )
            raise InputError(message)
        seen = stack
        if seen.dtype == np.bool_:
            seen = seen.astype(np.uint8)
        if seen.dtype not in _TABLES:
            seen = _in_16_bits(seen)
        some = some_planes(seen)
        lows, highs = some.min(axis=(0, 2, 3)), some.max(axis=(0, 2, 3))
        return cls(seen, float(lows.min()), float(highs.max()), lows == highs)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of its labels, (Z, Y, X)."""
        z, _, y, x = self.planes.shape
        return z, y, x

    @property
    def n_channels(self) -> int:
        """How many channels it has."""
        return int(self.planes.shape[1])

    def table(self, low: float, high: float, gamma: float = 1.0) -> npt.NDArray[np.uint8]:
        """Brightness 0 to 255 of each value: 0 up to the level ``low``, 255 from ``high`` on, levels from 0 to 255."""
        values = np.arange(_TABLES[self.planes.dtype], dtype=np.float32)
        levels = (values - self.low) * (FULL / max(self.high - self.low, 1e-9))
        share = np.clip((levels - low) / max(high - low, 1e-6), 0, 1)
        return np.asarray(((share if gamma == 1 else share**gamma) * FULL).round(), np.uint8)

    def levels(self, plane: int | None, lower: float, upper: float) -> list[tuple[float, float]]:
        """Two percentiles per channel, as levels; for one plane or, for None, the whole stack.

        Channels with a single intensity get the whole range.
        """
        found = []
        for channel in range(self.n_channels):
            seen = some_planes(self.planes)[:, channel] if plane is None else self.planes[plane, channel]
            counts = _histogram(_thinned(seen))
            shares = np.cumsum(counts) / counts.sum()
            ends = [float(np.searchsorted(shares, percent / 100)) for percent in (lower, upper)]
            low, high = ((end - self.low) * (FULL / max(self.high - self.low, 1e-9)) for end in ends)
            found.append((0.0, FULL) if self.constant[channel] or high <= low else (low, high))
        return found


def some_planes(stack: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Sample planes of a stack (Z, ...) larger than memory, for its intensity range; else return all."""
    return stack[:: max(1, len(stack) // _SOME)] if io.is_large(stack.nbytes) else stack


def _histogram(values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Count each value."""
    n = _TABLES[values.dtype]
    row = np.ascontiguousarray(values).reshape(1, -1)
    counts = cv2.calcHist([row], [0], None, [n], [0, n])  # unlike bincount, it makes no 64-bit copy
    return np.asarray(counts.ravel(), np.int64)


def _thinned(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """At most a few million of the values, for percentiles used only for display."""
    step = max(1, int(np.sqrt(values.size / 2**21)))
    return values[..., ::step, ::step]


def _in_16_bits(stack: npt.NDArray[Any]) -> npt.NDArray[np.uint16]:
    """Scale from the lowest to the highest intensity; NaN is shown as the lowest."""
    some = some_planes(stack)
    if stack.dtype.kind == "f":
        finite = np.isfinite(some)
        low = float(some.min(where=finite, initial=np.inf)) if finite.any() else 0.0
        high = float(some.max(where=finite, initial=-np.inf)) if finite.any() else 0.0
    else:
        low, high = float(some.min()), float(some.max())
    out = io.roomy_zeros(stack.shape, np.uint16)
    for plane, target in zip(stack, out, strict=True):  # plane by plane: no second stack of floats
        scaled = (plane.astype(np.float64) - low) * ((2**16 - 1) / max(high - low, 1e-30))
        target[...] = np.nan_to_num(scaled, nan=0.0).clip(0, 2**16 - 1).round()
    return out
