"""Compiled loops over labels and their outlines: tracing along the borders of pixels, and filling."""

from __future__ import annotations

import math

import numpy as np

from cellpose._machine.compiled import compiled

# Steps along a border, the cell on the right hand: to the right, down, to the left, up (y runs downwards).
_DX = np.array([1, 0, -1, 0], np.int64)
_DY = np.array([0, 1, 0, -1], np.int64)
# The pixel ahead on the right hand, seen from the corner; that on the left hand is the one of the step before.
_AHEAD_X = np.array([0, -1, -1, 0], np.int64)
_AHEAD_Y = np.array([0, 0, -1, -1], np.int64)
_LEFTWARDS = 2

END, OWNER, PARENT, CROSSED = range(4)  # of the table of `trace_rings`


@compiled
def _grown(table):
    larger = np.empty((2 * table.shape[0], table.shape[1]), table.dtype)
    for i in range(table.shape[0]):  # a slice takes seconds to compile
        for k in range(table.shape[1]):
            larger[i, k] = table[i, k]
    return larger


@compiled
def _is(labels, label, y, x):
    return 0 <= y < labels.shape[0] and 0 <= x < labels.shape[1] and labels[y, x] == label


@compiled
def _follow(labels, passed, y0, x0, number, points, n):
    """Follow a border from the upper left corner of a pixel back to there; marks upper edges, appends corners.

    Also gives twice the area inside (negative around a hole), the row and column below its topmost edge along which the
    border runs to the left, and whether it passes a corner where pixels touch by that corner only.
    """
    label = labels[y0, x0]
    x, y, step, area, crossed = x0, y0, 0, 0, 0
    top, top_x = labels.shape[0] + 1, 0
    while True:
        if n == points.shape[0]:
            points = _grown(points)
        points[n, 0], points[n, 1] = x, y
        n += 1
        if step == _LEFTWARDS and y < top:
            top, top_x = y, x - 1
        while True:  # on to the next corner that turns
            if step == 0:
                passed[y, x] = number
            area += x * _DY[step] - y * _DX[step]
            x += _DX[step]
            y += _DY[step]
            left = (step + 3) & 3
            on_left = _is(labels, label, y + _AHEAD_Y[left], x + _AHEAD_X[left])
            if not _is(labels, label, y + _AHEAD_Y[step], x + _AHEAD_X[step]):
                step = (step + 1) & 3
                crossed |= int(on_left)
                break
            if on_left:
                step = left
                break
        if x == x0 and y == y0 and step == 0:
            return points, n, area, top, top_x, crossed


@compiled
def trace_rings(labels):
    """All borders of all labels of a plane, along the edges of pixels, in one pass over it.

    A border begins at the first upper edge of a pixel, row by row, that no border before has passed: each has one.
    Where two pixels of a label touch by a corner only, the border stays on its own pixel, so that they are apart.

    Parameters
    ----------
    labels
        int32 (Ly, Lx).

    Returns
    -------
    points
        int32 (n, 2), corners x, y where a border turns, one border after the other, the cell on the right hand.
    table
        int32 (m, 4), for each border where it ends in the points; its label; the number of the outer border that it
        lies in, its own for an outer one; whether it passes a corner where pixels touch by that corner only.
    """
    height, width = labels.shape
    passed = np.full((height, width), -1, np.int32)  # the border along the upper edge of a pixel
    points = np.empty((1024, 2), np.int32)
    table = np.empty((256, 4), np.int32)
    n = m = 0
    for y0 in range(height):
        for x0 in range(width):
            label = labels[y0, x0]
            if label == 0 or passed[y0, x0] >= 0 or (y0 > 0 and labels[y0 - 1, x0] == label):
                continue
            points, n, area, top, top_x, crossed = _follow(labels, passed, y0, x0, m, points, n)
            parent = m
            if area < 0:  # around a hole: what lies above it leads to the border that it is in
                row = top - 1
                while row > 0 and labels[row - 1, top_x] == label:
                    row -= 1
                parent = table[passed[row, top_x], PARENT]
            if m == table.shape[0]:
                table = _grown(table)
            table[m, END], table[m, OWNER], table[m, PARENT], table[m, CROSSED] = n, label, parent, crossed
            m += 1
    return points[:n], table[:m]


@compiled
def _limits(points, start, stop, axis):
    low = high = points[start, axis]
    for i in range(start, stop):
        low, high = min(low, points[i, axis]), max(high, points[i, axis])
    return low, high


@compiled
def fill_polygons(points, ring_ends, polygon_ends, labels, planes, out):
    """Paint polygons: a pixel belongs to one if its centre has an odd number of its rings around it.

    Parameters
    ----------
    points
        float64 (n, 2), corners x, y; pixel (x, y) reaches from (x, y) to (x + 1, y + 1).
    ring_ends
        int64, where each ring ends in the points.
    polygon_ends
        int64 (m,), where each polygon ends in the rings.
    labels, planes
        int32 and int64 (m,), what to paint, and in which plane.
    out
        int32 (Z, Y, X), painted. Later polygons lie on top.

    Returns
    -------
    taken
        Number of pixels that had another label.
    """
    _, height, width = out.shape
    taken = 0
    first_ring = 0
    for polygon in range(polygon_ends.size):
        last_ring = polygon_ends[polygon]
        start = ring_ends[first_ring - 1] if first_ring > 0 else 0
        stop = ring_ends[last_ring - 1] if last_ring > 0 else 0
        if stop <= start:
            first_ring = last_ring
            continue
        left, right = _limits(points, start, stop, 0)
        low, high = _limits(points, start, stop, 1)
        x0, x1 = max(0, math.floor(left)), min(width, math.ceil(right))
        y0, y1 = max(0, math.floor(low)), min(height, math.ceil(high))
        if x1 <= x0 or y1 <= y0:
            first_ring = last_ring
            continue
        crossed = np.zeros((y1 - y0, x1 - x0 + 1), np.uint8)
        begin = start
        for ring in range(first_ring, last_ring):
            end = ring_ends[ring]
            for i in range(begin, end):
                k = i + 1 if i + 1 < end else begin
                ax, ay, bx, by = points[i, 0], points[i, 1], points[k, 0], points[k, 1]
                if ay == by:
                    continue
                first = max(y0, math.ceil(min(ay, by) - 0.5))
                last = min(y1, math.ceil(max(ay, by) - 0.5))
                slope = (bx - ax) / (by - ay)
                for y in range(first, last):
                    x = math.ceil(ax + (y + 0.5 - ay) * slope - 0.5)
                    crossed[y - y0, min(max(x, x0), x1) - x0] ^= 1
            begin = end
        plane = out[planes[polygon]]
        label = labels[polygon]
        for y in range(y0, y1):
            inside = 0
            for x in range(x0, x1):
                inside ^= crossed[y - y0, x - x0]
                if inside:
                    if plane[y, x] != 0 and plane[y, x] != label:
                        taken += 1
                    plane[y, x] = label
        first_ring = last_ring
    return taken


@compiled
def encode_runs(starts, lengths, ends, total):
    """Run lengths of masks as the compressed texts of COCO: differences to the count before the last, in letters.

    Parameters
    ----------
    starts, lengths
        int64, where runs of masks begin in the flat image and how long they are, one mask after the other.
    ends
        int64 (m,), where each mask ends in the runs.
    total
        Number of pixels of the image.

    Returns
    -------
    letters
        uint8, of all texts.
    text_ends
        int64 (m,), where each text ends.
    """
    letters = np.empty((16 * (starts.size + ends.size) + 16, 1), np.uint8)
    text_ends = np.empty(ends.size, np.int64)
    n = first = 0
    for mask in range(ends.size):
        at = before = last = 0  # where the last run ended, and the two counts before this one
        k = 0
        for run in range(first, ends[mask] + 1):
            final = run == ends[mask]
            gap = (total if final else starts[run]) - at
            parts = 1 if final else 2
            if final and gap == 0:
                parts = 0
            for part in range(parts):
                count = gap if part == 0 else lengths[run]
                value = count - before if k > 2 else count
                before, last = last, count
                k += 1
                more = True
                while more:
                    letter = value & 31
                    value >>= 5
                    more = value != -1 if letter & 16 else value != 0
                    letters[n, 0] = 48 + (letter | 32 if more else letter)
                    n += 1
            if not final:
                at = starts[run] + lengths[run]
        first = ends[mask]
        text_ends[mask] = n
    return letters[:n, 0], text_ends


@compiled
def decode_runs(letters, counts):
    """The counts of a compressed text; how many, or -1 where it is damaged. ``counts`` has room for all letters."""
    n = value = shift = 0
    for letter in letters:
        part = letter - 48
        if not 0 <= part < 64 or shift > 50:
            return -1
        value |= (part & 31) << shift
        shift += 5
        if part & 32:
            continue
        if part & 16:
            value -= 1 << shift
        counts[n] = value + (counts[n - 2] if n > 2 else 0)
        if counts[n] < 0:
            return -1
        n += 1
        value = shift = 0
    return -1 if shift else n
