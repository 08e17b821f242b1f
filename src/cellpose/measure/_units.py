"""Columns in micrometers beside those in pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._machine.optional import optional
from cellpose.errors import OptionError
from cellpose.measure._shape import PLANAR_SHAPES, SHAPES, Shapes

__all__ = ["sides_um", "with_units"]

Columns = dict[str, npt.NDArray[Any]]

_AREAS = ("area", "area_convex", "area_filled")
_LENGTHS = (
    "equivalent_diameter_area", "axis_major_length", "axis_minor_length", "perimeter", "perimeter_crofton",
    "feret_diameter_max",
)  # fmt: skip


def sides_um(pixel_size_um: float | Sequence[float] | None, ndim: int) -> tuple[float, ...] | None:
    """Sides of a pixel along the axes of the labels.

    Raises
    ------
    OptionError
        If they are not positive numbers, or their number does not match the axes.
    """
    if pixel_size_um is None:
        return None
    sides = np.broadcast_to(pixel_size_um, (ndim,)) if np.ndim(pixel_size_um) == 0 else np.asarray(pixel_size_um)
    if sides.shape != (ndim,) or not (np.isfinite(sides) & (sides > 0)).all():
        message = (
            f"pixel_size_um={pixel_size_um!r} is not allowed; give a positive number, or {ndim}: one for each axis of "
            "the labels"
        )
        raise OptionError(message)
    return tuple(float(side) for side in sides)


def with_units(columns: Columns, shapes: Shapes, sides: tuple[float, ...]) -> Columns:
    """The columns, each followed by its value in micrometers if that makes sense."""
    n, scaled = len(sides), shapes.scaled(sides)
    square = math.isclose(max(sides), min(sides), rel_tol=1e-6)
    volume = math.prod(sides)
    area = "um2" if n == 2 else "um3"
    out: Columns = {}
    for name, column in columns.items():
        out[name] = column
        base, _, place = name.partition("-")
        if name in _AREAS:
            out[f"{name.replace('area', 'volume') if n == 3 else name}_{area}"] = column * volume
        elif name in _LENGTHS and (square or "perimeter" not in name):
            out[f"{name}_um"] = column * sides[0] if square else _length(name, scaled)
        elif base == "centroid":
            out[f"{base}_um-{place}"] = column * sides[int(place)]
        elif name == "border_distance" and square:
            out["border_distance_um"] = column * sides[0]
        elif name == "spots_density":
            out[f"spots_per_{area}"] = column / volume
    return out


def _length(name: str, scaled: Shapes) -> npt.NDArray[Any]:
    """A length, which depends on the direction where pixels are not square."""
    if name in SHAPES or scaled.regions.ndim == 2:
        return (SHAPES | PLANAR_SHAPES)[name](scaled)
    if scaled.regions.n == 0:
        return np.zeros(0)
    measuring = optional("skimage.measure", "measure", f"measure {name}")
    spacing = tuple(scaled.spacing.tolist())
    found = measuring.regionprops_table(scaled.regions.image, properties=(name,), spacing=spacing)
    return np.asarray(found[name])
