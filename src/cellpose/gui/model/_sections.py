"""The sections through a volume: XY, XZ and YZ."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cellpose.gui.model._box import Box, Mask
from cellpose.gui.model._view import ViewState

__all__ = ["SECTIONS", "XY", "XZ", "YZ", "Section"]

XY, XZ, YZ = 0, 1, 2  # the axis of the volume normal to the section: z, y, x
SECTIONS = ("XY", "XZ", "YZ")


class Section(NamedTuple):
    """A plane through a volume, as displayed.

    Parameters
    ----------
    axis
        ``XY``: rows are y, columns x. ``XZ``: rows are z, columns x. ``YZ``: rows are y, columns z.
    place
        Position along that axis.

    Examples
    --------
    >>> import numpy as np
    >>> volume = np.arange(24).reshape(2, 3, 4)
    >>> Section(XZ, 1).of(volume).tolist(), Section(YZ, 1).of(volume).tolist()
    ([[4, 5, 6, 7], [16, 17, 18, 19]], [[1, 13], [5, 17], [9, 21]])
    """

    axis: int
    place: int

    @classmethod
    def seen(cls, view: ViewState, axis: int) -> Section:
        """The section of this axis in view."""
        return cls(axis, (view.plane, *view.cross)[axis])

    def of(self, volume: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The plane of an array (Z, Y, X, ...); a view."""
        if self.axis == XY:
            return np.asarray(volume[self.place])
        seen: npt.NDArray[Any] = volume[:, self.place] if self.axis == XZ else volume[:, :, self.place].swapaxes(0, 1)
        return seen

    def shape(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """The displayed shape of a volume (Z, Y, X): planes, rows, columns."""
        z, y, x = shape
        return ((z, y, x), (y, z, x), (x, y, z))[self.axis]

    def lifted(self, box: Box) -> Box:
        """Convert a box of displayed planes, rows and columns to the volume; also the inverse."""
        z, y, x = ((box[0], box[1]), (box[2], box[3]), (box[4], box[5]))
        pairs = ((z, y, x), (y, z, x), (x, y, z))[self.axis]
        return Box(*pairs[0], *pairs[1], *pairs[2])

    def turned(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Convert an array of displayed planes, rows and columns to (Z, Y, X), as a view; also the inverse."""
        return array if self.axis == XY else array.swapaxes(0, self.axis)

    def lift(self, box: Box, mask: Mask) -> tuple[Box, Mask]:
        """Convert a drawn box and mask, as displayed, to the volume."""
        return self.lifted(box), self.turned(mask)

    def voxel(self, row: int, column: int) -> tuple[int, int, int]:
        """The voxel (z, y, x) displayed at a position."""
        return ((self.place, row, column), (row, self.place, column), (column, row, self.place))[self.axis]
