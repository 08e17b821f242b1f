"""The combined images of one run."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from cellpose.io import SiblingFiles
from cellpose.measure._files import Measured, joined
from cellpose.measure._summary import ImageSummary, summary_of

__all__ = ["Run"]

Columns = dict[str, npt.NDArray[Any]]


class Run:
    """One table of many images, and the data for a report.

    Attributes
    ----------
    siblings
        Listed folders, for `measure_file`.
    images
        Summaries of the images, in order.
    failed
        Images that could not be measured, and why.
    channel_names
        Names from the first image that has channel names.
    """

    def __init__(self) -> None:
        self.siblings = SiblingFiles()
        self.images: list[ImageSummary] = []
        self.failed: dict[str, str] = {}
        self.channel_names: tuple[str, ...] = ()
        self._columns: list[Columns] = []
        self._spots: list[Columns] = []

    @property
    def n_cells(self) -> int:
        """Number of measured cells."""
        return sum(image.n_cells for image in self.images)

    def add(self, measured: Measured) -> None:
        """Add the measurements of a file."""
        self.images.append(summary_of(measured))
        self._columns.append(measured.columns)
        self._spots.append(measured.spots)
        self.channel_names = self.channel_names or measured.channel_names

    def columns(self) -> Columns:
        """The table: ``image``, ``frame``, ``label``, and the measurements."""
        return joined(self._columns)

    def spots(self) -> Columns:
        """The table of spots; without columns if spots were not counted."""
        return joined([part for part in self._spots if part])
