"""Pixels follow the flows, with tensors."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cellpose.dynamics._constants import CHECK, MOST
from cellpose.dynamics._torch._tensors import index_of, strides_of, tensor_of
from cellpose.nets import usable_device

__all__ = ["follow", "follow_field"]


def follow(
    flows: npt.NDArray[Any], starts: npt.NDArray[np.float32], niter: int, interp: bool, device: Any
) -> torch.Tensor:
    """Positions ``(ndim, n)`` after ``niter`` steps along ``flows`` (ndim, ...) from ``starts``, both in pixels."""
    device = usable_device(device)
    return follow_field(tensor_of(flows, np.float32, device), tensor_of(starts, np.float32, device), niter, interp)


def follow_field(field: torch.Tensor, p: torch.Tensor, niter: int, interp: bool) -> torch.Tensor:
    """Like `follow`, but takes tensors."""
    limits = torch.tensor([side - 1 for side in field.shape[1:]], dtype=torch.float32, device=field.device)[:, None]
    field = torch.where(field.abs() < float(MOST), field, 0)
    field = torch.nn.functional.pad(field, (0, 1) * (field.ndim - 1))
    if interp and len(p) == 2:
        step, p, rows = _plane_step(field), p.T.contiguous(), True
    else:
        strides, flat, rows = strides_of(tuple(field.shape[1:])), field.flatten(1), False

        def step(q: torch.Tensor) -> torch.Tensor:
            return _step(q, flat, strides, limits, interp)

    for _ in range(niter % CHECK):
        p = step(p)
    for _ in range(niter // CHECK):
        before = p
        for _ in range(CHECK):
            p = step(p)
        if torch.equal(p, before):
            break
    return p.T.contiguous() if rows else p


def _plane_step(field: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """A step of positions (n, 2) in a plane (2, Y + 1, X + 1) with a rim of zeros, interpolated.

    As `_step`, with a third of its operations: both components of a pixel lie beside each other, and the four pixels
    around a position are read at one index in fields that begin elsewhere.
    """
    stride = field.shape[2]
    sides = torch.tensor(field.shape[1:], dtype=torch.float32, device=field.device) - 2
    zero = torch.zeros_like(sides)
    flat = field.flatten(1).T.contiguous()
    kind = torch.int32 if len(flat) < 2**31 else torch.int64
    begins = [flat[offset:] for offset in (0, stride, 1, stride + 1)]

    def step(p: torch.Tensor) -> torch.Tensor:
        low = p.to(kind)
        f = p - low
        index = low[:, 0] * stride + low[:, 1]
        a, below, right, far = (begin.index_select(0, index) for begin in begins)
        # Products and sums apart, in the order of the kernels: fused ones would round in another way.
        left = below.sub_(a).mul_(f[:, :1]).add_(a)
        right = far.sub_(right).mul_(f[:, :1]).add_(right)
        return right.sub_(left).mul_(f[:, 1:]).add_(left).add_(p).clamp_(zero, sides)

    return step


def _step(p: torch.Tensor, flat: torch.Tensor, strides: list[int], limits: torch.Tensor, interp: bool) -> torch.Tensor:
    if not interp:
        return (p + flat[:, index_of(list(p.long()), strides)]).clamp(min=0).minimum(limits)
    corners = [_corners(*one, volume=len(p) == 3) for one in zip(p, limits.flatten().tolist(), strict=True)]
    choices = itertools.product(*((low, high) for low, high, _ in corners))
    values = [flat[:, index_of(voxel, strides)] for voxel in choices]
    for _, _, f in corners:  # along the first axis between the two halves, and so on
        half = len(values) // 2
        values = [low + f * (high - low) for low, high in zip(values[:half], values[half:], strict=True)]
    return (p + values[0]).clamp(min=0).minimum(limits)


def _corners(position: torch.Tensor, last: float, *, volume: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The two pixels of an axis between which positions are sampled, and how far they are from the first to the second.

    Planes are sampled at the position, volumes as `_cpu._follow_kernels` does; ``last + 1`` is the rim of zeros.
    """
    if not volume or last == 0:
        low = position.long()
        return low, low + 1, position - low
    at = position * ((last + 1) / last) - 0.5
    low = at.floor().long().clamp(max=int(last))
    return torch.where(low < 0, int(last) + 1, low), low + 1, at - low
