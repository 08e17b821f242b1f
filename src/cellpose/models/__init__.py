"""Models: an image in, masks, flows and styles out."""

from __future__ import annotations

import logging
from typing import Any

from cellpose import weights
from cellpose._face.also import other_names
from cellpose._face.door import guard
from cellpose.core import assign_device, check_mkl, run_3D, run_net
from cellpose.models._assumed import assumption
from cellpose.models._classes import class_masks
from cellpose.models._doubt import doubts_untold, estimates_on_request
from cellpose.models._files import MODEL_NAMES, size_model_path
from cellpose.models._files import NORMALIZE_DEFAULT as normalize_default
from cellpose.models._frames import segment_image
from cellpose.models._inputs import Images, Layout, one_number, read_with_axes
from cellpose.models._large import LargeResult, MemoryEstimate, estimate_memory, output_rows, segment_large
from cellpose.models._legacy import cache_model_path, get_backbone, get_model_params, get_user_models, model_path
from cellpose.models._many import fraction_of, name_of, reporter
from cellpose.models._model import CellposeModel
from cellpose.models._size import Cellpose, SizeModel
from cellpose.models._volume_memory import VolumeEstimate, estimate_volume_memory

__all__ = [
    "MODEL_DIR",
    "MODEL_LIST_PATH",
    "MODEL_NAMES",
    "Cellpose",
    "CellposeModel",
    "Images",
    "LargeResult",
    "Layout",
    "MemoryEstimate",
    "SizeModel",
    "VolumeEstimate",
    "assign_device",
    "assumption",
    "cache_model_path",
    "check_mkl",
    "class_masks",
    "doubts_untold",
    "estimate_memory",
    "estimate_volume_memory",
    "estimates_on_request",
    "fraction_of",
    "get_backbone",
    "get_model_params",
    "get_user_models",
    "model_path",
    "models_logger",
    "name_of",
    "normalize_default",
    "one_number",
    "output_rows",
    "read_with_axes",
    "reporter",
    "run_3D",
    "run_net",
    "segment_image",
    "segment_large",
    "size_model_path",
]

guard(globals())

models_logger = logging.getLogger("cellpose.models")

_MODEL_DIR_ENV = weights.MODEL_DIR_ENV
_MODEL_URL = "https://www.cellpose.org/models"


def __getattr__(name: str) -> Any:
    # Looked up on access: the environment variable that names the folder may be set after the import.
    if name == "MODEL_DIR":
        return weights.model_dir()
    if name == "MODEL_LIST_PATH":
        return str(weights.model_dir() / "gui_models.txt")
    if name == "_MODEL_DIR_DEFAULT":
        from pathlib import Path

        return Path.home() / ".cellpose" / "models"
    return other_names("models")(name)
