"""The pages of help: each is there and can be searched, links lead on, and F1 opens what belongs to the focus."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import Qt, QUrl
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDialog, QTabBar, QWidget

import cellpose
import cellpose.gui.views
from cellpose.gui.model import _help_pages as pages
from cellpose.gui.views._help_places import PLACES, place_of
from cellpose.gui.views._help_window import HelpWindow
from cellpose.gui.views._window import Window
from cellpose.gui.views.panels._names import controls_of
from hand import Modifier, key

ROOT = Path(cellpose.__file__).parents[2]


@pytest.fixture
def help_window(qtbot: object) -> HelpWindow:
    made = HelpWindow()
    qtbot.addWidget(made)
    made.show_place("window")
    with qtbot.waitActive(made):
        made.show()
        made.activateWindow()
    return made


def opened(kind: type[QDialog] = HelpWindow) -> QDialog:
    (found,) = [each for each in QApplication.topLevelWidgets() if isinstance(each, kind) and each.isVisible()]
    return found


# --- the pages ---


@pytest.mark.parametrize("name", pages.PAGES)
def test_each_page_has_a_title_and_links_that_lead_to_something(name: str) -> None:
    text = pages.page(name)
    assert pages.titles()[name]
    assert "<img" not in text
    for link in re.findall(r'href="([^"]+)"', text):
        if link.startswith("http"):
            continue
        target, _, anchor = link.partition("#")
        there = target.removesuffix(".html") or name
        assert there in pages.PAGES
        assert not anchor or anchor in {section.anchor for section in pages.sections(there)}, link


def test_sections_are_found_by_words_those_with_the_word_in_the_heading_first() -> None:
    found = pages.find("keys")
    assert (found[0].page, found[0].anchor) == ("window", "keys")
    assert all("keys" in f"{each.title} {each.text}".casefold() for each in found)
    assert pages.find("") == []
    assert not any("<" in section.title for name in pages.PAGES for section in pages.sections(name))


def test_the_wheel_carries_these_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package has the pages itself, no clone is needed."""
    listed = re.findall(
        r'"docs/(\w+)\.md" = "cellpose/gui/help/(\w+)\.md"', (ROOT / "pyproject.toml").read_text("utf-8")
    )
    assert listed == [(name, name) for name in pages.PAGES]
    (tmp_path / "help").mkdir()
    (tmp_path / "help" / "track.md").write_text("# From the package", "utf-8")
    monkeypatch.setattr(pages.resources, "files", lambda _: tmp_path)
    assert pages._source("track") == "# From the package"


# --- the window of help ---


def test_a_link_leads_to_another_page_and_back(help_window: HelpWindow) -> None:
    browser = help_window.browser
    assert "The window" in browser.toPlainText()[:40]
    browser.anchorClicked.emit(QUrl("models.html#where-it-fails"))
    assert browser.source().toString() == "help:/models.html#where-it-fails"
    assert browser.toPlainText().startswith(pages.titles()["models"])
    assert browser.verticalScrollBar().value() > 0, "the section is in view"
    assert help_window.list.currentItem().text() == pages.titles()["models"]
    QTest.mouseClick(help_window.back, Qt.MouseButton.LeftButton)
    assert browser.source().fileName() == "window.html"


def test_a_link_to_the_web_opens_the_browser(help_window: HelpWindow, monkeypatch: pytest.MonkeyPatch) -> None:
    went = []
    monkeypatch.setattr("cellpose.gui.views._help_window.QDesktopServices.openUrl", went.append)
    help_window.browser.anchorClicked.emit(QUrl("https://napari.org"))
    assert [each.toString() for each in went] == ["https://napari.org"]
    assert help_window.browser.source().fileName() == "window.html"


def test_a_section_is_found_by_keys_alone(help_window: HelpWindow, qtbot: object) -> None:
    help_window.search.setFocus()
    QTest.keyClicks(help_window.search, "anisotropy")
    assert help_window.list.count() == len(pages.find("anisotropy")) > 1
    QTest.keyClick(help_window.search, Qt.Key.Key_Return)
    first = pages.find("anisotropy")[0]
    assert help_window.browser.source().toString() == f"help:/{first.page}.html#{first.anchor}"
    assert help_window.browser.textCursor().selectedText().casefold() == "anisotropy"
    help_window.show()
    help_window.activateWindow()
    qtbot.waitActive(help_window)
    help_window.browser.setFocus()
    QTest.keyClick(help_window.browser, Qt.Key.Key_F, Qt.KeyboardModifier.ControlModifier)
    assert help_window.search.hasFocus()
    QTest.keyClick(help_window.search, Qt.Key.Key_Down)
    assert help_window.list.hasFocus()
    help_window.search.clear()
    assert help_window.list.count() == len(pages.PAGES)
    QTest.keyClicks(help_window.search, "zzzz nothing")
    assert help_window.list.item(0).text() == "No section has these words."


# --- which page ---


def test_each_place_is_a_section_and_belongs_to_something_that_is_there() -> None:
    modules = [info.name for info in pkgutil.walk_packages(cellpose.gui.views.__path__, "cellpose.gui.views.")]
    classes = {name for module in modules for name in vars(importlib.import_module(module))}
    assert set(PLACES) <= classes
    for place in PLACES.values():
        page, _, anchor = place.partition("#")
        assert not anchor or anchor in {section.anchor for section in pages.sections(page)}, place


def test_f1_opens_the_page_for_what_has_the_focus(filled: Window, qtbot: object) -> None:
    filled.activateWindow()
    qtbot.waitUntil(filled.isActiveWindow)
    panel = filled.panel
    parts: dict[str, QWidget] = {
        "window#correct": filled.scene,
        "window#look": panel.views.color,
        "window#the-settings": panel.segmentation.run,
        "window#restore-and-filter": panel.filtering.filter,
        "window#classes-and-regions": filled.cells.names[0],
    }
    for place, widget in parts.items():
        filled.activateWindow()
        qtbot.waitUntil(filled.isActiveWindow)
        widget.setFocus()
        QTest.keyClick(widget, Qt.Key.Key_F1)
        page, _, anchor = place.partition("#")
        assert opened().browser.source().toString() == f"help:/{page}.html#{anchor}"
    assert place_of(None) == "window"
    opened().close()


def test_f1_helps_to_open_an_image_where_there_is_none(window: Window, qtbot: object) -> None:
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    assert window.scene.hasFocus()
    key(window, "F1")
    assert opened().browser.source().toString() == "help:/window.html#open-and-segment"
    opened().close()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    window.session.open_array(np.zeros((1, 1, 40, 40), np.uint8))
    window.scene.clearFocus()
    key(window, "F1")
    assert opened().browser.source().toString() == "help:/window.html#correct"
    opened().close()


def test_the_bar_of_planes_helps_with_movies_where_planes_are_frames(window: Window, qtbot: object) -> None:
    for movie, place in ((False, "window.html#volumes"), (True, "movies.html")):
        window.session.open_array(np.zeros((4, 1, 40, 40), np.uint8), axis="T" if movie else "Z")
        window.activateWindow()
        qtbot.waitUntil(window.isActiveWindow)
        window.planes.plane.setFocus()
        QTest.keyClick(window.planes.plane, Qt.Key.Key_F1)
        assert opened().browser.source().toString() == f"help:/{place}"
        opened().close()


def test_every_control_of_the_window_has_a_page(filled: Window) -> None:
    usable = [each for each in controls_of(filled) if not isinstance(each.parentWidget(), QTabBar)]
    assert len(usable) > 60
    without = [each for each in usable if place_of(each) == "window"]
    assert [(type(each).__name__, each.accessibleName() or each.text()) for each in without] == []


def test_f1_helps_in_a_dialog_that_holds_up_the_window(filled: Window, qtbot: object) -> None:
    from cellpose.gui.views._key_dialog import KeyDialog

    filled.session.dialogs.change_keys(filled.commands, filled.session.keys)
    dialog = opened(KeyDialog)
    qtbot.waitUntil(dialog.isActiveWindow)
    QTest.keyClick(dialog.search, Qt.Key.Key_F1)
    shown = opened()
    assert shown.parent() is dialog, "it can be read and closed while the dialog is open"
    assert shown.browser.source().toString() == "help:/window.html#keys"
    QTest.keyClick(shown, Qt.Key.Key_Escape)
    assert not shown.isVisible()
    dialog.close()


def test_ctrl_h_opens_help_in_the_same_window_again(filled: Window, qtbot: object) -> None:
    for _ in range(2):
        filled.activateWindow()
        qtbot.waitUntil(filled.isActiveWindow)
        key(filled, "H", Modifier.ControlModifier)
    assert opened().browser.source().toString() == "help:/window.html"
    opened().close()
