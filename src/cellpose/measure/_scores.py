"""The confidence of a network in each cell."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.dynamics import cell_scores
from cellpose.measure._regions import Regions
from cellpose.weights import reliability

__all__ = ["score_columns"]


def score_columns(
    regions: Regions, dP: Any, cellprob: Any, model: str | os.PathLike[str] | None
) -> dict[str, npt.NDArray[Any]]:
    """``flow_error``, ``probability``, their combined ``score``, and ``correct``, the probability that it is a cell.

    ``correct`` requires a model with a reliability curve, see `cellpose.weights.reliability`.
    """
    scores = cell_scores(regions.image, dP, cellprob)
    columns = {"flow_error": scores.flow_error, "probability": scores.probability, "score": scores.plain}
    curve = reliability(model) if model else None
    if curve is not None:
        columns["correct"] = curve(scores.plain)
    return {name: np.asarray(column)[regions.numbers - 1] for name, column in columns.items()}
