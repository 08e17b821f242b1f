"""Cells as a drawing."""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

import numpy as np
import numpy.typing as npt

from cellpose.io._cells._cells import Cells, color_of
from cellpose.io._cells._rings import outlines_of

__all__ = ["svg_of"]


def svg_of(cells: Cells) -> str:
    """An SVG of the size of a plane, one path for each cell in the color of its class, or one of its own."""
    height, width = cells.labels.shape
    own = {name: color_of(k) for k, name in enumerate(cells.class_names, 1)}
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        '<g fill-rule="evenodd" fill-opacity="0.4" stroke-width="0.5">',
    ]
    for outline in outlines_of(cells.labels):
        kind = cells.class_of(outline.label)
        red, green, blue = (kind[1] or own[kind[0]]) if kind else color_of(outline.label)
        color = f"#{red:02x}{green:02x}{blue:02x}"
        told = f" data-class={quoteattr(kind[0])}" if kind else ""
        lines.append(
            f'<path id="cell-{outline.label}"{told} fill="{color}" stroke="{color}" '
            f'd="{"".join(map(_path, outline.rings))}"><title>{escape(cells.name_of(outline.label))}</title></path>'
        )
    return "\n".join([*lines, "</g>", "</svg>", ""])


def _path(ring: npt.NDArray[np.int32]) -> str:
    """Move to the first corner, then to the sides and up or down in turn."""
    (x, y), *others = ring.tolist()
    steps = [f"M{x} {y}"]
    for px, py in others:
        steps.append(f"H{px}" if py == y else f"V{py}")
        x, y = px, py
    return "".join([*steps, "Z"])
