"""Half-open boxes of voxels: the region an edit touches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Box", "Mask", "box_of_mask", "hull"]

Mask = npt.NDArray[np.bool_]


class Box(NamedTuple):
    """Voxels z0 <= z < z1, y0 <= y < y1, x0 <= x < x1; a plane has z0 = 0, z1 = 1."""

    z0: int
    z1: int
    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Slices that index planes (Z, Y, X)."""
        return slice(self.z0, self.z1), slice(self.y0, self.y1), slice(self.x0, self.x1)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Its lengths along z, y, x."""
        return self.z1 - self.z0, self.y1 - self.y0, self.x1 - self.x0

    @property
    def size(self) -> int:
        """Its number of voxels."""
        return int(np.prod([max(0, length) for length in self.shape]))

    def joined(self, other: Box) -> Box:
        """The smallest box around both."""
        z0, z1, y0, y1, x0, x1 = other
        return Box(
            min(self.z0, z0), max(self.z1, z1), min(self.y0, y0), max(self.y1, y1), min(self.x0, x0), max(self.x1, x1)
        )

    def grown(self, by: int, shape: tuple[int, ...]) -> Box:
        """Grow by this many pixels along y and x, within planes of this shape (Z, Y, X)."""
        _, height, width = shape
        y0, y1 = max(0, self.y0 - by), min(height, self.y1 + by)
        return Box(self.z0, self.z1, y0, y1, max(0, self.x0 - by), min(width, self.x1 + by))

    def within(self, outer: Box) -> tuple[slice, slice, slice]:
        """Slices of this box in an array that covers ``outer``."""
        starts = outer.z0, outer.y0, outer.x0
        z, y, x = (slice(s.start - start, s.stop - start) for s, start in zip(self.slices, starts, strict=True))
        return z, y, x


def hull(boxes: Iterable[Sequence[int]]) -> Box:
    """The smallest box around all boxes; empty if there are none."""
    ends = np.array(list(boxes), np.int64).reshape(-1, 6)
    if not len(ends):
        return Box(0, 0, 0, 0, 0, 0)
    low, high = ends[:, ::2].min(axis=0).tolist(), ends[:, 1::2].max(axis=0).tolist()
    return Box(low[0], high[0], low[1], high[1], low[2], high[2])


def box_of_mask(mask: Mask, corner: tuple[int, int, int] = (0, 0, 0)) -> Box | None:
    """Box of the set voxels of ``mask`` (Z, Y, X), whose first voxel is ``corner``; None if none is set."""
    ends: list[int] = []
    for axis, start in enumerate(corner):
        others = tuple(other for other in range(3) if other != axis)
        set_ = np.flatnonzero(mask.any(axis=others))
        if not set_.size:
            return None
        ends += [start + int(set_[0]), start + int(set_[-1]) + 1]
    return Box(*ends)
