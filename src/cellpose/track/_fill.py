"""Fills gaps: cells that are missing in some frames are restored from their neighbors in time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._labels.arrays import Labels
from cellpose.track._frames import as_frames
from cellpose.track._tracks import Tracks, sorted_tracks

__all__ = ["fill_gaps"]

_LEAST = 0.5  # share of a cell that must find room for the cell to be put back


def fill_gaps(masks: Any, tracks: Tracks) -> tuple[npt.NDArray[np.int32], Tracks]:
    """Put cells back into the frames that their tracks miss.

    In each of these frames the cell takes its shape from the nearest frame before or after that has it, at a position
    between the two. It covers background only. If less than half of it finds room, it stays missing.

    Parameters
    ----------
    masks
        The label images that were tracked, ``(T, [Z,] Y, X)``; not modified.
    tracks
        Their tracks.

    Returns
    -------
    masks : int32 array (T, [Z,] Y, X)
        With the cells put back; their labels continue from the largest of the frame.
    tracks : Tracks
        Includes these cells.
    """
    frames = [frame.copy() for frame in as_frames(masks)]
    rows: dict[str, list[Any]] = {"frame": [], "label": [], "track": [], "area": [], "centroid": []}
    for k in np.flatnonzero((np.diff(tracks.track) == 0) & (np.diff(tracks.frame) > 1)):
        first, last = int(tracks.frame[k]), int(tracks.frame[k + 1])
        for t in range(first + 1, last):
            share = (t - first) / (last - first)
            source = int(k) if share <= 0.5 else int(k) + 1
            middle = (1 - share) * tracks.centroid[k] + share * tracks.centroid[k + 1]
            shift = np.rint(middle - tracks.centroid[source]).astype(np.int64)
            shape = _pixels_of(frames[int(tracks.frame[source])], int(tracks.label[source]))
            found = _put(frames[t], shape + shift[:, None])
            if found is not None:
                label, pixels = found
                values = (t, label, int(tracks.track[k]), pixels.shape[1], pixels.mean(axis=1))
                for name, value in zip(rows, values, strict=True):
                    rows[name].append(value)
    if not rows["frame"]:
        return np.stack(frames), tracks
    columns = {name: np.concatenate([getattr(tracks, name), np.array(rows[name])]) for name in rows}
    return np.stack(frames), sorted_tracks(columns, tracks.n_frames, tracks.parents)


def _pixels_of(frame: Labels, label: int) -> npt.NDArray[np.int64]:
    """The pixels of a cell, ``(ndim, n)``."""
    return np.array(np.nonzero(frame == label))


def _put(frame: Labels, pixels: npt.NDArray[np.int64]) -> tuple[int, npt.NDArray[np.int64]] | None:
    """Write a new cell to the background of a frame; return its label and pixels, or None if it finds no room."""
    sides = np.array(frame.shape).reshape(-1, 1)
    there = pixels[:, ((pixels >= 0) & (pixels < sides)).all(axis=0)]
    free = there[:, frame[tuple(there)] == 0]
    if free.shape[1] < max(1, _LEAST * pixels.shape[1]):
        return None
    label = int(frame.max()) + 1
    frame[tuple(free)] = label
    return label, free
