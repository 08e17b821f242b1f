"""Agreement of tracks with the truth, by the measures of the Cell Tracking Challenge, computed by `traccuracy`."""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import Any, NamedTuple

import numpy as np

from cellpose._machine.optional import optional
from cellpose.errors import InputError
from cellpose.track._frames import as_frames
from cellpose.track._tracks import Tracks, edges_of

__all__ = ["TrackScores", "score"]


class TrackScores(NamedTuple):
    """Agreement of tracks with the truth, each 0 to 1; 1 is perfect.

    ``det``: detection of cells; ``lnk``: links; ``tra``: both together (Matula et al., PLoS ONE 10, e0144959, 2015);
    ``division_f1``: divisions that lie within one frame of the true ones, NaN if there are none.
    """

    det: float
    lnk: float
    tra: float
    division_f1: float


def score(masks: Any, tracks: Tracks, true_masks: Any, true_tracks: Tracks) -> TrackScores:
    """Score tracks against the true ones.

    Parameters
    ----------
    masks, tracks
        Label images ``(T, [Z,] Y, X)`` and their tracks.
    true_masks, true_tracks
        The true label images and tracks. A true cell is found if a cell covers more than half of it.

    Raises
    ------
    InputError
        If the movies differ in shape.
    MissingExtraError
        If `traccuracy` is not installed.
    """
    names = ("traccuracy", "traccuracy.matchers", "traccuracy.metrics")
    traccuracy, matchers, metrics = (optional(name, "track", "score tracks against the truth") for name in names)
    found, true = np.stack(as_frames(masks)), np.stack(as_frames(true_masks))
    if found.shape != true.shape:
        message = f"masks of shape {found.shape} and true masks of shape {true.shape} do not fit; give equal shapes"
        raise InputError(message)
    truth, result = _graph(traccuracy, true, true_tracks), _graph(traccuracy, found, tracks)
    # silence warnings about missing items, such as divisions, and a bar for every step
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        wanted = [metrics.CTCMetrics(), metrics.DivisionMetrics(max_frame_buffer=1)]
        ctc, divisions = traccuracy.run_metrics(truth, result, matchers.CTCMatcher(), wanted)[0]
    values = ctc["results"]
    f1 = divisions["results"]["Frame Buffer 1"]["Division F1"]
    return TrackScores(float(values["DET"]), float(values["LNK"]), float(values["TRA"]), float(f1))


def _graph(traccuracy: Any, masks: Any, tracks: Tracks) -> Any:
    networkx = optional("networkx", "track", "score tracks against the truth")
    graph = networkx.DiGraph()
    axes = ("z", "y", "x")[3 - tracks.centroid.shape[1] :]
    for node, (t, label, centroid) in enumerate(zip(tracks.frame, tracks.label, tracks.centroid, strict=True), 1):
        place = dict(zip(axes, centroid.tolist(), strict=True))
        graph.add_node(node, t=int(t), segmentation_id=int(label), **place)
    graph.add_edges_from((np.stack(edges_of(tracks), axis=1) + 1).tolist())
    return traccuracy.TrackingGraph(graph, segmentation=masks, location_keys=axes)
