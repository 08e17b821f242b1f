"""Following flows step by step, by names that older scripts call; nothing of the package itself does."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._face.door import door
from cellpose._face.keywords import interp_by_position
from cellpose.dynamics._cpu import _follow
from cellpose.dynamics._device import Device, as_array, on_gpu
from cellpose.errors import InputError

__all__ = [
    "follow_flows",
    "map_coordinates",
    "steps2D",
    "steps3D",
    "steps_interp",
]

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]

_MOVING = 1e-3  # flow above which a pixel belonged to a cell before pixels were passed


def _check(flows: Array) -> None:
    if flows.ndim not in (3, 4) or len(flows) != flows.ndim - 1:
        message = f"flows of shape {flows.shape} are not allowed; give (2, Y, X) or (3, Z, Y, X)"
        raise InputError(message)


def _check_positions(positions: Array, shape: tuple[int, ...]) -> None:
    """Refuse positions ``(ndim, n)`` outside an image, from which no kernel may read."""
    limits = np.array(shape, np.float32).reshape(-1, 1) - 1
    if positions.size and not ((positions >= 0) & (positions <= limits)).all():  # also those that are no numbers
        message = f"some positions are outside the image of shape {shape}, or not finite; give indices of its pixels"
        raise InputError(message)


@interp_by_position(3)
@door
def follow_flows(
    dP: Any, inds: Any = None, niter: int | None = 200, device: Device = None, *, interp: bool = True
) -> Any:
    """Where pixels stand after following the flows for a number of steps.

    Each step moves a pixel by the flow at its exact position, and no further than the edge of the image.

    Parameters
    ----------
    dP
        Flows in pixels per step, ``(2, Y, X)`` or ``(3, Z, Y, X)``, components in the order of the axes. Values that
        are not finite count as zero.
    inds
        Pixels to follow, one array of indices per axis, as `numpy.nonzero` gives them. None: those whose flow is longer
        than 0.001 along the first axis, as the versions that took no pixels chose them.
    niter
        Steps; None: 200.
    device
        Where to compute: None or the CPU, or a torch device.
    interp
        Interpolate linearly between pixels; if not, take the flow of the pixel that the position is in.

    Returns
    -------
    float32 array (ndim, n), or tensor for volumes and where ``device`` is not the CPU
        Positions in pixels, between 0 and the side of the image minus 1.

    Raises
    ------
    InputError
        If the flows do not have as many components as axes.

    Examples
    --------
    >>> flows = np.zeros((2, 1, 5)); flows[1] = 0.25
    >>> follow_flows(flows, ([0], [1]), niter=6)
    array([[0. ],
           [2.5]], dtype=float32)
    """
    flows = as_array(dP)
    _check(flows)
    if inds is None:
        inds = np.nonzero(np.abs(flows[0]) > _MOVING)
    starts = np.array([as_array(i) for i in inds], np.float32).reshape(len(flows), -1)
    _check_positions(starts, flows.shape[1:])
    steps = 200 if niter is None else int(niter)
    if on_gpu(device):
        from cellpose.dynamics._torch._follow import follow

        return follow(flows, starts, steps, interp, device)
    ends = _follow.follow(flows, starts, steps, interp)
    if len(flows) == 2:
        return ends
    import torch  # of volumes all versions give tensors

    return torch.from_numpy(ends)


def steps_interp(dP: Any, inds: Any, niter: int | None = 200, device: Device = None) -> Any:
    """`follow_flows` with interpolation."""
    return follow_flows(dP, inds, niter, device)


def steps2D(p: Array, dP: Array, niter: int) -> Float32:
    """Positions after following the flows of the pixel that each stands in (no interpolation).

    Parameters
    ----------
    p
        Positions ``(2, n)`` to start from, y and x in pixels; not written to.
    dP
        Flows ``(2, Y, X)`` in pixels per step.
    niter
        Steps.

    Returns
    -------
    float32 array (2, n)

    Raises
    ------
    InputError
        If positions and flows do not have two axes each.
    """
    return _steps(p, dP, niter, 2)


def steps3D(p: Array, dP: Array, niter: int) -> Float32:
    """As `steps2D`, for positions ``(3, n)`` and flows ``(3, Z, Y, X)``, in the order z, y, x."""
    return _steps(p, dP, niter, 3)


def _steps(p: Array, dP: Array, niter: int, ndim: int) -> Float32:
    flows, positions = as_array(dP), np.asarray(p, np.float32)
    _check(flows)
    if positions.ndim != 2 or len(positions) != ndim or flows.ndim != ndim + 1:
        message = (
            f"positions of shape {positions.shape} and flows of shape {flows.shape} do not fit {ndim} axes; give "
            f"({ndim}, n) and ({ndim}, ...)"
        )
        raise InputError(message)
    if not np.isfinite(positions).all():
        message = "some positions are not finite; give the pixels to start from"
        raise InputError(message)
    limits = np.array(flows.shape[1:], np.float32).reshape(-1, 1) - 1
    return _follow.follow(flows, np.ascontiguousarray(np.clip(positions, 0, limits)), int(niter), False)


def map_coordinates(I: Array, yc: Array, xc: Array, Y: Array) -> None:  # noqa: E741  (the name that users type)
    """Values of the channels of an image at given positions, written into ``Y``.

    Parameters
    ----------
    I
        Image ``(C, Y, X)``.
    yc, xc
        Positions in pixels; beyond the edge the value at the edge counts.
    Y
        Array ``(C, *positions)`` to write to.
    """
    image = np.asarray(I)
    height, width = image.shape[1:]
    y, x = np.asarray(yc, np.float32), np.asarray(xc, np.float32)
    y0, x0 = np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)
    fy, fx = y - y0, x - x0
    rows = [np.clip(i, 0, height - 1) for i in (y0, y0 + 1)]
    columns = [np.clip(i, 0, width - 1) for i in (x0, x0 + 1)]
    for channel, values in zip(Y, image, strict=True):
        above = values[rows[0], columns[0]] * (1 - fx) + values[rows[0], columns[1]] * fx
        below = values[rows[1], columns[0]] * (1 - fx) + values[rows[1], columns[1]] * fx
        channel[...] = above * (1 - fy) + below * fy
