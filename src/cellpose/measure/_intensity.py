"""Intensities of labels, with the names and definitions of `skimage.measure.regionprops`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._machine.threads import run_sliced
from cellpose.measure._regions import Regions

__all__ = ["INTENSITIES", "Intensities"]

Array = npt.NDArray[Any]

_PER_SLICE = 64  # labels worth a thread


class Intensities:
    """The intensities of labels in all image channels, computed once.

    Parameters
    ----------
    regions
        The labels.
    channels
        The image, ``(…, channels)``.
    spacing
        Sides of a pixel along the axes of the labels.
    """

    def __init__(self, regions: Regions, channels: Array, spacing: tuple[float, ...]) -> None:
        self.regions, self.channels, self.spacing = regions, channels, np.asarray(spacing, np.float64)

    @cached_property
    def measured(self) -> Array:
        """The sums from the kernel, (channels, n, columns)."""
        from cellpose.measure._kernels import N_INTENSITY, intensities

        r = self.regions
        volume = self.channels if r.ndim == 3 else self.channels[np.newaxis]
        out = np.zeros((volume.shape[-1], r.n, N_INTENSITY))
        for chosen, first, stop in r.bands():
            numbers, boxes, counts = r.numbers[chosen], r.boxes[chosen], r.counts[chosen]
            z_from, y_from = (0, first) if r.ndim == 2 else (first, 0)
            for channel in range(volume.shape[-1]):
                band = volume[:, first:stop, :, channel] if r.ndim == 2 else volume[first:stop, ..., channel]
                values = np.ascontiguousarray(band, np.float64)
                part = np.zeros((chosen.size, N_INTENSITY))
                args = (r.labels, values, z_from, y_from, numbers, boxes, counts, part)
                run_sliced(intensities, chosen.size, *args, smallest=_PER_SLICE)
                out[channel, chosen] = part
        return out

    def column(self, name: str) -> Array:
        """A column of the kernel, (n, channels)."""
        from cellpose.measure import _kernels

        return np.asarray(self.measured[..., getattr(_kernels, name)].T)

    def mean(self) -> Array:
        """Mean intensity of each cell in each channel."""
        means: Array = self.column("SUM") / self.regions.counts[:, np.newaxis]
        return means

    def weighted(self, *, local: bool) -> Array:
        """Centroids weighted by intensity, (n, ndim, channels)."""
        from cellpose.measure._kernels import SUM, WEIGHTED

        axes = slice(3 - self.regions.ndim, 3)
        sums = self.measured[:, :, WEIGHTED : WEIGHTED + 3][..., axes]
        with np.errstate(invalid="ignore", divide="ignore"):  # a label that is all dark has none
            places = sums / self.measured[:, :, SUM : SUM + 1]
        if not local:
            places = places + self.regions.boxes[:, 0::2][:, axes]
        return np.asarray(np.moveaxis(places * self.spacing, 0, -1))


Column = Callable[[Intensities], Array]

INTENSITIES: dict[str, Column] = {
    "intensity_mean": Intensities.mean,
    "intensity_std": lambda i: i.column("STD"),
    "intensity_min": lambda i: i.column("LOW"),
    "intensity_median": lambda i: i.column("MEDIAN"),
    "intensity_max": lambda i: i.column("HIGH"),
    "intensity_sum": lambda i: i.column("SUM"),
    "centroid_weighted": lambda i: i.weighted(local=False),
    "centroid_weighted_local": lambda i: i.weighted(local=True),
}
