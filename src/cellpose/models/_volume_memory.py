"""How much memory a volume will need."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellpose.errors import InputError
from cellpose.models._network_memory import network_bytes
from cellpose.models._segment import scale_of
from cellpose.options import Evaluation

if TYPE_CHECKING:
    from cellpose.models._model import CellposeModel

__all__ = ["VolumeEstimate", "estimate_volume_memory"]

# Bytes, measured with benchmarks/volumes.py.
_FLOWS = 16  # three flows and the probability
_FOLLOWED = 16  # the flow field, and where each voxel ends
_COUNTS = 4  # how many end in each voxel of a volume with a rim, while labels are made
_RIM = 10
_LABELS = 8
_PICTURE = 13  # length of the flows, twice, and colors; masks


@dataclass(frozen=True)
class VolumeEstimate:
    """The maximum memory of a run over a stack in bytes, by part.

    Attributes
    ----------
    network
        Libraries, weights and the tiles of a batch.
    image
        The stack after reading.
    work
        The largest of: prepared stack and flows; flows while pixels follow them; flows and labels; results.
    """

    network: int
    image: int
    work: int

    @property
    def total(self) -> int:
        """Bytes in all."""
        return self.network + self.image + self.work

    def __str__(self) -> str:
        parts = (("network", self.network), ("image", self.image), ("flows and masks", self.work))
        listed = ", ".join(f"{name} {n / 2**30:.1f} GiB" for name, n in parts)
        return f"{self.total / 2**30:.1f} GiB ({listed})"


def estimate_volume_memory(
    model: CellposeModel,
    shape: Sequence[int],
    dtype: Any = np.uint16,
    *,
    channels: int = 1,
    do_3D: bool = True,
    diameter: float | None = None,
    anisotropy: float | None = None,
    resample: bool = True,
    batch_size: int = 8,
    **options: Any,
) -> VolumeEstimate:
    """Estimate the memory that ``eval`` needs for a stack.

    Parameters
    ----------
    model
        The model.
    shape
        Planes, height and width.
    dtype
        Dtype of the stack.
    channels
        Number of channels of the stack.
    do_3D
        As a volume; False: planes one by one, stitched.
    diameter, anisotropy, resample, batch_size
        As in ``eval``.
    **options
        Further options of ``eval``, which do not change the memory.

    Returns
    -------
    VolumeEstimate
        A conservative estimate. If flows would take more than a third of the free memory, they are kept in a temporary
        file; the estimate does not account for this.

    Raises
    ------
    InputError
        If the shape does not have three axes.

    Examples
    --------
    >>> from cellpose.models import CellposeModel
    >>> model = CellposeModel(pretrained_model="nuclei-cells")
    >>> 2 * 2**30 < estimate_volume_memory(model, (10, 2160, 2560)).total < 4 * 10**9
    True
    """
    if len(shape) != 3 or min(shape) < 1:
        message = f"shape={tuple(shape)} is not a stack; give planes, height and width"
        raise InputError(message)
    evaluation = Evaluation(diameter=diameter or None, anisotropy=anisotropy, resample=resample, do_3D=do_3D)
    scale = scale_of(model._network(), evaluation)
    voxels = math.prod(shape)
    stack = 4 * voxels * (model.nchan if model.nbase else min(channels, 3))
    along_z = scale * (anisotropy or 1.0) if do_3D else 1.0
    factors = (1.0, 1.0, 1.0) if resample else (along_z, scale, scale)
    sides = [max(1, int(n * f)) for n, f in zip(shape, factors, strict=True)]
    flowing, rimmed = math.prod(sides), math.prod(n + _RIM for n in sides)
    flows = (_FLOWS if do_3D else _FLOWS - 4) * flowing
    stages: tuple[int, ...]
    if do_3D:
        stages = (flows + _FOLLOWED * flowing, flows + _COUNTS * rimmed + _LABELS * flowing, flows + _PICTURE * flowing)
    else:
        stages = (flows + 8 * voxels, flows + _PICTURE * flowing)
    # Preparing a stack takes a second one for a while.
    work = max(2 * stack + voxels, stack + flows, *stages)
    return VolumeEstimate(network_bytes(model, batch_size), channels * voxels * np.dtype(dtype).itemsize, work)
