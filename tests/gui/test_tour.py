"""The tour: four steps beside real controls, once, by mouse and by keys, in nobody's way."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from cellpose.gui.controllers._tour import STEPS
from cellpose.gui.model import Flows
from cellpose.gui.views._window import Window
from hand import click, entry, key, press

Keys = Qt.Key


@pytest.fixture
def toured(window: Window, qtbot: object) -> Window:
    """An empty window at its first start."""
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    window.session.tour.begin_once()
    return window


def test_it_begins_once_and_again_by_the_menu(toured: Window) -> None:
    assert toured.tour.isVisible()
    assert toured.tour.title.text() == STEPS[0].title
    toured.session.tour.end()
    assert not toured.tour.isVisible()
    toured.session.tour.begin_once()
    assert not toured.tour.isVisible()
    entry(toured, "Help", "Tour").trigger()
    assert toured.tour.isVisible()


def test_a_window_that_is_made_by_a_script_has_no_tour(window: Window) -> None:
    assert not window.tour.isVisible()


def test_the_program_begins_it_at_the_first_start_alone(qapp: object, monkeypatch: pytest.MonkeyPatch) -> None:
    from cellpose.gui import gui

    seen: list[bool] = []

    def leave(*_: object) -> int:
        (window,) = [each for each in QApplication.topLevelWidgets() if isinstance(each, Window) and each.isVisible()]
        seen.append(window.tour.isVisible())
        window.close()
        return 0

    monkeypatch.setattr(QApplication, "exec", leave)
    monkeypatch.setattr("cellpose.gui.views._warming.warm_soon", lambda: None)
    gui.run()
    gui.run()
    assert seen == [True, False]


def test_the_program_takes_every_move_of_the_mouse(qapp: QApplication, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where Qt drops moves while the window is busy, as it does on X11: a stroke would lose its points."""
    from cellpose.gui import gui

    drops = Qt.ApplicationAttribute.AA_CompressHighFrequencyEvents
    monkeypatch.setattr(QApplication, "exec", lambda *_: [each.close() for each in QApplication.topLevelWidgets()])
    monkeypatch.setattr("cellpose.gui.views._warming.warm_soon", lambda: None)
    before = qapp.testAttribute(drops)
    try:
        qapp.setAttribute(drops, True)
        gui.run()
        assert not qapp.testAttribute(drops)
    finally:
        qapp.setAttribute(drops, before)


def test_steps_point_at_the_controls_and_stay_in_the_window(toured: Window) -> None:
    parts = []
    for number in range(len(STEPS)):
        assert toured.tour.count.text() == f"{number + 1} of {len(STEPS)}"
        assert toured.rect().contains(toured.tour.geometry()), number
        parts.append(toured.tour._part)
        outline = toured.tour.outline.geometry()
        assert outline.intersects(toured.rect())
        press(toured.tour.next)
    assert parts == [toured.welcome, toured.panel.segmentation.run, toured.scene, toured.folder]
    assert not toured.tour.isVisible()
    assert not toured.tour.outline.isVisible()


def test_it_is_gone_through_and_left_by_keys(toured: Window) -> None:
    assert toured.tour.next.hasFocus()
    QTest.keyClick(toured.tour.next, Keys.Key_Return)
    assert toured.session.tour.place == 1
    QTest.keyClick(QApplication.focusWidget(), Keys.Key_Space)
    assert toured.session.tour.place == 2
    assert toured.tour.next.hasFocus()
    QTest.keyClick(toured.tour.next, Keys.Key_Escape)
    assert not toured.tour.isVisible()
    assert toured.scene.hasFocus()


def test_escape_ends_it_from_anywhere_but_first_what_is_unfinished(toured: Window) -> None:
    toured.session.open_array(np.zeros((1, 1, 60, 60), np.uint8))
    toured.scene.setFocus()
    key(toured, "P")
    key(toured, "Escape")
    assert toured.session.pointer.tool == "select"
    assert toured.tour.isVisible()
    key(toured, "Escape")
    assert not toured.tour.isVisible()


def test_it_goes_on_when_the_user_does_what_it_says(toured: Window) -> None:
    document = toured.session.open_array(np.zeros((1, 1, 60, 60), np.uint8))
    assert toured.session.tour.place == 1
    plane = np.zeros((60, 60), np.float32)
    document.flows = Flows(np.zeros((1, 60, 60, 3), np.uint8), np.stack([plane, plane]), plane)
    assert toured.session.tour.place == 2
    press(toured.tour.back)
    assert toured.session.tour.place == 1


def test_the_image_can_be_used_meanwhile_and_the_bubble_follows_the_window(filled: Window) -> None:
    filled.session.tour.begin()
    assert filled.session.tour.place == 1, "an image is open"
    click(filled, 50, 30)
    assert filled.session.document.selection == {1}
    filled.resize(700, 600)
    QApplication.processEvents()
    assert filled.rect().contains(filled.tour.geometry())
