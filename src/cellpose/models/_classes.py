"""Masks from plain U-Nets, whose outputs are scores of background, cell and boundary instead of flows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellpose import core, transforms, utils
from cellpose.engines import Engine
from cellpose.errors import OptionError
from cellpose.options import Evaluation

__all__ = ["class_masks", "class_scores", "masks_of_planes", "picture_of_scores"]

Array = NDArray[Any]
FloatArray = NDArray[np.float32]


def class_scores(
    engine: Engine, stack: FloatArray, scale: float, options: Evaluation, report: Any
) -> tuple[FloatArray, FloatArray]:
    """Scores of the classes, float32 (class, plane, y, x) at the size of the image, and styles (plane, style).

    Raises
    ------
    OptionError
        For volumes: classes of planes cannot be joined as flows can.
    """
    if options.do_3D:
        message = (
            "do_3D=True is not allowed: a U-Net that predicts classes segments single planes; use stitch_threshold to "
            "join them"
        )
        raise OptionError(message)
    ly, lx = stack.shape[1:3]
    size = transforms.scaled_shape((ly, lx), (scale, scale))
    scores = np.empty((engine.nout, len(stack), ly, lx), np.float32)
    styles = []
    planes = core.run_planes(engine, stack, options.tiling, (size[0], size[1]), report)
    for index, (output, style) in enumerate(planes):
        for score, plane in zip(scores, output, strict=True):
            score[index] = transforms.resize_plane(plane, (ly, lx))
        styles.append(style)
    return scores, np.stack(styles)


def class_masks(scores: FloatArray, cell_threshold: float = 0.0) -> NDArray[np.int64]:
    """Labels (y, x) of scores (class, y, x).

    A pixel belongs to a cell where the score of cells exceeds all others, and likewise to a boundary, so a boundary
    that was found always separates two cells.
    """
    cell = scores[1] - np.delete(scores, 1, axis=0).max(axis=0)
    margins = [np.zeros_like(cell), cell]
    if len(scores) > 2:
        margins.append(scores[2] - scores[:2].max(axis=0))
    return utils.get_masks_unet(np.stack(margins, axis=-1), cell_threshold)


def masks_of_planes(scores: FloatArray, options: Evaluation) -> NDArray[np.int32]:
    """Labels (plane, y, x) of scores (class, plane, y, x), joined between planes if that is asked for."""
    masking, n_planes = options.masking, scores.shape[1]
    masks = np.zeros(scores.shape[1:], np.int32)
    stitch = options.stitch_threshold > 0 and n_planes > 1
    for index in range(n_planes):
        plane = class_masks(scores[:, index], masking.cellprob_threshold).astype(np.int32)
        masks[index] = utils.fill_holes_and_remove_small_masks(plane, min_size=-1 if stitch else masking.min_size)
    if stitch:
        masks = utils.stitch3D(masks, stitch_threshold=options.stitch_threshold)
        masks = utils.fill_holes_and_remove_small_masks(masks, min_size=masking.min_size)
    return np.asarray(masks, np.int32)


def picture_of_scores(scores: FloatArray) -> NDArray[np.uint8]:
    """The scores as colors, uint8 (..., 3): boundary red, cell green, background black."""
    parts = np.exp(scores - scores.max(axis=0))
    parts /= parts.sum(axis=0)
    red = parts[2] if len(parts) > 2 else np.zeros_like(parts[0])
    return (255 * np.stack([red, parts[1], np.zeros_like(red)], axis=-1)).astype(np.uint8)
