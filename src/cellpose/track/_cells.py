"""The cells of each frame: their positions and sizes, and their overlap with the next frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cellpose import measure
from cellpose._labels.arrays import Labels, overlap
from cellpose.track._frames import Frames

__all__ = ["FrameCells", "cells_of", "diameter_of", "shared_pixels"]


@dataclass(frozen=True, eq=False)
class FrameCells:
    """The cells of one frame, ascending by label: ``label`` (n,), ``area`` (n,) in pixels, ``centroid`` (n, ndim)."""

    label: npt.NDArray[np.int64]
    area: npt.NDArray[np.int64]
    centroid: npt.NDArray[np.float64]


def cells_of(frame: Labels) -> FrameCells:
    """The cells of a frame."""
    columns = measure.table(frame, properties=["area", "centroid"])
    centroid = np.stack([columns[f"centroid-{axis}"] for axis in range(frame.ndim)], axis=1)
    return FrameCells(columns["label"].astype(np.int64), columns["area"].astype(np.int64), centroid)


def diameter_of(cells: list[FrameCells], ndim: int) -> float:
    """Diameter of the disk, or ball, of the median cell of a movie, in pixels; 1 if there are no cells."""
    areas = np.concatenate([one.area for one in cells]) if cells else np.empty(0)
    if not areas.size:
        return 1.0
    median = float(np.median(areas))
    return 2 * float((median / np.pi) ** 0.5 if ndim == 2 else (3 * median / (4 * np.pi)) ** (1 / 3))


def shared_pixels(frames: Frames, cells: list[FrameCells], t: int) -> tuple[npt.NDArray[np.int64], ...]:
    """Cells of frame ``t`` and the next that share pixels: their indices in each frame, and how many they share."""
    pairs = overlap(frames[t], frames[t + 1])
    both = (pairs.a > 0) & (pairs.b > 0)
    first, second = (np.searchsorted(cells[t + k].label, side[both]) for k, side in enumerate((pairs.a, pairs.b)))
    return first, second, pairs.counts[both]
