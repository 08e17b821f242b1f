"""The networks: CPnet (residual U-Net), CPSAM and CPDINO (vision transformers).

They know tensors and state dicts, nothing of images, model names or downloads.
"""

from cellpose.nets._base import NetFile
from cellpose.nets._dino import CPDINO
from cellpose.nets._family import Family, build, detect_family, one_channel
from cellpose.nets._files import read_state_dict, write_state_dict
from cellpose.nets._sam import CPSAM
from cellpose.nets.cpnet import CPnet

__all__ = [
    "CPDINO",
    "CPSAM",
    "CPnet",
    "Family",
    "NetFile",
    "build",
    "detect_family",
    "one_channel",
    "read_state_dict",
    "write_state_dict",
]
