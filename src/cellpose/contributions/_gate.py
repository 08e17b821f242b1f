"""The gate for a new model: it may replace the published one only if it finds no fewer cells on any source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.errors import InputError

__all__ = ["LEAST_TOLERANCE", "MOST_TOLERANCE", "Judgement", "SourceScore", "judge", "tolerance_of"]

#: Trainings on the same images differ by chance: seven of them by up to 0.017 on 87 images, see docs/training.md.
LEAST_TOLERANCE = 0.02
#: However much the images of a source vary, a model that loses more than this is worse.
MOST_TOLERANCE = 0.05
_ONE_SIDED_95 = 1.645  # standard errors that chance exceeds once in twenty times
_FEWEST = 3  # fewer images do not show how much they vary

Scores = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class SourceScore:
    """AP@0.5 of one source: means over its validation images.

    Attributes
    ----------
    source
        Its name.
    images
        Number of validation images.
    base, current, new
        Scores of the model that training starts from, of the published model, and of the new model.
    tolerance
        How much lower the new model may score.
    """

    source: str
    images: int
    base: float
    current: float
    new: float
    tolerance: float

    @property
    def fell(self) -> bool:
        """Whether the new model is worse than the better of the other two."""
        return self.new < max(self.base, self.current) - self.tolerance

    def __str__(self) -> str:
        others = f"{self.current:.3f} published, {self.base:.3f} base"
        images = "1 image" if self.images == 1 else f"{self.images} images"
        verdict = "FELL" if self.fell else "ok"
        return f"{self.source}: AP@0.5 {self.new:.3f} ({others}; tolerance {self.tolerance:.3f}, {images}): {verdict}"


@dataclass(frozen=True)
class Judgement:
    """The result of the comparison.

    Attributes
    ----------
    scores
        One score for each source with validation images.
    unguarded
        Sources without validation images, which cannot be compared.
    """

    scores: tuple[SourceScore, ...]
    unguarded: tuple[str, ...] = ()

    @property
    def fallen(self) -> tuple[str, ...]:
        """Sources on which the new model is worse."""
        return tuple(score.source for score in self.scores if score.fell)

    @property
    def passed(self) -> bool:
        """Whether the new model may be published."""
        return not self.fallen

    def as_dict(self) -> dict[str, Any]:
        """Values for JSON."""
        return {**asdict(self), "fallen": list(self.fallen)}

    @classmethod
    def of(cls, report: Mapping[str, Any]) -> Judgement:
        """The judgment stored in a report."""
        scores = tuple(SourceScore(**score) for score in report.get("scores", ()))
        return cls(scores, tuple(report.get("unguarded", ())))


def tolerance_of(differences: npt.NDArray[np.float64], least: float = LEAST_TOLERANCE) -> float:
    """How far the mean score of a source may fall by chance.

    1.645 standard errors of the differences between two models on the same images, which chance exceeds once in
    twenty times; at least ``least``, since two trainings differ on all images together, and at most
    ``MOST_TOLERANCE``. One or two images do not show the variation: then ``least`` applies, so in doubt the published
    model stays.

    Examples
    --------
    >>> tolerance_of(np.zeros(10)), tolerance_of(np.array([0.3])), tolerance_of(np.array([0.3, -0.3, 0.1]))
    (0.02, 0.02, 0.05)
    """
    if len(differences) < _FEWEST:
        return least
    error = float(differences.std(ddof=1)) / len(differences) ** 0.5
    return float(max(min(_ONE_SIDED_95 * error, MOST_TOLERANCE), least))


def judge(
    new: Scores, current: Scores, base: Scores, *, least: float = LEAST_TOLERANCE, unguarded: Sequence[str] = ()
) -> Judgement:
    """Compare a new model with the published model and with the one that training starts from.

    Parameters
    ----------
    new, current, base
        AP@0.5 of each validation image, by source; NaN for unusable images.
    least
        See `tolerance_of`.
    unguarded
        Sources without validation images.

    Raises
    ------
    InputError
        If no image could be compared.
    """
    found = []
    for source, values in new.items():
        scores = np.array([values, current[source], base[source]], float)
        scores = scores[:, np.isfinite(scores).all(axis=0)]
        if not scores.shape[1]:
            unguarded = (*unguarded, source)
            continue
        means = scores.mean(axis=1)
        better = 1 if means[1] >= means[2] else 2
        tolerance = tolerance_of(scores[0] - scores[better], least)
        found.append(
            SourceScore(
                source, scores.shape[1], base=float(means[2]), current=float(means[1]), new=float(means[0]),
                tolerance=tolerance,
            )
        )  # fmt: skip
    if not found:
        message = (
            "there is no image to compare models on: no source has two accepted contributions yet; accept more, or "
            "name folders of images and masks with --validation_dir"
        )
        raise InputError(message)
    return Judgement(tuple(found), tuple(unguarded))
