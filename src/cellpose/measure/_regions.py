"""The labels to measure, with their boxes and sizes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._labels.arrays import scan, tabled
from cellpose._labels.check import Labels, check_labels

__all__ = ["Regions", "find_regions"]

Array = npt.NDArray[Any]

_BAND_VALUES = 2**22  # intensities held as float64 at once, unless one label needs more


@dataclass(frozen=True, eq=False)
class Regions:
    """The labels of an image.

    Parameters
    ----------
    labels
        int32 ``(Z, Y, X)``; a plane has one Z.
    ndim
        Axes of the image, 2 or 3.
    ids
        The original labels, ascending.
    numbers
        The numbers of these labels in ``labels``.
    boxes, counts, broken
        For each label, see `cellpose._labels.arrays.Scan`.
    """

    labels: Labels
    ndim: int
    ids: npt.NDArray[np.int64]
    numbers: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    broken: npt.NDArray[np.bool_]

    @property
    def n(self) -> int:
        """Number of labels."""
        return self.ids.size

    @property
    def image(self) -> Labels:
        """The labels with their original axes."""
        return self.labels[0] if self.ndim == 2 else self.labels

    def spread(self, by_number: Array) -> Array:
        """Rows of a table over the numbers 0..max, selected for the labels."""
        return by_number[self.numbers]

    def bands(self) -> Iterator[tuple[npt.NDArray[np.int64], int, int]]:
        """Groups of nearby labels: their indices, and the range of rows (or planes) that they cover."""
        axis = 2 if self.ndim == 2 else 0
        order = np.argsort(self.boxes[:, axis], kind="stable")
        per_line = max(1, self.labels.size // max(1, self.labels.shape[axis // 2]))
        lines = max(1, _BAND_VALUES // per_line)
        begin = 0
        while begin < order.size:
            first = int(self.boxes[order[begin], axis])
            end = int(np.searchsorted(self.boxes[order, axis], first + lines))
            chosen = order[begin : max(end, begin + 1)]
            yield chosen, first, int(self.boxes[chosen, axis + 1].max())
            begin += chosen.size


def find_regions(labels: npt.ArrayLike, name: str = "labels") -> Regions:
    """The labels of an image ``(Y, X)`` or ``(Z, Y, X)``.

    Raises
    ------
    InputError
        If it is not a label image.
    """
    array, ids = tabled(check_labels(labels, name=name))
    found = scan(array)
    numbers = np.flatnonzero(found.counts[1:]) + 1
    return Regions(
        array if array.ndim == 3 else array[np.newaxis],
        array.ndim,
        numbers.astype(np.int64) if ids is None else ids[numbers],
        numbers.astype(np.int64),
        found.boxes[numbers].astype(np.int64),
        found.counts[numbers],
        found.broken[numbers],
    )
