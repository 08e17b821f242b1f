"""Learning rates of training runs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cellpose.nets import family_named

__all__ = ["learning_rates"]

_WARM_UP = 10
_BLOCKS = 10


def learning_rates(learning_rate: float, n_epochs: int, family: str = "cpnet") -> npt.NDArray[np.float64]:
    """Learning rate of each epoch: linear warm-up, constant, halving blocks at the end of longer runs.

    The first ten epochs rise linearly from 0. Above 300 epochs the last 100 are ten blocks of 10 epochs, each at half
    the rate of the one before; else, above 100 epochs (from 100 for transformers), the last 50 are ten blocks of 5.

    Parameters
    ----------
    learning_rate
        Rate after the warm-up.
    n_epochs
        Number of epochs.
    family
        Name of the family of the network.

    Returns
    -------
    numpy.ndarray
        float64 ``(max(10, n_epochs),)``.

    Examples
    --------
    >>> learning_rates(0.9, 12)
    array([0. , 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.9, 0.9])
    """
    rates = np.append(np.linspace(0, learning_rate, _WARM_UP), np.full(max(0, n_epochs - _WARM_UP), learning_rate))
    decay_from = family_named(family).learning.decay_from
    if n_epochs > 300:
        block = 10
    elif n_epochs > decay_from:
        block = 5
    else:
        return rates
    halvings = learning_rate * 0.5 ** np.arange(1, _BLOCKS + 1)
    rates[-block * _BLOCKS :] = np.repeat(halvings, block)
    return rates
