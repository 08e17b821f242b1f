"""The choice of the device, and networks run over images larger than a tile, in 2D and along three directions in 3D."""

import logging

from cellpose._face.also import other_names
from cellpose._face.door import guard
from cellpose.core._devices import assign_device, use_gpu, wanted_device
from cellpose.core._legacy import _forward, check_mkl, run_3D, run_net
from cellpose.core._planes import MOST_ROWS, padded_grid, run_planes, tiles_at_once
from cellpose.core._volumes import VolumePlan, run_volume

TORCH_ENABLED = True
core_logger = logging.getLogger("cellpose.core")

__all__ = [
    "MOST_ROWS",
    "TORCH_ENABLED",
    "VolumePlan",
    "_forward",
    "assign_device",
    "check_mkl",
    "core_logger",
    "padded_grid",
    "run_3D",
    "run_net",
    "run_planes",
    "run_volume",
    "tiles_at_once",
    "use_gpu",
    "wanted_device",
]

guard(globals())
__getattr__ = other_names("core")
