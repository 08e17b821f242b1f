"""Nothing is lost: journal, background saving, what comes back after a crash."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cellpose import io
from cellpose.gui.controllers import _autosave
from cellpose.gui.controllers._live import FoundCells
from cellpose.gui.controllers._session import Session
from cellpose.gui.model import Box
from cellpose.gui.model import _operations as operations
from cellpose.gui.model._frozen import Frozen
from cellpose.gui.model._journal import Base, Journal, journal_path
from cellpose.gui.model._provenance import Origin


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "cells.tif"
    io.imsave(str(path), np.arange(60 * 60, dtype=np.uint16).reshape(60, 60))
    return path


_sessions: list[Session] = []


@pytest.fixture(autouse=True)
def rested() -> Iterator[None]:
    """No session saves after its test, in the home folder of another."""
    yield
    while _sessions:
        _sessions.pop().files.autosave._stop_timer()


def session() -> Session:
    made = Session(lambda function: function())
    _sessions.append(made)
    made.told_texts = []
    for signal in (made.told, made.failed):
        signal.connect(lambda text: made.told_texts.append(text))
    return made


def square(made: Session, y: int, x: int, side: int = 10) -> None:
    box = Box(0, 1, y, y + side, x, x + side)
    assert made.document.do(operations.add_cell, box, np.ones(box.shape, bool))


def wait_for_jobs(made: Session) -> None:
    end = time.monotonic() + 30
    while made.jobs.any and time.monotonic() < end:
        time.sleep(0.01)
    assert not made.jobs.any


def test_edits_of_a_seg_file_of_another_name_are_not_put_into_that_of_the_image(image: Path) -> None:
    """Files of the original: no key tells them apart, and both name the same image."""
    labels = np.zeros((60, 60), np.uint16)
    labels[40:50, 40:50] = 1
    flows = [np.zeros((60, 60, 3), np.uint8), np.zeros((2, 60, 60), np.float32), np.zeros((60, 60), np.float32)]
    usual, other = image.with_name("cells_seg.npy"), image.with_name("other_seg.npy")
    content = io.seg_content(labels, flows, image)
    io.write_seg(usual, content)
    io.write_seg(other, {**content, "note": "another file"})
    first = session()
    first.files.autosave.enabled = False
    first.files.open(other)
    square(first, 5, 5)
    assert first.document.path == image
    second = session()
    second.files.open(usual)
    assert np.array_equal(second.document.labels.planes[0], labels)
    again = session()
    again.files.open(other)
    assert again.document.labels.count == 2


def test_edits_without_a_saved_file_come_back_with_their_history(image: Path) -> None:
    first = session()
    first.files.autosave.enabled = False
    first.files.open(image)
    square(first, 5, 5)
    square(first, 30, 30)
    first.document.do(operations.delete, [1])
    first.undo()
    expected = first.document.labels.planes.copy()

    again = session()
    again.files.open(image)
    assert "4 edits that were not saved are back" in again.told_texts
    assert np.array_equal(again.document.labels.planes, expected)
    assert again.document.labels.table["manual"][1:].all()
    again.redo()
    assert again.document.labels.ids.tolist() == [2]
    for _ in range(3):
        again.undo()
    assert again.document.labels.count == 0


def test_a_saved_file_and_the_edits_after_it(image: Path) -> None:
    first = session()
    first.files.open(image)
    first.files.autosave.enabled = False
    square(first, 5, 5)
    square(first, 30, 30)
    first.document.do(operations.delete, [1])  # cell 2 becomes label 1 of the file
    first.files.save()
    wait_for_jobs(first)
    assert first.document.is_saved
    square(first, 5, 40)
    expected = first.document.labels.planes.copy()
    assert int(io.read_seg(image.with_name("cells_seg.npy")).masks.max()) == 1

    again = session()
    again.files.open(image)
    assert np.array_equal(again.document.labels.planes, expected)
    again.undo()
    assert again.document.labels.ids.tolist() == [2]


def test_a_file_written_by_another_program_is_not_mixed_with_old_edits(image: Path) -> None:
    first = session()
    first.files.open(image)
    first.files.autosave.enabled = False
    square(first, 5, 5)
    other = np.zeros((60, 60), np.uint16)
    other[20:40, 20:40] = 1
    io.write_seg(image.with_name("cells_seg.npy"), {"masks": other, "outlines": other * 0, "filename": str(image)})
    again = session()
    again.files.open(image)
    assert np.array_equal(again.document.labels.planes[0], other)
    assert again.told_texts[-1].startswith("1 edit of cells.tif that was not saved belongs to another _seg.npy")
    square(again, 45, 5)
    again.files.autosave.leave()
    assert "cells_seg_kept.npy" in again.told_texts[-1]
    again.files.open(image)
    assert again.document.labels.count == 2
    again.files.open(image.with_name("cells_seg_kept.npy"))
    assert again.document.labels.planes[0, 5:15, 5:15].all()
    assert again.document.labels.planes.sum() == 100
    assert again.document.labels.table["manual"][1:].all()


def test_edits_that_are_in_the_file_are_no_strays(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program ends while a file is written, or before the journals of older files are removed."""
    monkeypatch.setattr(_autosave, "forget", lambda *_: None)
    made = session()
    made.files.autosave.enabled = False
    made.files.open(image)
    square(made, 5, 5)
    made.files.save()
    wait_for_jobs(made)
    square(made, 30, 30)
    assert len(list((Path.home() / ".cellpose" / "autosave").iterdir())) == 2
    again = session()
    again.files.open(image)
    assert again.document.labels.count == 2
    assert again.told_texts == ["1 edit that was not saved is back"]


def test_a_write_that_a_crash_interrupted_leaves_no_strays(image: Path) -> None:
    made = session()
    made.files.autosave.enabled = False
    made.files.open(image)
    square(made, 5, 5)
    interrupted = Journal(journal_path(image, "interrupted"))
    interrupted.begin(Base(str(image), made.document.labels.shape, (), ("none",)))
    again = session()
    again.files.open(image)
    again.files.save()
    wait_for_jobs(again)
    last = session()
    last.files.open(image)
    assert last.document.labels.count == 1
    assert not any("belong" in text for text in last.told_texts)
    assert not interrupted.path.exists()


def test_leaving_an_image_saves_it_and_removes_the_journal(image: Path, home: Path) -> None:
    made = session()
    made.files.open(image)
    square(made, 5, 5)
    made.files.autosave.leave()
    assert io.read_seg(image.with_name("cells_seg.npy")).ismanual.tolist() == [True]
    assert not list((home / ".cellpose" / "autosave").iterdir())


def test_an_image_that_is_opened_again_has_the_edits_of_the_moment(image: Path) -> None:
    made = session()
    made.files.open(image)
    square(made, 5, 5)
    made.files.save()
    wait_for_jobs(made)
    square(made, 30, 30)
    for path in (image, image.with_name("cells_seg.npy")):
        count = made.document.labels.count
        made.files.open(path)
        assert made.document.labels.count == count
        square(made, 5, 5 + 12 * count)
    assert not made.files.open(image.with_name("none.tif"))
    square(made, 45, 45)
    again = session()
    again.files.open(image)
    assert again.document.labels.count == made.document.labels.count == 5


@pytest.mark.parametrize("last", ["save", "leave"])
def test_a_slow_older_save_does_not_win(image: Path, monkeypatch: pytest.MonkeyPatch, last: str) -> None:
    write, waits = io.write_seg, [0.5, 0.0]

    def slowly(*args: object) -> None:
        time.sleep(waits.pop(0))
        write(*args)

    monkeypatch.setattr(io, "write_seg", slowly)
    made = session()
    made.files.autosave.enabled = last == "leave"
    made.files.open(image)
    square(made, 5, 5)
    made.files.save()
    square(made, 30, 30)
    made.files.save() if last == "save" else made.files.autosave.leave()
    wait_for_jobs(made)
    for thread in threading.enumerate():
        if thread.name == "save":
            thread.join()
    assert int(io.read_seg(image.with_name("cells_seg.npy")).masks.max()) == 2


def slow_writes(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Files are written soon after an edit, but not before the second event is set; the first one tells of it."""
    write, begun, go_on = io.write_seg, threading.Event(), threading.Event()

    def slowly(*args: object) -> None:
        begun.set()
        assert go_on.wait(10)
        write(*args)

    monkeypatch.setattr(io, "write_seg", slowly)
    monkeypatch.setattr(_autosave, "_REST_S", 0.05)
    return begun, go_on


def wait_until_saved(made: Session) -> None:
    end = time.monotonic() + 10
    while not made.document.is_saved and time.monotonic() < end:
        time.sleep(0.01)
    wait_for_jobs(made)


def test_an_edit_during_a_save_is_saved_without_another_edit(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = slow_writes(monkeypatch)
    made = session()
    made.files.open(image)
    square(made, 5, 5)
    assert begun.wait(10)
    square(made, 30, 30)
    time.sleep(0.2)  # the hand rests while the file is still being written
    go_on.set()
    wait_until_saved(made)
    assert int(io.read_seg(image.with_name("cells_seg.npy")).masks.max()) == 2


def test_another_edit_in_place_of_one_that_is_being_saved_is_saved(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = slow_writes(monkeypatch)
    made = session()
    made.files.open(image)
    square(made, 5, 5)
    assert begun.wait(10)
    made.undo()
    square(made, 30, 30)
    go_on.set()
    wait_until_saved(made)
    assert io.read_seg(image.with_name("cells_seg.npy")).masks[30:40, 30:40].all()


def test_names_of_classes_are_saved_without_an_edit(image: Path) -> None:
    made = session()
    made.review.classes[0].rename("a name of before")
    made.files.open(image)
    assert made.document.is_saved
    made.review.classes[0].rename("no cells, no file")
    assert made.document.is_saved
    square(made, 5, 5)
    made.files.autosave.settle()
    made.review.classes[0].rename("immune")
    assert not made.document.is_saved
    made.review.classes[0].rename("no cells, no file")
    assert made.document.is_saved
    made.review.classes[1].color = "#010203"
    made.files.autosave.leave()
    again = session()
    again.files.open(image)
    assert (again.review.classes[0].name, again.review.classes[1].color) == ("no cells, no file", "#010203")
    assert again.document.is_saved


def test_what_only_the_file_keeps_is_told_if_it_is_not_saved(image: Path) -> None:
    made = session()
    made.files.open(image)
    square(made, 5, 5)
    made.files.autosave.settle()
    made.files.autosave.enabled = False
    made.review.classes[0].rename("immune")
    made.files.autosave.leave()
    assert made.told_texts == ["autosave is off: only the edits of cells.tif come back, no other changes"]


def test_what_is_being_saved_when_the_image_is_left_is_saved(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, written = io.write_seg, []

    def slowly(*args: object) -> None:
        time.sleep(0.3)
        written.append(args)
        write(*args)

    monkeypatch.setattr(io, "write_seg", slowly)
    made = session()
    made.files.autosave.enabled = False
    made.files.open(image)
    square(made, 5, 5)
    made.files.save()
    made.files.autosave.leave()
    assert made.document.is_saved
    assert len(written) == 1
    assert not made.told_texts


def test_a_folder_that_takes_no_files_is_told_and_loses_nothing(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cellpose.errors import FileWriteError

    def refuse(*_: object) -> None:
        message = "read-only file system"
        raise FileWriteError(message)

    made = session()
    made.files.open(image)
    square(made, 5, 5)
    with monkeypatch.context() as patch:
        patch.setattr(io, "write_seg", refuse)
        made.files.autosave.leave()
    assert any("not saved" in text and "read-only" in text for text in made.told_texts)
    again = session()
    again.files.open(image)
    assert again.document.labels.count == 1


def test_a_journal_cut_anywhere_gives_the_edits_before_the_cut(image: Path, home: Path) -> None:
    first = session()
    first.files.autosave.enabled = False
    first.files.open(image)
    for k in range(4):
        square(first, 12 * k, 12 * k)
    (journal,) = (home / ".cellpose" / "autosave").iterdir()
    whole = journal.read_bytes()
    counts = []
    for cut in np.linspace(0, len(whole), 15).astype(int):
        journal.write_bytes(whole[:cut])
        again = session()
        again.files.autosave.enabled = False
        again.files.open(image)
        counts.append(again.document.labels.count)
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert counts[-1] == 4


def test_a_killed_program_loses_nothing_that_was_done(image: Path, home: Path) -> None:
    code = f"""
import os, signal, numpy as np
from pathlib import Path
from cellpose.gui.controllers._live import FoundCells
from cellpose.gui.controllers._session import Session
from cellpose.gui.model import Box, _operations as operations
made = Session(lambda function: function())
made.files.open(Path({str(image)!r}))
for k in range(4):
    box = Box(0, 1, 12 * k, 12 * k + 10, 5, 15)
    made.document.do(operations.add_cell, box, np.ones(box.shape, bool))
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    again = session()
    again.files.open(image)
    assert again.document.labels.count == 4


_KILLED = """
import os, signal, sys
from pathlib import Path
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
app = QApplication(["x", "-platform", "offscreen"])
from cellpose.gui.views._window import Window
from hand import Modifier, click, draw, hover, key, place
window = Window()
window.resize(900, 700)
window.show()
app.processEvents()
window.session.files.open(Path(sys.argv[1]))
draw(window, 15, 15, 8)
draw(window, 40, 40, 8)
draw(window, 15, 44, 8)
click(window, 15, 15, keys=Modifier.ControlModifier)
window.session.pointer.choose("brush")
viewport = window.scene.viewport()
QTest.mousePress(viewport, Qt.MouseButton.LeftButton, Modifier.NoModifier, place(window, 45, 12))
QTest.mouseMove(viewport, place(window, 48, 16))
assert window.session.pointer.mode == "drawing"
print(window.session.document.labels.planes.sum(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_window_killed_in_the_middle_of_a_stroke_loses_that_stroke_at_most(
    image: Path, window: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand = str(Path(__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([hand, os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run([sys.executable, "-c", _KILLED, str(image)], check=False, capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    assert window.session.files.open(image)
    document = window.session.document
    assert document.labels.ids.tolist() == [2, 3]
    assert document.labels.planes.sum() == int(done.stdout)
    assert "4 edits that were not saved are back" in window.statusBar().currentMessage()
    document.undo()
    assert document.labels.ids.tolist() == [1, 2, 3]
    for _ in range(3):
        document.undo()
    assert not document.labels.planes.any()


def test_a_file_that_takes_long_to_write_is_written_less_often(image: Path) -> None:
    made = session()
    made.files.open(image)
    autosave = made.files.autosave
    for took, rest in ((0.0, 2.0), (5.0, 20.0)):
        autosave._took = took
        square(made, 5, 5 + int(rest))
        assert autosave._timer.interval == rest
    made.files.autosave.leave()
    assert 0 < autosave._took < 5  # as long as it took this time


def test_autosave_copies_no_pixel_in_the_main_thread(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []
    real = Frozen.labels
    monkeypatch.setattr(Frozen, "labels", lambda frozen: (threads.append(threading.current_thread()), real(frozen))[1])
    made = session()
    made.files.open(image)
    square(made, 5, 5)
    made.files.autosave.save()
    square(made, 30, 30)
    wait_for_jobs(made)
    assert threads
    assert threading.main_thread() not in threads
    assert np.load(image.with_name("cells_seg.npy"), allow_pickle=True).item()["masks"].max() == 1


OLD = ["01/02/2024, 10:11:12", "removed mask", [np.array([1, 1]), np.array([2, 3])]]


def changes(image: Path) -> list[tuple[str, int]]:
    """What a person did according to the file: the action, and the number of pixels."""
    seg = io.read_seg(image.with_name("cells_seg.npy"))
    assert seg.by_hand is bool(seg.manual_changes or seg.ismanual.any())
    for date, *_ in seg.manual_changes:
        assert time.strptime(date, "%m/%d/%Y, %H:%M:%S")
    return [(action, len(np.transpose(place))) for _, action, place in seg.manual_changes]


def test_the_file_tells_which_cells_a_person_removed_and_added(image: Path) -> None:
    labels = np.zeros((60, 60), np.uint16)
    labels[5:10, 5:10], labels[20:26, 5:10], labels[40:45, 40:50] = 1, 2, 3
    seg, found = image.with_name("cells_seg.npy"), [("removed mask", 2)]
    content = io.seg_content(labels, None, image)
    io.write_seg(seg, {**content, "manual_changes": [OLD]})
    made = session()
    assert made.files.open(image)
    made.document.do(operations.delete, [2])
    made.files.autosave.settle()
    assert changes(image) == [*found, ("removed mask", 30)]
    np.testing.assert_array_equal(io.read_seg(seg).manual_changes[1][2], np.nonzero(labels == 2))
    square(made, 20, 30)
    made.document.do(operations.change_number, 3, 9)
    made.files.autosave.settle()
    assert changes(image) == [*found, ("removed mask", 30), ("added mask", 100)]
    assert made.files.open(image), "and again, with its history"
    made.undo()
    made.undo()
    made.undo()
    made.files.autosave.settle()
    assert changes(image) == found
    made.redo()
    made.files.autosave.settle()
    assert changes(image) == [*found, ("removed mask", 30)]
    other = session()
    assert other.files.open(image)
    other.document.do(operations.delete, [1])
    before = other.document.history.edits[-1].when
    other.files.autosave._stop_timer()  # a crash
    again = session()
    assert again.files.open(image)
    assert again.document.history.edits[-1].when == before
    again.files.autosave.settle()
    assert changes(image) == [*found, ("removed mask", 30), ("removed mask", 25)]
    again.document.do(operations.clear)
    again.files.autosave.settle()
    assert changes(image) == [], "nothing is left that could be lost"


def test_cells_of_a_model_that_a_person_removed_are_told_until_it_runs_anew(tmp_path: Path) -> None:
    image = tmp_path / "cells.tif"
    io.imsave(str(image), np.zeros((3, 60, 60), np.uint16))
    made = session()
    made.files.as_stacks = True
    assert made.files.open(image)
    labels = np.zeros((3, 60, 60), np.int32)
    labels[:2, 5:15, 5:15], labels[1:, 30:40, 5:15] = 1, 2
    cells = FoundCells.of(labels, None, None, Origin("segment", "m", 0), None)
    made.segmentation.put(made.document, None, cells, lambda _: None)
    made.files.autosave.settle()
    assert changes(image) == []
    made.document.do(operations.delete, [2])
    made.files.autosave.settle()
    assert changes(image) == [("removed mask", 0)], "the format knows places in planes only"
    made.segmentation.put(made.document, None, cells, lambda _: None)
    made.files.autosave.settle()
    assert changes(image) == []
