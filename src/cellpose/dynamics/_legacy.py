"""Names of dynamics that older scripts call; nothing of the package itself does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._labels.arrays import Labels, as_labels, compact, remove_labels, scan, without
from cellpose.dynamics._cpu import _heat
from cellpose.dynamics._cpu._gather import gather, index_of
from cellpose.dynamics._cpu._heat import find_cells
from cellpose.dynamics._device import Device, as_array, on_gpu
from cellpose.dynamics._flows import Floats, _check, flows_of_plane, masks_to_flows
from cellpose.dynamics._quality import _errors, cell_errors
from cellpose.errors import InputError

__all__ = [
    "center_of_mass",
    "get_centers",
    "get_masks",
    "get_masks_orig",
    "get_masks_torch",
    "masks_to_flows_cpu",
    "masks_to_flows_gpu",
    "masks_to_flows_gpu_3d",
    "remove_bad_flow_masks",
]

Array = npt.NDArray[Any]


def masks_to_flows_cpu(
    masks: npt.ArrayLike, niter: int | None = None, device: Device = None
) -> tuple[Floats, npt.NDArray[Any]]:
    """Flows (2, Y, X) of plane masks as `masks_to_flows`, and the centres of the cells in their boxes.

    Returns
    -------
    flows : float64 array (2, Y, X)
    centres : int32 array (n, 2)
        Pixel y, x of each cell from which heat spreads, counted from the corner of the cell's box.
    """
    labels = _check(masks, (2,))
    out: Floats = np.zeros((2, *labels.shape), np.float64)
    cells = find_cells(labels)
    flows_of_plane(labels, cells, niter or 0, device, out)
    if cells.labels.size == 0:
        return out, np.zeros(0)
    return out, (cells.centres - cells.corners)[:, 1:]


def masks_to_flows_gpu(
    masks: npt.ArrayLike, device: Device = None, niter: int | None = None
) -> tuple[Floats, list[tuple[slice, slice] | None] | None]:
    """Flows of plane masks with the same number of steps for all cells: as many as the largest needs.

    Returns
    -------
    flows : float64 array (2, Y, X)
    slices : list of (slice, slice) or None
        Box of each label 1..max, None for numbers that are not used; None instead of a list without any label.
    """
    labels = _check(masks, (2,))
    out: Floats = np.zeros((2, *labels.shape), np.float64)
    cells = find_cells(labels)
    if cells.labels.size == 0:
        return out, None
    steps = niter or 2 * int((cells.extents[:, 1:].sum(axis=1) + 2).max())
    flows_of_plane(labels, cells, steps, device, out)
    slices = [(slice(y0, y1), slice(x0, x1)) if y1 > y0 else None for y0, y1, x0, x1 in cells.boxes[1:, 2:].tolist()]
    return out, slices


def masks_to_flows_gpu_3d(masks: npt.ArrayLike, device: Device = None, niter: int | None = None) -> Floats:
    """Flows of masks in a volume: heat spreads to the 6 face neighbors.

    Parameters
    ----------
    masks
        Label image ``(Z, Y, X)``; label numbers may have gaps.
    device
        Where to compute: None or the CPU, or a torch device.
    niter
        Steps of heat; None: 6 times the largest sum of the sides of a cell's box (each plus 1).

    Returns
    -------
    float64 array (3, Z, Y, X)
        Unit vectors, components z, y and x; zero in the background.

    Raises
    ------
    InputError
        If the masks do not have three axes.
    """
    labels = _check(masks, (3,))
    out: Floats = np.zeros((3, *labels.shape), np.float64)
    cells = find_cells(labels)
    if cells.labels.size == 0:
        return out
    steps = niter or 6 * int((cells.extents + 1).sum(axis=1).max())
    if on_gpu(device):
        from cellpose.dynamics._torch._heat import heat_flows

        out[:] = heat_flows(labels, cells.labels, cells.centres, np.full(cells.labels.size, steps), device)
        return out
    _heat.flows_of_volume(labels, cells, steps, out)
    return out


def get_centers(
    masks: npt.ArrayLike, slices: Sequence[Any] | npt.NDArray[np.integer[Any]]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Pixel of each cell nearest to the mean of its pixels, and the size of its box.

    Parameters
    ----------
    masks
        Label image ``(Y, X)``.
    slices
        Rows ``index, y0, y1, x0, x1`` where the label is ``index + 1``, or a list of slices for labels 1..n, with
        None for numbers that are not used.

    Returns
    -------
    centres : int32 array (n, 2)
        y and x.
    extents : int32 array (n,)
        Height plus width of the box plus 2, in pixels.

    Raises
    ------
    InputError
        If a label has no pixels.
    """
    labels = _check(masks, (2,))
    cells = find_cells(labels)
    rows = [(i, row) for i, row in enumerate(slices) if row is not None]
    wanted = [i + 1 if isinstance(row[0], slice) else int(row[0]) + 1 for i, row in rows]
    unknown = sorted(set(wanted) - set(cells.labels.tolist()))
    if unknown:
        message = f"there are no pixels with the labels {unknown[:10]}; give boxes of labels that are in the masks"
        raise InputError(message)
    index = np.searchsorted(cells.labels, wanted)
    extents = cells.extents[index, 1:].sum(axis=1) + 2
    return cells.centres[index, 1:], extents.astype(np.int32)


def center_of_mass(mask: npt.ArrayLike) -> tuple[int, int]:
    """Pixel of a mask nearest to the mean of its pixels.

    Parameters
    ----------
    mask
        Array (Y, X), nonzero in the mask.

    Returns
    -------
    y, x : int

    Raises
    ------
    InputError
        If the mask is empty.

    Examples
    --------
    >>> center_of_mass([[1, 1, 1, 0]])
    (0, 1)
    """
    labels = _check(np.asarray(mask) != 0, (2,))
    cells = find_cells(labels)
    if cells.labels.size == 0:
        message = "the mask is empty, so it has no center; give a mask with at least one pixel"
        raise InputError(message)
    _, y, x = cells.centres[0].tolist()
    return y, x


def _without_large(labels: Labels, max_size_fraction: float) -> Labels:
    """Labels numbered 1..n without those that cover more than a fraction of the image."""
    found = scan(labels)
    return without(labels, found, found.counts <= labels.size * max_size_fraction)


def get_masks_torch(
    pt: Any, inds: Any, shape0: tuple[int, ...], rpad: int = 20, max_size_fraction: float = 0.4
) -> Array:
    """Masks from the positions in which pixels end.

    A seed is a pixel in which more than 10 pixels end, and no fewer than in any within 2 pixels along each axis. It
    grows five times by its neighbors in which more than 2 end. Where two meet, the one with more pixels wins.

    Parameters
    ----------
    pt
        Positions ``(ndim, n)`` in pixels, array or tensor; fractions are cut off.
    inds
        Pixels that they started from, one array of indices per axis.
    shape0
        Shape of the image, ``(Y, X)`` or ``(Z, Y, X)``.
    rpad
        No effect; kept for scripts that pass it.
    max_size_fraction
        Masks that cover more of the image are removed.

    Returns
    -------
    uint16 array of shape ``shape0``, uint32 for more than 65535 masks
        Labels 1..n in the order in which they are met row by row.
    """
    positions = np.trunc(as_array(pt))
    labels = np.zeros(shape0, np.int32)
    labels[tuple(as_array(i) for i in inds)] = gather(index_of(positions, tuple(shape0)), tuple(shape0))
    return compact(_without_large(labels, max_size_fraction))


def get_masks_orig(p: Any, iscell: Any = None, rpad: int = 20, max_size_fraction: float = 0.4) -> Array:
    """Masks from the positions in which all pixels of an image end; of two seeds that meet the smaller wins.

    Parameters
    ----------
    p
        Positions ``(2, Y, X)`` or ``(3, Z, Y, X)`` in pixels; fractions are cut off.
    iscell
        Array ``(Y, X)`` or ``(Z, Y, X)``, False for pixels that stay where they are; None: as ``p`` says.
    rpad
        No effect; kept for scripts that pass it.
    max_size_fraction
        Masks that cover more of the image are removed.

    Returns
    -------
    uint32 array (Y, X) or (Z, Y, X)
        Labels 1..n in the order in which they are met row by row.
    """
    positions = np.trunc(as_array(p))
    shape = positions.shape[1:]
    if iscell is not None:
        stay = ~as_array(iscell).astype(bool)
        positions[:, stay] = np.array(np.nonzero(stay))
    ends = index_of(positions.reshape(len(positions), -1), shape)
    labels = gather(ends, shape, small_wins=True).reshape(shape)
    return _without_large(labels, max_size_fraction).astype(np.uint32)


def get_masks(p: Any, iscell: Any = None, rpad: int = 20, max_size_fraction: float = 0.4) -> Array:
    """`get_masks_orig` under the name that scripts for versions 1 and 2 use."""
    return get_masks_orig(p, iscell, rpad, max_size_fraction)


def remove_bad_flow_masks(
    masks: npt.ArrayLike, flows: Any, threshold: float = 0.4, device: Device = None
) -> npt.NDArray[Any]:
    """Masks without those whose flow error is above a threshold, numbered 1..n in the order in which they are met.

    Parameters
    ----------
    masks
        Label image ``(Y, X)``; label numbers may have gaps.
    flows
        Flows of the network ``(2, Y, X)``.
    threshold
        Largest error (see `flow_error`) of masks that are kept.
    device
        Where to compute: None or the CPU, or a torch device.

    Returns
    -------
    array (Y, X) of the type of ``masks``

    Raises
    ------
    InputError
        If the shapes do not match.
    """
    given = as_array(masks)
    labels, network = as_labels(given), as_array(flows)
    if network.shape != (labels.ndim, *labels.shape):
        message = (
            f"masks of shape {labels.shape} need flows of shape {(labels.ndim, *labels.shape)}, got {network.shape}"
        )
        raise InputError(message)
    if labels.ndim == 2:
        cells = find_cells(labels)
        bad = cells.labels[cell_errors(labels, cells, network, device) > threshold]
    else:
        bad = np.flatnonzero(_errors(labels, masks_to_flows(labels, device), network) > threshold) + 1
    remove = np.zeros(int(labels.max(initial=0)) + 1, np.bool_)
    remove[bad] = True
    return remove_labels(labels, remove).astype(given.dtype)
