"""Compiled loops that measure labels, one label after the other, each in its box.

Labels are C-contiguous int32 volumes ``(Z, Y, X)`` (a plane is a volume of one plane); ``numbers`` are the labels that
are measured and row ``k`` of ``boxes``, ``z0, z1, y0, y1, x0, x1``, is that of ``numbers[k]``.
"""

from __future__ import annotations

import numpy as np

from cellpose._machine.compiled import compiled

# columns of `planar`
STRAIGHT, DIAGONAL, MIXED, QUADS, FILLED, CONVEX, FERET, N_PLANAR = 0, 1, 2, 3, 19, 20, 21, 22
# columns of `intensities`
SUM, LOW, HIGH, STD, MEDIAN, WEIGHTED, N_INTENSITY = 0, 1, 2, 3, 4, 5, 8

N_SUMS = 10  # of `moments`
N_CUBES = 256  # ways in which the 8 voxels around a corner belong to a label or not

_FAR = np.int64(2**40)


@compiled
def moments(start, stop, labels, numbers, boxes, out):
    """Sums of 1, z, y, x, zz, yy, xx, zy, zx, yx over the pixels of labels, counted from the corner of the box."""
    for k in range(start, stop):
        box, number, sums = boxes[k], numbers[k], out[k]
        for z in range(box[0], box[1]):
            for y in range(box[2], box[3]):
                row = labels[z, y]
                n = total = squares = np.int64(0)
                for x in range(box[5] - box[4]):
                    own = np.int64(row[box[4] + x] == number)
                    n += own
                    total += own * x
                    squares += own * x * x
                dz, dy, count, first = float(z - box[0]), float(y - box[2]), float(n), float(total)
                sums[0] += count
                sums[1] += dz * count
                sums[2] += dy * count
                sums[3] += first
                sums[4] += dz * dz * count
                sums[5] += dy * dy * count
                sums[6] += float(squares)
                sums[7] += dz * dy * count
                sums[8] += dz * first
                sums[9] += dy * first


@compiled
def _largest_box(boxes, start, stop, margin):
    """Pixels in the largest of some boxes with a margin, and the longest side along y."""
    most, longest = np.int64(1), np.int64(1)
    for k in range(start, stop):
        box = boxes[k]
        height, width = np.int64(box[3] - box[2]), np.int64(box[5] - box[4])
        most = max(most, (height + 2 * margin) * (width + 2 * margin))
        longest = max(longest, height)
    return most, longest


@compiled
def _count_borders(patch, width, height, border, out):
    """How many border pixels of a label have which steps to the next ones, by what a step is long."""
    for y in range(1, height + 1):
        i = y * (width + 2) + 1
        for _ in range(width):
            inside = patch[i - 1] + patch[i + 1] + patch[i - width - 2] + patch[i + width + 2]
            border[i] = patch[i] * np.int8(inside < 4)
            i += 1
    for y in range(1, height + 1):
        i = y * (width + 2) + 1
        for _ in range(width):
            if border[i]:
                above, below = i - width - 2, i + width + 2
                faces = border[i - 1] + border[i + 1] + border[above] + border[below]
                corners = border[above - 1] + border[above + 1] + border[below - 1] + border[below + 1]
                code = 1 + 2 * faces + 10 * corners
                if code in (5, 7, 15, 17, 25, 27):
                    out[STRAIGHT] += 1
                elif code in (21, 33):
                    out[DIAGONAL] += 1
                elif code in (13, 23):
                    out[MIXED] += 1
            i += 1


@compiled
def _count_quads(patch, width, height, out):
    """How often each way in which the 4 pixels around a corner belong to a label or not occurs."""
    for y in range(1, height + 2):
        i = y * (width + 2) + 1
        for _ in range(width + 1):
            above = i - width - 2
            quad = patch[i] + 4 * patch[i - 1] + 2 * patch[above] + 8 * patch[above - 1]
            out[QUADS + quad] += 1
            i += 1


@compiled
def _open_to_outside(patch, width, height, stack):
    """Pixels of a patch, its margin too, that a step to one of 8 neighbours after the other leads to from outside."""
    line = width + 2
    size = line * (height + 2)
    stack[0], top, reached = 0, 1, 1
    patch[0] = 2
    while top > 0:
        top -= 1
        i = stack[top]
        x = i % line
        for dy in range(-line, line + 1, line):
            for dx in range(-1, 2):
                j = i + dy + dx
                if 0 <= j < size and 0 <= x + dx < line and patch[j] == 0:
                    patch[j] = 2
                    stack[top] = j
                    top += 1
                    reached += 1
    return reached


@compiled
def _envelope(values, n, at, height):
    """The corners of the largest convex function below ``values[0..n-1]``: where, and their values; how many."""
    corners = 0
    for r in range(n):
        v = values[r]
        if v >= _FAR:
            continue
        while corners >= 2:
            r1, v1 = at[corners - 1], height[corners - 1]
            r0, v0 = at[corners - 2], height[corners - 2]
            if (v1 - v0) * (r - r0) < (v - v0) * (r1 - r0):
                break
            corners -= 1
        at[corners], height[corners] = r, v
        corners += 1
    return corners


@compiled
def _inner(at, height, corners, rows, out):
    """The first pixel, in each row, that is not left of an envelope of half pixels."""
    k = 0
    for y in range(rows):
        r = 2 * y + 1
        while k + 2 < corners and at[k + 1] < r:
            k += 1
        step = at[k + 1] - at[k]
        value = height[k] * step + (height[k + 1] - height[k]) * (r - at[k])
        out[y] = -((-value) // (2 * step))


@compiled
def _half_pixels(first, last, rows, low, high):
    """The middles of the edges of the outermost pixels of each row, in half pixels; the right ones with a minus."""
    for r in range(2 * rows + 1):
        low[r] = high[r] = _FAR
    for y in range(rows):
        if first[y] <= last[y]:
            for r in (2 * y, 2 * y + 2):
                low[r] = min(low[r], 2 * first[y])
                high[r] = min(high[r], -2 * last[y])
            low[2 * y + 1] = min(low[2 * y + 1], 2 * first[y] - 1)
            high[2 * y + 1] = min(high[2 * y + 1], -2 * last[y] - 1)


@compiled
def _widest(at, height, n, sy, sx):
    """Largest squared distance of two corners, that from ``at`` on being doubled half pixels."""
    most = 0.0
    for i in range(n):
        for j in range(i):
            dy, dx = (at[i] - at[j]) * sy, (height[i] - height[j]) * sx
            most = max(most, dy * dy + dx * dx)
    return most


@compiled
def _measure_hull(first, last, rows, low, high, at, height, sy, sx, out):
    """Pixels of the convex hull of a label, of which the first and the last pixel in each row are known, and its width.

    The hull is that of the middles of the edges of the pixels; all pixels whose centre is in it or on it are of it.
    """
    n = 2 * rows + 1
    _half_pixels(first, last, rows, low, high)
    _inner(at, height, _envelope(low, n, at, height), rows, first)
    _inner(at, height, _envelope(high, n, at, height), rows, last)
    area = 0
    for y in range(rows):
        last[y] = -last[y]
        area += last[y] - first[y] + 1
    out[CONVEX] = area
    _half_pixels(first, last, rows, low, high)
    left = _envelope(low, n, at, height)
    right = _envelope(high, n, at[left:], height[left:])
    for k in range(left, left + right):
        height[k] = -height[k]
    out[FERET] = np.sqrt(_widest(at, height, left + right, sy / 2, sx / 2))


@compiled
def planar(start, stop, labels, numbers, boxes, broken, sy, sx, out):
    """Borders, corners, filled and convex area and largest width of labels of a plane.

    ``broken`` labels may have holes. ``sy`` and ``sx`` are the sides of a pixel, for the width.
    """
    room, rows = _largest_box(boxes, start, stop, 1)
    patches, border = np.zeros(room, np.int8), np.zeros(room, np.int8)
    stack = np.empty(room, np.int64)
    low, high = np.empty(2 * rows + 1, np.int64), np.empty(2 * rows + 1, np.int64)
    at, height = np.empty(4 * rows + 4, np.int64), np.empty(4 * rows + 4, np.int64)
    first, last = np.empty(rows, np.int64), np.empty(rows, np.int64)
    for k in range(start, stop):
        box, number = boxes[k], numbers[k]
        h, w = np.int64(box[3] - box[2]), np.int64(box[5] - box[4])
        size = (h + 2) * (w + 2)
        patch = patches[:size]
        patch[:] = 0
        border[:size] = 0
        count = 0
        for y in range(h):
            row = labels[box[0], box[2] + y]
            i = (y + 1) * (w + 2) + 1
            first[y], last[y] = w, -1
            for x in range(w):
                own = row[box[4] + x] == number
                patch[i + x] = own
                if own:
                    count += 1
                    first[y] = min(first[y], x)
                    last[y] = x
        _count_borders(patch, w, h, border, out[k])
        _count_quads(patch, w, h, out[k])
        out[k, FILLED] = size - _open_to_outside(patch, w, h, stack) if broken[k] else count
        _measure_hull(first, last, h, low, high, at, height, sy, sx, out[k])


@compiled
def cubes(start, stop, labels, numbers, boxes, out):
    """How often each way in which the 8 voxels around a corner belong to a label or not occurs."""
    for k in range(start, stop):
        z0, z1, y0, y1, x0, x1 = boxes[k]
        number = numbers[k]
        for z in range(z0, z1 + 1):
            for y in range(y0, y1 + 1):
                for x in range(x0, x1 + 1):
                    code = 0
                    for bit in range(8):
                        dz, dy, dx = z - (bit >> 2), y - ((bit >> 1) & 1), x - (bit & 1)
                        if z0 <= dz < z1 and y0 <= dy < y1 and x0 <= dx < x1 and labels[dz, dy, dx] == number:
                            code |= 1 << bit
                    out[k, code] += 1


@compiled
def _partition(values, low, high, k):
    """Put the item of rank ``k`` of ``values[low..high]`` in its place, smaller ones before and larger ones after."""
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            return


@compiled
def _median(values, n):
    half = n // 2
    _partition(values, 0, n - 1, half)
    if n % 2:
        return values[half]
    below = values[0]
    for i in range(1, half):
        below = max(below, values[i])
    return (below + values[half]) / 2


@compiled
def intensities(start, stop, labels, values, z_from, y_from, numbers, boxes, counts, out):
    """Sum, extremes, deviation, median and weighted sums of z, y, x (from the corner of the box) of labels.

    ``values``, float64, begins at plane ``z_from`` and row ``y_from`` of the image.
    """
    most = 1
    for k in range(start, stop):
        most = max(most, counts[k])
    own = np.empty(most, np.float64)
    for k in range(start, stop):
        box, number, row_of = boxes[k], numbers[k], out[k]
        n, low, high = 0, np.inf, -np.inf
        for z in range(box[0], box[1]):
            for y in range(box[2], box[3]):
                line, total, weighted = values[z - z_from, y - y_from], 0.0, 0.0
                row = labels[z, y]
                for x in range(box[4], box[5]):
                    if row[x] == number:
                        value = line[x]
                        own[n] = value
                        n += 1
                        total += value
                        weighted += value * (x - box[4])
                        low = min(low, value)
                        high = max(high, value)
                row_of[SUM] += total
                row_of[WEIGHTED] += total * (z - box[0])
                row_of[WEIGHTED + 1] += total * (y - box[2])
                row_of[WEIGHTED + 2] += weighted
        mean, squares = row_of[SUM] / n, 0.0
        if np.isnan(mean):  # of these nothing can be sorted
            row_of[:] = np.nan
            continue
        for i in range(n):
            squares += (own[i] - mean) ** 2
        row_of[LOW], row_of[HIGH], row_of[STD] = low, high, np.sqrt(squares / n)
        row_of[MEDIAN] = _median(own, n)
