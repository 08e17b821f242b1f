"""The compiled loops that grow and shrink many cells at once."""

from __future__ import annotations

import numpy as np

from cellpose._machine.compiled import compiled

__all__ = ["count_pieces", "grow_rows", "shrink_rows"]


@compiled
def grow_rows(start, stop, labels, ranks, rows, columns, out):
    """Give background pixels of some rows of a plane to the cell of lowest rank within reach.

    ``labels`` int32 (Y, X); ``ranks`` int32 (labels,), 0 for those that do not grow; ``rows`` and ``columns`` int64
    (n,) how far away a cell may lie; ``out`` int32 (Y, X).
    """
    height, width = labels.shape
    for y in range(start, stop):
        for x in range(width):
            best, rank = labels[y, x], np.int32(0)
            if best == 0:
                for k in range(rows.size):
                    i, j = y + rows[k], x + columns[k]
                    if 0 <= i < height and 0 <= j < width:
                        label = labels[i, j]
                        near = ranks[label]
                        if near and (rank == 0 or near < rank):
                            best, rank = label, near
            out[y, x] = best


@compiled
def shrink_rows(start, stop, labels, ranks, rows, columns, out):
    """Keep the pixels of cells with a rank whose surroundings belong to the cell; arguments as in `grow_rows`."""
    height, width = labels.shape
    for y in range(start, stop):
        for x in range(width):
            label = labels[y, x]
            stays = True
            if ranks[label]:
                for k in range(rows.size):
                    i, j = y + rows[k], x + columns[k]
                    if not (0 <= i < height and 0 <= j < width) or labels[i, j] != label:
                        stays = False
                        break
            out[y, x] = label if stays else 0


@compiled
def count_pieces(labels, wanted, counts):
    """Number of face-connected parts of each label (Z, Y, X) that is ``wanted``, bool (labels,)."""
    depth, height, width = labels.shape
    flat = labels.ravel()
    known = np.zeros(flat.size, np.bool_)
    stack = np.empty(1024, np.int64)
    for first in range(flat.size):
        label = flat[first]
        if known[first] or not wanted[label]:
            continue
        counts[label] += 1
        known[first] = True
        stack[0], top = first, 1
        while top:
            top -= 1
            place = stack[top]
            x, y, z = place % width, place // width % height, place // (width * height)
            if top + 6 > stack.size:
                more = np.empty(2 * stack.size, np.int64)
                more[:top] = stack[:top]
                stack = more
            for side in range(6):
                there = (x > 0, x + 1 < width, y > 0, y + 1 < height, z > 0, z + 1 < depth)[side]
                step = (-1, 1, -width, width, -width * height, width * height)[side]
                if there and flat[place + step] == label and not known[place + step]:
                    known[place + step] = True
                    stack[top] = place + step
                    top += 1
