"""Confidence of a model in each cell it found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose import weights
from cellpose._labels.arrays import changed_labels, relabeled, scan
from cellpose.gui._texts import tr

__all__ = ["SCORING_KEY", "Scored", "Scoring", "score_cells", "score_others", "scoring_of"]

SCORING_KEY = "scored_by"  # of a _seg.npy


@dataclass(frozen=True)
class Scoring:
    """The meaning of the scores of an image.

    Parameters
    ----------
    model
        Name of the model.
    calibrated
        Whether a score is the fraction of correct cells among cells like it, by the reliability curve of the model;
        else it is a plain score, which only ranks cells.
    """

    model: str
    calibrated: bool

    @property
    def words(self) -> str:
        """The text of a tooltip."""
        if self.calibrated:
            return tr(
                "share of correct cells among cells that {model} is as sure of (its reliability curve)",
                model=self.model,
            )
        name = self.model or tr("the model")
        return tr(
            "plain score of cell probability and flow error: it sorts cells, but is no share of "
            "correct ones, since {name} carries no reliability curve, as only bundled models do",
            name=name,
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


@dataclass(frozen=True, eq=False)
class Scored:
    """Labels 1..n with the scores (n,) of their cells; NaN if unknown."""

    labels: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float32]

    def for_cells_of(self, labels: npt.NDArray[np.int32]) -> Scored:
        """Other labels of the same flows, with the scores of the cells that have exactly the same pixels."""
        scores = np.full(int(labels.max(initial=0)), np.nan, np.float32)
        if labels.shape != self.labels.shape or not scores.size or not self.scores.size:
            return Scored(labels, scores)
        older, newer = scan(self.labels), scan(labels)
        places = {place: label for label, place in enumerate(older.first.tolist()) if place >= 0}
        same = np.array([0, *(places.get(place, 0) for place in newer.first[1:].tolist())], np.int32)
        left, come = changed_labels(self.labels, relabeled(labels, same))
        differs = np.zeros(self.scores.size + 1, np.bool_)
        differs[left], differs[come] = True, True
        same[differs[same]] = 0
        known = same[1:] > 0
        scores[known] = self.scores[same[1:][known] - 1]
        return Scored(labels, scores)


def score_cells(
    labels: npt.NDArray[Any], dP: Any, cellprob: Any, model: str
) -> tuple[npt.NDArray[np.float32], Scoring]:
    """Scores (n,) of the labels 1..n, from 0 to 1, higher is more certain; NaN if unknown.

    Parameters
    ----------
    labels
        (Y, X) or (Z, Y, X).
    dP, cellprob
        Output of the network; see `dynamics.cell_scores`.
    model
        Name or path of the model. Its reliability curve, if it has one, calibrates the scores.
    """
    from cellpose import dynamics

    plain = dynamics.cell_scores(labels, dP, cellprob).plain
    curve = weights.reliability(model) if model else None
    scores = plain if curve is None else curve(plain)
    return scores.astype(np.float32), Scoring(model, curve is not None)


def scoring_of(model: str) -> Scoring:
    """The meaning of the scores of cells found by this model."""
    return Scoring(model, bool(model) and weights.reliability(model) is not None)


def score_others(scored: Scored, dP: Any, cellprob: Any, model: str) -> Scored:
    """As `score_cells`, but only for cells without a score."""
    unknown = np.append(False, np.isnan(scored.scores))
    table = np.where(unknown, np.arange(unknown.size), 0).astype(np.int32)
    if not unknown.any():
        return scored
    found, _ = score_cells(relabeled(scored.labels, table), dP, cellprob, model)
    scores = scored.scores.copy()
    scores[: found.size][unknown[1 : found.size + 1]] = found[unknown[1 : found.size + 1]]
    return Scored(scored.labels, scores)
