"""The time between the frames of a movie, as files state it."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["interval_of_imagej", "interval_of_pixels", "seconds"]

_SECONDS = {
    "": 1.0,
    "s": 1.0,
    "sec": 1.0,
    "secs": 1.0,
    "second": 1.0,
    "seconds": 1.0,
    "ms": 1e-3,
    "msec": 1e-3,
    "millisecond": 1e-3,
    "milliseconds": 1e-3,
    "µs": 1e-6,
    "us": 1e-6,
    "min": 60.0,
    "minute": 60.0,
    "minutes": 60.0,
    "h": 3600.0,
    "hr": 3600.0,
    "hour": 3600.0,
    "hours": 3600.0,
    "d": 86400.0,
    "day": 86400.0,
    "days": 86400.0,
}


def seconds(value: Any, unit: str | None) -> float | None:
    """A time in seconds; None unless it is a positive number with a unit of time, or with none.

    Examples
    --------
    >>> seconds("2.5", "min"), seconds(0, "s"), seconds(3, "frames")
    (150.0, None, None)
    """
    factor = _SECONDS.get((unit or "").strip().lower())
    try:
        time = float(value)
    except (TypeError, ValueError):
        return None
    return time * factor if factor is not None and math.isfinite(time) and time > 0 else None


def interval_of_imagej(metadata: Any) -> float | None:
    """Seconds between frames that the metadata of an ImageJ TIFF name; frames per second are for the eye alone."""
    known = metadata or {}
    return seconds(known.get("finterval"), str(known.get("tunit", "")))


def interval_of_pixels(pixels: Any) -> float | None:
    """Seconds between frames that the element ``Pixels`` of OME-XML names."""
    return None if pixels is None else seconds(pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit", "s"))
