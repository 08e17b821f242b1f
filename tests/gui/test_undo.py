"""Undo: each image has its own, of everything, and it goes on when the image is opened again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cellpose import io
from cellpose.gui.controllers._session import Session
from cellpose.gui.model import Box
from cellpose.gui.model import _operations as operations
from cellpose.gui.model._closed import ClosedHistories, ClosedHistory
from cellpose.gui.views._window import Window
from hand import Answers, Modifier, draw, key, until_open

CTRL = Modifier.ControlModifier
SIDE = 120


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        io.imsave(str(tmp_path / f"{name}.png"), np.tile(np.arange(SIDE, dtype=np.uint8), (SIDE, 1)))
    return tmp_path


@pytest.fixture
def opened(window: Window, folder: Path) -> Window:
    window.session.files.open(folder / "a.png")
    return window


def planes(window: Window) -> np.ndarray:
    return window.session.document.labels.planes.copy()


def cells(window: Window) -> int:
    return window.session.document.labels.count


def square(made: Session | Window, y: int, x: int) -> None:
    session = made if isinstance(made, Session) else made.session
    box = Box(0, 1, y, y + 10, x, x + 10)
    assert session.document.do(operations.add_cell, box, np.ones(box.shape, bool))


class Network:
    """Finds the cells that it is given."""

    def __init__(self, masks: np.ndarray, name: str) -> None:
        self.masks, self.model_name = masks, name

    def eval(self, image: np.ndarray, **_: object) -> tuple[np.ndarray, list[np.ndarray], None]:
        shape = image.shape[:2]
        zeros = np.zeros(shape, np.float32)
        return self.masks, [np.zeros((*shape, 3), np.uint8), np.stack([zeros, zeros]), zeros], None


def segment(window: Window, qtbot: object, masks: np.ndarray, name: str) -> None:
    window.session.segmentation._loaded = lambda *_: Network(masks, name)
    key(window, "Return", Modifier.ShiftModifier)
    qtbot.waitUntil(lambda: not window.session.jobs.any, timeout=10_000)


@pytest.mark.parametrize("autosave", [True, False], ids=["saved", "journal only"])
def test_the_next_image_and_back(opened: Window, autosave: bool) -> None:
    opened.session.files.autosave.enabled = autosave
    states = [planes(opened)]
    draw(opened, 30, 30, 12)
    states.append(planes(opened))
    draw(opened, 30, 80, 12)
    states.append(planes(opened))
    opened.session.document.do(operations.delete, [1])
    states.append(planes(opened))
    key(opened, "Z", CTRL)
    key(opened, "Right")
    until_open(opened)
    assert opened.windowTitle().startswith("b.png")
    key(opened, "Z", CTRL)
    assert cells(opened) == 0
    draw(opened, 60, 60, 15)
    key(opened, "Left")
    until_open(opened)
    assert opened.windowTitle().startswith("a.png")
    assert np.array_equal(planes(opened), states[2]), "the undo on the other image took nothing from this one"
    key(opened, "Y", CTRL)
    assert np.array_equal(planes(opened), states[3])
    for step in (2, 1, 0, 0):
        key(opened, "Z", CTRL)
        assert np.array_equal(planes(opened), states[step])
    for step in (1, 2, 3, 3):
        key(opened, "Y", CTRL)
        assert np.array_equal(planes(opened), states[step])
    key(opened, "Right")
    until_open(opened)
    assert cells(opened) == 1
    key(opened, "Z", CTRL)
    assert cells(opened) == 0


def test_numbers_go_on_where_a_cell_is_gone(opened: Window) -> None:
    """Files number cells without gaps; edits know the numbers from before."""
    for x in (5, 40, 75):
        square(opened, 20, x)
    opened.session.document.do(operations.delete, [2])
    key(opened, "Right")
    until_open(opened)
    key(opened, "Left")
    until_open(opened)
    assert opened.session.document.labels.ids.tolist() == [1, 3]
    square(opened, 60, 60)
    assert opened.session.document.labels.ids.tolist() == [1, 3, 4]
    for _ in range(2):
        key(opened, "Z", CTRL)
    assert opened.session.document.labels.ids.tolist() == [1, 2, 3]


def test_a_file_that_another_program_wrote_meanwhile_has_no_history(opened: Window, folder: Path) -> None:
    square(opened, 20, 20)
    key(opened, "Right")
    until_open(opened)
    other = np.zeros((SIDE, SIDE), np.uint16)
    other[20:30, 20:30] = 1
    flows = [np.zeros((SIDE, SIDE, 3), np.uint8), np.zeros((2, SIDE, SIDE), np.float32), np.zeros((SIDE, SIDE))]
    io.write_seg(folder / "a_seg.npy", io.seg_content(other, flows, "a.png"))
    key(opened, "Left")
    until_open(opened)
    key(opened, "Z", CTRL)
    assert cells(opened) == 1


def test_segmentation_clearing_and_loading(opened: Window, folder: Path, qtbot: object) -> None:
    """With what a model found and its flows, which belong to the masks."""
    session, document = opened.session, opened.session.document
    square(opened, 5, 5)
    masks = np.zeros((SIDE, SIDE), np.int32)
    masks[50:80, 50:80] = 1
    segment(opened, qtbot, masks, "first")
    segment(opened, qtbot, masks[::-1].copy(), "second")
    key(opened, "0", CTRL)
    io.imsave(str(folder / "masks.tif"), np.where(masks.T > 0, 5, 0).astype(np.uint16))
    session.dialogs = Answers(folder / "masks.tif")
    key(opened, "M", CTRL)
    until_open(opened)
    names = [edit.name for edit in document.history.edits]
    assert names == ["draw cell", "segment", "segment", "clear all cells", "load masks"]
    seen = []
    for _ in names:
        seen.append((planes(opened), document.found, document.flows))
        key(opened, "Z", CTRL)
    assert not document.labels.count
    assert document.found is None
    assert document.flows is None
    assert [found.model for _, found, _ in seen[:4]] == ["second", "second", "second", "first"]
    for labels, found, known in reversed(seen):
        key(opened, "Y", CTRL)
        assert np.array_equal(planes(opened), labels)
        assert document.found is found
        assert document.flows is known


def test_what_an_edit_led_to_is_not_told_again_when_it_is_undone(many: object) -> None:
    session, told = many.session, []
    session.told.connect(told.append)
    session.document.select([1, 16])
    session.cells.merge()
    assert told == ["cell 1 is in 2 pieces"]
    session.undo()
    assert len(told) == 1
    session.redo()
    assert told[1:] == ["cell 1 is in 2 pieces"]


def test_flows_of_the_last_runs_only_are_kept(opened: Window, qtbot: object) -> None:
    document, masks = opened.session.document, np.zeros((SIDE, SIDE), np.int32)
    for number in range(5):
        masks[10 * number : 10 * number + 8, :30] = number + 1
        segment(opened, qtbot, masks.copy(), str(number))
    assert sum("flows" in edit.beside for edit in document.history.edits) == 3
    for _ in range(5):
        key(opened, "Z", CTRL)
    assert not document.labels.count


def test_what_was_taken_back_from_before_the_file_survives_a_crash(folder: Path) -> None:
    def session() -> Session:
        made = Session(lambda function: function())
        made.files.autosave.enabled = False
        made.files.open(folder / "a.png")
        return made

    first = session()
    for x in (5, 40, 75):
        square(first, 20, x)
    first.files.autosave.enabled = True
    first.files.autosave.settle()
    first.files.autosave.enabled = False
    steps = "uururuuurru"
    for step in steps:
        first.undo() if step == "u" else first.redo()
        again = session()
        assert np.array_equal(again.document.labels.planes, first.document.labels.planes), step
    square(first, 60, 60)
    first.undo()
    assert np.array_equal(session().document.labels.planes, first.document.labels.planes)


def test_histories_that_are_too_large_are_forgotten_the_oldest_first(opened: Window) -> None:
    square(opened, 20, 20)
    closed = ClosedHistory.of(opened.session.document, "state")
    kept = ClosedHistories(most_bytes=2 * closed.nbytes)
    for name in ("a", "b", "c"):
        kept.put(Path(name), closed)
    assert kept.take(Path("a"), "state") is None
    assert kept.take(Path("b"), "another state") is None
    assert kept.take(Path("c"), "state") is closed
    assert kept.take(Path("c"), "state") is None
