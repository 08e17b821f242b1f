"""What lies in the corners of the view: scale bar and minimap; and the diameter in micrometres."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from cellpose.gui.controllers._dialogs import NoDialogs
from cellpose.gui.views._window import Window
from hand import Modifier, drag, key

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def scaled(window: Window, tmp_path: Path) -> Window:
    """An image of 300 x 400 pixels of half a micrometre, with a cell at the lower right."""
    image = np.tile(np.arange(400, dtype=np.uint16), (300, 1))
    tifffile.imwrite(tmp_path / "a.tif", image, imagej=True, resolution=(2, 2), metadata={"unit": "um"})
    assert window.session.files.open(tmp_path / "a.tif")
    return window


class Answers(NoDialogs):
    def ask_length(self, title: str, label: str, value: float) -> float | None:
        self.value = value
        return 0.25

    def ask_color(self, title: str, color: str) -> str | None:
        return "#ffee00"


def test_the_scale_bar_is_a_round_length_and_follows_the_zoom(scaled: Window) -> None:
    bar = scaled.scale_bar
    assert bar.isVisible()
    for _ in range(12):
        key(scaled, "Equal")
        (x0, x1), _ = scaled.scene.box.viewRange()
        um = bar._length / scaled.scene.viewport().width() * (x1 - x0) * 0.5
        number, unit = bar.text.split()
        assert um == pytest.approx(float(number) * {"µm": 1, "nm": 1e-3}[unit], rel=0.01)
        assert number.rstrip("0").strip(".") in ("1", "2", "5")
        assert bar._length <= 200


def test_the_scale_bar_in_corners_and_colors_and_off(scaled: Window) -> None:
    bar, view = scaled.scale_bar, scaled.session.view
    scaled.session.dialogs = Answers()
    run = {command.id: command.trigger for command in scaled.commands}
    assert bar.x() > scaled.scene.width() / 2
    run["view.scale_bar_corner"]()
    assert bar.x() < scaled.scene.width() / 2
    assert bar.y() > scaled.scene.height() / 2
    run["view.scale_bar_color"]()
    assert view.scale_bar_color == "#ffee00"
    assert bar.grab().toImage().pixelColor(bar.width() // 2, bar.height() - 9).name() == "#ffee00"
    run["view.scale_bar_on"]()
    assert not bar.isVisible()


def test_without_a_pixel_size_it_is_typed(window: Window) -> None:
    window.session.open_array(np.zeros((1, 1, 50, 60), np.uint8))
    assert not window.scale_bar.isVisible()
    window.session.dialogs = answers = Answers()
    next(command for command in window.commands if command.id == "view.pixel_size").trigger()
    assert answers.value == 0
    assert window.session.scale.pixel_um == (0.25, 0.25)
    assert window.scale_bar.isVisible()
    window.session.open_array(np.zeros((1, 1, 50, 60), np.uint8))
    assert window.session.scale.pixel_um == (0.25, 0.25), "the next image of the series, too"
    window.session.open_array(np.zeros((1, 1, 50, 60), np.uint8), pixel_um=(0.5, 0.5))
    assert window.session.scale.pixel_um == (0.5, 0.5), "what a file says counts"


@pytest.mark.parametrize(("typed", "pixels"), [("12 µm", 24), ("12um", 24), ("500 nm", 1), ("20", 20)])
def test_the_diameter_in_micrometres(scaled: Window, qtbot: object, typed: str, pixels: float) -> None:
    box = scaled.panel.segmentation.diameter
    scaled.activateWindow()
    qtbot.waitActive(scaled)
    box.setFocus()
    box.selectAll()
    QTest.keyClicks(box, typed)
    QTest.keyClick(box, Qt.Key.Key_Return)
    assert scaled.session.settings.diameter == pixels
    label = scaled.panel.segmentation.diameter_um
    assert label.text() == ("500 nm" if pixels == 1 else f"{pixels / 2:g} µm")


def test_a_length_is_refused_where_pixels_have_no_size(filled: Window, qtbot: object) -> None:
    box = filled.panel.segmentation.diameter
    filled.activateWindow()
    qtbot.waitActive(filled)
    box.setFocus()
    box.selectAll()
    QTest.keyClicks(box, "12 µm")
    QTest.keyClick(box, Qt.Key.Key_Return)
    assert filled.session.settings.diameter == 30
    assert not filled.panel.segmentation.diameter_um.isVisible()


def test_the_minimap_is_there_while_a_part_is_seen(scaled: Window, qtbot: object) -> None:
    small = scaled.minimap
    assert not small.isVisible()
    for _ in range(6):
        key(scaled, "Equal")
    assert small.isVisible()
    assert small.width() == 180
    assert small.height() == 135
    qtbot.waitUntil(lambda: small._drawn() is not None)
    seen = small.grab().toImage()
    assert seen.pixelColor(3, 3).lightness() < 40 < seen.pixelColor(174, 3).lightness(), "the means of its parts"
    key(scaled, "M", Modifier.ShiftModifier)
    assert not small.isVisible()
    key(scaled, "M", Modifier.ShiftModifier)
    key(scaled, "Space")
    assert not small.isVisible(), "all is seen"


def test_a_click_and_a_drag_in_the_minimap_move_the_view_and_edit_nothing(scaled: Window) -> None:
    for _ in range(12):
        key(scaled, "Equal")
    key(scaled, "P")
    small, box = scaled.minimap, scaled.scene.box
    QTest.mousePress(small, LEFT, Qt.KeyboardModifier.NoModifier, QPoint(45, 30))
    assert (box.viewRect().center().x(), box.viewRect().center().y()) == pytest.approx((100, 66.7), abs=1)
    QTest.mouseMove(small, QPoint(90, 90))
    QTest.mouseRelease(small, LEFT, Qt.KeyboardModifier.NoModifier, QPoint(90, 90))
    assert (box.viewRect().center().x(), box.viewRect().center().y()) == pytest.approx((200, 200), abs=1)
    assert scaled.session.cell_count() == 0


def test_panning_draws_the_small_picture_once(scaled: Window, qtbot: object) -> None:
    for _ in range(6):
        key(scaled, "Equal")
    qtbot.waitUntil(lambda: scaled.minimap._drawn() is not None)
    drawn = scaled.minimap._image
    drag(scaled, (150, 200), (140, 190), (130, 180))
    assert scaled.minimap._drawn() is drawn
    scaled.session.view.color = "viridis"
    assert scaled.minimap._drawn() is not drawn
