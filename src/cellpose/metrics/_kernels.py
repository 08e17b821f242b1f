"""Compiled loops of the metrics: the assignment of labels, and pixels near outlines."""

from __future__ import annotations

import numpy as np

from cellpose._machine.compiled import compiled

_ROOM = 256  # columns kept and rows looked at in a sparse search, which is given up beyond

# ---- assignment ------------------------------------------------------------------------------------------------
#
# Rows are assigned to columns, no more rows than columns, for the least sum of costs, by shortest augmenting paths
# (Crouse, IEEE Transactions on Aerospace and Electronic Systems 52 (2016) 1679, as scipy.optimize.linear_sum_assignment
# does it, with the same choice among equals and the same sums in the same order). Costs are sparse and negative: what
# is not given is 0. That is used for speed only; the result is that of the dense table.
#
# In a search, columns without a given cost in any row that was looked at all have the same distance but for their dual
# variable v, which is 0 where they are free and not above elsewhere. So the free ones among them are the nearest, and
# one of them ends the search. Only columns with given costs, those that changed their place in the order, and those
# whose v rounding put above 0 need to be kept.


@compiled
def _dense_search(start, pointers, columns, costs, u, v, path, shortest, row_of, looked):
    """Shortest augmenting path from a row: its end, its length, and how many rows were ``looked`` at."""
    n = v.size
    row_costs = np.zeros(n)
    remaining = np.arange(n - 1, -1, -1)
    left = n
    shortest[:] = np.inf
    length = 0.0
    i = start
    n_looked = 0
    while True:
        looked[n_looked] = i
        n_looked += 1
        for k in range(pointers[i], pointers[i + 1]):
            row_costs[columns[k]] = costs[k]
        index, lowest = -1, np.inf
        for it in range(left):
            j = remaining[it]
            r = length + row_costs[j] - u[i] - v[j]
            if r < shortest[j]:
                path[j] = i
                shortest[j] = r
            if shortest[j] < lowest or (shortest[j] == lowest and row_of[j] == -1):
                lowest = shortest[j]
                index = it
        for k in range(pointers[i], pointers[i + 1]):
            row_costs[columns[k]] = 0.0
        length = lowest
        j = remaining[index]
        if row_of[j] == -1:
            return j, length, n_looked
        i = row_of[j]
        left -= 1
        remaining[index] = remaining[left]


@compiled
def _keep(j, kept, n_kept, is_kept, base, looked, n_base, v, path, shortest):
    """Begin to keep a column: the distance it got from the rows looked at before."""
    kept[n_kept] = j
    is_kept[j] = True
    shortest[j] = np.inf
    for b in range(n_base):
        r = base[b] - v[j]
        if r < shortest[j]:
            shortest[j] = r
            path[j] = looked[b]
    return n_kept + 1


@compiled
def _look_at(i, length, pointers, columns, costs, u, v, kept, gone, path, shortest):
    """Update the distances of the columns that are kept, by way of row ``i``; -u of the row after ``length``."""
    first, last = pointers[i], pointers[i + 1]
    for j in kept:
        if gone[j]:
            continue
        cost = 0.0
        for k in range(first, last):
            if columns[k] == j:
                cost = costs[k]
        r = length + cost - u[i] - v[j]
        if r < shortest[j]:
            shortest[j] = r
            path[j] = i
    return length - u[i]


@compiled
def _nearest_kept(kept, gone, shortest, row_of, place):
    """The kept column that the dense search would choose: of the nearest the last free one, else the first; or -1."""
    best, lowest = -1, np.inf
    for c in kept:
        if gone[c] or shortest[c] > lowest:
            continue
        if shortest[c] < lowest:
            best, lowest = c, shortest[c]
        elif row_of[c] == -1:
            if row_of[best] != -1 or place[c] > place[best]:
                best = c
        elif row_of[best] != -1 and place[c] < place[best]:
            best = c
    return best, lowest


@compiled
def _keep_given(i, pointers, columns, kept, n_kept, is_kept, base, looked, n_base, v, path, shortest):
    """Keep the columns with given costs in row ``i``, while there is room."""
    for k in range(pointers[i], pointers[i + 1]):
        j = columns[k]
        if not is_kept[j] and n_kept < kept.size - 2:
            n_kept = _keep(j, kept, n_kept, is_kept, base, looked, n_base, v, path, shortest)
    return n_kept


@compiled
def _restore(kept, is_kept, gone, moved, place, order):
    """Undo the marks and moves of a search."""
    for j in moved:
        place[j] = place.size - 1 - j
        order[place[j]] = j
    for j in kept:
        is_kept[j] = gone[j] = False


@compiled
def _sparse_search(
    start, pointers, columns, costs, free, above, u, v, path, shortest, row_of, place, order, looked, work
):
    """As `_dense_search`, looking at few columns; its end is -1 where that cannot be done.

    ``free`` is the lowest column that has no row, ``place`` where each column stands in the order of the dense search
    and ``order`` its inverse, both restored at the end. ``above`` are the columns whose ``v`` is or was above 0.
    """
    kept, is_kept, gone, base, moved = work
    n_kept = n_base = n_moved = 0
    length, i, end = 0.0, start, -1
    nearest, nearest_row = np.inf, -1  # of the free columns that are not kept
    for j in above:
        if n_kept < kept.size - 2:
            n_kept = _keep(j, kept, n_kept, is_kept, base, looked, n_base, v, path, shortest)
    while True:
        n_kept = _keep_given(i, pointers, columns, kept, n_kept, is_kept, base, looked, n_base, v, path, shortest)
        if n_kept >= kept.size - 2 or n_base == base.size:
            break
        base[n_base] = _look_at(i, length, pointers, columns, costs, u, v, kept[:n_kept], gone, path, shortest)
        looked[n_base] = i
        if base[n_base] < nearest:
            nearest, nearest_row = base[n_base], i
        n_base += 1
        # The free column that is last in the order, of those not kept: the lowest, since none of them has moved.
        j = free
        while j < v.size and (row_of[j] != -1 or is_kept[j]):
            j += 1
        if j == v.size:
            break
        best, length = _nearest_kept(kept[:n_kept], gone, shortest, row_of, place)
        if nearest < length or (nearest == length and (row_of[best] != -1 or place[j] > place[best])):
            path[j] = nearest_row
            best, length = j, nearest
        if row_of[best] == -1:
            end = best
            break
        gone[best] = True
        i = row_of[best]
        # The last in the order takes its place.
        c = order[v.size - n_base]
        if not is_kept[c]:
            n_kept = _keep(c, kept, n_kept, is_kept, base, looked, n_base, v, path, shortest)
        moved[n_moved], moved[n_moved + 1] = c, best
        n_moved += 2
        order[place[best]] = c
        place[c] = place[best]
    _restore(kept[:n_kept], is_kept, gone, moved[:n_moved], place, order)
    return end, length, n_base


@compiled
def assign(pointers, columns, costs, n_columns):
    """Column of each row. The given costs of row ``i`` are ``costs[pointers[i]:pointers[i + 1]]``, all below 0."""
    n_rows = pointers.size - 1
    u, v = np.zeros(n_rows), np.zeros(n_columns)
    row_of, column_of = np.full(n_columns, -1, np.int64), np.full(n_rows, -1, np.int64)
    path = np.full(n_columns, -1, np.int64)
    shortest = np.empty(n_columns)
    looked = np.empty(max(n_rows, _ROOM), np.int64)
    place = np.arange(n_columns - 1, -1, -1)
    order = np.arange(n_columns - 1, -1, -1)
    work = (
        np.empty(_ROOM, np.int64),
        np.zeros(n_columns, np.bool_),
        np.zeros(n_columns, np.bool_),
        np.empty(_ROOM),
        np.empty(2 * _ROOM, np.int64),
    )
    above, is_above = np.empty(n_columns, np.int64), np.zeros(n_columns, np.bool_)
    free = n_above = 0
    for row in range(n_rows):
        while row_of[free] != -1:
            free += 1
        end, length, n_looked = _sparse_search(
            row, pointers, columns, costs, free, above[:n_above], u, v, path, shortest, row_of, place, order,
            looked, work,
        )  # fmt: skip
        if end == -1:
            end, length, n_looked = _dense_search(row, pointers, columns, costs, u, v, path, shortest, row_of, looked)
        u[row] += length
        for k in range(1, n_looked):
            i = looked[k]
            j = column_of[i]
            u[i] += length - shortest[j]
            v[j] -= length - shortest[j]
            if v[j] > 0 and not is_above[j]:
                is_above[j] = True
                above[n_above] = j
                n_above += 1
        j = end
        while True:
            i = path[j]
            row_of[j] = i
            j, column_of[i] = column_of[i], j
            if i == row:
                break
    return column_of


# ---- pixels near outlines --------------------------------------------------------------------------------------


@compiled
def _add_shifted(row, by, out):
    """Add to ``out`` the bits of a row shifted by so many places to either side."""
    words, bits = by >> 6, np.uint64(by & 63)
    back = np.uint64(64) - bits
    for i in range(words, row.size):
        out[i] |= row[i - words] << bits
        out[i - words] |= row[i] >> bits
    if bits != 0:
        for i in range(words + 1, row.size):
            out[i] |= row[i - words - 1] >> back
            out[i - words - 1] |= row[i] << back


@compiled
def dilate_rows(start, stop, bits, squared, out):
    """A slice of the rows of an image of bits dilated by a disk: pixels whose squared distance is at most ``squared``.

    Row by row the image is widened by 0, 1, 2, … places, and each width is added to the rows at the distance at which
    the disk is that wide.
    """
    height, words = bits.shape
    radius = np.int64(np.sqrt(float(squared)))
    wide = np.empty(words, np.uint64)
    for y in range(max(start - radius, 0), min(stop + radius, height)):
        row = bits[y]
        empty = True
        for i in range(words):
            wide[i] = row[i]
            empty = empty and row[i] == 0
        if empty:
            continue
        away, width = radius, 0
        while away >= 0:
            # The disk is at least this wide as far up and down as so many rows.
            while width <= radius and (width + 1) * (width + 1) + away * away <= squared:
                width += 1
                _add_shifted(row, width, wide)
            for v in (y - away, y + away):
                if start <= v < stop:
                    for i in range(words):
                        out[v, i] |= wide[i]
            away -= 1


@compiled
def _ones(word):
    """Number of bits that are set in a word."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (word * np.uint64(0x0101010101010101)) >> np.uint64(56)


@compiled
def count_bits(start, stop, one, other, width):
    """Numbers of bits set in the first ``width`` places of a slice of rows: in both images, in one, in the other."""
    both = np.uint64(0)
    first = np.uint64(0)
    second = np.uint64(0)
    for y in range(start, stop):
        for i in range(one.shape[1]):
            mask = ~np.uint64(0)
            if (i + 1) * 64 > width:
                mask >>= np.uint64((i + 1) * 64 - width)
            a, b = one[y, i] & mask, other[y, i] & mask
            both += _ones(a & b)
            first += _ones(a)
            second += _ones(b)
    return np.int64(both), np.int64(first), np.int64(second)
