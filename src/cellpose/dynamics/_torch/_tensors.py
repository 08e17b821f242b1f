"""Tensors of arrays, and places in flat ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

__all__ = ["index_of", "strides_of", "tensor_of"]


def tensor_of(values: npt.NDArray[Any] | torch.Tensor, dtype: Any, device: torch.device) -> torch.Tensor:
    """The values on the device; arrays as tensors of the NumPy type ``dtype``, tensors in their own type."""
    if isinstance(values, torch.Tensor):
        return values.to(device)
    return torch.from_numpy(np.ascontiguousarray(values, dtype)).to(device)


def strides_of(shape: tuple[int, ...]) -> list[int]:
    """Distance, in the flat array, between neighbors along each axis."""
    return [int(np.prod(shape[axis + 1 :], dtype=np.int64)) for axis in range(len(shape))]


def index_of(pixel: Sequence[torch.Tensor], strides: list[int]) -> torch.Tensor:
    """Flat indices of pixels (one tensor per axis) in an array with these strides."""
    index = torch.zeros_like(pixel[0])
    for position, stride in zip(pixel, strides, strict=True):
        index += position * stride
    return index
