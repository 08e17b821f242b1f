"""Colors of cells: functions from the table of cells to a color for each."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt

from cellpose.gui._texts import mark
from cellpose.gui.model._colors import UNKNOWN, cell_colors, doubt_ramp, size_ramp
from cellpose.gui.model._labels import Table
from cellpose.gui.model._links import Lineage
from cellpose.gui.model._measures import MEASURES
from cellpose.gui.model._view import ViewState

__all__ = ["COLORINGS", "ONE_COLOR", "PALETTES", "RAMPS", "cell_rgb", "rgb_of", "track_rgb"]

Colors = npt.NDArray[np.uint8]

# All safe for the color-blind: Okabe and Ito 2008 (without black), and "bright" and "muted" of Tol 2021.
_SAFE = {
    "Okabe-Ito": "E69F00 56B4E9 009E73 F0E442 0072B2 D55E00 CC79A7",
    "Tol bright": "4477AA EE6677 228833 CCBB44 66CCEE AA3377",
    "Tol muted": "CC6677 DDCC77 117733 88CCEE 882255 44AA99 999933 AA4499",
}
ONE_COLOR = mark("one color")
# Color scales (256, 3) for the measures of cells.
RAMPS: dict[str, Callable[[], Colors]] = {"score": doubt_ramp, "size": size_ramp}
PALETTES = (mark("many colors"), *_SAFE, ONE_COLOR)


def rgb_of(color: str) -> tuple[int, int, int]:
    """Red, green and blue of ``"#rrggbb"``.

    Examples
    --------
    >>> rgb_of("#ff8000")
    (255, 128, 0)
    """
    red, green, blue = bytes.fromhex(color.lstrip("#"))
    return red, green, blue


def cell_rgb(table: Table, view: ViewState) -> Colors:
    """The color of each cell, uint8 (labels, 3), from the table of cells, dtype ``CELL`` (labels,).

    Examples
    --------
    >>> from cellpose.gui.model._labels import CELL
    >>> view = ViewState()
    >>> view.palette = "Okabe-Ito"
    >>> cell_rgb(np.zeros(3, CELL), view).tolist()
    [[230, 159, 0], [86, 180, 233], [0, 158, 115]]
    """
    return COLORINGS[view.coloring](table, view)


def by_number(table: Table, view: ViewState) -> Colors:
    """Colors by cell number, so a cell keeps its color; linked cells have the color of their track."""
    linked = (table["earlier"] > 0).any()
    return track_rgb(Lineage.of(table).track if linked else np.arange(len(table), dtype=np.int32), view)


def track_rgb(tracks: npt.NDArray[np.int32], view: ViewState) -> Colors:
    """The colors of tracks, uint8 (n, 3), from their numbers (n,)."""
    palette = _palette(view.palette, view.cell_color)
    return palette[tracks % len(palette)]


def by_class(table: Table, view: ViewState) -> Colors:
    """Colors of the classes, as chosen by the user."""
    colors: Colors = np.array([UNKNOWN, *(rgb_of(color) for color in view.class_colors)], np.uint8)
    places: npt.NDArray[np.intp] = table["kind"].clip(0, len(colors) - 1).astype(np.intp)
    return colors[places]


def along(name: str) -> Callable[[Table, ViewState], Colors]:
    """Colors from ``RAMPS`` by a measure from ``MEASURES``."""

    def colored(table: Table, _view: ViewState) -> Colors:
        shares = MEASURES[name](table).shares
        known = ~np.isnan(shares)
        colors = np.empty((len(table), 3), np.uint8)
        colors[:] = UNKNOWN
        colors[known] = RAMPS[name]()[(255 * shares[known]).clip(0, 255).astype(np.intp)]
        return colors

    return colored


# Ways to color cells: functions of the table of cells and the view settings.
COLORINGS: dict[str, Callable[[Table, ViewState], Colors]] = {
    mark("number"): by_number,
    mark("score"): along("score"),
    mark("class"): by_class,
    mark("size"): along("size"),
}


@cache
def _palette(name: str, color: str) -> Colors:
    if name in _SAFE:
        return np.array([rgb_of(each) for each in _SAFE[name].split()], np.uint8)
    return np.array([rgb_of(color)], np.uint8) if name == ONE_COLOR else cell_colors()
