"""The networks: CPnet (residual U-Net), CPSAM and CPDINO (vision transformers).

They deal with tensors and state dicts, not with images, model names or downloads. Torch is imported with the first
network; the kind of a file, and what its family can do, are known without it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from cellpose.nets._architecture import Architecture, Family, Learning, Recipe
from cellpose.nets._families import FAMILIES, build, detect_architecture, family_named, one_channel

if TYPE_CHECKING:
    from cellpose.nets import _convolution as convolution
    from cellpose.nets._archive import check_archive
    from cellpose.nets._base import NetFile
    from cellpose.nets._convolution import DOUBLED_KERNELS, KERNELS, LANES
    from cellpose.nets._devices import usable_device
    from cellpose.nets._dino import CPDINO
    from cellpose.nets._files import read_state_dict, write_state_dict
    from cellpose.nets._sam import CPSAM
    from cellpose.nets._vector_code import has_8_bit_products, processor
    from cellpose.nets.cpnet import CPnet

__all__ = [
    "CPDINO",
    "CPSAM",
    "DOUBLED_KERNELS",
    "FAMILIES",
    "KERNELS",
    "LANES",
    "Architecture",
    "CPnet",
    "Family",
    "Learning",
    "NetFile",
    "Recipe",
    "build",
    "check_archive",
    "convolution",
    "detect_architecture",
    "family_named",
    "has_8_bit_products",
    "one_channel",
    "processor",
    "read_state_dict",
    "usable_device",
    "write_state_dict",
]

# These import torch or the compiler.
_LATER = {
    "CPDINO": "_dino",
    "CPSAM": "_sam",
    "DOUBLED_KERNELS": "_convolution",
    "KERNELS": "_convolution",
    "LANES": "_convolution",
    "CPnet": "cpnet",
    "NetFile": "_base",
    "check_archive": "_archive",
    "has_8_bit_products": "_vector_code",
    "processor": "_vector_code",
    "read_state_dict": "_files",
    "usable_device": "_devices",
    "write_state_dict": "_files",
}


def __getattr__(name: str) -> Any:
    if name == "convolution":
        return importlib.import_module("cellpose.nets._convolution")
    if name in _LATER:
        return getattr(importlib.import_module(f"cellpose.nets.{_LATER[name]}"), name)
    message = f"module 'cellpose.nets' has no attribute {name!r}"
    raise AttributeError(message)
