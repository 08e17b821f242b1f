"""From the state of the session to what the canvas draws."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cellpose.gui.model import Document, ViewState
from cellpose.gui.model._colors import CHANNEL_COLORS, OUTLINE, SELECTED, cell_colors, spectral
from cellpose.gui.views._canvas import Picturing

__all__ = ["cell_table", "picturing"]

_NO_PALETTE = np.zeros((0, 3), np.uint8)


def picturing(document: Document, view: ViewState) -> Picturing:
    """What is to be seen of an image."""
    picture = document.picture
    n = picture.n_channels
    tables = np.stack([picture.table(*view.levels[channel]) for channel in range(n)])
    colors, palette = _coloring(view.color, n, picture.constant)
    plane = min(view.plane, picture.shape[0] - 1)
    return Picturing(
        image=picture.planes[plane],
        tables=tables,
        colors=colors,
        palette=palette,
        labels=document.labels.planes[plane],
        cells=cell_table(document, view),
        outlines=view.outlines_on,
    )


def _coloring(
    mode: str, n: int, constant: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Colours (channels, 3) and the palette of a colour mode."""
    if mode in CHANNEL_COLORS and n > 1:
        return CHANNEL_COLORS[mode][:n], _NO_PALETTE
    if mode in CHANNEL_COLORS:  # a single channel is all three
        part = np.ones(3, np.float32) if mode == "RGB" else CHANNEL_COLORS[mode].sum(axis=0)
        return part[None].astype(np.float32), _NO_PALETTE
    shares = np.where(constant, 0.0, 1.0) if not constant.all() else np.ones(n)
    colors = np.repeat((shares / shares.sum())[:, None], 3, axis=1).astype(np.float32)
    return colors, spectral() if mode == "spectral" else _NO_PALETTE


def cell_table(document: Document, view: ViewState) -> npt.NDArray[np.uint32]:
    """0xAARRGGBB of the inside and the outline of each label, (labels, 2)."""
    n, palette = document.labels.next_id, cell_colors()
    table = np.zeros((n, 2), np.uint32)
    colors = palette[np.arange(n) % len(palette)].astype(np.uint32)
    inside = (colors[:, 0] << 16) | (colors[:, 1] << 8) | colors[:, 2]
    if view.masks_on:
        table[:, 0] = inside | np.uint32(view.opacity << 24)
        chosen = list(document.selection)
        table[chosen, 0] = _packed(*SELECTED, view.opacity)
    table[:, 1] = _packed(*OUTLINE) if view.outlines_on else table[:, 0]
    table[0] = 0
    return table


def _packed(red: int, green: int, blue: int, alpha: int) -> int:
    return (alpha << 24) | (red << 16) | (green << 8) | blue
