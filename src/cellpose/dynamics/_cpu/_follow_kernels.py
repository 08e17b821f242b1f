"""Compiled loops that move pixels along the flows.

Fields are C-contiguous float32 arrays ``(Y + 1, X + 1, 2)`` or ``(Z + 1, Y + 1, X + 1, 3)`` whose last row, column (and
plane) is zero, so that the neighbour of the last pixel needs no test: its weight is zero. Components stand side by
side; of a plane they are read together, as one 64-bit word. Likewise positions in a plane are words ``(1, n)``, each
of y and x in float32, and those in a volume float32 ``(3, n)``.

Pixels move in batches, in step. Those that stand where they stood four steps ago are at rest, or in a cycle of 1, 2
or 4 steps: since the steps left are a multiple of four, they end where they are, and need not be moved any more.
"""

from __future__ import annotations

import numpy as np

from cellpose._machine.compiled import compiled
from cellpose.dynamics._constants import CHECK, MOST, REACH
from cellpose.dynamics._cpu._vector_code import TOGETHER, move_four

BATCH = 1024  # pixels moved in step: few enough for the first cache, many enough to hide latencies
SHARE = 8  # pixels at rest are taken out when they are at least one in so many
TILE = 32  # side of the tiles in which pixels are taken, so that a batch reads one small part of the field
BRICK = 10  # side of the bricks in which voxels are taken
ZERO = np.float32(0)


@compiled
def field_plane(start, stop, flows, cellprob, threshold, divisor, field):
    """Rows of the field ``flows / divisor`` where ``cellprob > threshold``, else zero."""
    for y in range(start, stop):
        for x in range(cellprob.shape[1]):
            inside = cellprob[y, x] > threshold
            for c in range(2):
                v = flows[c, y, x] / divisor
                field[y, x, c] = v if inside and abs(v) < MOST else ZERO


@compiled
def field_volume(start, stop, flows, cellprob, threshold, divisor, divisor_z, field):
    """As `field_plane`, for planes of a volume; the component along z has a divisor of its own."""
    for z in range(start, stop):
        for y in range(cellprob.shape[1]):
            for x in range(cellprob.shape[2]):
                inside = cellprob[z, y, x] > threshold
                for c in range(3):
                    v = flows[c, z, y, x] / (divisor if c else divisor_z)
                    field[z, y, x, c] = v if inside and abs(v) < MOST else ZERO


@compiled
def _step_plane(p, n, words, width, base, limits):
    """Move the first ``n`` positions one step along the flow at the exact position; `TOGETHER` at a time.

    ``base`` is the index that the pixel 0, 0 would have in ``words``, with its sign changed; ``limits`` are the lowest
    y and x and the highest.
    """
    yx = p[0].view(np.float32)
    for j in range(0, n, TOGETHER):
        move_four(yx, j, words, width, base, limits)


@compiled
def _hop_plane(p, n, words, width, base, limits):
    """Move the first ``n`` positions one step along the flow of the pixel that each is in."""
    yx, flow = p[0].view(np.float32), words.view(np.float32)
    for j in range(n):
        i = 2 * (np.int64(yx[2 * j]) * width + np.int64(yx[2 * j + 1]) - base)
        for axis in range(2):
            yx[2 * j + axis] = min(max(yx[2 * j + axis] + flow[i + axis], limits[axis]), limits[2 + axis])


@compiled
def _at_rest(p, before, n, done):
    """Flag the positions that have not changed since the last check; return their number."""
    done[:n] = 1
    for axis in range(len(p)):
        now, then = p[axis], before[axis]
        for j in range(n):
            done[j] &= np.uint8(now[j] == then[j])
    count = 0
    for j in range(n):
        count += done[j]
    return count


@compiled
def _copy(source, n, out):
    """``out[:, :n] = source[:, :n]``, in loops since those compile much faster."""
    for axis in range(len(source)):
        for j in range(n):
            out[axis, j] = source[axis, j]


@compiled
def _take_out(p, ids, n, done, end):
    """Write all positions to ``end[:, ids]`` and remove those that are done; return how many are left."""
    left = 0
    for j in range(n):
        i = ids[j]
        for axis in range(len(p)):
            v = p[axis, j]
            end[axis, i] = v
            p[axis, left] = v
        ids[left] = i
        left += 1 - done[j]
    return left


@compiled
def _settle_plane(p, ids, n, words, width, base, limits, niter, interp, end):
    """Move the first ``n`` positions ``p`` for ``niter`` steps and write them to ``end[:, ids]``."""
    before = np.zeros((1, n), np.uint64)
    done = np.zeros(n, np.uint8)
    for j in range(n, n + -n % TOGETHER):
        p[0, j] = p[0, 0]  # some position of the image, since those behind the last are moved as well
    for step in range(niter):
        if interp:
            _step_plane(p, n, words, width, base, limits)
        else:
            _hop_plane(p, n, words, width, base, limits)
        if (niter - step - 1) % CHECK == 0:
            if step >= CHECK and _at_rest(p, before, n, done) * SHARE >= n:
                n = _take_out(p, ids, n, done, end)
                if n == 0:
                    return
            _copy(p, n, before)
    done[:n] = 1
    _take_out(p, ids, n, done, end)


@compiled
def _limits(shape):
    limits = np.empty(len(shape), np.float32)
    for axis, side in enumerate(shape):
        limits[axis] = side - 1
    return limits


@compiled
def _plane_limits(shape, top, left):
    """Lowest and highest y and x of positions in a plane of which this part begins at ``top`` and ``left``."""
    limits = np.empty(4, np.float32)
    limits[0], limits[1] = top, left
    limits[2], limits[3] = top + shape[0] - 1, left + shape[1] - 1
    return limits


@compiled
def follow_plane(start, stop, starts, words, shape, niter, interp, end):
    """Ends ``(2, n)`` of a slice of the positions ``starts`` ``(2, n)`` after ``niter`` steps."""
    limits = _plane_limits(shape, 0, 0)
    p = np.empty((1, BATCH), np.uint64)
    ids = np.empty(BATCH, np.int64)
    ends = np.empty((1, BATCH), np.uint64)
    yx, last = p[0].view(np.float32), ends[0].view(np.float32)
    for first in range(start, stop, BATCH):
        n = np.int64(min(BATCH, stop - first))
        for j in range(n):
            yx[2 * j], yx[2 * j + 1], ids[j] = starts[0, first + j], starts[1, first + j], j
        _settle_plane(p, ids, n, words, shape[1] + 1, 0, limits, niter, interp, ends)
        for j in range(n):
            end[0, first + j], end[1, first + j] = last[2 * j], last[2 * j + 1]


@compiled
def ends_plane(start, stop, cellprob, threshold, words, niter, interp, origin, end):
    """For each cell pixel of a slice of the tiles of an image, the pixel it ends in.

    ``end`` (Y, X) gets the index of that pixel in an image with a rim of `REACH` pixels, -1 in the background. The
    image begins at ``origin`` (y, x) of a larger one: positions are those in the larger one, so that rounding does
    not depend on which part of it is followed.
    """
    Ly, Lx = cellprob.shape
    top, left = origin[0], origin[1]
    limits = _plane_limits(cellprob.shape, top, left)
    base = top * (Lx + 1) + left
    across = (Lx + TILE - 1) // TILE
    p = np.empty((1, TILE * TILE), np.uint64)
    ids = np.empty(TILE * TILE, np.int64)
    ends = np.empty((1, TILE * TILE), np.uint64)
    yx, last = p[0].view(np.float32), ends[0].view(np.float32)
    for tile in range(start, stop):
        y0, x0 = tile // across * TILE, tile % across * TILE
        n = np.int64(0)  # a plain 0 has another type, for which every callee would be compiled again
        for y in range(y0, min(y0 + TILE, Ly)):
            for x in range(x0, min(x0 + TILE, Lx)):
                if cellprob[y, x] > threshold:
                    yx[2 * n], yx[2 * n + 1], ids[n] = y + top, x + left, n
                    n += 1
        if n > 0:
            _settle_plane(p, ids, n, words, Lx + 1, base, limits, niter, interp, ends)
        n = 0
        for y in range(y0, min(y0 + TILE, Ly)):
            for x in range(x0, min(x0 + TILE, Lx)):
                end[y, x] = -1
                if cellprob[y, x] > threshold:
                    row, column = np.int64(last[2 * n]) - top + REACH, np.int64(last[2 * n + 1]) - left + REACH
                    end[y, x] = row * (Lx + 2 * REACH) + column
                    n += 1


@compiled
def _corners(position, side):
    """The two voxels along an axis between which a position is sampled, and how far it is from the first to the second.

    Volumes are sampled as both published generations do: ``position`` of 0 to ``side - 1`` is spread over the whole
    width of the voxels, -0.5 to ``side - 0.5``, with zeros beyond. The index ``side`` is that of the rim of zeros.
    """
    if side == 1:
        return np.int64(0), np.int64(1), ZERO
    at = position * (np.float32(side) / np.float32(side - 1)) - np.float32(0.5)
    if at < ZERO:
        return np.int64(side), np.int64(0), at + np.float32(1)
    low = min(np.int64(at), side - 1)
    return low, low + 1, at - np.float32(low)


@compiled
def _lerp(flat, above, below, left, right, fy, fx):
    """One component between four voxels of a plane."""
    one = flat[above + left] + fy * (flat[below + left] - flat[above + left])
    other = flat[above + right] + fy * (flat[below + right] - flat[above + right])
    return one + fx * (other - one)


@compiled
def _step_volume(p, n, flat, shape, limits, interp):
    """Move the first ``n`` positions ``p`` (3, batch) one step."""
    row = 3 * (shape[2] + 1)
    plane = row * (shape[1] + 1)
    for j in range(n):
        z, y, x = p[0, j], p[1, j], p[2, j]
        if not interp:
            first = np.int64(z) * plane + np.int64(y) * row + 3 * np.int64(x)
            for axis in range(3):
                p[axis, j] = min(max(p[axis, j] + flat[first + axis], ZERO), limits[axis])
            continue
        z0, z1, fz = _corners(z, shape[0])
        y0, y1, fy = _corners(y, shape[1])
        x0, x1, fx = _corners(x, shape[2])
        for axis in range(3):
            near, far = z0 * plane + axis, z1 * plane + axis
            v = _lerp(flat, near + y0 * row, near + y1 * row, 3 * x0, 3 * x1, fy, fx)
            v += fz * (_lerp(flat, far + y0 * row, far + y1 * row, 3 * x0, 3 * x1, fy, fx) - v)
            p[axis, j] = min(max(p[axis, j] + v, ZERO), limits[axis])


@compiled
def _settle_volume(p, ids, n, flat, shape, limits, niter, interp, end):
    """As `_settle_plane`, for positions ``p`` (3, batch)."""
    before = np.full((3, n), np.float32(-1))
    done = np.zeros(n, np.uint8)
    for step in range(niter):
        _step_volume(p, n, flat, shape, limits, interp)
        if (niter - step - 1) % CHECK == 0:
            if _at_rest(p, before, n, done) * SHARE >= n:
                n = _take_out(p, ids, n, done, end)
                if n == 0:
                    return
            _copy(p, n, before)
    done[:n] = 1
    _take_out(p, ids, n, done, end)


@compiled
def follow_volume(start, stop, starts, flat, shape, niter, interp, end):
    """Ends ``(3, n)`` of a slice of the positions ``starts`` ``(3, n)`` after ``niter`` steps."""
    limits = _limits(shape)
    p = np.empty((3, BATCH), np.float32)
    ids = np.empty(BATCH, np.int64)
    for first in range(start, stop, BATCH):
        n = np.int64(min(BATCH, stop - first))
        for j in range(n):
            ids[j] = first + j
            for axis in range(3):
                p[axis, j] = starts[axis, first + j]
        _settle_volume(p, ids, n, flat, shape, limits, niter, interp, end)


@compiled
def ends_volume(start, stop, cellprob, threshold, flat, niter, interp, end):
    """As `ends_plane`, for a slice of the bricks of a volume; bricks are `BRICK` voxels long along each axis."""
    shape = cellprob.shape
    limits = _limits(shape)
    ny, nx = (shape[1] + BRICK - 1) // BRICK, (shape[2] + BRICK - 1) // BRICK
    p = np.empty((3, BRICK**3), np.float32)
    ids = np.empty(BRICK**3, np.int64)
    ends = np.empty((3, BRICK**3), np.float32)
    for brick in range(start, stop):
        z0, y0, x0 = brick // (ny * nx) * BRICK, brick // nx % ny * BRICK, brick % nx * BRICK
        z1, y1, x1 = min(z0 + BRICK, shape[0]), min(y0 + BRICK, shape[1]), min(x0 + BRICK, shape[2])
        n = np.int64(0)
        for z in range(z0, z1):
            for y in range(y0, y1):
                for x in range(x0, x1):
                    if cellprob[z, y, x] > threshold:
                        p[0, n], p[1, n], p[2, n], ids[n] = z, y, x, n
                        n += 1
        if n > 0:
            _settle_volume(p, ids, n, flat, shape, limits, niter, interp, ends)
        n = 0
        for z in range(z0, z1):
            for y in range(y0, y1):
                for x in range(x0, x1):
                    end[z, y, x] = -1
                    if cellprob[z, y, x] > threshold:
                        i = np.int64(ends[0, n]) + REACH
                        i = i * (shape[1] + 2 * REACH) + np.int64(ends[1, n]) + REACH
                        end[z, y, x] = i * (shape[2] + 2 * REACH) + np.int64(ends[2, n]) + REACH
                        n += 1
