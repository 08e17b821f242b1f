"""Compiled loops over label images.

All take labels as C-contiguous int32 volumes ``(Z, Y, X)`` (a plane is a volume of one plane), so that each is
compiled for one type only. They walk along runs of equal labels: work is done once a run, not once a pixel.
"""

from __future__ import annotations

import numpy as np

from cellpose.utils._compiled import compiled


@compiled
def label_boxes(labels, n):
    """Boxes, sizes and a flag for each label 1..n.

    Row ``l`` of the boxes is ``z0, z1, y0, y1, x0, x1`` (half open; all zero where the label is absent). The flag is
    set where a label has two runs in one line along x: only then can it have a hole.
    """
    Lz, Ly, Lx = labels.shape
    boxes = np.zeros((n + 1, 6), np.int32)
    counts = np.zeros(n + 1, np.int64)
    broken = np.zeros(n + 1, np.bool_)
    last_line = np.full(n + 1, -1, np.int64)
    for z in range(Lz):
        for y in range(Ly):
            row = labels[z, y]
            line = z * Ly + y
            x = 0
            while x < Lx:
                label = row[x]
                x0 = x
                x += 1
                while x < Lx and row[x] == label:
                    x += 1
                counts[label] += x - x0
                if label == 0:
                    continue
                if last_line[label] == line:
                    broken[label] = True
                box = boxes[label]
                if last_line[label] < 0:
                    box[0], box[1], box[2], box[3], box[4], box[5] = z, z + 1, y, y + 1, x0, x
                else:
                    box[1] = z + 1
                    box[2] = min(box[2], y)
                    box[3] = max(box[3], y + 1)
                    box[4] = min(box[4], x0)
                    box[5] = max(box[5], x)
                last_line[label] = line
    return boxes, counts, broken


@compiled
def first_appearance(flat, n):
    """Number of each label 0..n in the order in which the labels are met; 0 for background and labels not met."""
    numbers = np.zeros(n + 1, np.int32)
    count = 0
    previous = np.int32(0)
    for label in flat:
        if label != previous:
            previous = label
            if label != 0 and numbers[label] == 0:
                count += 1
                numbers[label] = count
    return numbers, count


@compiled
def relabel(flat, table, out):
    """``out = table[flat]``."""
    for i in range(flat.size):
        out[i] = table[flat[i]]


@compiled
def overlap_runs(a, b, width):
    """Runs along which neither label changes: keys ``a * width + b`` and lengths."""
    n = a.size
    count = 0
    for i in range(n):
        if i == 0 or a[i] != a[i - 1] or b[i] != b[i - 1]:
            count += 1
    keys = np.empty(count, np.int64)
    lengths = np.zeros(count, np.int64)
    k = -1
    for i in range(n):
        if i == 0 or a[i] != a[i - 1] or b[i] != b[i - 1]:
            k += 1
            keys[k] = np.int64(a[i]) * width + b[i]
        lengths[k] += 1
    return keys, lengths


@compiled
def _visit(open_, i, stack, top):
    """Put cell ``i`` of a box on the stack if it is open, and close it."""
    if open_[i]:
        open_[i] = False
        stack[top] = i
        return top + 1
    return top


@compiled
def _drain(open_, h, w, d, plane, stack):
    """Close every open cell that is reached from the faces of the box ``(h, w, d)`` through face neighbours.

    A plane is a box of height 1 whose only faces are its four sides.
    """
    area = w * d
    top = 0
    for z in range(h):
        for y in range(w):
            # Either the whole line lies in a face of the box, or only its two ends do.
            whole = y in (0, w - 1) or (not plane and z in (0, h - 1))
            step = 1 if whole else max(d - 1, 1)
            for x in range(0, d, step):
                top = _visit(open_, z * area + y * d + x, stack, top)
    while top > 0:
        top -= 1
        i = stack[top]
        z = i // area
        y = (i - z * area) // d
        x = i - z * area - y * d
        if x > 0:
            top = _visit(open_, i - 1, stack, top)
        if x < d - 1:
            top = _visit(open_, i + 1, stack, top)
        if y > 0:
            top = _visit(open_, i - d, stack, top)
        if y < w - 1:
            top = _visit(open_, i + d, stack, top)
        if z > 0:
            top = _visit(open_, i - area, stack, top)
        if z < h - 1:
            top = _visit(open_, i + area, stack, top)


@compiled
def _cut_off(labels, label, box, plane):
    """Flags, for the pixels of the box of a label in raster order, whether the label cuts them off from its faces."""
    z0, z1, y0, y1, x0, x1 = box
    h, w, d = np.int64(z1 - z0), np.int64(y1 - y0), np.int64(x1 - x0)
    open_ = np.empty(h * w * d, np.bool_)
    i = 0
    for z in range(z0, z1):
        for y in range(y0, y1):
            for x in range(x0, x1):
                open_[i] = labels[z, y, x] != label
                i += 1
    _drain(open_, h, w, d, plane, np.empty(h * w * d, np.int64))
    return open_


@compiled
def _tally(labels, box, flags, inside, met):
    """Add to ``inside`` how many flagged pixels of the box each label has; the labels met; how many these are."""
    z0, z1, y0, y1, x0, x1 = box
    n = 0
    i = 0
    for z in range(z0, z1):
        for y in range(y0, y1):
            for x in range(x0, x1):
                if flags[i]:
                    other = labels[z, y, x]
                    if inside[other] == 0:
                        met[n] = other
                        n += 1
                    inside[other] += 1
                i += 1
    return n


@compiled
def fill_holes(labels, boxes, counts, pending, plane):
    """Fill, in place, the holes of the labels flagged in ``pending``, in ascending order; whether any lost pixels.

    In a plane holes are cut off within the plane, in a volume within the volume. Background in a hole is filled, and
    so are stray pixels of labels that lie outside as well. Labels that lie in it as a whole keep their pixels, and
    their own holes are filled first. ``counts``, the sizes of the labels, and ``pending`` are kept up to date.
    """
    inside = np.zeros(counts.size, np.int64)
    met = np.empty(counts.size, np.int64)
    waiting = np.empty(counts.size, np.int64)
    taken = False
    for first in range(1, counts.size):
        top = 0
        if pending[first]:
            waiting[top] = first
            top += 1
        while top > 0:
            label = waiting[top - 1]
            box = boxes[label]
            hole = _cut_off(labels, label, box, plane)
            n = _tally(labels, box, hole, inside, met)
            pending[label] = False
            ready = True
            for other in met[:n]:
                if other != 0 and inside[other] == counts[other] and pending[other]:
                    waiting[top] = other
                    pending[other] = False
                    top += 1
                    ready = False
            if ready:
                top -= 1
                z0, z1, y0, y1, x0, x1 = box
                i = 0
                for z in range(z0, z1):
                    for y in range(y0, y1):
                        for x in range(x0, x1):
                            other = labels[z, y, x]
                            if hole[i] and (other == 0 or inside[other] < counts[other]):
                                labels[z, y, x] = label
                            i += 1
            for other in met[:n]:
                if ready and (other == 0 or inside[other] < counts[other]):
                    counts[label] += inside[other]
                    counts[other] -= inside[other]
                    taken = taken or other != 0
                inside[other] = 0
    return taken
