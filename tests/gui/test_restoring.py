"""Restoring the image with a network: buttons, both pictures, what is segmented, files; filters that follow at once."""

from __future__ import annotations

import gc
import threading
import time
from pathlib import Path
from typing import Any
from weakref import ref

import cv2
import numpy as np
import pytest
import tifffile
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from cellpose import io, weights
from cellpose.denoise import DenoiseModel
from cellpose.gui.controllers._session import Session
from cellpose.gui.controllers._training import _opened
from cellpose.gui.model import Picture
from cellpose.gui.model._restored import Restored, content_of_restored, restored_image, restored_of
from cellpose.gui.model._training_set import training_set
from cellpose.gui.views._window import Window
from cellpose.options import Normalization
from hand import Answers, Modifier, drop, key, press

SIDE = 96


def rest(window: Window, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: not window.session.jobs.any, timeout=60_000)


def noisy(seed: int = 0, channels: int = 1) -> np.ndarray:
    """(1, C, Y, X): four disks under noise."""
    rng, plane = np.random.default_rng(seed), np.zeros((SIDE, SIDE), np.uint8)
    for y in (26, 70):
        for x in (26, 70):
            cv2.circle(plane, (x, y), 13, 120, -1)
    return np.stack([rng.poisson(plane / 20 + 1) * 18 for _ in range(channels)]).clip(0, 255).astype(np.uint8)[None]


@pytest.fixture
def opened(window: Window, tmp_path: Path) -> Window:
    """The window with noisy cells of a file."""
    cv2.imwrite(str(tmp_path / "cells.png"), noisy()[0, 0])
    drop(window, tmp_path / "cells.png")
    window.session.settings.diameter = 26.0
    return window


class Network:
    """A network that remembers what it was given, and finds one cell in it."""

    model_name, diam_labels = "fake", 30.0

    def __init__(self) -> None:
        self.given: dict[str, Any] = {}

    def eval(self, image: np.ndarray, progress: Any, **options: Any) -> tuple[Any, ...]:
        self.given = {**options, "image": image}
        size = image.shape[:-1]
        masks = np.zeros(size, np.uint16)
        masks[..., 10:30, 10:30] = 1
        flows = [np.zeros((*size, 3), np.uint8), np.zeros((len(size), *size), np.float32), np.zeros(size, np.float32)]
        return masks, flows, None


@pytest.fixture
def network(window: Window, monkeypatch: pytest.MonkeyPatch) -> Network:
    """What segments in place of a real one."""
    made = Network()
    monkeypatch.setattr(window.session.segmentation, "_loaded", lambda *_: made)
    return made


def test_one_click_shows_the_restored_image_and_segments_it(opened: Window, network: Network, qtbot: Any) -> None:
    session, panel = opened.session, opened.panel.filtering
    assert not panel.restored.isEnabled()
    press(panel.tasks["oneclick"])
    rest(opened, qtbot)
    assert (session.view.view, session.restoration.done) == ("restored", "oneclick")
    assert panel.tasks["oneclick"].isChecked()
    assert not panel.none.isChecked()
    assert not panel.filter.isChecked()
    expected = DenoiseModel(model_type="oneclick").eval(session.document.stack[0, 0], channels=[0, 0], diameter=26)
    assert np.allclose(session.document.restored.stack[0, 0], expected[..., 0], atol=1e-5)
    press(opened.panel.segmentation.run)
    rest(opened, qtbot)
    assert network.given["image"].dtype == np.float32
    assert network.given["normalize"] == Normalization()
    assert session.document.origins[-1].settings["restore"] == "oneclick"
    press(panel.original)
    assert session.view.view == "image"
    press(panel.restored)
    assert session.view.view == "restored"
    press(panel.none)
    assert (session.view.view, session.document.restored) == ("image", None)
    press(opened.panel.segmentation.run)
    rest(opened, qtbot)
    assert network.given["image"].dtype == np.uint8


def test_upsampling_keeps_cells_at_the_size_of_the_image(opened: Window, network: Network, qtbot: Any) -> None:
    session, panel, path = opened.session, opened.panel.filtering, opened.session.document.path
    press(panel.tasks["upsample"])
    rest(opened, qtbot)
    enlarged = int(SIDE * 30 / 26)
    assert session.document.restored.picture.shape == (1, enlarged, enlarged)
    press(opened.panel.segmentation.run)
    rest(opened, qtbot)
    assert network.given["diameter"] == pytest.approx(30)
    assert network.given["image"].shape == (enlarged, enlarged, 1)
    labels = session.document.labels.planes[0]
    ys, xs = np.nonzero(labels)
    assert labels.shape == (SIDE, SIDE)
    assert abs(ys.min() - 10 * 26 / 30) <= 1
    assert abs(xs.max() - 29 * 26 / 30) <= 1
    press(panel.save)
    rest(opened, qtbot)
    saved = io.imread(path.with_name("cells_dn.tif"))
    assert saved.dtype == np.float32
    assert np.array_equal(saved, session.document.restored.stack[0, 0])
    masks = io.imread(path.with_name("cells_dn_cp_masks.tif"))
    assert masks.shape == saved.shape
    assert abs(int((masks > 0).sum()) - 400) < 100


def test_a_part_of_an_upsampled_image(opened: Window, network: Network, qtbot: Any) -> None:
    session = opened.session
    session.restoration.start("upsample")
    rest(opened, qtbot)
    session.segmentation.run_on((0.0, 0.0, 36.0, 36.0))
    rest(opened, qtbot)
    rows = network.given["image"].shape[0]
    assert rows == round((36 + 52) * 30 / 26), "the region with its margin, enlarged"
    assert session.cell_count() == 1
    assert session.document.flows.dP.shape == (2, SIDE, SIDE)


@pytest.mark.parametrize(("diameter", "told"), [(40.0, "upsample makes cells 30 pixels wide"), (0.0, "set the diam")])
def test_upsampling_says_why_not(opened: Window, qtbot: Any, diameter: float, told: str) -> None:
    opened.session.settings.diameter = diameter
    press(opened.panel.filtering.tasks["upsample"])
    rest(opened, qtbot)
    assert told in opened.notice.text.text()
    assert opened.session.document.restored is None


def test_volumes_are_restored_plane_by_plane_and_not_enlarged(window: Window, qtbot: Any) -> None:
    session, panel = window.session, window.panel.filtering
    stack = np.concatenate([noisy(seed) for seed in range(3)])
    session.open_array(stack)
    session.settings.diameter = 26.0
    assert not panel.tasks["upsample"].isEnabled()
    session.restoration.start("upsample")
    assert "single planes" in window.notice.text.text()
    press(panel.tasks["denoise"])
    rest(window, qtbot)
    assert session.document.restored.stack.shape == stack.shape
    assert all(plane.std() > 0 for plane in session.document.restored.stack)


def test_what_was_restored_is_in_the_seg_file_and_comes_back(opened: Window, network: Network, qtbot: Any) -> None:
    session, path = opened.session, opened.session.document.path
    session.restoration.start("upsample")
    rest(opened, qtbot)
    before = session.document.restored.stack
    session.segmentation.run()
    rest(opened, qtbot)
    key(opened, "S", Modifier.ControlModifier)
    rest(opened, qtbot)
    content = io.read_seg(path.with_name("cells_seg.npy")).content
    assert (content["restore"], content["ratio"]) == ("upsample", pytest.approx(30 / 26))
    assert content["img_restore"].shape == (*before.shape[2:], 1)
    assert content["masks"].shape == (SIDE, SIDE)
    assert content["masks_restore"].shape == before.shape[2:]
    session.files.autosave.enabled = False
    session.filters.clear()
    drop(opened, path)
    rest(opened, qtbot)
    assert session.view.view == "restored"
    assert session.restoration.done == "upsample"
    assert np.array_equal(session.document.restored.stack, before)


def test_a_restored_image_is_saved_without_an_edit_and_so_is_none(opened: Window, network: Network, qtbot: Any) -> None:
    session, path = opened.session, opened.session.document.path
    cv2.imwrite(str(path.with_name("other.png")), noisy(1)[0, 0])
    session.restoration.start("denoise")
    rest(opened, qtbot)
    assert session.document.is_saved, "there is no file, and it would hold no cells"
    told: list[str] = []
    session.told.connect(lambda text: told.append(text))
    drop(opened, path.with_name("other.png"))
    assert told == ["the restored image of cells.png was not kept; it is saved as soon as there are cells"]
    drop(opened, path)
    session.segmentation.run()
    rest(opened, qtbot)
    session.files.autosave.settle()
    for model in ("denoise", ""):
        if model:
            session.restoration.start(model)
            rest(opened, qtbot)
        else:
            press(opened.panel.filtering.none)
        assert opened.windowTitle() == "cells.png \N{BLACK CIRCLE}"
        assert opened.status.saved.text() == "not saved"
        drop(opened, path.with_name("other.png"))
        drop(opened, path)
        assert session.restoration.done == model
        assert opened.windowTitle() == "cells.png"


def test_a_filter_is_saved_without_an_edit_and_opening_it_saves_nothing(
    opened: Window, network: Network, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, path = opened.session, opened.session.document.path
    session.segmentation.run()
    rest(opened, qtbot)
    session.files.autosave.settle()
    session.settings.smooth_radius = 2.0
    rest(opened, qtbot)
    assert not session.document.is_saved
    session.files.open(path)
    session.document.select([1])
    session.remove_selected()  # while the image is being filtered
    session.files.open(path)
    rest(opened, qtbot)
    assert session.filters.is_on
    assert session.document.restored.filters["smooth_radius"] == 2.0
    assert session.document.is_saved
    session.filters.clear()
    session.files.open(path)
    rest(opened, qtbot)
    assert session.document.restored is None
    assert session.settings.smooth_radius == 0


@pytest.mark.parametrize(
    "damage",
    [{"ratio": "2"}, {"ratio": np.nan}, {"img_restore": np.zeros((3, 3))}, {"restore": 7}, {"img_restore": None}],
)
def test_a_damaged_restored_image_is_left_out(damage: dict[str, Any]) -> None:
    stack = np.random.default_rng(0).random((1, 1, 12, 16)).astype(np.float32)
    content = content_of_restored(Restored.by_model("m", stack, 2.0, (0, 0), 1))
    assert restored_of(content, (1, 6, 8), (0, 0), 1) is not None
    assert restored_of({**content, **damage}, (1, 6, 8), (0, 0), 1) is None


def test_a_filter_is_written_as_the_original_does(opened: Window, qtbot: Any) -> None:
    opened.session.settings.invert = True
    document = opened.session.document
    rest(opened, qtbot)
    content = content_of_restored(document.restored)
    assert (content["restore"], content["ratio"]) == ("filter", 1.0)
    assert (content["img_restore"].min(), content["img_restore"].max()) == (0, 255)


class SlowModel:
    """Restores nothing until it may, then reports."""

    diam_mean = 30.0

    def __init__(self) -> None:
        self.go = threading.Event()

    def restored(self, *_: Any, report: Any, **__: Any) -> list[Any]:
        report(0.4)
        assert self.go.wait(20)
        report(0.8)
        message = "it went on"
        raise AssertionError(message)


def test_restoring_shows_its_progress_and_can_be_canceled(
    opened: Window, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, panel = SlowModel(), opened.panel.filtering
    monkeypatch.setattr(opened.session.restoration, "_loaded", lambda *_: model)
    press(panel.tasks["denoise"])
    qtbot.waitUntil(lambda: panel.progress.value() == 40)
    assert panel.progress.isVisibleTo(panel)
    assert panel.tasks["denoise"].text() == "cancel"
    press(panel.tasks["denoise"])
    assert panel.tasks["denoise"].text() == "denoise"
    model.go.set()
    qtbot.waitUntil(lambda: not opened.session.jobs.is_ending("restore"))
    assert opened.session.document.restored is None
    assert not opened.notice.isVisible()
    assert not panel.progress.isVisibleTo(panel)


@pytest.mark.parametrize(("task", "name"), [("oneclick", "oneclick_cyto3"), ("denoise", "denoise_cyto3")])
def test_a_published_model_is_asked_for_by_its_name_and_downloaded_if_wanted(
    opened: Window, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, task: str, name: str
) -> None:
    asked: list[str] = []
    monkeypatch.setenv(weights.MODEL_DIR_ENV, str(tmp_path))
    monkeypatch.setattr(opened.session.dialogs, "ask_yes", lambda _, question: bool(asked.append(question)))
    opened.session.settings.restorer = "cyto3"
    press(opened.panel.filtering.tasks[task])
    assert name in asked[0]
    assert not opened.session.jobs.any


def test_a_file_of_the_user_is_one_model(
    opened: Window, qtbot: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    session, panel = opened.session, opened.panel.filtering
    monkeypatch.setattr(session.dialogs, "ask_open", lambda *_: tmp_path / "mine")
    last = panel.model.count() - 1
    panel.model.setCurrentIndex(last)
    panel.model.activated.emit(last)
    assert session.settings.restorer == str(tmp_path / "mine")
    assert panel.model.currentText() == "mine"
    assert [made.isEnabled() for made in panel.tasks.values()] == [True, False, False, False]
    press(panel.tasks["denoise"])
    rest(opened, qtbot)
    assert "not restored" in opened.notice.text.text()
    assert "mine" in opened.notice.text.text()


def test_channels_that_were_not_restored_are_not_segmented(window: Window, network: Network, qtbot: Any) -> None:
    session = window.session
    session.open_array(noisy(channels=3))
    session.settings.channels, session.settings.diameter = (2, 1), 26.0
    session.restoration.start("oneclick")
    rest(window, qtbot)
    restored = session.document.restored
    assert restored.stack.shape[1] == 2
    assert np.array_equal(restored.picture.constant, [False, False, True]), "red and green, where the image has them"
    session.segmentation.run()
    rest(window, qtbot)
    assert network.given["channels"] == [1, 2]
    session.settings.channels = (1, 0)
    session.segmentation.run()
    assert "restore it again" in window.notice.text.text()


def colors(window: Window, y: int, x: int) -> tuple[int, int, int]:
    """What is painted over a pixel of the image."""
    from hand import place

    spot = place(window, y, x)
    return window.scene.grab().toImage().pixelColor(spot).getRgb()[:3]


@pytest.fixture
def inverted(opened: Window, qtbot: Any) -> Window:
    """The window with an image whose filter is its opposite."""
    session = opened.session
    ramp = np.tile(np.arange(SIDE, dtype=np.uint8), (SIDE, 1))[None, None]
    session.open_array(ramp)
    session.settings.invert = True
    rest(opened, qtbot)
    return opened


def test_the_divider_shows_both_sides_and_goes_by_mouse_and_keys(inverted: Window, qtbot: Any) -> None:
    session, divider = inverted.session, inverted.divider
    assert not divider.isVisible()
    key(inverted, "R", Modifier.ShiftModifier)
    assert divider.isVisible()
    assert inverted.panel.filtering.compare.isChecked()
    assert colors(inverted, 40, 5)[0] < 60, "the image is dark at the left"
    assert colors(inverted, 40, SIDE - 6)[0] < 60, "and its opposite at the right"
    width, middle = inverted.scene.viewport().width(), QPoint(divider.width() // 2, 30)
    QTest.mousePress(divider, Qt.MouseButton.LeftButton, Modifier.NoModifier, middle)
    QTest.mouseMove(divider, middle - QPoint(width, 0))
    QTest.mouseRelease(divider, Qt.MouseButton.LeftButton, Modifier.NoModifier, middle)
    assert session.view.divider == 0
    assert colors(inverted, 40, 5)[0] > 190
    key(inverted, "Right", Modifier.AltModifier)
    assert session.view.divider == pytest.approx(0.02)
    divider.setFocus()
    QTest.keyClick(divider, Qt.Key.Key_End)
    assert session.view.divider == 1
    assert colors(inverted, 40, SIDE - 6)[0] > 190
    key(inverted, "R", Modifier.ShiftModifier)
    assert not divider.isVisible()
    session.view.compare = True
    session.filters.clear()
    assert not divider.isVisible(), "there is nothing to compare any more"


def test_filters_follow_their_sliders_at_once(opened: Window, qtbot: Any) -> None:
    session, panel = opened.session, opened.panel.filtering
    slider = panel.sliders["smooth_radius"].slider
    slider.setSliderDown(True)
    for value in (0.5, 1.0, 2.0, 3.0):
        slider.setValue(value)
        QTest.qWait(5)
    slider.setSliderDown(False)
    rest(opened, qtbot)
    assert session.view.view == "restored"
    assert session.document.restored.filters["smooth_radius"] == 3
    slider.setValue(0.0)
    rest(opened, qtbot)
    assert session.document.restored is None
    press(panel.live)
    slider.setValue(2.0)
    assert not session.jobs.any


def test_a_filter_does_not_take_the_place_of_a_restored_image(opened: Window, qtbot: Any) -> None:
    session = opened.session
    session.restoration.start("oneclick")
    rest(opened, qtbot)
    opened.panel.filtering.numbers["smooth_radius"].setValue(2)
    rest(opened, qtbot)
    assert session.restoration.done == "oneclick"
    press(opened.panel.filtering.filter)
    rest(opened, qtbot)
    assert session.filters.is_on
    assert not session.restoration.done


def test_a_filtered_image_is_saved_as_networks_get_it(opened: Window, qtbot: Any) -> None:
    from cellpose import transforms

    session = opened.session
    session.settings.smooth_radius = 2.0
    rest(opened, qtbot)
    press(opened.panel.filtering.save)
    rest(opened, qtbot)
    saved = io.imread(session.document.path.with_name("cells_dn.tif"))
    image = session.document.stack[0, 0][..., None]
    expected = transforms.apply_normalization(image, Normalization(smooth_radius=2.0))[..., 0]
    assert np.allclose(saved, expected, atol=1e-6)


def test_the_copied_command_restores_first(opened: Window, qtbot: Any) -> None:
    session, copied = opened.session, []
    session.copied.connect(copied.append)
    session.restoration.start("oneclick")
    rest(opened, qtbot)
    session.recipes.copy_command()
    session.recipes.copy_python()
    qtbot.waitUntil(lambda: bool(copied), timeout=60_000)
    rest(opened, qtbot)
    session.recipes.copy_command()
    rest(opened, qtbot)
    assert "--restore_type oneclick" in copied[-1]
    assert any("CellposeDenoiseModel(restore_type='oneclick'" in text for text in copied)


# --- training, movies ---


def cells_of_disks() -> np.ndarray:
    labels = np.zeros((SIDE, SIDE), np.int32)
    for number, (y, x) in enumerate(((26, 26), (26, 70), (70, 26), (70, 70)), 1):
        cv2.circle(labels, (x, y), 13, number, -1)
    return labels


@pytest.mark.parametrize("what", ["oneclick", "upsample", "filter"])
def test_training_takes_the_image_that_was_segmented(
    opened: Window, network: Network, qtbot: Any, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """The restored image, of the file and of the window alike, with cells as large as in it."""
    session = opened.session
    if what == "filter":
        session.settings.smooth_radius = 2.0
    else:
        session.settings.diameter = 20.0
        session.restoration.start(what)
    rest(opened, qtbot)
    monkeypatch.setattr(network, "eval", lambda image, **_: _found(image))
    session.segmentation.run()
    rest(opened, qtbot)
    session.files.autosave.settle()
    document = session.document
    (of_file,) = training_set(document.path.parent).train
    (of_window,) = training_set(document.path.parent, _opened(document)()).train
    restored = document.restored
    sides = restored.picture.shape[1:]
    assert of_file.image.shape == (*sides, 1)
    assert of_file.labels.shape == sides
    assert of_file.cells == 4
    assert of_file.restored == what
    assert np.array_equal(of_file.image, of_window.image)
    assert np.array_equal(of_file.labels, of_window.labels)
    if restored.stack is not None:
        assert np.array_equal(of_file.image[..., 0], restored.stack[0, 0])
    assert of_file.image[of_file.labels > 0].mean() > 2 * of_file.image[of_file.labels == 0].mean()
    document.restored = None
    (raw,) = training_set(document.path.parent, _opened(document)()).train
    assert np.array_equal(raw.image[..., 0], document.stack[0, 0])
    assert not raw.restored


def _found(image: np.ndarray) -> tuple[Any, ...]:
    size = image.shape[:2]
    masks = cv2.resize(cells_of_disks().astype(np.uint16), size[::-1], interpolation=cv2.INTER_NEAREST)
    return masks, [np.zeros((*size, 3), np.uint8), np.zeros((2, *size), np.float32), np.zeros(size, np.float32)], None


def test_two_restored_channels_are_trained_on_in_their_places() -> None:
    stack = np.random.default_rng(0).random((1, 2, 6, 8)).astype(np.float32)
    content = content_of_restored(Restored.by_model("m", stack, 1.0, (3, 1), 3))
    image = restored_image(content, (1, 6, 8), (3, 1), 3)
    assert np.array_equal(image[..., 2], stack[0, 0])
    assert np.array_equal(image[..., 0], stack[0, 1])
    assert not image[..., 1].any()
    assert restored_image({**content, "img_restore": "damaged"}, (1, 6, 8), (3, 1), 3) is None
    assert restored_image({"restore": "filter", "img_restore": stack[0]}, (1, 6, 8), None, 3) is None


def test_a_movie_is_restored_frame_by_frame_and_segmented_so(window: Window, qtbot: Any, tmp_path: Path) -> None:
    frames = np.concatenate([noisy(seed)[0] for seed in range(3)])
    tifffile.imwrite(tmp_path / "movie.tif", frames, imagej=True, metadata={"axes": "TYX"})
    drop(window, tmp_path / "movie.tif")
    session = window.session
    assert session.movies.is_open
    session.settings.diameter = 26.0
    press(window.panel.filtering.tasks["denoise"])
    rest(window, qtbot)
    stack = session.document.restored.stack
    alone = DenoiseModel(model_type="denoise").eval(frames[1], diameter=26.0)
    assert stack.shape == (3, 1, SIDE, SIDE)
    assert np.allclose(stack[1, 0], np.squeeze(alone), atol=1e-4), "each frame has a brightness of its own"
    press(window.panel.filtering.save)
    rest(window, qtbot)
    assert np.array_equal(tifffile.imread(tmp_path / "movie_dn.tif"), stack[:, 0])


def test_a_changed_filter_says_why_the_restored_image_stays(opened: Window, qtbot: Any) -> None:
    opened.session.restoration.start("oneclick")
    rest(opened, qtbot)
    opened.panel.filtering.numbers["smooth_radius"].setValue(2)
    assert "press filter" in opened.statusBar().currentMessage()


def test_a_filter_does_not_fill_the_bar_of_the_run(opened: Window, qtbot: Any) -> None:
    opened.session.settings.smooth_radius = 2.0
    rest(opened, qtbot)
    assert opened.session.filters.is_on
    assert opened.panel.segmentation.progress.value() <= 0


@pytest.mark.parametrize("before", ["raw", "filtered", "restored"])
def test_a_run_during_filtering_takes_the_filter_that_was_asked_for(
    opened: Window, network: Network, qtbot: Any, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    """And its history and the copied command tell what the network saw."""
    session, go_on, copied = opened.session, threading.Event(), []
    session.copied.connect(copied.append)
    if before == "restored":
        session.restoration.start("oneclick")
    else:
        session.settings.smooth_radius = 1.0 if before == "filtered" else 0.0
    rest(opened, qtbot)
    made = Picture.of
    monkeypatch.setattr(Picture, "of", lambda *args: (go_on.wait(30), made(*args))[1])
    session.filters.live = False
    session.settings.smooth_radius = 3.0
    session.filters.apply()
    session.filters.live = True
    if before == "filtered":
        session.settings.smooth_radius = 2.0  # meanwhile; this one is made next
    wanted = session.settings.smooth_radius
    session.segmentation.run()
    qtbot.waitUntil(lambda: not session.segmentation.is_running)
    session.recipes.copy_command()
    qtbot.waitUntil(lambda: bool(copied))
    assert network.given["normalize"].smooth_radius == wanted
    assert network.given["image"].dtype == np.uint8
    told = session.document.origins[-1].settings
    assert told["smooth_radius"] == wanted
    assert "restore" not in told
    assert f"--smooth_radius {wanted:g}" in copied[0]
    assert "--restore_type" not in copied[0]
    go_on.set()
    rest(opened, qtbot)
    assert session.document.filters["smooth_radius"] == wanted


def test_an_image_that_was_filtered_leaves_the_memory_with_the_next_one(tmp_path: Path) -> None:
    session, names = Session(lambda function: function(), Answers()), [tmp_path / "a.tif", tmp_path / "b.tif"]
    for name in names:
        io.imsave(str(name), noisy()[0, 0])
    assert session.files.open(names[0])
    session.settings.smooth_radius = 2.0
    end = time.monotonic() + 30
    while session.jobs.any and time.monotonic() < end:
        time.sleep(0.01)
    assert session.filters.is_on
    session.settings.smooth_radius = 0.0
    left = ref(session.document)
    assert session.files.open(names[1])
    gc.collect()
    assert left() is None


def test_a_filter_that_was_not_pressed_is_told_nowhere(opened: Window, network: Network, qtbot: Any) -> None:
    session, copied = opened.session, []
    session.copied.connect(copied.append)
    session.filters.live = False
    session.settings.smooth_radius = 3.0
    session.segmentation.run()
    rest(opened, qtbot)
    session.recipes.copy_command()
    qtbot.waitUntil(lambda: bool(copied))
    assert network.given["normalize"].smooth_radius == 0
    assert "smooth_radius" not in session.document.origins[-1].settings
    assert "smooth_radius" not in copied[0]
