"""Flows to masks with tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cellpose._labels.arrays import Labels
from cellpose.dynamics._cells import Cells
from cellpose.dynamics._constants import NETWORK_SCALE
from cellpose.dynamics._network_flows import NetworkFlows
from cellpose.dynamics._torch._follow import follow_field
from cellpose.dynamics._torch._gather import gather
from cellpose.dynamics._torch._heat import cell_errors
from cellpose.dynamics._torch._labels import centres, device_for_labels, fill_holes_and_remove_small, scan, without
from cellpose.dynamics._torch._tensors import tensor_of
from cellpose.nets import usable_device
from cellpose.options import Masking

__all__ = ["masks_of"]


def masks_of(
    flows: NetworkFlows, masking: Masking, places: Sequence[npt.NDArray[np.int64] | None], device: Any
) -> Labels:
    """Like `_cpu._masks.masks_of`; only labels are copied back from the device."""
    device, shape = usable_device(device), flows.shape
    network = tensor_of(flows.dP, np.float32, device)
    # Flows of pixels that are not followed are zero.
    inside = tensor_of(flows.cellprob, np.float32, device) > float(np.float32(masking.cellprob_threshold))
    divisors = [NETWORK_SCALE * flows.z_spacing, *[NETWORK_SCALE] * 2][-len(shape) :]
    scale = torch.tensor(divisors, dtype=torch.float32, device=device).reshape(-1, *[1] * len(shape))
    starts = torch.nonzero(inside).T.to(torch.float32).contiguous()
    labels = torch.zeros(shape, dtype=torch.int32, device=device)
    ends = follow_field(torch.where(inside, network, 0) / scale, starts, masking.steps, masking.interp)
    labels[inside] = gather(ends, shape)

    labels = labels.to(device_for_labels(device))
    found = scan(labels)
    keep = (found.counts > 0) & (found.counts <= labels.numel() * masking.max_size_fraction)
    keep[0] = False
    if masking.most_error is not None and labels.ndim == 2 and bool(keep.any()):
        present = torch.nonzero(keep)[:, 0]
        facts = present, found.boxes, centres(labels, found, present)
        errors = cell_errors(labels, Cells(*(f.cpu().numpy() for f in facts)), network, device)
        keep[present] = torch.from_numpy(~(errors > masking.most_error)).to(keep.device)
    labels = without(labels, found, keep)
    for axis, pixels in enumerate(places):
        if pixels is not None:
            labels = labels.index_select(axis, torch.from_numpy(pixels).to(labels.device))
    if masking.min_size > 0:
        labels = fill_holes_and_remove_small(labels, masking.min_size)
    return labels.cpu().numpy()
