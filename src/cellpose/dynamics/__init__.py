"""Labels to flows, and flows to masks."""

from __future__ import annotations

from cellpose.dynamics._flows import (
    center_of_mass,
    get_centers,
    labels_to_flows,
    masks_to_flows,
    masks_to_flows_cpu,
    masks_to_flows_gpu,
    masks_to_flows_gpu_3d,
)

__all__ = [
    "center_of_mass",
    "get_centers",
    "labels_to_flows",
    "masks_to_flows",
    "masks_to_flows_cpu",
    "masks_to_flows_gpu",
    "masks_to_flows_gpu_3d",
]
