"""The compiled loops that take back the filters of PNG."""

from __future__ import annotations

import numpy as np

from cellpose._machine.compiled import compiled


@compiled
def _on_the_edge(rows, kind, given, out, above, start, stop, step):
    """Bytes of a line with nothing to the left of them, or above them (then ``above`` is negative)."""
    for x in range(start, stop):
        left = np.int32(rows[out + x - step]) if x >= step else np.int32(0)
        up = np.int32(rows[above + x]) if above >= 0 else np.int32(0)
        guess = np.int32(0)
        if kind == 1:
            guess = left
        elif kind == 2:
            guess = up
        elif kind == 3:
            guess = (left + up) >> 1
        elif kind == 4:
            guess = left + up  # one of them is 0
        rows[out + x] = np.uint8(rows[given + x] + guess)


@compiled
def _inside(rows, kind, given, out, above, line, step):
    """The other bytes of a line."""
    if kind == 0:
        for x in range(step, line):
            rows[out + x] = rows[given + x]
    elif kind == 1:
        for x in range(step, line):
            rows[out + x] = np.uint8(rows[given + x] + rows[out + x - step])
    elif kind == 2:
        for x in range(step, line):
            rows[out + x] = np.uint8(rows[given + x] + rows[above + x])
    elif kind == 3:
        for x in range(step, line):
            total = np.int32(rows[out + x - step]) + np.int32(rows[above + x])
            rows[out + x] = np.uint8(rows[given + x] + (total >> 1))
    else:
        for x in range(step, line):
            left, up = np.int32(rows[out + x - step]), np.int32(rows[above + x])
            corner = np.int32(rows[above + x - step])
            to_left, to_up, to_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
            guess = up if to_up <= to_corner else corner
            if to_left <= to_up and to_left <= to_corner:
                guess = left
            rows[out + x] = np.uint8(rows[given + x] + guess)


@compiled
def take_back_filters(rows, height, line, step):
    """Bytes of pixels from their differences, in place; whether all filters are known.

    ``rows`` uint8 (height * (line + 1),): for each line the number of its filter and its bytes, ``step`` for each
    pixel. The pixels move together at the front: no line is written before it is read.
    """
    for y in range(height):
        kind, given, out = rows[y * (line + 1)], y * (line + 1) + 1, y * line
        if kind > 4:
            return False
        _on_the_edge(rows, kind, given, out, out - line, 0, step if y else line, step)
        if y:
            _inside(rows, kind, given, out, out - line, line, step)
    return True
