"""Replacing cells by those of a segmentation, in the whole image or in a part."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._labels.arrays import relabeled, scan
from cellpose.gui.model._box import Box, Mask, hull
from cellpose.gui.model._labels import Edit, LabelStore
from cellpose.gui.model._links import inherited
from cellpose.gui.model._pieces import FEWEST_PIXELS, pieces_of

__all__ = ["replace_all", "replace_within"]

Planes = npt.NDArray[np.int32]


def replace_all(
    store: LabelStore,
    labels: npt.NDArray[Any],
    scores: npt.NDArray[Any] | None = None,
    *,
    keep: Iterable[int] = (),
    name: str = "segment",
) -> Edit:
    """Replace all cells by those of a segmentation.

    Parameters
    ----------
    store
        The labels.
    labels
        New labels 1..n, of the shape of the planes.
    scores
        Scores of the new cells, (n,); None: unknown.
    keep
        Cells that stay as they are. New cells give way to them. A new cell more than half covered by one is the same
        cell found again, and is dropped.
    name
        Name of the edit.
    """
    z, y, x = store.shape
    whole = Box(0, z, 0, y, 0, x)
    return replace_within(store, whole, labels, whole, scores, keep=keep, name=name)


def replace_within(
    store: LabelStore,
    box: Box,
    labels: npt.NDArray[Any],
    region: Box,
    scores: npt.NDArray[Any] | None = None,
    *,
    keep: Iterable[int] = (),
    name: str = "segment",
) -> Edit:
    """Replace the cells in a part of the planes by those of a segmentation of that part.

    A cell belongs to the part if more than half of it lies there. Old cells outside the part stay, and new ones are
    dropped. In a movie, a cell found again takes over the links of the cell it replaces.

    Parameters
    ----------
    store
        The labels.
    box
        Box of the new labels: the part with a margin, so that cells on its border are whole.
    labels
        New labels 1..n, of the shape of the box.
    region
        The part, inside the box.
    scores, keep, name
        As in `replace_all`.
    """
    new = np.ascontiguousarray(labels, np.int32)
    found = scan(new)
    n, sizes = len(found.counts) - 1, found.counts
    wanted = 2 * (sizes if region == box else _sizes(new[region.within(box)], n)) > sizes
    wanted[0] = False
    kept = np.zeros(store.next_id, bool)
    kept[[cell for cell in keep if store.has(cell)]] = True
    area = store.table["area"]
    whole = region.shape == store.shape
    gone = (2 * (area if whole else _sizes(store.planes[region.slices], store.next_id - 1)) > area) & (area > 0) & ~kept
    around = hull([box, *store.table["box"][gone].tolist()])
    before = store.planes[around.slices]
    stays = None
    if (area[~gone] > 0).any():
        left = np.arange(store.next_id, dtype=np.int32)
        left[gone] = 0
        after = relabeled(np.ascontiguousarray(before), left)
        stays = after[box.within(around)] > 0
        hidden = np.bincount(new[stays], minlength=n + 1)
        wanted &= 2 * hidden <= sizes
        for label in np.flatnonzero(wanted & (hidden > 0)):
            wanted[label] = _largest_piece_stays(new, int(label), Box(*(int(end) for end in found.boxes[label])), stays)
    numbers = np.zeros(n + 1, np.int32)
    numbers[wanted] = store.next_id + np.arange(np.count_nonzero(wanted), dtype=np.int32)
    placed = relabeled(new, numbers)
    if stays is not None:
        np.copyto(after[box.within(around)], placed, where=~stays)
    elif around == box:
        after = placed
    else:
        after = np.zeros(around.shape, np.int32)
        after[box.within(around)] = placed
    facts: dict[int, dict[str, Any]] = {
        int(numbers[label]): {"score": np.nan if scores is None else scores[label - 1], "manual": False}
        for label in np.flatnonzero(wanted)
    }
    for cell, link in inherited(store, box, placed, gone).items():
        facts[cell] = {**facts.get(cell, {}), **link}
    return replace(store.write(name, [(around, after)], facts), labels=np.flatnonzero(wanted))


def _sizes(labels: Planes, largest: int) -> npt.NDArray[np.int64]:
    return scan(np.ascontiguousarray(labels), largest).counts


def _largest_piece_stays(new: Planes, label: int, box: Box, others: Mask) -> bool:
    """Keep only the largest piece of a new cell cut by others; return whether it is large enough for a cell."""
    mask = new[box.slices] == label
    pieces = pieces_of(mask & ~others[box.slices])
    if not pieces or np.count_nonzero(pieces[0]) < FEWEST_PIXELS:
        return False
    new[box.slices][mask & ~pieces[0]] = 0
    return True
