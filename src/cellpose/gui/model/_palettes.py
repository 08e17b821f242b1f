"""Colours of cells: one function from their table to a colour for each."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt

from cellpose.gui.model._colors import cell_colors
from cellpose.gui.model._labels import Table
from cellpose.gui.model._view import ViewState

__all__ = ["COLORINGS", "ONE_COLOR", "PALETTES", "cell_rgb", "rgb_of"]

Colors = npt.NDArray[np.uint8]

# Each safe for the colour-blind: Okabe and Ito 2008 (without black), and "bright" and "muted" of Tol 2021.
_SAFE = {
    "Okabe-Ito": "E69F00 56B4E9 009E73 F0E442 0072B2 D55E00 CC79A7",
    "Tol bright": "4477AA EE6677 228833 CCBB44 66CCEE AA3377",
    "Tol muted": "CC6677 DDCC77 117733 88CCEE 882255 44AA99 999933 AA4499",
}
ONE_COLOR = "one colour"
PALETTES = ("many colours", *_SAFE, ONE_COLOR)


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
    """The colour of each cell, uint8 (labels, 3), from the table of cells, dtype ``CELL`` (labels,).

    Examples
    --------
    >>> from cellpose.gui.model._labels import CELL
    >>> view = ViewState()
    >>> view.palette = "Okabe-Ito"
    >>> cell_rgb(np.zeros(3, CELL), view).tolist()
    [[230, 159, 0], [86, 180, 233], [0, 158, 115]]
    """
    return COLORINGS[view.coloring](table, _palette(view.palette, view.cell_color))


def by_number(table: Table, palette: Colors) -> Colors:
    """Colours by the numbers of cells, so that a cell keeps its colour."""
    return palette[np.arange(len(table)) % len(palette)]


# What decides the colour of a cell: functions from the table of cells and the chosen palette (n, 3).
COLORINGS: dict[str, Callable[[Table, Colors], Colors]] = {"number": by_number}


@cache
def _palette(name: str, color: str) -> Colors:
    if name in _SAFE:
        return np.array([rgb_of(each) for each in _SAFE[name].split()], np.uint8)
    return np.array([rgb_of(color)], np.uint8) if name == ONE_COLOR else cell_colors()
