"""CPnet, the residual U-Net of Cellpose 1 to 3, and its published ablations.

Sources: Stringer et al., Nature Methods 18 (2021), Methods, "Neural network architecture", for the network and its
ablations; Stringer and Pachitariu, Nature Methods 22 (2025), for the use as a restoration network.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cellpose.errors import OptionError, WeightsError
from cellpose.nets._base import NetFile
from cellpose.nets._training import Workspace, fused_unit, interleaved, is_fused, phase_kernels

__all__ = ["CPnet"]

logger = logging.getLogger(__name__)

# Momentum of the running statistics: each new batch counts this much.
_MOMENTUM = 0.05


def norm(channels: int, conv_3D: bool) -> nn.Module:
    """Batch normalization of planes or of volumes."""
    return (nn.BatchNorm3d if conv_3D else nn.BatchNorm2d)(channels, eps=1e-5, momentum=_MOMENTUM)


def conv(n_in: int, n_out: int, size: int, conv_3D: bool) -> nn.Module:
    """A convolution of planes or of volumes that keeps their size."""
    return (nn.Conv3d if conv_3D else nn.Conv2d)(n_in, n_out, size, padding=size // 2)


def norm_relu_conv(n_in: int, n_out: int, size: int, conv_3D: bool) -> nn.Sequential:
    """Normalised, rectified, convolved: the building block of the network."""
    return nn.Sequential(norm(n_in, conv_3D), nn.ReLU(inplace=True), conv(n_in, n_out, size, conv_3D))


def _norm_conv(n_in: int, n_out: int, conv_3D: bool) -> nn.Sequential:
    return nn.Sequential(norm(n_in, conv_3D), conv(n_in, n_out, 1, conv_3D))


def _upsample(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def _unit(
    unit: Any, x: Tensor, work: Workspace | None, *, feature: Tensor | None = None, upsample: bool = False
) -> tuple[Tensor, Tensor]:
    """``unit`` of ``x`` plus ``feature`` (n, channels), at twice its size where ``upsample``; and ``x`` for other uses.

    ``work`` is given in training where it pays to run the layers as one.
    """
    if work is not None and is_fused(unit, upsample=upsample):
        return fused_unit(unit, x, work, feature=feature, upsample=upsample)
    moved = x if feature is None else x + feature.reshape(*feature.shape, *(1,) * (x.ndim - 2))
    return _upsampled(unit, moved) if upsample else unit(moved), x


def _upsampled(unit: nn.Sequential, x: Tensor) -> Tensor:
    """``unit`` of ``x`` at twice its size.

    Everything in a unit except its last convolution acts on each pixel alone and so gives the same values before and
    after nearest-neighbor upsampling, at a quarter of the work. Not in training, where batch statistics count pixels.
    """
    if unit[0].training:
        return unit(_upsample(x))  # type: ignore[no-any-return]
    *pointwise, conv = unit
    for layer in pointwise:
        x = layer(x)
    if conv.kernel_size[0] == 1:  # type: ignore[index]
        return _upsample(conv(x))
    exporting = torch.jit.is_tracing() or torch.compiler.is_compiling()  # type: ignore[attr-defined, no-untyped-call]
    if x.device.type == "cpu" and x.dtype == torch.float32 and conv.kernel_size == (3, 3) and not exporting:
        return _conv_of_upsampled(conv, x)  # type: ignore[arg-type]
    return conv(_upsample(x))  # type: ignore[no-any-return]


def _conv_of_upsampled(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """``conv(_upsample(x))`` for kernels of side 3, with 16 instead of 36 products per pixel of ``x``."""
    channels_last = x.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    bias = None if conv.bias is None else conv.bias.repeat(4)
    return interleaved(F.conv2d(x, phase_kernels(conv.weight).contiguous(memory_format=layout), bias, padding=1))


class StyleConv(nn.Module):
    """Joins the decoder with the skip connection, adds the style to every pixel, convolves."""

    def __init__(self, n_in: int, n_out: int, n_style: int, size: int, conv_3D: bool, concatenation: bool) -> None:
        super().__init__()
        self.concatenation = concatenation
        width = 2 * n_in if concatenation else n_in
        self.conv = norm_relu_conv(width, n_out, size, conv_3D)
        self.full = nn.Linear(n_style, width)

    def forward(
        self, x: Tensor, style: Tensor, skip: Tensor | None = None, work: Workspace | None = None
    ) -> tuple[Tensor, Tensor]:
        """The result, and the input of the convolution before the style was added."""
        if skip is not None:
            x = torch.cat((skip, x), dim=1) if self.concatenation else x + skip
        return _unit(self.conv, x, work, feature=self.full(style))


class ResDown(nn.Module):
    """Encoder level with residual connections: four convolutions and a projection."""

    def __init__(self, n_in: int, n_out: int, size: int, conv_3D: bool) -> None:
        super().__init__()
        units = [(f"conv_{t}", norm_relu_conv(n_out if t else n_in, n_out, size, conv_3D)) for t in range(4)]
        self.conv = nn.Sequential(OrderedDict(units))
        self.proj = _norm_conv(n_in, n_out, conv_3D)

    def forward(self, x: Tensor, work: Workspace | None = None) -> Tensor:
        """Two residual pairs of convolutions on ``x`` (n, channel, y, x)."""
        c0, c1, c2, c3 = self.conv
        a, x = _unit(c0, x, work)
        h = _unit(self.proj, x, work)[0].add_(_unit(c1, a, work)[0])
        a, h = _unit(c2, h, work)
        return _unit(c3, a, work)[0].add_(h)


class _ConvDown(nn.Module):
    """Encoder level without residual connections: two convolutions."""

    def __init__(self, n_in: int, n_out: int, size: int, conv_3D: bool) -> None:
        super().__init__()
        units = [(f"conv_{t}", norm_relu_conv(n_out if t else n_in, n_out, size, conv_3D)) for t in range(2)]
        self.conv = nn.Sequential(OrderedDict(units))

    def forward(self, x: Tensor, work: Workspace | None = None) -> Tensor:
        """One pair of convolutions on ``x`` (n, channel, y, x)."""
        c0, c1 = self.conv
        return _unit(c1, _unit(c0, x, work)[0], work)[0]


class ResUp(nn.Module):
    """Decoder level with residual connections."""

    def __init__(self, n_in: int, n_out: int, n_style: int, size: int, conv_3D: bool, concatenation: bool) -> None:
        super().__init__()
        units: list[tuple[str, nn.Module]] = [("conv_0", norm_relu_conv(n_in, n_out, size, conv_3D))]
        for t in range(1, 4):
            # Only the first joins the skip connection and is widened by concatenation.
            units.append((f"conv_{t}", StyleConv(n_out, n_out, n_style, size, conv_3D, concatenation and t == 1)))
        self.conv = nn.Sequential(OrderedDict(units))
        self.proj = _norm_conv(n_in, n_out, conv_3D)

    def forward(
        self, x: Tensor, style: Tensor, skip: Tensor, work: Workspace | None = None, *, upsample: bool
    ) -> Tensor:
        """Two residual pairs of convolutions on ``x``, with ``style`` (n, style) and ``skip`` (n, channel, y, x)."""
        c0, c1, c2, c3 = self.conv
        a, x = _unit(c0, x, work, upsample=upsample)
        h = _unit(self.proj, x, work, upsample=upsample)[0].add_(c1(a, style, skip, work)[0])
        a, h = c2(h, style, None, work)
        return c3(a, style, None, work)[0].add_(h)  # type: ignore[no-any-return]


class _ConvUp(nn.Module):
    """Decoder level without residual connections."""

    def __init__(self, n_in: int, n_out: int, n_style: int, size: int, conv_3D: bool, concatenation: bool) -> None:
        super().__init__()
        units: list[tuple[str, nn.Module]] = [
            ("conv_0", norm_relu_conv(n_in, n_out, size, conv_3D)),
            ("conv_1", StyleConv(n_out, n_out, n_style, size, conv_3D, concatenation)),
        ]
        self.conv = nn.Sequential(OrderedDict(units))

    def forward(
        self, x: Tensor, style: Tensor, skip: Tensor, work: Workspace | None = None, *, upsample: bool
    ) -> Tensor:
        """One pair of convolutions on ``x``, with ``style`` (n, style) and ``skip`` (n, channel, y, x)."""
        c0, c1 = self.conv
        a, _ = _unit(c0, x, work, upsample=upsample)
        return c1(a, style, skip, work)[0]  # type: ignore[no-any-return]


class Downsample(nn.Module):
    """The encoder: one feature map per level, each half the size of the one before."""

    def __init__(self, nbase: Sequence[int], size: int, conv_3D: bool, max_pool: bool, residual_on: bool) -> None:
        super().__init__()
        block, name = (ResDown, "res_down") if residual_on else (_ConvDown, "conv_down")
        levels = [(f"{name}_{n}", block(nbase[n], nbase[n + 1], size, conv_3D)) for n in range(len(nbase) - 1)]
        self.down = nn.Sequential(OrderedDict(levels))
        pools = {
            (True, False): nn.MaxPool2d,
            (True, True): nn.MaxPool3d,
            (False, False): nn.AvgPool2d,
            (False, True): nn.AvgPool3d,
        }
        self.maxpool = pools[max_pool, conv_3D](2, 2)

    def forward(self, x: Tensor, work: Workspace | None = None) -> list[Tensor]:
        """The outputs of all levels, (n, channel, y, x), each half as large as the one before."""
        features: list[Tensor] = []
        for level in self.down:
            features.append(level(self.maxpool(features[-1]) if features else x, work))
        return features


class Style(nn.Module):
    """The style of an image: the direction of its mean feature vector."""

    def forward(self, features: Tensor) -> Tensor:
        """The style (n, channel), of length 1, of the features (n, channel, y, x) of the deepest level."""
        low_precision = features.dtype in (torch.float16, torch.bfloat16)
        mean = features.mean(dim=tuple(range(2, features.ndim)), dtype=torch.float32 if low_precision else None)
        square = (mean * mean).sum(dim=1, keepdim=True)
        # A vector of zeros has no direction: it stays zero, and so does its gradient, where a division gives NaN.
        style = mean / torch.where(square > 0, square, torch.ones_like(square)).sqrt()
        return style.to(features.dtype)


class Upsample(nn.Module):
    """The decoder: from the coarsest feature map back to the size of the image."""

    def __init__(self, nbase: Sequence[int], size: int, conv_3D: bool, residual_on: bool, concatenation: bool) -> None:
        super().__init__()
        block, name = (ResUp, "res_up") if residual_on else (_ConvUp, "conv_up")
        # The coarsest level keeps its width; the finest gives the width of the first encoder level.
        widths = [*nbase[1:], nbase[-1]]
        levels = [
            (f"{name}_{n}", block(widths[n + 1], widths[n], nbase[-1], size, conv_3D, concatenation))
            for n in range(len(nbase) - 1)
        ]
        self.up = nn.Sequential(OrderedDict(levels))

    def forward(self, style: Tensor, features: Sequence[Tensor], work: Workspace | bool | None = None) -> Tensor:
        """From the features of all levels to those of the full size (n, channel, y, x)."""
        # Networks derived from CPnet pass the flag `mkldnn` here, which has no effect.
        work = None if isinstance(work, bool) else work
        x = features[-1]
        for n in range(len(self.up) - 1, -1, -1):
            x = self.up[n](x, style, features[n], work, upsample=n < len(self.up) - 1)
        return x


class CPnet(NetFile):
    """Residual U-Net with a style vector; segmentation (3 outputs: dY, dX, cell probability) or restoration (1).

    Parameters
    ----------
    nbase
        Channels of the input and of each level, ``[nchan, 32, 64, 128, 256]`` in all published files. The last one is
        also the length of the style.
    nout
        Number of output channels.
    sz
        Side of the convolution kernels, odd.
    mkldnn
        Accepted for scripts that pass it; torch picks its CPU kernels by itself.
    conv_3D
        Volumes instead of planes in every layer.
    max_pool
        Maximum pooling between levels; otherwise the mean.
    diam_mean
        Diameter in pixels to which cells are rescaled before the network sees them.
    residual_on, style_on, concatenation
        The ablations of the paper: without residual connections, with a style of zeros in the decoder, with skip
        connections concatenated instead of added.
    classes
        The outputs are scores of background and cell (``nout=2``) or also boundary (``nout=3``) instead of flows: the
        plain U-Nets to which the paper compares.

    Examples
    --------
    >>> net = CPnet([2, 4, 8], nout=3, sz=3).eval()
    >>> y, style, downs = net(torch.zeros(1, 2, 16, 24))
    >>> y.shape, style.shape, len(downs)
    (torch.Size([1, 3, 16, 24]), torch.Size([1, 8]), 2)
    """

    default_bsize = 224
    backbone = "cpnet"

    def __init__(
        self,
        nbase: Sequence[int],
        nout: int = 3,
        sz: int = 3,
        mkldnn: bool = False,
        conv_3D: bool = False,
        max_pool: bool = True,
        diam_mean: float = 30.0,
        residual_on: bool = True,
        style_on: bool = True,
        concatenation: bool = False,
        *,
        classes: bool = False,
    ) -> None:
        super().__init__()
        if classes and nout not in (2, 3):
            message = f"nout={nout} is not allowed with classes=True; 2 are background and cell, 3 also boundary"
            raise OptionError(message)
        if len(nbase) < 2 or min(nbase) < 1:
            message = (
                f"nbase={list(nbase)!r} is not allowed; it is [input channels, channels of level 1, ...], "
                "e.g. [2, 32, 64, 128, 256]"
            )
            raise OptionError(message)
        if sz < 1 or sz % 2 == 0:
            message = f"sz={sz!r} is not allowed; the side of the kernels must be odd, e.g. 3"
            raise OptionError(message)
        self.nbase = [int(n) for n in nbase]
        self.nchan, self.nout, self.sz = self.nbase[0], nout, sz
        self.mkldnn, self.conv_3D, self.max_pool = mkldnn, conv_3D, max_pool
        self.residual_on, self.style_on, self.concatenation = residual_on, style_on, concatenation
        self.classes, self.style_size = classes, self.nbase[-1]
        self.diam_mean = nn.Parameter(torch.full((1,), float(diam_mean)), requires_grad=False)
        self.diam_labels = nn.Parameter(torch.full((1,), float(diam_mean)), requires_grad=False)
        self.downsample = Downsample(self.nbase, sz, conv_3D, max_pool, residual_on)
        self.upsample = Upsample(self.nbase, sz, conv_3D, residual_on, concatenation)
        self.make_style = Style()
        self.output = norm_relu_conv(self.nbase[1], nout, 1, conv_3D)

    def forward(self, data: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Outputs, style and encoder features of a batch.

        Parameters
        ----------
        data
            Images, float (n, nchan, y, x), or (n, nchan, z, y, x) with ``conv_3D``. Every side must be a multiple of
            ``2 ** (levels - 1)``, 8 in the published networks.

        Returns
        -------
        tuple
            Outputs (n, nout, y, x); unit style vectors (n, nbase[-1]), zeros where all features are zero; the feature
            map of each encoder level, finest first.
        """
        work = Workspace.of(data) if self.training else None
        features = self.downsample(data, work)
        style = self.make_style(features[-1])
        y = self.upsample(style if self.style_on else style * 0, features, work)
        return _unit(self.output, y, work)[0], style, features

    def check_family(self, state: Mapping[str, Any], filename: str) -> None:
        """Raise WeightsError if ``state`` is not that of a U-Net."""
        if "W2" in state:
            message = f"{filename} is a Cellpose-SAM file, not a U-Net; load it with CellposeModel or nets.CPSAM"
            raise WeightsError(message)
        if "output.2.weight" not in state:
            message = f"{filename} is not a Cellpose U-Net: it has no output layer (output.2.weight); give another file"
            raise WeightsError(message)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load tensors; where the file has another number of outputs, its head is left out and the present one stays.

        That lets a segmentation file start the training of a network with another head.
        """
        head = state_dict.get("output.2.weight")
        if head is not None and head.shape[0] != self.nout:
            logger.warning(
                "the file has %d outputs and this network %d: its last layer is not loaded", len(head), self.nout
            )
            body = {key: value for key, value in state_dict.items() if "output" not in key}
            result = super().load_state_dict(body, strict=False, assign=assign)
            result.missing_keys[:] = [key for key in result.missing_keys if "output" not in key]
            return result
        return super().load_state_dict(state_dict, strict=strict, assign=assign)
