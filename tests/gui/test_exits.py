"""No tool traps the hand: whatever ends it, the pointer is clean afterwards, and nothing is done by halves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QWidget

from cellpose.gui.controllers.commands import Command
from cellpose.gui.model import Flows
from cellpose.gui.views._window import Window
from hand import Modifier, click, draw, hover, key, place

SIDE = 120
LEFT, NONE = Qt.MouseButton.LeftButton, Modifier.NoModifier
DRAGS = ("brush", "eraser", "cut", "lasso", "box", "merge_box")
PATH = [(50.0, 25.0), (50.0, 30.0), (52.0, 40.0), (54.0, 48.0)]  # over both cells


def press_and_move(window: Window, keys: Modifier = NONE) -> None:
    first, *others = [place(window, *point) for point in PATH]
    QTest.mousePress(window.scene.viewport(), LEFT, keys, first)
    for spot in others:
        QTest.mouseMove(window.scene.viewport(), spot)


def begin(window: Window, tool: str) -> None:
    """Stop in the middle of a gesture."""
    pointer = window.session.pointer
    if pointer.tool != "select":
        pointer.choose("select")
    if tool in ("outline", "outline_shift"):
        button, keys = ("RightButton", NONE) if tool == "outline" else ("LeftButton", Modifier.ShiftModifier)
        click(window, 80, 80, button, keys)
        for y, x in ((80, 85), (84, 90), (90, 95)):
            hover(window, y, x)
        assert pointer.mode == "drawing"
    elif tool == "click":
        pointer.choose("click")
        hover(window, 85, 85)
        assert window.scene.pixels.isVisible()
    elif tool.startswith("remove"):
        window.session.remove_by(tool.removeprefix("remove_"))
        press_and_move(window)
    else:
        if tool in DRAGS:
            pointer.choose(tool)
        press_and_move(window)
        assert pointer.mode == ("drawing" if tool in DRAGS else "select")


def other_window(window: Window, qtbot: object) -> None:
    other = QWidget()
    qtbot.addWidget(other)
    other.show()
    other.activateWindow()
    qtbot.waitUntil(lambda: not window.isActiveWindow(), timeout=5000)
    other.close()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow, timeout=5000)


def key_of(window: Window, tool: str) -> None:
    """The key that chooses a tool, and lays it down."""
    commands: list[Command] = [
        command for command in window.commands if command.id.endswith(f".tool_{tool}") or command.id == f"cells.{tool}"
    ]
    QTest.keySequence(window, QKeySequence(commands[0].keys[0]))


def result_arrives(window: Window, qtbot: object) -> None:
    runs = window.session.segmentation
    labels = np.zeros((SIDE, SIDE), np.int32)
    labels[80:100, 10:30], labels[45:55, 25:50] = 1, 2
    flows = [np.zeros((SIDE, SIDE, 3), np.uint8), np.zeros((2, SIDE, SIDE), np.float32), np.zeros((SIDE, SIDE))]

    class Model:
        model_name = "model"

        def eval(self, *_: object, **__: object) -> tuple[np.ndarray, list[np.ndarray], None]:
            return labels, flows, None

    runs._loaded = lambda *_: Model()
    runs.run()
    qtbot.waitUntil(lambda: not window.session.jobs.any, timeout=10_000)


# What ends a gesture, and whether an edit of it may be there afterwards.
EXITS: dict[str, tuple[Callable[[Window, object, str], object], bool]] = {
    "escape": (lambda window, _bot, _tool: key(window, "Escape"), False),
    "another window": (lambda window, bot, _tool: other_window(window, bot), False),
    "another tool": (lambda window, _bot, tool: key_of(window, "eraser" if tool == "brush" else "brush"), False),
    "the key of the tool": (lambda window, _bot, tool: key_of(window, tool if tool in DRAGS else "click"), False),
    "undo": (lambda window, _bot, _tool: key(window, "Z", Modifier.ControlModifier), False),
    "right click": (lambda window, _bot, _tool: click(window, 100, 100, "RightButton"), True),
    "a result": (lambda window, bot, _tool: result_arrives(window, bot), True),
    "another image": (lambda window, _bot, _tool: open_two_cells(window), False),
    "closing": (lambda window, _bot, _tool: window.close(), False),
}


def open_two_cells(window: Window) -> None:
    labels = np.zeros((SIDE, SIDE), np.int32)
    labels[40:60, 20:40], labels[40:60, 40:60] = 1, 2
    window.session.open_array(np.zeros((1, 1, SIDE, SIDE), np.uint8), labels)
    to_centre = np.stack(np.meshgrid(85 - np.arange(SIDE), 85 - np.arange(SIDE), indexing="ij")).astype(np.float32)
    away = np.hypot(*to_centre)
    logits = np.where(away < 12, 5.0, -9.0).astype(np.float32)
    window.session.document.flows = Flows(None, 5 * to_centre / np.maximum(away, 1), logits)


def goes_on(tool: str, exit_: str) -> bool:
    """Whether an outline is open afterwards: one that a result came upon, or one that a right click began."""
    return exit_ == ("a result" if "outline" in tool else "right click") and tool in (
        "outline",
        "outline_shift",
        "click",
        "select",
    )


def assert_clean(window: Window, exit_: str) -> None:
    session = window.session
    assert session.pointer.mode == session.pointer.tool, exit_
    assert not session.pointer._outline.is_busy, exit_
    assert not session.pointer._tool.is_busy, exit_
    ring = session.pointer.tool in ("brush", "eraser")  # it shows its size where the pointer is
    assert ring or not window.scene.stroke.isVisible(), exit_
    modal = session.pointer.tool == "remove"
    assert window.region.isVisible() <= modal, exit_
    assert window.status.mode.text() in [tool.title for tool in session.pointer.tools.values()], exit_


@pytest.mark.parametrize(
    "tool", ["outline", "outline_shift", "click", "select", "remove_click", "remove_region", "remove_lasso", *DRAGS]
)
def test_every_exit_of_every_tool_leaves_a_clean_pointer(window: Window, qtbot: object, tool: str) -> None:
    window.activateWindow()
    qtbot.waitActive(window)
    for exit_, (leave, may_edit) in EXITS.items():
        open_two_cells(window)
        document = window.session.document
        before = document.labels.planes.copy()
        begin(window, tool)
        leave(window, qtbot, tool)
        if exit_ != "closing":
            QTest.mouseMove(window.scene.viewport(), place(window, 56, 50))
            QTest.mouseRelease(window.scene.viewport(), LEFT, NONE, place(window, 56, 52))
        if goes_on(tool, exit_):
            assert window.session.pointer.mode == "drawing", "a stroke is not lost"
            key(window, "Escape")
        assert_clean(window, exit_)
        if not may_edit:
            assert np.array_equal(document.labels.planes, before), exit_
        while len(document.history):
            document.undo()
        assert np.array_equal(document.labels.planes, before), exit_
        if exit_ != "closing":
            key(window, "Escape")
            key(window, "Escape")
            assert window.session.pointer.mode == "select", exit_
            count = window.session.cell_count()
            draw(window, 85, 85, 10)
            assert window.session.cell_count() == count + 1, f"after {exit_} cells can be drawn"


def test_a_release_that_never_came_ends_the_stroke_with_the_next_move(filled: Window) -> None:
    filled.session.pointer.choose("eraser")
    press_and_move(filled)
    hover(filled, 100, 100)  # no button is held
    assert filled.session.pointer.mode == "eraser"
    assert len(filled.session.document.history) == 1
    hover(filled, 110, 110)
    assert len(filled.session.document.history) == 1


def test_a_cell_that_is_gone_at_the_end_of_a_stroke_does_not_come_back(filled: Window) -> None:
    document = filled.session.document
    filled.session.pointer.choose("brush")
    press_and_move(filled)
    document.select([1])
    filled.session.remove_selected()
    QTest.mouseRelease(filled.scene.viewport(), LEFT, NONE, place(filled, 50, 30))
    assert not document.labels.has(1)
    assert document.labels.ids.tolist() == [2, 3]


@pytest.mark.parametrize(("late", "far", "starts"), [(0.1, 0, False), (0.2, 8, False), (0.5, 0, True), (0.1, 60, True)])
def test_the_click_that_ends_a_closed_stroke_begins_no_other(
    filled: Window, monkeypatch: pytest.MonkeyPatch, late: float, far: int, starts: bool
) -> None:
    now = [10.0]
    pointer = filled.session.pointer
    monkeypatch.setattr(pointer._context, "clock", lambda: now[0])
    draw_closed(filled)
    assert filled.session.cell_count() == 3
    assert pointer.mode == "select"
    now[0] += late
    spot = place(filled, 90, 90 + 12)
    spot.setY(spot.y() - far)
    QTest.mouseClick(filled.scene.viewport(), Qt.MouseButton.RightButton, NONE, spot)
    assert (pointer.mode == "drawing") is starts
    QTest.mouseClick(filled.scene.viewport(), Qt.MouseButton.RightButton, NONE, spot)
    assert (pointer.mode == "drawing") is not starts, "the next click is an ordinary one"


def draw_closed(window: Window) -> None:
    angle = np.linspace(0, 2 * np.pi, 60)
    path = np.stack([90 + 12 * np.sin(angle), 90 + 12 * np.cos(angle)], axis=1)
    click(window, *path[0], "RightButton")
    for point in path[1:]:
        hover(window, *point)


def test_strokes_that_wait_are_told_and_given_up(filled: Window) -> None:
    filled.session.view.single_stroke = False
    draw(filled, 90, 30, 10)
    assert filled.status.mode.text() == "strokes wait"
    key(filled, "Escape")
    assert filled.status.mode.text() == "Select"
    key(filled, "Return")
    assert filled.session.cell_count() == 2, "nothing waits any more"
    draw(filled, 90, 30, 10)
    key(filled, "Return")
    assert filled.session.cell_count() == 3
    assert filled.status.mode.text() == "Select"


def test_strokes_that_wait_are_seen_until_they_are_a_cell_or_given_up(filled: Window) -> None:
    filled.session.view.single_stroke = False
    shown, path = filled.scene.waiting, filled.scene.waiting.path
    assert not shown.isVisible()
    draw(filled, 80, 30, 10)
    assert shown.isVisible()
    assert path().boundingRect().center().x() == pytest.approx(30.5, abs=2)
    draw(filled, 80, 90, 10)
    assert path().boundingRect().width() == pytest.approx(80, abs=4), "both"
    hover(filled, 20, 20)
    key(filled, "Z", Modifier.ControlModifier)
    assert path().boundingRect().width() == pytest.approx(20, abs=4), "the second was taken back"
    key(filled, "Escape")
    assert not shown.isVisible()
    draw(filled, 90, 60, 15)
    assert shown.isVisible()
    key(filled, "Enter")
    assert not shown.isVisible()
    assert filled.session.cell_count() == 3
    draw(filled, 90, 20, 10)
    filled.session.open_array(np.zeros((1, 1, SIDE, SIDE), np.uint8))
    assert not shown.isVisible(), "another image"


def test_a_thread_that_outlives_the_window_calls_nobody(qapp: Any) -> None:
    from qtpy import shiboken

    from cellpose.gui.views._window import _MainThread

    door, called = _MainThread(), []
    door.call(lambda: called.append("before"))
    qapp.processEvents()
    shiboken.delete(door)  # as when the program ends
    door.call(lambda: called.append("after"))
    qapp.processEvents()
    assert called == ["before"]
