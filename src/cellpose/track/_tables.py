"""Tracks as tables: one row per cell, one row per track, and the format of napari."""

from __future__ import annotations

import csv
import os
from io import StringIO
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._machine.writing import replacing
from cellpose.errors import OptionError
from cellpose.track._tracks import Tracks

__all__ = ["lineage", "napari_tracks", "write_table"]

_TABLES = ("cells", "tracks", "napari")


def cells_table(tracks: Tracks) -> dict[str, npt.NDArray[Any]]:
    """One row per cell: frame, label, track, parent (0: none), center in pixels, area in pixels."""
    columns: dict[str, npt.NDArray[Any]] = {"frame": tracks.frame, "label": tracks.label, "track": tracks.track}
    columns["parent"] = np.array([tracks.parents.get(int(n), (0,))[0] for n in tracks.track], np.int64)
    for axis, letter in enumerate("zyx"[3 - tracks.centroid.shape[1] :]):
        columns[letter] = tracks.centroid[:, axis]
    return {**columns, "area": tracks.area}


def lineage(tracks: Tracks) -> dict[str, npt.NDArray[np.int64]]:
    """One row per track.

    Returns
    -------
    dict of int64 arrays (number of tracks,)
        ``track``; ``first_frame``, ``last_frame``; ``cells``, number of frames that contain it; ``parent``, 0 for none;
        ``root``, the first track of its lineage; ``generation``, divisions since then; ``children``.

    Examples
    --------
    >>> from cellpose.track import track
    >>> movie = np.zeros((2, 10, 10), int); movie[:, 2:8, 2:8] = 1
    >>> {name: values.tolist() for name, values in lineage(track(movie)).items()}["last_frame"]
    [1]
    """
    spans, children = tracks.spans(), tracks.children()
    rows = []
    lines: dict[int, tuple[int, int]] = {}
    for number in sorted(spans, key=lambda n: (spans[n], n)):  # parents before children
        parent = tracks.parents.get(number, (0,))[0]
        root, generation = lines.get(parent, (number, -1))
        lines[number] = root, generation + 1
    for number, cells in zip(*(each.tolist() for each in np.unique(tracks.track, return_counts=True)), strict=True):
        parent = tracks.parents.get(number, (0,))[0]
        rows.append((number, *spans[number], cells, parent, *lines[number], len(children.get(number, ()))))
    names = ("track", "first_frame", "last_frame", "cells", "parent", "root", "generation", "children")
    columns = np.array(rows, np.int64).reshape(len(rows), len(names))
    return {name: columns[:, k] for k, name in enumerate(names)}


def napari_tracks(tracks: Tracks) -> tuple[npt.NDArray[np.float64], dict[int, list[int]]]:
    """Data for ``napari.layers.Tracks``: ``data`` and ``graph``.

    Returns
    -------
    data : float64 array (n, 4 or 5)
        Track, frame, center ``([z,] y, x)`` of each cell.
    graph : dict
        The parents of each track that has any.
    """
    data = np.column_stack([tracks.track, tracks.frame, tracks.centroid])
    return data, {child: list(parents) for child, parents in tracks.parents.items()}


def write_table(path: str | os.PathLike[str], tracks: Tracks, what: str = "cells") -> None:
    """Write a CSV file: ``"cells"``, a row for each; ``"tracks"`` (`lineage`); or ``"napari"``, as napari saves tracks.

    Raises
    ------
    OptionError
        If ``what`` is none of these.
    """
    if what == "cells":
        columns = cells_table(tracks)
    elif what == "tracks":
        columns = dict(lineage(tracks))
    elif what == "napari":
        data, _ = napari_tracks(tracks)
        names = ["ID", "T", *"ZYX"[3 - tracks.centroid.shape[1] :]]
        columns = {name: data[:, k] for k, name in enumerate(names)}
    else:
        message = f"what={what!r} is not allowed; choose {', '.join(_TABLES)}"
        raise OptionError(message)
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(_plain(values) for values in columns.values()), strict=True))
    with replacing(path) as file:
        file.write(text.getvalue().encode())


def _plain(values: npt.NDArray[Any]) -> list[Any]:
    return values.tolist() if values.dtype.kind in "iu" else [f"{value:.6g}" for value in values]
