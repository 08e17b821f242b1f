"""Going through a large image field by field, so that no part is missed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cellpose.gui.model._regions import Rectangle

__all__ = ["Fields"]

_PARTS = 96  # along each side of an image, if it has that many pixels


class Fields:
    """The viewed parts of an image.

    Parameters
    ----------
    height, width
        Size of the image, in pixels.

    Attributes
    ----------
    seen
        Whether each part was viewed, bool (rows, columns).

    Examples
    --------
    >>> fields = Fields(100, 200)
    >>> fields.mark((0.0, 0.0, 100.0, 100.0))
    >>> fields.share, fields.following(100.0, 100.0)
    (0.5, (50.0, 150.0))
    >>> fields.mark((0.0, 100.0, 100.0, 200.0))
    >>> fields.following(100.0, 100.0) is None
    True
    """

    def __init__(self, height: int, width: int) -> None:
        self._size = (float(height), float(width))
        rows, columns = min(_PARTS, height), min(_PARTS, width)
        self._part = (height / rows, width / columns)  # pixels
        self.seen: npt.NDArray[np.bool_] = np.zeros((rows, columns), np.bool_)

    @property
    def share(self) -> float:
        """Fraction of the image viewed so far, 0 to 1."""
        return float(self.seen.mean())

    def mark(self, rectangle: Rectangle) -> None:
        """Mark a rectangle as viewed: first row, first column, last row, last column, in pixels."""
        y0, x0, y1, x1 = rectangle
        inside = []
        for ends, part, n in zip(((y0, y1), (x0, x1)), self._part, self.seen.shape, strict=True):
            first, last = (end / part for end in ends)
            centers = np.arange(n) + 0.5
            here = (centers >= first) & (centers <= last)
            here[int(np.clip((first + last) / 2, 0, n - 1))] = True  # for a view smaller than a part
            inside.append(here)
        self.seen |= inside[0][:, None] & inside[1]

    def following(self, height: float, width: float) -> tuple[float, float] | None:
        """Middle (y, x) of the next view of this size, row by row from the left; None if all was viewed."""
        rows = np.flatnonzero(~self.seen.all(axis=1))
        if not rows.size:
            return None
        row = int(rows[0])
        band = self.seen[row : row + max(1, round(height / self._part[0]))]
        column = int(np.flatnonzero(~band.all(axis=0))[0])
        corner = row * self._part[0], column * self._part[1]
        return tuple(
            min(start + length / 2, max(whole - length / 2, whole / 2))
            for start, length, whole in zip(corner, (height, width), self._size, strict=True)
        )  # type: ignore[return-value]
