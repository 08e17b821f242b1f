"""Deleting several cells at once: by clicks, by the yellow rectangle."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from cellpose.gui.model import LabelStore
from cellpose.gui.model._regions import cells_touched
from cellpose.gui.views._window import Window
from hand import Modifier, click, drag, key

SIDE = 120
SHIFT, CONTROL = Modifier.ShiftModifier, Modifier.ControlModifier


def test_clicked_cells_are_removed_together_and_come_back_together(many: Window) -> None:
    drawing = many.panel.drawing
    assert not drawing.done.isEnabled()
    drawing.click.click()
    for y, x in ((15, 15), (15, 45), (45, 15), (15, 45)):
        click(many, y, x)
    assert many.session.document.selection == {1, 5}, "the second click on a cell leaves it"
    drawing.done.click()
    assert sorted(set(range(1, 17)) - set(many.session.document.labels.ids.tolist())) == [1, 5]
    assert many.session.pointer.mode == "select"
    key(many, "Z", Modifier.ControlModifier)
    assert many.session.cell_count() == 16


def test_the_rectangle_takes_what_it_touches_also_when_it_is_moved(many: Window) -> None:
    many.panel.drawing.region.click()
    region = many.region
    assert region.isVisible()
    assert region.size()[0] == pytest.approx(many.scene.box.viewRect().width() / 2)
    first = many.session.document.selection
    assert first >= {6, 7, 10, 11}
    region.setPos((0, 0))
    region.setSize((30, 120))
    assert many.session.document.selection == {1, 5, 9, 13}
    drag(many, (60, 15), (60, 30), (60, 43))
    assert many.session.document.selection == {2, 6, 10, 14}
    drag(many, (119.5, 58), (90, 70), (62, 100))
    assert many.session.document.selection >= {2, 3, 6, 7}
    assert not many.session.document.selection & {13, 14, 15, 16}
    key(many, "Return")
    assert not region.isVisible()
    assert many.session.cell_count() < 16


def arrow(window: Window, name: str, times: int = 1, keys: Modifier = Modifier.NoModifier) -> None:
    """Press an arrow key for what has the focus."""
    for _ in range(times):
        QTest.keyClick(QApplication.focusWidget(), getattr(Qt.Key, f"Key_{name}"), keys)


@pytest.fixture
def chosen_by_keys(many: Window, qtbot: object) -> Window:
    """The window with the rectangle, brought by the keyboard alone."""
    many.activateWindow()
    qtbot.waitUntil(many.isActiveWindow)
    many.panel.drawing.region.setFocus()
    QTest.keyClick(many.panel.drawing.region, Qt.Key.Key_Space)
    assert many.region.isVisible()
    assert many.scene.hasFocus()
    return many


def test_the_arrow_keys_move_the_rectangle_and_change_its_size(chosen_by_keys: Window) -> None:
    window, removal, color = chosen_by_keys, chosen_by_keys.session.pointer.removal, chosen_by_keys.session.view.color
    y0, x0, y1, x1 = removal.region
    arrow(window, "Left", 2)
    arrow(window, "Down")
    step = removal.region[0] - y0
    assert step >= 1
    assert removal.region == (y0 + step, x0 - 2 * step, y1 + step, x1 - 2 * step)
    arrow(window, "Up", keys=SHIFT)
    assert removal.region[0] == y0 + step - 10 * step
    before = removal.region
    arrow(window, "Right", keys=CONTROL)
    arrow(window, "Up", 3, CONTROL)
    assert removal.region == (*before[:2], before[2] - 3 * step, before[3] + step)
    assert tuple(window.region.size()) == pytest.approx(
        (before[3] + step - before[1], before[2] - 3 * step - before[0])
    )
    assert window.session.view.color == color, "the arrows are no commands meanwhile"


def test_the_rectangle_stays_at_the_image_and_keeps_a_size(chosen_by_keys: Window) -> None:
    window, removal = chosen_by_keys, chosen_by_keys.session.pointer.removal
    arrow(window, "Right", 40, SHIFT)
    arrow(window, "Down", 40, SHIFT)
    assert removal.region[:2] == (SIDE - 1, SIDE - 1)
    arrow(window, "Up", 40, SHIFT)
    arrow(window, "Left", 40, SHIFT)
    assert removal.region[2:] == (1, 1)
    arrow(window, "Up", 40, SHIFT | CONTROL)
    y0, _, y1, _ = removal.region
    assert y1 - y0 == 1
    arrow(window, "Down", 40, SHIFT | CONTROL)
    assert removal.region[2] == SIDE


def test_cells_are_deleted_by_the_rectangle_without_a_mouse(chosen_by_keys: Window) -> None:
    window, removal = chosen_by_keys, chosen_by_keys.session.pointer.removal
    assert "arrow keys" in window.status.message.text()
    arrow(window, "Left", 20, SHIFT)
    arrow(window, "Up", 20, SHIFT)
    arrow(window, "Down", 20, CONTROL | SHIFT)
    for _ in range(30):
        if removal.region[3] < 20:
            arrow(window, "Right", keys=CONTROL)
    assert window.session.document.selection == {1, 5, 9, 13}
    QTest.keyClick(QApplication.focusWidget(), Qt.Key.Key_Return)
    assert window.session.cell_count() == 12
    assert not window.region.isVisible()
    color = window.session.view.color
    arrow(window, "Down")
    assert window.session.view.color != color, "the arrows are commands again"


def test_the_rectangle_stays_in_view(chosen_by_keys: Window) -> None:
    window = chosen_by_keys
    for _ in range(6):
        key(window, "Equal")
    arrow(window, "Right", 20, SHIFT)
    y0, x0, y1, x1 = window.session.pointer.removal.region
    (left, right), (top, bottom) = window.scene.box.viewRange()
    assert left < (x0 + x1) / 2 < right
    assert top < (y0 + y1) / 2 < bottom


def test_the_keyboard_cursor_takes_the_arrow_keys_to_click_cells(chosen_by_keys: Window) -> None:
    window, region = chosen_by_keys, chosen_by_keys.session.pointer.removal.region
    key(window, "Q")
    arrow(window, "Left", 3)
    assert window.session.pointer.removal.region == region
    key(window, "Q")
    arrow(window, "Left", 3)
    assert window.session.pointer.removal.region != region
    key(window, "Q")
    next(each for each in window.commands if each.id == "edit.remove_region").trigger()
    assert window.session.cursor.place is None, "the arrow keys move the rectangle that was asked for"
    key(window, "Escape")
    assert not window.region.isVisible()
    assert window.session.cell_count() == 16


def test_the_status_bar_says_how_to_choose(many: Window) -> None:
    said = []
    for how in ("click", "lasso", "region"):
        next(each for each in many.commands if each.id == f"edit.remove_{how}").trigger()
        said.append(many.status.message.text())
    assert [words.split(":")[0] for words in said] == [
        "click", "drag a line around cells, or click them; Enter", "arrow keys or drag",
    ]  # fmt: skip


@pytest.mark.parametrize("how", ["button", "Escape"])
def test_cancel_keeps_all(many: Window, how: str) -> None:
    many.panel.drawing.region.click()
    click(many, 15, 15)
    many.panel.drawing.cancel.click() if how == "button" else key(many, "Escape")
    assert many.session.cell_count() == 16
    assert many.session.document.selection == set()
    assert not many.region.isVisible()
    assert many.session.pointer.mode == "select"


def test_nothing_is_run_opened_saved_or_drawn_meanwhile(many: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    many.panel.drawing.click.click()
    assert not many.panel.segmentation.run.isEnabled()
    monkeypatch.setattr(many.session.jobs, "start", lambda *_: pytest.fail("something was started"))
    key(many, "S", Modifier.ControlModifier)
    key(many, "Return", Modifier.ShiftModifier)
    click(many, 60, 60, "RightButton")
    assert many.session.pointer.mode == "remove"
    document = many.session.document
    key(many, "Right")
    assert many.session.document is document
    many.panel.drawing.cancel.click()
    assert many.panel.segmentation.run.isEnabled()


def test_another_image_ends_it(many: Window) -> None:
    many.panel.drawing.region.click()
    many.session.open_array(np.zeros((1, 1, SIDE, SIDE), np.uint8))
    assert many.session.pointer.mode == "select"
    assert not many.region.isVisible()


def test_cells_touched_are_those_with_a_pixel_inside() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 30, (12, 12)).astype(np.int32).repeat(5, axis=0).repeat(5, axis=1)
    store = LabelStore(labels)
    for _ in range(50):
        y0, x0 = rng.uniform(-5, 60, 2)
        y1, x1 = y0 + rng.uniform(0, 40), x0 + rng.uniform(0, 40)
        rows, columns = slice(max(0, int(y0 // 1)), int(-(-y1 // 1))), slice(max(0, int(x0 // 1)), int(-(-x1 // 1)))
        inside = set(np.unique(store.planes[0, rows, columns]).tolist()) - {0} if y1 > 0 and x1 > 0 else set()
        assert cells_touched(store, 0, (y0, x0, y1, x1)) == inside
