"""Compiled loops that spread heat through cells and compare flows.

Labels are C-contiguous int32, flows C-contiguous float32. Kernels that take ``start, stop`` work on that slice of
their items and are run in threads.
"""

from __future__ import annotations

import numpy as np

from cellpose._machine.compiled import compiled
from cellpose.dynamics._cpu._vector_code import BYTES, mean_nine

# Heat in float32: the heat added per step, large enough that distant pixels do not underflow and small enough that
# squares do not overflow; the gradient below which squares underflow; and the largest relative rounding error of a step
# (8 sums, one product, the ninth).
SOURCE = np.float32(2.0**40)
FAINT = np.float32(2.0**-60)
BLUR = 10 * 2.0**-24
ZERO, ONE, TWO = np.float32(0), np.float32(1), np.float32(2)

# ---- labels to flows -------------------------------------------------------------------------------------------


@compiled
def centres(start, stop, labels, boxes, cells, out):
    """For a slice of the cells of a volume the pixel of each nearest to the mean of its pixels, the first if several.

    Distances are compared times the number of pixels: whole numbers, so ties are ties.
    """
    for k in range(start, stop):
        label = cells[k]
        z0, z1, y0, y1, x0, x1 = boxes[label]
        n, sz, sy, sx = 0, 0, 0, 0
        for z in range(z0, z1):
            for y in range(y0, y1):
                for x in range(x0, x1):
                    if labels[z, y, x] == label:
                        n += 1
                        sz += z - z0
                        sy += y - y0
                        sx += x - x0
        nearest = np.inf
        for z in range(z0, z1):
            dz = float(n * (z - z0) - sz)
            for y in range(y0, y1):
                dy = float(n * (y - y0) - sy)
                for x in range(x0, x1):
                    if labels[z, y, x] == label:
                        dx = float(n * (x - x0) - sx)
                        distance = dz * dz + dy * dy + dx * dx
                        if distance < nearest:
                            nearest = distance
                            out[k, 0], out[k, 1], out[k, 2] = z, y, x


@compiled
def _reached(labels, label, box, cy, cx):
    """Box ``y0, y1, x0, x1`` of the pixels that heat can reach from the source, through any of 8 neighbours.

    The box of the label itself if the label fills most of it, since then the search would not pay.
    """
    y0, y1, x0, x1 = box[2], box[3], box[4], box[5]
    n = 0
    for y in range(y0, y1):
        for x in range(x0, x1):
            n += labels[y, x] == label
    if 2 * n >= (y1 - y0) * (x1 - x0):
        return y0, y1, x0, x1
    met = np.zeros((y1 - y0, x1 - x0), np.bool_)
    stack = np.empty((n, 2), np.int32)
    stack[0, 0], stack[0, 1] = cy, cx
    met[cy - y0, cx - x0] = True
    top = 1
    low_y, high_y, low_x, high_x = cy, cy + 1, cx, cx + 1
    while top > 0:
        top -= 1
        y, x = stack[top]
        low_y, high_y, low_x, high_x = min(low_y, y), max(high_y, y + 1), min(low_x, x), max(high_x, x + 1)
        for v in range(max(y - 1, y0), min(y + 2, y1)):
            for u in range(max(x - 1, x0), min(x + 2, x1)):
                if labels[v, u] == label and not met[v - y0, u - x0]:
                    met[v - y0, u - x0] = True
                    stack[top, 0], stack[top, 1] = v, u
                    top += 1
    return low_y, high_y, low_x, high_x


@compiled
def _heat_plane(labels, label, region, cy, cx, niter, source, work):
    """Heat after ``niter`` steps, flat: pixel (y, x) of the region at ``1 + (y + 1) * stride + x``; stride and room.

    Each step adds ``source`` at the centre, then every pixel of the cell becomes the mean of its 3 x 3 neighbours,
    outside 0. One zero row above and below and one zero column (shared by the end of a row and the start of the next)
    surround the region, so the loop runs over all of it without edges. Only pixels that heat has reached are computed,
    two rows at a time, and what vectors have beyond the end of a row is computed twice; behind the last row there is
    room for both, where all stays zero. ``work``, float64 or float32 as heat is to be, is used for it, or replaced if
    it is too small.
    """
    length = BYTES // work.itemsize
    y0, y1, x0, x1 = region
    h, stride = np.int64(y1 - y0), np.int64(x1 - x0 + 1)
    n = (h + 3) * stride + 2 + length
    if work.size < 3 * n:
        work = np.empty(3 * n, work.dtype)
    heat, other, weight = work[:n], work[n : 2 * n], work[2 * n : 3 * n]
    heat[:] = 0.0
    other[:] = 0.0
    weight[:] = 0.0
    for y in range(y0, y1):
        base = 1 + (y - y0 + 1) * stride - x0
        for x in range(x0, x1):
            if labels[y, x] == label:
                weight[base + x] = 1.0 / 9.0
    cy, column = cy - y0 + 1, cx - x0
    centre = 1 + cy * stride + column
    for step in range(1, niter + 1):
        heat[centre] += source
        for row in range(max(1, cy - step), min(h, cy + step) + 1, 2):
            for x in range(max(0, column - step), min(stride, column + step + 1), length):
                mean_nine(weight, heat, 1 + row * stride + x, stride, other)
        heat, other = other, heat
    return heat, stride, work


@compiled
def _flow_at(heat, stride, region, y, x):
    """Unit vector ``(y, x)`` in which heat rises at a pixel; zero where heat is flat."""
    y0, y1, x0, x1 = region
    if y < y0 or y >= y1 or x < x0 or x >= x1:
        return 0.0, 0.0
    i = 1 + (y - y0 + 1) * stride + x - x0
    dy = heat[i + stride] - heat[i - stride]
    dx = heat[i + 1] - heat[i - 1]
    norm = 1e-60 + np.sqrt(dy * dy + dx * dx)
    return dy / norm, dx / norm


@compiled
def _steps_plane(box, niter):
    """Number of steps after which heat fills a cell of any shape in its box; ``niter`` if given."""
    return niter if niter > 0 else 2 * (box[3] - box[2] + box[5] - box[4] + 4)


@compiled
def flows_plane(start, stop, labels, boxes, cells, centre, niter, out):
    """Write the unit flows ``(y, x)`` of a slice of the cells of a plane into ``out``."""
    work = np.empty(0, np.float64)
    for k in range(start, stop):
        label = cells[k]
        box = boxes[label]
        cy, cx = centre[k, 1], centre[k, 2]
        region = _reached(labels, label, box, cy, cx)
        heat, stride, work = _heat_plane(labels, label, region, cy, cx, _steps_plane(box, niter), 1.0, work)
        for y in range(region[0], region[1]):
            for x in range(region[2], region[3]):
                if labels[y, x] == label:
                    out[0, y, x], out[1, y, x] = _flow_at(heat, stride, region, y, x)


@compiled
def _error_plane(labels, label, box, region, heat, stride, network, scale):
    """Mean over a cell of the squared difference between its flows and ``scale * network``."""
    total, n = 0.0, 0
    for y in range(box[2], box[3]):
        for x in range(box[4], box[5]):
            if labels[y, x] == label:
                uy, ux = _flow_at(heat, stride, region, y, x)
                ey, ex = uy - scale * network[0, y, x], ux - scale * network[1, y, x]
                total += ey * ey + ex * ex
                n += 1
    return total / n


@compiled
def _coarse_error_plane(labels, label, box, region, heat, stride, network, scale, blur):
    """As `_error_plane`, from heat in float32 of which a share ``blur`` may be wrong; how far off the mean may be.

    A vector that turns by ``t`` changes the square of a difference ``e`` by at most ``t * (2 * e + t)``, no more than
    ``t * (1 + e * e + t)``. Beside it stands the rounding of the mean itself.
    """
    total, off, n = ZERO, ZERO, 0
    scale, blur, stride = np.float32(scale), np.float32(2 * blur), np.uint64(stride)
    for y in range(box[2], box[3]):
        inside_y = region[0] <= y < region[1]
        for x in range(box[4], box[5]):
            if labels[y, x] == label:
                uy, ux, turn = ZERO, ZERO, ZERO
                if inside_y and region[2] <= x < region[3]:
                    i = np.uint64(1 + x - region[2]) + np.uint64(y - region[0] + 1) * stride
                    above, below = heat[i - stride], heat[i + stride]
                    left, right = heat[i - np.uint64(1)], heat[i + np.uint64(1)]
                    dy, dx = below - above, right - left
                    length = np.sqrt(dy * dy + dx * dx)
                    share = ONE / max(length, FAINT)
                    uy, ux = dy * share, dx * share
                    turn = min(blur * (above + below + left + right) * share, TWO) if length > FAINT else TWO
                ey, ex = uy - scale * network[0, y, x], ux - scale * network[1, y, x]
                square = ey * ey + ex * ex
                total += square
                off += turn * (ONE + square + turn)
                n += 1
    return total / n, off / n + BLUR * n * (total / n + ONE)


@compiled
def errors_plane(start, stop, labels, boxes, cells, centre, network, scale, out):
    """Mean squared difference between the flows of a cell and ``scale * network`` over its pixels."""
    work = np.empty(0, np.float64)
    for k in range(start, stop):
        label, box, cy, cx = cells[k], boxes[cells[k]], centre[k, 1], centre[k, 2]
        region = _reached(labels, label, box, cy, cx)
        heat, stride, work = _heat_plane(labels, label, region, cy, cx, _steps_plane(box, 0), 1.0, work)
        out[k] = _error_plane(labels, label, box, region, heat, stride, network, scale)


@compiled
def above_plane(start, stop, labels, boxes, cells, centre, network, scale, most, out):
    """Whether the errors of `errors_plane` are above ``most``.

    Heat is taken in float32 first, in half the time, and in float64 where rounding might change the answer. All terms
    of a sum of heat are positive, so that each step adds at most `BLUR` to the share that rounding has in it.
    """
    coarse, exact = np.empty(0, np.float32), np.empty(0, np.float64)
    for k in range(start, stop):
        label, box, cy, cx = cells[k], boxes[cells[k]], centre[k, 1], centre[k, 2]
        region, niter = _reached(labels, label, box, cy, cx), _steps_plane(box, 0)
        heat, stride, coarse = _heat_plane(labels, label, region, cy, cx, niter, SOURCE, coarse)
        blur = BLUR * (niter + 1)
        error, off = _coarse_error_plane(labels, label, box, region, heat, stride, network, scale, blur)
        if not (error + off < most or error - off > most):
            heat, stride, exact = _heat_plane(labels, label, region, cy, cx, niter, 1.0, exact)
            error = _error_plane(labels, label, box, region, heat, stride, network, scale)
        out[k] = error > most


@compiled
def _add_seven(weight, heat, stride, area, out):
    """``out = weight * (self + 6 face neighbours)`` where ``heat`` starts one area before ``out``."""
    here = heat[area:]
    left, right = heat[area - 1 :], heat[area + 1 :]
    above, below = heat[area - stride :], heat[area + stride :]
    under = heat[2 * area :]
    for i in range(out.size):
        out[i] = weight[i] * (here[i] + left[i] + right[i] + above[i] + below[i] + heat[i] + under[i])


@compiled
def flows_volume(start, stop, labels, boxes, cells, centre, niter, out):
    """Write the unit flows ``(z, y, x)`` of a slice of the cells of a volume into ``out``.

    As in a plane, with the mean over the voxel and its 6 face neighbours and zero planes, rows and columns around.
    """
    size = 0
    for k in range(start, stop):
        b = boxes[cells[k]]
        size = max(size, (b[1] - b[0] + 2) * (b[3] - b[2] + 2) * (b[5] - b[4] + 1) + 2)
    work = np.empty((3, size), np.float64)
    for k in range(start, stop):
        label = cells[k]
        z0, z1, y0, y1, x0, x1 = boxes[label]
        stride = x1 - x0 + 1
        area = (y1 - y0 + 2) * stride
        n = (z1 - z0 + 2) * area + 2
        heat, other, weight = work[0, :n], work[1, :n], work[2, :n]
        work[:, :n] = 0.0
        for z in range(z0, z1):
            for y in range(y0, y1):
                base = 1 + (z - z0 + 1) * area + (y - y0 + 1) * stride - x0
                for x in range(x0, x1):
                    if labels[z, y, x] == label:
                        weight[base + x] = 1.0 / 7.0
        source = 1 + (centre[k, 0] - z0 + 1) * area + (centre[k, 1] - y0 + 1) * stride + centre[k, 2] - x0
        a, b = 1 + area, n - 1 - area
        for _ in range(niter):
            heat[source] += 1.0
            _add_seven(weight[a:b], heat[a - area : b + area], stride, area, other[a:b])
            heat, other = other, heat
        for z in range(z0, z1):
            for y in range(y0, y1):
                base = 1 + (z - z0 + 1) * area + (y - y0 + 1) * stride - x0
                for x in range(x0, x1):
                    if labels[z, y, x] == label:
                        i = base + x
                        dz = heat[i + area] - heat[i - area]
                        dy = heat[i + stride] - heat[i - stride]
                        dx = heat[i + 1] - heat[i - 1]
                        norm = 1e-60 + np.sqrt(dz * dz + dy * dy + dx * dx)
                        out[0, z, y, x] = dz / norm
                        out[1, z, y, x] = dy / norm
                        out[2, z, y, x] = dx / norm
