"""Label images as tensors, for devices other than the CPU: sizes, places, holes, outlines and overlaps.

Whole numbers all the way: the results are those of `cellpose.utils`, whatever the device.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cellpose._labels.arrays import Overlap
from cellpose._labels.arrays import fill_holes_and_remove_small as fill_holes_in_order

__all__ = [
    "Scan",
    "centres",
    "device_for_labels",
    "fill_holes_and_remove_small",
    "outlines",
    "overlap",
    "pixels_of",
    "real",
    "scan",
    "without",
]

MOST_PIXELS = 1 << 22  # of boxes that are looked at together: about 100 MB


class Scan(NamedTuple):
    """What `cellpose._labels.arrays.Scan` holds, as tensors on the device; all whole numbers are int64."""

    boxes: Tensor
    counts: Tensor
    broken: Tensor
    first: Tensor


class _Boxes(NamedTuple):
    """The boxes of some labels ``(k, z, y, x)``, each with a margin of a pixel and filled up to the largest.

    ``own`` are the pixels of the label, ``inside`` those of its box, ``places`` where they are in the flat image, 0
    outside of the box.
    """

    numbers: Tensor
    places: Tensor
    inside: Tensor
    own: Tensor


def device_for_labels(device: torch.device | str) -> torch.device:
    """The device itself, or the CPU for one that lacks some of what labels need, such as running maxima."""
    device = torch.device(device)
    return torch.device("cpu") if device.type == "mps" else device


def real(device: torch.device) -> torch.dtype:
    """The most exact real numbers that a device has."""
    return torch.float32 if device.type == "mps" else torch.float64


def _volume(labels: Tensor) -> Tensor:
    return labels if labels.ndim == 3 else labels[None]


def pixels_of(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Places of all pixels of labels in the flat image, in reading order, and the labels there."""
    flat = labels.flatten().long()
    places = torch.nonzero(flat)[:, 0]
    return places, flat[places]


def _coordinates(places: Tensor, shape: torch.Size) -> list[Tensor]:
    """Planes, rows and columns of places in a volume."""
    _, height, width = shape
    return [places // (height * width), places // width % height, places % width]


def _largest(labels: Tensor) -> int:
    return int(labels.max()) if labels.numel() else 0


def scan(labels: Tensor) -> Scan:
    """Boxes, sizes and places of all labels of a plane or volume, int32."""
    volume, n = _volume(labels), _largest(labels)
    places, own = pixels_of(volume)
    counts = torch.bincount(own, minlength=n + 1)
    counts[0] = volume.numel() - len(own)

    def least(values: Tensor, none: int) -> Tensor:
        found = torch.full((n + 1,), torch.iinfo(torch.int64).max, device=labels.device)
        found.scatter_reduce_(0, own, values, "amin")
        return torch.where((counts > 0) & (torch.arange(n + 1, device=labels.device) > 0), found, none)

    edges = []
    for coordinate in _coordinates(places, volume.shape):
        edges += [least(coordinate, 0), -least(-coordinate - 1, 0)]
    return Scan(torch.stack(edges, dim=1), counts, _broken(volume, places, own, n), least(places, -1))


def _broken(volume: Tensor, places: Tensor, own: Tensor, n: int) -> Tensor:
    """Whether a label has two runs in one line along x."""
    width = volume.shape[2]
    begins = torch.ones_like(own, dtype=torch.bool)
    begins[1:] = (own[1:] != own[:-1]) | (places[1:] != places[:-1] + 1) | (places[1:] % width == 0)
    lines = volume.shape[0] * volume.shape[1]
    runs, repeats = torch.unique(own[begins] * lines + places[begins] // width, return_counts=True)
    broken = torch.zeros(n + 1, dtype=torch.bool, device=volume.device)
    broken[runs[repeats > 1] // max(lines, 1)] = True
    return broken


def _numbered(labels: Tensor, order: Tensor, n: int) -> Tensor:
    """Labels ``order`` numbered 1, 2, ..., others (up to ``n``) become background."""
    table = torch.zeros(n + 1, dtype=torch.int32, device=labels.device)
    table[order] = torch.arange(1, len(order) + 1, dtype=torch.int32, device=labels.device)
    return table[labels.long()]


def _in_order(found: Scan, keep: Tensor) -> Tensor:
    """The labels flagged in ``keep`` that are present, in the order in which they are met row by row."""
    present = torch.nonzero((found.first >= 0) & keep)[:, 0]
    return present[torch.argsort(found.first[present])]


def without(labels: Tensor, found: Scan, keep: Tensor) -> Tensor:
    """Labels flagged in ``keep``, numbered 1..n as they are met; ``found`` is the result of `scan` for the labels."""
    return _numbered(labels, _in_order(found, keep), len(keep) - 1)


def centres(labels: Tensor, found: Scan, cells: Tensor) -> Tensor:
    """The pixel (k, 3) of each of the cells nearest to the mean of its pixels, the first if several.

    As `_kernels.centres`: distances are compared times the number of pixels.
    """
    volume = _volume(labels)
    place_of = torch.full((len(found.counts),), -1, device=labels.device)
    place_of[cells] = torch.arange(len(cells), device=labels.device)
    places, own = pixels_of(volume)
    ours = place_of[own] >= 0
    places, own = places[ours], own[ours]
    distance = torch.zeros(len(places), dtype=real(labels.device), device=labels.device)
    for axis, coordinate in enumerate(_coordinates(places, volume.shape)):
        from_low = coordinate - found.boxes[own, 2 * axis]
        sums = torch.zeros_like(found.counts).index_add_(0, own, from_low)
        distance += (found.counts[own] * from_low - sums[own]).to(distance.dtype) ** 2
    number = place_of[own]
    nearest = torch.full((len(cells),), torch.inf, dtype=distance.dtype, device=labels.device)
    nearest.scatter_reduce_(0, number, distance, "amin")
    candidates = distance == nearest[number]
    first = torch.full((len(cells),), volume.numel(), device=labels.device)
    first.scatter_reduce_(0, number[candidates], places[candidates], "amin")
    return torch.stack(_coordinates(first, volume.shape), dim=1)


# ------------------------------------------------------------------------------------------------- holes and outlines


def _boxes_of(volume: Tensor, numbers: Tensor, boxes: Tensor, axes: tuple[int, ...]) -> Iterator[_Boxes]:
    """Boxes of labels, those of similar size together, with a margin along ``axes`` (1: z, 2: y, 3: x)."""
    lows, extents = boxes[:, ::2], boxes[:, 1::2] - boxes[:, ::2]
    margin = [int(axis in axes) for axis in (1, 2, 3)]
    sides = extents.cpu().numpy() + 2 * np.array(margin)
    order = np.argsort(-sides.max(axis=1), kind="stable")
    while order.size:
        room = np.maximum.accumulate(sides[order], axis=0).prod(axis=1) * np.arange(1, order.size + 1)
        some, order = np.split(order, [max(1, int(np.searchsorted(room, MOST_PIXELS, side="right")))])
        chosen = torch.from_numpy(some).to(volume.device)
        places = torch.zeros((1, 1, 1, 1), dtype=torch.int64, device=volume.device)
        inside = torch.ones_like(places, dtype=torch.bool)
        for axis, side in enumerate(sides[some].max(axis=0)):
            shape = [1 if other != axis + 1 else -1 for other in range(4)]
            offset = (torch.arange(int(side), device=volume.device) - margin[axis]).reshape(shape)
            low, extent = (values[chosen, axis].reshape(-1, 1, 1, 1) for values in (lows, extents))
            places = places * volume.shape[axis] + low + offset
            inside = inside & (offset >= 0) & (offset < extent)
        places = torch.where(inside, places, 0)
        own = (volume.flatten()[places] == numbers[chosen].reshape(-1, 1, 1, 1)) & inside
        yield _Boxes(numbers[chosen], places, inside, own)


def _reached(outside: Tensor, own: Tensor, axis: int) -> Tensor:
    """Pixels before which, along an axis, one that is outside comes after the last one of the label."""
    shape = [1 if other != axis else -1 for other in range(own.ndim)]
    at = torch.arange(own.shape[axis], dtype=torch.int32, device=own.device).reshape(shape)
    last_own, last_outside = (torch.where(which, at, -1).cummax(axis).values for which in (own, outside))
    return last_outside > last_own


def _outside(box: _Boxes, axes: tuple[int, ...]) -> Tensor:
    """Pixels that are connected with the margin of their box by steps along the axes without crossing the label."""
    outside = ~box.inside
    while True:
        before = outside
        for axis in axes:
            backwards = _reached(outside.flip(axis), box.own.flip(axis), axis).flip(axis)
            outside = outside | _reached(outside, box.own, axis) | backwards
        if torch.equal(before, outside):
            return outside


def _axes(labels: Tensor) -> tuple[int, ...]:
    """Axes of boxes along which pixels of a plane or a volume are neighbors."""
    return (2, 3) if labels.ndim == 2 else (1, 2, 3)


def fill_holes_and_remove_small(labels: Tensor, min_size: int) -> Tensor:
    """Like :func:`cellpose._labels.arrays.fill_holes_and_remove_small`, for int32 tensors."""
    found = scan(labels)
    keep = found.counts >= max(min_size, 1)
    keep[0] = False
    old = _in_order(found, keep) if min_size > 0 else torch.nonzero(keep)[:, 0]
    out = _numbered(labels, old, len(keep) - 1)
    numbers = torch.nonzero(found.broken[old])[:, 0] + 1
    holes = []
    for box in _boxes_of(_volume(out), numbers, found.boxes[old[numbers - 1]], _axes(labels)):
        hole = ~(_outside(box, _axes(labels)) | box.own)
        holes.append((box.places[hole], box.numbers.reshape(-1, 1, 1, 1).expand_as(hole)[hole]))
    flat = out.view(-1)
    if any(bool(flat[places].any()) for places, _ in holes):
        # Labels in the holes of others: which are strays, and whose hole is filled first, is told label by label.
        return torch.from_numpy(fill_holes_in_order(labels.cpu().numpy(), min_size)).to(labels.device)
    for places, fillings in holes:
        flat[places] = fillings.to(torch.int32)
    return out


def outlines(plane: Tensor) -> Tensor:
    """Like :func:`cellpose.utils.masks_to_outlines`, for an int32 tensor of one plane."""
    rimmed = torch.nn.functional.pad(plane, (1, 1, 1, 1))
    inner, before, after = slice(1, -1), slice(None, -2), slice(2, None)
    marks = torch.zeros_like(plane, dtype=torch.bool)
    for neighbour in ((before, inner), (after, inner), (inner, before), (inner, after)):
        marks |= rimmed[neighbour] != plane
    marks &= plane > 0
    # Borders of holes, and what lies in them, are none: only labels with two runs in a line can have holes.
    found = scan(plane)
    numbers = torch.nonzero(found.broken)[:, 0]
    for box in _boxes_of(plane[None], numbers, found.boxes[numbers], (2, 3)):
        outside = _outside(box, (2, 3))
        near = torch.zeros_like(outside)
        for axis in (2, 3):
            for step in (-1, 1):
                near |= outside.roll(step, axis)  # what is carried over the edge stays in the margin
        marks.view(-1)[box.places[box.own]] = near[box.own]
    return marks


def overlap(a: Tensor, b: Tensor) -> Overlap:
    """Like :func:`cellpose._labels.arrays.overlap`, for tensors of one shape; returns arrays."""
    width = _largest(b) + 1
    keys, counts = torch.unique(a.flatten().long() * width + b.flatten().long(), return_counts=True)
    pairs = keys.cpu().numpy()
    return Overlap(pairs // width, pairs % width, counts.cpu().numpy())
