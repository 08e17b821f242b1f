"""Pixels follow the flows, with compiled kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._machine.threads import run_sliced

__all__ = ["FEWEST_PIXELS", "field_of", "follow", "words_of"]

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]

FEWEST_PIXELS = 4096  # pixels worth a thread


def field_of(
    flows: Array, cellprob: Array, threshold: float, divisor: float, divisor_z: float | None = None
) -> Float32:
    """The field that the kernels follow: ``flows / divisor`` where ``cellprob > threshold``, else zero.

    Parameters
    ----------
    flows
        ``(2, Y, X)`` or ``(3, Z, Y, X)``. Values that are not finite count as zero.
    cellprob
        ``(Y, X)`` or ``(Z, Y, X)``.
    divisor_z
        Divisor of the first component of a volume; None: ``divisor``.

    Returns
    -------
    float32 array (Y + 1, X + 1, 2) or (Z + 1, Y + 1, X + 1, 3)
    """
    from cellpose.dynamics._cpu import _follow_kernels as kernels

    field = np.empty((*(side + 1 for side in cellprob.shape), len(flows)), np.float32)
    for axis in range(cellprob.ndim):
        np.moveaxis(field, axis, 0)[-1] = 0
    args: tuple[Any, ...] = (np.float32(threshold), np.float32(divisor))
    if cellprob.ndim == 3:
        args = (*args, np.float32(divisor if divisor_z is None else divisor_z))
    run_sliced(
        kernels.field_plane if cellprob.ndim == 2 else kernels.field_volume,
        len(cellprob),
        np.ascontiguousarray(flows, np.float32),
        np.ascontiguousarray(cellprob, np.float32),
        *args,
        field,
        smallest=max(1, FEWEST_PIXELS * len(cellprob) // max(cellprob.size, 1)),
    )
    return field


def words_of(field: Float32) -> Array:
    """The field as the kernels read it: for planes both components of a pixel in one 64-bit word."""
    flat = field.reshape(-1)
    return flat.view(np.uint64) if field.shape[-1] == 2 else flat


def follow(flows: Array, starts: Float32, niter: int, interp: bool) -> Float32:
    """Positions ``(ndim, n)`` after ``niter`` steps along ``flows`` (ndim, ...) from ``starts``, both in pixels."""
    from cellpose.dynamics._cpu import _follow_kernels as kernels

    shape = flows.shape[1:]
    field = field_of(flows, np.ones(shape, np.float32), 0.0, 1.0)
    end = np.empty_like(starts)
    kernel = kernels.follow_plane if len(shape) == 2 else kernels.follow_volume
    args = (starts, words_of(field), shape, niter, interp, end)
    run_sliced(kernel, starts.shape[1], *args, smallest=FEWEST_PIXELS)
    return end
