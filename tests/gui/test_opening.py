"""Opening in the background: the image before its cells, nothing lost that is done meanwhile, giving up."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cellpose import io
from cellpose.gui.controllers import _opening
from cellpose.gui.controllers._preload import importing
from cellpose.gui.model import Document, Picture, _labels
from cellpose.gui.model import _operations as operations
from cellpose.gui.views._window import Window
from hand import draw, key

SIDE = 80


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image with one cell in its file, of class 3."""
    path = tmp_path / "a.tif"
    pixels = np.tile(np.arange(SIDE, dtype=np.uint8), (SIDE, 1))
    io.imsave(str(path), pixels)
    labels = np.zeros((SIDE, SIDE), np.uint16)
    labels[10:30, 10:30] = 1
    rgb = np.full((1, SIDE, SIDE, 3), 7, np.uint8)
    seg = {"masks": labels, "outlines": labels, "filename": str(path), "flows": [rgb], "diameter": 21.0}
    io.write_seg(tmp_path / "a_seg.npy", {**seg, "classes": np.array([3]), "ismanual": np.array([True])})
    io.imsave(str(tmp_path / "b.tif"), pixels.T.copy())
    return path


class Slow:
    """Reading of cells that waits until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go = threading.Event()
        read: Callable[..., object] = _opening._with_cells

        def with_cells(*args: object) -> object:
            assert self.go.wait(30)
            return read(*args)

        monkeypatch.setattr(_opening, "_with_cells", with_cells)
        monkeypatch.setattr(_opening, "_LARGE", 0)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    return Slow(monkeypatch)


def begin(window: Window, qtbot: object, path: Path) -> None:
    """Until the image is seen."""
    window.session.files.begin(path)
    # the first in a process may have to compile what counts the cells
    qtbot.waitUntil(
        lambda: window.session.document is not None and window.session.document.path == path, timeout=60_000
    )


def settled(window: Window, qtbot: object) -> None:
    qtbot.waitUntil(lambda: not window.session.files.is_opening and not window.session.document.is_provisional)


def test_an_image_is_opened_in_the_background_with_all_that_its_file_holds(
    window: Window, qtbot: object, image: Path
) -> None:
    begin(window, qtbot, image)
    document = window.session.document
    assert not document.is_provisional, "a small file is read at once"
    assert document.labels.table["area"].tolist() == [0, 400]
    assert (int(document.labels.table["kind"][1]), bool(document.labels.table["manual"][1])) == (3, True)
    assert document.flows.rgb.shape == (1, SIDE, SIDE, 3)
    assert int(document.flows.rgb.min()) == 7
    assert window.session.settings.diameter == 21


def test_the_image_is_seen_before_its_cells_and_what_is_drawn_meanwhile_is_kept(
    window: Window, qtbot: object, image: Path, slow: Slow
) -> None:
    begin(window, qtbot, image)
    session = window.session
    assert session.document.is_provisional
    assert (session.cell_count(), session.files.opening) == (0, "reading the cells of a.tif")
    draw(window, 20, 32, 8)  # partly where the cell of the file is
    draw(window, 60, 60, 8)
    assert session.cell_count() == 2
    window.scene.zoom(0.5)
    seen = session.seen
    slow.go.set()
    settled(window, qtbot)
    labels = session.document.labels
    assert (labels.count, int(labels.table["area"][1])) == (3, 400)
    assert session.seen == pytest.approx(seen, abs=2), "the view jumped when the cells came"
    session.undo()
    session.undo()
    assert labels.count == 1


def test_nothing_uses_cells_that_are_not_read_yet(window: Window, qtbot: object, image: Path, slow: Slow) -> None:
    begin(window, qtbot, image)
    session, told = window.session, []
    session.told.connect(told.append)
    draw(window, 60, 60, 8)
    before = image.with_name("a_seg.npy").read_bytes()
    for use in (session.files.save, session.segmentation.run, session.exports.masks, session.training.ask):
        told.clear()
        use()
        assert told == ["the cells of this image are still being read"]
    assert not session.jobs.running("segment")
    assert image.with_name("a_seg.npy").read_bytes() == before
    slow.go.set()
    settled(window, qtbot)


def test_a_stroke_is_not_cut_short_when_the_cells_come(window: Window, qtbot: object, image: Path, slow: Slow) -> None:
    from hand import circle, click, hover

    begin(window, qtbot, image)
    path = circle(60, 60, 8, 0.85)
    click(window, *path[0], "RightButton")
    slow.go.set()
    for point in path[1:]:
        qtbot.wait(5)
        hover(window, *point)
    click(window, *path[-1], "RightButton")
    settled(window, qtbot)
    assert window.session.cell_count() == 2


def test_the_next_image_waits_for_cells_that_were_drawn_on(
    window: Window, qtbot: object, image: Path, slow: Slow
) -> None:
    begin(window, qtbot, image)
    draw(window, 60, 60, 8)
    key(window, "Right")
    assert window.session.document.path == image
    slow.go.set()
    qtbot.waitUntil(lambda: window.session.document.path.name == "b.tif")
    assert int(io.read_seg(image.with_name("a_seg.npy")).masks.max()) == 2


def test_a_window_that_is_closed_meanwhile_loses_nothing(
    window: Window, qtbot: object, image: Path, slow: Slow
) -> None:
    begin(window, qtbot, image)
    draw(window, 60, 60, 8)
    slow.go.set()
    window.close()
    assert int(io.read_seg(image.with_name("a_seg.npy")).masks.max()) == 2


def test_giving_up_leaves_an_image_that_cannot_be_edited(
    window: Window, qtbot: object, image: Path, slow: Slow
) -> None:
    begin(window, qtbot, image)
    window.session.files.cancel()
    slow.go.set()
    draw(window, 60, 60, 8)
    assert window.session.cell_count() == 0
    window.session.files.begin(image)
    settled(window, qtbot)
    assert window.session.cell_count() == 1


def test_arrows_pressed_quickly_go_on_from_the_image_that_is_to_come(
    window: Window, qtbot: object, image: Path
) -> None:
    io.imsave(str(image.with_name("c.tif")), np.zeros((SIDE, SIDE), np.uint8))
    begin(window, qtbot, image)
    key(window, "Right")
    key(window, "Right")
    qtbot.waitUntil(lambda: window.session.document.path.name == "c.tif")


def test_a_file_that_cannot_be_read_leaves_what_is_open(window: Window, qtbot: object, image: Path) -> None:
    begin(window, qtbot, image)
    image.with_name("b.tif").write_bytes(b"no image")
    failed: list[str] = []
    window.session.failed.connect(failed.append)
    window.session.files.begin(image.with_name("b.tif"))
    qtbot.waitUntil(lambda: bool(failed))
    assert failed[0].startswith("b.tif was not opened")
    assert window.session.document.path == image
    assert not window.session.document.locked


def test_opening_looks_through_the_pixels_once(
    window: Window, qtbot: object, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of these takes its time from the whole image; a second look would be seen in nothing but the time."""
    counts: Counter[str] = Counter()

    def counted(place: object, name: str) -> None:
        function = getattr(place, name)

        def looked(*args: object, **options: object) -> object:
            counts[name] += 1
            return function(*args, **options)

        monkeypatch.setattr(place, name, looked)

    counted(_labels, "scan")
    counted(Picture, "levels")
    begin(window, qtbot, image)
    settled(window, qtbot)
    assert counts == {"scan": 1, "levels": 1}


def test_the_kernels_are_loaded_before_a_picture_comes_to_the_main_thread(
    window: Window, qtbot: object, image: Path, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[object] = []
    warm = window.session.warm

    def noted(document: Document) -> None:
        told.append((threading.current_thread().name, window.session.document))
        warm(document)

    monkeypatch.setattr(window.session, "warm", noted)
    begin(window, qtbot, image)
    assert told == [("open", None)]
    slow.go.set()
    settled(window, qtbot)
    assert [name for name, _ in told] == ["open", "open"]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_the_main_thread_compiles_nothing_and_counts_no_intensities(
    window: Window, qtbot: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: type
) -> None:
    from numba.core.dispatcher import Dispatcher

    busy: list[str] = []

    def noted(of: type, name: str) -> None:
        function = getattr(of, name)

        def run(*args: object, **options: object) -> object:
            if threading.current_thread() is threading.main_thread():
                busy.append(name)
            return function(*args, **options)

        monkeypatch.setattr(of, name, run)

    noted(Picture, "levels")
    noted(Dispatcher, "compile")
    tifffile.imwrite(tmp_path / "stack.tif", np.ones((5, 40, 40), dtype), imagej=True, metadata={"axes": "ZYX"})
    begin(window, qtbot, tmp_path / "stack.tif")
    settled(window, qtbot)
    window.grab()
    assert window.session.volumes.is_open
    assert busy == []


def test_an_image_that_is_left_takes_no_memory_any_more(window: Window, qtbot: object, image: Path) -> None:
    """At once: the collector of cycles comes late, and does not look at what was there when modules were imported."""
    begin(window, qtbot, image)
    settled(window, qtbot)
    session = window.session
    left = weakref.ref(session.document)
    session.document.do(operations.delete, [1])
    session.document.undo()
    gc.collect()
    gc.disable()
    try:
        begin(window, qtbot, image.with_name("b.tif"))
        settled(window, qtbot)
        qtbot.waitUntil(lambda: left() is None, timeout=5000)
    finally:
        gc.enable()


def test_the_collector_rests_while_any_thread_imports() -> None:
    assert gc.isenabled()
    frozen = gc.get_freeze_count()
    first, second = importing(), importing()
    try:
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert not gc.isenabled(), "another thread still imports"
        second.__exit__(None, None, None)
        assert gc.isenabled()
        assert gc.get_freeze_count() > frozen
    finally:
        gc.unfreeze()
        gc.enable()


def test_the_window_starts_without_the_compiler() -> None:
    code = "import sys, cellpose.gui.views._window; print([n for n in ('torch', 'numba', 'scipy') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
