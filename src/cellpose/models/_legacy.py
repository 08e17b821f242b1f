"""Names of models that older scripts call; nothing of the package itself does."""

from __future__ import annotations

import os
from typing import Any

from cellpose import nets, weights
from cellpose._face.keywords import also_called
from cellpose.models._files import size_model_path
from cellpose.weights import PUBLISHED

__all__ = [
    "cache_model_path",
    "get_backbone",
    "get_model_params",
    "get_user_models",
    "model_path",
]


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
    """``(path, diam_mean, published, path of the orthogonal model)`` of the named model.

    Where neither ``pretrained_model`` nor ``model_type`` is given the default model is meant.
    """
    file = weights.resolve(pretrained_model or model_type or default_model)
    ortho = str(weights.resolve(pretrained_model_ortho).path) if pretrained_model_ortho else None
    return str(file.path), file.info.diam_mean if file.info else 30.0, file.info is not None, ortho
