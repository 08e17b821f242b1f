"""The result of tracking: the track of each cell in each frame, and the parents of each track."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._labels.arrays import Labels, relabeled, tabled
from cellpose.errors import InputError
from cellpose.track._cells import cells_of
from cellpose.track._frames import as_frames

__all__ = ["Tracks", "edges_of", "sorted_tracks"]


@dataclass(frozen=True, eq=False)
class Tracks:
    """Tracks of the cells of a movie.

    Attributes
    ----------
    frame, label, track
        Int64 ``(n,)``: each cell by its frame (from 0), its label there and the number of its track (from 1), sorted by
        track and frame. A track has at most one cell in a frame and may miss frames.
    centroid
        Float64 ``(n, 2 or 3)``: mean position of the cell's pixels, ``([z,] y, x)`` in pixels.
    area
        Int64 ``(n,)``: number of the cell's pixels.
    parents
        The tracks that each track came from: one after a division, several after a merge. Tracks without are absent.
    n_frames
        Number of frames in the movie.
    """

    frame: npt.NDArray[np.int64]
    label: npt.NDArray[np.int64]
    track: npt.NDArray[np.int64]
    centroid: npt.NDArray[np.float64]
    area: npt.NDArray[np.int64]
    n_frames: int
    parents: Mapping[int, tuple[int, ...]] = field(default_factory=dict)

    @classmethod
    def of_numbered(cls, masks: Any, parents: Mapping[int, Sequence[int]] | None = None) -> Tracks:
        """Tracks of label images in which each cell keeps one number through all frames.

        Parameters
        ----------
        masks
            Label images ``(T, [Z,] Y, X)``, as returned by `masks` or `cellpose.synthetic.sample_movie`.
        parents
            The tracks that each track came from.
        """
        cells = [cells_of(frame) for frame in as_frames(masks)]
        rows = {
            "frame": np.repeat(np.arange(len(cells)), [one.label.size for one in cells]),
            "label": np.concatenate([one.label for one in cells]),
            "track": np.concatenate([one.label for one in cells]),
            "area": np.concatenate([one.area for one in cells]),
            "centroid": np.concatenate([one.centroid for one in cells]),
        }
        return sorted_tracks(rows, len(cells), parents or {})

    def __repr__(self) -> str:
        counted = {
            "track": self.numbers.size,
            "cell": self.frame.size,
            "frame": self.n_frames,
            "division": len(self.divided),
        }
        texts = [f"{count} {word if count == 1 else word + 's'}" for word, count in counted.items()]
        return "Tracks({} of {} in {}, {})".format(*texts)

    @property
    def numbers(self) -> npt.NDArray[np.int64]:
        """The track numbers, ascending."""
        return np.unique(self.track)

    @property
    def divided(self) -> tuple[int, ...]:
        """Tracks that end in a division."""
        return tuple(sorted(parent for parent, children in self.children().items() if len(children) > 1))

    def children(self) -> dict[int, tuple[int, ...]]:
        """The child tracks of each track that has any."""
        found: dict[int, list[int]] = {}
        for child, parents in sorted(self.parents.items()):
            for parent in parents:
                found.setdefault(parent, []).append(child)
        return {parent: tuple(children) for parent, children in found.items()}

    def spans(self) -> dict[int, tuple[int, int]]:
        """First and last frame of each track."""
        starts = np.flatnonzero(np.diff(self.track, prepend=-1))
        stops = np.flatnonzero(np.diff(self.track, append=-1))
        return {
            int(self.track[a]): (int(self.frame[a]), int(self.frame[b])) for a, b in zip(starts, stops, strict=True)
        }

    def masks(self, masks: Any) -> npt.NDArray[np.int32]:
        """The label images of the movie, renumbered by track; 0 for cells without a track.

        Parameters
        ----------
        masks
            The label images that were tracked, ``(T, [Z,] Y, X)``.

        Returns
        -------
        int32 array (T, [Z,] Y, X)
        """
        frames = as_frames(masks)
        if len(frames) != self.n_frames:
            message = (
                f"{len(frames)} frames are given for tracks through {self.n_frames}; give the frames that were tracked"
            )
            raise InputError(message)
        return np.stack([self._of_tracks(t, frame) for t, frame in enumerate(frames)])

    def _of_tracks(self, t: int, frame: Labels) -> Labels:
        here = self.frame == t
        labels, numbers = tabled(frame)
        table = np.zeros(int(labels.max(initial=0)) + 1, np.int32)
        numbers = np.arange(table.size) if numbers is None else numbers
        _, places, rows = np.intersect1d(numbers, self.label[here], assume_unique=True, return_indices=True)
        table[places] = self.track[here][rows]
        return relabeled(labels, table)

    def without(self, tracks: Iterable[int]) -> Tracks:
        """The tracks without some of them."""
        gone = set(tracks)
        keep = ~np.isin(self.track, list(gone))
        parents = {
            child: left
            for child, old in self.parents.items()
            if child not in gone and (left := tuple(p for p in old if p not in gone))
        }
        return Tracks(
            self.frame[keep], self.label[keep], self.track[keep], self.centroid[keep], self.area[keep], self.n_frames,
            parents,
        )  # fmt: skip


def sorted_tracks(rows: Mapping[str, npt.NDArray[Any]], n_frames: int, parents: Mapping[int, Sequence[int]]) -> Tracks:
    """Tracks from columns in any order; parents without cells are left out."""
    order = np.lexsort((rows["frame"], rows["track"]))
    known = set(np.unique(rows["track"]).tolist())
    kept = {
        int(child): tuple(int(p) for p in old if p in known)
        for child, old in parents.items()
        if child in known and any(p in known for p in old)
    }
    frame, label, track, area = (rows[name][order].astype(np.int64) for name in ("frame", "label", "track", "area"))
    return Tracks(frame, label, track, rows["centroid"][order].astype(np.float64), area, n_frames, kept)


def edges_of(tracks: Tracks) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Indices of consecutive cells, within a track and from parents to children."""
    same = np.flatnonzero(np.diff(tracks.track) == 0)
    pairs = [(int(k), int(k) + 1) for k in same]
    first = {int(n): int(np.searchsorted(tracks.track, n)) for n in tracks.numbers}
    last = {int(n): int(np.searchsorted(tracks.track, n, "right")) - 1 for n in tracks.numbers}
    pairs += [(last[p], first[child]) for child, parents in tracks.parents.items() for p in parents]
    found = np.array(sorted(pairs), np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]
