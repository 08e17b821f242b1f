"""Names of denoise that older scripts call; nothing of the package itself does."""

from __future__ import annotations

import random

import numpy as np
import torch

__all__ = [
    "deterministic",
]


def deterministic(seed: int = 0) -> None:
    """Seed Python, numpy and torch, and choose reproducible algorithms on the GPU.

    Parameters
    ----------
    seed
        The seed of all generators.
    """
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  (the draws of the training loops use the global generator, as published)
    torch.manual_seed(seed)
    torch.cuda.manual_seed_all(seed)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
