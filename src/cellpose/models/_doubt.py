"""Doubts about a result: one line in the log, with what to try.

The signs come from what is at hand, labels and cell probability; a sample of the pixels is enough.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellpose._progress.stages import image_name
from cellpose.options import Evaluation, Masking

__all__ = [
    "Signs",
    "doubt_of",
    "doubts_left",
    "doubts_untold",
    "estimates_on_request",
    "on_request",
    "one_doubt",
    "signs_of",
    "tell_doubt",
]

logger = logging.getLogger("cellpose.models")

Array = NDArray[Any]

# How many doubts may still be logged; None: all.
_left: ContextVar[list[int] | None] = ContextVar("cellpose_doubts_left", default=None)
# Whether --diameter 0 would estimate the diameters.
_on_request: ContextVar[bool] = ContextVar("cellpose_diameters_on_request", default=False)

_FEWEST_CELLS = 5  # with fewer cells nothing is concluded
_FACTOR = 2.0  # ratio between the diameter found and the one given
_FACTOR_OF_TRAINING = 2.5  # the same where none was given: networks tolerate twice the diameter they were trained on
_SLICES = 2  # planes of cells that are slices
_LEAST_LOGIT = 1.5  # of the median cell, mean over its pixels; cells of real images have 1.8 and more, those of noise 1
_LEAST_KEPT = 0.5  # of the pixels above the threshold of the cell probability
_LEAST_FOREGROUND = 0.005  # of the image, from which dropped pixels are worth a message
_MOST_PIXELS = 2**20  # that are looked at for the cell probability


@dataclass(frozen=True)
class Signs:
    """Signs of a wrong result in labels and cell probability.

    Attributes
    ----------
    n_cells
        Number of labels.
    diameter_px
        Median diameter of the cells, in stacks of their sections (y, x).
    logit
        Mean cell probability (logit) of the median cell.
    kept
        Part of the pixels above the threshold of the cell probability that became cells.
    foreground
        Part of all pixels that is above it.
    planes
        Planes that the median cell goes through.
    """

    n_cells: int
    diameter_px: float
    logit: float
    kept: float
    foreground: float
    planes: float


def signs_of(masks: Array, cellprob: Array, threshold: float) -> Signs:
    """The signs of labels ([z,] y, x) and logits, which may be of another size."""
    stack = masks if masks.ndim == 3 else masks[np.newaxis]
    count = int(stack.max(initial=0)) + 1
    pixels = np.zeros(count, np.int64)  # of each cell, and in how many planes
    planes = np.zeros(count, np.int64)
    for plane in stack:
        own = np.bincount(plane.ravel(), minlength=count)
        pixels += own
        planes += own > 0
    pixels[0] = planes[0] = 0
    cells = np.flatnonzero(pixels)
    logit, kept, foreground = math.nan, math.nan, math.nan
    if cellprob.shape == masks.shape:
        logit, kept, foreground = _of_probability(stack, cellprob.reshape(stack.shape), threshold, count)
    sections = pixels[cells] / planes[cells]
    return Signs(
        len(cells),
        float(2 * np.sqrt(np.median(sections) / np.pi)) if len(cells) else math.nan,
        logit,
        kept,
        foreground,
        float(np.median(planes[cells])) if len(cells) else math.nan,
    )


def _of_probability(stack: Array, cellprob: Array, threshold: float, count: int) -> tuple[float, float, float]:
    step = max(1, math.ceil(math.sqrt(stack.size / _MOST_PIXELS)))
    labels, logits = (a[:, ::step, ::step].ravel() for a in (stack, cellprob))
    above = logits > threshold
    kept = float((labels[above] > 0).mean()) if above.any() else math.nan
    inside = np.flatnonzero(labels)
    numbers = labels[inside]
    pixels = np.bincount(numbers, minlength=count)
    sums = np.bincount(numbers, logits[inside], minlength=count)
    seen = pixels > 0
    logit = float(np.median(sums[seen] / pixels[seen])) if seen.any() else math.nan
    return logit, kept, float(above.mean())


def doubt_of(
    signs: Signs,
    options: Evaluation,
    diameter_px: float | None,
    n_planes: int,
    *,
    estimates: bool = False,
    channels: bool = True,
) -> str | None:
    """The strongest doubt about a result and what to try, or None.

    Parameters
    ----------
    signs
        See `signs_of`.
    options
        Of the evaluation.
    diameter_px
        The diameter that was assumed; None: none was.
    n_planes
        Of the image.
    estimates
        Whether ``--diameter 0`` would estimate the diameter.
    channels
        Whether the image may have another channel.
    """
    advice = "--diameter 0 (it is estimated), " if estimates else ""
    other = f"{advice}{'another channel (--chan) or ' if channels else ''}another model"
    if signs.n_cells >= _FEWEST_CELLS:
        if options.do_3D or (options.stitch_threshold > 0 and n_planes > 1):
            crumbs = _crumbs(signs, options, diameter_px, n_planes, advice)
            if crumbs:
                return crumbs
        factor = _FACTOR if options.diameter else _FACTOR_OF_TRAINING
        if diameter_px and not 1 / factor <= signs.diameter_px / diameter_px <= factor:
            return (
                f"the cells found are {signs.diameter_px:.0f} pixels across, but {diameter_px:.0f} were assumed; try "
                f"{advice}--diameter {signs.diameter_px:.0f} if the cells found are right"
            )
        if signs.logit < _LEAST_LOGIT + min(0.0, options.masking.cellprob_threshold):
            unsure = f"the model is uncertain about most of the {signs.n_cells} cells it found"
            return f"{unsure}; look at them, and try {other}"
    # Where many cells were found, the dropped pixels are mostly background that looks like cells.
    elif signs.kept < _LEAST_KEPT and signs.foreground > _LEAST_FOREGROUND:
        lost = f"{100 * (1 - signs.kept):.0f} % did not become cells"
        return f"most pixels of cell candidates were rejected: {lost}; try {_less_strict(options.masking) or other}"
    elif signs.foreground == 0 and (threshold := options.masking.cellprob_threshold) > 0:
        return f"no pixel is above the threshold; try a lower --cellprob_threshold than {threshold:g}"
    return None


def _less_strict(masking: Masking) -> str:
    """What to change of options that reject more cells than the defaults do, or ""."""
    usual, advice = Masking(), []
    if masking.most_error and usual.most_error and masking.most_error < usual.most_error:
        advice.append(f"a higher --flow_threshold than {masking.most_error:g}")
    if masking.min_size > usual.min_size:
        advice.append(f"a lower --min_size than {masking.min_size:g}")
    if masking.max_size_fraction < usual.max_size_fraction:
        advice.append(f"a larger max_size_fraction than {masking.max_size_fraction:g}")
    if masking.steps < usual.steps:
        advice.append(f"a higher --niter than {masking.steps}")
    if masking.cellprob_threshold < usual.cellprob_threshold:
        advice.append(f"a higher --cellprob_threshold than {masking.cellprob_threshold:g}")
    return " or ".join(advice)


def _crumbs(signs: Signs, options: Evaluation, diameter_px: float | None, n_planes: int, advice: str) -> str | None:
    """Whether the cells of a volume are slices or crumbs of cells."""
    expected = min(n_planes, (diameter_px or signs.diameter_px) / (options.anisotropy or 1.0))
    if signs.planes <= _SLICES and signs.planes < expected / 4:
        what = f"most of the {signs.n_cells} cells found go through {signs.planes:.0f} of {n_planes} planes only"
    elif diameter_px and signs.diameter_px * _FACTOR < diameter_px:
        what = (
            f"the {signs.n_cells} cells found are {signs.diameter_px:.0f} pixels across, but {diameter_px:.0f} were "
            "assumed: cells may be cut into fragments"
        )
    else:
        return None
    if options.do_3D:
        another = "" if options.anisotropy in (None, 1) else "another "
        return (
            f"{what}; try {advice}{another}--anisotropy N (the distance between planes divided by the size of a "
            "pixel), or --stitch_threshold 0.3 instead of --do_3D"
        )
    return f"{what}; try {advice}a lower --stitch_threshold or --do_3D"


def on_request() -> bool:
    """Whether ``--diameter 0`` would estimate the diameters; asked before threads start: each has its own context."""
    return _on_request.get()


@contextmanager
def estimates_on_request(possible: bool) -> Iterator[None]:
    """A context in which ``--diameter 0`` would estimate the diameters, if that is possible."""
    token = _on_request.set(possible)
    try:
        yield
    finally:
        _on_request.reset(token)


def doubts_left() -> list[int] | None:
    """How many doubts may still be logged, for `tell_doubt`; asked before threads start: each has its own context."""
    return _left.get()


def tell_doubt(doubt: str | None, name: str, left: list[int] | None) -> None:
    """Warn of a doubt about an image, and count it."""
    if doubt is None or left == [0]:
        return
    if left is not None:
        left[0] -= 1
    logger.warning("%s: %s", image_name() or name, doubt)


@contextmanager
def _at_most(count: int) -> Iterator[None]:
    outer = _left.get()
    token = _left.set([count] if outer is None or count == 0 else outer)
    try:
        yield
    finally:
        _left.reset(token)


def doubts_untold() -> Any:
    """A context in which no doubt is logged: for preliminary looks at an image, and for blocks."""
    return _at_most(0)


def one_doubt() -> Any:
    """A context in which one doubt is logged: one for all frames of a movie."""
    return _at_most(1)
