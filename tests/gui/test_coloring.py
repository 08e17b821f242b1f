"""Colors that tell something of the cells, and the legend that says what."""

from __future__ import annotations

import numpy as np
import pytest

from cellpose.gui.model import _operations as operations
from cellpose.gui.model._colors import UNKNOWN, doubt_ramp, size_ramp
from cellpose.gui.model._marks import set_class
from cellpose.gui.model._palettes import cell_rgb
from cellpose.gui.views._window import Window
from hand import draw, key


@pytest.fixture
def told(window: Window) -> Window:
    """Cells 1, 2, 3 of 25, 100 and 400 pixels, scores 0.25 and 1; the last has none and class 2."""
    labels = np.zeros((1, 100, 100), np.int32)
    labels[0, 10:15, 10:15], labels[0, 30:40, 10:20], labels[0, 60:80, 10:30] = 1, 2, 3
    document = window.session.open_array(np.zeros((1, 1, 100, 100), np.uint8))
    document.do(operations.replace_all, labels, np.array([0.25, 1, np.nan], np.float32))
    document.do(set_class, [3], 2)
    return window


def colors(window: Window) -> list[tuple[int, ...]]:
    return [tuple(color) for color in cell_rgb(window.session.document.labels.table, window.session.view)[1:].tolist()]


def test_a_key_goes_through_the_colorings_and_the_legend_follows(told: Window) -> None:
    view, legend = told.session.view, told.legend
    by_number = colors(told)
    assert legend.isHidden()
    key(told, "H")
    assert view.coloring == "score"
    assert told.panel.drawing.look.coloring.currentText() == "score"
    assert colors(told) == [tuple(doubt_ramp()[63]), tuple(doubt_ramp()[255]), UNKNOWN]
    assert (legend.isVisible(), legend.ends) == (True, ("0", "1"))
    assert [text for _, text in legend.rows] == ["no score (1)"]
    key(told, "H")
    assert colors(told) == [UNKNOWN, UNKNOWN, (230, 159, 0)]
    assert [text for _, text in legend.rows] == ["none (2)", "class 2 (1)"]
    key(told, "H")
    assert colors(told)[0] == tuple(size_ramp()[0])
    assert colors(told)[2] == tuple(size_ramp()[255])
    assert (legend.title, legend.rows) == ("size in pixels", [])
    key(told, "H")
    assert (view.coloring, colors(told)) == ("number", by_number)
    assert legend.isHidden()


def test_the_legend_follows_edits_names_and_layers(told: Window) -> None:
    told.session.view.coloring = "class"
    told.session.review.classes[1].rename("immune")
    told.session.review.classes[1].color = "#010203"
    assert [text for _, text in told.legend.rows] == ["none (2)", "immune (1)"]
    assert colors(told)[2] == (1, 2, 3)
    draw(told, 70, 70, 10)
    told.session.document.do(set_class, [4], 1)
    assert [text for _, text in told.legend.rows] == ["none (2)", "class 1 (1)", "immune (1)"]
    told.session.undo()
    assert [text for _, text in told.legend.rows] == ["none (3)", "immune (1)"]
    key(told, "X")
    assert told.legend.isHidden()
    key(told, "X")
    assert told.legend.isVisible()
    told.session.clear()
    assert told.legend.isHidden()


def test_drawn_cells_are_gray_among_scores(told: Window) -> None:
    told.session.document.do(operations.delete, [3])
    told.session.view.coloring = "score"
    draw(told, 70, 70, 10)
    assert [text for _, text in told.legend.rows] == ["by hand (1)"]
    assert colors(told)[3] == UNKNOWN
