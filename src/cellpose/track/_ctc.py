"""Folders of the Cell Tracking Challenge: label images numbered by track, and a table of the tracks.

The format is that of https://celltrackingchallenge.net: ``res_track.txt`` (results) or ``man_track.txt`` (truth) has a
line ``L B E P`` for each track: its number, first frame, last frame and parent track (0: none).
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose import io
from cellpose._machine.writing import replacing
from cellpose.errors import FileMissingError, FileReadError
from cellpose.track._frames import as_frames
from cellpose.track._tracks import Tracks, sorted_tracks

__all__ = ["read_ctc", "write_ctc"]

logger = logging.getLogger("cellpose.track")

PathLike = str | os.PathLike[str]

_KINDS = (("man_track.txt", "man_track"), ("res_track.txt", "mask"))


def write_ctc(folder: PathLike, masks: Any, tracks: Tracks, *, truth: bool = False) -> list[Path]:
    """Write a folder of the Cell Tracking Challenge.

    A track that misses frames is written as several tracks, each the parent of the next. Of several parents that merge,
    only the first is named. The format has neither gaps nor merges. Images of an earlier, longer result in the folder
    are removed.

    Parameters
    ----------
    folder
        The folder; created if missing.
    masks
        The label images that were tracked, ``(T, [Z,] Y, X)``.
    tracks
        Their tracks.
    truth
        Use the names of annotations (``man_track...``) instead of those of results (``mask...``, ``res_track.txt``).

    Returns
    -------
    list of Path
        The files written, the table last.
    """
    whole = _without_gaps(tracks)
    images = whole.masks(masks).astype(np.uint16 if whole.numbers.max(initial=0) < 2**16 else np.uint32)
    target = Path(folder)
    io.check_dir(target)
    table, name = _KINDS[0 if truth else 1]
    # Only where a table says so are images there those of a result.
    earlier = _images_in(target, name) if (target / table).is_file() else []
    digits = max(3, len(str(len(images) - 1)))
    files = []
    for t, image in enumerate(images):
        files.append(target / f"{name}{t:0{digits}d}.tif")
        io.imsave(files[-1], image)
    lines = [f"{n} {a} {b} {whole.parents.get(n, (0,))[0]}\n" for n, (a, b) in whole.spans().items()]
    with replacing(target / table) as file:
        file.write("".join(lines).encode())
    for _, old in earlier:
        if old not in files:
            old.unlink()
    return [*files, target / table]


def _images_in(folder: Path, name: str) -> list[tuple[int, Path]]:
    """The images of a result or of a truth, with their frames."""
    return [(int(m[1]), file) for file in folder.iterdir() if (m := re.fullmatch(rf"{name}(\d+)\.tiff?", file.name))]


def _without_gaps(tracks: Tracks) -> Tracks:
    """The tracks, cut where they miss frames; the later pieces get new numbers."""
    cut = (np.diff(tracks.track) == 0) & (np.diff(tracks.frame) > 1)
    places = np.flatnonzero(cut) + 1
    if not places.size:
        return tracks
    numbers, last = tracks.track.copy(), dict(zip(tracks.numbers.tolist(), tracks.numbers.tolist(), strict=True))
    parents = {child: list(old) for child, old in tracks.parents.items()}
    new = int(tracks.numbers.max())
    for place in places:
        new += 1
        own = tracks.track == tracks.track[place]
        numbers[own & (tracks.frame >= tracks.frame[place])] = new
        number = int(tracks.track[place])
        parents[new] = [last[number]]
        last[number] = new
    ended = {
        child: [last.get(p, p) if child <= tracks.numbers.max() else p for p in old] for child, old in parents.items()
    }
    rows = {
        "frame": tracks.frame,
        "label": tracks.label,
        "track": numbers,
        "area": tracks.area,
        "centroid": tracks.centroid,
    }
    return sorted_tracks(rows, tracks.n_frames, ended)


def read_ctc(folder: PathLike) -> tuple[npt.NDArray[np.int32], Tracks]:
    """The label images ``(T, [Z,] Y, X)``, int32, and the tracks of a folder of the Cell Tracking Challenge.

    Raises
    ------
    FileMissingError
        If the folder has no table of tracks, or lacks an image that the table needs.
    FileReadError
        If the table does not match the format or the images.
    """
    path = Path(folder)
    kind = next(((table, name) for table, name in _KINDS if (path / table).is_file()), None)
    if kind is None:
        message = f"{path} has no man_track.txt and no res_track.txt; give a folder of the Cell Tracking Challenge"
        raise FileMissingError(message)
    named = dict(_images_in(path, kind[1]))
    if not named:
        message = f"{path} has {kind[0]} but no images {kind[1]}000.tif, {kind[1]}001.tif, ... for it"
        raise FileMissingError(message)
    missing = sorted(set(range(max(named) + 1)) - set(named))
    if missing:
        message = f"{path}: frames {', '.join(map(str, missing[:5]))} have no image; give one for each frame"
        raise FileMissingError(message)
    frames = as_frames([io.imread(named[t]) for t in sorted(named)])
    table = _table_in(path / kind[0])
    tracks = Tracks.of_numbered(frames, {n: [parent] for n, (_, _, parent) in table.items() if parent})
    spans = tracks.spans()
    unknown = spans.keys() - table.keys()
    if unknown:
        message = (
            f"{path / kind[0]} has no line for the labels {', '.join(map(str, sorted(unknown)[:5]))} of the images"
        )
        raise FileReadError(message)
    n_frames = len(frames)
    if any(last >= n_frames for _, last, _ in table.values()):
        logger.warning(f"{path / kind[0]} goes on after the last of {n_frames} images; what follows is left out")
    for number, (first, last, _) in table.items():
        if first < n_frames and spans.get(number) != (first, min(last, n_frames - 1)):
            found = "in frames {} to {}".format(*spans[number]) if number in spans else "in no frame"
            message = (
                f"{path / kind[0]} says that track {number} is in frames {first} to {last}, but the images have it "
                f"{found}; give the images and the table of one result"
            )
            raise FileReadError(message)
    return np.stack(frames), tracks


def _table_in(table: Path) -> dict[int, tuple[int, int, int]]:
    """First frame, last frame and parent of each track, 0 for none."""
    tracks: dict[int, tuple[int, int, int]] = {}
    for number, line in enumerate(table.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 4 or not all(word.isdecimal() for word in words):
            message = f"{table}, line {number}: {line[:60]!r} is not a track; it must be four numbers: L B E P"
            raise FileReadError(message)
        label, first, last, parent = map(int, words)
        tracks[label] = (first, last, parent)
    return tracks
