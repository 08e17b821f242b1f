"""The controls of a segmentation: thresholds that act at once, running and cancelling, models, channels, filters."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from cellpose import dynamics, weights
from cellpose.gui.controllers._live import _BOXES, FoundCells
from cellpose.gui.controllers._segmentation import allowed_channels
from cellpose.gui.model import Flows
from cellpose.gui.model._provenance import Origin
from cellpose.gui.views._window import Window
from hand import Modifier, click, draw, entry, key, press
from small_model import small_file

SIDE = 120


def rest(window: Window, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: not window.session.jobs.any, timeout=30_000)


@pytest.fixture
def flowing(window: Window) -> Window:
    """The window with the flows of four disks, whose probability falls from 4 at the first to 1 at the last."""
    labels, cellprob = np.zeros((SIDE, SIDE), np.uint16), np.full((SIDE, SIDE), -5, np.float32)
    for number, (x, y) in enumerate(((30, 30), (90, 30), (30, 90), (90, 90)), 1):
        cv2.circle(labels, (x, y), 14, number, -1)
        cellprob[labels == number] = 5 - number
    flows = np.asarray(dynamics.labels_to_flows([labels])[0], np.float32)
    window.session.open_array(np.zeros((1, 1, SIDE, SIDE), np.uint8))
    window.session.document.flows = Flows(None, 5 * flows[-2:], cellprob)
    return window


def test_masks_follow_a_threshold(flowing: Window, qtbot: Any) -> None:
    panel = flowing.panel.segmentation
    for threshold, count in ((0.5, 4), (2.5, 2), (3.5, 1), (0.0, 4)):
        panel.cellprob.box.setValue(threshold)
        rest(flowing, qtbot)
        assert panel.count.text() == f"{count} ROIs"
    assert len(flowing.session.document.history) == 4


def test_enter_in_a_box_makes_masks_also_with_the_same_number(flowing: Window, qtbot: Any) -> None:
    for box in (flowing.panel.segmentation.cellprob.box, flowing.panel.segmentation.niter):
        QTest.keyClick(box, Qt.Key.Key_Return)
        rest(flowing, qtbot)
        assert flowing.session.cell_count() == 4
        key(flowing, "0", Modifier.ControlModifier)
        assert flowing.session.cell_count() == 0


def test_a_drag_of_the_slider_is_one_step_and_the_last_value_counts(flowing: Window, qtbot: Any) -> None:
    slider = flowing.panel.segmentation.cellprob.slider
    slider.setSliderDown(True)
    for value in np.arange(0.25, 2.75, 0.25):
        slider.setValue(float(value))
        QTest.qWait(5)
    slider.setSliderDown(False)
    rest(flowing, qtbot)
    assert flowing.session.settings.cellprob_threshold == 2.5
    assert flowing.session.cell_count() == 2
    assert len(flowing.session.document.history) == 1
    flowing.session.undo()
    assert flowing.session.cell_count() == 0


def test_cells_drawn_by_hand_survive_a_threshold(flowing: Window, qtbot: Any) -> None:
    draw(flowing, 60, 60, 8)
    flowing.panel.segmentation.cellprob.box.setValue(2.5)
    rest(flowing, qtbot)
    assert flowing.session.cell_count() == 3
    flowing.session.settings.keep_corrected = False
    flowing.panel.segmentation.cellprob.box.setValue(1.5)
    rest(flowing, qtbot)
    assert flowing.session.cell_count() == 3, "the three above the threshold, and no other"


def test_cells_removed_by_hand_stay_away(flowing: Window, qtbot: Any) -> None:
    session, settings = flowing.session, flowing.session.settings
    settings.cellprob_threshold = 0.5
    rest(flowing, qtbot)
    click(flowing, 90, 90, keys=Modifier.ControlModifier)
    assert session.cell_count() == 3
    for threshold, count in ((0.25, 3), (1.5, 3), (2.5, 2), (0.5, 3)):  # at 1.5 its flows have no cell there
        settings.cellprob_threshold = threshold
        session.segmentation.live.settle()
        rest(flowing, qtbot)
        assert session.cell_count() == count
    while session.cell_count() < 4:
        session.undo()
    settings.cellprob_threshold = 0.25
    rest(flowing, qtbot)
    assert session.cell_count() == 4, "taken back"
    click(flowing, 90, 90, keys=Modifier.ControlModifier)
    settings.keep_corrected = False
    settings.cellprob_threshold = 0.5
    rest(flowing, qtbot)
    assert session.cell_count() == 4
    settings.keep_corrected = True
    session.clear()
    settings.cellprob_threshold = 0.25
    rest(flowing, qtbot)
    assert session.cell_count() == 4, "begun anew"


def test_percentiles_that_make_no_sense_are_red_and_refused(filled: Window) -> None:
    panel = filled.panel.segmentation
    before = list(filled.session.view.levels)
    panel.lower.setValue(99.5)
    assert "border" in panel.lower.styleSheet()
    assert filled.session.view.levels == before
    panel.run.click()
    assert not filled.session.jobs.any
    assert filled.notice.isVisible()
    panel.lower.setValue(20)
    assert not panel.lower.styleSheet()
    assert filled.session.view.levels[0][0] > before[0][0], "the percentiles are those of the picture too"


def test_auto_adjust_sets_the_levels_again(filled: Window) -> None:
    view, auto = filled.session.view, filled.panel.views.auto
    found = list(view.levels)
    auto.setChecked(False)
    view.levels = [(10.0, 20.0)] * 3
    auto.setChecked(True)
    assert view.levels == found


class Slow:
    """A network that waits, then reports, then returns nothing found."""

    model_name, diam_labels = "slow", 30.0

    def __init__(self) -> None:
        self.go = threading.Event()

    def eval(self, image: np.ndarray, progress: Callable[[float], None], **_options: Any) -> tuple[Any, ...]:
        progress(40)
        assert self.go.wait(20)
        progress(80)
        plane = np.zeros(image.shape[:2], np.float32)
        return plane.astype(np.uint16), [np.zeros((*plane.shape, 3), np.uint8), np.stack([plane] * 2), plane], None


def test_a_model_whose_file_was_replaced_is_loaded_again(window: Window, tmp_path: Path) -> None:
    """As by a training under the same name."""
    path = str(small_file(tmp_path))
    segmentation = window.session.segmentation
    first = segmentation._loaded(path, gpu=False)
    assert segmentation._loaded(path, gpu=False) is first
    small_file(tmp_path, nbase=(2, 4, 16))
    assert segmentation._loaded(path, gpu=False).nbase == [2, 4, 16]


def test_the_run_button_cancels_and_says_until_when(
    filled: Window, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, run = Slow(), filled.panel.segmentation.run
    monkeypatch.setattr(filled.session.segmentation, "_loaded", lambda *_: network)
    run.click()
    qtbot.waitUntil(lambda: filled.panel.segmentation.progress.value() == 40)
    assert run.text() == "cancel"
    run.click()
    assert (run.text(), run.isEnabled()) == ("canceling...", False)
    key(filled, "Return", Modifier.ShiftModifier)
    assert not filled.session.jobs.any
    network.go.set()
    qtbot.waitUntil(lambda: run.text() == "run")
    assert run.isEnabled()
    assert filled.panel.segmentation.progress.value() == 0
    assert filled.session.cell_count() == 2, "the result of a cancelled run is not used"
    run.click()
    rest(filled, qtbot)
    assert filled.panel.segmentation.count.text() == "0 ROIs"


def test_thresholds_changed_during_a_run_act_on_its_result(
    flowing: Window, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, flows, go = flowing.session, flowing.session.document.flows, threading.Event()

    def evaluate(*_image: Any, cellprob_threshold: float, **_options: Any) -> tuple[Any, ...]:
        masks = dynamics.resize_and_compute_masks(flows.dP, flows.cellprob, cellprob_threshold=cellprob_threshold)
        assert go.wait(20)
        return masks, [np.zeros((SIDE, SIDE, 3), np.uint8), flows.dP, flows.cellprob], None

    network = SimpleNamespace(model_name="slow", diam_labels=30.0, eval=evaluate)
    monkeypatch.setattr(session.segmentation, "_loaded", lambda *_: network)
    session.document.flows = None
    session.segmentation.run()
    session.settings.cellprob_threshold = 2.5
    go.set()
    rest(flowing, qtbot)
    assert session.cell_count() == 2


def test_a_run_that_fails_is_told(filled: Window, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(filled.session.segmentation, "_loaded", broken)
    filled.panel.segmentation.run.click()
    rest(filled, qtbot)
    assert filled.notice.text.text() == "NET ERROR: out of memory"
    assert filled.panel.segmentation.progress.value() == 0
    assert filled.session.cell_count() == 2


@pytest.mark.parametrize(
    ("wanted", "channels", "model", "allowed"),
    [
        ((1, 2), 3, "cyto3", (1, 2)),
        ((0, 2), 3, "cyto3", (0, 0)),
        ((2, 1), 3, "nuclei", (2, 0)),
        ((2, 1), 1, "cyto3", (0, 0)),
        ((3, 2), 2, "cyto3", (2, 2)),
        ((1, 3), 2, "cyto3", (1, 1)),
    ],
)
def test_channels_that_are_not_there(
    wanted: tuple[int, int], channels: int, model: str, allowed: tuple[int, int]
) -> None:
    assert allowed_channels(wanted, channels, model) == allowed


def test_channel_boxes_show_what_is_used(window: Window) -> None:
    rng = np.random.default_rng(0)
    window.session.open_array(rng.integers(0, 255, (1, 3, 20, 20)).astype(np.uint8))
    first, second = window.panel.segmentation.channels
    first.setCurrentIndex(2)
    first.activated.emit(2)
    second.setCurrentIndex(3)
    second.activated.emit(3)
    assert window.session.settings.channels == (2, 3)
    first.setCurrentIndex(0)
    first.activated.emit(0)
    assert window.session.settings.channels == (0, 0)
    assert second.currentIndex() == 0


@pytest.fixture
def pulled(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> list[str]:
    """No model is installed, and a download of one puts a file there; what was downloaded."""
    asked: list[str] = []
    monkeypatch.setenv(weights.MODEL_DIR_ENV, str(tmp_path))

    def pull(name: str, progress: Callable[[int, int | None], None]) -> None:
        asked.append(name)
        for have in (10, 50, 100):
            progress(have, 100)
        (tmp_path / weights.PUBLISHED[name].file).write_bytes(b"weights")

    monkeypatch.setattr(weights, "pull", pull)
    return asked


def choose(window: Window, name: str) -> None:
    box = window.panel.segmentation.model
    place = box.findData(name)
    box.setCurrentIndex(place)
    box.activated.emit(place)


@pytest.mark.parametrize("yes", [True, False])
def test_a_model_that_is_not_here_is_downloaded_if_wanted(
    window: Window, qtbot: Any, pulled: list[str], monkeypatch: pytest.MonkeyPatch, yes: bool
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(window.session.dialogs, "ask_yes", lambda _, question: asked.append(question) or yes)
    window.session.models.changed.emit()
    choose(window, "nuclei")
    rest(window, qtbot)
    assert "25 MB" in asked[0]
    assert pulled == (["nuclei"] if yes else [])
    assert window.session.settings.model == ("nuclei" if yes else weights.default_model())
    assert window.panel.segmentation.model.currentData() == window.session.settings.model
    assert window.session.settings.diameter == (17 if yes else 30)


def test_a_download_that_fails_is_told(
    window: Window, qtbot: Any, pulled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise weights._download.DownloadError("no route to host")

    monkeypatch.setattr(weights, "pull", broken)
    monkeypatch.setattr(window.session.dialogs, "ask_yes", lambda *_: True)
    before = window.session.settings.model
    window.session.models.changed.emit()
    choose(window, "cyto3")
    rest(window, qtbot)
    assert window.notice.text.text() == "NET ERROR: no route to host"
    assert window.panel.segmentation.model.currentData() == before


def test_models_for_segmentation_are_listed_once_each(window: Window) -> None:
    box = window.panel.segmentation.model
    names = [box.itemData(place) for place in range(box.count()) if box.itemData(place)]
    assert len(names) == len(set(names))
    assert {*weights.bundled_models(), "cyto3", "cyto2", "nuclei", "cpsam", "cpdino-vitb", "CPx"} <= set(names)
    assert not any(name.startswith(("denoise", "deblur", "oneclick")) for name in names)


def test_filter_shows_the_image_and_networks_get_the_raw_one_with_its_parameters(
    filled: Window, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel, session = filled.panel.filtering, filled.session
    given: dict[str, Any] = {}

    class Network(Slow):
        def eval(self, image: np.ndarray, progress: Callable[[float], None], **options: Any) -> tuple[Any, ...]:
            self.go.set()
            given.update(options, image=image)
            return super().eval(image, progress)

    monkeypatch.setattr(session.segmentation, "_loaded", lambda *_: Network())
    panel.numbers["sharpen_radius"].setValue(3)
    panel.numbers["tile_norm_blocksize"].setValue(2 * SIDE)
    panel.filter.click()
    rest(filled, qtbot)
    assert (session.view.view, panel.filter.isChecked()) == ("restored", True)
    assert session.settings.tile_norm_blocksize == 0, "larger than the image"
    session.segmentation.run()
    rest(filled, qtbot)
    assert given["normalize"].sharpen_radius == 3
    assert np.array_equal(given["image"][..., 0], session.document.stack[0, 0])
    panel.none.click()
    assert (session.view.view, panel.none.isChecked()) == ("image", True)
    assert session.settings.sharpen_radius == 0
    session.segmentation.run()
    rest(filled, qtbot)
    assert given["normalize"].sharpen_radius == 0


def test_percentiles_that_cannot_be_are_not_folded_away(filled: Window) -> None:
    panel = filled.panel.segmentation
    panel.more.collapse(animate=False)
    filled.session.settings.lower = 98.0
    assert not panel.more.isExpanded()
    filled.session.settings.upper = 97.0
    assert panel.more.isExpanded()


@pytest.mark.parametrize("how", ["button", "menu"])
def test_a_filter_without_settings_shows_where_to_set_one(filled: Window, qtbot: Any, how: str) -> None:
    filled.resize(1100, 500)
    filled.activateWindow()
    qtbot.waitUntil(filled.isActiveWindow)
    panel, session = filled.panel.filtering, filled.session
    assert not panel.more.isExpanded()
    if how == "button":
        filled.panel.ensureWidgetVisible(panel.filter)
        press(panel.filter)
    else:
        entry(filled, "Models", "Filter the image").trigger()
    assert "nothing to do yet: set a radius" in filled.statusBar().currentMessage()
    assert not filled.notice.isVisible()
    assert not panel.filter.isChecked()
    first, last = panel.numbers["background_radius"], panel.invert
    assert first.hasFocus()
    qtbot.waitUntil(lambda: not last.visibleRegion().isEmpty() and not first.visibleRegion().isEmpty())
    QTest.keyClicks(first, "8")
    QTest.keyClick(first, Qt.Key.Key_Return)
    rest(filled, qtbot)
    assert (session.settings.background_radius, session.view.view) == (8, "restored")
    assert panel.filter.isChecked()


@pytest.mark.parametrize("live", [True, False])
def test_enter_in_a_box_of_the_filter_keeps_the_focus_there(filled: Window, qtbot: Any, live: bool) -> None:
    filled.session.filters.live = live
    filled.activateWindow()
    qtbot.waitUntil(filled.isActiveWindow)
    panel = filled.panel.filtering
    panel.more.expand(animate=False)
    box = panel.numbers["tile_norm_blocksize"]
    box.setFocus()
    QTest.keyClick(box, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    QTest.keyClicks(box, str(10 * SIDE))
    QTest.keyPress(box, Qt.Key.Key_Return)
    assert "is larger than the image" in filled.statusBar().currentMessage()
    assert box.hasFocus()
    for typed, view in (("20", "restored"), ("0", "image")):
        QTest.keyClick(box, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
        QTest.keyClicks(box, typed)
        QTest.keyPress(box, Qt.Key.Key_Return)
        rest(filled, qtbot)
        assert filled.session.view.view == view
        assert box.hasFocus()


def test_restored_can_be_looked_at_only_once_there_is_a_filtered_image(filled: Window, qtbot: Any) -> None:
    item = filled.panel.views.picture.model().item(4)
    assert (item.text(), item.isEnabled()) == ("restored", False)
    filled.session.settings.invert = True
    filled.session.filters.apply()
    rest(filled, qtbot)
    assert item.isEnabled()
    planes = filled.session.document.restored.picture.planes
    assert planes[0, 0, 0, 0] > planes[0, 0, 0, -1]


def test_a_download_can_be_given_up(
    window: Window, qtbot: Any, pulled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()

    def slow(_name: str, progress: Callable[[int, int | None], None]) -> None:
        progress(30, 100)
        assert go.wait(20)
        progress(60, 100)
        pulled.append("went on")

    monkeypatch.setattr(weights, "pull", slow)
    monkeypatch.setattr(window.session.dialogs, "ask_yes", lambda *_: True)
    panel = window.panel.segmentation
    before = window.session.settings.model
    window.session.models.changed.emit()
    assert not panel.stop_download.isVisible()
    choose(window, "cyto3")
    qtbot.waitUntil(lambda: panel.progress.value() == 30)
    assert panel.model.currentData() == "cyto3"
    panel.stop_download.click()
    go.set()
    qtbot.waitUntil(lambda: not window.session.jobs.is_ending("download"))
    assert (panel.model.currentData(), panel.stop_download.isVisible(), panel.progress.value()) == (before, False, 0)
    assert not pulled


def full_run(window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Masks and plain scores of the open flows with the thresholds as they are, made in one go."""
    flows = window.session.document.flows
    masking = window.session.settings.masking()
    masks = dynamics.resize_and_compute_masks(flows.dP, flows.cellprob, **masking)
    return masks, dynamics.cell_scores(masks, flows.dP, flows.cellprob).plain.astype(np.float32)


@pytest.mark.parametrize("keep_corrected", [True, False])
def test_masks_of_a_drag_are_those_of_a_full_run_with_their_scores(
    flowing: Window, qtbot: Any, keep_corrected: bool
) -> None:
    session = flowing.session
    session.settings.keep_corrected = keep_corrected
    for field, value in (
        ("cellprob_threshold", 0.5),
        ("min_size", 700),
        ("min_size", 15),
        ("flow_threshold", 0.0),
        ("flow_threshold", 1e-4),
        ("flow_threshold", 0.4),
        ("cellprob_threshold", 1.5),
        ("min_size", 20),
    ):
        setattr(session.settings, field, value)
        rest(flowing, qtbot)
        masks, scores = full_run(flowing)
        labels, rows = session.document.labels.numbered()
        np.testing.assert_array_equal(labels[0], masks)
        np.testing.assert_array_equal(rows["score"], scores)
    assert session.segmentation.live.scoring not in [edit.name for edit in session.document.history.edits]


def test_scores_come_also_after_a_cell_was_drawn_and_go_back_and_forth(flowing: Window, qtbot: Any) -> None:
    session = flowing.session
    session.settings.cellprob_threshold = 0.5
    qtbot.waitUntil(lambda: session.cell_count() == 4, timeout=30_000)
    draw(flowing, 60, 60, 8)
    assert np.isnan(session.document.labels.table["score"][1:5]).all(), "they come when the hand rests"
    rest(flowing, qtbot)
    scores = session.document.labels.table["score"].copy()
    assert (scores[1:5] > 0).all()
    assert np.isnan(scores[5]), "drawn by hand"
    assert [edit.name for edit in session.document.history.edits] == ["thresholds", "draw cell"]
    for _ in range(2):
        session.undo()
    for _ in range(2):
        session.redo()
    np.testing.assert_array_equal(session.document.labels.table["score"], scores)


def test_scores_that_came_later_are_in_the_journal(flowing: Window, qtbot: Any, tmp_path: Any) -> None:
    path = tmp_path / "disks.png"
    cv2.imwrite(str(path), np.zeros((SIDE, SIDE), np.uint8))
    session, flows = flowing.session, flowing.session.document.flows
    session.files.open(path)
    session.files.autosave.enabled = False
    session.document.flows = flows
    session.settings.cellprob_threshold = 0.5
    qtbot.waitUntil(lambda: session.cell_count() == 4, timeout=30_000)
    session.document.select([2])
    session.remove_selected()
    rest(flowing, qtbot)
    table = session.document.labels.table.copy()
    assert (table["score"][[1, 3, 4]] > 0).all()
    other = Window()
    qtbot.addWidget(other)
    other.session.files.open(path)  # as if the first had been killed
    qtbot.waitUntil(lambda: other.session.cell_count() == 3, timeout=30_000)
    np.testing.assert_array_equal(other.session.document.labels.table["score"][:5], table["score"][:5])
    other.session.undo()
    assert other.session.document.labels.table["score"][2] > 0
    other.close()


def test_undo_and_redo_bring_the_thresholds_of_the_cells_too(flowing: Window, qtbot: Any) -> None:
    session, panel = flowing.session, flowing.panel.segmentation
    session.settings.diameter = 20.0
    for threshold in (0.5, 2.5, 3.5):
        panel.cellprob.box.setValue(threshold)
        session.segmentation.live.settle()
        rest(flowing, qtbot)
    panel.niter.setValue(300)
    rest(flowing, qtbot)
    made = [edit.name for edit in session.document.history.edits]
    draw(flowing, 60, 60, 8)

    def seen() -> tuple[float, float, int]:
        rest(flowing, qtbot)
        origins = session.document.origins
        assert not origins or origins[-1].settings["cellprob_threshold"] == panel.cellprob.box.value()
        return panel.cellprob.box.value(), panel.niter.value(), session.cell_count()

    assert seen() == (3.5, 300, 2)
    told = []
    for _ in range(5):
        session.undo()
        told.append(seen())
    assert told == [(3.5, 300, 1), (3.5, 0, 1), (2.5, 0, 2), (0.5, 0, 4), (0.0, 0, 0)]
    assert len(session.document.history.undone) == len(made) + 1, "no cells were made anew"
    session.redo()
    session.redo()
    assert seen() == (2.5, 0, 2)
    panel.cellprob.box.setValue(3.5)
    session.settings.isotropic_steps = True
    session.undo()  # before the cells of the new threshold are there
    assert seen() == (0.5, 0, 4)


OTHERS = {
    "flow_threshold": 0.9,
    "cellprob_threshold": 1.5,
    "niter": 300,
    "min_size": 40,
    "stitch_threshold": 0.5,
    "isotropic_steps": True,
}


@pytest.mark.parametrize("when", ["before the run", "after it"])
@pytest.mark.parametrize("name", _BOXES)
def test_undo_leaves_thresholds_that_changed_no_cells(window: Window, name: str, when: str) -> None:
    session = window.session
    session.open_array(np.zeros((1, 1, SIDE, SIDE), np.uint8))
    if when == "before the run":
        setattr(session.settings, name, OTHERS[name])
    cells = FoundCells.of(np.ones((1, SIDE, SIDE), np.int32), None, None, Origin("segment", "m", 0), None)
    live = session.segmentation.live
    session.segmentation.put(session.document, None, cells, lambda _: None, thresholds=live.thresholds)
    if when == "after it":
        setattr(session.settings, name, OTHERS[name])
    for step in (session.undo, session.redo, session.undo):
        step()
        assert getattr(session.settings, name) == OTHERS[name]
    assert session.cell_count() == 0
    assert not session.jobs.any, "nothing is made anew"
