"""Segmenting a part of an image: what is seen, or a rectangle; the rest stays as it is."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from scipy import ndimage

from cellpose._labels.arrays import scan
from cellpose.gui.model import Box, Flows, LabelStore
from cellpose.gui.model import _operations as operations
from cellpose.gui.views._window import Window
from hand import Modifier, click, drag, draw, key

SIDE = 240
CENTRES = [(y, x) for y in range(20, SIDE, 40) for x in range(20, SIDE, 40)]  # 36 cells of radius 12


class Bright:
    """A model to which a cell is what is bright."""

    model_name = "bright"

    def __init__(self) -> None:
        self.given: list[np.ndarray] = []

    def eval(self, image: np.ndarray, **_: Any) -> tuple[np.ndarray, list[np.ndarray], None]:
        self.given.append(image)
        labels = ndimage.label(image[..., 0] > image[..., 0].mean())[0].astype(np.int32)
        shape = labels.shape
        flows = np.full((2, *shape), 0.1, np.float32)
        return labels, [np.full((*shape, 3), 7, np.uint8), flows, np.where(labels, 4, -6).astype(np.float32)], None


def picture() -> np.ndarray:
    image = np.zeros((SIDE, SIDE), np.uint8)
    for y, x in CENTRES:
        cv2.circle(image, (x, y), 12, 200, -1)
    return image


@pytest.fixture
def model(window: Window, monkeypatch: pytest.MonkeyPatch) -> Bright:
    made = Bright()
    monkeypatch.setattr(window.session.segmentation, "_loaded", lambda *_: made)
    window.session.settings.diameter = 20
    window.session.open_array(picture()[None, None])
    return made


def wait(window: Window, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: not window.session.jobs.any, timeout=60_000)


def see(window: Window, y0: float, x0: float, y1: float, x1: float) -> None:
    window.scene.box.setRange(xRange=(x0, x1), yRange=(y0, y1), padding=0)
    window.scene.box.sigRangeChangedManually.emit([False, False])


def test_a_rectangle_is_segmented_and_the_rest_stays(window: Window, qtbot: Any, model: Bright) -> None:
    session = window.session
    first = np.zeros((SIDE, SIDE), np.int32)
    first[10:30, 10:30] = 1  # in the rectangle, found by a model
    first[150:170, 10:30] = 2  # outside
    first[80:110, 85:110] = 3  # cut by the border, mostly outside
    document = session.open_array(picture()[None, None], first)
    key(window, "Return", Modifier.ControlModifier | Modifier.ShiftModifier)
    assert session.pointer.mode == "run_region"
    drag(window, (0, 0), (50, 40), (87, 87))
    assert session.pointer.mode == "select"
    wait(window, qtbot)
    (given,) = model.given
    assert given.shape == (88 + 40, 88 + 40, 1), "the rectangle and two diameters around it"
    labels = document.labels
    assert not labels.has(1)
    assert np.array_equal(labels.planes[0] == 2, first == 2)
    assert np.array_equal(labels.planes[0] == 3, first == 3)
    assert labels.count == 2 + 4, "of the cells on the border those that lie mostly inside"
    assert np.array_equal(labels.planes[0, :88, :88] > 0, (picture()[:88, :88] > 0) | (first[:88, :88] == 3))
    assert len(document.history) == 1
    key(window, "Z", Modifier.ControlModifier)
    assert np.array_equal(labels.planes[0], first)


def test_what_is_seen_is_segmented(window: Window, qtbot: Any, model: Bright) -> None:
    document = window.session.document
    draw(window, 140, 140, 8)
    see(window, 90, 90, 190, 190)
    seen = window.session.seen
    click(window, 140, 140)
    window.panel.segmentation.run_seen.click()
    wait(window, qtbot)
    assert model.given[0].size < SIDE * SIDE
    y0, x0, y1, x1 = seen
    inside = [(y, x) for y, x in CENTRES if y0 + 1 < y < y1 - 1 and x0 + 1 < x < x1 - 1]
    assert 4 <= document.labels.count == len(inside) < 36
    assert document.labels.has(1), "drawn by hand"
    assert document.flows.dP.shape == (2, SIDE, SIDE)
    assert document.flows.region.y0 == max(0, int(y0))
    assert not document.flows.cellprob[:10, :10].any()

    count = document.labels.count
    window.session.settings.min_size = 40  # live thresholds reach as far as the flows do
    wait(window, qtbot)
    assert document.labels.has(1)
    assert document.labels.count <= count
    window.session.open_array(picture()[None, None])
    window.session.fit.emit()
    window.session.segmentation.run_on_seen()
    wait(window, qtbot)
    assert model.given[-1].shape == (SIDE, SIDE, 1)
    assert window.session.document.flows.region is None
    assert window.session.cell_count() == 36


def test_a_part_without_the_image_is_told(window: Window, model: Bright) -> None:
    window.session.segmentation.run_on((500, 500, 600, 600))
    assert "nothing of the image" in window.statusBar().currentMessage()
    assert not model.given


def test_intensities_mean_what_they_mean_in_the_whole_image(window: Window, qtbot: Any, model: Bright) -> None:
    image = picture()
    image[:60, :60] = np.random.default_rng(0).integers(0, 3, (60, 60))  # noise alone
    window.session.open_array(image[None, None])
    window.session.segmentation.run_on((0, 0, 20, 20))
    wait(window, qtbot)
    assert model.given[-1].max() < 0.05 < 0.9 < 200 / image.max()


def test_flows_of_a_part_are_put_into_those_that_there_are() -> None:
    shape, box, region = (1, 20, 30), Box(0, 1, 5, 15, 5, 15), Box(0, 1, 7, 12, 7, 12)

    def flows(height: int, width: int, value: float) -> Flows:
        plane = np.full((height, width), value, np.float32)
        return Flows(np.full((1, height, width, 3), value, np.uint8), np.stack([plane, plane]), plane, "m")

    joined = Flows.joined(None, shape, box, flows(10, 10, 2), region)
    assert joined.region == region
    assert (joined.cellprob.sum(), joined.rgb.sum()) == (200, 600)
    again = Flows.joined(flows(20, 30, 1), shape, box, flows(10, 10, 2), region)
    assert again.region is None, "there are flows of all"
    assert again.dP.sum() == 2 * (600 + 100)
    more = Flows.joined(joined, shape, Box(0, 1, 0, 4, 0, 4), flows(4, 4, 3), Box(0, 1, 1, 3, 1, 3))
    assert (more.cellprob.sum(), more.rgb.sum()) == (200 + 48, 600 + 144)
    assert joined.cellprob.sum() == 200, "the older ones are as they were"
    assert more.boxes == (box, Box(0, 1, 0, 4, 0, 4))
    other = Flows.joined(flows(9, 9, 1), shape, box, flows(10, 10, 2), region)
    assert other.region == region, "of another size"


def test_new_cells_give_way_to_those_that_stay_and_stay_in_one_piece() -> None:
    labels = np.zeros((40, 40), np.int32)
    labels[0:40, 18:21] = 1  # mostly outside of the region
    labels[10:14, 30:34] = 2
    store = LabelStore(labels)
    new = np.zeros((1, 20, 40), np.int32)
    new[0, 5:15, 10:25] = 1  # cut by cell 1
    new[0, 2:4, 17:22] = 2  # mostly under it
    edit = operations.replace_within(store, Box(0, 1, 0, 20, 0, 40), new, Box(0, 1, 0, 18, 0, 40), np.array([0.5, 0.7]))
    assert store.ids.tolist() == [1, 3]
    assert store.table["area"][3] == 10 * 8
    assert store.table["score"][3] == 0.5
    assert np.array_equal(store.planes[0] == 1, labels == 1)
    store.revert(edit)
    assert np.array_equal(store.planes[0], labels)


@pytest.mark.parametrize("seed", range(4))
def test_parts_keep_the_table_true_and_can_be_taken_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 6, (8, 8)).astype(np.int32).repeat(6, axis=0).repeat(6, axis=1)
    store = LabelStore(labels)
    for _ in range(10):
        before = store.planes.copy()
        y, x = rng.integers(0, 20, 2)
        region = Box(0, 1, int(y), int(y) + 20, int(x), int(x) + 24)
        box = region.grown(4, store.shape)
        new = rng.integers(0, 9, (1, 9, 9)).repeat(6, axis=1).repeat(6, axis=2)[:, : box.shape[1], : box.shape[2]]
        edit = operations.replace_within(store, box, new, region, keep=store.ids[:1].tolist())
        found = scan(store.planes)
        assert np.array_equal(store.table["area"][1 : len(found.counts)], found.counts[1:])
        after = store.planes.copy()
        store.revert(edit)
        assert np.array_equal(store.planes, before)
        store.apply(edit)
        assert np.array_equal(store.planes, after)


def test_a_part_gives_what_the_whole_gives(window: Window, qtbot: Any) -> None:
    """With the network that comes with the program."""
    from cellpose import metrics

    image = cv2.GaussianBlur(picture()[:120, :160], (0, 0), 2)
    window.session.settings.diameter = 24
    document = window.session.open_array(image[None, None])
    window.session.segmentation.run()
    wait(window, qtbot)
    whole = document.labels.planes[0].copy()
    document.undo()
    window.session.segmentation.run_on((0, 0, 120, 80))
    wait(window, qtbot)
    part = document.labels.numbered()[0][0]
    expected = np.where(np.isin(whole, np.unique(whole[:, :80])), whole, 0)
    assert metrics.average_precision(expected, part, threshold=[0.8])[0][0] == 1
