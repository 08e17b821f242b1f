"""Which images of a folder to annotate first: those unlike each other and uncertain for the model."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from cellpose.errors import CellposeError, InputError
from cellpose.gui._texts import tr
from cellpose.gui.controllers._jobs import Report

__all__ = ["places_of"]

logger = logging.getLogger("cellpose.gui")

_SIDE = 1024  # pixels: larger images are judged by their middle


def places_of(paths: Sequence[Path], diameter: float | None, gpu: bool, report: Report) -> dict[Path, int]:
    """The place of each image in the order in which to annotate them, from 0.

    The bundled model evaluates the middle of each image. Unreadable images have no place.

    Raises
    ------
    InputError
        If none of the images can be read.
    """
    from cellpose import io, models, styles, weights

    model = models.CellposeModel(pretrained_model=weights.BUNDLED, gpu=gpu)
    seen, vectors, doubts = [], [], []
    for number, path in enumerate(paths):
        report(number / len(paths))
        try:
            pixels = styles.middle_plane(io.read_image(path))
            y, x = (max(0, (side - _SIDE) // 2) for side in pixels.shape[:2])
            part = pixels[y : y + _SIDE, x : x + _SIDE]
            masks, flows, style, *_ = model.eval(
                part, channels=[0, 0], channel_axis=-1, diameter=diameter, progress=False
            )
            vectors.append(styles.vector_of(style, weights.BUNDLED))
        except (CellposeError, OSError, ValueError):
            logger.debug("%s has no style", path, exc_info=True)
            continue
        seen.append(path)
        doubts.append(1 - styles.mean_score(masks, flows))
    if not seen:
        message = tr("none of the images of the folder could be looked at, so they stay in the order of their names")
        raise InputError(message)
    report(1)
    order = styles.to_annotate(vectors, len(seen), doubts)
    return {seen[place]: rank for rank, place in enumerate(order)}
