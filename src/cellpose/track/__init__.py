"""Cells through time: links the label images of a movie to tracks, with divisions, and exports them for other tools."""

from __future__ import annotations

from cellpose._face.door import guard
from cellpose.track._ctc import read_ctc, write_ctc
from cellpose.track._fill import fill_gaps
from cellpose.track._link import track
from cellpose.track._score import TrackScores, score
from cellpose.track._tables import lineage, napari_tracks, write_table
from cellpose.track._trackmate import write_trackmate
from cellpose.track._tracks import Tracks

__all__ = [
    "TrackScores",
    "Tracks",
    "fill_gaps",
    "lineage",
    "napari_tracks",
    "read_ctc",
    "score",
    "track",
    "write_ctc",
    "write_table",
    "write_trackmate",
]

guard(globals())
