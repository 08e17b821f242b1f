"""Labels to flows, and flows to masks.

On the CPU compiled kernels run on all cores; on another torch device the same is done with tensors.
"""

from __future__ import annotations

from cellpose._face.also import other_names
from cellpose._face.door import guard
from cellpose.dynamics._device import Device, on_gpu
from cellpose.dynamics._flows import labels_to_flows, masks_to_flows
from cellpose.dynamics._legacy import (
    center_of_mass,
    get_centers,
    get_masks,
    get_masks_orig,
    get_masks_torch,
    masks_to_flows_cpu,
    masks_to_flows_gpu,
    masks_to_flows_gpu_3d,
    remove_bad_flow_masks,
)
from cellpose.dynamics._legacy_follow import follow_flows, map_coordinates, steps2D, steps3D, steps_interp
from cellpose.dynamics._legacy_pool import max_pool1d, max_pool2d, max_pool3d, max_pool_nd
from cellpose.dynamics._mask_finder import MaskFinder
from cellpose.dynamics._masks import compute_masks, flows_to_masks, resize_and_compute_masks
from cellpose.dynamics._network_flows import NetworkFlows
from cellpose.dynamics._one_cell import CellFinder
from cellpose.dynamics._quality import CellScores, cell_scores, flow_error

__all__ = [
    "CellFinder",
    "CellScores",
    "Device",
    "MaskFinder",
    "NetworkFlows",
    "cell_scores",
    "center_of_mass",
    "compute_masks",
    "flow_error",
    "flows_to_masks",
    "follow_flows",
    "get_centers",
    "get_masks",
    "get_masks_orig",
    "get_masks_torch",
    "labels_to_flows",
    "map_coordinates",
    "masks_to_flows",
    "masks_to_flows_cpu",
    "masks_to_flows_gpu",
    "masks_to_flows_gpu_3d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_pool_nd",
    "on_gpu",
    "remove_bad_flow_masks",
    "resize_and_compute_masks",
    "steps2D",
    "steps3D",
    "steps_interp",
]

guard(globals())
__getattr__ = other_names("dynamics")
