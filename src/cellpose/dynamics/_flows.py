"""Labels to flows: heat spreads from the middle of each cell, and flows are the direction in which it rises.

Heat spreads inside its own label only, so that neighbors never disturb each other (Stringer et al., Nature Methods
2021, "Auxiliary vector flow representation", without the logarithm).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._labels.arrays import Labels, as_labels, renumber
from cellpose._labels.kinds import label_plane
from cellpose._machine.writing import replacing
from cellpose.dynamics._cells import Cells
from cellpose.dynamics._cpu import _heat
from cellpose.dynamics._cpu._heat import find_cells
from cellpose.dynamics._device import Device, on_gpu
from cellpose.errors import InputError

__all__ = [
    "labels_to_flows",
    "masks_to_flows",
]

logger = logging.getLogger("cellpose.dynamics")

Floats = npt.NDArray[np.floating[Any]]

IGNORED = -1.0  # value of the cell mask where the truth is unknown
_LAST_WHOLE_FLOAT32 = 2**24


def _check(masks: npt.ArrayLike, ndims: tuple[int, ...]) -> Labels:
    labels = as_labels(masks)
    if labels.ndim not in ndims:
        allowed = " or ".join({2: "(Y, X)", 3: "(Z, Y, X)"}[n] for n in ndims)
        message = f"masks of shape {labels.shape} are not allowed; give {allowed}"
        raise InputError(message)
    return labels


def flows_of_plane(labels: Labels, cells: Cells, niter: int, device: Device, out: Floats) -> None:
    """Write the unit flows (2, Y, X) of a plane into the zeros of ``out``; ``niter`` 0: as each cell needs."""
    if cells.labels.size == 0:
        return
    if on_gpu(device):
        from cellpose.dynamics._torch._heat import heat_flows

        steps = np.full(cells.labels.size, niter) if niter else cells.steps
        out[:] = heat_flows(labels, cells.labels, cells.centres[:, 1:], steps, device)
        return
    _heat.flows_of_plane(labels, cells, niter, out)


def masks_to_flows(masks: npt.ArrayLike, device: Device = None, niter: int | None = None) -> Floats:
    """Flows of masks: unit vectors that point to the middle of each cell along the heat that spreads from it.

    Parameters
    ----------
    masks
        Label image ``(Y, X)`` or ``(Z, Y, X)``, 0 is background; label numbers may have gaps.
    device
        Where to compute: None or the CPU, or a torch device.
    niter
        Steps of heat; None: twice the sum of the sides of a cell's box (each plus 2).

    Returns
    -------
    float64 array (2, Y, X), components y and x, or float32 array (3, Z, Y, X), components z, y and x
        A volume gets the sum of the flows of its planes in the three directions, which are no unit vectors
        (`masks_to_flows_gpu_3d` spreads heat in the volume). Zero in the background.

    Raises
    ------
    InputError
        If the masks have neither two nor three axes.

    Examples
    --------
    >>> flows = masks_to_flows([[0, 0, 0, 0, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0]])
    >>> flows[1, 1]
    array([ 0.,  1.,  0., -1.,  0.])
    """
    labels = _check(masks, (2, 3))
    if not labels.any():
        logger.warning("masks are empty: their flows are zero")
        return np.zeros((labels.ndim, *labels.shape), np.float32)
    if labels.ndim == 2:
        out: Floats = np.zeros((2, *labels.shape), np.float64)
        flows_of_plane(labels, find_cells(labels), niter or 0, device, out)
        return out
    total = np.zeros((3, *labels.shape), np.float32)
    for axis in range(3):
        components = [a for a in range(3) if a != axis]
        for i in range(labels.shape[axis]):
            plane = np.ascontiguousarray(labels.take(i, axis))
            flows = np.zeros((2, *plane.shape), np.float64)
            flows_of_plane(plane, find_cells(plane), niter or 0, device, flows)
            for component, flow in zip(components, flows, strict=True):
                np.moveaxis(total[component], axis, 0)[i] += flow
    return total


def _flows_with_labels(labels: npt.NDArray[Any], device: Device, niter: int | None) -> npt.NDArray[np.float32]:
    ignored = labels < 0
    labels = np.where(ignored, 0, labels) if ignored.any() else labels
    numbered, n = renumber(labels)
    out = np.zeros((4, *numbered.shape), np.float32)
    # the numbers that were given, unless they are beyond those that float32 tells apart
    out[0] = labels if n and labels.max() <= _LAST_WHOLE_FLOAT32 else numbered
    out[1] = np.where(ignored, IGNORED, numbered > 0)
    flows_of_plane(numbered, find_cells(numbered), niter or 0, device, out[2:])
    return out


def _write_flows(flows: npt.NDArray[np.float32], image_name: str | os.PathLike[str]) -> None:
    """Write flows beside an image as ``<stem>_flows.tif``, whole or not at all."""
    import tifffile

    target = Path(os.path.splitext(os.fspath(image_name))[0] + "_flows.tif")
    with replacing(target) as file:
        tifffile.imwrite(file, flows, photometric="minisblack")


def labels_to_flows(
    labels: Sequence[npt.ArrayLike],
    files: Sequence[str | os.PathLike[str]] | None = None,
    device: Device = None,
    redo_flows: bool = False,
    niter: int | None = None,
    return_flows: bool = True,
) -> list[npt.NDArray[np.float32]]:
    """Training targets of label images: labels, cell or not, and flows.

    Parameters
    ----------
    labels
        Label images ``(Y, X)`` or ``(1, Y, X)``, or results of this function ``(4 or more, Y, X)``, which are kept.
    files
        Image files beside which the results are written as ``<stem>_flows.tif`` (float32, 4 planes).
    device
        Where to compute: None or the CPU, or a torch device.
    redo_flows
        Compute flows again from the first channel of given results.
    niter
        Steps of heat, as in `masks_to_flows`.
    return_flows
        Whether to return the results; if not, the list is empty.

    Returns
    -------
    list of float32 arrays (4, Y, X)
        Channels: labels as numbered in the label image, 1 in cells and 0 elsewhere (-1 where labels are negative:
        regions to ignore), flow along y, flow along x.

    Raises
    ------
    InputError
        If an image is neither of these (planes of a stack, a color picture), or there are not as many files as images.

    Examples
    --------
    >>> labels_to_flows([np.eye(3, dtype=int)])[0].shape
    (4, 3, 3)
    """
    if files is not None and len(files) != len(labels):
        message = f"{len(files)} files were given for {len(labels)} label images; give one for each"
        raise InputError(message)
    results = []
    for i, image in enumerate(labels):
        try:
            array = label_plane(image)
        except InputError as error:
            of_a_volume = "; the flows of a volume are those of masks_to_flows" if np.ndim(image) == 3 else ""
            message = f"{i if files is None else files[i]}: {error}{of_a_volume}"
            raise InputError(message) from error
        if array.ndim == 3 and not redo_flows:
            flows = array.astype(np.float32)
        else:
            flows = _flows_with_labels(array[0] if array.ndim == 3 else array, device, niter)
            if files is not None:
                _write_flows(flows, files[i])
        if return_flows:
            results.append(flows)
    return results
