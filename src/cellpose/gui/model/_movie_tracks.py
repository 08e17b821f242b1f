"""Conversion between the links of a document and the tracks of `cellpose.track`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cellpose._labels.arrays import relabeled, scan
from cellpose.gui.model._box import Box
from cellpose.gui.model._labels import Table
from cellpose.gui.model._links import Lineage

if TYPE_CHECKING:
    from cellpose.track import Tracks

__all__ = ["filled_cells", "links_of", "numbered_lineage", "tracks_of"]

Labels = npt.NDArray[np.int32]


def links_of(tracks: Tracks) -> dict[int, int]:
    """For each linked cell of a movie with unique labels per frame, the cell of an earlier frame."""
    links = dict[int, int]()
    last, first = dict[int, int](), dict[int, int]()
    for number, label in zip(tracks.track.tolist(), tracks.label.tolist(), strict=True):  # by track and frame
        if number in last:
            links[label] = last[number]
        first.setdefault(number, label)
        last[number] = label
    for child, parents in tracks.parents.items():
        links[first[child]] = last[parents[0]]
    return links


def filled_cells(before: Labels, filled: Labels, tracks: Tracks) -> tuple[list[tuple[Box, Any]], Tracks]:
    """Cells that were filled into frames, with new numbers.

    Parameters
    ----------
    before, filled
        Labels 1..n of the movie (T, Y, X), and the result of `cellpose.track.fill_gaps` for them.
    tracks
        Tracks of the filled labels.

    Returns
    -------
    pieces
        Boxes of the new cells n + 1, ... with their labels.
    tracks
        The same tracks with these numbers.
    """
    pieces: list[tuple[Box, Any]] = []
    next_id = int(before.max(initial=0)) + 1
    label = tracks.label.copy()
    after = before.copy()
    for frame in np.flatnonzero((before != filled).any(axis=(1, 2))).tolist():
        new = np.where(before[frame] != filled[frame], filled[frame], 0)[None]
        boxes = scan(np.ascontiguousarray(new)).boxes.reshape(-1, 6)
        for number in np.unique(new[new > 0]).tolist():
            place = Box(*(int(end) for end in boxes[number]))._replace(z0=frame, z1=frame + 1)
            inside = new[place._replace(z0=0, z1=1).slices] == number
            after[place.slices][inside] = next_id
            pieces.append((place, after[place.slices].copy()))
            label[(tracks.frame == frame) & (tracks.label == number)] = next_id
            next_id += 1
    return pieces, replace(tracks, label=label)


def numbered_lineage(rows: Table, links: Labels) -> Lineage:
    """The tracks of cells numbered 1..n, from rows of the table (n,) and the earlier cell of each, same numbering."""
    table = np.zeros(len(rows) + 1, rows.dtype)
    table[1:] = rows
    table["earlier"][1:] = links
    return Lineage.of(table)


def tracks_of(labels: Labels, rows: Table, links: Labels) -> Tracks:
    """The tracks of a movie for the files of other programs.

    Parameters
    ----------
    labels
        Numbered 1..n, int32 (T, Y, X).
    rows
        Rows of the table, dtype ``CELL`` (n,).
    links
        The earlier cell of each, in the same numbering, (n,).
    """
    from cellpose.track import Tracks

    lineage = numbered_lineage(rows, links)
    starts = np.unique(lineage.track[1:]).tolist()
    parents = {start: (mother,) for start in starts if (mother := lineage.mother_of(start))}
    tracks = Tracks.of_numbered(relabeled(labels, lineage.track), parents)
    of = {key: label for label, key in enumerate(zip(lineage.track.tolist(), lineage.frame.tolist(), strict=True))}
    numbers = [of[key] for key in zip(tracks.track.tolist(), tracks.frame.tolist(), strict=True)]
    return replace(tracks, label=np.array(numbers, np.int64))
