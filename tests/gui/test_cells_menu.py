"""The Cells menu: what is selected, and what is done to it, by keys, entries and the mouse."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from cellpose.gui.controllers.commands import When
from cellpose.gui.views._window import Window
from hand import Answers, Modifier, click, drag, entry, key, menu

SHIFT, CTRL = Modifier.ShiftModifier, Modifier.ControlModifier


def areas(window: Window) -> dict[int, int]:
    labels = window.session.document.labels
    return {int(cell): int(labels.table["area"][cell]) for cell in labels.ids}


def test_all_none_and_the_others(filled: Window) -> None:
    document = filled.session.document
    key(filled, "A", CTRL)
    assert document.selection == {1, 2}
    key(filled, "A", CTRL | SHIFT)
    assert document.selection == frozenset()
    click(filled, 50, 30)
    key(filled, "I", CTRL)
    assert document.selection == {2}


def test_grow_and_shrink_the_selected_cell_alone(filled: Window) -> None:
    click(filled, 50, 30)
    key(filled, "BracketRight")
    assert areas(filled) == {1: 22 * 21 + 2, 2: 400}, "it takes background only"
    key(filled, "BracketLeft")
    assert areas(filled)[1] < 464
    filled.session.undo()
    filled.session.undo()
    assert areas(filled) == {1: 400, 2: 400}


def test_holes_are_filled_and_outlines_made_smoother(window: Window) -> None:
    labels = np.zeros((60, 60), np.int32)
    labels[10:40, 10:40] = 1
    labels[20:24, 20:24] = 0
    window.session.open_array(np.zeros((1, 1, 60, 60), np.uint8), labels)
    click(window, 15, 15)
    key(window, "F", SHIFT)
    assert areas(window) == {1: 900}
    key(window, "F", SHIFT)
    assert window.statusBar().currentMessage() == "fill holes: nothing to change"
    key(window, "S", SHIFT)
    assert 850 < areas(window)[1] < 900, "the corners are round"


def test_another_number(filled: Window) -> None:
    click(filled, 50, 30)
    filled.session.dialogs = answers = Answers(number=7)
    key(filled, "N", SHIFT)
    (asked,) = answers.asked
    assert asked.startswith("Number of the cell that is 1 now")
    assert "files number the cells 1, 2, 3" in asked
    assert areas(filled) == {2: 400, 7: 400}
    assert filled.session.document.selection == {7}
    filled.session.dialogs = Answers(number=2)
    key(filled, "N", SHIFT)
    assert "number 2 is not free" in filled.statusBar().currentMessage()
    filled.session.undo()
    assert areas(filled) == {1: 400, 2: 400}


def test_merge_the_selected_cells(filled: Window) -> None:
    key(filled, "J", SHIFT)
    assert filled.statusBar().currentMessage().endswith("select at least two cells first")
    key(filled, "A", CTRL)
    key(filled, "J", SHIFT)
    assert areas(filled) == {1: 800}
    key(filled, "Z", CTRL)
    assert areas(filled) == {1: 400, 2: 400}


def test_merge_by_a_box(filled: Window) -> None:
    key(filled, "J")
    drag(filled, (45, 35), (50, 38), (55, 39))
    assert areas(filled) == {1: 400, 2: 400}
    assert "touches 1 cell;" in filled.statusBar().currentMessage()
    drag(filled, (45, 35), (50, 41), (55, 45))
    assert areas(filled) == {1: 800}
    assert filled.session.document.selection == {1}
    key(filled, "J")
    assert filled.session.pointer.tool == "select"


@pytest.mark.parametrize("leave", ["Escape", "Ctrl+Z", "another image"])
def test_an_unfinished_box_merges_nothing(filled: Window, leave: str) -> None:
    key(filled, "J")
    document, viewport = filled.session.document, filled.scene.viewport()
    drag_from = filled.scene.mapFromScene(filled.scene.box.mapViewToScene(filled.scene.box.viewRect().center()))
    QTest.mousePress(viewport, Qt.MouseButton.LeftButton, Modifier.NoModifier, drag_from)
    assert filled.session.pointer.mode == "drawing"
    if leave == "another image":
        filled.session.open_array(np.zeros((1, 1, 60, 60), np.uint8))
    else:
        key(filled, leave[-1] if leave != "Escape" else leave, CTRL if leave == "Ctrl+Z" else Modifier.NoModifier)
    QTest.mouseRelease(viewport, Qt.MouseButton.LeftButton, Modifier.NoModifier, drag_from)
    assert document.labels.count == 2
    assert len(document.history) == 0


def test_entries_tell_what_is_missing(window: Window) -> None:
    texts = ("Select all cells", "Fill holes", "Merge the selected cells", "Merge cells by a box")
    assert not any(entry(window, "Cells", text).isEnabled() for text in texts)
    for command in window.commands:
        if not command.obstacle():
            continue
        assert isinstance(command.enabled, When), command.id
        assert command.obstacle() != "this cannot be used now", command.id
    menu(window, "Cells").aboutToHide.emit()
    key(window, "F", SHIFT)
    assert window.statusBar().currentMessage() == "Fill holes: open an image first"
