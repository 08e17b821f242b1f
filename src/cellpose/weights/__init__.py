"""Model names, their files, and loading them. Torch is imported only when a file is loaded.

Examples
--------
>>> from cellpose import weights
>>> weights.PUBLISHED["nuclei"].diam_mean
17.0
"""

from cellpose.weights._cache import (
    MODEL_DIR_ENV,
    SIZE_MODEL,
    drop_beside,
    hash,
    model_dir,
    remember_trained,
    replaced,
    user_models,
    writable_dir,
)
from cellpose.weights._card import embed_card, read_card
from cellpose.weights._download import Retry
from cellpose.weights._installed import (
    BUNDLED,
    BUNDLED_RESTORER,
    RESTORATION_TASKS,
    ModelFile,
    bundled_models,
    bundled_restorer,
    check_new_name,
    default_model,
    find,
    name_to_give,
    new_model,
    owner,
)
from cellpose.weights._load import architecture, architecture_of, load_arrays, load_network, load_state_dict
from cellpose.weights._manage import ModelStatus, add_model, list_models, pull, remove_model
from cellpose.weights._names import PUBLISHED, ModelInfo, lookup
from cellpose.weights._reliability import Reliability, reliability
from cellpose.weights._resolve import MIRROR_ENV, has_size_model, model_path, resolve, size_model_path, state_of

__all__ = [
    "BUNDLED",
    "BUNDLED_RESTORER",
    "MIRROR_ENV",
    "MODEL_DIR_ENV",
    "PUBLISHED",
    "RESTORATION_TASKS",
    "SIZE_MODEL",
    "ModelFile",
    "ModelInfo",
    "ModelStatus",
    "Reliability",
    "Retry",
    "add_model",
    "architecture",
    "architecture_of",
    "bundled_models",
    "bundled_restorer",
    "check_new_name",
    "default_model",
    "drop_beside",
    "embed_card",
    "find",
    "has_size_model",
    "hash",
    "list_models",
    "load_arrays",
    "load_network",
    "load_state_dict",
    "lookup",
    "model_dir",
    "model_path",
    "name_to_give",
    "new_model",
    "owner",
    "pull",
    "read_card",
    "reliability",
    "remember_trained",
    "remove_model",
    "replaced",
    "resolve",
    "size_model_path",
    "state_of",
    "user_models",
    "writable_dir",
]
