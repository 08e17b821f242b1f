"""The frames of a movie, one at a time: their cells as one label image, and as many flows as memory allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cellpose.gui.controllers._jobs import Report
from cellpose.gui.model import Box, Flows
from cellpose.gui.model._scores import Scoring, score_cells

__all__ = ["MOST_BYTES", "FoundFrame", "FoundMovie", "cells_of_frames", "found_in_frames", "frame_box", "with_frame"]

MOST_BYTES = 2**31  # of flows kept per movie for changing thresholds


class FoundFrame(NamedTuple):
    """The cells of one frame, labels int32 (Y, X), with the results kept of them."""

    labels: npt.NDArray[np.int32]
    scores: npt.NDArray[Any]
    scoring: Scoring
    flows: Flows


class FoundMovie(NamedTuple):
    """The cells of all frames, labels 1..n int32 (T, Y, X), with scores (n,), and the flows that fit in memory."""

    labels: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float32]
    scoring: Scoring
    flows: Mapping[int, Flows]


def frame_box(frame: int, shape: tuple[int, ...]) -> Box:
    """One whole frame of a movie (T, Y, X)."""
    return Box(frame, frame + 1, 0, shape[1], 0, shape[2])


def found_in_frames(
    find: Callable[[int, Report], FoundFrame],
    frames: Iterable[int],
    shape: tuple[int, ...],
    report: Report,
    most_bytes: int = MOST_BYTES,
) -> FoundMovie:
    """Find the cells of frames, numbered consecutively across frames.

    Parameters
    ----------
    find
        Finds the cells of one frame.
    frames
        Indices of the frames; the others stay empty.
    shape
        Shape of the movie, (T, Y, X).
    report
        Called with the fraction done.
    most_bytes
        Limit for the flows kept; those of the first frames are kept.
    """
    wanted = list(frames)
    labels, scores, kept = np.zeros(shape, np.int32), [np.zeros(0, np.float32)], dict[int, Flows]()
    scoring, count, room = Scoring("", False), 0, most_bytes
    for done, frame in enumerate(wanted):
        one = find(frame, _part_of(report, done, len(wanted)))
        labels[frame] = np.where(one.labels > 0, one.labels + count, 0)
        count += int(one.labels.max(initial=0))
        scores.append(np.asarray(one.scores, np.float32))
        scoring = one.scoring
        room -= _nbytes(one.flows)
        if room >= 0:
            kept[frame] = one.flows
        report((done + 1) / len(wanted))
    return FoundMovie(labels, np.concatenate(scores), scoring, kept)


def _part_of(report: Report, done: int, n: int) -> Report:
    """Scale the progress of one of ``n`` parts to the progress of the whole, after ``done`` parts."""
    return lambda share: report((done + share) / n)


def cells_of_frames(
    flows: Mapping[int, Flows], shape: tuple[int, ...], masking: Mapping[str, Any], report: Report
) -> FoundMovie:
    """The cells of the frames whose flows are known, by fields of `cellpose.options.Masking`."""
    from cellpose.dynamics import MaskFinder

    def find(frame: int, _report: Report) -> FoundFrame:
        known = flows[frame]
        dP, cellprob = np.asarray(known.dP), np.asarray(known.cellprob)
        labels = np.ascontiguousarray(MaskFinder(dP, cellprob, shape[1:]).masks(**masking), np.int32)
        return FoundFrame(labels, *score_cells(labels, dP, cellprob, known.model), known)

    return found_in_frames(find, sorted(flows), shape, report)


def with_frame(older: Flows | None, frame: int, found: Flows) -> Flows:
    """The flows of a movie with those of one frame replaced; the first frames are dropped to make room."""
    frames = {} if older is None else dict(older.frames)
    frames.pop(frame, None)
    frames[frame] = found
    while len(frames) > 1 and sum(map(_nbytes, frames.values())) > MOST_BYTES:
        del frames[next(iter(frames))]
    return Flows(None, None, None, found.model, frames=frames)


def _nbytes(flows: Flows) -> int:
    return sum(each.nbytes for each in (flows.rgb, flows.dP, flows.cellprob) if each is not None)
