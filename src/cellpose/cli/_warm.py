"""``cellpose doctor --warm``: compile what the first run would compile, and make the graph of the default model.

Machine code is kept on disk and belongs to one processor and one version of numba, so it cannot come with the package.
"""

from __future__ import annotations

import logging
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cellpose._progress.display import waiting

__all__ = ["warm"]

logger = logging.getLogger("cellpose.cli")


def warm() -> dict[str, float]:
    """Run everything that is compiled, on small images; returns the seconds of each part."""
    parts = {"segmentation": _segmentation, "volumes": _volumes, "labels": _labels}
    seconds = {}
    for name, part in parts.items():
        started = time.perf_counter()
        with waiting(f"compiling for {name}"):
            part()
        seconds[name] = round(time.perf_counter() - started, 2)
    return seconds


def _cells(side: int = 64, step: int = 16) -> NDArray[np.int32]:
    """Discs in rows."""
    y, x = np.mgrid[:side, :side]
    inside = (y % step - step / 2) ** 2 + (x % step - step / 2) ** 2 < (step / 2 - 2) ** 2
    return np.where(inside, (y // step) * (side // step) + x // step + 1, 0).astype(np.int32)


def _segmentation() -> None:
    """An image with the default model, and discs whose flows are known, so that there are masks in any case."""
    from cellpose import dynamics, models

    cells = _cells()
    models.CellposeModel().eval(cells.astype(np.float32), resample=False)
    flows = dynamics.labels_to_flows([cells])[0][2:4]
    dynamics.compute_masks(5 * flows, np.where(cells > 0, 6, -6).astype(np.float32), min_size=15)


def _volumes() -> None:
    from cellpose import dynamics

    volume = np.repeat(_cells()[None], 8, axis=0)
    flows = np.asarray(dynamics.masks_to_flows(volume), np.float32)
    dynamics.compute_masks(5 * flows, np.where(volume > 0, 6, -6).astype(np.float32), do_3D=True, min_size=15)


def _labels() -> None:
    """Everything that scores, outlines, edits, measures and label files need."""
    from cellpose import io, measure, metrics, utils

    cells = _cells()
    metrics.average_precision([cells], [np.roll(cells, 1, axis=0)])
    utils.outlines_list(cells)
    utils.masks_to_outlines(cells)
    utils.fill_holes_and_remove_small_masks(cells.copy())
    utils.fill_holes_and_remove_small_masks(_cells(1024))  # large enough for slices
    utils.stitch3D(np.stack([cells, cells]))
    utils.remove_edge_masks(cells.copy())
    utils.diameters(cells)
    measure.table(cells, cells)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("cells.geojson", "cells_coco.json"):
            io.write_cells(Path(folder) / name, cells)
            io.read_cells(Path(folder) / name)
