"""Compiled loops over intensities."""

from __future__ import annotations

import numpy as np

from cellpose._machine.compiled import compiled


@compiled
def _key(bits):
    """Bits of a float32 as an unsigned integer with the same order; NaN comes last."""
    if bits & np.uint32(0x7FFFFFFF) > np.uint32(0x7F800000):
        return np.uint32(0xFFFFFFFF)
    return bits ^ (np.uint32(0xFFFFFFFF) if bits >> np.uint32(31) else np.uint32(0x80000000))


@compiled
def _where(histogram, rank):
    """The bin that holds a rank, and the rank in it."""
    for b in range(histogram.size):
        if rank < histogram[b]:
            return b, rank
        rank -= histogram[b]
    return histogram.size - 1, rank


@compiled
def order_statistics(bits, ranks):
    """Bits of the values with the given ranks, of float32 values given by their bits.

    Values are counted by the upper half of their bits; those that share it with one of the results are counted by the
    lower half. So an array is read twice, whatever is in it.
    """
    upper = np.zeros(1 << 16, np.int64)
    for i in range(bits.size):
        upper[_key(bits[i]) >> np.uint32(16)] += 1
    tables = np.full(1 << 16, -1, np.int64)
    bins, rests = np.empty(ranks.size, np.int64), np.empty(ranks.size, np.int64)
    n = 0
    for r in range(ranks.size):
        bins[r], rests[r] = _where(upper, ranks[r])
        if tables[bins[r]] == -1:
            tables[bins[r]] = n
            n += 1
    lower = np.zeros((n, 1 << 16), np.int64)
    for i in range(bits.size):
        key = _key(bits[i])
        table = tables[key >> np.uint32(16)]
        if table >= 0:
            lower[table, key & np.uint32(0xFFFF)] += 1
    out = np.empty(ranks.size, np.uint32)
    for r in range(ranks.size):
        low, _ = _where(lower[tables[bins[r]]], rests[r])
        key = (np.uint32(bins[r]) << np.uint32(16)) | np.uint32(low)
        out[r] = key ^ (np.uint32(0x80000000) if key >> np.uint32(31) else np.uint32(0xFFFFFFFF))
    return out
