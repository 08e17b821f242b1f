"""Labels of the places in which pixels gather, with tensors."""

from __future__ import annotations

import numpy as np
import torch

from cellpose.dynamics._constants import FRINGE, PEAK, REACH
from cellpose.dynamics._torch._tensors import index_of, strides_of

__all__ = ["gather"]

SEEDS = 4096  # grown at once: 40 MB of a plane, 400 MB of a volume


def gather(positions: torch.Tensor, shape: tuple[int, ...], *, small_wins: bool = False) -> torch.Tensor:
    """Label, 1..n in the order of the seeds, of pixels that end at ``positions`` (ndim, n); 0 for none.

    As `_cpu._gather.gather`, in whole numbers all the way, so that the result is the same.
    """
    rimmed = tuple(side + 2 * REACH for side in shape)
    strides = strides_of(rimmed)
    sides = torch.tensor(shape, device=positions.device)[:, None] - 1
    pixel = positions.long().clamp(min=0).minimum(sides) + REACH
    ends = index_of(list(pixel), strides)
    counts = torch.bincount(ends, minlength=int(np.prod(rimmed)))
    image = counts.reshape(1, *rimmed).to(torch.float32)  # whole numbers of pixels, exact up to 16 million
    pool = torch.nn.functional.max_pool2d if len(shape) == 2 else torch.nn.functional.max_pool3d
    seeds = torch.nonzero(((image == pool(image, 5, 1, 2)) & (image > PEAK)).flatten())[:, 0]
    sizes = counts[seeds]
    seeds = seeds[torch.argsort(-sizes if small_wins else sizes, stable=True)]
    table = torch.zeros_like(counts)
    offsets = index_of(torch.meshgrid(*[torch.arange(-REACH, REACH + 1)] * len(shape), indexing="ij"), strides)
    around = offsets.to(seeds.device)
    for first in range(0, len(seeds), SEEDS):
        some = seeds[first : first + SEEDS]
        places = some.reshape(-1, *[1] * len(shape)) + around
        room = counts[places] > FRINGE
        met = places == some.reshape(-1, *[1] * len(shape))
        for _ in range(REACH):
            met = (pool(met.to(torch.float32)[:, None], 3, 1, 1)[:, 0] > 0) & room
        number = torch.arange(first + 1, first + 1 + len(some), device=seeds.device).reshape(-1, *[1] * len(shape))
        # Of two that meet the later one has the place.
        table.scatter_reduce_(0, places[met], number.expand_as(places)[met], "amax")
    return table[ends].to(torch.int32)
