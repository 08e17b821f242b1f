"""64 comparisons of labels at once, as the bits of one word, for compiled loops.

A compiler does not find by itself that a loop which gathers comparisons into bits is one instruction or a few on most
processors (masks of AVX-512, `movmsk` of SSE and AVX, three instructions of NEON), so it gets a hint.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from cellpose._machine.compiled import compiled

__all__ = ["WORD", "changes", "differing", "highest_bit", "lowest_bit", "spread", "write_places"]

WORD = 64


def _vector(context: Any, builder: Any, array_type: Any, array: Any, i: Any) -> Any:
    """64 items of a contiguous array from item ``i`` on; they need not be aligned to more than an item."""
    bits = array_type.dtype.bitwidth
    pointer = builder.gep(context.make_array(array_type)(context, builder, array).data, [i])
    loaded = builder.load(builder.bitcast(pointer, ir.VectorType(ir.IntType(bits), WORD).as_pointer()))
    loaded.align = bits // 8
    return loaded


@intrinsic
def _differing(typing_context, a, i, b, j):
    """Bit ``k`` is whether ``a[i + k] != b[j + k]``. All 64 items are read."""

    def code(context, builder, signature, args):
        x = _vector(context, builder, signature.args[0], args[0], args[1])
        y = _vector(context, builder, signature.args[2], args[2], args[3])
        return builder.bitcast(builder.icmp_unsigned("!=", x, y), ir.IntType(WORD))

    return types.uint64(a, types.intp, b, types.intp), code


@intrinsic
def lowest_bit(typing_context, word):
    """Place of the lowest bit that is set in a word other than 0."""

    def code(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), code


@intrinsic
def highest_bit(typing_context, word):
    """Place of the highest bit that is set in a word other than 0."""

    def code(context, builder, signature, args):
        zeros = builder.ctlz(args[0], ir.Constant(ir.IntType(1), 1))
        return builder.sub(ir.Constant(ir.IntType(WORD), WORD - 1), zeros)

    return types.int64(types.uint64), code


@compiled
def differing(values, start, stop, other):
    """Bit ``k`` is whether ``values[start + k] != other[k]``, for the 1 to 64 items of a slice; others are 0.

    ``other`` has 64 items that are equal.
    """
    if values.size >= WORD:
        first = min(start, values.size - WORD)  # never read beyond the end
        word = _differing(values, first, other, 0) >> np.uint64(start - first)
        return word & (~np.uint64(0) >> np.uint64(WORD - (stop - start)))
    word = np.uint64(0)
    for k in range(stop - start):
        word |= np.uint64(values[start + k] != other[k]) << np.uint64(k)
    return word


@compiled
def changes(values, start):
    """Bit ``k`` is whether ``values[start + k]`` differs from the item before it; 0 beyond the end. ``start`` > 0."""
    if values.size > WORD:
        first = min(start, values.size - WORD)
        return _differing(values, first, values, first - 1) >> np.uint64(start - first)
    word = np.uint64(0)
    for k in range(values.size - start):
        word |= np.uint64(values[start + k] != values[start + k - 1]) << np.uint64(k)
    return word


@compiled
def write_places(word, first, places, n):
    """Append ``first`` plus the index of each bit of a word to the first ``n`` places; return the new number."""
    while word != 0:
        places[n] = first + lowest_bit(word)
        n += 1
        word &= word - np.uint64(1)
    return n


@compiled
def spread(seeds, room):
    """Bits of ``room`` that are in one run with a bit of ``seeds``, by doubling steps to either side."""
    up = down = seeds & room
    through_up = through_down = room
    for power in range(6):
        step = np.uint64(1 << power)
        up |= through_up & (up << step)
        down |= through_down & (down >> step)
        through_up &= through_up << step
        through_down &= through_down >> step
    return up | down
