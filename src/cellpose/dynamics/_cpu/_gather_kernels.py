"""Compiled loops that find where pixels gather."""

from __future__ import annotations

import numpy as np

from cellpose._machine.compiled import compiled
from cellpose.dynamics._constants import REACH


@compiled
def count_ends(end, counts):
    """Count, in the rimmed image ``counts``, how often each index stands in ``end`` (-1 does not count)."""
    for i in end:
        if i >= 0:
            counts[i] += 1


@compiled
def _grown(values, n):
    """The first ``n`` values in an array twice as long; in a loop, since a slice takes seconds to compile."""
    larger = np.empty(2 * values.size, np.int64)
    for i in range(n):
        larger[i] = values[i]
    return larger


@compiled
def find_peaks(counts, least):
    """Indices, in ascending order, where more than ``least`` gather and no more do within 2 pixels along each axis.

    ``counts`` is a volume with a rim of `REACH` pixels, planes have none above and below.
    """
    Z, Y, X = counts.shape
    rim = REACH if Z > 1 else 0
    reach = 2 if Z > 1 else 0
    found = np.empty(64, np.int64)
    n = 0
    for z in range(rim, Z - rim):
        for y in range(REACH, Y - REACH):
            for x in range(REACH, X - REACH):
                count = counts[z, y, x]
                if count <= least:
                    continue
                peak = True
                for w in range(z - reach, z + reach + 1):
                    for v in range(y - 2, y + 3):
                        for u in range(x - 2, x + 3):
                            if counts[w, v, u] > count:
                                peak = False
                if peak:
                    if n == found.size:
                        found = _grown(found, n)
                    found[n] = (z * Y + y) * X + x
                    n += 1
    return found[:n]


@compiled
def grow_seeds(counts, shape, seeds, least):
    """Pixels that each seed reaches in `REACH` steps to any of its neighbours with more than ``least`` counts.

    Written into ``counts`` (flat) as minus the number of the seed (1..n); a later seed takes pixels from an earlier.
    """
    area, width = shape[1] * shape[2], shape[2]
    depth = 1 if shape[0] > 1 else 0
    room = (2 * REACH + 1) ** 3 if depth else (2 * REACH + 1) ** 2
    pixels = np.empty(64 + room, np.int64)
    first = np.empty(seeds.size + 1, np.int64)
    total = 0
    for k in range(seeds.size):
        if total + room > pixels.size:
            pixels = _grown(pixels, total)
        first[k] = total
        pixels[total] = seeds[k]
        counts[seeds[k]] *= -1
        begin, total = total, total + 1
        for _ in range(REACH):
            ring = total
            for j in range(begin, ring):
                for dz in range(-depth, depth + 1):
                    for dy in range(-1, 2):
                        for dx in range(-1, 2):
                            i = pixels[j] + dz * area + dy * width + dx
                            if counts[i] > least:
                                counts[i] *= -1  # met by this seed
                                pixels[total] = i
                                total += 1
            begin = ring
        for j in range(first[k], total):
            counts[pixels[j]] *= -1
    first[seeds.size] = total
    for k in range(seeds.size):
        for j in range(first[k], first[k + 1]):
            counts[pixels[j]] = -(k + 1)


@compiled
def labels_at(start, stop, end, counts, labels):
    """Labels of a slice of pixels: that of the seed which holds the pixel they end in, 0 if none does."""
    for i in range(start, stop):
        label = counts[end[i]] if end[i] >= 0 else 0
        labels[i] = -label if label < 0 else 0
