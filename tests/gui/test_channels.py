"""Channels and their colors: composites of any number, gamma, color maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from qtpy.QtGui import QColor

from cellpose.gui.model import Flows
from cellpose.gui.views._renderer import render_settings
from cellpose.gui.views._window import Window
from hand import key, place


def color_at(window: Window, y: float, x: float) -> tuple[int, int, int]:
    spot = window.scene.viewport().mapTo(window, place(window, y, x))
    ratio = window.devicePixelRatioF()
    seen = window.grab().toImage().pixelColor(int(spot.x() * ratio), int(spot.y() * ratio))
    return seen.red(), seen.green(), seen.blue()


@pytest.fixture
def five(window: Window) -> Window:
    """Five channels of which each is bright in a square of its own, (10 + 20 c, 50)."""
    stack = np.zeros((1, 5, 100, 100), np.uint8)
    for channel in range(5):
        stack[0, channel, 20 * channel : 20 * channel + 20, 40:60] = 255
    window.session.view.auto_levels = False
    window.session.open_array(stack[:, :3], channels=stack, channel_names=("DAPI", "", "actin", "", ""))
    return window


def test_more_channels_than_three_open_as_a_composite_with_their_colors(five: Window) -> None:
    assert five.session.view.color == "composite"
    seen = [color_at(five, 10 + 20 * channel, 50) for channel in range(5)]
    assert seen == [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 255, 255)]
    rows = five.panel.views.channels
    assert [box.text() for box in rows.seen] == ["DAPI", "channel 2", "actin", "channel 4", "channel 5"]
    assert len(five.panel.views.levels) == 5
    assert five.session.document.stack.shape[1] == 3, "networks take three"


def test_a_channel_is_hidden_and_gets_another_color(five: Window) -> None:
    rows = five.panel.views.channels
    rows.expand(animate=False)
    rows.seen[4].click()
    assert color_at(five, 90, 50) == (0, 0, 0)
    rows.colors[0].setColor(QColor("#ff8000"))
    assert color_at(five, 10, 50) == (255, 128, 0)
    five.session.view.color = "viridis"
    rows.colors[0].setColor(QColor("#804000"))
    assert five.session.view.color == "composite", "a color that is chosen is to be seen"


def test_levels_and_gamma_of_a_fourth_channel(five: Window) -> None:
    five.panel.views.levels[3].setValue((0.0, 200.0))
    assert five.session.view.levels[3] == (0, 200)
    five.panel.views.channels.gammas[3].box.setValue(0.5)
    shown = render_settings(five.session.document, five.session.view)
    assert shown.tables[3][50] == round(255 * (50 / 200) ** 0.5)


def test_rows_follow_the_number_of_channels(five: Window) -> None:
    five.panel.views.channels.expand(animate=False)
    five.session.open_array(np.zeros((1, 1, 30, 30), np.uint8))
    views = five.panel.views
    assert [slider.isVisible() for slider in views.levels] == [True] * 3 + [False] * 2
    assert [box.isVisible() for box in views.channels.seen] == [True] + [False] * 4
    assert five.session.view.color == "gray"


def test_gamma_lightens_what_is_dark(filled: Window) -> None:
    filled.session.view.levels = [(0.0, 255.0)] * 3
    before = color_at(filled, 20, 30)
    filled.panel.views.channels.gammas[0].box.setValue(0.5)
    after = color_at(filled, 20, 30)
    assert before == pytest.approx((64,) * 3, abs=2)
    assert after == pytest.approx((128,) * 3, abs=3)


@pytest.mark.parametrize(
    ("mode", "dark", "bright"),
    [("inverted gray", (255, 255, 255), (0, 0, 0)), ("viridis", (68, 1, 84), (253, 231, 37)), ("cividis", None, None)],
)
def test_color_maps(filled: Window, mode: str, dark: object, bright: object) -> None:
    filled.session.view.levels = [(0.0, 255.0)] * 3
    filled.panel.views.color.setCurrentText(mode)
    if dark:
        assert color_at(filled, 20, 0) == pytest.approx(dark, abs=3)
        assert color_at(filled, 20, 119) == pytest.approx(bright, abs=3)
    key(filled, "S")
    assert filled.session.view.color == "RGB", "the keys go through the modes of the original"


def test_all_channels_of_a_file_are_shown_and_the_first_three_segmented(window: Window, tmp_path: Path) -> None:
    stack = np.arange(5 * 40 * 50, dtype=np.uint16).reshape(5, 40, 50)
    path = tmp_path / "five.ome.tif"
    metadata = {"axes": "CYX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5, "Channel": {"Name": list("abcde")}}
    tifffile.imwrite(path, stack, metadata=metadata, ome=True, photometric="minisblack")
    assert window.session.files.open(path)
    document = window.session.document
    assert document.stack.shape == (1, 3, 40, 50)
    assert np.array_equal(document.channels[0], stack)
    assert (document.channel_names, document.pixel_um) == (tuple("abcde"), (0.5, 0.25))
    assert document.picture.shape == (1, 40, 50)


def test_what_costs_more_than_the_screen_is_made_once(filled: Window) -> None:
    document, view = filled.session.document, filled.session.view
    flows = np.zeros((120, 120), np.float32)
    document.flows = Flows(None, None, flows)
    first = render_settings(document, view)
    view.opacity = 7
    assert render_settings(document, view).tables is first.tables
    view.levels = [(0.0, 99.0)] * 3
    assert render_settings(document, view).tables is not first.tables
    view.view = "cellprob"
    first = render_settings(document, view)
    view.opacity = 9
    assert render_settings(document, view).image is first.image
    document.flows = Flows(None, None, flows + 9)
    assert render_settings(document, view).image is not first.image
