"""The units of U-Nets in training on processors: norm, rectifier and convolution as one operation.

Beside the convolutions, memory costs the time: every new feature map needs memory that the system has to find first,
and each pass over it waits for the memory. Here norm and rectifier are one pass into one buffer that all units share.
The backward pass repeats it, where their result is needed again, so only the inputs of the units are kept. Up to
rounding, the numbers are those of the separate layers.

Everything in a unit except its convolution acts on each pixel alone, so it gives the same values before upsampling as
after it, at a quarter of the work. That holds for the statistics of a batch too, in which every pixel then counts four
times.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from cellpose.nets._threads import in_threads, threads_for
from cellpose.nets._winograd import is_winograd, winograd, winograd_input_gradient, winograd_kernel_gradient

__all__ = ["Workspace", "fused_unit", "interleaved", "is_fused", "phase_kernels"]

# Below this size of its input maps a network gains nothing: they stay in the caches of the processor.
_SMALLEST_BATCH_PX = 2**17

# Rows of an array that are worth a thread.
_SMALLEST_SLICE = 2**12


class Workspace:
    """Buffers that the units of a network share, from the start of a forward pass to the end of its backward pass."""

    def __init__(self) -> None:
        self._buffers: dict[str, Tensor] = {}

    @classmethod
    def of(cls, x: Tensor) -> Workspace | None:
        """A workspace for a batch (n, channels, y, x) that gains by it; None for others, which run layer by layer."""
        gains = (
            torch.is_grad_enabled()
            and x.device.type == "cpu"
            and x.dtype == torch.float32
            and x.ndim == 4
            and x.numel() // x.shape[1] >= _SMALLEST_BATCH_PX
            and x.is_contiguous(memory_format=torch.channels_last)
            and not torch.is_autocast_enabled("cpu")
            and not torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
            and not torch.compiler.is_compiling()
        )
        return cls() if gains else None

    def empty(self, name: str, n: int, channels: int, rows: int, columns: int) -> Tensor:
        """A buffer (n, channels, rows, columns), channels last; it still holds the values of its last use."""
        size = n * channels * rows * columns
        if name not in self._buffers or len(self._buffers[name]) < size:
            self._buffers[name] = torch.empty(size)
        return self._buffers[name][:size].view(n, rows, columns, channels).permute(0, 3, 1, 2)


def is_fused(unit: nn.Sequential, *, upsample: bool = False) -> bool:
    """Whether the layers of a unit can run as one: those of planes, in training, without hooks."""
    norm, conv = unit[0], unit[-1]
    if type(norm) is not nn.BatchNorm2d or type(conv) is not nn.Conv2d:
        return False
    watched = any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in (unit, *unit))
    trained = norm.training and norm.track_running_stats and norm.momentum is not None and norm.affine
    return trained and not watched and (not upsample or conv.kernel_size in ((1, 1), (3, 3)))


def fused_unit(
    unit: nn.Sequential,
    x: Tensor,
    work: Workspace,
    *,
    feature: Tensor | None = None,
    upsample: bool = False,
) -> tuple[Tensor, Tensor]:
    """``unit`` of ``x``, and ``x`` itself.

    Parameters
    ----------
    unit
        Norm, rectifier or none, convolution.
    x
        Features (n, channels, y, x), float32.
    feature
        Numbers (n, channels) to add to all pixels of an image first.
    upsample
        Whether ``x`` is brought to twice its size first.

    Returns
    -------
    tuple
        The result; and ``x`` for other uses, whose gradient is then added where that of this use is computed.
    """
    norm: Any = unit[0]
    conv: Any = unit[-1]
    x = x.contiguous(memory_format=torch.channels_last)
    y, same = _Unit.apply(  # type: ignore[no-untyped-call]
        x, feature, norm.weight, norm.bias, conv.weight, conv.bias, norm, work, len(unit) > 2, upsample
    )
    if upsample and conv.kernel_size == (1, 1):
        y = F.interpolate(y, scale_factor=2.0, mode="nearest")
    return y, same


class _Unit(torch.autograd.Function):
    """Norm, rectifier, convolution; see :func:`fused_unit`."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        feature: Tensor | None,
        gamma: Tensor,
        beta: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        norm: nn.BatchNorm2d,
        work: Workspace,
        relu: bool,
        upsample: bool,
    ) -> tuple[Tensor, Tensor]:
        """The output, and ``x`` itself; keeps what `backward` needs."""
        ctx.set_materialize_grads(False)
        n_images, _, rows, columns = x.shape
        n = rows * columns
        added = torch.zeros(n_images, x.shape[1]) if feature is None else feature
        # Differences from a value near the mean, so that the variance is not a small difference of large sums.
        near = x[:, :, rows // 2, columns // 2].mean(dim=0)
        sums = np.sum(_in_threads("pixel_sums", x, (near - added).contiguous().numpy(), n), axis=0)
        count = n_images * n
        mean_from_near = sums[0].sum(axis=0) / count
        variance = np.maximum(sums[1].sum(axis=0) / count - mean_from_near**2, 0)
        mean = torch.from_numpy(mean_from_near + near.double().numpy())
        inverse = torch.from_numpy(1 / np.sqrt(variance + norm.eps))
        _update_running(norm, mean, torch.from_numpy(variance), count * (4 if upsample else 1))
        scale = gamma.double() * inverse
        offset = (scale * (added.double() - mean) + beta.double()).float()
        scale = scale.float()
        ctx.lowest = 0.0 if relu else -float("inf")
        ctx.work, ctx.upsample = work, upsample
        # sum over the pixels of an image of x plus feature, less the mean
        left = torch.from_numpy(sums[0] - n * mean_from_near)
        ctx.save_for_backward(x, (mean - added.double()).float(), scale, offset, inverse, left, gamma, weight, bias)
        ctx.has_feature = feature is not None
        if is_winograd(weight):
            return winograd(x, scale, offset, ctx.lowest, weight, bias, upsample=upsample), x
        return _convolved(_normed(ctx, x, scale, offset), weight, bias, upsample=upsample), x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor | None, g_same: Tensor | None) -> tuple[Tensor | None, ...]:
        """Gradients of the ten arguments, None if there is none."""
        if g is None:
            return g_same, *(None,) * 9
        x, origin, scale, offset, inverse, left, gamma, weight, bias = ctx.saved_tensors
        g = g.contiguous(memory_format=torch.channels_last)
        g_bias = g.sum(dim=(0, 2, 3)) if bias is not None else None
        g_weight = None
        if is_winograd(weight):
            gy = winograd_input_gradient(g, weight, upsample=ctx.upsample)
            if ctx.needs_input_grad[4]:
                g_weight = winograd_kernel_gradient(g, x, scale, offset, ctx.lowest, upsample=ctx.upsample)
        else:
            gy, g_weight = _convolution_gradients(ctx, g, _normed(ctx, x, scale, offset), weight)
        n_images, _, rows, columns = x.shape
        n = rows * columns
        gy = gy.contiguous(memory_format=torch.channels_last)
        arrays = [a.numpy() for a in (scale, offset, origin)]
        parts = _in_threads("norm_relu_sums", x, _pixels(gy), *arrays, ctx.lowest, n)
        sums = torch.from_numpy(np.sum(parts, axis=0))
        g_beta, times_x = sums[0].sum(dim=0), sums[1].sum(dim=0)
        g_gamma = times_x * inverse
        count = n_images * n
        # The mean and the variance depend on every pixel: Ioffe and Szegedy, ICML 2015, section 3.
        step = gamma.double() * inverse
        slope = -step * inverse * g_gamma / count
        level = -step * g_beta / count - slope * origin.double()
        _in_threads("norm_gradient", x, _pixels(gy), scale.numpy(), slope.float().numpy(), level.float().numpy(), n)
        g_feature = None
        if ctx.has_feature:
            g_feature = (step * (sums[0] - n * g_beta / count) + slope * left).float()
        gx = gy if g_same is None else gy.add_(g_same)
        return gx, g_feature, g_gamma.float(), g_beta.float(), g_weight, g_bias, None, None, None, None


def _normed(ctx: Any, x: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    """Norm and rectifier of ``x`` in the buffer that all units share."""
    y: Tensor = ctx.work.empty("normed", *x.shape)
    n = x.shape[2] * x.shape[3]
    _in_threads("norm_relu", x, scale.numpy(), offset.numpy(), ctx.lowest, n, _pixels(y))
    return y


def _update_running(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor, count: int) -> None:
    """The running statistics of a batch of ``count`` pixels; the variance is the sample variance."""
    momentum = float(norm.momentum or 0.0)
    for running, now in ((norm.running_mean, mean), (norm.running_var, variance * (count / max(count - 1, 1)))):
        if running is not None:
            running.copy_((1 - momentum) * running.double() + momentum * now)
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)


# ------------------------------------------------------------------------------------------------------ convolutions


def _convolved(y: Tensor, weight: Tensor, bias: Tensor | None, *, upsample: bool) -> Tensor:
    side = weight.shape[-1]
    if side == 1:
        return _as_planes(F.conv2d(_as_rows(y), weight, bias), y)
    if not upsample:
        return F.conv2d(y, weight, bias, padding=side // 2)
    kernels = phase_kernels(weight).contiguous(memory_format=torch.channels_last)
    return interleaved(F.conv2d(y, kernels, None if bias is None else bias.repeat(4), padding=1))


def _convolution_gradients(ctx: Any, g: Tensor, y: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients with respect to ``y`` and the kernels."""
    side = weight.shape[-1]
    if side == 1:
        gy, g_weight, _ = _conv_backward(_as_rows(g), _as_rows(y), weight, 0)
        return _as_planes(gy, y), g_weight
    if not ctx.upsample:
        gy, g_weight, _ = _conv_backward(g, y, weight, side // 2)
        return gy, g_weight
    with torch.enable_grad():
        leaf = weight.detach().requires_grad_()
        kernels = phase_kernels(leaf)
    phases = _taken_apart(g, ctx.work)
    gy, g_kernels, _ = _conv_backward(phases, y, kernels.detach().contiguous(memory_format=torch.channels_last), 1)
    (g_weight,) = torch.autograd.grad(kernels, leaf, g_kernels)
    return gy, g_weight


def _conv_backward(g: Tensor, y: Tensor, weight: Tensor, padding: int) -> tuple[Tensor, Tensor, Tensor]:
    return torch.ops.aten.convolution_backward(  # type: ignore[no-any-return]
        g, y, weight, None, [1, 1], [padding, padding], [1, 1], False, [0, 0], 1, [True, True, False]
    )


def phase_kernels(weight: Tensor) -> Tensor:
    """Kernels of side 2 that give the four combinations of even and odd pixels of a convolution after upsampling.

    Three neighbors of an upsampled pixel come from only two pixels of the image along each axis: the one before and
    its own for even positions, its own and the one after for odd ones. The taps of kernels (n_out, n_in, 3, 3) that
    fall on the same pixel are summed, which gives (4 n_out, n_in, 2, 2), with 16 instead of 36 products per pixel.
    """
    before, own, after = weight.unbind(dim=2)
    by_row = (torch.stack((before, own + after), dim=2), torch.stack((before + own, after), dim=2))
    kernels = []
    for kernel in by_row:
        before, own, after = kernel.unbind(dim=3)
        kernels += [torch.stack((before, own + after), dim=3), torch.stack((before + own, after), dim=3)]
    return torch.cat(kernels)


def interleaved(phases: Tensor) -> Tensor:
    """Image (n, c, 2 y, 2 x) of its four combinations of even and odd pixels, (n, 4 c, y + 1, x + 1) with a margin."""
    n, channels, rows, columns = phases.shape
    rows, columns = rows - 1, columns - 1
    channels_last = phases.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    y = torch.empty((n, channels // 4, 2 * rows, 2 * columns), dtype=phases.dtype, memory_format=layout)
    for i, phase in enumerate(phases.chunk(4, dim=1)):
        row, column = divmod(i, 2)
        y[:, :, row::2, column::2] = phase[:, :, row : row + rows, column : column + columns]
    return y


def _taken_apart(g: Tensor, work: Workspace) -> Tensor:
    """Gradient of :func:`interleaved`."""
    n, channels, rows, columns = g.shape
    rows, columns = rows // 2, columns // 2
    phases = work.empty("phases", n, 4 * channels, rows + 1, columns + 1).zero_()
    for i, phase in enumerate(phases.chunk(4, dim=1)):
        row, column = divmod(i, 2)
        phase[:, :, row : row + rows, column : column + columns] = g[:, :, row::2, column::2]
    return phases


# ------------------------------------------------------------------------------------------------------ arrays


def _flat(x: Tensor) -> Tensor:
    """Channels-last (n, c, y, x) as (n * y * x, c), without a copy."""
    return x.permute(0, 2, 3, 1).view(-1, x.shape[1])


def _as_rows(x: Tensor) -> Tensor:
    """Channels-last (n, c, y, x) as (n * y, c, 1, x): torch has fast kernels of side 1 only for many images."""
    n, channels, rows, columns = x.shape
    return x.permute(0, 2, 3, 1).view(n * rows, 1, columns, channels).permute(0, 3, 1, 2)


def _as_planes(x: Tensor, like: Tensor) -> Tensor:
    """The reverse of :func:`_as_rows`, for results; a new tensor, not a view, so that others may write into it."""
    n, _, rows, columns = like.shape
    x = x.contiguous(memory_format=torch.channels_last)
    planes = torch.empty(0)
    size = n, x.shape[1], rows, columns
    return planes.set_(x.untyped_storage(), x.storage_offset(), size, _strides(size))


def _strides(size: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    _, channels, rows, columns = size
    return rows * columns * channels, 1, columns * channels, channels


def _pixels(x: Tensor) -> Any:
    return _flat(x.detach()).numpy()


def _in_threads(kernel: str, x: Tensor, *args: Any) -> list[Any]:
    """A kernel over slices of the pixels of ``x``, in as many threads as torch has; the results in order."""
    from cellpose.nets import _kernels

    call: Callable[..., Any] = getattr(_kernels, kernel)
    pixels = _pixels(x)
    n_slices = threads_for(len(pixels) // _SMALLEST_SLICE)
    edges = [int(edge) for edge in np.linspace(0, len(pixels), n_slices + 1)]
    return in_threads(lambda edge: call(*edge, pixels, *args), list(pairwise(edges)))
