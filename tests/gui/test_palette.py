"""The sheet of keys, the palette of commands, and keys that the user changes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QLabel, QMessageBox, QWidget

from cellpose.gui.controllers._keymap import KeyMap
from cellpose.gui.model._preferences import Preferences
from cellpose.gui.views._key_dialog import KeyDialog
from cellpose.gui.views._key_sheet import KeySheet
from cellpose.gui.views._palette import Palette
from cellpose.gui.views._window import Window
from hand import Modifier, entry, key, menu

CTRL, SHIFT = Modifier.ControlModifier, Modifier.ShiftModifier


def shown(kind: type) -> QWidget:
    """The one dialog of a kind that is open, active now."""
    (found,) = [widget for widget in QApplication.topLevelWidgets() if isinstance(widget, kind) and widget.isVisible()]
    activate(found)
    return found


def activate(widget: QWidget) -> None:
    """Give a window the keys (one above its parent is told to be active before it is)."""
    widget.activateWindow()
    for _ in range(500):
        if QApplication.activeWindow() is widget:
            return
        QTest.qWait(10)
    pytest.fail("the window did not become active")


def leave(dialog: QWidget, window: Window) -> None:
    """Close a dialog; the window has the keys again."""
    dialog.close()
    activate(window)


def texts(widget: QWidget) -> list[str]:
    return [label.text() for label in widget.findChildren(QLabel) if label.isVisible()]


def keys_file(home: Path) -> dict[str, list[str]]:
    return json.loads((home / ".cellpose" / "window.json").read_text())["keys"]


@pytest.fixture
def dialog(filled: Window) -> KeyDialog:
    entry(filled, "Help", "Change keys…").trigger()
    menu(filled, "Help").aboutToHide.emit()
    return shown(KeyDialog)


def type_key(dialog: KeyDialog, query: str, name: str, keys: Modifier = Modifier.NoModifier) -> None:
    dialog.search.setText(query)
    dialog.edit.setFocus()
    QTest.keyClick(dialog.edit, getattr(Qt.Key, f"Key_{name}"), keys)


# --- the sheet ---


def test_the_sheet_has_every_key_and_every_rule_of_the_mouse(filled: Window) -> None:
    key(filled, "Question")
    sheet = shown(KeySheet)
    seen = texts(sheet)
    for command in filled.commands:
        if command.keys:
            assert command.title.removesuffix("…") in seen, command.id
    for words in (
        "Ctrl+Shift+P",
        "PgDown",
        "Shift+Enter",
        "Alt+click",
        "Drag a line across the cell that should be several",
    ):
        assert words in seen
    assert "Shift+Return" not in seen, "Enter and Return are one key to the reader"
    key(sheet, "Escape")


def test_searching_the_sheet(filled: Window) -> None:
    key(filled, "Question")
    sheet = shown(KeySheet)
    QTest.keyClicks(sheet.search, "cells merge")
    seen = texts(sheet)
    assert "Merge the selected cells" in seen
    assert "Fill holes" not in seen
    assert "File" not in seen, "groups without a row are hidden"
    sheet.search.setText("no such words")
    assert texts(sheet) == ["No key and no command has these words."]
    sheet.close()


# --- the palette ---


def test_a_command_by_the_keyboard_alone(filled: Window) -> None:
    filled.session.document.select([1])
    key(filled, "P", CTRL | SHIFT)
    palette = shown(Palette)
    QTest.keyClicks(palette.search, "inv sel")
    QTest.keyClick(palette.search, Qt.Key.Key_Return)
    assert filled.session.document.selection == {2}
    assert not [each for each in QApplication.topLevelWidgets() if isinstance(each, Palette) and each.isVisible()]


def test_the_list_is_walked_and_left(filled: Window) -> None:
    key(filled, "P", CTRL | SHIFT)
    palette = shown(Palette)
    QTest.keyClicks(palette.search, "next")
    first = palette.list.currentIndex().data()
    QTest.keyClick(palette.search, Qt.Key.Key_Down)
    assert palette.list.currentIndex().data() != first
    QTest.keyClick(palette.search, Qt.Key.Key_Up)
    assert palette.list.currentIndex().data() == first
    QTest.keyClick(palette.search, Qt.Key.Key_Escape)
    assert not palette.isVisible()
    assert filled.session.view.color == "gray", "nothing was run"


def test_what_cannot_be_used_says_why_and_is_not_run(filled: Window) -> None:
    key(filled, "P", CTRL | SHIFT)
    palette = shown(Palette)
    palette.search.setText("fill holes")
    index = palette.list.currentIndex()
    assert index.data() == "Fill holes"
    assert index.data(Qt.ItemDataRole.UserRole + 3) == "select a cell first: click on it"
    QTest.keyClick(palette.search, Qt.Key.Key_Return)
    assert palette.isVisible()
    assert len(filled.session.document.history) == 0
    assert not palette.grab().isNull(), "drawing greyed rows works"
    palette.close()


def test_the_words_of_a_submenu_find_what_is_in_it_and_nothing_says_so(filled: Window) -> None:
    key(filled, "P", CTRL | SHIFT)
    palette = shown(Palette)
    palette.search.setText("export csv")
    assert "CSV" in palette.list.currentIndex().data().upper()
    palette.search.setText("zzzz")
    assert palette.list.model().index(0, 0).data() == "No command has these words."
    assert not palette.grab().isNull()
    QTest.keyClick(palette.search, Qt.Key.Key_Return)
    assert palette.isVisible()
    palette.close()


def test_a_click_runs(filled: Window) -> None:
    key(filled, "P", CTRL | SHIFT)
    palette = shown(Palette)
    palette.search.setText("select all")
    spot = palette.list.visualRect(palette.list.currentIndex()).center()
    QTest.mouseClick(palette.list.viewport(), Qt.MouseButton.LeftButton, Modifier.NoModifier, spot)
    assert filled.session.document.selection == {1, 2}


# --- other keys ---


def test_another_key_holds_at_once_everywhere_and_after_a_new_start(
    filled: Window, dialog: KeyDialog, home: Path, qtbot: object
) -> None:
    type_key(dialog, "select all", "U", CTRL)
    dialog.assign.click()
    leave(dialog, filled)
    key(filled, "A", CTRL)
    assert not filled.session.document.selection
    key(filled, "U", CTRL)
    assert filled.session.document.selection == {1, 2}
    assert entry(filled, "Cells", "Select all cells").shortcut().toString() == "Ctrl+U"
    key(filled, "Question")
    assert "Ctrl+U" in texts(shown(KeySheet))
    leave(shown(KeySheet), filled)
    key(filled, "P", CTRL | SHIFT)
    shown(Palette).search.setText("select all")
    assert shown(Palette).list.currentIndex().data(Qt.ItemDataRole.UserRole + 2) == ("Ctrl+U",)
    leave(shown(Palette), filled)
    assert keys_file(home) == {"cells.select_all": ["Ctrl+U"]}
    again = Window()
    qtbot.addWidget(again)
    assert entry(again, "Cells", "Select all cells").shortcut().toString() == "Ctrl+U"
    again.close()


def test_a_conflict_is_told_and_the_key_goes_over(filled: Window, dialog: KeyDialog, home: Path) -> None:
    type_key(dialog, "fill holes", "A", CTRL)
    assert "“Select all cells” (Cells)" in dialog.conflict.text()
    dialog.assign.click()
    assert dialog.conflict.text() == ""
    assert keys_file(home) == {"cells.select_all": [], "cells.fill": ["Ctrl+A"]}
    dialog.search.setText("select all")
    dialog.reset.click()
    assert keys_file(home) == {"cells.fill": []}, "the key goes back"
    leave(dialog, filled)


def test_one_key_more_none_and_all_as_at_first(
    filled: Window, dialog: KeyDialog, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    type_key(dialog, "grow", "F7")
    dialog.also.click()
    assert keys_file(home) == {"cells.grow": ["]", "F7"]}
    dialog.none.click()
    assert keys_file(home) == {"cells.grow": []}
    assert entry(filled, "Cells", "Grow by a pixel").shortcut().toString() == ""
    menu(filled, "Cells").aboutToHide.emit()
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.Yes)
    dialog.reset_all.click()
    assert keys_file(home) == {}
    leave(dialog, filled)
    filled.session.document.select([1])
    key(filled, "BracketRight")
    assert len(filled.session.document.history) == 1


def test_settings_that_cannot_be_read_or_written_stop_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "window.json"
    for content in (b"", b"\xff{", b"[]", b'{"keys": {"cells.grow": "x", "edit.undo": [1]}}', b'{"keys": []}'):
        path.write_bytes(content)
        keys = KeyMap(Preferences(path))
        assert not keys._own
    folder = tmp_path / "file" / "window.json"
    folder.parent.write_text("")
    Preferences(folder).put("keys", {"a": 1})
    assert "not kept" in caplog.text
    preferences = Preferences(path)
    preferences.put("one", {"a": 1})
    Preferences(path).put("two", {"b": np.pi})
    assert preferences.section("one") == {"a": 1}
    assert not list(tmp_path.glob(".cellpose*"))
