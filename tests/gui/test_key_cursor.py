"""The keyboard cursor: every tool without a mouse."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from qtpy.QtCore import Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QLineEdit

from cellpose.gui.views._window import Window
from hand import Modifier, choose, key, until_idle, until_open, write_in

NONE, SHIFT, CONTROL = Modifier.NoModifier, Modifier.ShiftModifier, Modifier.ControlModifier


def press(window: Window, name: str, times: int = 1, keys: Modifier = NONE) -> None:
    """Keys as a user presses them: for what has the focus."""
    for _ in range(times):
        QTest.keyClick(window.scene, getattr(Qt.Key, f"Key_{name}"), keys)


def walk(window: Window, y: int, x: int) -> None:
    """Bring the cursor to a pixel by the arrow keys."""
    for axis, (less, more) in enumerate((("Up", "Down"), ("Left", "Right"))):
        for _ in range(400):
            away = (y, x)[axis] - window.session.cursor.place[axis]
            if not away:
                break
            far = SHIFT if abs(away) > 20 else NONE
            press(window, more if away > 0 else less, keys=far)
    assert window.session.cursor.place == (y, x)


@pytest.fixture
def pointed(filled: Window, qtbot: object) -> Window:
    """The window with two cells, and the cursor in the middle."""
    filled.activateWindow()
    qtbot.waitUntil(filled.isActiveWindow)
    key(filled, "Q")
    assert filled.session.cursor.place is not None
    assert filled.scene.hasFocus()
    return filled


def test_without_the_cursor_the_arrows_are_commands_as_always(filled: Window) -> None:
    color = filled.session.view.color
    press(filled, "Down")
    assert filled.session.cursor.place is None
    assert filled.session.view.color != color


def test_it_begins_in_the_middle_moves_and_stays_in_the_image(pointed: Window) -> None:
    cursor, view = pointed.session.cursor, pointed.session.view
    y, x = cursor.place
    assert abs(y - 60) < 8
    assert abs(x - 60) < 8
    color = view.color
    press(pointed, "Down")
    press(pointed, "Right", 2)
    step = cursor.place[0] - y
    assert step >= 1
    assert cursor.place == (y + step, x + 2 * step)
    press(pointed, "Up", 30, SHIFT)
    assert cursor.place[0] == 0
    assert view.color == color, "the arrows are no commands meanwhile"


def test_the_status_bar_and_the_screen_reader_say_what_is_under_it(pointed: Window, qtbot: object) -> None:
    walk(pointed, 50, 30)
    qtbot.waitUntil(lambda: "cell 1" in pointed.status.place.text())
    assert pointed.scene.accessibleDescription() == pointed.status.place.text()


def test_it_stays_in_view(pointed: Window) -> None:
    for _ in range(8):
        key(pointed, "Equal")
    press(pointed, "Right", 20, SHIFT)
    y, x = pointed.session.cursor.place
    (x0, x1), (y0, y1) = pointed.scene.box.viewRange()
    assert x0 < x < x1
    assert y0 < y < y1


def test_a_cell_is_drawn_by_points(pointed: Window) -> None:
    walk(pointed, 80, 80)
    press(pointed, "Space", keys=SHIFT)
    assert pointed.session.pointer.mode == "drawing"
    for corner in ((80, 100), (100, 100), (100, 80)):
        walk(pointed, *corner)
        press(pointed, "Space")
    press(pointed, "Return")
    labels = pointed.session.document.labels.planes[0]
    assert pointed.session.cell_count() == 3
    assert (labels[81:100, 81:100] == 3).all()
    assert (labels == 3).sum() == pytest.approx(21 * 21, abs=45)
    key(pointed, "Z", CONTROL)
    assert pointed.session.cell_count() == 2


def test_an_outline_is_given_up_then_the_tool_then_the_cursor(pointed: Window) -> None:
    key(pointed, "P")
    walk(pointed, 80, 80)
    press(pointed, "Space", keys=SHIFT)
    key(pointed, "Escape")
    assert pointed.session.pointer.mode == "brush"
    key(pointed, "Escape")
    assert pointed.session.pointer.mode == "select"
    assert pointed.session.cursor.place is not None
    key(pointed, "Escape")
    assert pointed.session.cursor.place is None
    assert pointed.session.cell_count() == 2


def test_cells_are_selected_and_deleted(pointed: Window) -> None:
    document = pointed.session.document
    walk(pointed, 50, 30)
    press(pointed, "Space")
    assert document.selection == {1}
    walk(pointed, 50, 50)
    press(pointed, "Space", keys=CONTROL | SHIFT)
    assert document.selection == {1, 2}
    press(pointed, "Space", keys=CONTROL)
    assert document.labels.ids.tolist() == [1]


def test_the_brush_paints_from_space_to_space_and_changes_its_size(pointed: Window) -> None:
    key(pointed, "P")
    before = pointed.session.view.brush
    walk(pointed, 50, 30)
    press(pointed, "Up", keys=CONTROL)
    assert pointed.session.view.brush == before + 2
    area = (pointed.session.document.labels.planes[0] == 1).sum()
    press(pointed, "Space")
    walk(pointed, 50, 8)
    press(pointed, "Space")
    labels = pointed.session.document.labels.planes[0]
    assert (labels[50, 8:20] == 1).all()
    assert (labels == 1).sum() > area + 12 * 3


def test_a_cell_is_split_by_a_line_that_enter_ends(pointed: Window) -> None:
    key(pointed, "K")
    walk(pointed, 36, 30)
    press(pointed, "Space")
    walk(pointed, 64, 30)
    press(pointed, "Enter")
    assert pointed.session.cell_count() == 3


def test_several_cells_are_chosen_by_a_box_and_deleted_together(pointed: Window) -> None:
    key(pointed, "V")
    walk(pointed, 30, 10)
    press(pointed, "Space")
    walk(pointed, 70, 70)
    press(pointed, "Space")
    assert pointed.session.document.selection == {1, 2}
    key(pointed, "Delete")
    assert pointed.session.cell_count() == 0


def test_another_image_has_the_cursor_inside(pointed: Window) -> None:
    walk(pointed, 110, 110)
    pointed.session.open_array(np.zeros((1, 1, 20, 30), np.uint8))
    y, x = pointed.session.cursor.place
    assert y < 20
    assert x < 30


def typed_into_dialog(text: str) -> None:
    """Type a file into the dialog that is open, and press Enter."""
    dialog = QApplication.activeModalWidget()
    line = dialog.findChild(QLineEdit)
    QTest.keyClicks(line, text)
    QTest.keyClick(line, Qt.Key.Key_Return)


def test_a_whole_job_without_a_mouse(window: Window, qtbot: object, tmp_path: Path) -> None:
    """Open, segment, draw, select, delete, save, export: by keys alone, those of the dialog for files too."""
    image, path = np.full((96, 96), 20, np.uint8), tmp_path / "cells.png"
    for y, x in ((20, 20), (20, 70), (70, 20)):
        cv2.circle(image, (x, y), 9, 170, -1)
    noise = np.random.default_rng(0).normal(0, 3, image.shape)
    cv2.imwrite(str(path), (cv2.GaussianBlur(image, (0, 0), 2) + noise).clip(0, 255).astype(np.uint8))
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    QTimer.singleShot(200, lambda: typed_into_dialog(str(path)))
    key(window, "L", CONTROL)
    until_open(window)
    assert window.session.document.path == path
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    choose(window.panel.segmentation.model, "nuclei-cells")
    write_in(window.panel.segmentation.diameter, "18")
    window.scene.setFocus()
    press(window, "Return", keys=SHIFT)
    assert window.session.segmentation.is_running
    until_idle(window, qtbot)
    n = window.session.cell_count()
    assert n == 3
    key(window, "Q")
    walk(window, 60, 60)
    press(window, "Space", keys=SHIFT)
    for corner in ((60, 80), (80, 80), (80, 60)):
        walk(window, *corner)
        press(window, "Space")
    press(window, "Return")
    assert window.session.cell_count() == n + 1
    walk(window, 20, 20)
    press(window, "Space")
    key(window, "Delete")
    assert window.session.cell_count() == n
    key(window, "S", CONTROL)
    key(window, "N", CONTROL)
    until_idle(window, qtbot)
    assert np.unique(cv2.imread(str(tmp_path / "cells_cp_masks.png"), cv2.IMREAD_UNCHANGED)).size == n + 1
    assert (tmp_path / "cells_seg.npy").is_file()
