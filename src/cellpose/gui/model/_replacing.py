"""The cells of a segmentation, of all or of a part, in place of those that are there."""

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
    """The cells of a segmentation in place of those that are there.

    Parameters
    ----------
    store
        The labels.
    labels
        New labels 1..n, of the shape of the planes.
    scores
        Of the new cells, (n,); None: unknown.
    keep
        Cells that stay as they are. New cells give way to them, and those that lie under one for more than a half are
        the same cell found again, and left out.
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
    """The cells of a segmentation of a part of the planes, in place of those that are there.

    A cell belongs to the part if more than a half of it lies there. Others stay as they are, whether found or kept.
    In a movie a cell that is found again takes over the links of the one that it replaces.

    Parameters
    ----------
    store
        The labels.
    box
        Where the new labels lie: the part with a margin, so that cells on its border are whole.
    labels
        New labels 1..n, of the shape of the box.
    region
        The part, inside of the box.
    scores, keep, name
        As of `replace_all`.
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
    """Leave of a new cell that others cut its largest piece; whether that is large enough for a cell."""
    mask = new[box.slices] == label
    pieces = pieces_of(mask & ~others[box.slices])
    if not pieces or np.count_nonzero(pieces[0]) < FEWEST_PIXELS:
        return False
    new[box.slices][mask & ~pieces[0]] = 0
    return True
