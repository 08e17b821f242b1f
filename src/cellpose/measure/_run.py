"""The images of one run, added up."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy.typing as npt

from cellpose.io import SiblingFiles
from cellpose.measure._files import Measured, joined
from cellpose.measure._summary import ImageSummary, summary_of

__all__ = ["Run"]

Columns = dict[str, npt.NDArray[Any]]


class Run:
    """One table of many images, and what a report shows of them.

    Attributes
    ----------
    siblings
        Folders that were listed, for `measure_file`.
    images
        What is kept of each image, in order.
    failed
        Images that could not be measured, and why.
    channel_names
        Of the first image that names its channels.
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
        """How many cells were measured."""
        return sum(image.n_cells for image in self.images)

    def add(self, file: str | os.PathLike[str], measured: Measured) -> None:
        """Add what was measured in a file."""
        self.images.append(summary_of(Path(file).name, measured))
        self._columns.append(measured.columns)
        self._spots.append(measured.spots)
        self.channel_names = self.channel_names or measured.channel_names

    def columns(self) -> Columns:
        """The table: ``image``, ``frame``, ``label``, and what was measured."""
        return joined(self._columns)

    def spots(self) -> Columns:
        """The table of spots; no columns where none were looked for."""
        return joined([part for part in self._spots if part])
