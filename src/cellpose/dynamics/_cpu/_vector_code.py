"""Vector instructions that the compiler does not find by itself: pixels that follow flows, heat that spreads."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

__all__ = ["BYTES", "TOGETHER", "mean_nine", "move_four"]

BYTES = 32  # of the vectors of `mean_nine`
TOGETHER = 4  # positions that `move_four` moves
_INT, _LONG = ir.IntType(32), ir.IntType(64)
_TWO, _FOUR, _EIGHT = (ir.VectorType(ir.FloatType(), length) for length in (2, 4, 8))
_FOUR_DOUBLES, _FOUR_LONGS = ir.VectorType(ir.DoubleType(), 4), ir.VectorType(_LONG, 4)
_AROUND = ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))


@intrinsic
def move_four(typing_context, positions, j, words, width, base, limits):
    """Move the positions ``j`` to ``j + 3`` one step along the flow at each, linear between pixels, within ``limits``.

    ``positions`` are y and x of each, float32; ``words`` are pixels of two float32 numbers each, ``width`` in a row, of
    which pixel 0, 0 would be the one at ``-base``; ``limits`` are the lowest y and x and the highest. Pixels left and
    right are read at once. All four positions are worked on in one vector; of those above and below the pixels of the
    first and the third are in one vector, those of the others in the next, so that they part into left and right in
    their own order. Places are not checked.
    """
    place = types.intp

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data, pixels, bounds = (
            context.make_array(signature.args[k])(context, builder, args[k]).data for k in (0, 2, 5)
        )
        j, width = args[1], args[3]

        def load(pointer: Any, vector: Any) -> Any:
            loaded = builder.load(builder.bitcast(pointer, vector.as_pointer()))
            loaded.align = 4
            return loaded

        def pick(vector: Any, places: list[int], other: Any = None) -> Any:
            other = ir.Constant(vector.type, ir.Undefined) if other is None else other
            return builder.shuffle_vector(vector, other, ir.Constant(ir.VectorType(_INT, len(places)), places))

        where = builder.gep(data, [builder.shl(j, ir.Constant(_LONG, 1))])
        position = load(where, _EIGHT)
        whole = builder.fptosi(position, ir.VectorType(_INT, 8))
        fraction = builder.fsub(position, builder.sitofp(whole, _EIGHT))

        # y is the lower half of a number of 64 bits, x the upper one
        both, half = builder.bitcast(whole, _FOUR_LONGS), ir.Constant(_FOUR_LONGS, [32] * 4)
        y, x = builder.ashr(builder.shl(both, half), half), builder.lshr(both, half)
        narrow = builder.sext(builder.trunc(width, _INT), _LONG)  # products of 32 bits are quick
        row = builder.insert_element(ir.Constant(_FOUR_LONGS, ir.Undefined), narrow, ir.Constant(_INT, 0))
        index = builder.add(builder.mul(y, pick(row, [0] * 4)), x)
        first = builder.gep(pixels, [builder.neg(args[4])])

        def sides(k: int, below: bool) -> Any:
            i = builder.extract_element(index, ir.Constant(_INT, k))
            return load(builder.gep(first, [builder.add(i, width) if below else i]), _FOUR)

        def between(k: int, m: int) -> Any:
            top, bottom = (pick(sides(k, below), list(range(8)), sides(m, below)) for below in (False, True))
            share = pick(fraction, [2 * k] * 4 + [2 * m] * 4)
            return builder.fadd(top, builder.fmul(share, builder.fsub(bottom, top)))

        even, odd = between(0, 2), between(1, 3)
        left, right = pick(even, [0, 1, 8, 9, 4, 5, 12, 13], odd), pick(even, [2, 3, 10, 11, 6, 7, 14, 15], odd)
        share = pick(fraction, [1, 1, 3, 3, 5, 5, 7, 7])
        step = builder.fadd(left, builder.fmul(share, builder.fsub(right, left)))
        moved = builder.fadd(position, step)
        for order, offset in ((">", 0), ("<", 2)):
            bound = pick(load(builder.gep(bounds, [ir.Constant(_LONG, offset)]), _TWO), [0, 1] * 4)
            moved = builder.select(builder.fcmp_ordered(order, moved, bound), moved, bound)
        builder.store(moved, builder.bitcast(where, _EIGHT.as_pointer())).align = 4
        return context.get_dummy_value()

    return types.void(positions, place, words, place, place, limits), code


@intrinsic
def mean_nine(typing_context, weight, heat, i, stride, out):
    """``out = weight * (sum over 3 x 3 of heat)`` at the places of a vector from ``i`` on, and from ``i + stride`` on.

    These are a row and the next. All are float64, or all float32; both rows have most of their neighbours in common,
    which are read once. In float64 the order of the sum is that of the parity fixtures: at the middle of a symmetric
    cell the gradient is rounding error, which normalisation turns into a unit vector. In float32, twice as many numbers
    at once, columns are added up before rows, which takes fewer sums. Places are not checked.
    """
    place, exact = types.intp, heat.dtype == types.float64

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        weights, heats, result = (
            context.make_array(signature.args[k])(context, builder, args[k]).data for k in (0, 1, 4)
        )
        vector = _FOUR_DOUBLES if exact else _EIGHT
        first, step, align = args[2], args[3], 8 if exact else 4

        def pointer(data: Any, row: int, column: int = 0) -> Any:
            place = builder.add(first, builder.mul(step, ir.Constant(step.type, row)))
            place = builder.add(place, ir.Constant(step.type, column))
            return builder.bitcast(builder.gep(data, [place]), vector.as_pointer())

        def load(address: Any) -> Any:
            loaded = builder.load(address)
            loaded.align = align
            return loaded

        around = {(row, k): load(pointer(heats, row, k)) for row in (-1, 0, 1, 2) for k in (-1, 0, 1)}
        both = {k: builder.fadd(around[0, k], around[1, k]) for k in (-1, 0, 1)}
        for row in (0, 1):
            if exact:
                others = [around[row + y, x] for y, x in _AROUND]
                total = around[row, 0]
            else:
                total, *others = (builder.fadd(both[k], around[-1 if row == 0 else 2, k]) for k in (-1, 0, 1))
            for other in others:
                total = builder.fadd(total, other)
            builder.store(builder.fmul(load(pointer(weights, row)), total), pointer(result, row)).align = align
        return context.get_dummy_value()

    return types.void(weight, heat, place, place, out), code
