"""How sure a model is of each cell that it found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose import weights

__all__ = ["SCORING_KEY", "Scoring", "score_cells"]

SCORING_KEY = "scored_by"  # of a _seg.npy


@dataclass(frozen=True)
class Scoring:
    """What the scores of an image mean.

    Parameters
    ----------
    model
        Name of the model.
    calibrated
        Whether a score is the share of correct cells among such cells, as the reliability curve of the model tells;
        else it is a plain score, which sorts cells but is no share.
    """

    model: str
    calibrated: bool

    @property
    def words(self) -> str:
        """The text of a tooltip."""
        if self.calibrated:
            return f"share of correct cells among cells that {self.model} is as sure of (its reliability curve)"
        name = self.model or "the model"
        return (
            f"plain score of cell probability and flow error: it sorts cells, but is no share of correct ones, since "
            f"{name} carries no reliability curve, as only bundled models do"
        )

    def content(self) -> dict[str, Any]:
        """The scoring as content of a ``_seg.npy``."""
        return asdict(self)

    @classmethod
    def read(cls, content: Any) -> Scoring | None:
        """The scoring in a ``_seg.npy``; None if it holds none."""
        if not isinstance(content, Mapping) or not isinstance(content.get("model"), str):
            return None
        return cls(content["model"], bool(content.get("calibrated", False)))


def score_cells(
    labels: npt.NDArray[Any], dP: Any, cellprob: Any, model: str
) -> tuple[npt.NDArray[np.float32], Scoring]:
    """Scores (n,) of the labels 1..n, 0 to 1, higher is surer; NaN where nothing is known.

    Parameters
    ----------
    labels
        (Y, X) or (Z, Y, X).
    dP, cellprob
        What the network gave; see `dynamics.cell_scores`.
    model
        Name or path of the model, by whose reliability curve the scores are calibrated, if it carries one.
    """
    from cellpose import dynamics

    plain = dynamics.cell_scores(labels, dP, cellprob).plain
    curve = weights.reliability(model) if model else None
    scores = plain if curve is None else curve(plain)
    return scores.astype(np.float32), Scoring(model, curve is not None)
