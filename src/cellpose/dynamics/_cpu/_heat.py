"""Cells of label images, and the flows along the heat that spreads through them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._labels.arrays import Labels, scan
from cellpose._machine.threads import run_sliced
from cellpose.dynamics._cells import Cells
from cellpose.dynamics._constants import NETWORK_SCALE

__all__ = ["cell_errors", "cells_of", "errors_above", "find_cells", "flows_of_plane", "flows_of_volume"]

Floats = npt.NDArray[np.floating[Any]]

FEWEST_CELLS = 64  # cells worth a thread where the work is short
LEAST_HEAT = 2_000_000  # steps times pixels of heat (about a millisecond) from which threads are worth their start


def cells_of(labels: Labels, boxes: npt.NDArray[np.int32], present: npt.NDArray[np.int64]) -> Cells:
    """The cells with the labels ``present``, whose boxes are known."""
    from cellpose.dynamics._cpu._kernels import centres

    volume = labels if labels.ndim == 3 else labels[None]
    found = np.empty((present.size, 3), np.int32)
    run_sliced(centres, present.size, volume, boxes, present, found, smallest=FEWEST_CELLS)
    return Cells(present, boxes, found)


def find_cells(labels: Labels) -> Cells:
    """The cells of a label image ``(Y, X)`` or ``(Z, Y, X)``; label numbers may have gaps."""
    found = scan(labels)
    return cells_of(labels, found.boxes, np.flatnonzero(found.counts[1:]) + 1)


def fewest_cells(cells: Cells) -> int:
    """Fewest cells of a plane worth a thread to spread heat in them: one, or all if that is quickly done."""
    extents = cells.extents[:, 1:]
    heat = (extents.prod(axis=1) * extents.sum(axis=1)).sum() * 2
    return 1 if heat > LEAST_HEAT else max(cells.labels.size, 1)


def flows_of_plane(labels: Labels, cells: Cells, niter: int, out: Floats) -> None:
    """Write the unit flows (2, Y, X) of a plane into the zeros of ``out``; ``niter`` 0: as each cell needs."""
    from cellpose.dynamics._cpu._kernels import flows_plane

    args = (labels, cells.boxes, cells.labels, cells.centres, niter, out)
    run_sliced(flows_plane, cells.labels.size, *args, smallest=fewest_cells(cells))


def flows_of_volume(labels: Labels, cells: Cells, niter: int, out: Floats) -> None:
    """Write the unit flows (3, Z, Y, X) of a volume into the zeros of ``out``."""
    from cellpose.dynamics._cpu._kernels import flows_volume

    run_sliced(flows_volume, cells.labels.size, labels, cells.boxes, cells.labels, cells.centres, niter, out)


def cell_errors(labels: Labels, cells: Cells, flows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Mean over each cell of a plane of the squared difference between its unit flows and those of the network.

    The unit flows are never held as an image.
    """
    from cellpose.dynamics._cpu._kernels import errors_plane

    out = np.zeros(cells.labels.size, np.float64)
    network = np.ascontiguousarray(flows, np.float32)
    args = (labels, cells.boxes, cells.labels, cells.centres, network, 1 / NETWORK_SCALE, out)
    run_sliced(errors_plane, out.size, *args, smallest=fewest_cells(cells))
    return out


def errors_above(labels: Labels, cells: Cells, flows: npt.NDArray[Any], most: float) -> npt.NDArray[np.bool_]:
    """Which of the `cell_errors` are above ``most``, in about half the time."""
    from cellpose.dynamics._cpu._kernels import above_plane

    out = np.zeros(cells.labels.size, np.bool_)
    network = np.ascontiguousarray(flows, np.float32)
    args = (labels, cells.boxes, cells.labels, cells.centres, network, 1 / NETWORK_SCALE, float(most), out)
    run_sliced(above_plane, out.size, *args, smallest=fewest_cells(cells))
    return out
