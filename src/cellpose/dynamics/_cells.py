"""The cells of a label image: what the flows of masks need to know of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Cells"]


class Cells(NamedTuple):
    """The cells of a label image, in ascending order of their labels.

    ``labels`` int32 (n,); ``boxes`` int32 (max label + 1, 6), rows ``z0, z1, y0, y1, x0, x1`` indexed by label;
    ``centres`` int32 (n, 3), the pixel z, y, x of each cell nearest to the mean of its pixels.
    """

    labels: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.int32]
    centres: npt.NDArray[np.int32]

    @property
    def extents(self) -> npt.NDArray[np.int64]:
        """Sides of the boxes in pixels, (n, 3), axes z, y, x."""
        box = self.boxes[self.labels].astype(np.int64)
        return box[:, 1::2] - box[:, ::2]

    @property
    def steps(self) -> npt.NDArray[np.int64]:
        """Steps in which heat spreads through each cell of a plane, (n,)."""
        steps: npt.NDArray[np.int64] = 2 * (self.extents[:, 1:].sum(axis=1) + 4)
        return steps

    @property
    def corners(self) -> npt.NDArray[np.int32]:
        """Lowest z, y, x of the boxes, (n, 3)."""
        return self.boxes[self.labels, ::2]
