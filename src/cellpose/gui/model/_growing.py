"""Growing or shrinking many cells in one pass over the pixels around them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cellpose._machine.threads import run_sliced
from cellpose.gui.model._strokes import disk

__all__ = ["grown"]

Planes = npt.NDArray[np.int32]
_ROWS = 64  # smallest slice


def grown(labels: Planes, cells: Sequence[int], pixels: int) -> tuple[Planes, list[int], list[int]]:
    """Grow cells into the background, or shrink them by a negative number; earlier cells take precedence.

    A cell that would vanish stays as it is.

    Parameters
    ----------
    labels
        int32 (Z, Y, X), with a margin around the cells.
    cells
        Numbers of the cells.
    pixels
        Distance.

    Returns
    -------
    labels
        A copy.
    changed
        The changed cells, in their order.
    pieces
        Number of pieces of each changed cell.
    """
    from cellpose.gui.model._kernels import count_pieces, grow_rows, shrink_rows

    chosen = np.asarray(cells, np.int64)
    largest = int(labels.max(initial=0))
    ranks = np.zeros(largest + 1, np.int32)
    ranks[chosen[::-1]] = np.arange(chosen.size, 0, -1)
    brush = disk(2 * abs(pixels) + 1)
    rows, columns = (places - abs(pixels) for places in np.nonzero(brush))
    after = np.empty_like(labels)
    kernel = grow_rows if pixels > 0 else shrink_rows
    for before, out in zip(labels, after, strict=True):
        run_sliced(kernel, len(before), before, ranks, rows, columns, out, smallest=_ROWS)
    if pixels < 0:
        left = np.bincount(after.ravel(), minlength=largest + 1)
        gone = (left == 0) & (ranks > 0)
        if gone.any():
            np.copyto(after, labels, where=gone[labels])
    different = after != labels
    touched = np.zeros(largest + 1, bool)
    touched[after[different] if pixels > 0 else labels[different]] = True
    counts = np.zeros(largest + 1, np.int64)
    count_pieces(after, touched, counts)
    changed = chosen[touched[chosen]]
    return after, changed.tolist(), counts[changed].tolist()
