"""Blocks of an array: where they lie, what they overlap with, how their labels are numbered."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.errors import InputError, OptionError

__all__ = ["core_of", "get_block_crops", "get_nblocks", "global_segment_ids", "later_neighbours", "remove_overlaps"]

Index = tuple[int, ...]
Crop = tuple[slice, ...]
Labels = npt.NDArray[Any]

_DIGITS = 5  # of a label within its block, in ids that name the block too


def get_nblocks(shape: Sequence[int], blocksize: Sequence[int]) -> npt.NDArray[np.int64]:
    """Number of blocks along each axis.

    Examples
    --------
    >>> get_nblocks((100, 65), (32, 32))
    array([4, 3])
    """
    if len(shape) != len(blocksize) or min(blocksize, default=0) < 1:
        message = f"blocksize={tuple(blocksize)} does not fit an array of shape {tuple(shape)}; give one side per axis"
        raise OptionError(message)
    return np.array([math.ceil(n / b) for n, b in zip(shape, blocksize, strict=True)])


def core_of(index: Index, shape: Sequence[int], blocksize: Sequence[int], overlap: int = 0) -> Crop:
    """The part of the array that a block fills, or sees if the overlap is included."""
    return tuple(
        slice(max(i * b - overlap, 0), min((i + 1) * b + overlap, n))
        for i, b, n in zip(index, blocksize, shape, strict=True)
    )


def get_block_crops(
    shape: Sequence[int], blocksize: Sequence[int], overlap: int, mask: npt.ArrayLike | None = None
) -> tuple[list[Index], list[Crop]]:
    """Blocks with something in the foreground, and what they see with their overlaps.

    Parameters
    ----------
    shape, blocksize
        Of the array and of its blocks, in pixels.
    overlap
        Pixels seen around a block.
    mask
        Foreground, of the same extent as the array in any resolution; None: everywhere.

    Returns
    -------
    tuple
        Indices of the blocks; slices of the array that each sees.

    Examples
    --------
    >>> get_block_crops((10, 20), (10, 10), 2)
    ([(0, 0), (0, 1)], [(slice(0, 10, None), slice(0, 12, None)), (slice(0, 10, None), slice(8, 20, None))])
    """
    nblocks = get_nblocks(shape, blocksize)
    indices = [tuple(int(i) for i in index) for index in np.ndindex(*nblocks)]
    if mask is not None:
        foreground = np.asarray(mask)
        if foreground.ndim != len(shape):
            message = (
                f"a mask of shape {foreground.shape} does not fit an array of shape {tuple(shape)}; give a mask with "
                "as many axes"
            )
            raise InputError(message)
        indices = [i for i in indices if _is_foreground(foreground, core_of(i, shape, blocksize), shape)]
    return indices, [core_of(index, shape, blocksize, overlap) for index in indices]


def _is_foreground(mask: npt.NDArray[Any], core: Crop, shape: Sequence[int]) -> bool:
    scaled = tuple(
        slice(part.start * m // n, max(-(-part.stop * m // n), part.start * m // n + 1))
        for part, m, n in zip(core, mask.shape, shape, strict=True)
    )
    return bool(np.any(mask[scaled]))


def remove_overlaps(array: Labels, crop: Crop, overlap: int, blocksize: Sequence[int]) -> tuple[Labels, list[slice]]:
    """The part of a block's labels that it fills itself.

    Parameters
    ----------
    array
        Labels of all that the block sees.
    crop
        Its part of the array.
    overlap
        Pixels seen around a block.
    blocksize
        Of the blocks.

    Returns
    -------
    tuple
        Labels without overlaps; the slices of the array that they fill.
    """
    inner: list[slice] = []
    outer: list[slice] = []
    for part, side in zip(crop, blocksize, strict=True):
        # Only the first block of an axis starts at 0, and has no overlap there.
        start = part.start if part.start == 0 else part.start + overlap
        stop = min(start + side, part.stop)
        inner.append(slice(start - part.start, stop - part.start))
        outer.append(slice(start, stop))
    return array[tuple(inner)], outer


def global_segment_ids(
    segmentation: Labels, block_index: Index, nblocks: Sequence[int]
) -> tuple[npt.NDArray[np.uint32], list[int]]:
    """Labels that are unique in the whole array: the number of the block, then five digits of the label.

    Parameters
    ----------
    segmentation
        Labels of one block.
    block_index, nblocks
        Which block of how many along each axis.

    Returns
    -------
    tuple
        Labels, uint32; the ids in ascending order, without the background.

    Raises
    ------
    InputError
        If there are more labels, or blocks, than such ids can name.

    Examples
    --------
    >>> global_segment_ids(np.array([0, 7, 3]), (1, 2), (2, 3))
    (array([     0, 500002, 500001], dtype=uint32), [500001, 500002])
    """
    block = int(np.ravel_multi_index(block_index, tuple(int(n) for n in nblocks)))
    values, inverse = np.unique(segmentation, return_inverse=True)
    ids = np.cumsum(values != 0) + block * 10**_DIGITS
    ids[values == 0] = 0
    named = ids[values != 0]
    if len(named) >= 10**_DIGITS or (len(named) and named[-1] > np.iinfo(np.uint32).max):
        message = f"block {block} has {len(named)} labels, too many for {_DIGITS} digits; give a smaller blocksize"
        raise InputError(message)
    return ids.astype(np.uint32)[inverse.reshape(segmentation.shape)], [int(i) for i in named]


def later_neighbours(index: Index, processed: set[Index]) -> Iterator[Index]:
    """Processed blocks that touch this one, at faces, edges or corners, and come after it."""
    for step in itertools.product((-1, 0, 1), repeat=len(index)):
        other = tuple(i + s for i, s in zip(index, step, strict=True))
        if other > index and other in processed:
            yield other


def neighbours(index: Index, processed: set[Index]) -> Iterator[Index]:
    """Processed blocks that touch this one, in order."""
    for step in itertools.product((-1, 0, 1), repeat=len(index)):
        other = tuple(i + s for i, s in zip(index, step, strict=True))
        if other != index and other in processed:
            yield other
