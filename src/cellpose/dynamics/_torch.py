"""The heavy parts of the dynamics with tensors, for devices other than the CPU; planes and volumes alike.

Same formulas as the compiled kernels. Results differ by rounding only, since sums run in another order.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from cellpose.dynamics._flows import Cells
from cellpose.dynamics._quality import NETWORK_SCALE
from cellpose.dynamics._tensor_labels import (
    centres,
    device_for_labels,
    fill_holes_and_remove_small,
    real,
    scan,
    without,
)
from cellpose.utils._labels import Labels

if TYPE_CHECKING:
    from cellpose.dynamics._masks import Rules

__all__ = ["cell_errors", "follow", "gather", "heat_flows", "masks_of"]

CHECK = 4  # steps between looks whether all pixels are at rest, as in the kernels
MOST = 1e30
SEEDS = 4096  # grown at once: 40 MB of a plane, 400 MB of a volume


def _strides(shape: tuple[int, ...]) -> list[int]:
    """Distance, in the flat array, between neighbours along each axis."""
    return [int(np.prod(shape[axis + 1 :], dtype=np.int64)) for axis in range(len(shape))]


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
    scale: float,
    device: Any,
) -> npt.NDArray[np.float64]:
    """Mean over each cell of the squared difference between its unit flows and ``scale * flows``.

    ``labels`` (Y, X), ``flows`` (2, Y, X); both may be on the device already. Labels that are not among ``cells`` count
    as background. The unit flows never leave the device.
    """
    unit, index, number = _unit_flows(labels, cells.labels, cells.centres[:, 1:], cells.steps, device)
    network = _tensor(flows, np.float32, unit.device).flatten(1)[:, index]
    squares = ((unit - network.to(unit.dtype) * scale) ** 2).sum(dim=0)
    sums = torch.zeros(len(cells.labels), dtype=unit.dtype, device=unit.device).index_add_(0, number, squares)
    return (sums / torch.bincount(number, minlength=len(cells.labels))).cpu().numpy().astype(np.float64)


def _tensor(values: npt.NDArray[Any] | torch.Tensor, dtype: Any, device: torch.device) -> torch.Tensor:
    if isinstance(values, torch.Tensor):
        return values.to(device)
    return torch.from_numpy(np.ascontiguousarray(values, dtype)).to(device)


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
    device = torch.device(device)
    dtype = real(device)
    image = _tensor(labels, np.int32, device).long()
    places = torch.full((max(int(image.max()), int(cells.max())) + 1,), -1, device=device)
    places[_tensor(cells, np.int64, device)] = torch.arange(len(cells), device=device)
    image = places[image]  # -1 where there is no cell
    padded = torch.nn.functional.pad(image, (1, 1) * image.ndim, value=-1)
    strides = _strides(tuple(padded.shape))
    flat = padded.flatten()
    pixels = torch.nonzero(flat >= 0)[:, 0]
    number = flat[pixels]
    # Most steps first, so that the pixels still at work are always the first ones.
    order = torch.argsort(_tensor(steps, np.int64, device)[number], descending=True, stable=True)
    cell_order = np.argsort(-steps, kind="stable")
    sources = ((centres[cell_order] + 1).astype(np.int64) * np.array(strides)).sum(axis=1)
    left_pixels = _longer_than(steps, torch.bincount(number, minlength=len(cells)).cpu().numpy())
    left_cells = _longer_than(steps, np.ones(len(cells), np.int64))

    index = pixels[order]
    source = _tensor(sources, np.int64, device)
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


def masks_of(
    flows: npt.NDArray[Any], cellprob: npt.NDArray[Any], rules: Rules, seeds: tuple[int, int, int], device: Any
) -> Labels:
    """Masks of an image from the flows and logits of a network: all that is copied back from the device.

    ``flows`` are ``(ndim, ...)`` and ``cellprob`` ``(...)``; ``seeds`` are ``peak, fringe, reach`` of `gather`.
    """
    device = torch.device(device)
    network = _tensor(flows, np.float32, device)
    # Flows of pixels that are not followed are zero.
    inside = _tensor(cellprob, np.float32, device) > float(np.float32(rules.cellprob_threshold))
    divisors = [NETWORK_SCALE * rules.z_spacing, *[NETWORK_SCALE] * 2][-cellprob.ndim :]
    scale = torch.tensor(divisors, dtype=torch.float32, device=device).reshape(-1, *[1] * cellprob.ndim)
    starts = torch.nonzero(inside).T.to(torch.float32).contiguous()
    labels = torch.zeros(cellprob.shape, dtype=torch.int32, device=device)
    ends = _follow(torch.where(inside, network, 0) / scale, starts, rules.niter, rules.interp)
    labels[inside] = gather(ends, cellprob.shape, *seeds)

    labels = labels.to(device_for_labels(device))
    found = scan(labels)
    keep = (found.counts > 0) & (found.counts <= labels.numel() * rules.max_size_fraction)
    keep[0] = False
    if rules.flow_threshold is not None and bool(keep.any()):
        present = torch.nonzero(keep)[:, 0]
        facts = present, found.boxes, centres(labels, found, present)
        errors = cell_errors(labels, Cells(*(f.cpu().numpy() for f in facts)), network, 1 / NETWORK_SCALE, device)
        keep[present] = torch.from_numpy(~(errors > rules.flow_threshold)).to(keep.device)
    labels = without(labels, found, keep)
    for axis, pixels in enumerate(rules.source):
        if pixels is not None:
            labels = labels.index_select(axis, torch.from_numpy(pixels).to(labels.device))
    if rules.min_size > 0:
        labels = fill_holes_and_remove_small(labels, rules.min_size)
    return labels.cpu().numpy()


def gather(
    positions: torch.Tensor, shape: tuple[int, ...], peak: int, fringe: int, reach: int, *, small_wins: bool = False
) -> torch.Tensor:
    """Label, 1..n in the order of the seeds, of pixels that end at ``positions`` (ndim, n); 0 for none.

    As `_masks._gather` with the compiled kernels: seeds are where more than ``peak`` pixels end and no more do within 2
    pixels along each axis; they grow ``reach`` times by neighbours in which more than ``fringe`` end. Whole numbers
    all the way, so that the result is the same.
    """
    rimmed = tuple(side + 2 * reach for side in shape)
    strides = _strides(rimmed)
    sides = torch.tensor(shape, device=positions.device)[:, None] - 1
    pixel = positions.long().clamp(min=0).minimum(sides) + reach
    ends = _index(list(pixel), strides)
    counts = torch.bincount(ends, minlength=int(np.prod(rimmed)))
    image = counts.reshape(1, *rimmed).to(torch.float32)  # whole numbers of pixels, exact up to 16 million
    pool = torch.nn.functional.max_pool2d if len(shape) == 2 else torch.nn.functional.max_pool3d
    seeds = torch.nonzero(((image == pool(image, 5, 1, 2)) & (image > peak)).flatten())[:, 0]
    sizes = counts[seeds]
    seeds = seeds[torch.argsort(-sizes if small_wins else sizes, stable=True)]
    table = torch.zeros_like(counts)
    offsets = _index(torch.meshgrid(*[torch.arange(-reach, reach + 1)] * len(shape), indexing="ij"), strides)
    around = offsets.to(seeds.device)
    for first in range(0, len(seeds), SEEDS):
        some = seeds[first : first + SEEDS]
        places = some.reshape(-1, *[1] * len(shape)) + around
        room = counts[places] > fringe
        met = places == some.reshape(-1, *[1] * len(shape))
        for _ in range(reach):
            met = (pool(met.to(torch.float32)[:, None], 3, 1, 1)[:, 0] > 0) & room
        number = torch.arange(first + 1, first + 1 + len(some), device=seeds.device).reshape(-1, *[1] * len(shape))
        # Of two that meet the later one has the place.
        table.scatter_reduce_(0, places[met], number.expand_as(places)[met], "amax")
    return table[ends].to(torch.int32)


def follow(
    flows: npt.NDArray[Any], starts: npt.NDArray[np.float32], niter: int, interp: bool, device: Any
) -> torch.Tensor:
    """Positions ``(ndim, n)`` after ``niter`` steps along ``flows`` (ndim, ...) from ``starts``, both in pixels."""
    device = torch.device(device)
    return _follow(_tensor(flows, np.float32, device), _tensor(starts, np.float32, device), niter, interp)


def _follow(field: torch.Tensor, p: torch.Tensor, niter: int, interp: bool) -> torch.Tensor:
    limits = torch.tensor([side - 1 for side in field.shape[1:]], dtype=torch.float32, device=field.device)[:, None]
    field = torch.where(field.abs() < MOST, field, 0)
    field = torch.nn.functional.pad(field, (0, 1) * (field.ndim - 1))
    if interp and len(p) == 2:
        step, p, rows = _plane_step(field), p.T.contiguous(), True
    else:
        strides, flat, rows = _strides(tuple(field.shape[1:])), field.flatten(1), False

        def step(q: torch.Tensor) -> torch.Tensor:
            return _step(q, flat, strides, limits, interp)

    for _ in range(niter % CHECK):
        p = step(p)
    for _ in range(niter // CHECK):
        before = p
        for _ in range(CHECK):
            p = step(p)
        if torch.equal(p, before):
            break
    return p.T.contiguous() if rows else p


def _plane_step(field: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """A step of positions (n, 2) in a plane (2, Y + 1, X + 1) with a rim of zeros, interpolated.

    As `_step`, with a third of its operations: both components of a pixel lie beside each other, and the four pixels
    around a position are read at one index in fields that begin elsewhere.
    """
    stride = field.shape[2]
    sides = torch.tensor(field.shape[1:], dtype=torch.float32, device=field.device) - 2
    zero = torch.zeros_like(sides)
    flat = field.flatten(1).T.contiguous()
    kind = torch.int32 if len(flat) < 2**31 else torch.int64
    begins = [flat[offset:] for offset in (0, stride, 1, stride + 1)]

    def step(p: torch.Tensor) -> torch.Tensor:
        low = p.to(kind)
        f = p - low
        index = low[:, 0] * stride + low[:, 1]
        a, below, right, far = (begin.index_select(0, index) for begin in begins)
        # Products and sums apart, in the order of the kernels: fused ones would round in another way.
        left = below.sub_(a).mul_(f[:, :1]).add_(a)
        right = far.sub_(right).mul_(f[:, :1]).add_(right)
        return right.sub_(left).mul_(f[:, 1:]).add_(left).add_(p).clamp_(zero, sides)

    return step


def _step(p: torch.Tensor, flat: torch.Tensor, strides: list[int], limits: torch.Tensor, interp: bool) -> torch.Tensor:
    if not interp:
        return (p + flat[:, _index(list(p.long()), strides)]).clamp(min=0).minimum(limits)
    corners = [_corners(*one, volume=len(p) == 3) for one in zip(p, limits.flatten().tolist(), strict=True)]
    choices = itertools.product(*((low, high) for low, high, _ in corners))
    values = [flat[:, _index(voxel, strides)] for voxel in choices]
    for _, _, f in corners:  # along the first axis between the two halves, and so on
        half = len(values) // 2
        values = [low + f * (high - low) for low, high in zip(values[:half], values[half:], strict=True)]
    return (p + values[0]).clamp(min=0).minimum(limits)


def _corners(position: torch.Tensor, last: float, *, volume: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The two pixels of an axis between which positions are sampled, and how far they are from the first to the second.

    Planes are sampled at the position, volumes as `_follow_kernels._corners` tells; ``last + 1`` is the rim of zeros.
    """
    if not volume or last == 0:
        low = position.long()
        return low, low + 1, position - low
    at = position * ((last + 1) / last) - 0.5
    low = at.floor().long().clamp(max=int(last))
    return torch.where(low < 0, int(last) + 1, low), low + 1, at - low


def _index(pixel: Sequence[torch.Tensor], strides: list[int]) -> torch.Tensor:
    index = torch.zeros_like(pixel[0])
    for position, stride in zip(pixel, strides, strict=True):
        index += position * stride
    return index
