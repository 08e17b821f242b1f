"""Every key of the window, as real key events."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from cellpose.gui.model import Flows
from cellpose.gui.views._window import Window
from hand import Modifier, click, draw, hover, key, press, until_open

SIDE = 120


def with_flows(window: Window) -> None:
    plane = np.zeros((SIDE, SIDE), np.float32)
    window.session.document.flows = Flows(np.zeros((1, SIDE, SIDE, 3), np.uint8), np.stack([plane, plane]), plane)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images, of 20, 21 and 22 pixels per side."""
    for number in range(3):
        side = 20 + number
        image = np.arange(side * side).reshape(side, side) % 251
        cv2.imwrite(str(tmp_path / f"image_{number}.png"), image.astype(np.uint8))
    return tmp_path


@pytest.mark.parametrize(
    ("keys", "visited"),
    [(("Right", "Right", "Right"), (1, 2, 0)), (("D", "D"), (1, 2)), (("Left", "Left"), (2, 1))],
)
def test_keys_go_through_the_folder_round_and_round(
    window: Window, folder: Path, keys: tuple[str, ...], visited: tuple[int, ...]
) -> None:
    window.session.files.open(folder / "image_0.png")
    for name, number in zip(keys, visited, strict=True):
        key(window, name)
        until_open(window)
        assert window.windowTitle().startswith(f"image_{number}.png")


def test_shift_a_goes_back_and_a_alone_is_the_single_stroke(window: Window, folder: Path) -> None:
    window.session.files.open(folder / "image_0.png")
    key(window, "A")
    assert window.windowTitle().startswith("image_0.png")
    assert not window.session.view.single_stroke
    assert not window.panel.drawing.single.isChecked()
    key(window, "A", Modifier.ShiftModifier)
    until_open(window)
    assert window.windowTitle().startswith("image_2.png")


def test_page_keys_go_through_the_views_that_there_are(filled: Window) -> None:
    view = filled.session.view
    key(filled, "PageDown")
    assert view.view == "image", "there is no other"
    with_flows(filled)
    for name, expected in (
        ("PageDown", "gradXY"), ("PageDown", "cellprob"), ("PageDown", "image"), ("PageUp", "cellprob")
    ):  # fmt: skip
        key(filled, name)
        assert view.view == expected
        assert filled.panel.views.picture.currentText() == expected


def test_a_color_shows_the_image_again(filled: Window) -> None:
    with_flows(filled)
    filled.session.view.view = "cellprob"
    key(filled, "R")
    assert (filled.session.view.view, filled.session.view.color) == ("image", "red")


@pytest.mark.parametrize(("forwards", "backwards"), [("Down", "Up"), ("S", "W")])
def test_keys_go_through_the_colors(filled: Window, forwards: str, backwards: str) -> None:
    view = filled.session.view
    view.color = "RGB"
    seen = []
    for _ in range(6):
        key(filled, forwards)
        seen.append(view.color)
    assert seen == ["red", "green", "blue", "gray", "spectral", "RGB"]
    key(filled, backwards)
    assert view.color == "spectral"


@pytest.mark.parametrize(
    ("name", "factor"), [("Minus", 1.1), ("Equal", 0.9), ("Plus", 0.9)], ids=["minus", "equal", "plus"]
)
def test_zoom_keys(filled: Window, name: str, factor: float) -> None:
    before = filled.scene.box.viewRect().width()
    key(filled, name)
    assert filled.scene.box.viewRect().width() == pytest.approx(factor * before, rel=0.01)
    key(filled, "Space")
    assert filled.scene.box.viewRect().width() == pytest.approx(before, rel=0.01)


def test_double_click_shows_all(filled: Window) -> None:
    before = filled.scene.box.viewRect().width()
    key(filled, "Equal")
    centre = filled.scene.viewport().rect().center()
    QTest.mouseDClick(filled.scene.viewport(), Qt.MouseButton.LeftButton, Modifier.NoModifier, centre)
    assert filled.scene.box.viewRect().width() == pytest.approx(before, rel=0.01)


@pytest.mark.parametrize("name", ["Enter", "Return"])
def test_enter_makes_one_cell_of_two_strokes(filled: Window, name: str) -> None:
    filled.session.view.single_stroke = False
    draw(filled, 90, 30, 10)
    draw(filled, 90, 45, 10)
    key(filled, name)
    assert filled.session.cell_count() == 3


def test_shift_enter_runs(filled: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filled.session.segmentation, "_loaded", lambda *_: pytest.fail("not reached"))
    started = []
    monkeypatch.setattr(filled.session.jobs, "start", lambda name, *_: started.append(name))
    key(filled, "Return", Modifier.ShiftModifier)
    key(filled, "Enter", Modifier.ShiftModifier)
    assert started == ["segment", "segment"]


def test_keys_in_a_box_of_numbers_stay_there_until_enter(filled: Window, qtbot: object) -> None:
    box = filled.panel.segmentation.diameter
    filled.activateWindow()
    qtbot.waitActive(filled)
    box.setFocus()
    box.selectAll()
    for name in ("4", "2", "X", "Left", "Z"):
        QTest.keyClick(box, getattr(Qt.Key, f"Key_{name}"))
    assert filled.session.view.masks_on
    assert not filled.session.view.outlines_on
    QTest.keyClick(box, Qt.Key.Key_Return)
    assert filled.session.settings.diameter == 42
    assert not box.hasFocus()
    assert filled.scene.disk.rect().width() == 42
    key(filled, "X")
    assert not filled.session.view.masks_on


def test_the_wheel_over_a_box_does_not_change_it(filled: Window) -> None:
    from qtpy.QtCore import QPoint, QPointF
    from qtpy.QtGui import QWheelEvent
    from qtpy.QtWidgets import QApplication

    box = filled.panel.segmentation.diameter
    spot = QPointF(box.rect().center())
    event = QWheelEvent(
        spot, box.mapToGlobal(spot), QPoint(), QPoint(0, 120), Qt.MouseButton.NoButton, Modifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(box, event)
    assert filled.session.settings.diameter == 30


def test_keys_while_a_stroke_is_open(filled: Window) -> None:
    """A color changes and the stroke goes on; another image ends it."""
    click(filled, 90, 90, "RightButton")
    hover(filled, 95, 95)
    key(filled, "R")
    assert filled.session.pointer.mode == "drawing"
    filled.session.open_array(np.zeros((1, 1, SIDE, SIDE), np.uint8))
    assert filled.session.pointer.mode == "select"


def test_a_number_that_is_being_typed_counts_for_run(
    filled: Window, monkeypatch: pytest.MonkeyPatch, qtbot: object
) -> None:
    """By the button, which does not take the focus, and by the keys that run."""
    started, box = [], filled.panel.segmentation.diameter
    diameter = lambda *_: started.append(filled.session.settings.diameter)  # noqa: E731
    monkeypatch.setattr(filled.session.jobs, "start", diameter)
    filled.activateWindow()
    qtbot.waitActive(filled)
    ways = (
        lambda: press(filled.panel.segmentation.run),
        lambda: QTest.keyClick(box, Qt.Key.Key_Return, Modifier.ShiftModifier),
        lambda: QTest.keyClick(box, Qt.Key.Key_Return, Modifier.ControlModifier),
    )
    for number, run in enumerate(ways):
        box.setFocus()
        box.selectAll()
        QTest.keyClicks(box, f"4{number}")
        run()
    assert started == [40, 41, 42]


def test_shift_enter_runs_where_the_list_of_images_has_the_focus(
    window: Window, folder: Path, monkeypatch: pytest.MonkeyPatch, qtbot: object
) -> None:
    window.session.files.open(folder / "image_0.png")
    until_open(window)
    started = []
    monkeypatch.setattr(window.session.jobs, "start", lambda name, *_: started.append(name))
    window.activateWindow()
    qtbot.waitActive(window)
    window.folder.rows.setFocus()
    QTest.keyClick(window.folder.rows, Qt.Key.Key_Return, Modifier.ShiftModifier)
    assert started == ["segment"]
