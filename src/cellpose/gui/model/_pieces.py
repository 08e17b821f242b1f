"""The connected pieces of a cell."""

from __future__ import annotations

import numpy as np

from cellpose.gui.model._box import Mask

__all__ = ["FEWEST_PIXELS", "pieces_of"]

FEWEST_PIXELS = 10  # minimum for a new cell, or a piece that becomes a cell


def pieces_of(mask: Mask) -> list[Mask]:
    """Connected pieces of a mask (Z, Y, X), which do not touch by an edge; the largest first."""
    from scipy import ndimage

    numbered, n = ndimage.label(mask)
    if n < 2:
        return [mask] if n else []
    order = np.argsort(-np.bincount(numbered.ravel())[1:], kind="stable") + 1
    return [numbered == number for number in order]
