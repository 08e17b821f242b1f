"""The sections of a volume: what they show, the cross-hairs, and drawing in them."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from cellpose.gui.model._sections import XY, XZ, YZ
from cellpose.gui.views._window import Window
from hand import Modifier, circle, key

SHAPE = (24, 60, 80)


@pytest.fixture
def volume(window: Window) -> Window:
    """The window with a volume in three views, with one cell in the middle."""
    labels = np.zeros(SHAPE, np.int32)
    labels[8:16, 20:40, 30:50] = 1
    image = np.arange(np.prod(SHAPE)).reshape(SHAPE)[:, None].astype(np.float32)
    window.session.open_array(image, labels, z_aspect=2.0)
    key(window, "T")
    QApplication.processEvents()
    return window


def spot(window: Window, axis: int, row: float, column: float) -> QPoint:
    scene = window.sections.scenes[axis]
    return scene.mapFromScene(scene.box.mapViewToScene(QPointF(column + 0.5, row + 0.5)))


def click(window: Window, axis: int, row: float, column: float, button: str = "LeftButton", keys=Modifier.NoModifier):
    viewport = window.sections.scenes[axis].viewport()
    QTest.mouseClick(viewport, getattr(Qt.MouseButton, button), keys, spot(window, axis, row, column))


def drag(window: Window, axis: int, *points: tuple[float, float]) -> None:
    viewport = window.sections.scenes[axis].viewport()
    first, *others = [spot(window, axis, *point) for point in points]
    QTest.mousePress(viewport, Qt.MouseButton.LeftButton, Modifier.NoModifier, first)
    for place in others:
        QTest.mouseMove(viewport, place)
    QTest.mouseRelease(viewport, Qt.MouseButton.LeftButton, Modifier.NoModifier, [first, *others][-1])


def test_sections_are_seen_where_they_are_wanted(volume: Window) -> None:
    scenes = volume.sections.scenes
    assert scenes[XZ].isVisible()
    key(volume, "T")
    assert not scenes[XZ].isVisible()
    key(volume, "T", Modifier.ShiftModifier)
    assert volume.session.view.layout == "thin slices"
    assert scenes[YZ].isVisible()
    volume.session.open_array(np.zeros((1, 1, 30, 30), np.uint8))
    assert not scenes[XZ].isVisible()


def test_sections_show_masks_and_lie_beside_the_plane(volume: Window) -> None:
    view, scenes = volume.session.view, volume.sections.scenes
    view.cross = (25, 40)
    shown = {axis: scenes[axis].canvas.shown for axis in scenes}
    planes = volume.session.document.labels.planes
    assert (shown[XY].labels == planes[12]).all()
    assert (shown[XZ].labels == planes[:, 25]).all()
    assert (shown[YZ].labels == planes[:, :, 40].T).all()
    plane, below, right = (scenes[axis].box.viewRange() for axis in (XY, XZ, YZ))
    assert below[0] == pytest.approx(plane[0])
    assert right[1] == pytest.approx(plane[1])
    per_row = scenes[XY].box.height() / (plane[1][1] - plane[1][0])
    per_plane = scenes[XZ].box.height() / (below[1][1] - below[1][0])
    assert per_plane == pytest.approx(2 * per_row, rel=0.02)


def test_thin_slices_show_some_planes_around_the_plane(volume: Window) -> None:
    view = volume.session.view
    view.layout, view.dz = "thin slices", 3
    for plane, planes in ((12, (9, 16)), (0, (0, 7)), (23, (17, 24))):
        view.plane = plane
        assert volume.sections._planes(SHAPE[0]) == planes


def test_clicks_move_the_cross_hairs_in_each_view(volume: Window) -> None:
    view = volume.session.view
    click(volume, XY, 10, 15)
    assert (view.plane, view.cross) == (12, (10, 15))
    click(volume, XZ, 5, 60)
    assert (view.plane, view.cross) == (5, (10, 60))
    click(volume, YZ, 33, 18)
    assert (view.plane, view.cross) == (18, (33, 60))
    click(volume, XY, 50, 50, keys=Modifier.AltModifier)
    assert view.cross == (33, 60)


def test_cells_are_selected_and_deleted_in_a_section(volume: Window) -> None:
    document = volume.session.document
    volume.session.view.cross = (30, 40)
    click(volume, XZ, 12, 40)
    assert document.selection == {1}
    click(volume, YZ, 30, 12, keys=Modifier.ControlModifier)
    assert document.labels.count == 0
    key(volume, "Z", Modifier.ControlModifier)
    assert document.labels.count == 1


@pytest.mark.parametrize("axis", [XZ, YZ])
def test_painting_and_drawing_in_a_section(volume: Window, axis: int) -> None:
    document, view = volume.session.document, volume.session.view
    key(volume, "0", Modifier.ControlModifier)
    view.brush, view.cross = 5, (30, 40)
    key(volume, "P")
    ends = ((6, 20), (6, 60)) if axis == XZ else ((15, 6), (50, 6))
    drag(volume, axis, *ends)
    z, y, x = np.nonzero(document.labels.planes)
    assert (z.min(), z.max()) == (4, 8)
    assert set(y if axis == XZ else x) == {30 if axis == XZ else 40}
    key(volume, "Escape")
    view.single_stroke = True
    path = circle(16, 40, 5) if axis == XZ else circle(30, 16, 5)
    viewport = volume.sections.scenes[axis].viewport()
    click(volume, axis, *path[0], "RightButton")
    for point in path[1:]:
        QTest.mouseMove(viewport, spot(volume, axis, *point))
    click(volume, axis, *path[-1], "RightButton")
    assert document.labels.count == 2
    assert document.labels.box(2).shape[axis] == 1


def test_a_line_in_a_section_splits_a_cell_through_its_depth(volume: Window) -> None:
    document = volume.session.document
    volume.session.view.cross = (30, 40)
    key(volume, "K")
    drag(volume, XZ, (12, 25), (12, 40), (12, 55))
    assert document.labels.count == 2
    planes = [np.unique(np.nonzero(document.labels.planes == cell)[0]).tolist() for cell in document.labels.ids]
    assert sorted(plane for own in planes for plane in own) == list(range(8, 16))
    assert (document.labels.planes > 0).sum() == 8 * 20 * 20


def test_the_wheel_of_a_section_zooms_the_plane(volume: Window) -> None:
    plane = volume.scene.box
    width = np.diff(plane.viewRange()[0])[0]
    scene, place = volume.sections.scenes[XZ], QPointF(spot(volume, XZ, 12, 20))
    event = QWheelEvent(
        place, scene.viewport().mapToGlobal(place), QPoint(), QPoint(0, 120),
        Qt.MouseButton.NoButton, Modifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(scene.viewport(), event)
    assert np.diff(plane.viewRange()[0])[0] < width
    assert scene.box.viewRange()[0] == pytest.approx(plane.viewRange()[0])


def test_a_plane_change_draws_no_section_anew(volume: Window) -> None:
    scenes = volume.sections.scenes
    volume.grab()
    before = [scenes[axis].canvas.shown for axis in (XZ, YZ)]
    key(volume, "PageDown")
    volume.grab()
    assert [scenes[axis].canvas.shown for axis in (XZ, YZ)] == before
    volume.session.view.cross = (3, 3)
    assert scenes[XZ].canvas.shown is not before[0]
