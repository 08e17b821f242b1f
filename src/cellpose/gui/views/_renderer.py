"""From the state of the session to the content of the canvas."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg

from cellpose.gui.controllers._projection import Projected
from cellpose.gui.model import Document, Flows, Picture, ViewState
from cellpose.gui.model._colors import CHANNEL_COLORS, OUTLINE_OPACITY, SELECTED, blue_white_red, spectral
from cellpose.gui.model._palettes import cell_rgb, rgb_of
from cellpose.gui.model._sections import XY, Section
from cellpose.gui.model._view import COLOR_MAPS
from cellpose.gui.views._canvas import RenderSettings

__all__ = ["cell_table", "projection_settings", "render_settings"]

Levels = Sequence[tuple[float, float]]

_FULL_RANGE = (0.0, 255.0)
_NO_PALETTE = np.zeros((0, 3), np.uint8)

# The last tables of each picture are kept, and the last picture (C, Y, X), colors and palette of each of the flows:
# computing them costs a pass over the whole image.

_FlowPicture = tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32], npt.NDArray[np.uint8]]
_kept_tables: WeakKeyDictionary[Picture, tuple[Any, npt.NDArray[np.uint8]]] = WeakKeyDictionary()
_kept_flows: WeakKeyDictionary[Flows, dict[int, tuple[tuple[Any, ...], _FlowPicture | None]]] = WeakKeyDictionary()


def render_settings(
    document: Document, view: ViewState, axis: int = XY, side: tuple[str, Levels] | None = None
) -> RenderSettings:
    """What the canvas shows of a document, and in which colors: the plane or, for a volume, another section.

    ``side``: one of two pictures in a comparison, as its view and levels.
    """
    shown, levels = (view.view, view.levels) if side is None else side
    restored = document.restored if shown == "restored" else None
    picture = document.picture if restored is None else restored.picture
    section = Section.seen(view, axis)
    if axis == XY:
        section = Section(XY, min(view.plane, picture.shape[0] - 1))
    seen = _flow_picture(document, shown, section)
    if seen is not None:
        image, colors, palette = seen
        channels = np.arange(len(image), dtype=np.int32)
        tables = np.repeat(np.arange(256, dtype=np.uint8)[None], len(image), axis=0)
    else:
        image = _section_of(picture.planes, section)
        channels, colors, palette = _coloring(view, picture)
        looks = [(*(levels[c] if c < len(levels) else _FULL_RANGE), view.channel(c).gamma) for c in channels.tolist()]
        tables = _tables(picture, looks)
    return RenderSettings(
        image=image,
        channels=channels,
        tables=tables,
        colors=colors,
        palette=palette,
        labels=np.ascontiguousarray(section.of(document.labels.planes)),
        cells=cell_table(document, view),
        outline_width=view.outline_width if view.outlines_on else 0,
    )


def projection_settings(document: Document, view: ViewState, projected: Projected) -> RenderSettings:
    """What the canvas shows of a volume seen from above."""
    channels, colors, palette = _coloring(view, document.picture)
    looks = [(*view.level(c), view.channel(c).gamma) for c in channels.tolist()]
    return RenderSettings(
        image=projected.image,
        channels=channels,
        tables=_tables(document.picture, looks),
        colors=colors,
        palette=palette,
        labels=projected.labels,
        cells=cell_table(document, view),
        outline_width=view.outline_width if view.outlines_on else 0,
    )


def _section_of(planes: npt.NDArray[Any], section: Section) -> npt.NDArray[Any]:
    """The visible part of an image (Z, C, Y, X) as (C, rows, columns), contiguous in memory."""
    if section.axis == XY:
        return np.asarray(planes[section.place])
    seen = section.of(np.moveaxis(planes, 1, -1))  # (rows, columns, C)
    return np.ascontiguousarray(np.moveaxis(seen, -1, 0))


def _tables(picture: Picture, looks: list[tuple[float, float, float]]) -> npt.NDArray[np.uint8]:
    """Brightness of each value for the levels and gammas of channels, uint8 (channels, values)."""
    kept = _kept_tables.get(picture)
    if kept is None or kept[0] != looks:
        kept = _kept_tables[picture] = looks, np.stack([picture.table(*look) for look in looks])
    return kept[1]


def _flow_picture(document: Document, view: str, section: Section) -> _FlowPicture | None:
    """The picture of flows or cell probability; None if the image itself is shown."""
    flows = document.flows_at(section.place)
    size = section.shape(document.labels.shape)[1:]
    if flows is None or view not in ("gradXY", "cellprob", "gradZ"):
        return None
    kept = _kept_flows.setdefault(flows, {})
    drawn = kept.get(section.axis)
    if drawn is None or drawn[0] != (view, section.place, size):
        n = section.shape(document.labels.shape)[0]
        drawn = kept[section.axis] = (view, section.place, size), _drawn_flows(flows, view, section, n, size)
    return drawn[1]


def _drawn_flows(flows: Flows, view: str, section: Section, n: int, size: tuple[int, ...]) -> _FlowPicture | None:
    def seen(volume: npt.NDArray[Any]) -> npt.NDArray[Any]:
        planes = volume.shape[section.axis]  # planes of the network, whose number may differ from that of the image
        return Section(section.axis, section.place * planes // n).of(volume)

    if view == "gradXY":
        if flows.rgb is None:
            return None
        return _of_size(np.moveaxis(seen(flows.rgb), -1, 0), size), CHANNEL_COLORS["RGB"], _NO_PALETTE
    if view == "gradZ":
        if flows.dP is None or len(flows.dP) != 3:
            return None
        shown = np.clip(seen(np.asarray(flows.dP[0])) * 12.7 + 127, 0, 255).astype(np.uint8)[None]
    elif flows.cellprob is None:
        return None
    else:
        logits = np.asarray(flows.cellprob if flows.cellprob.ndim == 2 else seen(flows.cellprob), np.float32)
        shown = (255 / (1 + np.exp(-logits.clip(-30, 30)))).astype(np.uint8)[None]
    return _of_size(shown, size), np.ones((1, 3), np.float32), blue_white_red()


def _of_size(picture: npt.NDArray[np.uint8], size: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """The picture (C, Y, X) resized to the image, by nearest neighbor."""
    if picture.shape[1:] == size:
        return np.ascontiguousarray(picture)
    rows, columns = (np.arange(new) * old // new for new, old in zip(size, picture.shape[1:], strict=True))
    return np.ascontiguousarray(picture[:, rows[:, None], columns])


def _coloring(
    view: ViewState, picture: Picture
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """The visible channels (n,), at least one, their colors (n, 3), and the palette of a color mode."""
    n, mode = picture.n_channels, view.color
    parts: npt.NDArray[np.float32]
    on = np.array([view.channel(c).on for c in range(n)])
    if mode == "composite":
        parts = np.array([rgb_of(view.channel(c).color) for c in range(n)], np.float32) * np.float32(1 / 255)
        return _seen(parts, on)
    if mode in CHANNEL_COLORS and n > 1:
        parts = CHANNEL_COLORS[mode][:n]
        return _seen(parts, on[: len(parts)])
    if mode in CHANNEL_COLORS:  # a single channel fills all three
        part = np.ones(3, np.float32) if mode == "RGB" else CHANNEL_COLORS[mode].sum(axis=0)
        return _seen(part[None], on)
    there = on & ~picture.constant
    shares = there.astype(np.float32) if there.any() else on.astype(np.float32)
    parts = np.repeat((shares / np.float32(max(shares.sum(), 1)))[:, None], 3, axis=1)
    return _seen(parts, on, _palette(mode))


def _seen(
    parts: npt.NDArray[np.float32], on: npt.NDArray[np.bool_], palette: npt.NDArray[np.uint8] = _NO_PALETTE
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Without the channels that add nothing; if none is left, the first channel in black."""
    parts = np.where(on[:, None], parts, np.float32(0))
    seen = np.flatnonzero(parts.any(axis=1)).astype(np.int32)
    seen = seen if seen.size else np.zeros(1, np.int32)
    return seen, np.ascontiguousarray(parts[seen], np.float32), palette


@cache
def _palette(mode: str) -> npt.NDArray[np.uint8]:
    """256 colors of a mode that looks up the mean of the channels; none for gray."""
    if mode == "spectral":
        return spectral()
    if mode == "inverted gray":
        return np.repeat(np.arange(255, -1, -1, dtype=np.uint8)[:, None], 3, axis=1)
    if mode in COLOR_MAPS:
        return np.ascontiguousarray(pg.colormap.get(mode).getLookupTable(nPts=256)[:, :3], np.uint8)
    return _NO_PALETTE


def cell_table(document: Document, view: ViewState) -> npt.NDArray[np.uint32]:
    """0xAARRGGBB of the inside and the outline of each label, (labels, 2)."""
    cells = document.labels.table
    table = np.zeros((len(cells), 2), np.uint32)
    colors = cell_rgb(cells, view).astype(np.uint32)
    inside = (colors[:, 0] << 16) | (colors[:, 1] << 8) | colors[:, 2]
    chosen = list(document.selection)
    if view.masks_on:
        table[:, 0] = inside | np.uint32(view.opacity << 24)
        table[chosen, 0] = _packed(*SELECTED, view.opacity)
    elif view.outlines_on:  # the selection must be visible, or the user removes the wrong cells
        table[chosen, 0] = _packed(*SELECTED, view.opacity // 2)
    table[:, 1] = table[:, 0]
    if view.outlines_on:
        own = inside | np.uint32(0xFF << 24)
        table[:, 1] = own if view.outlines_own else _packed(*rgb_of(view.outline_color), OUTLINE_OPACITY)
    table[0] = 0
    if view.isolated:
        hidden = np.ones(len(table), bool)
        hidden[[cell for cell in view.isolated if cell < len(table)]] = False
        table[hidden] = 0
    return table


def _packed(red: int, green: int, blue: int, alpha: int) -> int:
    return (alpha << 24) | (red << 16) | (green << 8) | blue
