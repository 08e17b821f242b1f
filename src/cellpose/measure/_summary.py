"""A compact summary of each image for reports and plots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.measure._files import Measured
from cellpose.plot import thumbnail

__all__ = ["ImageSummary", "size_column", "summary_of"]

Array = npt.NDArray[Any]
Columns = dict[str, Array]


@dataclass(frozen=True, eq=False)
class ImageSummary:
    """Summary of one image in a report."""

    name: str
    n_cells: int
    n_frames: int
    masks: str
    picture: bytes
    medians: dict[str, float]


def size_column(columns: Columns) -> tuple[str, str]:
    """The column of cell sizes, in micrometers if all cells have them, and its unit."""
    for name, unit in (("area_um2", "µm²"), ("volume_um3", "µm³")):
        if name in columns and not np.isnan(columns[name]).any():
            return name, unit
    flat = "centroid-2" not in columns
    return "area", "px" if flat else "voxels"


def summary_of(measured: Measured) -> ImageSummary:
    """Summarize an image when its table is joined to the others."""
    columns = measured.columns
    kept = [key for key in columns if key in ("area", "area_um2", "volume_um3") or key.startswith("intensity_mean")]
    medians = {key: float(np.nanmedian(columns[key])) for key in kept if measured.n_cells}
    if "centroid-2" in columns and "area" in medians:  # scikit-image calls the volume in a stack area
        medians = {"volume" if key == "area" else key: value for key, value in medians.items()}
    return ImageSummary(
        measured.name,
        measured.n_cells,
        measured.n_frames,
        measured.masks.name,
        thumbnail(measured.shown.channels, measured.shown.labels),
        medians,
    )
