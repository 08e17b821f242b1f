"""Flows to masks with compiled kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._labels.arrays import Labels, fill_holes_and_remove_small, scan, without
from cellpose._machine.threads import run_sliced
from cellpose.dynamics._constants import NETWORK_SCALE
from cellpose.dynamics._cpu._follow import FEWEST_PIXELS, field_of, words_of
from cellpose.dynamics._cpu._gather import gather, index_type
from cellpose.dynamics._cpu._heat import cells_of, errors_above
from cellpose.dynamics._network_flows import NetworkFlows
from cellpose.options import Masking

__all__ = ["ends_of", "masks_of"]


def ends_of(flows: NetworkFlows, masking: Masking) -> npt.NDArray[Any]:
    """For each pixel of the image the index of the pixel it ends in (see `index_of`), -1 in the background."""
    from cellpose.dynamics._cpu import _follow_kernels as kernels

    shape, threshold = flows.shape, masking.cellprob_threshold
    field = field_of(flows.dP, flows.cellprob, threshold, NETWORK_SCALE, NETWORK_SCALE * flows.z_spacing)
    ends = np.empty(shape, index_type(shape))
    side = kernels.TILE if len(shape) == 2 else kernels.BRICK
    tiles = int(np.prod([-(-length // side) for length in shape]))
    logits, fewest = np.ascontiguousarray(flows.cellprob, np.float32), max(1, FEWEST_PIXELS // side ** len(shape))
    args = (logits, np.float32(threshold), words_of(field), masking.steps, masking.interp)
    if len(shape) == 3:
        run_sliced(kernels.ends_volume, tiles, *args, ends, smallest=fewest)
    else:
        run_sliced(kernels.ends_plane, tiles, *args, np.array(flows.origin, np.int64), ends, smallest=fewest)
    return ends


def masks_of(flows: NetworkFlows, masking: Masking, places: Sequence[npt.NDArray[np.int64] | None]) -> Labels:
    """Labels of an image; ``places`` are the pixels, along each axis, that those of the result are taken from."""
    labels = gather(ends_of(flows, masking), flows.shape)
    found = scan(labels)
    keep = (found.counts > 0) & (found.counts <= labels.size * masking.max_size_fraction)
    keep[0] = False
    if masking.most_error is not None and labels.ndim == 2:
        present = np.flatnonzero(keep)
        cells = cells_of(labels, found.boxes, present)
        keep[present] = ~errors_above(labels, cells, flows.dP, masking.most_error)
    labels = without(labels, found, keep)
    for axis, pixels in enumerate(places):
        if pixels is not None:
            labels = labels.take(pixels, axis)
    return fill_holes_and_remove_small(labels, masking.min_size) if masking.min_size > 0 else labels
