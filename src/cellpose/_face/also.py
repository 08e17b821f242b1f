"""Names outside ``__all__`` that scripts use from the modules of the published versions.

They are looked up on first use, so that importing a module loads no more than it needs.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
from collections.abc import Callable
from typing import Any

__all__ = ["other_names"]

# module: the modules that are attributes of it
_MODULES = {
    "core": "dynamics metrics plot resnet_torch transforms utils",
    "denoise": "io resnet_torch transforms utils",
    "dynamics": "metrics resnet_torch transforms utils",
    "io": "plot transforms utils",
    "metrics": "dynamics utils",
    "models": "dynamics io plot transforms utils",
    "plot": "io transforms utils",
    "train": "dynamics io metrics models resnet_torch transforms utils",
    "transforms": "utils",
    "utils": "metrics",
}
# module.name: where it is
_ELSEWHERE = {
    "__main__.logger_setup": "io:logger_setup",
    "denoise.CPnet": "nets:CPnet",
    "denoise.CellposeModel": "models:CellposeModel",
    "denoise.assign_device": "core:assign_device",
    "denoise.check_mkl": "core:check_mkl",
    "denoise.model_path": "models:model_path",
    "denoise.normalize_default": "models:normalize_default",
    "denoise.run_net": "core:run_net",
    "io.version_str": "version:version_str",
    "models.CPDINO": "nets:CPDINO",
    "models.CPSAM": "nets:CPSAM",
    "models.CPnet": "nets:CPnet",
    "train.normalize_img": "transforms:normalize_img",
    "train.random_rotate_and_resize": "transforms:random_rotate_and_resize",
}
_INSTALLED = {"MATPLOTLIB_ENABLED": "matplotlib", "SKIMAGE_ENABLED": "skimage"}
_FLAGS = {"plot.MATPLOTLIB_ENABLED", "plot.SKIMAGE_ENABLED", "utils.SKIMAGE_ENABLED"}


def other_names(module: str) -> Callable[[str], Any]:
    """The ``__getattr__`` of a public module.

    Examples
    --------
    >>> other_names("models")("plot").__name__
    'cellpose.plot'
    """

    def look_up(name: str) -> Any:
        if name in _MODULES.get(module, "").split():
            return importlib.import_module(f"cellpose.{name}")
        key = f"{module}.{name}"
        if key in _ELSEWHERE:
            home, attribute = _ELSEWHERE[key].split(":")
            return getattr(importlib.import_module(f"cellpose.{home}"), attribute)
        if name == f"{module}_logger":
            return logging.getLogger(f"cellpose.{module}")
        if key in _FLAGS:
            return importlib.util.find_spec(_INSTALLED[name]) is not None
        if key == "io.SERVER_UPLOAD":
            return False
        if key == "core.tqdm_out":
            utils: Any = importlib.import_module("cellpose.utils")
            return utils.TqdmToLogger(logging.getLogger("cellpose.core"), level=logging.INFO)
        message = f"module 'cellpose.{module}' has no attribute {name!r}"
        raise AttributeError(message)

    return look_up
