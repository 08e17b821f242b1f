"""The compiled loop that fills the screen: as many pixels as are seen, whatever the size of the image."""

from __future__ import annotations

import numpy as np

from cellpose._machine.compiled import compiled


@compiled
def fill_rows(
    start, stop, out, rows, columns, image, channels, tables, colors, palette, labels, cells, width, background
):
    """Pixels of some rows of the screen, 0xffRRGGBB.

    ``rows`` and ``columns`` (int32) name the pixel of the image for each row and column of the screen, -1 outside.
    ``image`` (C, Y, X); ``channels`` (int32) those of it that are seen, ``tables`` uint8 (channels, values) the
    brightness of each of their values. They are added up in their ``colors`` float32 (channels, 3), or, where
    ``palette`` uint8 (256, 3) is not empty, their weighted sum is looked up there.
    ``labels`` int32 (Y, X). ``cells`` uint32 (labels, 2), 0xAARRGGBB of the inside and of the outline of each cell.
    An outline is where a pixel of the screen up to ``width`` away, along an axis, has another label, so that it is as
    wide at any zoom; 0: none.
    """
    for i in range(start, stop):
        y = rows[i]
        for j in range(columns.size):
            x = columns[j]
            if y < 0 or x < 0:
                out[i, j] = background
                continue
            red, green, blue = np.float32(0), np.float32(0), np.float32(0)
            for c in range(channels.size):
                value = np.float32(tables[c, image[channels[c], y, x]])
                red += value * colors[c, 0]
                green += value * colors[c, 1]
                blue += value * colors[c, 2]
            if palette.size:
                level = min(max(int(red), 0), 255)
                red = np.float32(palette[level, 0])
                green = np.float32(palette[level, 1])
                blue = np.float32(palette[level, 2])
            label = labels[y, x]
            if label > 0:
                color = cells[label, 0]
                if width:
                    edge = False
                    for step in range(1, width + 1):
                        above = rows[i - step] if i >= step else y
                        below = rows[i + step] if i + step < rows.size else y
                        left = columns[j - step] if j >= step else x
                        right = columns[j + step] if j + step < columns.size else x
                        edge = above < 0 or below < 0 or left < 0 or right < 0
                        if not edge:
                            edge = labels[above, x] != label or labels[below, x] != label
                        if not edge:
                            edge = labels[y, left] != label or labels[y, right] != label
                        if edge:
                            break
                    if edge:
                        color = cells[label, 1]
                alpha = np.float32(color >> 24) * np.float32(1 / 255)
                red += alpha * (np.float32((color >> 16) & 255) - red)
                green += alpha * (np.float32((color >> 8) & 255) - green)
                blue += alpha * (np.float32(color & 255) - blue)
            out[i, j] = (
                np.uint32(0xFF000000)
                | (np.uint32(min(red, np.float32(255))) << np.uint32(16))
                | (np.uint32(min(green, np.float32(255))) << np.uint32(8))
                | np.uint32(min(blue, np.float32(255)))
            )
