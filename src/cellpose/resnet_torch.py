"""The residual U-Net and its parts under the names that scripts for Cellpose 1 to 3 import."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from cellpose.nets import CPnet
from cellpose.nets.cpnet import (
    Downsample,
    ResDown,
    ResUp,
    Style,
    StyleConv,
    Upsample,
    conv,
    norm,
    norm_relu_conv,
)

__all__ = [
    "CPnet",
    "CPnetBioImageIO",
    "batchconv",
    "batchconv0",
    "batchconvstyle",
    "downsample",
    "make_style",
    "resdown",
    "resup",
    "upsample",
]


class CPnetBioImageIO(CPnet):
    """CPnet that returns one flat tuple of tensors, as BioImage.IO runners expect."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        """Outputs, style, and the feature map of each encoder level, finest first."""
        output, style, features = super().forward(x)
        return output, style, *features


def batchconv(in_channels: int, out_channels: int, sz: int, conv_3D: bool = False) -> nn.Sequential:
    """Batch norm, rectifier, convolution with kernels of side ``sz``."""
    return norm_relu_conv(in_channels, out_channels, sz, conv_3D)


def batchconv0(in_channels: int, out_channels: int, sz: int, conv_3D: bool = False) -> nn.Sequential:
    """Batch norm and convolution with kernels of side ``sz``."""
    return nn.Sequential(norm(in_channels, conv_3D), conv(in_channels, out_channels, sz, conv_3D))


class resdown(ResDown):
    """Encoder level: four convolutions with residual connections."""

    def __init__(self, in_channels: int, out_channels: int, sz: int, conv_3D: bool = False) -> None:
        super().__init__(in_channels, out_channels, sz, conv_3D)


class downsample(Downsample):
    """The encoder: a list of feature maps, each half the size of the one before."""

    def __init__(self, nbase: Sequence[int], sz: int, conv_3D: bool = False, max_pool: bool = True) -> None:
        super().__init__(nbase, sz, conv_3D, max_pool, residual_on=True)


class batchconvstyle(StyleConv):
    """Adds the style, and where it is given the skip connection ``y``, and convolves."""

    def __init__(
        self, in_channels: int, out_channels: int, style_channels: int, sz: int, conv_3D: bool = False
    ) -> None:
        super().__init__(in_channels, out_channels, style_channels, sz, conv_3D, concatenation=False)

    def forward(  # type: ignore[override]
        self, style: Tensor, x: Tensor, mkldnn: bool = False, y: Tensor | None = None
    ) -> Tensor:
        """Features (n, out_channels, y, x); ``mkldnn`` has no effect."""
        return super().forward(x, style, y)[0]


class resup(ResUp):
    """Decoder level: four convolutions with residual connections, the skip connection and the style."""

    def __init__(
        self, in_channels: int, out_channels: int, style_channels: int, sz: int, conv_3D: bool = False
    ) -> None:
        super().__init__(in_channels, out_channels, style_channels, sz, conv_3D, concatenation=False)

    def forward(self, x: Tensor, y: Tensor, style: Tensor, mkldnn: bool = False) -> Tensor:  # type: ignore[override]
        """Features of ``x`` joined with the encoder level ``y``; ``mkldnn`` has no effect."""
        return super().forward(x, style, y, upsample=False)


class make_style(Style):
    """The style of an image: the direction of its mean feature vector."""

    def __init__(self, conv_3D: bool = False) -> None:
        super().__init__()

    def forward(self, x0: Tensor) -> Tensor:
        """Unit vectors (n, channels) of features (n, channels, y, x)."""
        return super().forward(x0)


class upsample(Upsample):
    """The decoder; ``nbase`` are the widths of its levels, the coarsest twice: ``[32, 64, 128, 256, 256]``."""

    def __init__(self, nbase: Sequence[int], sz: int, conv_3D: bool = False) -> None:
        super().__init__([0, *nbase[:-1]], sz, conv_3D, residual_on=True, concatenation=False)

    def forward(self, style: Tensor, xd: Sequence[Tensor], mkldnn: bool = False) -> Tensor:  # type: ignore[override]
        """Features of the finest level from the style and the maps of the encoder; ``mkldnn`` has no effect."""
        return super().forward(style, xd)
