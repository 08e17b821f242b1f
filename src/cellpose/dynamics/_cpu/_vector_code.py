"""Vector instructions that the compiler does not find by itself: pixels that follow flows, heat that spreads."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

__all__ = ["LENGTH", "interpolate_rows", "mean_nine"]

LENGTH = 4  # numbers of a vector
_FOUR, _FOUR_DOUBLES = ir.VectorType(ir.FloatType(), LENGTH), ir.VectorType(ir.DoubleType(), LENGTH)


@intrinsic
def interpolate_rows(typing_context, words, i, below, fraction, out, o):
    """The flows left and right of a position, from those at the four corners around it.

    ``words`` are pixels of two float32 numbers each, of which ``i`` and the next are above the position, and those
    ``below`` further under it; ``fraction`` is its distance from the upper ones. Four float32 numbers, two of the left
    pixel and two of the right, are written to ``out`` from place ``o`` on. Places are not checked.
    """
    place = types.intp

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        result = context.make_array(signature.args[4])(context, builder, args[4])

        def load(index: Any) -> Any:
            pointer = builder.bitcast(builder.gep(array.data, [index]), _FOUR.as_pointer())
            loaded = builder.load(pointer)
            loaded.align = 8
            return loaded

        none, number = ir.Constant(_FOUR, ir.Undefined), ir.IntType(32)
        one = builder.insert_element(none, args[3], ir.Constant(number, 0))
        share = builder.shuffle_vector(one, none, ir.Constant(ir.VectorType(number, 4), [0] * 4))
        top, bottom = load(args[1]), load(builder.add(args[1], args[2]))
        between = builder.fadd(top, builder.fmul(share, builder.fsub(bottom, top)))
        pointer = builder.bitcast(builder.gep(result.data, [args[5]]), _FOUR.as_pointer())
        builder.store(between, pointer).align = 8
        return context.get_dummy_value()

    return types.void(words, place, place, types.float32, out, place), code


@intrinsic
def mean_nine(typing_context, weight, heat, i, stride, out):
    """``out = weight * (sum over 3 x 3 of heat)`` at `LENGTH` places from ``i`` on, and from ``i + stride`` on.

    These are a row and the next. All are float64; both rows have most of their neighbours in common, which are read
    once. The order of the sum is that of the parity fixtures: at the middle of a symmetric cell the gradient is
    rounding error, which normalisation turns into a unit vector. Places are not checked.
    """
    place = types.intp

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        weights, heats, result = (
            context.make_array(signature.args[k])(context, builder, args[k]).data for k in (0, 1, 4)
        )
        first, step = args[2], args[3]

        def pointer(data: Any, row: int, column: int = 0) -> Any:
            place = builder.add(first, builder.mul(step, ir.Constant(step.type, row)))
            place = builder.add(place, ir.Constant(step.type, column))
            return builder.bitcast(builder.gep(data, [place]), _FOUR_DOUBLES.as_pointer())

        def load(address: Any) -> Any:
            loaded = builder.load(address)
            loaded.align = 8
            return loaded

        around = {(row, k): load(pointer(heats, row, k)) for row in (-1, 0, 1, 2) for k in (-1, 0, 1)}
        for row in (0, 1):
            total = around[row, 0]
            for y, x in ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1)):
                total = builder.fadd(total, around[row + y, x])
            builder.store(builder.fmul(load(pointer(weights, row)), total), pointer(result, row)).align = 8
        return context.get_dummy_value()

    return types.void(weight, heat, place, place, out), code
