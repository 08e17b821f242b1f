"""Lengths in micrometers: as text, and rounded for a scale bar."""

from __future__ import annotations

import re
from math import floor, log10

__all__ = ["in_words", "pixels_in", "round_length"]

_UNITS = ((1e4, "cm"), (1e3, "mm"), (1.0, "µm"), (1e-3, "nm"))  # in micrometers
_TYPED = re.compile(r"\s*([0-9]*[.,]?[0-9]+)\s*(µm|μm|um|nm|mm)\s*")


def round_length(longest: float) -> float:
    """The largest of 1, 2, 5, 10, 20, 50, ... that does not exceed a length.

    Examples
    --------
    >>> [round_length(length) for length in (1.3, 99.0, 0.021, 7.0)]
    [1.0, 50.0, 0.02, 5.0]
    """
    power = 10.0 ** floor(log10(longest))
    return max(part * power for part in (1, 2, 5) if part * power <= longest * (1 + 1e-9))


def in_words(um: float, digits: int = 4) -> str:
    """Format a length in micrometers with the unit that gives the shortest number.

    Examples
    --------
    >>> in_words(50.0), in_words(0.2), in_words(2000.0), in_words(12.3456, 3)
    ('50 µm', '200 nm', '2 mm', '12.3 µm')
    """
    size, unit = next((each for each in _UNITS if um >= each[0]), _UNITS[-1])
    return f"{um / size:.{digits}g} {unit}"


def pixels_in(text: str, pixel_um: float | None) -> float | None:
    """Convert a typed length with a unit to pixels; None if it has no unit or the pixel size is unknown.

    Examples
    --------
    >>> pixels_in("12 µm", 0.5), pixels_in("500 nm", 0.25), pixels_in("12", 0.5), pixels_in("12 um", None)
    (24.0, 2.0, None, None)
    """
    found = _TYPED.fullmatch(text)
    if found is None or not pixel_um:
        return None
    unit = found[2].replace("μ", "µ").replace("um", "µm")
    return float(found[1].replace(",", ".")) * {name: size for size, name in _UNITS}[unit] / pixel_um
