"""The networks: CPnet (residual U-Net), CPSAM and CPDINO (vision transformers).

They know tensors and state dicts, nothing of images, model names or downloads. Torch is imported with the first
network; what a file is, and what its family can do, is told without it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from cellpose.nets._architecture import Architecture, Family, Learning, Recipe
from cellpose.nets._families import FAMILIES, build, detect_architecture, family_named, one_channel

if TYPE_CHECKING:
    from cellpose.nets._base import NetFile
    from cellpose.nets._dino import CPDINO
    from cellpose.nets._files import read_state_dict, write_state_dict
    from cellpose.nets._sam import CPSAM
    from cellpose.nets.cpnet import CPnet

__all__ = [
    "CPDINO",
    "CPSAM",
    "FAMILIES",
    "Architecture",
    "CPnet",
    "Family",
    "Learning",
    "NetFile",
    "Recipe",
    "build",
    "detect_architecture",
    "family_named",
    "one_channel",
    "read_state_dict",
    "write_state_dict",
]

_WITH_TORCH = {
    "CPDINO": "_dino",
    "CPSAM": "_sam",
    "CPnet": "cpnet",
    "NetFile": "_base",
    "read_state_dict": "_files",
    "write_state_dict": "_files",
}


def __getattr__(name: str) -> Any:
    if name in _WITH_TORCH:
        return getattr(importlib.import_module(f"cellpose.nets.{_WITH_TORCH[name]}"), name)
    message = f"module 'cellpose.nets' has no attribute {name!r}"
    raise AttributeError(message)
