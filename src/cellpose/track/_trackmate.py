"""TrackMate's XML: spots with outlines, and tracks; Fiji opens it with "Load a TrackMate file"."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cellpose._machine.writing import replacing
from cellpose.errors import InputError, OptionError
from cellpose.track._frames import as_frames
from cellpose.track._tracks import Tracks, edges_of
from cellpose.utils import outlines_list

__all__ = ["write_trackmate"]

_VERSION = "7.11.1"
_SPOT = {
    "QUALITY": ("Quality", "QUALITY", False), "POSITION_X": ("X", "POSITION", False),
    "POSITION_Y": ("Y", "POSITION", False), "POSITION_Z": ("Z", "POSITION", False),
    "POSITION_T": ("T", "TIME", False), "FRAME": ("Frame", "NONE", True), "RADIUS": ("Radius", "LENGTH", False),
    "VISIBILITY": ("Visibility", "NONE", True),
}  # fmt: skip
_EDGE = {
    "SPOT_SOURCE_ID": ("Source spot ID", "NONE", True), "SPOT_TARGET_ID": ("Target spot ID", "NONE", True),
    "LINK_COST": ("Edge cost", "COST", False),
}  # fmt: skip
_TRACK = {"TRACK_ID": ("Track ID", "NONE", True), "NUMBER_SPOTS": ("Number of spots in track", "NONE", True)}


def write_trackmate(
    path: str | os.PathLike[str],
    masks: Any,
    tracks: Tracks,
    *,
    image: str | os.PathLike[str] | None = None,
    pixel_size_um: float | None = None,
    interval_s: float | None = None,
) -> None:
    """Write the tracks of planes as a TrackMate file.

    One TrackMate track is a whole lineage: mothers, daughters and their descendants.

    Parameters
    ----------
    path
        The XML file.
    masks
        The label images that were tracked, ``(T, Y, X)``; the source of the outlines.
    tracks
        Their tracks.
    image
        The movie file that TrackMate opens.
    pixel_size_um, interval_s
        Side of a pixel in micrometers, and time between frames in seconds; None: use pixels and frames.

    Raises
    ------
    InputError
        If the masks are volumes: TrackMate stores outlines of planes only.
    OptionError
        If a size or a time is not above 0.
    """
    for name, value in (("pixel_size_um", pixel_size_um), ("interval_s", interval_s)):
        if value is not None and not 0 < value < math.inf:
            message = f"{name}={value!r} is not allowed; give a number above 0, or None"
            raise OptionError(message)
    frames = as_frames(masks)
    if frames[0].ndim != 2:
        message = (
            f"masks of shape {(len(frames), *frames[0].shape)} are volumes, but TrackMate files can only hold planes; "
            "give (T, Y, X)"
        )
        raise InputError(message)
    side, step = pixel_size_um or 1.0, interval_s or 1.0
    root = ET.Element("TrackMate", version=_VERSION)
    units = {"spatialunits": "micron" if pixel_size_um else "pixel", "timeunits": "sec" if interval_s else "frame"}
    model = ET.SubElement(root, "Model", units)
    _declare(model)
    _spots(model, frames, tracks, side, step)
    _tracks(model, tracks)
    settings = ET.SubElement(root, "Settings")
    height, width = frames[0].shape
    movie = Path(image).resolve() if image is not None else None
    ET.SubElement(settings, "ImageData", _texts({
        "filename": movie.name if movie else "", "folder": f"{movie.parent}/" if movie else "",
        "width": width, "height": height, "nslices": 1, "nframes": len(frames), "pixelwidth": side, "pixelheight": side,
        "voxeldepth": 1.0, "timeinterval": step,
    }))  # fmt: skip
    ET.indent(root, " ")
    with replacing(path) as file:
        file.write(b'<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root) + b"\n")


def _texts(values: dict[str, Any]) -> dict[str, str]:
    return {name: f"{value:.6g}" if isinstance(value, float) else str(value) for name, value in values.items()}


def _declare(model: ET.Element) -> None:
    declarations = ET.SubElement(model, "FeatureDeclarations")
    for kind, features in (("SpotFeatures", _SPOT), ("EdgeFeatures", _EDGE), ("TrackFeatures", _TRACK)):
        group = ET.SubElement(declarations, kind)
        for feature, (name, dimension, whole) in features.items():
            facts = {"feature": feature, "name": name, "shortname": name, "dimension": dimension}
            ET.SubElement(group, "Feature", {**facts, "isint": "true" if whole else "false"})


def _spots(model: ET.Element, frames: list[Any], tracks: Tracks, side: float, step: float) -> None:
    every = ET.SubElement(model, "AllSpots", nspots=str(tracks.frame.size))
    for t, frame in enumerate(frames):
        here = np.flatnonzero(tracks.frame == t)
        if not here.size:
            continue
        group = ET.SubElement(every, "SpotsInFrame", frame=str(t))
        # there is one outline per existing label, in order
        outlines = dict(zip(np.unique(frame[frame > 0]).tolist(), outlines_list(frame), strict=True))
        for spot in here:
            y, x = tracks.centroid[spot] * side
            outline = outlines[int(tracks.label[spot])] * side - (x, y)
            radius = float(np.sqrt(tracks.area[spot] / np.pi)) * side
            element = ET.SubElement(group, "Spot", _texts({
                "ID": int(spot), "name": f"ID{spot}", "QUALITY": 1.0, "POSITION_X": float(x), "POSITION_Y": float(y),
                "POSITION_Z": 0.0, "POSITION_T": t * step, "FRAME": t, "RADIUS": radius, "VISIBILITY": 1,
                "ROI_N_POINTS": len(outline),
            }))  # fmt: skip
            element.text = " ".join(f"{value:.4g}" for value in outline.reshape(-1))


def _tracks(model: ET.Element, tracks: Tracks) -> None:
    """The lineages; TrackMate has no track of a single spot."""
    sources, targets = edges_of(tracks)
    n = tracks.frame.size
    links = coo_array((np.ones(sources.size, np.int8), (sources, targets)), shape=(n, n))
    line = connected_components(links, directed=False)[1]
    spots, edges = np.bincount(line), np.argsort(line[sources], kind="stable")
    group, filtered = ET.SubElement(model, "AllTracks"), ET.SubElement(model, "FilteredTracks")
    lines = np.split(edges, np.flatnonzero(np.diff(line[sources][edges])) + 1) if edges.size else []
    for number, own in enumerate(lines):
        facts = {"name": f"Track_{number}", "TRACK_ID": number, "NUMBER_SPOTS": int(spots[line[sources[own[0]]]])}
        track = ET.SubElement(group, "Track", _texts(facts))
        for k in own:
            edge = {"SPOT_SOURCE_ID": int(sources[k]), "SPOT_TARGET_ID": int(targets[k]), "LINK_COST": 0.0}
            ET.SubElement(track, "Edge", _texts(edge))
        ET.SubElement(filtered, "TrackID", TRACK_ID=str(number))
