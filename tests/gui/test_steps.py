"""Steps of many pixels or cells: in the background, in turn, and with the result of a step done at once."""

from __future__ import annotations

import numpy as np
import pytest

from cellpose.gui.controllers import _steps
from cellpose.gui.model import Document, LabelStore
from cellpose.gui.model import _operations as operations


def squares(side: int = 60, pitch: int = 12) -> np.ndarray:
    """Labels of a grid of squares."""
    labels = np.zeros((side, side), np.int32)
    for number, (y, x) in enumerate(np.ndindex(side // pitch, side // pitch), 1):
        labels[y * pitch + 2 : y * pitch + 8, x * pitch + 2 : x * pitch + 8] = number
    return labels


@pytest.fixture
def long_steps(monkeypatch):
    """All steps are done in the background."""
    monkeypatch.setattr(_steps, "_MOST_PIXELS", 0)
    monkeypatch.setattr(_steps, "_MOST_CELLS", 0)


@pytest.fixture
def open_one(window):
    """A window with squares open, and its document."""
    session = window.session
    session.open_array(np.zeros((1, 1, 60, 60), np.uint8), squares())
    return session, session.document


def same(a: LabelStore, b: LabelStore) -> bool:
    """Whether pixels and tables are equal."""
    equal = [np.array_equal(a.planes, b.planes), np.array_equal(a.table["area"], b.table["area"])]
    return all(equal) and np.array_equal(a.table["box"], b.table["box"])


def test_a_long_step_gives_what_a_short_one_does(open_one, long_steps, qtbot):
    session, document = open_one
    at_once = Document(np.zeros((1, 1, 60, 60), np.uint8), squares())
    at_once.do(operations.grow, [3, 4], 2)
    session.steps.change(document, operations.grow, [3, 4], 2)
    assert session.jobs.running("step") is not None
    qtbot.waitUntil(lambda: not document.locked)
    assert same(document.labels, at_once.labels)
    assert document.history.next_undo == at_once.history.next_undo


def test_long_undo_and_redo(open_one, long_steps, qtbot):
    session, document = open_one
    session.steps.do(document, operations.clear, pixels=3600)
    session.steps.finish()
    assert document.labels.count == 0
    session.undo()
    qtbot.waitUntil(lambda: not document.locked)
    assert np.array_equal(document.labels.planes[0], squares())
    assert (document.labels.count, document.history.next_redo) == (25, "clear all cells")
    session.redo()
    qtbot.waitUntil(lambda: not document.locked)
    assert document.labels.count == 0


def test_steps_wait_their_turn(open_one, long_steps, qtbot):
    session, document = open_one
    session.steps.change(document, operations.delete, [1, 2])
    session.steps.change(document, operations.delete, [3])
    session.undo()
    session.undo()
    session.steps.change(document, operations.delete, [25])
    qtbot.waitUntil(lambda: session.jobs.running("step") is None and not document.locked)
    assert document.labels.count == 24
    assert not document.labels.has(25)
    assert len(document.history) == 1


def test_nothing_is_drawn_meanwhile(open_one, long_steps):
    session, document = open_one
    told = []
    session.told.connect(told.append)
    session.steps.change(document, operations.delete, [1])
    assert document.do(operations.delete, [2]) is None
    assert told == ["the last step is still being done"]
    session.steps.finish()
    assert document.do(operations.delete, [2]) is not None


def test_another_image_waits_for_the_step(open_one, long_steps):
    session, document = open_one
    session.steps.change(document, operations.delete, [1])
    session.open_array(np.zeros((1, 1, 20, 20), np.uint8))
    assert (document.labels.count, document.locked) == (24, "")
    assert session.document is not document


def test_a_refusal_is_told(open_one, long_steps):
    session, document = open_one
    told, edits = [], []
    session.told.connect(told.append)
    none = np.zeros((1, 60, 60), np.int32)
    session.steps.change(document, operations.delete, [99])
    session.steps.finish()
    assert len(told) == 1
    assert document.labels.count == 25
    session.steps.do(document, operations.replace_all, none, pixels=3600, then=edits.append)
    session.steps.finish()
    assert edits[0].removed.size == 25


def test_a_failure_is_told_and_unlocks(open_one, long_steps):
    session, document = open_one
    failed = []
    session.failed.connect(failed.append)

    def broken(store, cells):
        raise MemoryError("no memory")

    session.steps.change(document, broken, [1])
    session.steps.finish()
    assert "no memory" in failed[0]
    assert not document.locked
    assert np.array_equal(document.labels.planes[0], squares())


def test_labels_that_are_being_saved_stay_as_they_were(open_one, long_steps):
    session, document = open_one
    frozen, _ = document.labels.frozen()
    session.steps.change(document, operations.delete, [1])
    session.steps.finish()
    document.do(operations.delete, [2])
    assert np.array_equal(frozen.labels()[0], squares())


def test_masks_come_over_the_last_of_their_gesture(open_one, long_steps):
    _, document = open_one
    first = document.do(operations.replace_all, np.pad(np.ones((1, 20, 20), np.int32), ((0, 0), (0, 40), (0, 40))))
    prepared = document.prepare(operations.delete, [document.labels.ids[0]], over=None)
    assert prepared.over is None
    other = np.pad(np.ones((1, 10, 10), np.int32), ((0, 0), (0, 50), (0, 50)))
    document.take(document.prepare(operations.replace_all, other, over=first))
    assert len(document.history) == 1
    assert document.labels.count == 1
    document.undo()
    assert np.array_equal(document.labels.planes[0], squares())
