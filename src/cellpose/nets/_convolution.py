"""Convolutions and other layers of a U-Net on one image, for processors.

Features are one-dimensional arrays float32, pixel by pixel, ``channels`` numbers each, row by row. Channels of features
are whole vectors (``LANES``). Kernels work on bands of rows that stay in the cache between the steps of a convolution.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from cellpose._stages import announce_compiling
from cellpose.nets._vector_code import (
    LANES,
    ROWS,
    VECTORS,
    activate,
    add_winograd_output,
    copy,
    largest_of_four,
    products,
    sum_of_four,
    winograd_gradient,
    winograd_input,
    winograd_output,
)

__all__ = [
    "KERNELS", "LANES", "POINTS", "convolve", "convolve_pixels", "convolve_points", "double", "halve",
    "kernel_gradient", "means", "outputs", "packed",
]  # fmt: skip

compiled = njit(cache=True, nogil=True)
announce_compiling()

# Pixels made from one transform are TILE x TILE, seen from so many points.
TILE = 4
POINTS = 36
# Pixels beside a tile that are seen too.
MARGIN = 2
# A kernel of side 3 as seen from the six points at which polynomials are multiplied.
_KERNEL = np.array(
    [[1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6],
     [1 / 24, 1 / 12, 1 / 6], [1 / 24, -1 / 12, 1 / 6], [0, 0, 1]]
)  # fmt: skip
# Numbers at all 36 points from the 9 taps of a kernel.
KERNELS = np.kron(_KERNEL, _KERNEL)

# Tiles that are transformed together: their numbers stay in the second cache. Processors with vectors of 16 numbers
# have one of a megabyte or more, others half of that, which few channels fill; of many the kernels take most of it.
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
    """Rows and columns of tiles that are transformed together: nearly a square, whose margin is small, of one size."""
    columns = (across + _WIDEST - 1) // _WIDEST
    wide = (across + columns - 1) // columns
    high = most // wide
    rows = (down + high - 1) // high
    return (down + rows - 1) // rows, wide


@compiled
def _fill_band(x, rows, columns, channels, scale, shift, lowest, doubled, top, left, band, band_rows, band_columns):
    """``max(lowest, scale * x + shift)`` in a band whose first pixel is (``top``, ``left``); zeros outside of ``x``."""
    halved = 1 if doubled else 0
    step = (columns >> halved) * channels
    first, last = max(0, -left), min(band_columns, columns - left)
    for r in range(band_rows):
        y, start = top + r, r * band_columns * channels
        if y < 0 or y >= rows:
            band[start : start + band_columns * channels] = 0
            continue
        band[start : start + first * channels] = 0
        row = (y >> halved) * step
        for k in range(first, last):
            to, at = start + k * channels, row + ((left + k) >> halved) * channels
            for c in range(0, channels, LANES):
                activate(x, at + c, scale, c, shift, c, lowest, band, to + c)
        band[start + last * channels : start + band_columns * channels] = 0


@compiled
def _see(band, across, n, channels, out, plane, margin):
    """The ``n`` tiles of a band, ``across`` in a row, seen from the points: of features, or (no margin) gradients."""
    row = (TILE * across + margin) * channels
    for t in range(n):
        corner = (t // across) * TILE * row + (t % across) * TILE * channels
        for c in range(0, channels, LANES):
            if margin:
                winograd_input(band, corner + c, channels, row, out, t * channels + c, plane)
            else:
                winograd_gradient(band, corner + c, channels, row, out, t * channels + c, plane)


@compiled
def _place(made, plane, t, bias, out, rows, columns, channels, y, x, add, rest):
    """Tile ``t`` of what was made to the pixels from (``y``, ``x``) on; ``rest`` is room for a tile."""
    corner, row = (y * columns + x) * channels, columns * channels
    if y + TILE <= rows and x + TILE <= columns:
        for c in range(0, channels, LANES):
            if add:
                add_winograd_output(made, t * channels + c, plane, bias, c, out, corner + c, channels, row)
            else:
                winograd_output(made, t * channels + c, plane, bias, c, out, corner + c, channels, row)
        return
    for c in range(0, channels, LANES):
        winograd_output(made, t * channels + c, plane, bias, c, rest, c, channels, TILE * channels)
    for r in range(min(TILE, rows - y)):
        for k in range(min(TILE, columns - x) * channels):
            value = rest[r * TILE * channels + k]
            out[corner + r * row + k] = out[corner + r * row + k] + value if add else value


@compiled
def convolve(x, rows, columns, n_in, scale, shift, lowest, doubled, kernel, bias, out, n_out, add):
    """3 x 3 convolution of ``max(lowest, scale * x + shift)``, by 36 products a tile of 4 x 4 pixels in place of 144.

    ``rows`` and ``columns`` are those of ``out``; with ``doubled`` those of ``x`` are half as many. ``kernel`` is
    (36, n_in, n_out), transformed, each of the 36 :func:`packed`; ``add``: to what is in ``out``.
    """
    across, down = (columns + TILE - 1) // TILE, (rows + TILE - 1) // TILE
    high, wide = _block(down, across, _TILES // 2 if n_in + n_out <= _FEW_CHANNELS else _TILES)
    band = np.empty((TILE * high + MARGIN) * (TILE * wide + MARGIN) * n_in, np.float32)
    # not a multiple of a page apart: numbers of one place in many planes would share a few lines of the cache
    seen_plane, made_plane = high * wide * n_in + LANES, high * wide * n_out + LANES
    seen, made = np.empty(POINTS * seen_plane, np.float32), np.empty(POINTS * made_plane, np.float32)
    rest, nothing = np.empty(TILE * TILE * n_out, np.float32), np.zeros(n_out, np.float32)
    for top in range(0, down, high):
        for left in range(0, across, wide):
            w = min(wide, across - left)
            n = min(high, down - top) * w
            y, x_ = TILE * top - 1, TILE * left - 1
            height, width = TILE * (n // w) + MARGIN, TILE * w + MARGIN
            _fill_band(x, rows, columns, n_in, scale, shift, lowest, doubled, y, x_, band, height, width)
            _see(band, w, n, n_in, seen, seen_plane, MARGIN)
            for p in range(POINTS):
                weights = kernel[p * n_in * n_out : (p + 1) * n_in * n_out]
                multiply(
                    seen, p * seen_plane, n_in, 1, weights, True, nothing, 0, 0, made, p * made_plane, n, n_in, n_out
                )
            for t in range(n):
                y, x_ = TILE * (top + t // w), TILE * (left + t % w)
                _place(made, made_plane, t, bias, out, rows, columns, n_out, y, x_, add, rest)


@compiled
def kernel_gradient(x, rows, columns, n_in, scale, shift, lowest, doubled, g, n_out, sums):
    """Add the gradient of the kernel of :func:`convolve`, (36, n_in, n_out), to ``sums``; ``g`` is that of ``out``."""
    across, down = (columns + TILE - 1) // TILE, (rows + TILE - 1) // TILE
    high, wide = _block(down, across, _TILES)
    band = np.empty((TILE * high + MARGIN) * (TILE * wide + MARGIN) * max(n_in, n_out), np.float32)
    seen_plane, g_plane = high * wide * n_in + LANES, high * wide * n_out + LANES
    seen, g_seen = np.empty(POINTS * seen_plane, np.float32), np.empty(POINTS * g_plane, np.float32)
    one, none, any_number = np.ones(n_out, np.float32), np.zeros(n_out, np.float32), np.float32(-np.inf)
    for top in range(0, down, high):
        for left in range(0, across, wide):
            w = min(wide, across - left)
            n = min(high, down - top) * w
            y, x_ = TILE * top, TILE * left
            height, width = TILE * (n // w), TILE * w
            _fill_band(
                x, rows, columns, n_in, scale, shift, lowest, doubled, y - 1, x_ - 1, band, height + MARGIN,
                width + MARGIN,
            )  # fmt: skip
            _see(band, w, n, n_in, seen, seen_plane, MARGIN)
            _fill_band(g, rows, columns, n_out, one, none, any_number, False, y, x_, band, height, width)
            _see(band, w, n, n_out, g_seen, g_plane, 0)
            for p in range(POINTS):
                to = p * n_in * n_out
                weights = g_seen[p * g_plane : p * g_plane + n * n_out]
                multiply(seen, p * seen_plane, 1, n_in, weights, False, sums, to, n_out, sums, to, n_in, n, n_out)


@compiled
def convolve_points(x, rows, columns, n_in, scale, shift, kernel, bias, out, n_out):
    """3 x 3 convolution of the rectified ``scale * x + shift`` with few channels.

    ``kernel`` is (9 * n_in, n_out), packed.
    """
    step, line = (columns + 2) * n_in, 3 * n_in
    framed = np.zeros((rows + 2) * step, np.float32)
    for y in range(rows):
        for x_ in range(columns):
            at, to = (y * columns + x_) * n_in, (y + 1) * step + (x_ + 1) * n_in
            for c in range(n_in):
                framed[to + c] = max(np.float32(0), x[at + c] * scale[c] + shift[c])
    around = np.empty(columns * 3 * line, np.float32)
    for y in range(rows):
        to = 0
        for x_ in range(columns):
            for dy in range(3):
                at = (y + dy) * step + x_ * n_in
                for k in range(line):
                    around[to + k] = framed[at + k]
                to += line
        multiply(around, 0, 3 * line, 1, kernel, True, bias, 0, 0, out, y * columns * n_out, columns, 3 * line, n_out)


@compiled
def convolve_pixels(x, n, n_in, kernel, bias, out, n_out):
    """1 x 1 convolution of ``n`` pixels; ``kernel`` is (n_in, n_out), packed."""
    multiply(x, 0, n_in, 1, kernel, True, bias, 0, 0, out, 0, n, n_in, n_out)


@compiled
def halve(x, rows, columns, channels, add, out):
    """The largest of each 2 x 2 pixels, or with ``add`` their sum; ``rows`` and ``columns`` are those of ``out``."""
    row = 2 * columns * channels
    for y in range(rows):
        for x_ in range(columns):
            at, to = 2 * y * row + 2 * x_ * channels, (y * columns + x_) * channels
            for c in range(0, channels, LANES):
                if add:
                    sum_of_four(x, at + c, channels, row, out, to + c)
                else:
                    largest_of_four(x, at + c, channels, row, out, to + c)


@compiled
def double(x, rows, columns, channels, out):
    """Each pixel four times; ``rows`` and ``columns`` are those of ``out``."""
    for y in range(rows):
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
def outputs(x, n, n_in, scale, shift, kernel, bias, out, n_out):
    """1 x 1 convolution of the rectified ``scale * x + shift`` to (n_out, n).

    ``kernel`` is (n_in, whole vectors), packed.
    """
    together, whole = 16 * ROWS, len(bias)
    moved, made = np.empty(together * n_in, np.float32), np.empty(together * whole, np.float32)
    for first in range(0, n, together):
        count = min(together, n - first)
        for p in range(count):
            for c in range(0, n_in, LANES):
                activate(x, (first + p) * n_in + c, scale, c, shift, c, np.float32(0), moved, p * n_in + c)
        multiply(moved, 0, n_in, 1, kernel, True, bias, 0, 0, made, 0, count, n_in, whole)
        for k in range(n_out):
            for p in range(count):
                out[k * n + first + p] = made[p * whole + k]
