"""Flows to masks: pixels that end in the same place belong to one cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._face.door import door
from cellpose._face.keywords import interp_by_position
from cellpose._labels.arrays import Labels, compact
from cellpose.dynamics._cpu import _masks
from cellpose.dynamics._device import Device, on_gpu
from cellpose.dynamics._network_flows import NetworkFlows
from cellpose.errors import InputError
from cellpose.options import Masking

__all__ = ["compute_masks", "flows_to_masks", "places_of", "resize_and_compute_masks"]

Array = npt.NDArray[Any]


def flows_to_masks(
    flows: NetworkFlows, masking: Masking, size: Sequence[int] | None = None, device: Device = None
) -> Labels:
    """Compute labels from the outputs of a network.

    Pixels follow the flows (`follow_flows`), those that end together are a mask (`get_masks_torch`), masks of a plane
    whose own flows disagree with those of the network are removed (`remove_bad_flow_masks`). The rest is brought to
    another size, holes are filled and small masks removed.

    Parameters
    ----------
    flows
        The outputs of the network.
    masking
        The options; ``min_size`` counts pixels of the result, and where it is not positive holes are kept.
    size
        Shape of the result, ``(Y, X)`` or ``(Z, Y, X)``; None: that of the flows.
    device
        Where to compute: None or the CPU, or a torch device.

    Returns
    -------
    int32 array (Y, X) or (Z, Y, X)
        Labels 1..n in the order in which they are met row by row; 0 is background.

    Raises
    ------
    InputError
        If the size does not fit.

    Examples
    --------
    >>> from cellpose.dynamics import masks_to_flows
    >>> cells = np.zeros((20, 30), int); cells[2:11, 3:12] = 1; cells[8:18, 14:26] = 2
    >>> flows = NetworkFlows(5 * masks_to_flows(cells), np.where(cells, 4.0, -4.0))
    >>> bool((flows_to_masks(flows, Masking(min_size=100)) == (cells == 2)).all())
    True
    """
    places = places_of(flows.shape, size)
    if on_gpu(device):
        from cellpose.dynamics._torch._masks import masks_of

        return masks_of(flows, masking, places, device)
    return _masks.masks_of(flows, masking, places)


def places_of(shape: tuple[int, ...], size: Any) -> list[npt.NDArray[np.int64] | None]:
    """Pixels that those of labels of another size are taken from, the nearest towards the corner; None: it stays."""
    if size is None:
        return [None] * len(shape)
    try:
        sides = tuple(int(side) for side in size)
    except (TypeError, ValueError):
        sides = ()
    if len(sides) != len(shape) or min(sides) < 1:
        message = f"resize={size!r} does not fit masks of shape {shape}; give one positive side per axis"
        raise InputError(message)
    return [
        None if side == old else np.minimum(np.floor(np.arange(side) * (1 / (side / old))).astype(np.int64), old - 1)
        for side, old in zip(sides, shape, strict=True)
    ]


def _planes_or_volume(flows: NetworkFlows, do_3D: bool) -> NetworkFlows:
    if do_3D and len(flows.shape) == 2:
        message = f"do_3D needs flows (3, Z, Y, X), got {flows.dP.shape}; leave do_3D out for a plane"
        raise InputError(message)
    return flows


@interp_by_position(6)
@door
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
        No effect; kept for scripts that pass positions.
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
        Distance between planes divided by the size of a pixel, by which steps along z are shortened, in volumes.

    Returns
    -------
    uint16 array (Y, X) or (Z, Y, X), uint32 for more than 65535 masks
        Labels 1..n in the order in which they are met row by row; 0 is background.

    Raises
    ------
    InputError
        If the shapes do not match.
    OptionError
        If an option is outside its range, see `cellpose.options.Masking`.

    Examples
    --------
    >>> from cellpose.dynamics import masks_to_flows
    >>> cells = np.zeros((20, 30), int); cells[2:11, 3:12] = 1; cells[8:18, 14:26] = 2
    >>> masks = compute_masks(5 * masks_to_flows(cells), np.where(cells, 4.0, -4.0))
    >>> bool((masks == cells).all())
    True
    """
    masking = Masking(cellprob_threshold, flow_threshold, min_size, max_size_fraction, niter, interp)
    flows = _planes_or_volume(NetworkFlows(dP, cellprob, origin, z_spacing), do_3D)
    return compact(flows_to_masks(flows, masking, device=device))


@interp_by_position(5)
@door
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
        If the shapes do not match.
    OptionError
        If an option is outside its range, see `cellpose.options.Masking`.
    """
    masking = Masking(cellprob_threshold, flow_threshold, min_size, max_size_fraction, niter, interp)
    flows = _planes_or_volume(NetworkFlows(dP, cellprob, z_spacing=z_spacing), do_3D)
    return compact(flows_to_masks(flows, masking, resize, device))
