"""Sizes and shapes of labels, with the names and definitions of `skimage.measure.regionprops`."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._machine.threads import run_sliced
from cellpose.measure._regions import Regions

__all__ = ["PLANAR_SHAPES", "SHAPES", "Shapes"]

Array = npt.NDArray[Any]

_PER_SLICE = 64  # labels worth a thread

_ROOT = math.sqrt(2)
# Length by Crofton's formula in four directions, for each pattern of the 4 pixels around a corner.
_CROFTON = np.zeros(16)
_CROFTON[[1, 5]] = math.pi / 4 * (1 + 1 / _ROOT)
_CROFTON[[2, 7, 10, 11]] = math.pi / (4 * _ROOT)
_CROFTON[3] = math.pi / (2 * _ROOT)
_CROFTON[[8, 12]] = math.pi / 4
_CROFTON[[9, 13]] = math.pi / 2
# Pieces minus holes, where pixels that meet at corners are connected.
_EULER = np.zeros(16, np.int64)
_EULER[[8]] = 1
_EULER[[6, 14]] = -1
_EULER[[7]] = 0


def _eighths_of_euler() -> npt.NDArray[np.int64]:
    """Eight times the contribution of a corner to the Euler number, for each pattern of the 8 voxels around it.

    Voxels are closed cubes: corners minus edges plus faces minus cubes, of which each corner counts its share.
    """
    table = np.zeros(256, np.int64)
    for code in range(1, 256):
        voxels = np.array([(code >> bit) & 1 for bit in range(8)], bool).reshape(2, 2, 2)
        edges = sum(int(voxels.any(axis=pair).sum()) for pair in ((0, 1), (0, 2), (1, 2)))
        faces = sum(int(voxels.any(axis=axis).sum()) for axis in range(3))
        table[code] = 8 - 4 * edges + 2 * faces - int(voxels.sum())
    return table


class Shapes:
    """Intermediate results that several columns share, computed once.

    Parameters
    ----------
    regions
        The labels.
    spacing
        Sides of a pixel along the axes of the labels.
    """

    def __init__(self, regions: Regions, spacing: tuple[float, ...]) -> None:
        self.regions, self.spacing = regions, np.asarray(spacing, np.float64)
        self.volume = float(np.prod(self.spacing))

    def scaled(self, spacing: tuple[float, ...]) -> Shapes:
        """The same labels with another pixel size; results that do not depend on it are reused."""
        other = Shapes(self.regions, spacing)
        other.__dict__["_sums"] = self._sums
        return other

    @property
    def axes(self) -> slice:
        """The axes of the labels among the three."""
        return slice(3 - self.regions.ndim, 3)

    @property
    def corners(self) -> Array:
        """First pixel of each box along the axes."""
        return self.regions.boxes[:, 0::2][:, self.axes]

    @property
    def box_sides(self) -> Array:
        """Sides of the bounding boxes (n, ndim) in pixels."""
        return (self.regions.boxes[:, 1::2] - self.regions.boxes[:, 0::2])[:, self.axes]

    @cached_property
    def _sums(self) -> Array:
        from cellpose.measure._kernels import N_SUMS, moments

        r = self.regions
        out = np.zeros((r.n, N_SUMS))
        run_sliced(moments, r.n, r.labels, r.numbers, r.boxes, out, smallest=_PER_SLICE)
        return out

    @cached_property
    def local(self) -> Array:
        """Centroids relative to the corners of the boxes, in pixels."""
        means: Array = self._sums[:, 1:4] / self._sums[:, :1]
        return means[:, self.axes]

    @cached_property
    def centroid(self) -> Array:
        """Centroids (n, ndim) in units of ``spacing``."""
        return (self.corners + self.local) * self.spacing

    @cached_property
    def inertia(self) -> Array:
        """Inertia tensors (n, ndim, ndim): sums of the variances along the other axes, and negated covariances."""
        n = self.regions.ndim
        second = np.empty((self.regions.n, 3, 3))
        second[:, [0, 1, 2], [0, 1, 2]] = self._sums[:, 4:7]
        for k, (i, j) in enumerate(((0, 1), (0, 2), (1, 2))):
            second[:, i, j] = second[:, j, i] = self._sums[:, 7 + k]
        second = second[:, self.axes, self.axes] / self._sums[:, :1, np.newaxis]
        covariance = (second - self.local[:, :, np.newaxis] * self.local[:, np.newaxis, :]) * np.outer(
            self.spacing, self.spacing
        )
        diagonal = np.arange(n)
        variances = covariance[:, diagonal, diagonal]
        tensor: Array = -covariance
        tensor[:, diagonal, diagonal] = variances.sum(axis=1, keepdims=True) - variances
        return tensor

    @cached_property
    def inertia_eigvals(self) -> Array:
        """Their eigenvalues in descending order."""
        return np.clip(np.linalg.eigvalsh(self.inertia), 0, None)[:, ::-1]

    @cached_property
    def planar(self) -> Array:
        """Results of one pass over the borders of planar labels, one row per label."""
        from cellpose.measure._kernels import N_PLANAR, planar

        r = self.regions
        out = np.zeros((r.n, N_PLANAR))
        sy, sx = (float(side) for side in self.spacing)
        run_sliced(planar, r.n, r.labels, r.numbers, r.boxes, r.broken, sy, sx, out, smallest=_PER_SLICE)
        return out

    def quads(self, weights: Array) -> Array:
        """Weighted number of the 2 x 2 neighborhoods of each label; ``weights`` (16,), one per pattern."""
        from cellpose.measure._kernels import QUADS

        return self.planar[:, QUADS : QUADS + 16] @ weights

    @cached_property
    def cubes(self) -> Array:
        """Numbers of the 2 x 2 x 2 neighborhoods of each label by pattern."""
        from cellpose.measure._kernels import N_CUBES, cubes

        r = self.regions
        out = np.zeros((r.n, N_CUBES), np.int64)
        run_sliced(cubes, r.n, r.labels, r.numbers, r.boxes, out, smallest=1)
        return out

    def column_of_planar(self, name: str) -> Array:
        """The column of `planar` with this name."""
        from cellpose.measure import _kernels

        return self.planar[:, getattr(_kernels, name)]

    @property
    def area(self) -> Array:
        """Area or volume (n,) in units of ``spacing``."""
        area: Array = self.regions.counts * self.volume
        return area


def _bbox(s: Shapes) -> Array:
    return np.concatenate([s.corners, s.corners + s.box_sides], axis=1)


def _axis_length(s: Shapes, *, major: bool) -> Array:
    """Length of an axis of the ellipse or ellipsoid with the same moments."""
    values = s.inertia_eigvals
    if s.regions.ndim == 2:
        return np.asarray(4 * np.sqrt(values[:, 0 if major else 1]))
    sign = 1 if major else -1
    squares = 10 * (sign * (values[:, 0] - values[:, 2]) + values[:, 1])
    return np.asarray(np.sqrt(np.maximum(0, squares)))


def _eccentricity(s: Shapes) -> Array:
    high, low = s.inertia_eigvals.T
    return np.asarray(np.sqrt(1 - np.divide(low, high, out=np.ones_like(low), where=high > 0)))


def _orientation(s: Shapes) -> Array:
    a, b, c = s.inertia[:, 0, 0], s.inertia[:, 0, 1], s.inertia[:, 1, 1]
    return np.where(a == c, np.where(b < 0, math.pi / 4, -math.pi / 4), 0.5 * np.arctan2(-2 * b, c - a))


def _perimeter(s: Shapes) -> Array:
    straight, diagonal, mixed = (s.column_of_planar(name) for name in ("STRAIGHT", "DIAGONAL", "MIXED"))
    return np.asarray((straight + _ROOT * diagonal + (1 + _ROOT) / 2 * mixed) * s.spacing[0])


def _equivalent_diameter(s: Shapes) -> Array:
    n = s.regions.ndim
    return np.asarray((2 * n * s.area / math.pi) ** (1 / n))


def _euler_number(s: Shapes) -> Array:
    if s.regions.ndim == 2:
        return np.rint(s.quads(_EULER)).astype(np.int64)
    return s.cubes @ _eighths_of_euler() // 8


Column = Callable[[Shapes], Array]

# Each gives (n,) or (n, several); the latter become columns name-0, name-1, ...
SHAPES: dict[str, Column] = {
    "label": lambda s: s.regions.ids,
    "area": lambda s: s.area,
    "num_pixels": lambda s: s.regions.counts,
    "bbox": _bbox,
    "area_bbox": lambda s: s.box_sides.prod(axis=1) * s.volume,
    "extent": lambda s: s.regions.counts / s.box_sides.prod(axis=1),
    "centroid": lambda s: s.centroid,
    "centroid_local": lambda s: s.local * s.spacing,
    "equivalent_diameter_area": _equivalent_diameter,
    "axis_major_length": lambda s: _axis_length(s, major=True),
    "axis_minor_length": lambda s: _axis_length(s, major=False),
    "inertia_tensor": lambda s: s.inertia,
    "inertia_tensor_eigvals": lambda s: s.inertia_eigvals,
    "euler_number": _euler_number,
}
PLANAR_SHAPES: dict[str, Column] = {
    "eccentricity": _eccentricity,
    "orientation": _orientation,
    "perimeter": _perimeter,
    "perimeter_crofton": lambda s: s.quads(_CROFTON) * s.spacing[0],
    "area_filled": lambda s: s.column_of_planar("FILLED") * s.volume,
    "area_convex": lambda s: s.column_of_planar("CONVEX") * s.volume,
    "solidity": lambda s: s.regions.counts / s.column_of_planar("CONVEX"),
    "feret_diameter_max": lambda s: s.column_of_planar("FERET"),
}
