"""The manual's sections 4, 5 and 6, step by step, by mouse and keys; 17 and 30 are in `test_loop`."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import cv2
import imageio.v3 as imageio
import numpy as np
import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QWidget

from cellpose import io
from cellpose.gui.views._window import Window
from hand import (
    Answers,
    Modifier,
    choose,
    circle,
    click,
    draw,
    drop,
    entry,
    hover,
    key,
    middle,
    press,
    until_idle,
    until_open,
    write_in,
)

SIDE = 64
CELLS = ((16, 16), (16, 47), (47, 16), (47, 47))
CONTROL, SHIFT = Modifier.ControlModifier, Modifier.ShiftModifier


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that wait for each other make tiny images slow on a busy machine."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Four cells, 18 pixels wide, in a folder of their own."""
    plane = np.full((SIDE, SIDE), 20, np.uint8)
    for y, x in CELLS:
        cv2.circle(plane, (x, y), 9, 170, -1)
    noise = np.random.default_rng(0).normal(0, 3, plane.shape)
    path = tmp_path / "images" / "cells.png"
    path.parent.mkdir()
    cv2.imwrite(str(path), (cv2.GaussianBlur(plane, (0, 0), 2) + noise).clip(0, 255).astype(np.uint8))
    return path


@pytest.fixture
def opened(window: Window, image: Path) -> Window:
    """The window with the four cells, in masks."""
    drop(window, image)
    labels = np.zeros((SIDE, SIDE), np.int32)
    for number, (y, x) in enumerate(CELLS, 1):
        cv2.circle(labels, (x, y), 9, number, -1)
    path = image.with_name("cells_masks.tif")
    io.imsave(path, labels.astype(np.uint16))
    window.session.files.open_masks(path)
    until_open(window)
    return window


def run(window: Window, qtbot: QtBot) -> int:
    """Section 5, steps 3 to 6, with a model that is small enough for a test; the number of cells."""
    panel = window.panel.segmentation
    choose(panel.model, "nuclei-cells")
    write_in(panel.diameter, "18")
    press(panel.run)
    until_idle(window, qtbot)
    return window.session.cell_count()


def seen(window: Window) -> np.ndarray:
    """The picture of the view, uint8 (Y, X, 4)."""
    picture = window.scene.grab().toImage()
    return np.array(picture.constBits()).reshape(picture.height(), picture.bytesPerLine() // 4, 4)


# --- 4: the window ---


def test_4_the_program_without_images_opens_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    monkeypatch.setattr("cellpose.gui.gui.run", lambda image=None: opened.append(image))
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    monkeypatch.setattr("sys.argv", ["cellpose"])
    monkeypatch.delitem(sys.modules, "cellpose.__main__", raising=False)  # another test may have imported it
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("cellpose", run_name="__main__")
    assert ended.value.code in (0, None)
    assert opened == [None]


def test_4_a_stack_opens_as_a_volume(window: Window, tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    io.imsave(path, np.zeros((5, 2, 20, 20), np.uint16))  # Z, channels, Y, X
    drop(window, path)
    assert window.session.document.labels.shape == (5, 20, 20)


@pytest.mark.parametrize("suffix", [".tif", ".png", ".jpg", ".gif"])
@pytest.mark.parametrize("way", ["menu", "drop"])
def test_4_images_are_loaded_by_the_menu_or_dropped(window: Window, image: Path, suffix: str, way: str) -> None:
    path = image.with_suffix(suffix)
    imageio.imwrite(path, cv2.imread(str(image), cv2.IMREAD_GRAYSCALE))
    if way == "drop":
        drop(window, path)
    else:
        window.session.dialogs = Answers(path)
        entry(window, "File", "Load image").trigger()
        until_open(window)
    assert window.session.document.path == path
    assert window.session.document.picture.shape[1:] == (SIDE, SIDE)
    assert window.windowTitle() == path.name


def test_4_the_dialog_shows_images_of_the_folder_that_is_open(window: Window, image: Path) -> None:
    drop(window, image)
    window.session.dialogs = answers = Answers()
    entry(window, "File", "Load image").trigger()
    assert answers.suggested == image.parent
    assert all(f"*{suffix}" in answers.kinds for suffix in (".tif", ".png", ".jpg", ".gif"))


def test_4_the_controls_stand_at_the_left_and_are_seen_without_scrolling(window: Window, image: Path) -> None:
    window.resize(1200, 1000)
    drop(window, image)
    panel = window.panel.segmentation
    boxes: list[QWidget] = [panel.model, panel.diameter, *panel.channels, panel.flow, panel.cellprob, panel.run]
    boxes += [window.panel.drawing.masks, window.panel.drawing.outlines, window.panel.views.picture]
    for box in boxes:
        assert box.visibleRegion().boundingRect() == box.rect(), "cut off"
        assert box.mapTo(window, box.rect().topRight()).x() < window.scene.mapTo(window, window.scene.pos()).x()
    names = [panel.model.itemText(place) for place in range(panel.model.count())]
    assert {"cpsam", "cyto3", "nuclei"} <= set(names)


def test_4_keys_and_mouse_of_the_table(opened: Window, qtbot: QtBot) -> None:
    session = opened.session
    view, document = session.view, session.document
    click(opened, 16, 16)  # left click on a mask: select
    assert list(document.selection) == [1]
    click(opened, 16, 47, keys=CONTROL)  # Ctrl + left click: delete
    assert document.labels.ids.tolist() == [1, 3, 4]
    key(opened, "Z", CONTROL)  # undo
    assert document.labels.ids.tolist() == [1, 2, 3, 4]
    draw(opened, 32, 32, 5)  # right click, hover, right click: draw
    assert document.labels.count == 5
    for name, field in (("X", "masks_on"), ("Z", "outlines_on"), ("A", "single_stroke")):
        before = getattr(view, field)
        key(opened, name)
        assert getattr(view, field) is not before, name
    key(opened, "S", CONTROL)  # save
    until_idle(opened, qtbot)
    assert io.read_seg(document.path.with_name("cells_seg.npy")).count == 5
    assert opened.statusBar().currentMessage() == f"saved cells_seg.npy in {document.path.parent}"


def test_4_masks_and_outlines_change_what_is_seen(opened: Window) -> None:
    masks = seen(opened)
    key(opened, "Z")
    both = seen(opened)
    key(opened, "X")
    outlines = seen(opened)
    key(opened, "Z")
    neither = seen(opened)
    pictures = [masks, both, outlines, neither]
    same = [(a, b) for a in range(4) for b in range(a) if np.array_equal(pictures[a], pictures[b])]
    assert not same
    changed = [(picture != neither).any(axis=2).mean() for picture in pictures]
    assert 0 < changed[2] < changed[0], "outlines are thin, masks are filled"


# --- 5: segmenting ---


def test_5_from_a_dropped_image_to_saved_masks(window: Window, image: Path, qtbot: QtBot) -> None:
    session, panel = window.session, window.panel.segmentation
    assert window.welcome.isVisible()  # 1. launch
    drop(window, image)  # 2. drop
    choose(panel.model, "nuclei-cells")  # 3. a model
    choose(panel.channels[0], "0: gray")  # 4. channels
    write_in(panel.diameter, "18")  # 5. the diameter
    bare = seen(window)
    press(panel.run)  # 6. run
    assert panel.run.text() == "cancel"
    assert panel.progress.maximum() == 0, "nothing moves while the model is loaded"
    assert window.statusBar().currentMessage() == "loading nuclei-cells ..."
    qtbot.waitUntil(lambda: session.cell_count() > 0, timeout=240_000)
    assert window.statusBar().currentMessage() == "nuclei-cells: 4 cells found"
    until_idle(window, qtbot)
    assert (panel.count.text(), panel.progress.value(), panel.run.text()) == ("4 ROIs", 100, "run")
    assert (seen(window) != bare).any()  # 7. masks over the image
    entry(window, "File", "Save masks and image (_seg.npy)").trigger()  # 8. save
    until_idle(window, qtbot)
    entry(window, "File", "Save masks as PNG/tif").trigger()
    until_idle(window, qtbot)
    masks = io.imread(image.with_name("cells_cp_masks.png"))
    assert np.unique(masks).tolist() == [0, 1, 2, 3, 4]
    assert np.array_equal(np.load(image.with_name("cells_seg.npy"), allow_pickle=True).item()["masks"], masks)


def test_5_shift_enter_runs_and_a_diameter_of_0_is_left_to_the_model(window: Window, image: Path, qtbot: QtBot) -> None:
    drop(window, image)
    choose(window.panel.segmentation.model, "nuclei-cells")
    write_in(window.panel.segmentation.diameter, "0")
    key(window, "Return", SHIFT)
    until_idle(window, qtbot)
    assert window.session.document.flows is not None
    assert window.notice.isHidden()


def test_5_flows_outlines_and_other_thresholds(window: Window, image: Path, qtbot: QtBot) -> None:
    drop(window, image)
    assert run(window, qtbot) == 4
    panel, image_seen = window.panel, seen(window)
    for name in ("gradXY", "cellprob"):
        choose(panel.views.picture, name)
        assert (seen(window) != image_seen).any(), name
    choose(panel.views.picture, "image")
    press(panel.drawing.masks)
    press(panel.drawing.outlines)
    assert (window.session.view.masks_on, window.session.view.outlines_on) == (False, True)
    write_in(panel.segmentation.cellprob.box, "30")  # far above all: no cells
    until_idle(window, qtbot)
    assert window.session.cell_count() == 0
    write_in(panel.segmentation.cellprob.box, "0")
    until_idle(window, qtbot)
    assert window.session.cell_count() == 4


# --- 6: drawing and correcting ---


def test_6_cells_are_drawn_and_saved_by_themselves(window: Window, image: Path, qtbot: QtBot) -> None:
    drop(window, image)  # 1. load
    for number, (y, x) in enumerate(CELLS, 1):
        path = circle(y, x, 9, 0.85)
        click(window, *path[0], "RightButton")  # 2. right click
        assert window.status.mode.text() == "drawing"
        for point in path[1:]:  # 3. hover
            hover(window, *point)
        if number == 1:
            click(window, *path[-1], "RightButton")  # 4. right click again,
        else:
            for point in circle(y, x, 9)[-8:]:  # or back to the start
                hover(window, *point)
        assert window.status.mode.text() != "drawing"
        assert window.session.cell_count() == number  # 5. the next
    saved = image.with_name("cells_seg.npy")
    qtbot.waitUntil(lambda: saved.is_file() and window.status.saved.text().startswith("saved"), timeout=60_000)  # 6.
    found = io.read_seg(saved)
    assert found.count == 4
    assert found.ismanual.all()


def test_6_a_cell_over_another_is_cropped(opened: Window) -> None:
    before = opened.session.document.labels.planes[0].copy()
    draw(opened, 16, 26, 8)
    labels = opened.session.document.labels.planes[0]
    assert (labels[before > 0] == before[before > 0]).all()
    assert 10 < (labels == 5).sum() < np.pi * 8**2
    assert (labels[before == 0] % 5 == 0).all()


def test_6_strokes_wait_for_enter_where_single_stroke_is_off(opened: Window) -> None:
    press(opened.panel.drawing.single)
    assert not opened.session.view.single_stroke
    draw(opened, 32, 27, 4)
    draw(opened, 32, 31, 4)
    assert opened.session.cell_count() == 4
    assert "Enter" in opened.status.message.text()
    key(opened, "Return")
    assert opened.session.cell_count() == 5


def test_6_select_delete_and_undo(opened: Window) -> None:
    document = opened.session.document
    click(opened, *middle(document.labels.planes[0] == 3))
    entry(opened, "Edit", "Remove selected cell (Ctrl+Click)").trigger()
    click(opened, *middle(document.labels.planes[0] == 2), keys=CONTROL)
    assert document.labels.ids.tolist() == [1, 4]
    key(opened, "Z", CONTROL)
    entry(opened, "Edit", "Undo previous mask/trace").trigger()
    assert document.labels.ids.tolist() == [1, 2, 3, 4]


@pytest.mark.slow  # a training; that of section 17 is always run
def test_6_what_was_drawn_trains_a_model_that_segments_a_new_image(
    window: Window, image: Path, qtbot: QtBot, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cellpose import weights
    from cellpose.gui.views._training_dialog import TrainingDialog

    monkeypatch.setenv(weights.MODEL_DIR_ENV, str(home / "models"))
    monkeypatch.setattr("cellpose.gui.controllers._trainer._NICE", 0)
    new = image.with_name("new.png")
    cv2.imwrite(str(new), cv2.imread(str(image), cv2.IMREAD_GRAYSCALE)[::-1, :])
    drop(window, image)
    choose(window.panel.segmentation.model, "nuclei-cells")
    write_in(window.panel.segmentation.diameter, "18")
    for y, x in CELLS:
        draw(window, y, x, 9)
    key(window, "T", CONTROL)
    qtbot.waitUntil(lambda: bool(window.findChildren(TrainingDialog)), timeout=60_000)
    (dialog,) = window.findChildren(TrainingDialog)
    write_in(dialog.epochs, "1")
    write_in(dialog.name, "drawn")
    QTest.mouseClick(dialog.train, Qt.MouseButton.LeftButton)
    document = window.session.document
    qtbot.waitUntil(lambda: window.session.document is not document, timeout=240_000)
    until_idle(window, qtbot)
    assert window.session.document.path == new
    assert window.session.document.flows.model == "drawn"
    assert window.session.cell_count() >= 3
