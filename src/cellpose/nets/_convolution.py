"""Convolutions and other layers of a U-Net on one image, for processors.

Features are one-dimensional arrays float32, pixel by pixel, ``channels`` numbers each, row by row. Channels of features
are whole vectors (``LANES``). Kernels work on bands of rows that stay in the cache between the steps of a convolution.

Layers take ``part, parts``: which of so many equal parts of the result they compute, so that several threads can share
an image. Every number is the same however many parts there are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from cellpose._progress.stages import announce_compiling
from cellpose.nets._vector_code import (
    LANES,
    ROWS,
    VECTORS,
    activate,
    add_doubled_output,
    add_winograd_output,
    copy,
    doubled_gradient,
    doubled_input,
    doubled_output,
    largest_of_four,
    products,
    sum_of_four,
    winograd_gradient,
    winograd_input,
    winograd_output,
)

__all__ = [
    "DOUBLED_KERNELS", "KERNELS", "LANES", "convolve", "convolve_doubled", "convolve_pixels", "convolve_points",
    "double", "doubled_kernel_gradient", "halve", "kernel_gradient", "means", "outputs", "packed",
]  # fmt: skip

compiled = njit(cache=True, nogil=True)
# Takes transforms as arguments: compiled with each of them, inside the cached kernels that call it.
special = njit(nogil=True)
announce_compiling()

# Winograd's transform of a kernel with 3 taps: its values at the six points 0, 1, -1, 2, -2 and infinity, scaled.
_KERNEL = np.array(
    [[1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6],
     [1 / 24, 1 / 12, 1 / 6], [1 / 24, -1 / 12, 1 / 6], [0, 0, 1]]
)  # fmt: skip
# The same for doubled pixels. Even results use the first tap and the sum of the other two, odd results the sum of the
# first two and the last: both at the points 1 (where they are equal), 0, -1 and infinity.
_DOUBLED_KERNEL = np.array(
    [[1 / 2, 1 / 2, 1 / 2], [1, 0, 0], [1, 1, 0], [1 / 2, -1 / 2, -1 / 2], [1 / 2, 1 / 2, -1 / 2], [0, 1, 1], [0, 0, 1]]
)
# From the 9 taps of a 3 x 3 kernel to its 36 or 49 transformed numbers.
KERNELS, DOUBLED_KERNELS = np.kron(_KERNEL, _KERNEL), np.kron(_DOUBLED_KERNEL, _DOUBLED_KERNEL)

# Number of tiles that are transformed together, so that their data stay in the L2 cache. Processors with vectors of 16
# numbers have an L2 cache of 1 MB or more. Others have half of that: with few channels fewer tiles fit, with many
# channels the kernels take most of it anyway.
_TILES = 56
_WIDEST = 8
_FEW_CHANNELS = 0 if LANES > 8 else 128


def packed(kernel: Any) -> Any:
    """A matrix (..., length, channels) as :func:`multiply` reads it: block of columns after block, flat.

    Each block is read from its first number to its last; rows of many channels would lie a power of two apart, of which
    the first cache holds few.
    """
    wide = VECTORS * LANES
    blocks = [kernel[..., c : c + wide] for c in range(0, kernel.shape[-1], wide)]
    return np.concatenate([block.reshape(*kernel.shape[:-2], -1) for block in blocks], axis=-1)


@compiled
def multiply(a, i, a_row, a_k, b, in_blocks, start, s, start_step, out, o, n, length, channels):
    """``out = start + a @ b``, ``a`` (n, length) with steps ``a_row``, ``a_k`` and ``start`` with one between rows.

    ``b`` is (length, channels), or :func:`packed` where ``in_blocks``. Rows are shared out evenly among the blocks of
    sums, so that none has too few to keep the processor busy.
    """
    wide = VECTORS * LANES
    blocks = (n + ROWS - 1) // ROWS
    fewest, with_one_more = n // max(blocks, 1), n % max(blocks, 1)
    c = 0
    while c < channels:
        broad = c + wide <= channels
        width = wide if broad else LANES
        first_b, step = (c * length, width) if in_blocks else (c, channels)
        r = 0
        for block in range(blocks):
            rows = fewest + (1 if block < with_one_more else 0)
            at, first, to = i + r * a_row, s + r * start_step + c, o + r * channels + c
            products(
                a, at, a_row, a_k, b, first_b, step, start, first, start_step, out, to, channels, length, rows, broad
            )
            r += rows
        c += width


@compiled
def _block(down, across, most):
    """Rows and columns of the blocks of tiles that are transformed together: equal blocks, nearly square."""
    columns = (across + _WIDEST - 1) // _WIDEST
    wide = (across + columns - 1) // columns
    high = most // wide
    rows = (down + high - 1) // high
    return (down + rows - 1) // rows, wide


@compiled
def _range(n, part, parts):
    """First and end of one of ``parts`` equal parts of ``n``."""
    return n * part // parts, n * (part + 1) // parts


@compiled
def _fill_band(x, rows, columns, channels, scale, shift, lowest, top, left, band, band_rows, band_columns):
    """``max(lowest, scale * x + shift)`` in a band whose first pixel is (``top``, ``left``); zeros outside of ``x``."""
    first, last = max(0, -left), min(band_columns, columns - left)
    for r in range(band_rows):
        y, start = top + r, r * band_columns * channels
        if y < 0 or y >= rows:
            band[start : start + band_columns * channels] = 0
            continue
        band[start : start + first * channels] = 0
        for k in range(first, last):
            to, at = start + k * channels, (y * columns + left + k) * channels
            for c in range(0, channels, LANES):
                activate(x, at + c, scale, c, shift, c, lowest, band, to + c)
        band[start + last * channels : start + band_columns * channels] = 0


@special
def _see(transform, band, row, step, across, n, channels, out, plane):
    """Input transform of ``n`` tiles of a band with rows of ``row`` pixels: ``across`` per row, ``step`` apart."""
    for t in range(n):
        corner = ((t // across) * row + t % across) * step * channels
        for c in range(0, channels, LANES):
            transform(band, corner + c, channels, row * channels, out, t * channels + c, plane)


@special
def _place(transform, made, plane, t, bias, out, channels, corner, row):
    """Output transform of tile ``t`` of the products ``made``, written to the pixels from index ``corner`` on."""
    for c in range(0, channels, LANES):
        transform(made, t * channels + c, plane, bias, c, out, corner + c, channels, row)


@special
def _place_all(transform, add_transform, made, plane, n, across, bias, out, rows, columns, channels, y, x, side, add):
    """Output transform of ``n`` tiles, the first at pixel (``y``, ``x``); parts outside the image are left out."""
    rest, row = np.empty(side * side * channels, np.float32), columns * channels
    for t in range(n):
        top, left = y + side * (t // across), x + side * (t % across)
        corner = (top * columns + left) * channels
        if top >= 0 and left >= 0 and top + side <= rows and left + side <= columns:
            if add:
                _place(add_transform, made, plane, t, bias, out, channels, corner, row)
            else:
                _place(transform, made, plane, t, bias, out, channels, corner, row)
            continue
        _place(transform, made, plane, t, bias, rest, channels, 0, side * channels)
        for r in range(max(0, -top), min(side, rows - top)):
            for k in range(max(0, -left) * channels, min(side, columns - left) * channels):
                value = rest[r * side * channels + k]
                out[corner + r * row + k] = out[corner + r * row + k] + value if add else value


# Side of an output tile, step between input tiles, extra input pixels per tile, output pixels before the first one of
# the image; numbers per transformed input tile, products per tile.
_USUAL = 4, 4, 2, 0, 36, 36
_DOUBLED = 6, 3, 1, 1, 16, 49


@compiled
def _point(p, shared):
    """Index of the input number of product ``p``; for doubled pixels most numbers serve two products per axis."""
    return (p // 7 + 1) // 2 * 4 + (p % 7 + 1) // 2 if shared else p


@special
def _convolve(
    see, make, make_added, form, x, x_rows, x_columns, n_in, scale, shift, lowest, kernel, bias, out, rows,
    columns, n_out, add, part, parts,
):  # fmt: skip
    """:func:`convolve` by the given transforms and ``form`` of tiles."""
    side, step, margin, before, points, in_all = form
    down, across = (rows + before + side - 1) // side, (columns + before + side - 1) // side
    begin, end = _range(down, part, parts)
    if begin == end:
        return
    high, wide = _block(end - begin, across, _TILES // 2 if n_in + n_out <= _FEW_CHANNELS else _TILES)
    band = np.empty((step * high + margin) * (step * wide + margin) * n_in, np.float32)
    # not a multiple of a page apart: numbers of one place in many planes would share a few lines of the cache
    seen_plane, made_plane = high * wide * n_in + LANES, high * wide * n_out + LANES
    seen, made = np.empty(points * seen_plane, np.float32), np.empty(in_all * made_plane, np.float32)
    nothing = np.zeros(n_out, np.float32)
    for top in range(begin, end, high):
        for left in range(0, across, wide):
            w = min(wide, across - left)
            n = min(high, end - top) * w
            height, width = step * (n // w) + margin, step * w + margin
            y, x_ = step * top - 1, step * left - 1
            _fill_band(x, x_rows, x_columns, n_in, scale, shift, lowest, y, x_, band, height, width)
            _see(see, band, width, step, w, n, n_in, seen, seen_plane)
            for p in range(in_all):
                at, to = _point(p, in_all > points) * seen_plane, p * made_plane
                weights = kernel[p * n_in * n_out : (p + 1) * n_in * n_out]
                multiply(seen, at, n_in, 1, weights, True, nothing, 0, 0, made, to, n, n_in, n_out)
            y, x_ = side * top - before, side * left - before
            _place_all(make, make_added, made, made_plane, n, w, bias, out, rows, columns, n_out, y, x_, side, add)


@compiled
def convolve(x, rows, columns, n_in, scale, shift, lowest, kernel, bias, out, n_out, add, part, parts):
    """3 x 3 convolution of ``max(lowest, scale * x + shift)``, by 36 products per tile of 4 x 4 pixels in place of 144.

    ``kernel`` is (36, n_in, n_out), transformed, each of the 36 :func:`packed`; ``add``: to what is in ``out``.
    """
    _convolve(
        winograd_input, winograd_output, add_winograd_output, _USUAL, x, rows, columns, n_in, scale, shift,
        lowest, kernel, bias, out, rows, columns, n_out, add, part, parts,
    )  # fmt: skip


@compiled
def convolve_doubled(x, rows, columns, n_in, scale, shift, lowest, kernel, bias, out, n_out, add, part, parts):
    """:func:`convolve` of an image each pixel of which counts as 2 x 2; ``rows`` and ``columns`` are those of ``out``.

    ``kernel`` is (49, n_in, n_out), and there are 49 products per tile of 6 x 6 pixels in place of 324.
    """
    _convolve(
        doubled_input, doubled_output, add_doubled_output, _DOUBLED, x, rows // 2, columns // 2, n_in, scale,
        shift, lowest, kernel, bias, out, rows, columns, n_out, add, part, parts,
    )  # fmt: skip


@special
def _kernel_gradient(
    see, see_gradient, form, x, x_rows, x_columns, n_in, scale, shift, lowest, g, rows, columns, n_out, sums
):
    side, step, margin, before, points, in_all = form
    down, across = (rows + before + side - 1) // side, (columns + before + side - 1) // side
    high, wide = _block(down, across, _TILES)
    band = np.empty((side * high + margin) * (side * wide + margin) * max(n_in, n_out), np.float32)
    seen_plane, g_plane = high * wide * n_in + LANES, high * wide * n_out + LANES
    seen, g_seen = np.empty(points * seen_plane, np.float32), np.empty(in_all * g_plane, np.float32)
    one, none, any_number = np.ones(n_out, np.float32), np.zeros(n_out, np.float32), np.float32(-np.inf)
    for top in range(0, down, high):
        for left in range(0, across, wide):
            w = min(wide, across - left)
            n = min(high, down - top) * w
            height, width = step * (n // w) + margin, step * w + margin
            y, x_ = step * top - 1, step * left - 1
            _fill_band(x, x_rows, x_columns, n_in, scale, shift, lowest, y, x_, band, height, width)
            _see(see, band, width, step, w, n, n_in, seen, seen_plane)
            y, x_ = side * top - before, side * left - before
            _fill_band(g, rows, columns, n_out, one, none, any_number, y, x_, band, side * (n // w), side * w)
            _see(see_gradient, band, side * w, side, w, n, n_out, g_seen, g_plane)
            for p in range(in_all):
                at, to = _point(p, in_all > points) * seen_plane, p * n_in * n_out
                weights = g_seen[p * g_plane : p * g_plane + n * n_out]
                multiply(seen, at, 1, n_in, weights, False, sums, to, n_out, sums, to, n_in, n, n_out)


@compiled
def kernel_gradient(x, rows, columns, n_in, scale, shift, lowest, g, n_out, sums):
    """Add the gradient of the kernel of :func:`convolve`, (36, n_in, n_out), to ``sums``; ``g`` is that of ``out``."""
    _kernel_gradient(
        winograd_input, winograd_gradient, _USUAL, x, rows, columns, n_in, scale, shift, lowest, g, rows,
        columns, n_out, sums,
    )  # fmt: skip


@compiled
def doubled_kernel_gradient(x, rows, columns, n_in, scale, shift, lowest, g, n_out, sums):
    """Add the gradient of the kernel of :func:`convolve_doubled`, (49, n_in, n_out), to ``sums``."""
    _kernel_gradient(
        doubled_input, doubled_gradient, _DOUBLED, x, rows // 2, columns // 2, n_in, scale, shift, lowest, g,
        rows, columns, n_out, sums,
    )  # fmt: skip


@compiled
def convolve_points(x, rows, columns, n_in, scale, shift, kernel, bias, out, n_out, part, parts):
    """3 x 3 convolution of the rectified ``scale * x + shift`` with few channels.

    ``kernel`` is (9 * n_in, n_out), packed.
    """
    begin, end = _range(rows, part, parts)
    step, line = (columns + 2) * n_in, 3 * n_in
    framed = np.zeros((end - begin + 2) * step, np.float32)
    for y in range(max(begin - 1, 0), min(end + 1, rows)):
        for x_ in range(columns):
            at, to = (y * columns + x_) * n_in, (y - begin + 1) * step + (x_ + 1) * n_in
            for c in range(n_in):
                framed[to + c] = max(np.float32(0), x[at + c] * scale[c] + shift[c])
    around = np.empty(columns * 3 * line, np.float32)
    for y in range(begin, end):
        to = 0
        for x_ in range(columns):
            for dy in range(3):
                at = (y - begin + dy) * step + x_ * n_in
                for k in range(line):
                    around[to + k] = framed[at + k]
                to += line
        multiply(around, 0, 3 * line, 1, kernel, True, bias, 0, 0, out, y * columns * n_out, columns, 3 * line, n_out)


@compiled
def convolve_pixels(x, n, n_in, kernel, bias, out, n_out, part, parts):
    """1 x 1 convolution of ``n`` pixels; ``kernel`` is (n_in, n_out), packed."""
    begin, end = _range(n, part, parts)
    multiply(x, begin * n_in, n_in, 1, kernel, True, bias, 0, 0, out, begin * n_out, end - begin, n_in, n_out)


@compiled
def halve(x, rows, columns, channels, add, out, part, parts):
    """The largest of each 2 x 2 pixels, or with ``add`` their sum; ``rows`` and ``columns`` are those of ``out``."""
    begin, end = _range(rows, part, parts)
    row = 2 * columns * channels
    for y in range(begin, end):
        for x_ in range(columns):
            at, to = 2 * y * row + 2 * x_ * channels, (y * columns + x_) * channels
            for c in range(0, channels, LANES):
                if add:
                    sum_of_four(x, at + c, channels, row, out, to + c)
                else:
                    largest_of_four(x, at + c, channels, row, out, to + c)


@compiled
def double(x, rows, columns, channels, out, part, parts):
    """Each pixel four times; ``rows`` and ``columns`` are those of ``out``."""
    begin, end = _range(rows, part, parts)
    for y in range(begin, end):
        for x_ in range(columns):
            at, to = ((y >> 1) * (columns >> 1) + (x_ >> 1)) * channels, (y * columns + x_) * channels
            for c in range(0, channels, LANES):
                copy(x, at + c, out, to + c)


@compiled
def means(x, n, channels):
    """Mean of each channel over ``n`` pixels."""
    sums = np.zeros(channels, np.float64)
    for p in range(n):
        for c in range(channels):
            sums[c] += x[p * channels + c]
    return (sums / n).astype(np.float32)


@compiled
def outputs(x, n, n_in, scale, shift, kernel, bias, out, n_out, part, parts):
    """1 x 1 convolution of the rectified ``scale * x + shift`` to (n_out, n).

    ``kernel`` is (n_in, whole vectors), packed.
    """
    begin, end = _range(n, part, parts)
    together, whole = 16 * ROWS, len(bias)
    moved, made = np.empty(together * n_in, np.float32), np.empty(together * whole, np.float32)
    for first in range(begin, end, together):
        count = min(together, end - first)
        for p in range(count):
            for c in range(0, n_in, LANES):
                activate(x, (first + p) * n_in + c, scale, c, shift, c, np.float32(0), moved, p * n_in + c)
        multiply(moved, 0, n_in, 1, kernel, True, bias, 0, 0, made, 0, count, n_in, whole)
        for k in range(n_out):
            for p in range(count):
                out[k * n + first + p] = made[p * whole + k]
