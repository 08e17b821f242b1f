"""How cells look: opacity, palettes, outlines."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtTest import QTest

from cellpose.gui.model._palettes import PALETTES, cell_rgb
from cellpose.gui.views._renderer import cell_table
from cellpose.gui.views._window import Window
from hand import Modifier, key


def white(window: Window) -> np.ndarray:
    """Pixels of the screen that are purely white, as only the outlines are."""
    window.grab()
    return window.scene.canvas._pixels == 0xFFFFFFFF


def test_opacity_by_slider_and_keys(filled: Window) -> None:
    slider = filled.panel.drawing.look.opacity
    slider.setValue(10)
    document, view = filled.session.document, filled.session.view
    assert cell_table(document, view)[1, 0] >> 24 == 10
    key(filled, "X", Modifier.ControlModifier)
    assert slider.value() == view.opacity == 42
    key(filled, "X", Modifier.ShiftModifier)
    assert slider.value() == 10


@pytest.mark.parametrize("palette", PALETTES)
def test_neighbours_by_number_differ_in_all_palettes_but_that_of_one_color(filled: Window, palette: str) -> None:
    box = filled.panel.drawing.look.palette_box
    box.setCurrentText(palette)
    colors = cell_rgb(filled.session.document.labels.table, filled.session.view)
    assert colors.shape == (3, 3)
    assert (colors[1] == colors[2]).all() == (palette == "one color")


def test_the_one_color_is_chosen_by_its_button(filled: Window) -> None:
    look, view = filled.panel.drawing.look, filled.session.view
    look.expand(animate=False)
    assert not look.cell_color.isVisible()
    view.palette = "one color"
    look.cell_color.setColor(QColor("#102030"))
    assert cell_table(filled.session.document, view)[1, 0] == 0x80102030


def test_key_goes_through_the_palettes(filled: Window) -> None:
    for expected in (*PALETTES[1:], PALETTES[0]):
        key(filled, "L")
        assert filled.session.view.palette == expected


@pytest.mark.parametrize("width", [1, 3])
def test_outlines_are_as_wide_as_wanted_and_inside_the_cells(filled: Window, width: int, qtbot: object) -> None:
    view, look = filled.session.view, filled.panel.drawing.look
    view.masks_on, view.outlines_on, view.outlines_own = False, True, True
    view.palette, view.cell_color = "one color", "#ffffff"
    view.levels = [(0.0, 1000.0)] * 3
    box = look.width_box
    look.expand(animate=False)
    filled.activateWindow()
    qtbot.waitActive(filled)
    box.setFocus()
    box.selectAll()
    QTest.keyClicks(box, str(width))
    QTest.keyClick(box, Qt.Key.Key_Return)
    seen = white(filled)
    row = np.flatnonzero(seen[int(np.flatnonzero(seen.any(axis=1)).mean())])
    gaps = np.flatnonzero(np.diff(row) > 1)
    runs = np.diff([0, *(gaps + 1), row.size])
    ratio = round(filled.devicePixelRatioF())
    assert runs.tolist() == [width * ratio, 2 * width * ratio, width * ratio], "two cells that touch"


def test_outlines_of_one_color_or_each_cells_own(filled: Window) -> None:
    document, view = filled.session.document, filled.session.view
    view.outlines_on = True
    assert len(set(cell_table(document, view)[1:, 1].tolist())) == 1
    filled.panel.drawing.look.own.setChecked(True)
    table = cell_table(document, view)
    assert ((table[1:, 0] & 0xFFFFFF) == (table[1:, 1] & 0xFFFFFF)).all()
    view.outlines_own, view.outline_color = False, "#00ff00"
    assert table[1, 1] != cell_table(document, view)[1, 1] == 0xC800FF00
