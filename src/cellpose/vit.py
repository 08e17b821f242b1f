"""The transformers under the module name that scripts for Cellpose 4 import."""

from __future__ import annotations

from torch import Tensor

from cellpose._face.also import other_names
from cellpose.nets import CPDINO, CPSAM
from cellpose.nets import NetFile as BaseModel

__all__ = ["CPDINO", "CPSAM", "BaseModel", "CPnetBioImageIO"]

__getattr__ = other_names("vit")


class CPnetBioImageIO(CPSAM):
    """CPSAM that returns a flat tuple of tensors, as BioImage.IO runners expect."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        """Outputs and style."""
        return super().forward(x)
