"""Compiled loops over label images.

All take labels as C-contiguous int32 volumes ``(Z, Y, X)`` (a plane is a volume of one plane), so that each is
compiled for one type only. They walk along runs of equal labels: work is done once a run, not once a pixel.
"""

from __future__ import annotations

import numpy as np

from cellpose.utils._compiled import compiled

CHUNK = 4096  # pixels whose runs are found at once: few enough for the first cache


@compiled
def _run_starts(values, starts):
    """Where runs of equal values start, and the end of the last; how many runs there are. No branch to predict."""
    n = 0
    for i in range(values.size - 1):
        starts[n + 1] = i + 1
        n += values[i + 1] != values[i]
    starts[0] = 0
    starts[n + 1] = values.size
    return n + 1


@compiled
def _pair_starts(a, b, starts):
    """As `_run_starts`, for runs along which neither of two arrays changes."""
    n = 0
    for i in range(a.size - 1):
        starts[n + 1] = i + 1
        n += (a[i + 1] != a[i]) | (b[i + 1] != b[i])
    starts[0] = 0
    starts[n + 1] = a.size
    return n + 1


@compiled
def label_boxes(start, stop, labels, n):
    """Boxes, sizes, flags and places of the labels 1..n in a slice of the lines along x.

    Row ``l`` of the boxes is ``z0, z1, y0, y1, x0, x1`` (half open; all zero where the label is absent). The flag is
    set where a label has two runs in one line along x: only then can it have a hole. The place is the index of the
    first pixel in reading order, -1 where the label is absent.
    """
    _, Ly, Lx = labels.shape
    boxes = np.zeros((n + 1, 6), np.int32)
    counts = np.zeros(n + 1, np.int64)
    broken = np.zeros(n + 1, np.bool_)
    first = np.full(n + 1, -1, np.int64)
    last_line = np.full(n + 1, -1, np.int64)
    starts = np.empty(Lx + 1, np.int64)
    for line in range(start, stop if Lx > 0 else start):
        z = line // Ly
        y = line - z * Ly
        row = labels[z, y]
        for k in range(_run_starts(row, starts)):
            x0, x = starts[k], starts[k + 1]
            label = np.uint32(row[x0])
            counts[label] += x - x0
            if label == 0:
                continue
            if last_line[label] == line:
                broken[label] = True
            box = boxes[label]
            if last_line[label] < 0:
                first[label] = line * Lx + x0
                box[0], box[1], box[2], box[3], box[4], box[5] = z, z + 1, y, y + 1, x0, x
            else:
                box[1] = z + 1
                box[2] = min(box[2], y)
                box[3] = max(box[3], y + 1)
                box[4] = min(box[4], x0)
                box[5] = max(box[5], x)
            last_line[label] = line
    return boxes, counts, broken, first


@compiled
def relabel(start, stop, flat, table, out):
    """A slice of ``out = table[flat]``."""
    source, target = flat[start:stop], out[start:stop]
    for i in range(source.size):
        target[i] = table[np.uint32(source[i])]  # unsigned: no test whether it counts from the end


@compiled
def _slot(keys, key):
    """Where a key is in a table of 2 ** n places, or the free place (-1) that it would take."""
    mask = np.uint64(keys.size - 1)
    # The high bits of a product with a large odd number spread keys that follow one another.
    place = ((np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)) & mask
    while keys[place] != -1 and keys[place] != key:
        place = (place + np.uint64(1)) & mask
    return place


@compiled
def _with_room(keys, counts):
    """The same table with twice the places."""
    larger, counts_larger = np.full(2 * keys.size, -1, np.int64), np.zeros(2 * keys.size, np.int64)
    for i in range(keys.size):
        if keys[i] != -1:
            place = _slot(larger, keys[i])
            larger[place], counts_larger[place] = keys[i], counts[i]
    return larger, counts_larger


@compiled
def _add_runs(a, b, starts, k, n, width, keys, counts, used):
    """Add runs ``k`` to ``n`` to a table until it is half full; the first run left out, and places used."""
    while k < n and 2 * used < keys.size:
        i = starts[k]
        key = np.int64(a[i]) * width + b[i]
        place = _slot(keys, key)
        used += keys[place] != key
        keys[place] = key
        counts[place] += starts[k + 1] - i
        k += 1
    return k, used


@compiled
def overlap_counts(start, stop, a, b, width):
    """Pairs ``a * width + b`` met in a slice of two label images and their numbers of pixels; free places are -1."""
    keys, counts = np.full(1024, -1, np.int64), np.zeros(1024, np.int64)
    used = 0
    starts = np.empty(CHUNK + 1, np.int64)
    for begin in range(start, stop, CHUNK):
        end = min(begin + CHUNK, stop)
        one, other = a[begin:end], b[begin:end]
        k, n = 0, _pair_starts(one, other, starts)
        while k < n:
            k, used = _add_runs(one, other, starts, k, n, width, keys, counts, used)
            if k < n:
                keys, counts = _with_room(keys, counts)
    return keys, counts


@compiled
def borders(start, stop, labels, out):
    """Mark, in a slice of the rows of a plane, the pixels of labels of which one of 4 neighbours has another label.

    Beyond the edges of the plane there is none of the label.
    """
    height, width = labels.shape
    for y in range(start, stop):
        row, marks = labels[y], out[y]
        above = labels[max(y - 1, 0)]
        below = labels[min(y + 1, height - 1)]
        for x in range(1, width - 1):
            label = row[x]
            same = (above[x] == label) & (below[x] == label) & (row[x - 1] == label) & (row[x + 1] == label)
            marks[x] = (label != 0) & (not same)
        marks[0] = row[0] != 0
        marks[width - 1] = row[width - 1] != 0
        if y in (0, height - 1):
            for x in range(width):
                marks[x] = row[x] != 0


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
def _spread(seeds, room):
    """Bits of ``room`` that are in one run with a bit of ``seeds``, by doubling steps to either side."""
    up = down = seeds & room
    through_up = through_down = room
    for power in range(6):
        step = np.uint64(1 << power)
        up |= through_up & (up << step)
        down |= through_down & (down >> step)
        through_up &= through_up << step
        through_down &= through_down >> step
    return up | down


@compiled
def _cut_off_narrow(labels, label, box, found):
    """`_cut_off` in a plane for boxes of up to 64 columns, a line of which is the bits of one word."""
    z, _, y0, y1, x0, x1 = box
    height, width = np.int64(y1 - y0), np.int64(x1 - x0)
    opened, reached = np.empty(height, np.uint64), np.empty(height, np.uint64)
    ends = np.uint64(1) | (np.uint64(1) << np.uint64(width - 1))
    for y in range(height):
        row = labels[z, y0 + y, x0:x1]
        word = np.uint64(0)
        for x in range(width):
            word |= np.uint64(row[x] != label) << np.uint64(x)
        opened[y] = word
        reached[y] = word if y in (0, height - 1) else _spread(ends, word)
    again = True
    while again:
        again = False
        for sweep in range(2):
            for k in range(1, height - 1):
                y = k if sweep == 0 else height - 1 - k
                new = (reached[y - 1] | reached[y + 1]) & opened[y] & ~reached[y]
                if new != 0:
                    reached[y] |= _spread(new, opened[y])
                    again = True
    n = 0
    for y in range(height):
        word = opened[y] & ~reached[y]
        if word != 0:
            for x in range(width):
                if (word >> np.uint64(x)) & np.uint64(1):
                    found[n] = y * width + x
                    n += 1
    return n


@compiled
def _cut_off(labels, label, box, plane, found):
    """Write to ``found`` the pixels of the box of a label that it cuts off from the faces; how many these are.

    They are counted through the box in reading order.
    """
    z0, z1, y0, y1, x0, x1 = box
    if plane and x1 - x0 <= 64:
        return _cut_off_narrow(labels, label, box, found)
    h, w, d = np.int64(z1 - z0), np.int64(y1 - y0), np.int64(x1 - x0)
    open_ = np.empty(h * w * d, np.bool_)
    i = 0
    for z in range(z0, z1):
        for y in range(y0, y1):
            for x in range(x0, x1):
                open_[i] = labels[z, y, x] != label
                i += 1
    _drain(open_, h, w, d, plane, np.empty(h * w * d, np.int64))
    n = 0
    for i in range(open_.size):
        if open_[i]:
            found[n] = i
            n += 1
    return n


@compiled
def _room(boxes, chosen):
    """Pixels in the largest box of the labels chosen."""
    most = 0
    for label in range(boxes.shape[0]):
        if chosen[label]:
            box = boxes[label]
            most = max(most, np.int64(box[1] - box[0]) * (box[3] - box[2]) * (box[5] - box[4]))
    return most


@compiled
def _at(box, i):
    """Position z, y, x in the image of pixel ``i`` of a box."""
    w, d = np.int64(box[3] - box[2]), np.int64(box[5] - box[4])
    line = i // d
    return box[0] + line // w, box[2] + line % w, box[4] + i - line * d


@compiled
def _tally(labels, box, hole, inside, met):
    """Add to ``inside`` how many pixels of a hole each label has; the labels met; how many these are."""
    n = 0
    for i in hole:
        other = labels[_at(box, i)]
        if inside[other] == 0:
            met[n] = other
            n += 1
        inside[other] += 1
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
    found = np.empty(_room(boxes, pending), np.int64)
    taken = False
    for first in range(1, counts.size):
        top = 0
        if pending[first]:
            waiting[top] = first
            top += 1
        while top > 0:
            label = waiting[top - 1]
            box = boxes[label]
            hole = found[: _cut_off(labels, label, box, plane, found)]
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
                for i in hole:
                    at = _at(box, i)
                    other = labels[at]
                    if other == 0 or inside[other] < counts[other]:
                        labels[at] = label
            for other in met[:n]:
                if ready and (other == 0 or inside[other] < counts[other]):
                    counts[label] += inside[other]
                    counts[other] -= inside[other]
                    taken = taken or other != 0
                inside[other] = 0
    return taken


@compiled
def outer_borders(labels, boxes, chosen, out):
    """Take the borders of the holes of labels, and of their parts that lie in them, out of the marks of `borders`."""
    found = np.empty(_room(boxes, chosen), np.int64)
    flags = np.zeros(found.size, np.bool_)
    for label in range(chosen.size):
        if not chosen[label]:
            continue
        box = boxes[label]
        hole = found[: _cut_off(labels, label, box, True, found)]
        if hole.size == 0:
            continue
        for i in hole:
            flags[i] = True
        _, _, y0, y1, x0, x1 = box
        width = x1 - x0
        # What touches the edge of the box touches the outside.
        for y in range(y0 + 1, y1 - 1):
            for x in range(x0 + 1, x1 - 1):
                if labels[0, y, x] == label and out[y, x]:
                    i = (y - y0) * width + x - x0
                    out[y, x] = (
                        (labels[0, y, x - 1] != label and not flags[i - 1])
                        or (labels[0, y, x + 1] != label and not flags[i + 1])
                        or (labels[0, y - 1, x] != label and not flags[i - width])
                        or (labels[0, y + 1, x] != label and not flags[i + width])
                    )
        for i in hole:
            flags[i] = False
