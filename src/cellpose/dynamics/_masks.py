"""Flows to masks: pixels that end in the same place belong to one cell."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cellpose.dynamics._device import Device, as_array, on_gpu
from cellpose.dynamics._flows import cells_of
from cellpose.dynamics._follow import FEWEST_PIXELS, field_of, words_of
from cellpose.dynamics._gather import FRINGE, PEAK, compact, gather, index_type
from cellpose.dynamics._quality import NETWORK_SCALE, cell_errors
from cellpose.errors import InputError
from cellpose.utils._labels import Labels, fill_holes_and_remove_small, scan, without
from cellpose.utils._threads import run_sliced

__all__ = ["Rules", "compute_masks", "ends_of", "resize_and_compute_masks"]

Array = npt.NDArray[Any]


class Rules(NamedTuple):
    """What decides which masks there are; named as in `compute_masks`.

    ``flow_threshold`` is None where flows are not checked. ``source`` are the pixels that those of the result are taken
    from, along each axis; None: along this axis the size stays.
    """

    cellprob_threshold: float
    niter: int
    interp: bool
    flow_threshold: float | None
    max_size_fraction: float
    min_size: int
    source: list[npt.NDArray[np.int64] | None]
    origin: tuple[int, int]
    z_spacing: float


def ends_of(flows: Array, cellprob: Array, rules: Rules) -> Array:
    """For each pixel of the image the index of the pixel it ends in (see `index_of`), -1 in the background."""
    from cellpose.dynamics import _follow_kernels as kernels

    shape = cellprob.shape
    threshold = rules.cellprob_threshold
    field = field_of(flows, cellprob, threshold, NETWORK_SCALE, NETWORK_SCALE * rules.z_spacing)
    ends = np.empty(shape, index_type(shape))
    side = kernels.TILE if cellprob.ndim == 2 else kernels.BRICK
    tiles = int(np.prod([-(-length // side) for length in shape]))
    logits, fewest = np.ascontiguousarray(cellprob, np.float32), max(1, FEWEST_PIXELS // side**cellprob.ndim)
    args = (logits, np.float32(threshold), words_of(field), rules.niter, rules.interp)
    if cellprob.ndim == 3:
        run_sliced(kernels.ends_volume, tiles, *args, ends, smallest=fewest)
    else:
        run_sliced(kernels.ends_plane, tiles, *args, np.array(rules.origin, np.int64), ends, smallest=fewest)
    return ends


def _masks_on_cpu(flows: Array, cellprob: Array, rules: Rules) -> Labels:
    labels = gather(ends_of(flows, cellprob, rules), cellprob.shape)
    found = scan(labels)
    keep = (found.counts > 0) & (found.counts <= labels.size * rules.max_size_fraction)
    keep[0] = False
    if rules.flow_threshold is not None:
        present = np.flatnonzero(keep)
        cells = cells_of(labels, found.boxes, present)
        keep[present] = ~(cell_errors(labels, cells, flows, None) > rules.flow_threshold)
    labels = without(labels, found, keep)
    for axis, pixels in enumerate(rules.source):
        if pixels is not None:
            labels = labels.take(pixels, axis)
    return fill_holes_and_remove_small(labels, rules.min_size) if rules.min_size > 0 else labels


def _masks(flows: Array, logits: Array, rules: Rules, device: Device) -> Array:
    if on_gpu(device):
        from cellpose.dynamics._follow_kernels import REACH
        from cellpose.dynamics._torch import masks_of

        return compact(masks_of(flows, logits, rules, (PEAK, FRINGE, REACH), device))
    return compact(_masks_on_cpu(flows, logits, rules))


def _checked(dP: Any, cellprob: Any, do_3D: bool) -> tuple[Array, Array]:
    """Flows and logits as arrays that fit each other."""
    flows, cellprob = as_array(dP), as_array(cellprob)
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
    return flows, cellprob


def _corner(origin: Any) -> tuple[int, int]:
    corner = np.asarray(origin)
    if corner.shape != (2,) or corner.dtype.kind not in "iu" or abs(corner).max() > 2**40:
        message = f"origin={origin!r} is not allowed; give a row and a column, two whole numbers"
        raise InputError(message)
    return int(corner[0]), int(corner[1])


def _error_allowed(flow_threshold: float | None, logits: Array) -> float | None:
    return flow_threshold if flow_threshold and flow_threshold > 0 and logits.ndim == 2 else None


def _source(shape: tuple[int, ...], resize: Any) -> list[npt.NDArray[np.int64] | None]:
    """Pixels that those of labels of another size are taken from, the nearest towards the corner; None: it stays."""
    if resize is None:
        return [None] * len(shape)
    try:
        sides = tuple(int(side) for side in resize)
    except (TypeError, ValueError):
        sides = ()
    if len(sides) != len(shape) or min(sides) < 1:
        message = f"resize={resize!r} does not fit masks of shape {shape}; give one positive side an axis"
        raise InputError(message)
    return [
        None if side == old else np.minimum(np.floor(np.arange(side) * (1 / (side / old))).astype(np.int64), old - 1)
        for side, old in zip(sides, shape, strict=True)
    ]


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
    flows, logits = _checked(dP, cellprob, do_3D)
    rules = Rules(
        cellprob_threshold,
        int(niter or 200),
        interp,
        _error_allowed(flow_threshold, logits),
        max_size_fraction,
        min_size,
        _source(logits.shape, None),
        _corner(origin),
        z_spacing,
    )
    return _masks(flows, logits, rules, device)


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
    flows, logits = _checked(dP, cellprob, do_3D)
    rules = Rules(
        cellprob_threshold,
        int(niter or 200),
        interp,
        _error_allowed(flow_threshold, logits),
        max_size_fraction,
        min_size,
        _source(logits.shape, resize),
        (0, 0),
        z_spacing,
    )
    return _masks(flows, logits, rules, device)
