"""Heat that spreads through cells, and the flows along it, with tensors; planes and volumes alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cellpose._labels.arrays import Labels
from cellpose.dynamics._cells import Cells
from cellpose.dynamics._constants import NETWORK_SCALE
from cellpose.dynamics._torch._labels import real
from cellpose.dynamics._torch._tensors import strides_of, tensor_of
from cellpose.nets import usable_device

__all__ = ["cell_errors", "heat_flows"]


def _offsets(strides: list[int]) -> list[int]:
    """Neighbours over which heat is averaged, in the order in which the kernels add them.

    The 3 x 3 pixels in a plane; the voxel and its 6 faces in a volume.
    """
    if len(strides) == 2:
        down, right = strides
        faces = [0, -down, down, -right, right]
        return [*faces, -down - right, -down + right, down - right, down + right]
    return [0, *(sign * stride for stride in reversed(strides) for sign in (-1, 1))]


def heat_flows(
    labels: Labels,
    cells: npt.NDArray[np.integer[Any]],
    centres: npt.NDArray[np.integer[Any]],
    steps: npt.NDArray[np.integer[Any]],
    device: Any,
) -> npt.NDArray[np.float64]:
    """Unit flows along the heat that spreads from the centre of each cell inside its own label.

    Parameters
    ----------
    labels
        Label image ``(Y, X)`` or ``(Z, Y, X)``.
    cells, centres, steps
        Labels ``(n,)`` in ascending order, pixels ``(n, ndim)`` and numbers of steps ``(n,)``.
    device
        A torch device.

    Returns
    -------
    float64 array (ndim, *labels.shape)
    """
    unit, index, _ = _unit_flows(labels, cells, centres, steps, device)
    out = torch.zeros((labels.ndim, labels.size), dtype=unit.dtype, device=unit.device)
    out[:, index] = unit
    return out.cpu().numpy().astype(np.float64, copy=False).reshape(labels.ndim, *labels.shape)


def cell_errors(
    labels: Labels | torch.Tensor,
    cells: Cells,
    flows: npt.NDArray[np.float32] | torch.Tensor,
    device: Any,
) -> npt.NDArray[np.float64]:
    """Mean over each cell of the squared difference between its unit flows and those of the network.

    ``labels`` (Y, X), ``flows`` (2, Y, X); both may be on the device already. Labels that are not among ``cells`` count
    as background. The unit flows never leave the device.
    """
    unit, index, number = _unit_flows(labels, cells.labels, cells.centres[:, 1:], cells.steps, device)
    network = tensor_of(flows, np.float32, unit.device).flatten(1)[:, index]
    squares = ((unit - network.to(unit.dtype) * (1 / NETWORK_SCALE)) ** 2).sum(dim=0)
    sums = torch.zeros(len(cells.labels), dtype=unit.dtype, device=unit.device).index_add_(0, number, squares)
    return (sums / torch.bincount(number, minlength=len(cells.labels))).cpu().numpy().astype(np.float64)


def _longer_than(steps: npt.NDArray[np.integer[Any]], numbers: npt.NDArray[np.integer[Any]]) -> list[int]:
    """For each step 0, 1, ... how many have more steps than it, where ``numbers[k]`` have ``steps[k]``."""
    per_step = np.bincount(steps, numbers, int(steps.max()) + 1).astype(np.int64)
    return (per_step.sum() - np.cumsum(per_step))[:-1].tolist()  # type: ignore[no-any-return]


def _unit_flows(
    labels: Labels | torch.Tensor,
    cells: npt.NDArray[np.integer[Any]],
    centres: npt.NDArray[np.integer[Any]],
    steps: npt.NDArray[np.integer[Any]],
    device: Any,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Unit flows ``(ndim, n)`` of the pixels of all cells, in reading order.

    Beside them the indices of these pixels in the flat image, and the places of their labels in ``cells``.
    """
    device = usable_device(device)
    dtype = real(device)
    image = tensor_of(labels, np.int32, device).long()
    places = torch.full((max(int(image.max()), int(cells.max())) + 1,), -1, device=device)
    places[tensor_of(cells, np.int64, device)] = torch.arange(len(cells), device=device)
    image = places[image]  # -1 where there is no cell
    padded = torch.nn.functional.pad(image, (1, 1) * image.ndim, value=-1)
    strides = strides_of(tuple(padded.shape))
    flat = padded.flatten()
    pixels = torch.nonzero(flat >= 0)[:, 0]
    number = flat[pixels]
    # Most steps first, so that the pixels still at work are always the first ones.
    order = torch.argsort(tensor_of(steps, np.int64, device)[number], descending=True, stable=True)
    cell_order = np.argsort(-steps, kind="stable")
    sources = ((centres[cell_order] + 1).astype(np.int64) * np.array(strides)).sum(axis=1)
    left_pixels = _longer_than(steps, torch.bincount(number, minlength=len(cells)).cpu().numpy())
    left_cells = _longer_than(steps, np.ones(len(cells), np.int64))

    index = pixels[order]
    source = tensor_of(sources, np.int64, device)
    own = flat[index]
    offsets = _offsets(strides)
    same = [(flat[index + offset] == own).to(dtype) for offset in offsets]
    heat = torch.zeros(flat.numel(), dtype=dtype, device=device)
    # Neighbours are read at one and the same index in images that begin elsewhere. Nothing is outside: pads are around.
    reach = max(offsets)
    low, begins = index - reach, [heat[reach + offset :] for offset in offsets]
    for n, k in zip(left_pixels, left_cells, strict=True):
        heat[source[:k]] += 1
        here = low[:n]
        total = begins[0].index_select(0, here)  # the pixel itself
        for begin, weight in zip(begins[1:], same[1:], strict=True):
            total.addcmul_(begin.index_select(0, here), weight[:n])
        heat[index[:n]] = total * (1 / len(offsets))

    rises = []
    for stride in strides:
        after, before = index + stride, index - stride
        rise = heat[after] * (flat[after] == own) - heat[before] * (flat[before] == own)
        rises.append(rise)
    rising = torch.stack(rises)
    unit = rising / (torch.finfo(dtype).tiny + rising.norm(dim=0))
    back = torch.empty_like(order)
    back[order] = torch.arange(len(order), device=device)
    return unit[:, back], torch.nonzero(image.flatten() >= 0)[:, 0], number
