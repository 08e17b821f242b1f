"""Another image is opened, or the window is closed: what was begun on the open image is finished, kept, or told of."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from cellpose import io
from cellpose.gui.controllers import _autosave, _steps
from cellpose.gui.model import _operations as operations
from cellpose.gui.views._opening_bar import OpeningBar
from cellpose.gui.views._window import Window
from hand import Modifier, click, draw, drop, hover, key, until_idle, until_open

SIDE = 120


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the images a.png and b.png."""
    for name in "ab":
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((SIDE, SIDE), np.uint8))
    return tmp_path


@pytest.fixture
def told(window: Window) -> list[str]:
    """The messages of the window."""
    texts: list[str] = []
    for signal in (window.session.told, window.session.failed):
        signal.connect(lambda text: texts.append(text))
    return texts


def cells_in(folder: Path, name: str) -> int:
    return int(io.read_seg(folder / f"{name}_seg.npy").masks.max(initial=0))


@pytest.mark.parametrize("to", ["b.png", "a.png", ""])
def test_a_step_in_the_background_is_finished_and_saved(
    window: Window, folder: Path, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    drop(window, folder / "a.png")
    session = window.session
    draw(window, 30, 30, 12)
    draw(window, 80, 80, 12)
    session.files.autosave.settle()
    monkeypatch.setattr(_steps, "_MOST_CELLS", 0)
    session.steps.change(session.document, operations.delete, [1])
    session.steps.change(session.document, operations.grow, [2], 1)  # waits for the first
    assert session.jobs.running("step") is not None
    if not to:
        window.close()
    else:
        drop(window, folder / to)
        drop(window, folder / "a.png")
        assert [edit.name for edit in session.document.history.edits[-2:]] == ["remove cell", "grow"]
        assert session.cell_count() == 1
    assert cells_in(folder, "a") == 1


def test_strokes_that_wait_for_enter_become_a_cell(window: Window, folder: Path, told: list[str]) -> None:
    window.session.view.single_stroke = False
    for way in (lambda: drop(window, folder / "b.png"), lambda: drop(window, folder / "a.png"), window.close):
        drop(window, folder / "a.png")
        count = window.session.cell_count()
        draw(window, 20 + 35 * count, 30, 12)
        assert window.session.cell_count() == count
        way()
        assert told.pop() == "the strokes that waited for Enter became a cell"
        assert cells_in(folder, "a") == count + 1


def test_strokes_that_make_no_cell_are_told(window: Window, folder: Path, told: list[str]) -> None:
    window.session.view.single_stroke = False
    drop(window, folder / "a.png")
    draw(window, 30, 30, 3, share=0.1)
    assert window.session.pointer.words[0] == "strokes wait"
    window.session.files.go(1)
    until_open(window)
    assert "too few for a cell" in told[-1]
    assert window.session.pointer.words[0] != "strokes wait"


def test_a_run_that_is_stopped_is_told(window: Window, folder: Path, told: list[str]) -> None:
    drop(window, folder / "a.png")
    go_on = threading.Event()
    window.session.jobs.start("segment", lambda _: go_on.wait(20), lambda _: None, lambda _: None)
    drop(window, folder / "b.png")
    go_on.set()
    assert told[-1] == "the run on a.png was stopped because an image was opened; start it again there"
    drop(window, folder / "a.png")
    assert len(told) == 1


def test_a_stroke_that_is_given_up_is_told(window: Window, folder: Path, told: list[str]) -> None:
    drop(window, folder / "a.png")
    click(window, 30, 30, "RightButton")
    hover(window, 50, 50)
    drop(window, folder / "b.png")
    assert told[-1].startswith("the unfinished stroke on a.png was stopped")


def test_an_image_without_its_last_cell_can_be_saved(window: Window, folder: Path, told: list[str], qtbot: Any) -> None:
    drop(window, folder / "a.png")
    session = window.session
    session.files.autosave.enabled = False
    for saved in (False, True):
        key(window, "S", Modifier.ControlModifier)
        assert told.pop() == "Save masks and image (_seg.npy): there are no cells yet"
        assert not (folder / "a_seg.npy").exists()
        draw(window, 30, 30, 12)
        if saved:
            key(window, "S", Modifier.ControlModifier)
            until_idle(window, qtbot)
            session.document.select([int(session.document.labels.ids[0])])
            key(window, "Delete")
        else:
            session.undo()
    key(window, "S", Modifier.ControlModifier)
    until_idle(window, qtbot)
    assert cells_in(folder, "a") == 0
    assert session.document.is_saved


def test_a_large_image_is_saved_in_the_background_before_the_next_is_shown(
    window: Window, folder: Path, monkeypatch: pytest.MonkeyPatch, qtbot: Any
) -> None:
    monkeypatch.setattr(_autosave, "_LARGE", 0)
    write, go_on, threads = io.write_seg, threading.Event(), []

    def slowly(*args: object) -> None:
        threads.append(threading.current_thread())
        assert go_on.wait(10)
        write(*args)

    monkeypatch.setattr(io, "write_seg", slowly)
    drop(window, folder / "a.png")
    session = window.session
    draw(window, 30, 30, 12)
    session.files.begin(folder / "b.png")
    bar = window.findChild(OpeningBar)
    qtbot.waitUntil(bar.isVisible)
    assert bar.words.text() == "saving a.png"
    assert session.document.path.name == "a.png"
    draw(window, 80, 80, 12)  # the window lives, and this is saved, too
    qtbot.wait(250)  # longer than a check
    go_on.set()
    until_open(window)
    assert session.document.path.name == "b.png"
    assert not bar.isVisible()
    assert cells_in(folder, "a") == 2
    assert threading.main_thread() not in threads
