"""Drawn outlines that become what the flows tell of."""

from __future__ import annotations

import numpy as np
import pytest

from cellpose.gui.model import Flows
from cellpose.gui.views._window import Window
from hand import Modifier, draw, key

SIDE = 120


@pytest.fixture
def flowing(window: Window) -> Window:
    """Flows of one disk of radius 14 around (60, 60); no cells."""
    to_centre = np.stack(np.meshgrid(60 - np.arange(SIDE), 60 - np.arange(SIDE), indexing="ij")).astype(np.float32)
    away = np.hypot(*to_centre)
    document = window.session.open_array(np.zeros((1, 1, SIDE, SIDE), np.uint8))
    logits = np.where(away <= 14, 5.0, -9.0).astype(np.float32)
    document.flows = Flows(None, 5 * to_centre / np.maximum(away, 1), logits)
    key(window, "K", Modifier.ShiftModifier)
    assert window.panel.drawing.snap.isChecked()
    return window


def disk(radius: float) -> np.ndarray:
    y, x = np.ogrid[:SIDE, :SIDE]
    return (y - 60) ** 2 + (x - 60) ** 2 <= radius**2


def test_a_rough_outline_becomes_the_cell_of_the_flows(flowing: Window) -> None:
    draw(flowing, 62, 58, 13, share=0.9)
    assert np.array_equal(flowing.session.document.labels.planes[0] > 0, disk(14))
    key(flowing, "Z", Modifier.ControlModifier)
    assert flowing.session.cell_count() == 0, "one step"


def test_what_is_far_outside_of_the_outline_is_left_out(flowing: Window) -> None:
    draw(flowing, 60, 60, 10.5, share=0.9)
    found = flowing.session.document.labels.planes[0] > 0
    assert not (found & ~disk(14)).any()
    assert np.array_equal(found & disk(10), disk(10))


@pytest.mark.parametrize(("y", "x", "radius"), [(60, 95, 12), (60, 60, 30), (60, 60, 5)])
def test_another_cell_is_kept_as_drawn_and_told(flowing: Window, y: int, x: int, radius: int) -> None:
    draw(flowing, y, x, radius, share=0.9)
    snapped = flowing.session.document.labels.planes[0] > 0
    assert "kept as drawn" in flowing.statusBar().currentMessage()
    key(flowing, "Z", Modifier.ControlModifier)
    flowing.session.view.snap = False
    draw(flowing, y, x, radius, share=0.9)
    assert np.array_equal(snapped, flowing.session.document.labels.planes[0] > 0)


def test_without_flows_it_is_told(flowing: Window) -> None:
    flowing.session.document.flows = None
    draw(flowing, 60, 60, 12, share=0.9)
    assert flowing.session.cell_count() == 1
    assert "no flows" in flowing.statusBar().currentMessage()
