"""Cells drawn through planes: outlines on some, planes between, a ball for a brush, merging, deleting."""

from __future__ import annotations

import time

import numpy as np
import pytest

from cellpose.gui.model import LabelStore
from cellpose.gui.model import _operations as operations
from cellpose.gui.model._morphing import filled_between, morphed
from cellpose.gui.model._strokes import outlined, painted_through
from cellpose.gui.views._window import Window
from hand import Modifier, circle, click, drag, draw, key

SHAPE = (16, 80, 100)


@pytest.fixture
def volume(window: Window) -> Window:
    """The window with a volume without cells, at plane 8."""
    window.session.open_array(np.zeros((SHAPE[0], 1, *SHAPE[1:]), np.uint8), z_aspect=2.0)
    return window


def disc(y: float, x: float, radius: float) -> np.ndarray:
    rows, columns = np.ogrid[: SHAPE[1], : SHAPE[2]]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_between_two_circles_are_circles(share: float) -> None:
    found = morphed(disc(30, 30, 10), disc(40, 70, 20), share)
    wanted = disc(30 + 10 * share, 30 + 40 * share, 10 + 10 * share)
    assert (found & wanted).sum() / (found | wanted).sum() > 0.93  # a pixel along the outline, at the most


def test_the_same_shape_stays_and_moves() -> None:
    square = np.zeros((40, 80), bool)
    square[10:20, 10:20] = True
    assert (morphed(square, square, 0.3) == square).all()
    assert (morphed(square, np.roll(square, 40, axis=1), 0.5) == np.roll(square, 20, axis=1)).all()


@pytest.mark.parametrize("seed", range(5))
def test_planes_between_have_no_holes_and_are_not_empty(seed: int) -> None:
    random = np.random.default_rng(seed)
    drawn = {}
    for plane in (2, 6, 11):
        angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        radius = 12 + random.uniform(-9, 9, 40)
        middle = random.uniform(30, 50, 2)
        points = middle + np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1)
        drawn[plane] = outlined(points, SHAPE, plane)
    box, mask = filled_between(drawn)
    from scipy import ndimage

    assert (box.z0, box.z1) == (2, 12)
    for plane in mask:
        assert plane.any()
    for plane, own in drawn.items():
        assert (mask[plane - 2][own[0].within(box)[1:]] == ndimage.binary_fill_holes(own[1][0])).all()
    for plane in mask:
        assert (ndimage.binary_fill_holes(plane) == plane).all()


def test_outlines_on_two_planes_and_enter_make_one_cell(volume: Window) -> None:
    document, view = volume.session.document, volume.session.view
    view.plane = 3
    draw(volume, 40, 40, 8)
    for _ in range(6):
        key(volume, "PageDown")
    assert not volume.scene.waiting.isVisible()  # the stroke lies on another plane
    draw(volume, 40, 52, 14)
    assert document.labels.count == 0
    key(volume, "Return")
    planes = document.labels.planes
    assert document.labels.count == 1
    assert np.unique(np.nonzero(planes)[0]).tolist() == list(range(3, 10))
    for plane in range(4, 9):
        share = (plane - 3) / 6
        wanted = disc(40, 40 + 12 * share, 8.5 + 6 * share)
        assert ((planes[plane] > 0) & wanted).sum() / ((planes[plane] > 0) | wanted).sum() > 0.85
    key(volume, "Z", Modifier.ControlModifier)
    assert document.labels.count == 0


def test_undo_takes_back_strokes_that_wait_and_escape_all(volume: Window) -> None:
    pointer = volume.session.pointer
    draw(volume, 40, 40, 8)
    key(volume, "PageDown")
    draw(volume, 40, 40, 8)
    assert volume.scene.waiting.isVisible()
    key(volume, "Z", Modifier.ControlModifier)
    assert not volume.scene.waiting.isVisible()
    key(volume, "PageUp")
    assert volume.scene.waiting.isVisible()
    key(volume, "Escape")
    key(volume, "Return")
    assert volume.session.cell_count() == 0
    assert pointer.mode == "select"


def test_planes_between_leave_other_cells_alone(volume: Window) -> None:
    document, view = volume.session.document, volume.session.view
    box_mask = outlined(circle(40, 50, 5), SHAPE, 6)
    document.do(operations.add_cell, *box_mask)
    before = document.labels.planes == 1
    for plane in (4, 8):
        view.plane = plane
        draw(volume, 40, 40, 12)
    key(volume, "Enter")
    assert ((document.labels.planes == 1) == before).all()
    assert document.labels.count == 2


def test_a_ball_paints_and_erases_through_planes(volume: Window) -> None:
    document, view = volume.session.document, volume.session.view
    view.brush = 17
    key(volume, "P", Modifier.ShiftModifier)
    assert volume.panel.volume.ball.isChecked()
    key(volume, "P")
    drag(volume, (40, 30), (40, 60))
    box = document.labels.box(1)
    assert (box.z0, box.z1) == (4, 13)  # 8.5 pixels are 4 planes
    areas = (document.labels.planes > 0).sum(axis=(1, 2))
    assert (np.diff(areas[4:9]) > 0).all()
    assert (areas[4:9] == areas[12:7:-1]).all()
    view.brush = 9
    key(volume, "E")
    drag(volume, (40, 40), (40, 41))
    assert (document.labels.planes[:, 40, 40] > 0).tolist() == [z in (4, 5, 11, 12) for z in range(16)]
    view.ball = False


def test_the_ball_is_round() -> None:
    box, mask = painted_through(np.array([[40.0, 50.0]]), 21, SHAPE, 8, 2.0)
    z, y, x = np.nonzero(mask)
    distance = np.sqrt((2.0 * (z + box.z0 - 8)) ** 2 + (y + box.y0 - 40) ** 2 + (x + box.x0 - 50) ** 2)
    assert distance.max() <= 10.5
    assert mask.sum() == pytest.approx(4 / 3 * np.pi * 10.5**3 / 2, rel=0.1)


def test_cells_of_several_planes_are_merged_and_deleted(volume: Window) -> None:
    document, view = volume.session.document, volume.session.view
    for plane in (4, 8):
        document.do(operations.add_cell, *outlined(circle(40, 40, 8), SHAPE, plane))
    view.plane = 4
    click(volume, 40, 40)
    view.plane = 8
    click(volume, 40, 40, keys=Modifier.AltModifier)
    assert document.labels.ids.tolist() == [1]
    assert set(np.nonzero(document.labels.planes)[0]) == {4, 8}
    click(volume, 40, 40, keys=Modifier.ControlModifier)
    assert not document.labels.planes.any()
    key(volume, "Z", Modifier.ControlModifier)
    key(volume, "Z", Modifier.ControlModifier)
    assert document.labels.count == 2


def test_undo_of_a_large_cell_is_quick() -> None:
    store = LabelStore.empty((60, 400, 400))
    drawn = {plane: outlined(circle(200, 200, 60), store.shape, plane) for plane in (10, 20)}
    edit = operations.add_cell(store, *filled_between(drawn))
    times = []
    for _ in range(3):
        begun = time.process_time()
        store.revert(edit)
        times.append(time.process_time() - begun)
        store.apply(edit)
    assert min(times) < 0.1
