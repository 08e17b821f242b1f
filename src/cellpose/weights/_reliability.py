"""Whether the scores of a model can be trusted: its reliability curve, measured once and kept in its card."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.weights._installed import find

__all__ = ["Reliability", "reliability"]

_KEY = "reliability"  # of a card
_FEWEST = 2  # places of a curve


@dataclass(frozen=True)
class Reliability:
    """Share of correct cells against the plain score of `dynamics.CellScores`.

    Parameters
    ----------
    score, correct
        Ascending scores and, at each, the share of cells that overlap a true one by more than half; 0 to 1.
    """

    score: tuple[float, ...]
    correct: tuple[float, ...]

    @classmethod
    def of_card(cls, card: Mapping[str, Any]) -> Reliability | None:
        """The curve that a model card holds; None where it holds none, or none that makes sense."""
        kept = card.get(_KEY)
        if not isinstance(kept, Mapping):
            return None
        try:
            score, correct = (np.asarray(kept[name], np.float64) for name in ("score", "correct"))
        except (KeyError, TypeError, ValueError):
            return None
        if score.ndim != 1 or score.size < _FEWEST or score.shape != correct.shape:
            return None
        sensible = np.isfinite([score, correct]).all() and (np.diff(score) > 0).all()
        if not sensible or correct.min() < 0 or correct.max() > 1:
            return None
        return cls(tuple(score.tolist()), tuple(correct.tolist()))

    def __call__(self, plain: Any) -> npt.NDArray[np.float64]:
        """How likely cells with these plain scores are correct, of the same shape; NaN stays NaN.

        Examples
        --------
        >>> Reliability((0.2, 0.6, 1.0), (0.1, 0.7, 0.9))([0.0, 0.4, 0.8]).round(2).tolist()
        [0.1, 0.4, 0.8]
        """
        return np.asarray(np.interp(plain, self.score, self.correct))


def reliability(model: str | os.PathLike[str]) -> Reliability | None:
    """The reliability curve of a model on this machine; None where it carries none."""
    file = find(model)
    return None if file is None else Reliability.of_card(file.card)
