"""Label images looked at on a device, for rooms that compare them: arrays in, arrays out; torch is imported here."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from cellpose._labels.arrays import Overlap, as_labels
from cellpose._labels.check import Labels
from cellpose.dynamics._device import Device
from cellpose.dynamics._torch import _labels
from cellpose.nets import usable_device

__all__ = ["outlines", "overlap"]


def overlap(true: Labels, pred: Labels, device: Device) -> Overlap:
    """Pairs of labels that share pixels, counted on the device."""
    return _labels.overlap(_on(true, device), _on(pred, device))


def outlines(plane: Labels, device: Device) -> NDArray[np.bool_]:
    """Pixels on the outlines of the labels (y, x), found on the device."""
    marks: NDArray[np.bool_] = _labels.outlines(_on(plane, device)).cpu().numpy()
    return marks


def _on(labels: Labels, device: Device) -> torch.Tensor:
    return torch.from_numpy(as_labels(labels)).to(_labels.device_for_labels(usable_device(device or "cpu")))
