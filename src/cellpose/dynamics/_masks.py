"""Flows to masks: pixels that end in the same place belong to one cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.dynamics._device import Device, as_array, on_gpu
from cellpose.dynamics._flows import cells_of
from cellpose.dynamics._follow import FEWEST_PIXELS, field_of, words_of
from cellpose.dynamics._quality import NETWORK_SCALE, cell_errors
from cellpose.errors import InputError
from cellpose.utils._labels import Labels, as_labels, fill_holes_and_remove_small, scan, smallest_dtype, without
from cellpose.utils._threads import run_sliced

__all__ = [
    "compute_masks",
    "get_masks",
    "get_masks_orig",
    "get_masks_torch",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_pool_nd",
    "resize_and_compute_masks",
]

Array = npt.NDArray[Any]

PEAK = 10  # a seed is where more pixels than this gather
FRINGE = 2  # it grows over its surroundings where more pixels than this gather


def _rimmed(shape: tuple[int, ...]) -> tuple[int, ...]:
    from cellpose.dynamics._follow_kernels import REACH

    return tuple(side + 2 * REACH for side in shape)


def _index_type(shape: tuple[int, ...]) -> type[np.int32] | type[np.int64]:
    return np.int32 if np.prod(_rimmed(shape), dtype=np.float64) < 2**31 else np.int64


def _index(positions: Array, shape: tuple[int, ...]) -> Array:
    """Index, in an image with a rim, of the pixels that positions ``(ndim, n)`` are in."""
    from cellpose.dynamics._follow_kernels import REACH

    index = np.zeros(positions.shape[1], _index_type(shape))
    for position, side in zip(positions, shape, strict=True):
        index *= side + 2 * REACH
        index += np.clip(position, 0, side - 1).astype(np.int64) + REACH
    return index


def _gather(ends: Array, shape: tuple[int, ...], *, small_wins: bool = False) -> Labels:
    """Label, 1..n in the order of the seeds, of each of the pixels whose ends are given (see `_index`).

    Seeds are where most pixels gather; of two that claim a place the larger wins, or the smaller.
    """
    from cellpose.dynamics import _follow_kernels as kernels

    rimmed = _rimmed(shape)
    counts = np.zeros(int(np.prod(rimmed)), np.int32)
    flat = ends.reshape(-1)
    kernels.count_ends(flat, counts)
    volume = rimmed if len(shape) == 3 else (1, *rimmed)
    seeds = kernels.find_peaks(counts.reshape(volume), PEAK)
    sizes = counts[seeds]
    seeds = seeds[np.argsort(-sizes if small_wins else sizes, kind="stable")]
    kernels.grow_seeds(counts, volume, seeds, FRINGE)
    labels = np.empty(flat.shape, np.int32)
    run_sliced(kernels.labels_at, flat.size, flat, counts, labels, smallest=FEWEST_PIXELS)
    return labels.reshape(ends.shape)


def _without_large(labels: Labels, max_size_fraction: float) -> Labels:
    """Labels numbered 1..n without those that cover more than a fraction of the image."""
    found = scan(labels)
    return without(labels, found, found.counts <= labels.size * max_size_fraction)


def _smallest(labels: Labels) -> Array:
    return labels.astype(smallest_dtype(int(labels.max(initial=0))))


def get_masks_torch(
    pt: Any, inds: Any, shape0: tuple[int, ...], rpad: int = 20, max_size_fraction: float = 0.4
) -> Array:
    """Masks from the positions in which pixels end.

    A seed is a pixel in which more than 10 pixels end, and no fewer than in any within 2 pixels along each axis. It
    grows five times by its neighbours in which more than 2 end. Where two meet, the one with more pixels wins.

    Parameters
    ----------
    pt
        Positions ``(ndim, n)`` in pixels, array or tensor; fractions are cut off.
    inds
        Pixels that they started from, one array of indices an axis.
    shape0
        Shape of the image, ``(Y, X)`` or ``(Z, Y, X)``.
    rpad
        Has no effect; kept for scripts that pass it.
    max_size_fraction
        Masks that cover more of the image are removed.

    Returns
    -------
    uint16 array of shape ``shape0``, uint32 for more than 65535 masks
        Labels 1..n in the order in which they are met row by row.
    """
    positions = np.trunc(as_array(pt))
    labels = np.zeros(shape0, np.int32)
    labels[tuple(as_array(i) for i in inds)] = _gather(_index(positions, tuple(shape0)), tuple(shape0))
    return _smallest(_without_large(labels, max_size_fraction))


def get_masks_orig(p: Any, iscell: Any = None, rpad: int = 20, max_size_fraction: float = 0.4) -> Array:
    """Masks from the positions in which all pixels of an image end; of two seeds that meet the smaller wins.

    Parameters
    ----------
    p
        Positions ``(2, Y, X)`` or ``(3, Z, Y, X)`` in pixels; fractions are cut off.
    iscell
        Array ``(Y, X)`` or ``(Z, Y, X)``, False for pixels that stay where they are; None: as ``p`` says.
    rpad
        Has no effect; kept for scripts that pass it.
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
    ends = _index(positions.reshape(len(positions), -1), shape)
    labels = _gather(ends, shape, small_wins=True).reshape(shape)
    return _without_large(labels, max_size_fraction).astype(np.uint32)


def get_masks(p: Any, iscell: Any = None, rpad: int = 20, max_size_fraction: float = 0.4) -> Array:
    """`get_masks_orig` under the name that scripts for versions 1 and 2 use."""
    return get_masks_orig(p, iscell, rpad, max_size_fraction)


def _labels_by_tensors(
    flows: Array,
    cellprob: Array,
    threshold: float,
    niter: int,
    interp: bool,
    device: Device,
    z_spacing: float = 1.0,
) -> Labels:
    """`_ends` and `_gather` on a device: only the labels of the pixels come back."""
    from cellpose.dynamics._follow_kernels import REACH
    from cellpose.dynamics._torch import follow, gather

    inside = np.nonzero(cellprob > threshold)
    network = np.where(cellprob > threshold, flows, 0) / np.float32(NETWORK_SCALE)
    if cellprob.ndim == 3:
        network[0] /= np.float32(z_spacing)
    ends = follow(network, np.array(inside, np.float32), niter, interp, device)
    labels = np.zeros(cellprob.shape, np.int32)
    labels[inside] = gather(ends, cellprob.shape, PEAK, FRINGE, REACH)
    return labels


def _ends(
    flows: Array,
    cellprob: Array,
    threshold: float,
    niter: int,
    interp: bool,
    origin: tuple[int, int] = (0, 0),
    z_spacing: float = 1.0,
) -> Array:
    """For each pixel of the image the index of the pixel it ends in (see `_index`), -1 in the background."""
    from cellpose.dynamics import _follow_kernels as kernels

    shape = cellprob.shape
    field = field_of(flows, cellprob, threshold, NETWORK_SCALE, NETWORK_SCALE * z_spacing)
    ends = np.empty(shape, _index_type(shape))
    side = kernels.TILE if cellprob.ndim == 2 else kernels.BRICK
    tiles = int(np.prod([-(-length // side) for length in shape]))
    logits, fewest = np.ascontiguousarray(cellprob, np.float32), max(1, FEWEST_PIXELS // side**cellprob.ndim)
    args = (logits, np.float32(threshold), words_of(field), niter, interp)
    if cellprob.ndim == 3:
        run_sliced(kernels.ends_volume, tiles, *args, ends, smallest=fewest)
    else:
        run_sliced(kernels.ends_plane, tiles, *args, np.array(origin, np.int64), ends, smallest=fewest)
    return ends


def _check(flows: Array, cellprob: Array, do_3D: bool) -> None:
    if cellprob.ndim not in (2, 3) or flows.shape != (cellprob.ndim, *cellprob.shape):
        message = (
            f"flows of shape {flows.shape} and cell probability of shape {cellprob.shape} do not fit; "
            "give (2, Y, X) and (Y, X), or (3, Z, Y, X) and (Z, Y, X)"
        )
        raise InputError(message)
    if {flows.dtype.kind, cellprob.dtype.kind} - set("biuf"):
        message = f"flows of dtype {flows.dtype} and cell probability of dtype {cellprob.dtype}; both are real numbers"
        raise InputError(message)
    if do_3D and cellprob.ndim == 2:
        message = f"do_3D needs flows (3, Z, Y, X), got {flows.shape}; leave do_3D out for a plane"
        raise InputError(message)


def _raw_masks(
    flows: Array,
    cellprob: Array,
    threshold: float,
    niter: int,
    interp: bool,
    flow_threshold: float | None,
    max_size_fraction: float,
    device: Device,
    origin: tuple[int, int],
    z_spacing: float = 1.0,
) -> Labels:
    """Masks 1..n, neither too large nor, in a plane, with flows that disagree with those of the network."""
    if on_gpu(device):
        labels = _labels_by_tensors(flows, cellprob, threshold, niter, interp, device, z_spacing)
    else:
        labels = _gather(_ends(flows, cellprob, threshold, niter, interp, origin, z_spacing), cellprob.shape)
    found = scan(labels)
    keep = (found.counts > 0) & (found.counts <= labels.size * max_size_fraction)
    keep[0] = False
    if labels.ndim == 2 and flow_threshold is not None and flow_threshold > 0:
        present = np.flatnonzero(keep)
        cells = cells_of(labels, found.boxes, present)
        keep[present] = ~(cell_errors(labels, cells, flows, device) > flow_threshold)
    return without(labels, found, keep)


def compute_masks(
    dP: Any,
    cellprob: Any,
    p: Any = None,
    niter: int | None = 200,
    cellprob_threshold: float = 0.0,
    flow_threshold: float | None = 0.4,
    do_3D: bool = False,
    min_size: int = -1,
    max_size_fraction: float = 0.4,
    device: Device = None,
    *,
    interp: bool = True,
    origin: tuple[int, int] = (0, 0),
    z_spacing: float = 1.0,
) -> Array:
    """Masks from the flows and cell probability of a network.

    Pixels follow the flows (`follow_flows`), those that end together are a mask (`get_masks_torch`), masks of a plane
    whose own flows disagree with those of the network are removed (`remove_bad_flow_masks`).

    Parameters
    ----------
    dP
        Flows ``(2, Y, X)`` or ``(3, Z, Y, X)``: 5 times unit vectors.
    cellprob
        Logits ``(Y, X)`` or ``(Z, Y, X)``.
    p
        Has no effect; kept for scripts that pass positions.
    niter
        Steps along the flows; 0 or None: 200.
    cellprob_threshold
        Pixels with a higher logit belong to cells.
    flow_threshold
        Largest flow error of masks that are kept, in planes only; 0 or None: keep all.
    do_3D
        Whether the arrays are volumes; their number of axes says so as well.
    min_size
        If positive, holes are filled and masks with fewer pixels removed.
    max_size_fraction
        Masks that cover more of the image are removed.
    device
        Where to compute: None or the CPU, or a torch device.
    interp
        Interpolate flows between pixels.
    origin
        Row and column at which a plane begins that is part of a larger one: positions of pixels are rounded as they
        are when the larger one is followed, on the CPU.
    z_spacing
        Distance of planes divided by the size of a pixel, by which steps along z are shortened, in volumes.

    Returns
    -------
    uint16 array (Y, X) or (Z, Y, X), uint32 for more than 65535 masks
        Labels 1..n in the order in which they are met row by row; 0 is background.

    Raises
    ------
    InputError
        If the shapes do not fit.

    Examples
    --------
    >>> from cellpose.dynamics import masks_to_flows
    >>> cells = np.zeros((20, 30), int); cells[2:11, 3:12] = 1; cells[8:18, 14:26] = 2
    >>> masks = compute_masks(5 * masks_to_flows(cells), np.where(cells, 4.0, -4.0))
    >>> bool((masks == cells).all())
    True
    """
    flows, logits = as_array(dP), as_array(cellprob)
    _check(flows, logits, do_3D)
    labels = _raw_masks(
        flows,
        logits,
        cellprob_threshold,
        int(niter or 200),
        interp,
        None if do_3D else flow_threshold,
        max_size_fraction,
        device,
        origin,
        z_spacing,
    )
    if min_size > 0:
        labels = fill_holes_and_remove_small(labels, min_size)
    return _smallest(labels)


def _resized(labels: Array, shape: tuple[int, ...]) -> Array:
    """Labels of another size: each pixel gets the label of the nearest pixel towards the corner."""
    for axis, side in enumerate(shape):
        old = labels.shape[axis]
        if side != old:
            source = np.minimum(np.floor(np.arange(side) * (1 / (side / old))).astype(np.int64), old - 1)
            labels = labels.take(source, axis)
    return labels


def resize_and_compute_masks(
    dP: Any,
    cellprob: Any,
    niter: int | None = 200,
    cellprob_threshold: float = 0.0,
    flow_threshold: float | None = 0.4,
    do_3D: bool = False,
    min_size: int = 15,
    max_size_fraction: float = 0.4,
    resize: Any = None,
    device: Device = None,
    *,
    interp: bool = True,
    z_spacing: float = 1.0,
) -> Array:
    """Masks as `compute_masks` makes them, brought to another size, with holes filled and small ones removed.

    Parameters
    ----------
    dP, cellprob, niter, cellprob_threshold, flow_threshold, do_3D, max_size_fraction, device, interp, z_spacing
        As in `compute_masks`.
    min_size
        Masks with fewer pixels, counted after resizing, are removed; 0 or less: none, and holes are kept.
    resize
        Shape of the result, ``(Y, X)`` or ``(Z, Y, X)``; None: that of ``cellprob``.

    Returns
    -------
    uint16 array, uint32 for more than 65535 masks
        Labels 1..n in the order in which they are met row by row; 0 is background.

    Raises
    ------
    InputError
        If the shapes do not fit.
    """
    masks = compute_masks(
        dP,
        cellprob,
        None,
        niter,
        cellprob_threshold,
        flow_threshold,
        do_3D,
        -1,
        max_size_fraction,
        device,
        interp=interp,
        z_spacing=z_spacing,
    )
    labels = as_labels(masks)
    if resize is not None:
        try:
            shape = tuple(int(side) for side in resize)
        except (TypeError, ValueError):
            shape = ()
        if len(shape) != labels.ndim or min(shape) < 1:
            message = f"resize={resize!r} does not fit masks of shape {labels.shape}; give one positive side an axis"
            raise InputError(message)
        labels = as_labels(_resized(labels, shape))
    if min_size > 0:
        labels = fill_holes_and_remove_small(labels, min_size)
    return _smallest(labels)


def max_pool1d(h: Any, kernel_size: int = 5, axis: int = 1, out: Any = None) -> Any:
    """Running maximum along one axis; beyond the ends of the axis nothing counts.

    Parameters
    ----------
    h
        Array or tensor.
    kernel_size
        Odd number of pixels.
    axis
        Axis along which to look.
    out
        Array or tensor of the same shape to write to; None: a new one.

    Returns
    -------
    array or tensor of the shape and type of ``h``
    """
    if kernel_size < 1 or kernel_size % 2 == 0:
        message = f"kernel_size={kernel_size} is not allowed; give an odd positive number"
        raise InputError(message)
    from scipy.ndimage import maximum_filter1d

    values = as_array(h)
    result = maximum_filter1d(values, kernel_size, axis=axis, mode="nearest")
    if out is not None:
        out[...] = h.new_tensor(result) if hasattr(h, "new_tensor") else result
        return out
    return h.new_tensor(result) if hasattr(h, "new_tensor") else result


def max_pool_nd(h: Any, kernel_size: int = 5) -> Any:
    """Running maximum over a square or cube, for images ``(n, Y, X)`` or volumes ``(n, Z, Y, X)``.

    Parameters
    ----------
    h
        Array or tensor; the first axis counts the images.
    kernel_size
        Odd number of pixels along each axis.

    Returns
    -------
    array or tensor of the shape and type of ``h``
    """
    for axis in range(1, h.ndim):
        h = max_pool1d(h, kernel_size, axis)
    return h


def max_pool2d(h: Any, kernel_size: int = 5) -> Any:
    """`max_pool_nd` of images ``(n, Y, X)``."""
    return max_pool_nd(h, kernel_size)


def max_pool3d(h: Any, kernel_size: int = 5) -> Any:
    """`max_pool_nd` of volumes ``(n, Z, Y, X)``."""
    return max_pool_nd(h, kernel_size)
