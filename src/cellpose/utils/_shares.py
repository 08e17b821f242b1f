"""How often each image of a set is drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellpose.errors import InputError

__all__ = ["shares"]


def shares(probabilities: Any, n: int, name: str) -> NDArray[np.float64]:
    """Probabilities of `n` images as float64 ``(n,)`` that sum to 1; all alike where none are given.

    Parameters
    ----------
    probabilities
        `n` numbers of at least 0 of any sum, or None.
    n
        Number of images.
    name
        Name of the numbers in messages.

    Raises
    ------
    InputError
        For another number of them, for negative ones, NaN and infinity, and if all are 0.

    Examples
    --------
    >>> shares([1, 1, 2], 3, "train_probs").tolist()
    [0.25, 0.25, 0.5]
    """
    if probabilities is None:
        return np.full(n, 1.0 / max(n, 1))
    values: NDArray[np.float64] = np.asarray(probabilities, np.float64)
    # A sum that is finite has only finite terms.
    if values.shape != (n,) or not np.all(values >= 0) or not 0 < values.sum() < np.inf:
        message = (
            f"{name} of shape {values.shape} are not allowed; give {n} finite numbers of at least 0, one per image and "
            "not all 0"
        )
        raise InputError(message)
    result: NDArray[np.float64] = values / values.sum()
    return result
