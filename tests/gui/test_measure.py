"""The line that measures."""

from __future__ import annotations

import numpy as np
import pytest

from cellpose.gui.views._window import Window
from hand import Modifier, click, drag, draw, key


@pytest.fixture
def scaled(filled: Window) -> Window:
    labels = filled.session.document.labels.planes[0].copy()
    filled.session.open_array(np.zeros((1, 1, 120, 120), np.uint8), labels, pixel_um=(0.5, 0.5))
    key(filled, "M")
    return filled


def length(window: Window) -> float:
    return float(window.scene.text.toPlainText().split(" px")[0])


def test_a_drag_tells_pixels_and_micrometres_at_the_line_and_below(scaled: Window) -> None:
    assert scaled.status.mode.text() == "Measure"
    drag(scaled, (20, 20), (30, 30), (50, 60))
    assert scaled.scene.text.isVisible()
    assert scaled.scene.stroke.isVisible()
    assert length(scaled) == pytest.approx(50, abs=1)
    assert scaled.scene.text.toPlainText().endswith(" µm")
    assert scaled.status.message.text().startswith(scaled.scene.text.toPlainText().replace("\n", ", "))
    assert len(scaled.session.document.history) == 0
    assert scaled.session.document.selection == set()


def test_shift_keeps_to_45_degrees(scaled: Window) -> None:
    drag(scaled, (20, 20), (30, 30), (24, 70), keys=Modifier.ShiftModifier)
    assert scaled.session.pointer.mode == "measure", "no outline was begun"
    points = scaled.scene.stroke.path()
    assert points.elementAt(0).y == pytest.approx(points.elementAt(1).y)
    assert length(scaled) == pytest.approx(50, abs=1)


def test_without_a_size_pixels_alone(filled: Window) -> None:
    key(filled, "M")
    drag(filled, (20, 20), (20, 40))
    assert filled.scene.text.toPlainText().endswith(" px")


@pytest.mark.parametrize("end", ["Escape", "M", "P", "click", "image"])
def test_ways_to_end_it(scaled: Window, end: str) -> None:
    drag(scaled, (20, 20), (50, 60))
    assert scaled.scene.text.isVisible()
    if end == "click":
        click(scaled, 100, 100)
    elif end == "image":
        scaled.session.open_array(np.zeros((1, 1, 50, 50), np.uint8))
    else:
        key(scaled, end)
    assert not scaled.scene.text.isVisible()
    assert not scaled.session.pointer._tool.is_busy
    if end in ("M", "P"):
        assert scaled.session.pointer.tool == {"M": "select", "P": "brush"}[end]


def test_an_outline_can_be_drawn_while_measuring(scaled: Window) -> None:
    drag(scaled, (20, 20), (50, 60))
    draw(scaled, 90, 90, 12)
    assert scaled.session.cell_count() == 3
    assert not scaled.scene.text.isVisible()
