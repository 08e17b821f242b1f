"""The view of a model on an image: its style, and the confidence in the cells."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose import dynamics
from cellpose.errors import InputError

__all__ = ["mean_score", "middle_plane", "vector_of"]


def middle_plane(image: Any) -> npt.NDArray[Any]:
    """The pixels (Y, X, channels) of an ``io.Image``, of the plane in the middle of stacks and movies."""
    data, axes = np.asarray(image.data), image.axes
    for letter in axes:
        if letter not in "YXCS" and len(axes) > 2:
            place = axes.index(letter)
            data, axes = data.take(data.shape[place] // 2, place), axes.replace(letter, "", 1)
    order = [axes.index(letter) for letter in "YX"] + [k for k, letter in enumerate(axes) if letter not in "YX"]
    turned = data.transpose(order)
    pixels: npt.NDArray[Any] = turned.reshape(*turned.shape[:2], -1)
    return pixels


def mean_score(masks: npt.ArrayLike, flows: Any) -> float:
    """How likely the cells of a plane are right on average, 0 to 1; NaN if there are none, and for stacks.

    ``flows`` are what ``eval`` returns as its second result.
    """
    labels = np.asarray(masks)
    scores = dynamics.cell_scores(labels, flows[1], flows[2]).plain if labels.ndim == 2 else np.empty(0)
    return float(np.nanmean(scores)) if np.isfinite(scores).any() else float("nan")


def vector_of(style: npt.ArrayLike, model: str) -> npt.NDArray[np.float64]:
    """The style of an image as one vector, the mean over planes; of ``eval``'s third result.

    Raises
    ------
    InputError
        If the model, which is named, gives none.
    """
    if not np.any(style):
        message = f"{model} has no styles (no transformer has); use a U-Net, such as generalist"
        raise InputError(message)
    vectors = np.asarray(style, np.float64)
    mean: npt.NDArray[np.float64] = vectors.reshape(-1, vectors.shape[-1]).mean(axis=0)
    return mean
