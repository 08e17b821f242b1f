"""Which of the two implementations runs: compiled kernels on the CPU, torch on anything else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

__all__ = ["Device", "as_array", "on_gpu"]

Device: TypeAlias = "torch.device | str | None"


def on_gpu(device: Device) -> bool:
    """Whether ``device`` is anything but the CPU (None is the CPU). Does not import torch."""
    kind = getattr(device, "type", device)
    return kind is not None and str(kind).split(":", maxsplit=1)[0] != "cpu"


def as_array(values: Any) -> npt.NDArray[Any]:
    """A NumPy array of an array or tensor of any device."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    return np.asarray(values)
