"""Convolutions of 3 x 3 pixels and their gradients on processors, with a quarter of the products.

Features are tensors (n, channels, y, x), float32, channels last. Norm and rectifier are part of the convolution, and
recomputed for the gradient of its kernels, so the values in between are never in memory as a whole. Source: see
``_vector_code.py``; the gradients are the transposed steps in reverse.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from cellpose.nets._threads import in_threads, threads_for

__all__ = ["is_winograd", "winograd", "winograd_input_gradient", "winograd_kernel_gradient"]


def is_winograd(weight: Tensor) -> bool:
    """Whether there are kernels for a convolution: of side 3, channels in whole vectors."""
    if weight.shape[2:] != (3, 3):
        return False
    from cellpose.nets._vector_code import LANES

    return weight.shape[0] % LANES == 0 and weight.shape[1] % LANES == 0


def winograd(
    x: Tensor, scale: Tensor, offset: Tensor, lowest: float, weight: Tensor, bias: Tensor | None, *, upsample: bool
) -> Tensor:
    """Convolution of ``max(lowest, scale * x + offset)``, at twice its size where ``upsample``.

    ``scale`` are numbers (channels), ``offset`` (n, channels).
    """
    from cellpose.nets import _convolution as kernels

    convolve = kernels.convolve_doubled if upsample else kernels.convolve
    (n, n_in, rows, columns), n_out = _size(x, upsample=upsample), len(weight)
    out = _empty(n, n_out, rows, columns)
    kernel = _at_points(weight, upsample=upsample)
    added = np.zeros(n_out, np.float32) if bias is None else bias.numpy()
    images, shifts, results = _images(x), offset.numpy(), _images(out)

    def run(i: int) -> None:
        operands = n_in, scale.numpy(), shifts[i], np.float32(lowest), kernel, added
        convolve(images[i], rows, columns, *operands, results[i], n_out, False, 0, 1)

    in_threads(run, range(n))
    return out


def winograd_input_gradient(g: Tensor, weight: Tensor, *, upsample: bool) -> Tensor:
    """Gradient with respect to the input of the convolution, from that of the result."""
    from cellpose.nets._convolution import convolve, halve

    (n, n_out, rows, columns), n_in = g.shape, weight.shape[1]
    gx = _empty(n, n_in, rows // 2, columns // 2) if upsample else _empty(n, n_in, rows, columns)
    kernel = _at_points(weight.flip(2, 3).transpose(0, 1), upsample=False)
    one, none = np.ones(n_out, np.float32), np.zeros(max(n_in, n_out), np.float32)
    images, results = _images(g), _images(gx)

    def run(i: int) -> None:
        out = np.empty(rows * columns * n_in, np.float32) if upsample else results[i]
        operands = n_out, one, none, np.float32(-np.inf), kernel, none
        convolve(images[i], rows, columns, *operands, out, n_in, False, 0, 1)
        if upsample:
            halve(out, rows // 2, columns // 2, n_in, True, results[i], 0, 1)

    in_threads(run, range(n))
    return gx


def winograd_kernel_gradient(
    g: Tensor, x: Tensor, scale: Tensor, offset: Tensor, lowest: float, *, upsample: bool
) -> Tensor:
    """Gradient with respect to the kernels, (n_out, n_in, 3, 3); arguments as of :func:`winograd`."""
    from cellpose.nets import _convolution as kernels

    kernel_gradient = kernels.doubled_kernel_gradient if upsample else kernels.kernel_gradient
    (n, n_in, rows, columns), n_out = _size(x, upsample=upsample), g.shape[1]
    images, gradients, shifts = _images(x), _images(g), offset.numpy()
    parts = np.array_split(np.arange(n), threads_for(n))
    matrix = _matrix(upsample=upsample)
    sums = torch.zeros((len(parts), len(matrix) * n_in * n_out))

    def run(part: int) -> None:
        for i in parts[part]:
            operands = n_in, scale.numpy(), shifts[i], np.float32(lowest)
            kernel_gradient(images[i], rows, columns, *operands, gradients[i], n_out, sums[part].numpy())

    in_threads(run, range(len(parts)))
    by_tap = matrix.T @ sums.sum(dim=0).view(len(matrix), -1)
    return by_tap.view(3, 3, n_in, n_out).permute(3, 2, 0, 1).contiguous()


def _matrix(*, upsample: bool) -> Tensor:
    """Numbers at the points from the 9 taps of a kernel."""
    from cellpose.nets._convolution import DOUBLED_KERNELS, KERNELS

    return torch.from_numpy((DOUBLED_KERNELS if upsample else KERNELS).astype(np.float32))


def _at_points(weight: Tensor, *, upsample: bool) -> Any:
    """Kernels (n_out, n_in, 3, 3) as seen from the points, (points, n_in, n_out), each of them packed; flat."""
    from cellpose.nets._convolution import packed

    by_tap = torch.from_numpy(packed(weight.detach().permute(2, 3, 1, 0).reshape(9, *weight.shape[1::-1]).numpy()))
    # With torch: the threads of numpy's products would busy-wait for the next one.
    return (_matrix(upsample=upsample) @ by_tap).view(-1).numpy()


def _size(x: Tensor, *, upsample: bool) -> tuple[int, int, int, int]:
    n, channels, rows, columns = x.shape
    return (n, channels, 2 * rows, 2 * columns) if upsample else (n, channels, rows, columns)


def _empty(n: int, channels: int, rows: int, columns: int) -> Tensor:
    return torch.empty((n, channels, rows, columns), memory_format=torch.channels_last)


def _images(x: Tensor) -> Any:
    """Channels-last features as (n, numbers of an image), without a copy."""
    return x.detach().permute(0, 2, 3, 1).reshape(len(x), -1).numpy()
