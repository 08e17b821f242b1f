"""Compiled loops over label images.

All take labels as C-contiguous int32 volumes ``(Z, Y, X)`` (a plane is a volume of one plane), so that each is
compiled for one type only. They walk along runs of equal labels: work is done once per run, not once per pixel.
"""

from __future__ import annotations

import numpy as np

from cellpose._labels.bit_kernels import WORD, changes, differing, highest_bit, lowest_bit, spread, write_places
from cellpose._machine.compiled import compiled

COUNT, FIRST, LAST_LINE, BROKEN, ROW_0, ROW_1, COLUMN_0, COLUMN_1 = range(8)  # of the table of `label_boxes`

CHUNK = 4096  # pixels whose runs are found at once: few enough for the first cache


@compiled
def _run_starts(values, starts):
    """Write the starts of runs of equal values and the end of the last; return the number of runs."""
    starts[0] = 0
    n = 1
    for i in range(1, values.size, WORD):
        n = write_places(changes(values, i), i, starts, n)
    starts[n] = values.size
    return n


@compiled
def _pair_starts(a, b, starts):
    """As `_run_starts`, for runs along which neither of two arrays changes."""
    starts[0] = 0
    n = 1
    for i in range(1, a.size, WORD):
        n = write_places(changes(a, i) | changes(b, i), i, starts, n)
    starts[n] = a.size
    return n


@compiled
def _note(entry, line, row, start, stop, first):
    """Add a run of a label to its entry of the table of `label_boxes`."""
    if entry[LAST_LINE] < 0:
        entry[FIRST] = first
        entry[ROW_0], entry[COLUMN_0] = row, start
    entry[COUNT] += stop - start
    entry[BROKEN] |= entry[LAST_LINE] == line
    entry[LAST_LINE] = line
    entry[ROW_0] = min(entry[ROW_0], row)
    entry[ROW_1] = max(entry[ROW_1], row + 1)
    entry[COLUMN_0] = min(entry[COLUMN_0], start)
    entry[COLUMN_1] = max(entry[COLUMN_1], stop)


@compiled
def label_boxes(start, stop, labels, n):
    """Boxes, sizes, flags and places of the labels 1..n in a slice of the lines along x.

    Row ``l`` of the boxes is ``z0, z1, y0, y1, x0, x1`` (half open; all zero where the label is absent). The flag is
    set where a label has two runs in one line along x: only then can it have a hole. The place is the index of the
    first pixel in reading order, -1 where the label is absent.
    """
    _, Ly, Lx = labels.shape
    # All of a label stands in one line of the cache, since each of its runs changes most of it.
    table = np.zeros((n + 1, 8), np.int64)
    for label in range(n + 1):  # slices of arrays would take seconds to compile
        table[label, FIRST] = table[label, LAST_LINE] = -1
    starts = np.empty(Lx + 1, np.int64)
    background = 0
    for line in range(start, stop if Lx > 0 else start):
        row = labels[line // Ly, line % Ly]
        for k in range(_run_starts(row, starts)):
            x0, x1 = starts[k], starts[k + 1]
            label = np.uint32(row[x0])
            if label == 0:
                background += x1 - x0
            else:
                _note(table[label], line, line % Ly, x0, x1, line * Lx + x0)
    table[0, COUNT] = background
    boxes, counts = np.zeros((n + 1, 6), np.int32), np.empty(n + 1, np.int64)
    broken, first = np.empty(n + 1, np.bool_), np.empty(n + 1, np.int64)
    for label in range(n + 1):
        entry = table[label]
        if entry[LAST_LINE] >= 0:
            boxes[label, 0], boxes[label, 1] = entry[FIRST] // (Ly * Lx), entry[LAST_LINE] // Ly + 1
            for k in range(4):
                boxes[label, 2 + k] = entry[ROW_0 + k]
        counts[label], broken[label], first[label] = entry[COUNT], entry[BROKEN] != 0, entry[FIRST]
    return boxes, counts, broken, first


@compiled
def join_boxes(boxes, counts, broken, first, more_boxes, more_counts, more_broken, more_first):
    """Add what `label_boxes` found in a slice of lines to the sums over the slices before."""
    for label in range(first.size):
        counts[label] += more_counts[label]
        broken[label] |= more_broken[label]
        if more_first[label] < 0:
            continue
        new = first[label] < 0
        if new:
            first[label] = more_first[label]
        for k in range(0, 6, 2):
            low, high = more_boxes[label, k], more_boxes[label, k + 1]
            boxes[label, k] = low if new else min(boxes[label, k], low)
            boxes[label, k + 1] = high if new else max(boxes[label, k + 1], high)


@compiled
def relabel(start, stop, flat, table, out):
    """A slice of ``out = table[flat]``."""
    source, target = flat[start:stop], out[start:stop]
    for i in range(source.size):
        target[i] = table[np.uint32(source[i])]  # unsigned: no test whether it counts from the end


@compiled
def mark_changed(start, stop, before, after, left, come):
    """Mark in bool tables the labels that pixels of a slice have now and had before, where they have changed.

    Slices may share the tables: all that they write is True.
    """
    old, new = before[start:stop], after[start:stop]
    for i in range(old.size):
        if old[i] != new[i]:
            left[np.uint32(old[i])] = True
            come[np.uint32(new[i])] = True


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
def _gaps(labels, label, box, opened, inner):
    """Lines of a box of up to 64 columns as bits: pixels of other labels, and those of them between own pixels.

    Returns the first line with such a gap, and the line after the last. In the first and the last line of the box all
    other pixels are outside.
    """
    z, _, y0, y1, x0, x1 = box
    own = np.full(WORD, label, np.int32)
    all_ = ~np.uint64(0) >> np.uint64(WORD - (x1 - x0))
    first, last = np.int64(y1 - y0), np.int64(0)
    for y in range(y1 - y0):
        word = differing(labels[z, y0 + y], x0, x1, own)
        taken = ~word & all_
        opened[y], inner[y] = word, 0
        if taken != 0 and 0 < y < y1 - y0 - 1:
            inner[y] = word & ((np.uint64(2) << np.uint64(highest_bit(taken))) - (np.uint64(1) << lowest_bit(taken)))
            if inner[y] != 0:
                first, last = min(first, y), y + 1
    return first, last


@compiled
def _cut_off_narrow(labels, label, box, lines, found):
    """`_cut_off` in a plane for boxes of up to 64 columns, a line of which is the bits of one word."""
    opened, inner = lines[0], lines[1]
    first, last = _gaps(labels, label, box, opened, inner)
    again = first < last
    while again:
        again = False
        for sweep in range(2):
            for k in range(first, last):
                y = k if sweep == 0 else first + last - 1 - k
                # What is next to pixels that are outside is outside.
                outside = (opened[y - 1] & ~inner[y - 1]) | (opened[y + 1] & ~inner[y + 1])
                if inner[y] & outside != 0:
                    inner[y] &= ~spread(inner[y] & outside, inner[y])
                    again = True
    z, _, y0, _, x0, _ = box
    _, Ly, Lx = labels.shape
    n = 0
    for y in range(first, last):
        n = write_places(inner[y], ((z * Ly) + y0 + y) * Lx + x0, found, n)
    return n


@compiled
def _cut_off(labels, label, box, plane, lines, found):
    """Write to ``found`` the pixels of the box of a label that it cuts off from the faces; return their number.

    They are counted through the image in reading order. ``lines`` is room for two words per line.
    """
    z0, z1, y0, y1, x0, x1 = box
    if plane and x1 - x0 <= WORD:
        return _cut_off_narrow(labels, label, box, lines, found)
    h, w, d = np.int64(z1 - z0), np.int64(y1 - y0), np.int64(x1 - x0)
    open_ = np.empty(h * w * d, np.bool_)
    i = 0
    for z in range(z0, z1):
        for y in range(y0, y1):
            for x in range(x0, x1):
                open_[i] = labels[z, y, x] != label
                i += 1
    _drain(open_, h, w, d, plane, np.empty(h * w * d, np.int64))
    _, Ly, Lx = labels.shape
    i = n = 0
    for z in range(z0, z1):
        for y in range(y0, y1):
            for x in range(x0, x1):
                if open_[i]:
                    found[n] = (z * Ly + y) * Lx + x
                    n += 1
                i += 1
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
def _tally(flat, hole, inside, met):
    """Count the pixels of each label in a hole into ``inside``; return the labels found and their number."""
    n = 0
    for i in hole:
        other = flat[i]
        if inside[other] == 0:
            met[n] = other
            n += 1
        inside[other] += 1
    return n


@compiled
def fill_holes(labels, boxes, counts, pending, plane):
    """Fill in place the holes of the labels flagged in ``pending``, in ascending order; return whether any lost pixels.

    In a plane holes are cut off within the plane, in a volume within the volume. Background in a hole is filled, and
    so are stray pixels of labels that lie outside as well. Labels that lie in it as a whole keep their pixels, and
    their own holes are filled first. ``counts``, the sizes of the labels, and ``pending`` are kept up to date.
    """
    inside = np.zeros(counts.size, np.int64)
    met = np.empty(counts.size, np.int64)
    waiting = np.empty(counts.size, np.int64)
    found = np.empty(_room(boxes, pending), np.int64)
    lines = np.empty((2, labels.shape[1]), np.uint64)
    flat = labels.reshape(-1)
    taken = False
    for first in range(1, counts.size):
        top = 0
        if pending[first]:
            waiting[top] = first
            top += 1
        while top > 0:
            label = waiting[top - 1]
            hole = found[: _cut_off(labels, label, boxes[label], plane, lines, found)]
            n = _tally(flat, hole, inside, met)
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
                    if flat[i] == 0 or inside[flat[i]] < counts[flat[i]]:
                        flat[i] = label
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
    lines = np.empty((2, labels.shape[1]), np.uint64)
    flags = np.zeros(found.size, np.bool_)  # of the pixels of a box
    for label in range(chosen.size):
        if not chosen[label]:
            continue
        box = boxes[label]
        hole = found[: _cut_off(labels, label, box, True, lines, found)]
        if hole.size == 0:
            continue
        _, _, y0, y1, x0, x1 = box
        width = x1 - x0
        for k in range(hole.size):
            y = hole[k] // labels.shape[2]
            hole[k] = (y - y0) * width + hole[k] - y * labels.shape[2] - x0
            flags[hole[k]] = True
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


@compiled
def largest_pieces(labels, n, min_size):
    """Labels (Z, Y, X) 1..m of the largest piece of each label that has ``min_size`` pixels; old number of each.

    Pieces are joined by faces. Labels keep their order.
    """
    depth, height, width = labels.shape
    flat = labels.ravel()
    piece = np.zeros(flat.size, np.int32)
    stack = np.empty(flat.size, np.int32)
    best = np.zeros(n + 1, np.int32)
    best_size = np.zeros(n + 1, np.int32)
    count = 0
    for start in range(flat.size):
        label = flat[start]
        if label == 0 or piece[start]:
            continue
        count += 1
        piece[start] = count
        stack[0] = start
        top, size = 1, 0
        while top:
            top -= 1
            i = stack[top]
            size += 1
            x, y, z = i % width, (i // width) % height, i // (width * height)
            for step, inside in (
                (-1, x > 0),
                (1, x < width - 1),
                (-width, y > 0),
                (width, y < height - 1),
                (-width * height, z > 0),
                (width * height, z < depth - 1),
            ):
                if inside and flat[i + step] == label and not piece[i + step]:
                    piece[i + step] = count
                    stack[top] = i + step
                    top += 1
        if size > best_size[label]:
            best_size[label] = size
            best[label] = count
    new = np.zeros(n + 1, np.int32)
    old = np.zeros(n + 1, np.int32)
    kept = 0
    for label in range(1, n + 1):
        if best[label] and best_size[label] >= min_size:
            kept += 1
            new[label] = kept
            old[kept] = label
    out = np.zeros(flat.size, np.int32)
    for i in range(flat.size):
        label = flat[i]
        if label and piece[i] == best[label]:
            out[i] = new[label]
    return out.reshape(labels.shape), old[: kept + 1]
