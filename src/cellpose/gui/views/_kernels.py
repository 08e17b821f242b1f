"""The compiled loop that fills the screen: as many pixels as are seen, whatever the size of the image."""

from __future__ import annotations

import numpy as np

from cellpose._machine.compiled import compiled

__all__ = ["fill_rows"]


@compiled
def fill_rows(
    start,
    stop,
    out,
    rows,
    columns,
    cell_rows,
    cell_columns,
    image,
    channels,
    tables,
    colors,
    palette,
    labels,
    cells,
    width,
    background,
):
    """Pixels of some rows of the screen, 0xffRRGGBB.

    ``rows`` and ``columns`` (int32) name the pixel of the image for each row and column of the screen, -1 outside,
    ``cell_rows`` and ``cell_columns`` that of the labels.
    ``image`` (C, Y, X); ``channels`` (int32) those of it that are seen, ``tables`` uint8 (channels, values) the
    brightness of each of their values. They are added up in their ``colors`` float32 (channels, 3), or, where
    ``palette`` uint8 (256, 3) is not empty, their weighted sum is looked up there.
    ``labels`` int32 (Y, X). ``cells`` uint32 (labels, 2), 0xAARRGGBB of the inside and of the outline of each cell.
    An outline is where a pixel of the screen up to ``width`` away, along an axis, has another label, so that it is as
    wide at any zoom; 0: none.
    """
    n = columns.size
    near = _labels_near(start, stop, cell_rows, cell_columns, labels, width)
    base = np.empty((3, n), np.float32)  # red, green and blue of a row, without its cells
    edge = np.zeros(n, np.uint8)
    last = -1
    for i in range(start, stop):
        y = rows[i]
        if y < 0:
            out[i, :] = background
            continue
        if y != last:
            _color_row(base, y, columns, image, channels, tables, colors, palette)
            last = y
        k = i - start + width
        if width:
            _find_edges(edge, near, k, width)
        _cover_row(out[i], base, near[k, width : width + n], edge, cells)
        for j in range(n):
            if columns[j] < 0:
                out[i, j] = background


@compiled
def _labels_near(start, stop, rows, columns, labels, width):
    """Labels of some rows of the screen and of ``width`` pixels around them, -1 outside of the image.

    Each is looked up once, since neighbours on the screen lie far apart in the memory of a large image. Beyond the
    screen its outermost pixels are repeated: there is no outline.
    """
    n = columns.size
    near = np.empty((stop - start + 2 * width, n + 2 * width), np.int32)
    last = -2
    for k in range(near.shape[0]):
        y = rows[min(max(start + k - width, 0), rows.size - 1)]
        if y == last:
            near[k] = near[k - 1]
            continue
        last = y
        if y < 0:
            near[k] = -1
            continue
        for j in range(n):
            x = columns[j]
            near[k, width + j] = labels[y, x] if x >= 0 else -1
        near[k, :width] = near[k, width]
        near[k, width + n :] = near[k, width + n - 1]
    return near


@compiled
def _color_row(base, y, columns, image, channels, tables, colors, palette):
    """Red, green and blue (3, columns) of a row of the image."""
    base[:] = 0
    for c in range(channels.size):
        table, row = tables[c], image[channels[c], y]
        red, green, blue = colors[c, 0], colors[c, 1], colors[c, 2]
        for j in range(columns.size):
            value = np.float32(table[row[max(columns[j], 0)]])
            base[0, j] += value * red
            base[1, j] += value * green
            base[2, j] += value * blue
    if palette.size:
        for j in range(columns.size):
            level = min(max(int(base[0, j]), 0), 255)
            base[0, j] = palette[level, 0]
            base[1, j] = palette[level, 1]
            base[2, j] = palette[level, 2]


@compiled
def _find_edges(edge, near, k, width):
    """1 for each pixel of the screen's row ``k`` that has another label nearby."""
    n = edge.size
    own = near[k, width : width + n]
    edge[:] = 0
    for step in range(1, width + 1):
        above, below = near[k - step, width : width + n], near[k + step, width : width + n]
        left, right = near[k, width - step : width - step + n], near[k, width + step : width + step + n]
        for j in range(n):
            edge[j] |= (above[j] != own[j]) | (below[j] != own[j]) | (left[j] != own[j]) | (right[j] != own[j])


@compiled
def _cover_row(out, base, labels, edge, cells):
    """Pixels of a row of the screen: its colors with those of its cells over them."""
    most = np.float32(255)
    for j in range(out.size):
        red, green, blue = base[0, j], base[1, j], base[2, j]
        if labels[j] > 0:
            color = cells[labels[j], edge[j]]
            alpha = np.float32(color >> 24) * np.float32(1 / 255)
            red += alpha * (np.float32((color >> 16) & 255) - red)
            green += alpha * (np.float32((color >> 8) & 255) - green)
            blue += alpha * (np.float32(color & 255) - blue)
        out[j] = (
            np.uint32(0xFF000000)
            | (np.uint32(min(red, most)) << np.uint32(16))
            | (np.uint32(min(green, most)) << np.uint32(8))
            | np.uint32(min(blue, most))
        )
