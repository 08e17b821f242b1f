"""Compiled loops that move pixels along the flows and collect them.

Fields are C-contiguous float32 arrays ``(Y + 1, X + 1, 2)`` or ``(Z + 1, Y + 1, X + 1, 3)`` whose last row, column (and
plane) is zero, so that the neighbour of the last pixel needs no test: its weight is zero. Components stand side by
side, so that the corners of a square lie in two stretches of memory.

A pixel is done before its last step where that cannot change its end: when it stands where it stood four steps ago
(the steps left are a multiple of four, so any cycle of 1, 2 or 4 steps ends there too), or, where only the pixel that
it ends in is asked for, when it is in a square between pixels that no step leads out of.
"""

from __future__ import annotations

import numpy as np
from numba import njit

BATCH = 1024  # pixels moved in step: few enough for the first cache, many enough to hide latencies
CHECK = 4  # steps between looks for pixels that are done
TILE = 32  # side of the tiles in which pixels are taken, so that the batch reads one small part of the field
REACH = 5  # pixels by which a seed may grow
MOST = np.float32(1e30)  # flows above are not finite for our purposes: their differences would overflow
ZERO = np.float32(0)
INWARD = np.float32(-1 + 1e-5)  # just less than one pixel, so that rounding leads out of no square


@njit(cache=True, nogil=True)
def field_plane(start, stop, flows, cellprob, threshold, divisor, field):
    """Rows of the field ``flows / divisor`` where ``cellprob > threshold``, else zero."""
    for y in range(start, stop):
        for x in range(cellprob.shape[1]):
            inside = cellprob[y, x] > threshold
            for c in range(2):
                v = flows[c, y, x] / divisor
                field[y, x, c] = v if inside and abs(v) < MOST else ZERO


@njit(cache=True, nogil=True)
def field_volume(start, stop, flows, cellprob, threshold, divisor, field):
    """As `field_plane`, for planes of a volume."""
    for z in range(start, stop):
        for y in range(cellprob.shape[1]):
            for x in range(cellprob.shape[2]):
                inside = cellprob[z, y, x] > threshold
                for c in range(3):
                    v = flows[c, z, y, x] / divisor
                    field[z, y, x, c] = v if inside and abs(v) < MOST else ZERO


@njit(cache=True, nogil=True)
def _step_plane(p, n, flat, width, limits, interp, index, fraction, sides):
    """Move the first ``n`` positions ``p`` (2, batch) one step.

    Three loops, of which the compiler turns the first and the last into vector instructions: where each position is,
    the flows on the left and right side of its square, and the step.
    """
    py, px = p[0], p[1]
    fy, fx = fraction[0], fraction[1]
    for j in range(n):
        y0 = np.int32(py[j])
        x0 = np.int32(px[j])
        fy[j] = py[j] - np.float32(y0)
        fx[j] = px[j] - np.float32(x0)
        index[j] = np.int64(y0) * width + x0
    if interp:
        for j in range(n):
            above = np.uint64(2 * index[j])
            below = above + np.uint64(2 * width)
            f = fy[j]
            o = np.uint64(4 * j)
            for c in range(4):
                v = flat[above + np.uint64(c)]
                sides[o + np.uint64(c)] = v + f * (flat[below + np.uint64(c)] - v)
    else:
        for j in range(n):
            above = 2 * index[j]
            for c in range(4):
                sides[4 * j + c] = flat[above + c % 2]
    ymax, xmax = limits[0], limits[1]
    for j in range(n):
        ly, lx, ry, rx = sides[4 * j], sides[4 * j + 1], sides[4 * j + 2], sides[4 * j + 3]
        y = py[j] + (ly + fx[j] * (ry - ly))
        x = px[j] + (lx + fx[j] * (rx - lx))
        y = y if y > ZERO else ZERO
        x = x if x > ZERO else ZERO
        py[j] = y if y < ymax else ymax
        px[j] = x if x < xmax else xmax


@njit(cache=True, nogil=True)
def _enters_low(v, slack):
    """Whether a step from the low side of a square leads into it and not through it."""
    return v >= ZERO and v <= np.float32(1) - slack


@njit(cache=True, nogil=True)
def _enters_high(v, slack):
    """Whether a step from the high side of a square leads into it and not through it."""
    return v <= -slack and v >= INWARD


@njit(cache=True, nogil=True)
def _holds_plane(field, y, x, slack):
    """Whether no step leads out of the square between the pixel and the next ones.

    Flows are bilinear there and so is the end of a step, whose extremes lie on the corners.
    """
    return (
        _enters_low(field[y, x, 0], slack)
        and _enters_low(field[y, x, 1], slack)
        and _enters_low(field[y, x + 1, 0], slack)
        and _enters_high(field[y, x + 1, 1], slack)
        and _enters_high(field[y + 1, x, 0], slack)
        and _enters_low(field[y + 1, x, 1], slack)
        and _enters_high(field[y + 1, x + 1, 0], slack)
        and _enters_high(field[y + 1, x + 1, 1], slack)
    )


@njit(cache=True, nogil=True)
def _slack(field):
    """Distance kept from the high side of squares: several times the spacing of float32 at the largest position."""
    longest = 1
    for axis in range(field.ndim - 1):
        longest = max(longest, field.shape[axis])
    return np.float32(max(1e-3, longest * 1e-6))


@njit(cache=True, nogil=True)
def _settle_plane(p, ids, n, field, niter, interp, pixel_only, end):
    """Move the first ``n`` positions ``p`` for ``niter`` steps and write them to ``end[:, ids]``."""
    flat = field.reshape(-1)
    width = field.shape[1]
    limits = np.empty(2, np.float32)
    limits[0], limits[1] = field.shape[0] - 2, field.shape[1] - 2
    index = np.empty(n, np.int64)
    fraction = np.empty((2, n), np.float32)
    sides = np.empty(4 * n, np.float32)
    before = np.full((2, n), np.float32(-1))
    slack = _slack(field)
    for _ in range(niter % CHECK):
        _step_plane(p, n, flat, width, limits, interp, index, fraction, sides)
    for _ in range(niter // CHECK):
        for _ in range(CHECK):
            _step_plane(p, n, flat, width, limits, interp, index, fraction, sides)
        left = 0
        for j in range(n):
            y, x = p[0, j], p[1, j]
            by, bx = before[0, j], before[1, j]
            done = y == by and x == bx
            if not done and pixel_only:
                y0, x0 = np.int32(y), np.int32(x)
                done = y0 == np.int32(by) and x0 == np.int32(bx) and _holds_plane(field, y0, x0, slack)
            if done:
                end[0, ids[j]] = y
                end[1, ids[j]] = x
            else:
                p[0, left], p[1, left], ids[left] = y, x, ids[j]
                before[0, left], before[1, left] = y, x
                left += 1
        n = left
        if n == 0:
            return
    for j in range(n):
        end[0, ids[j]] = p[0, j]
        end[1, ids[j]] = p[1, j]


@njit(cache=True, nogil=True)
def follow_plane(start, stop, starts, field, niter, interp, end):
    """Ends ``(2, n)`` of a slice of the pixels ``starts`` ``(2, n)`` after ``niter`` steps."""
    p = np.empty((2, BATCH), np.float32)
    ids = np.empty(BATCH, np.int64)
    for first in range(start, stop, BATCH):
        n = min(BATCH, stop - first)
        for j in range(n):
            p[0, j], p[1, j], ids[j] = starts[0, first + j], starts[1, first + j], first + j
        _settle_plane(p, ids, n, field, niter, interp, False, end)


@njit(cache=True, nogil=True)
def ends_plane(start, stop, cellprob, threshold, field, niter, interp, end):
    """For each cell pixel of a slice of the tiles of an image, the pixel it ends in.

    ``end`` (Y, X) gets the index of that pixel in an image with a rim of `REACH` pixels, -1 in the background.
    """
    Ly, Lx = cellprob.shape
    across = (Lx + TILE - 1) // TILE
    p = np.empty((2, TILE * TILE), np.float32)
    ids = np.empty(TILE * TILE, np.int64)
    local = np.empty((2, TILE * TILE), np.float32)
    pixels = np.empty((2, TILE * TILE), np.int32)
    for tile in range(start, stop):
        y0, x0 = tile // across * TILE, tile % across * TILE
        n = 0
        for y in range(y0, min(y0 + TILE, Ly)):
            for x in range(x0, min(x0 + TILE, Lx)):
                end[y, x] = -1
                if cellprob[y, x] > threshold:
                    p[0, n], p[1, n], ids[n] = y, x, n
                    pixels[0, n], pixels[1, n] = y, x
                    n += 1
        if n == 0:
            continue
        _settle_plane(p, ids, n, field, niter, interp, interp, local)
        for j in range(n):
            y, x = np.int64(local[0, j]) + REACH, np.int64(local[1, j]) + REACH
            end[pixels[0, j], pixels[1, j]] = y * (Lx + 2 * REACH) + x


@njit(cache=True, nogil=True)
def _step_volume(p, n, flat, shape, interp):
    """Move the first ``n`` positions ``p`` (3, batch) one step."""
    Y, X = shape[1], shape[2]
    zmax, ymax, xmax = np.float32(shape[0] - 2), np.float32(shape[1] - 2), np.float32(shape[2] - 2)
    for j in range(n):
        z, y, x = p[0, j], p[1, j], p[2, j]
        z0, y0, x0 = np.int64(z), np.int64(y), np.int64(x)
        i = np.uint64(3 * ((z0 * Y + y0) * X + x0))
        if interp:
            fz, fy, fx = z - np.float32(z0), y - np.float32(y0), x - np.float32(x0)
            k = i + np.uint64(3 * X)
            u = i + np.uint64(3 * Y * X)
            w = u + np.uint64(3 * X)
            near = _lerp_row(flat, i, k, fy, fx)
            far = _lerp_row(flat, u, w, fy, fx)
            step = (
                near[0] + fz * (far[0] - near[0]),
                near[1] + fz * (far[1] - near[1]),
                near[2] + fz * (far[2] - near[2]),
            )
        else:
            step = (flat[i], flat[i + np.uint64(1)], flat[i + np.uint64(2)])
        p[0, j] = min(max(z + step[0], ZERO), zmax)
        p[1, j] = min(max(y + step[1], ZERO), ymax)
        p[2, j] = min(max(x + step[2], ZERO), xmax)


@njit(cache=True, nogil=True, inline="always")
def _lerp(flat, i, k, fy, fx):
    """One component between the corners ``i, i + 3`` (above) and ``k, k + 3`` (below)."""
    left = flat[i] + fy * (flat[k] - flat[i])
    right = flat[i + np.uint64(3)] + fy * (flat[k + np.uint64(3)] - flat[i + np.uint64(3)])
    return left + fx * (right - left)


@njit(cache=True, nogil=True, inline="always")
def _lerp_row(flat, i, k, fy, fx):
    one, two = np.uint64(1), np.uint64(2)
    return (
        _lerp(flat, i, k, fy, fx),
        _lerp(flat, i + one, k + one, fy, fx),
        _lerp(flat, i + two, k + two, fy, fx),
    )


@njit(cache=True, nogil=True)
def _holds_volume(field, z, y, x, slack):
    """As `_holds_plane`, for the cube between eight voxels."""
    for corner in range(8):
        cz, cy, cx = corner // 4, corner // 2 % 2, corner % 2
        for axis in range(3):
            v = field[z + cz, y + cy, x + cx, axis]
            high = (cz, cy, cx)[axis]
            if high == 1:
                if not _enters_high(v, slack):
                    return False
            elif not _enters_low(v, slack):
                return False
    return True


@njit(cache=True, nogil=True)
def follow_volume(start, stop, starts, field, niter, interp, pixel_only, end):
    """Ends ``(3, n)`` of a slice of the voxels ``starts`` ``(3, n)`` after ``niter`` steps."""
    flat = field.reshape(-1)
    shape = field.shape
    slack = _slack(field)
    p = np.empty((3, BATCH), np.float32)
    before = np.empty((3, BATCH), np.float32)
    ids = np.empty(BATCH, np.int64)
    for first in range(start, stop, BATCH):
        n = min(BATCH, stop - first)
        for j in range(n):
            ids[j] = first + j
            for axis in range(3):
                p[axis, j] = starts[axis, first + j]
                before[axis, j] = -1
        for _ in range(niter % CHECK):
            _step_volume(p, n, flat, shape, interp)
        for _ in range(niter // CHECK):
            for _ in range(CHECK):
                _step_volume(p, n, flat, shape, interp)
            left = 0
            for j in range(n):
                z, y, x = p[0, j], p[1, j], p[2, j]
                bz, by, bx = before[0, j], before[1, j], before[2, j]
                done = z == bz and y == by and x == bx
                if not done and pixel_only:
                    z0, y0, x0 = np.int64(z), np.int64(y), np.int64(x)
                    same = z0 == np.int64(bz) and y0 == np.int64(by) and x0 == np.int64(bx)
                    done = same and _holds_volume(field, z0, y0, x0, slack)
                if done:
                    end[0, ids[j]], end[1, ids[j]], end[2, ids[j]] = z, y, x
                else:
                    p[0, left], p[1, left], p[2, left], ids[left] = z, y, x, ids[j]
                    before[0, left], before[1, left], before[2, left] = z, y, x
                    left += 1
            n = left
            if n == 0:
                break
        for j in range(n):
            end[0, ids[j]], end[1, ids[j]], end[2, ids[j]] = p[0, j], p[1, j], p[2, j]


# ---- where pixels gather ---------------------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def count_ends(end, counts):
    """Count, in the rimmed image ``counts``, how often each index stands in ``end`` (-1 does not count)."""
    for i in end:
        if i >= 0:
            counts[i] += 1


@njit(cache=True, nogil=True)
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
                        larger = np.empty(2 * n, np.int64)
                        larger[:n] = found
                        found = larger
                    found[n] = (z * Y + y) * X + x
                    n += 1
    return found[:n]


@njit(cache=True, nogil=True)
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
            larger = np.empty(2 * pixels.size, np.int64)
            larger[:total] = pixels[:total]
            pixels = larger
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


@njit(cache=True, nogil=True)
def labels_at(start, stop, end, counts, labels):
    """Labels of a slice of pixels: that of the seed which holds the pixel they end in, 0 if none does."""
    for i in range(start, stop):
        label = counts[end[i]] if end[i] >= 0 else 0
        labels[i] = -label if label < 0 else 0
