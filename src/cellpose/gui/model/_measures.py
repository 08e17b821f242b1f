"""One value per cell that its colour can tell: how sure the model is of it, how large it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cellpose.gui.model._labels import Table

__all__ = ["MEASURES", "Measured", "by_score", "by_size"]

_MOST = (1, 99)  # percentiles of the sizes that have the colours at the ends
_LEAST_FACTOR = 1.1  # between them


@dataclass(frozen=True, eq=False)
class Measured:
    """A value per cell.

    Parameters
    ----------
    shares
        Per row of the table from 0 to 1, its place between the ends; NaN where nothing is known.
    ends
        The values at 0 and at 1.
    """

    shares: npt.NDArray[np.float64]
    ends: tuple[float, float]


def by_score(table: Table) -> Measured:
    """How sure the model is; nothing is known of cells made or corrected by hand."""
    return Measured(table["score"].astype(np.float64), (0.0, 1.0))


def by_size(table: Table) -> Measured:
    """Pixels, on a scale of factors.

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
