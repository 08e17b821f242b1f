"""Names of models and their files, under the names that scripts know."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from cellpose import nets, weights
from cellpose._face.keywords import also_called
from cellpose.weights import PUBLISHED

__all__ = [
    "MODEL_NAMES",
    "NORMALIZE_DEFAULT",
    "cache_model_path",
    "get_backbone",
    "get_model_params",
    "get_user_models",
    "model_path",
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


def model_path(model_type: str, model_index: int = 0) -> str:
    """Path of the weight file of a model, downloaded if needed.

    Parameters
    ----------
    model_type
        Name of a model.
    model_index
        Which of several published trainings.

    Raises
    ------
    UnknownModelError, DownloadError
        See ``cellpose.weights.resolve``.
    """
    return str(weights.model_path(model_type, model_index))


def size_model_path(model_type: str | os.PathLike[str]) -> str:
    """Path of the size model of a model, or beside a weight file.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    return str(weights.size_model_path(model_type))


@also_called(backbone="basename")
def cache_model_path(basename: str) -> str:
    """Path in the models folder of a published file (or model, the ``backbone``), downloaded if needed."""
    if basename.endswith(".npy"):
        owners = [name for name, info in PUBLISHED.items() if info.size_file == basename]
        if owners:
            return size_model_path(owners[0])
    return str(weights.resolve(basename).path)


def get_user_models() -> list[str]:
    """Names of the user's own models."""
    return list(weights.user_models())


def get_backbone(pretrained_model: str | os.PathLike[str]) -> str:
    """Kind of the network in a weight file, such as ``"cpnet"`` or ``"sam_vitl"``."""
    return nets.detect_architecture(weights.load_state_dict(weights.resolve(pretrained_model).path)).name


def get_model_params(
    pretrained_model: Any,
    model_type: str | None,
    pretrained_model_ortho: Any = None,
    default_model: str = "cyto3",
) -> tuple[str, float, bool, str | None]:
    """``(path, diam_mean, published, path of the orthogonal model)`` of what is named.

    Where neither ``pretrained_model`` nor ``model_type`` is given the default model is meant.
    """
    file = weights.resolve(pretrained_model or model_type or default_model)
    ortho = str(weights.resolve(pretrained_model_ortho).path) if pretrained_model_ortho else None
    return str(file.path), file.info.diam_mean if file.info else 30.0, file.info is not None, ortho


def models_folder() -> Path:
    """The folder of downloaded and user models."""
    return Path(weights.model_dir())
