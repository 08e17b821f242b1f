"""Cell segmentation by gradient flows: an independent, drop-in implementation of Cellpose.

Importing this package loads no heavy library: the public modules (``models``, ``io``, ``train``, …) are imported when
they are first used.
"""

from __future__ import annotations

import importlib
import logging
from pathlib import Path
from typing import Any

from cellpose._machine.caches import provide_compile_cache
from cellpose._machine.waiting import shorten_busy_waiting

# The module of this name is loaded first, so that importing it later does not take the place of the string.
from cellpose.version import version

__version__ = version

_PUBLIC_MODULES = (
    "cli",
    "core",
    "denoise",
    "dynamics",
    "errors",
    "gui",
    "io",
    "measure",
    "metrics",
    "models",
    "options",
    "plot",
    "resnet_torch",
    "synthetic",
    "train",
    "transforms",
    "utils",
    "vit",
    "vit_sam",
    "weights",
)

__all__ = ["__version__", "version", "version_str", *_PUBLIC_MODULES]  # noqa: PLE0604  (names known only by string)

logging.getLogger("cellpose").addHandler(logging.NullHandler())
provide_compile_cache(Path(__file__).parent)
shorten_busy_waiting()


def __getattr__(name: str) -> Any:
    if name == "version_str":
        from cellpose._version import version_block

        return version_block()
    if name in _PUBLIC_MODULES:
        return importlib.import_module(f"cellpose.{name}")
    message = f"module 'cellpose' has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return sorted(__all__)
