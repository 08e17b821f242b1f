"""Vector instructions for the kernels of convolutions: products of small matrices, and the transforms of Winograd.

A compiler does not keep a block of sums in registers by itself, nor make vector code of a transform that reads and
writes 36 streams, so both are written out here in its own language. All arrays are contiguous, one-dimensional and
float32; whole numbers are places in them. What is read or written at once are ``LANES`` items.

Source of the transforms: Lavin and Gray, Fast algorithms for convolutional neural networks (2016), F(4 x 4, 3 x 3).
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic

__all__ = [
    "LANES", "ROWS", "VECTORS", "activate", "add_doubled_output", "add_winograd_output", "copy", "doubled_gradient",
    "doubled_input", "doubled_output", "has_8_bit_products", "largest_of_four", "processor", "products", "sum_of_four",
    "winograd_gradient", "winograd_input", "winograd_output",
]  # fmt: skip


def processor() -> str:
    """The processor that code is made for."""
    _, name, _ = cpu_target.target_context.codegen().magic_tuple()
    return str(name)


def has_8_bit_products() -> bool:
    """Whether the processor has instructions (VNNI) that add up products of numbers of 8 bits."""
    _, _, features = cpu_target.target_context.codegen().magic_tuple()
    return any(name in features for name in ("+avx512vnni", "+avxvnni"))


def _block() -> tuple[int, int, int]:
    """Items of a vector; rows and vectors of the block of sums that the registers of this processor hold."""
    _, _, features = cpu_target.target_context.codegen().magic_tuple()
    if "+avx512f" in features:
        return 16, 8, 2
    if "+avx2" in features:
        return 8, 6, 2
    return 4, 6, 4 if "+neon" in features else 2


LANES, ROWS, VECTORS = _block()
_VECTOR = ir.VectorType(ir.FloatType(), LANES)


class _Code:
    """Writes instructions on vectors; values are those of llvmlite."""

    def __init__(self, context: Any, builder: Any, signature: Any, args: Any) -> None:
        self.context, self.builder, self.signature, self.args = context, builder, signature, args
        name, kind = f"llvm.fmuladd.v{LANES}f32", ir.FunctionType(_VECTOR, [_VECTOR] * 3)
        self._fused = cgutils.get_or_insert_function(builder.module, kind, name)

    def at(self, k: int) -> Any:
        """Address of the item that arguments ``k`` (array) and ``k + 1`` (place) name."""
        array = self.context.make_array(self.signature.args[k])(self.context, self.builder, self.args[k])
        return self.moved(array.data, self.args[k + 1])

    def moved(self, pointer: Any, by: Any) -> Any:
        """The address ``by`` items after ``pointer``."""
        return self.builder.gep(pointer, [ir.Constant(ir.IntType(64), by) if isinstance(by, int) else by])

    def times(self, place: Any, number: int) -> Any:
        """An index times a constant."""
        return self.builder.mul(place, ir.Constant(place.type, number))

    def load(self, pointer: Any) -> Any:
        """The vector at an address, which need not be aligned."""
        loaded = self.builder.load(self.builder.bitcast(pointer, _VECTOR.as_pointer()))
        loaded.align = 4
        return loaded

    def store(self, value: Any, pointer: Any) -> None:
        """Write a vector to an address, which need not be aligned."""
        self.builder.store(value, self.builder.bitcast(pointer, _VECTOR.as_pointer())).align = 4

    def number(self, value: float) -> Any:
        """A vector of one constant."""
        return ir.Constant(_VECTOR, [float(value)] * LANES)

    def repeated(self, scalar: Any) -> Any:
        """A vector of one scalar."""
        none, first = ir.Constant(_VECTOR, ir.Undefined), ir.IntType(32)
        one = self.builder.insert_element(none, scalar, ir.Constant(first, 0))
        return self.builder.shuffle_vector(one, none, ir.Constant(ir.VectorType(first, LANES), [0] * LANES))

    def add(self, a: Any, b: Any) -> Any:
        """``a + b``."""
        return self.builder.fadd(a, b)

    def subtract(self, a: Any, b: Any) -> Any:
        """``a - b``."""
        return self.builder.fsub(a, b)

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """``a * b + c``; a number may stand for ``a``."""
        a = self.number(a) if isinstance(a, (int, float)) else a
        return self.builder.call(self._fused, [a, b, c])

    def larger(self, a: Any, b: Any) -> Any:
        """The larger of ``a`` and ``b`` in each place."""
        return self.builder.select(self.builder.fcmp_ordered(">", a, b), a, b)

    def nothing(self) -> Any:
        """What an intrinsic without a value returns."""
        return self.context.get_dummy_value()


def _block_of_sums(write: _Code, rows: int, vectors: int) -> None:
    """Instructions of :func:`products` for one number of rows and of vectors; ends in a block of its own."""
    builder, args = write.builder, write.args
    a_row, a_k, b_step, start_step, out_step, length = (args[n] for n in (2, 3, 6, 9, 12, 13))
    start_rows = [write.moved(write.at(7), write.times(start_step, r)) for r in range(rows)]
    starts = [[write.load(write.moved(row, v * LANES)) for v in range(vectors)] for row in start_rows]
    a_first, b_first, out_first = write.at(0), write.at(4), write.at(10)
    before, loop, after = builder.block, builder.append_basic_block("k"), builder.append_basic_block("end")
    builder.branch(loop)
    builder.position_at_end(loop)
    k, a_column, b_row = (builder.phi(kind) for kind in (length.type, a_first.type, b_first.type))
    sums = [[builder.phi(_VECTOR) for _ in range(vectors)] for _ in range(rows)]
    loaded = [write.load(write.moved(b_row, v * LANES)) for v in range(vectors)]
    k.add_incoming(ir.Constant(length.type, 0), before)
    a_column.add_incoming(a_first, before)
    b_row.add_incoming(b_first, before)
    results = []
    for r in range(rows):
        factor = write.repeated(builder.load(write.moved(a_column, write.times(a_row, r))))
        results.append([write.multiply_add(factor, loaded[v], sums[r][v]) for v in range(vectors)])
        for v in range(vectors):
            sums[r][v].add_incoming(starts[r][v], before)
            sums[r][v].add_incoming(results[r][v], loop)
    k_next = builder.add(k, ir.Constant(k.type, 1))
    k.add_incoming(k_next, loop)
    a_column.add_incoming(write.moved(a_column, a_k), loop)
    b_row.add_incoming(write.moved(b_row, b_step), loop)
    builder.cbranch(builder.icmp_signed("<", k_next, length), loop, after)
    builder.position_at_end(after)
    for r in range(rows):
        out_row = write.moved(out_first, write.times(out_step, r))
        for v in range(vectors):
            write.store(results[r][v], write.moved(out_row, v * LANES))


@intrinsic
def products(
    typing_context, a, i, a_row, a_k, b, j, b_step, start, s, start_step, out, o, out_step, length, rows, wide
):
    """``out[r, c] = start[r, c] + sum of a[r, k] * b[k, c] over k < length``, matrices with steps between rows.

    ``a_row`` and ``a_k`` are the steps of ``a`` along its axes, of which either may be 1. There are 1 to ``ROWS``
    rows, and ``VECTORS`` vectors of columns where ``wide``, else one. Each number of rows has a loop of its own, whose
    sums are all in registers.
    """
    place = types.intp

    def code(context, builder, signature, args):
        write, number = _Code(context, builder, signature, args), args[14]
        done = builder.append_basic_block("done")
        for vectors, condition in ((VECTORS, args[15]), (1, builder.not_(args[15]))):
            chosen, other = builder.append_basic_block("vectors"), builder.append_basic_block("other")
            builder.cbranch(condition, chosen, other)
            builder.position_at_end(chosen)
            by_rows = builder.switch(number, done)
            for r in range(1, ROWS + 1):
                case = builder.append_basic_block(f"rows_{r}")
                by_rows.add_case(ir.Constant(number.type, r), case)
                builder.position_at_end(case)
                _block_of_sums(write, r, vectors)
                builder.branch(done)
            builder.position_at_end(other)
        builder.branch(done)
        builder.position_at_end(done)
        return write.nothing()

    signature = types.void(
        a, place, place, place, b, place, place, start, place, place, out, place, place, place, place, types.boolean
    )  # fmt: skip
    return signature, code


@intrinsic
def activate(typing_context, x, i, scale, s, shift, t, lowest, out, o):
    """``out = max(lowest, x * scale + shift)``."""

    def code(context, builder, signature, args):
        write = _Code(context, builder, signature, args)
        moved = write.multiply_add(write.load(write.at(0)), write.load(write.at(2)), write.load(write.at(4)))
        write.store(write.larger(moved, write.repeated(args[6])), write.at(7))
        return write.nothing()

    return types.void(x, types.intp, scale, types.intp, shift, types.intp, types.float32, out, types.intp), code


@intrinsic
def copy(typing_context, x, i, out, o):
    """``out = x``."""

    def code(context, builder, signature, args):
        write = _Code(context, builder, signature, args)
        write.store(write.load(write.at(0)), write.at(2))
        return write.nothing()

    return types.void(x, types.intp, out, types.intp), code


def _of_four(combined: Any) -> Any:
    @intrinsic
    def four(typing_context, x, i, column, row, out, o):
        """``out`` is made of ``x``, what is a column further, a row, and both."""

        def code(context, builder, signature, args):
            write = _Code(context, builder, signature, args)
            first, column, row = write.at(0), args[2], args[3]
            below = write.moved(first, row)
            places = first, write.moved(first, column), below, write.moved(below, column)
            a, b, c, d = (write.load(place) for place in places)
            write.store(combined(write, combined(write, a, b), combined(write, c, d)), write.at(4))
            return write.nothing()

        place = types.intp
        return types.void(x, place, place, place, out, place), code

    return four


largest_of_four, sum_of_four = _of_four(_Code.larger), _of_four(_Code.add)


def _input_line(write: _Code, d: list[Any]) -> list[Any]:
    """Six values of a line as seen from the six points at which polynomials are multiplied."""
    even, odd = write.multiply_add(-4, d[2], d[4]), write.multiply_add(-4, d[1], d[3])
    low, high = write.subtract(d[4], d[2]), write.subtract(d[3], d[1])
    return [
        write.multiply_add(4, d[0], write.multiply_add(-5, d[2], d[4])),
        write.add(even, odd),
        write.subtract(even, odd),
        write.multiply_add(2, high, low),
        write.multiply_add(-2, high, low),
        write.multiply_add(4, d[1], write.multiply_add(-5, d[3], d[5])),
    ]


def _output_line(write: _Code, m: list[Any]) -> list[Any]:
    """Four values of a line from the products at the six points."""
    sum_1, difference_1 = write.add(m[1], m[2]), write.subtract(m[1], m[2])
    sum_2, difference_2 = write.add(m[3], m[4]), write.subtract(m[3], m[4])
    return [
        write.add(m[0], write.add(sum_1, sum_2)),
        write.multiply_add(2, difference_2, difference_1),
        write.multiply_add(4, sum_2, sum_1),
        write.add(m[5], write.multiply_add(8, difference_2, difference_1)),
    ]


def _gradient_line(write: _Code, g: list[Any]) -> list[Any]:
    """Gradients of the products at the six points from those of the four values of a line."""
    even, odd = write.add(g[0], g[2]), write.add(g[1], g[3])
    low, high = write.multiply_add(4, g[2], g[0]), write.multiply_add(4, g[3], g[1])
    return [
        g[0],
        write.add(even, odd),
        write.subtract(even, odd),
        write.multiply_add(2, high, low),
        write.multiply_add(-2, high, low),
        g[3],
    ]


def _doubled_input_line(write: _Code, d: list[Any]) -> list[Any]:
    """Four values of a line, each of which is doubled, as seen from the points 1, 0, -1 and infinity."""
    return [write.add(d[1], d[2]), write.subtract(d[0], d[2]), write.subtract(d[2], d[1]), write.subtract(d[3], d[1])]


def _doubled_output_line(write: _Code, m: list[Any]) -> list[Any]:
    """Six values of a line from the products at 1, which both phases share, and at 0, -1 and infinity of each.

    A phase are the values before a doubled pixel's middle, or those after it: each is a convolution by two taps.
    """
    one, phases = m[0], []
    for zero, minus_one, infinity in (m[2::2], m[1::2]):
        both = write.add(one, minus_one)
        phases.append([write.add(zero, both), write.subtract(one, minus_one), write.add(infinity, both)])
    return [value for pair in zip(*phases, strict=True) for value in pair]


def _doubled_gradient_line(write: _Code, g: list[Any]) -> list[Any]:
    """Gradients of the seven products from those of the six values of a line."""
    ones, others = [], []
    for first, second, third in (g[1::2], g[::2]):
        outer = write.add(first, third)
        ones.append(write.add(outer, second))
        others.append([first, write.subtract(outer, second), third])
    return [write.add(*ones), *(value for pair in zip(*others, strict=True) for value in pair)]


def _seen_from_points(side: int, line: Any) -> Any:
    @intrinsic
    def seen(typing_context, x, i, column, row, out, o, plane):
        """A vector for each point, ``plane`` apart, from a square of pixels of ``x`` from place ``i`` on."""

        def code(context, builder, signature, args):
            write = _Code(context, builder, signature, args)
            column, row, plane = args[2], args[3], args[6]
            first, out_first = write.at(0), write.at(4)
            lines = []
            for k in range(side):
                top = write.moved(first, write.times(column, k))
                lines.append(line(write, [write.load(write.moved(top, write.times(row, y))) for y in range(side)]))
            points = len(lines[0])
            for y in range(points):
                for k, value in enumerate(line(write, [one[y] for one in lines])):
                    write.store(value, write.moved(out_first, write.times(plane, points * y + k)))
            return write.nothing()

        place = types.intp
        return types.void(x, place, place, place, out, place, place), code

    return seen


winograd_input, winograd_gradient = _seen_from_points(6, _input_line), _seen_from_points(4, _gradient_line)
doubled_input, doubled_gradient = (
    _seen_from_points(4, _doubled_input_line), _seen_from_points(6, _doubled_gradient_line)
)  # fmt: skip


def _made_of_products(points: int, line: Any, *, add: bool) -> Any:
    @intrinsic
    def output(typing_context, m, i, plane, bias, c, out, o, column, row):
        """A square of pixels of ``out`` from vectors of products, ``plane`` apart, and a bias."""

        def code(context, builder, signature, args):
            write = _Code(context, builder, signature, args)
            plane, column, row = args[2], args[7], args[8]
            first, out_first, bias = write.at(0), write.at(5), write.load(write.at(3))
            lines = []
            for x in range(points):
                places = (write.times(plane, points * y + x) for y in range(points))
                lines.append(line(write, [write.load(write.moved(first, p)) for p in places]))
            for y in range(len(lines[0])):
                out_row = write.moved(out_first, write.times(row, y))
                for x, value in enumerate(line(write, [one[y] for one in lines])):
                    pointer = write.moved(out_row, write.times(column, x))
                    base = write.add(bias, write.load(pointer)) if add else bias
                    write.store(write.add(value, base), pointer)
            return write.nothing()

        place = types.intp
        return types.void(m, place, place, bias, place, out, place, place, place), code

    return output


winograd_output, add_winograd_output = (_made_of_products(6, _output_line, add=add) for add in (False, True))
doubled_output, add_doubled_output = (_made_of_products(7, _doubled_output_line, add=add) for add in (False, True))
