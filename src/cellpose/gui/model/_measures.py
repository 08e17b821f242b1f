"""Values per cell that its color can show: confidence of the model, and size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cellpose.gui.model._labels import Table

__all__ = ["MEASURES", "Measured", "by_score", "by_size"]

_MOST = (1, 99)  # percentiles of the sizes at the ends of the color scale
_LEAST_FACTOR = 1.1  # smallest ratio between them


@dataclass(frozen=True, eq=False)
class Measured:
    """A value per cell.

    Parameters
    ----------
    shares
        Position between the ends per row of the table, 0 to 1; NaN if unknown.
    ends
        The values at 0 and at 1.
    """

    shares: npt.NDArray[np.float64]
    ends: tuple[float, float]


def by_score(table: Table) -> Measured:
    """Confidence of the model; unknown for cells made or corrected by hand."""
    return Measured(table["score"].astype(np.float64), (0.0, 1.0))


def by_size(table: Table) -> Measured:
    """Size in pixels, on a logarithmic scale.

    Examples
    --------
    >>> from cellpose.gui.model import LabelStore
    >>> measured = by_size(LabelStore(np.repeat([[1, 2, 3]], [10, 100, 1000], axis=1)).table)
    >>> measured.shares.round(1).tolist(), [round(end) for end in measured.ends]
    ([nan, 0.0, 0.5, 1.0], [10, 955])
    """
    areas = table["area"].astype(np.float64)
    logs = np.log(areas, out=np.full(areas.size, np.nan), where=areas > 0)
    known = logs[areas > 0]
    if not known.size:
        return Measured(logs, (1.0, 1.0))
    low, high = np.percentile(known, _MOST)
    high = max(high, low + np.log(_LEAST_FACTOR))
    return Measured(np.clip((logs - low) / (high - low), 0, 1), (float(np.exp(low)), float(np.exp(high))))


MEASURES: dict[str, Callable[[Table], Measured]] = {"score": by_score, "size": by_size}
