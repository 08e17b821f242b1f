"""Names of models and their files, under the names that scripts know."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from cellpose import weights
from cellpose.weights import PUBLISHED

__all__ = [
    "MODEL_NAMES",
    "NORMALIZE_DEFAULT",
    "size_model_path",
]

#: Names that may be given as a model: the bundled one and all published segmentation models.
MODEL_NAMES: list[str] = [
    weights.BUNDLED,
    *(name for name, info in PUBLISHED.items() if info.task == "segmentation" and info.supported),
]

# A copy for scripts to look at and build upon. Nothing here reads it, so that changing it changes no result.
NORMALIZE_DEFAULT: dict[str, Any] = {
    "lowhigh": None,
    "percentile": None,
    "normalize": True,
    "norm3D": True,
    "sharpen_radius": 0,
    "smooth_radius": 0,
    "tile_norm_blocksize": 0,
    "tile_norm_smooth3D": 1,
    "invert": False,
}


def size_model_path(model_type: str | os.PathLike[str]) -> str:
    """Path of the size model of a model, or beside a weight file.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    return str(weights.size_model_path(model_type))


def models_folder() -> Path:
    """The folder of downloaded and user models."""
    return Path(weights.model_dir())
