"""The present settings on folders: the queue, the command line behind it, what came of it, files of settings."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from cellpose import io
from cellpose.errors import FileReadError
from cellpose.gui.controllers import _batch, _child
from cellpose.gui.controllers._batch import BatchFolder
from cellpose.gui.controllers._child import Child
from cellpose.gui.model import SegmentationSettings
from cellpose.gui.model._batch import BatchOptions, ImageResult
from cellpose.gui.model._settings_file import read_settings, write_settings
from cellpose.gui.views._batch_window import BatchWindow
from cellpose.gui.views._window import Window
from hand import Answers, Modifier, key, press, until_idle, until_open


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images of four cells, and a file that is none."""
    place = tmp_path / "my images"
    place.mkdir()
    image = np.full((96, 96), 20, np.uint8)
    for y, x in ((24, 24), (24, 70), (70, 24), (70, 70)):
        cv2.circle(image, (x, y), 11, 200, -1)
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(place / name), cv2.GaussianBlur(image, (0, 0), 2))
    (place / "c.png").write_bytes(b"nothing")
    return place


@pytest.fixture
def batch(window: Window) -> BatchWindow:
    """The window of the queue, opened by its key."""
    window.session.settings.diameter = 24.0
    key(window, "B", Modifier.ControlModifier)
    return window.session.dialogs._batch


class FakeLine:
    """A command line that finds three cells in each image of a folder, and stops after the first where it is told."""

    def __init__(self) -> None:
        self.lines: list[list[str]] = []
        self.go_on, self.at_first = threading.Event(), threading.Event()
        self.go_on.set()

    def child(self) -> Child:
        line = self

        class Fake(Child):
            def run(self, words: Sequence[str], told: Callable[[str], None]) -> int:
                line.lines.append(list(words))
                return 0 if words[0] == "measure" else line.segment(self, list(words), told)

        return Fake()

    def segment(self, child: Child, words: list[str], told: Callable[[str], None]) -> int:
        folder = Path(words[words.index("--dir") + 1])
        images = sorted(folder.glob("*.png"))
        known = folder / "cellpose_run.json"
        before = json.loads(known.read_text())["images"] if known.exists() and "--resume" in words else []
        told(f"[INFO] >>>> running cellpose on {len(images)} images using all channels")
        told(f"[INFO] >>>> resuming: {len(before)} of {len(images)} images are done already")
        for image in images[len(before) :]:
            before.append({"image": image.name, "cells": 3, "seconds": 0.5, "outputs": [f"{image.stem}_cp_masks.tif"]})
            told(f"[INFO] {image.name}: 3 cells in 0.50 s")
            known.write_text(json.dumps({"images": before}))
            self.at_first.set()
            while not self.go_on.wait(0.01):
                if child.interrupted:
                    return 130
        return 0


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeLine:
    line = FakeLine()
    monkeypatch.setattr(_batch, "Child", line.child)
    return line


def states(window: Window) -> list[str]:
    return [entry.state for entry in window.session.batch.queue]


def test_corrected_cells_are_measured_and_not_those_that_were_found(tmp_path: Path) -> None:
    words = [BatchOptions(seg=seg, tif=True).measure_words(tmp_path, tmp_path) for seg in (True, False)]
    assert ["--mask_filter" in each for each in words] == [False, True], "without a _seg.npy of this run, its masks"


def test_a_folder_is_segmented_measured_and_looked_at(
    window: Window, batch: BatchWindow, folder: Path, qtbot: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    # in a new home the plots would begin with a search for fonts
    monkeypatch.setattr(_child, "_NICE", 0)
    monkeypatch.setenv("MPLCONFIGDIR", str(Path(tempfile.gettempdir(), "cellpose-test-fonts")))
    ended: list[BatchFolder] = []
    window.session.batch.finished.connect(ended.append)
    window.session.dialogs.ask_folder = lambda *_: folder
    press(batch.add)
    press(batch.run)
    assert not batch.run.isEnabled()
    until_idle(window, qtbot)
    (entry,) = ended
    assert (entry.state, entry.cells, entry.total) == ("done", 8, 3), entry
    assert [each.path.name for each in entry.failed] == ["c.png"]
    assert "cannot be read as an image" in entry.failed[0].error
    assert batch.results.words.text().startswith("8 cells in 2 images")
    assert io.read_seg(folder / "a_seg.npy").count == 4
    assert (folder / "measurements" / "measurements.csv").read_text().count("\n") == 9
    assert batch.results.report.isEnabled()

    rows = batch.results.results.rows
    assert [row.path.name for row in rows] == ["c.png", "a.png", "b.png"], "failed first"
    qtbot.waitUntil(lambda: bool(window.session.thumbnails.of(rows[1])), timeout=30_000)
    place = batch.results.list.visualRect(batch.results.results.index(1, 0)).center()
    QTest.mouseClick(batch.results.list.viewport(), Qt.MouseButton.LeftButton, Modifier.NoModifier, place)
    until_open(window)
    assert window.session.document.path == folder / "a.png"
    assert window.session.cell_count() == 4


def test_a_run_is_paused_and_goes_on(
    window: Window, batch: BatchWindow, folder: Path, fake: FakeLine, qtbot: object
) -> None:
    batch_of = window.session.batch
    fake.go_on.clear()
    batch_of.add(folder)
    press(batch.run)
    qtbot.waitUntil(lambda: fake.at_first.is_set() and len(batch_of.queue[0].results) == 1)
    assert batch.rows.topLevelItem(0).text(2) == "1 of 3"
    press(batch.pause)
    until_idle(window, qtbot)
    assert states(window) == ["paused"]
    assert batch.run.text() == "Go on"
    window.session.settings.model = "nuclei-cells"  # of the next folder
    fake.go_on.set()
    press(batch.run)
    until_idle(window, qtbot)
    first, second, measured = fake.lines
    assert first == second, "with --resume, and its own settings"
    assert "--resume" in first
    assert measured[:3] == ["measure", "--dir", str(folder)]
    assert (states(window), batch_of.queue[0].cells) == (["done"], 9)


def test_the_next_folder_is_run_after_one_that_fails_or_is_cancelled(
    window: Window, batch: BatchWindow, folder: Path, fake: FakeLine, qtbot: object, tmp_path: Path
) -> None:
    others = [tmp_path / name for name in ("gone", "last")]
    others[1].mkdir()
    (others[1] / "x.png").write_bytes(b"")
    batch_of = window.session.batch
    batch_of.options.savedir = str(tmp_path / "out")
    fake.go_on.clear()
    for each in (folder, *others):
        batch_of.add(each)
    batch_of.add(folder)
    assert len(batch_of.queue) == 3
    press(batch.run)
    qtbot.waitUntil(fake.at_first.is_set)
    press(batch.cancel)
    until_idle(window, qtbot)
    assert states(window) == ["cancelled", "waiting", "waiting"]
    fake.go_on.set()
    press(batch.run)
    until_idle(window, qtbot)
    assert states(window) == ["cancelled", "failed", "done"]
    assert (tmp_path / "out" / "last").is_dir()
    batch_of.remove(batch_of.queue[1])
    assert batch.rows.topLevelItemCount() == 2


def test_folders_of_one_name_have_results_of_their_own(
    window: Window, batch: BatchWindow, folder: Path, fake: FakeLine, qtbot: object, tmp_path: Path
) -> None:
    out, queue = tmp_path / "out", window.session.batch
    queue.options.savedir, queue.options.measure = str(out), False
    days = [shutil.copytree(folder, tmp_path / day / "images") for day in ("day1", "day2", "day3")]

    def run(*folders: Path) -> list[str]:
        fake.lines.clear()
        for each in folders:
            queue.add(each)
        press(batch.run)
        until_idle(window, qtbot)
        places = [Path(line[line.index("--savedir") + 1]) for line in fake.lines]
        for each, place in zip(folders, places, strict=True):
            (place / io.MANIFEST_NAME).write_text(json.dumps({"options": {"dir": str(each)}, "images": []}))
        assert [each.place for each in queue.queue] == places
        while queue.queue:  # as after a restart
            queue.remove(queue.queue[0])
        return [str(place.relative_to(out)) for place in places]

    assert run(*days[:2]) == ["day1_images", "day2_images"]
    assert run(days[1]) == ["day2_images"], "where it was done before"
    assert run(days[2]) == ["images"]
    assert run(days[2], days[0]) == ["images", "day1_images"]
    moved = days[2].rename(tmp_path / "day3" / "IMAGES")
    assert run(moved.rename(tmp_path / "images"))[0] == f"{tmp_path.name}_images"


def test_segmentations_are_not_replaced_unasked(
    window: Window, batch: BatchWindow, folder: Path, fake: FakeLine, qtbot: object
) -> None:
    (folder / "a_seg.npy").write_bytes(b"")
    answers = window.session.dialogs = Answers()
    window.session.batch.add(folder)
    press(batch.run)
    assert "1 image has a _seg.npy already" in answers.asked[-1]
    assert states(window) == ["waiting"]
    press(batch.outputs["seg"])
    press(batch.run)
    until_idle(window, qtbot)
    assert "--no_npy" in fake.lines[0]
    assert states(window) == ["done"]


def test_a_child_ends_as_by_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    sleeping = [sys.executable, "-c", "print('begun', flush=True); import time; time.sleep(60)"]
    start = lambda _words: subprocess.Popen(sleeping, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # noqa: E731
    monkeypatch.setattr(_child, "_start", start)
    child = Child()
    assert child.run([], lambda line: child.interrupt() if line == "begun" else None) == 130
    assert child.run([], print) == 130, "interrupted before it began"


def test_settings_are_saved_and_loaded(window: Window, tmp_path: Path, qtbot: object) -> None:
    session, file = window.session, tmp_path / "mine.json"
    session.dialogs = Answers(file)
    session.settings.diameter, session.settings.channels, session.settings.sharpen_radius = 41.0, (2, 1), 3.0
    session.recipes.save_settings()
    session.settings.diameter, session.settings.channels, session.settings.sharpen_radius = 30.0, (0, 0), 0.0
    session.recipes.load_settings()
    kept = session.settings
    assert (kept.diameter, kept.channels, kept.sharpen_radius) == (41.0, (2, 1), 3.0)
    content = json.loads(file.read_text())
    content["segmentation"] |= {"model": "no such model", "niter": -3}
    file.write_text(json.dumps(content))
    session.recipes.load_settings()
    assert "cannot be used here: model, niter" in window.notice.text.text()


def test_settings_of_a_run_of_the_command_line(tmp_path: Path) -> None:
    file, settings = tmp_path / "cellpose_run.json", SegmentationSettings()
    options = {"diameter": 17, "flow_threshold": 0.6, "chan": 2, "chan2": 3, "norm_percentile": [2, 98], "niter": 0}
    models = {"model": {"name": "generalist"}}
    file.write_text(json.dumps({"format": "cellpose run", "options": options, "models": models, "images": []}))
    assert read_settings(file, settings, lambda _: True) == []
    assert (settings.model, settings.diameter, settings.channels, settings.upper) == ("generalist", 17.0, (2, 3), 98.0)
    file.write_text("[1]")
    with pytest.raises(FileReadError, match="holds no settings"):
        read_settings(file, settings, lambda _: True)
    write_settings(file, settings)
    assert read_settings(file, SegmentationSettings(), lambda _: True) == []


@pytest.mark.parametrize(
    "name",
    [
        "ä name with spaces that is quite long and goes on for more than two lines.png",
        "a_name_without_spaces_that_is_long.png",
    ],
)
def test_a_long_name_leaves_room_for_the_number_of_cells(batch: BatchWindow, tmp_path: Path, name: str) -> None:
    seen = []
    for cells in (11_111, 22_222):
        results = [ImageResult(tmp_path / "0.png", 5, 1.0), ImageResult(tmp_path / name, cells, 1.0)]
        batch.results.show_folder(BatchFolder(tmp_path, state="done", results=results))
        batch.results.tabs.setCurrentWidget(batch.results.list)
        seen.append(batch.results.list.grab().toImage())
    assert seen[0] != seen[1]
