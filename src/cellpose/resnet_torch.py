"""The residual U-Net under the module name that scripts for Cellpose 1 to 3 import."""

from __future__ import annotations

from torch import Tensor

from cellpose.nets import CPnet

__all__ = ["CPnet", "CPnetBioImageIO"]


class CPnetBioImageIO(CPnet):
    """CPnet that returns one flat tuple of tensors, as BioImage.IO runners expect."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        """Outputs, style, and the feature map of each encoder level, finest first."""
        output, style, features = super().forward(x)
        return output, style, *features
