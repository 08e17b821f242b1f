"""Volumes in the window: how files of planes open, the way through the planes, edits, files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication

from cellpose import dynamics, io
from cellpose.gui.controllers.tools._finder import cell_of_volume
from cellpose.gui.model import Document, Flows
from cellpose.gui.model import _operations as operations
from cellpose.gui.model._images import image_of_file
from cellpose.gui.model._sections import XY, XZ, YZ, Section
from cellpose.gui.views._renderer import render_settings
from cellpose.gui.views._window import Window
from hand import Modifier, click, draw, drop, entry, key, press, until_idle, until_open

SHAPE = (9, 60, 80)


def labels_of_balls() -> np.ndarray:
    """Two cells: 1 in the planes 2 to 5, 2 in the planes 4 to 7."""
    labels = np.zeros(SHAPE, np.uint16)
    labels[2:6, 10:30, 10:30], labels[4:8, 30:50, 40:60] = 1, 2
    return labels


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """A file of planes whose axes it names, with voxels four times as deep as wide."""
    path = tmp_path / "cells.tif"
    image = np.random.default_rng(0).integers(0, 200, SHAPE).astype(np.uint8)
    image[labels_of_balls() > 0] += 50
    tifffile.imwrite(
        path, image, imagej=True, resolution=(4, 4), metadata={"axes": "ZYX", "spacing": 1.0, "unit": "um"}
    )
    return path


@pytest.fixture
def volume(window: Window, stack: Path) -> Window:
    """The window with the volume and its two cells."""
    labels = labels_of_balls()
    io.write_seg(stack.with_name("cells_seg.npy"), {"masks": labels, "outlines": labels * 0, "flows": [[]] * 5})
    window.session.files.open(stack)
    return window


@pytest.mark.parametrize(
    ("shape", "axes", "as_stack", "opened"),
    [
        ((9, 60, 80), "ZYX", False, (9, 1, 60, 80)),
        ((9, 2, 60, 80), "ZCYX", False, (9, 2, 60, 80)),
        ((2, 9, 60, 80), "CZYX", False, (9, 2, 60, 80)),
        ((9, 60, 80), None, True, (9, 1, 60, 80)),
        ((40, 60, 80), None, False, (40, 1, 60, 80)),
        ((60, 80, 9), None, True, (9, 1, 60, 80)),
        ((9, 2, 60, 80), None, True, (9, 2, 60, 80)),
        ((9, 60, 80), "TYX", True, (9, 1, 60, 80)),
        ((60, 80, 3), None, False, (1, 3, 60, 80)),
    ],
)
def test_planes_are_told_from_channels(tmp_path: Path, shape, axes, as_stack: bool, opened) -> None:
    path = tmp_path / ("any.ome.tif" if axes else "any.npy" if shape[-1] == 9 or len(shape) == 4 else "any.tif")
    image = np.arange(np.prod(shape)).reshape(shape).astype(np.uint16)
    if axes:
        tifffile.imwrite(path, image, metadata={"axes": axes})
    elif path.suffix == ".npy":
        np.save(path, image)
    else:
        tifffile.imwrite(path, image, photometric="minisblack", metadata=None)
    assert image_of_file(path, as_stack).stack.shape == opened


def test_a_volume_opens_in_the_middle_with_its_cells_and_sizes(volume: Window) -> None:
    session = volume.session
    assert (session.document.labels.shape, session.document.labels.count) == (SHAPE, 2)
    assert session.view.plane == 4
    assert session.view.z_aspect == pytest.approx(4)
    assert volume.planes.isVisible()
    assert (volume.planes.plane.value(), volume.planes.slider.value(), volume.planes.last.text()) == (4, 4, "/ 8")


def test_planes_by_keys_slider_box_and_wheel(volume: Window) -> None:
    view, viewport = volume.session.view, volume.scene.viewport()
    steps = [("PageDown", 5), ("PageUp", 4), ("Right", 5), ("D", 6), ("Left", 5), ("End", 8), ("Right", 8), ("Home", 0)]
    for name, plane in steps:
        key(volume, name)
        assert (name, view.plane) == (name, plane)
    volume.planes.slider.setValue(3)
    assert (view.plane, volume.planes.plane.value()) == (3, 3)
    volume.planes.plane.setValue(5)
    assert (view.plane, volume.planes.slider.value()) == (5, 5)
    for keys, plane in ((Modifier.ShiftModifier, 6), (Modifier.NoModifier, 6)):
        event = QWheelEvent(
            QPointF(50, 50), viewport.mapToGlobal(QPointF(50, 50)), QPoint(), QPoint(0, -120),
            Qt.MouseButton.NoButton, keys, Qt.ScrollPhase.NoScrollPhase, False,
        )  # fmt: skip
        QApplication.sendEvent(viewport, event)
        assert view.plane == plane
    event = QWheelEvent(
        QPointF(5, 5), volume.planes.slider.mapToGlobal(QPointF(5, 5)), QPoint(), QPoint(0, 120),
        Qt.MouseButton.NoButton, Modifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(volume.planes.slider, event)
    assert view.plane == 5
    view.plane = 6
    assert render_settings(volume.session.document, view).labels.max() == 2


def test_single_planes_keep_their_keys(filled: Window) -> None:
    assert not filled.planes.isVisible()
    key(filled, "PageDown")
    assert filled.session.view.plane == 0


def test_edits_in_a_plane_are_undone_and_saved(volume: Window, stack: Path) -> None:
    session = volume.session
    before = session.document.labels.planes.copy()
    key(volume, "A")  # single strokes
    draw(volume, 45, 20, 8)
    assert session.document.labels.count == 3
    assert np.unique(np.nonzero(session.document.labels.planes == 3)[0]).tolist() == [4]
    click(volume, 40, 50, keys=Modifier.ControlModifier)
    assert session.document.labels.count == 2
    after = session.document.labels.planes.copy()
    key(volume, "Z", Modifier.ControlModifier)
    key(volume, "Z", Modifier.ControlModifier)
    assert (session.document.labels.planes == before).all()
    key(volume, "Y", Modifier.ControlModifier)
    key(volume, "Y", Modifier.ControlModifier)
    assert (session.document.labels.planes == after).all()
    session.files.autosave.settle()
    seg = io.read_seg(stack.with_name("cells_seg.npy"))
    assert ((seg.masks > 0) == (after > 0)).all()
    assert seg.masks.shape == SHAPE
    assert seg.dP is None


def test_masks_of_a_volume_are_a_tiff(volume: Window, stack: Path, qtbot: object) -> None:
    entry(volume, "File", "Save masks as PNG/tif").trigger()
    qtbot.waitUntil(lambda: not volume.session.jobs.any)
    assert (tifffile.imread(stack.with_name("cells_cp_masks.tif")) == labels_of_balls()).all()
    entry(volume, "File", "Save Outlines as text for imageJ").trigger()
    assert "single planes only" in volume.statusBar().currentMessage()


def test_masks_as_ome_zarr(volume: Window, stack: Path, qtbot: object) -> None:
    pytest.importorskip("zarr")
    title = "Cells as ome-zarr (_masks.ome.zarr)"
    entry(volume, "File", title).trigger()
    qtbot.waitUntil(lambda: not volume.session.jobs.any)
    image = io.read_image(stack.with_name("cells_masks.ome.zarr"))
    assert (image.data == labels_of_balls()).all()
    assert image.axes == "ZYX"
    assert image.pixel_size_um == pytest.approx((1.0, 0.25, 0.25))
    volume.session.document.do(operations.delete, [1])
    entry(volume, "File", title).trigger()  # in the place of the last
    qtbot.waitUntil(lambda: not volume.session.jobs.any)
    assert np.unique(io.imread(stack.with_name("cells_masks.ome.zarr"))).tolist() == [0, 1]


def test_masks_of_other_programs_open_on_a_volume(window: Window, stack: Path, qtbot: object) -> None:
    tifffile.imwrite(stack.with_name("cells_masks.tif"), labels_of_balls())
    drop(window, stack)
    window.session.files.open_masks(stack.with_name("cells_masks.tif"))
    qtbot.waitUntil(lambda: not window.session.jobs.any)
    assert (window.session.document.labels.planes == labels_of_balls()).all()


def test_files_without_names_of_axes_become_stacks_by_a_menu_entry(window: Window, tmp_path: Path) -> None:
    path = tmp_path / "plain.tif"
    tifffile.imwrite(path, np.zeros((9, 60, 80), np.uint8), photometric="minisblack", metadata=None)
    window.session.files.open(path)
    assert window.session.document.labels.shape == (1, 60, 80)
    entry(window, "File", "Files without names of axes are Z stacks").trigger()
    until_open(window)
    assert window.session.document.labels.shape == SHAPE


def test_single_strokes_are_off_for_volumes_only(volume: Window) -> None:
    assert not volume.session.view.single_stroke
    volume.session.open_array(np.zeros((1, 1, 20, 20), np.uint8))
    assert volume.session.view.single_stroke


@pytest.mark.parametrize("axis", [XY, XZ, YZ])
def test_sections_go_there_and_back(axis: int) -> None:
    volume = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    section = Section(axis, 3)
    planes, rows, columns = section.shape(SHAPE)
    assert section.of(volume).shape == (rows, columns)
    assert section.turned(volume).shape == (planes, rows, columns)
    z, y, x = section.voxel(2, 4)
    assert section.of(volume)[2, 4] == volume[z, y, x]
    document = Document(volume[:, None].astype(np.uint16), labels_of_balls())
    from cellpose.gui.model import ViewState

    shown = render_settings(document, ViewState(plane=3, cross=(3, 3)), axis)
    assert (shown.image[0] == section.of(volume)).all()
    assert shown.labels.shape == (rows, columns)


class Network:
    """Stands for a model: knows the cells, and what it was asked for."""

    model_name = "pretend"

    def __init__(self, labels: np.ndarray) -> None:
        self.labels, self.asked = labels, {}

    def eval(self, image: np.ndarray, progress: object = None, **asked: object) -> tuple[object, ...]:
        self.asked = {**asked, "shape": image.shape}
        labels = self.labels[:, : image.shape[1], : image.shape[2]]
        cellprob = np.where(labels > 0, 4.0, -4.0).astype(np.float32)
        cellprob[labels == 2] = 1
        if asked.get("do_3D"):
            dP = 5 * dynamics.masks_to_flows(labels)
        else:
            dP = np.stack([5 * dynamics.masks_to_flows(plane) for plane in labels], axis=1)
        return labels, [np.zeros((*labels.shape, 3), np.uint8), dP.astype(np.float32), cellprob], None


def run(window: Window, qtbot: object) -> Network:
    """Run the network of pretence on the open volume."""
    network = Network(labels_of_balls())
    window.session.segmentation._loaded = lambda *_: network
    key(window, "Return", Modifier.ShiftModifier)
    until_idle(window, qtbot)
    return network


def test_a_volume_is_segmented_by_3d_flows_and_thresholds_are_live(volume: Window, qtbot: object) -> None:
    session, panel = volume.session, volume.panel
    key(volume, "0", Modifier.ControlModifier)
    assert panel.volume.isVisible()
    assert panel.volume.anisotropy.value() == 4
    panel.volume.smooth.setValue(0.5)
    asked = run(volume, qtbot).asked
    wanted = {"do_3D": True, "anisotropy": 4.0, "flow3D_smooth": 0.5, "isotropic_steps": True}
    wanted |= {"z_axis": 0, "channel_axis": -1}
    assert {name: asked[name] for name in wanted} == wanted
    assert asked["flow_threshold"] is None
    assert asked["shape"] == (*SHAPE, 1)
    assert ((session.document.labels.planes > 0) == (labels_of_balls() > 0)).all()
    assert session.available_views() == ["image", "gradXY", "cellprob", "gradZ"]
    assert session.cell_count() == 2
    panel.segmentation.cellprob.box.setValue(2)
    until_idle(volume, qtbot)
    assert session.cell_count() == 1
    key(volume, "Z", Modifier.ControlModifier)
    assert session.cell_count() == 2
    for view in session.available_views():
        session.view.view = view
        assert render_settings(session.document, session.view).image.shape[1:] == SHAPE[1:]


def test_stitched_planes_and_their_thresholds(volume: Window, qtbot: object) -> None:
    session, panel = volume.session, volume.panel
    key(volume, "0", Modifier.ControlModifier)
    panel.volume.stitch.box.setValue(0.3)
    assert not panel.volume.smooth.isEnabled()
    asked = run(volume, qtbot).asked
    assert asked["stitch_threshold"] == pytest.approx(0.3)
    assert "do_3D" not in asked
    assert session.cell_count() == 2
    panel.segmentation.cellprob.box.setValue(2)
    until_idle(volume, qtbot)
    assert session.cell_count() == 1
    panel.segmentation.cellprob.box.setValue(0)
    until_idle(volume, qtbot)
    assert session.cell_count() == 2
    assert session.document.labels.box(int(session.document.labels.ids[0])).shape[0] == 4


def test_a_rectangle_of_a_volume_goes_through_all_planes(volume: Window, qtbot: object) -> None:
    session = volume.session
    key(volume, "0", Modifier.ControlModifier)
    session.settings.diameter = 5
    network = Network(labels_of_balls())
    session.segmentation._loaded = lambda *_: network
    session.segmentation.run_on((0, 0, 32, 32))
    until_idle(volume, qtbot)
    assert network.asked["shape"][0] == SHAPE[0]
    assert session.cell_count() == 1
    assert session.document.labels.box(int(session.document.labels.ids[0])).shape[0] == 4


def test_a_click_adds_the_cell_of_3d_flows(window: Window, qtbot: object) -> None:
    session, shape = window.session, (24, 60, 80)
    z, y, x = np.indices(shape)
    balls = np.zeros(shape, np.int32)
    for number, column in ((1, 20), (2, 50)):
        balls[(z - 12) ** 2 + (y - 30) ** 2 + (x - column) ** 2 < 100] = number
    session.open_array(np.zeros((24, 1, 60, 80), np.uint8))
    key(window, "C")
    click(window, 30, 20)
    assert "no 3D flows" in window.statusBar().currentMessage()
    flows = 5 * dynamics.masks_to_flows(balls)
    session.document.flows = Flows(None, flows, np.where(balls, 4.0, -4.0).astype(np.float32))
    click(window, 30, 24)
    until_idle(window, qtbot)
    found = session.document.labels.planes > 0
    assert session.cell_count() == 1
    assert found[balls == 1].mean() > 0.95
    assert not found[balls != 1].any()
    click(window, 55, 5)
    until_idle(window, qtbot)
    assert "no cell there" in window.statusBar().currentMessage()
    click(window, 30, 20, keys=Modifier.ShiftModifier)
    until_idle(window, qtbot)
    assert session.cell_count() == 0
    for column in (24, 50):  # sooner than the first cell is found
        click(window, 30, column)
    until_idle(window, qtbot)
    assert session.cell_count() == 2


def test_a_cell_that_goes_on_beyond_what_is_looked_at_is_found_whole() -> None:
    labels = np.zeros((20, 40, 160), np.uint16)
    labels[5:15, 10:30, 10:150] = 1
    flows = Flows(None, 5 * dynamics.masks_to_flows(labels), np.where(labels, 4.0, -4.0).astype(np.float32))
    box, mask = cell_of_volume(flows, (10, 20, 80), 0.0)
    assert mask.shape == box.shape
    whole = dynamics.MaskFinder(flows.dP, flows.cellprob).masks(flow_threshold=None, min_size=-1)
    assert (mask == (whole[box.slices] == whole[10, 20, 80])).all()


def test_steps_by_true_distances_are_live(window: Window, qtbot: object) -> None:
    session, shape = window.session, (12, 60, 80)
    z, y, x = np.indices(shape)
    balls = ((4.0 * (z - 6)) ** 2 + (y - 30) ** 2 + (x - 30) ** 2 < 300).astype(np.int32)
    # flows of cubic voxels, as of a network that saw the planes stretched
    cubes = np.repeat(balls, 4, axis=0)
    flows = 5 * dynamics.masks_to_flows(cubes)[:, 1::4]
    session.open_array(np.zeros((12, 1, 60, 80), np.uint8), z_aspect=4.0)
    assert window.panel.volume.steps.isChecked()
    session.document.flows = Flows(None, flows, np.where(balls, 4.0, -4.0).astype(np.float32))
    counts = {}
    assert not session.jobs.any  # that a volume brings its anisotropy changes no masks
    for on in (False, True):
        press(window.panel.volume.steps)
        until_idle(window, qtbot)
        assert session.settings.isotropic_steps == on
        finder = dynamics.MaskFinder(flows, session.document.flows.cellprob, z_spacing=4.0 if on else 1.0)
        counts[on] = session.cell_count()
        assert counts[on] == finder.masks(flow_threshold=None, min_size=15).max()
    assert counts[True] == 1


def test_the_recipe_of_a_volume(volume: Window, qtbot: object) -> None:
    session, copied = volume.session, []
    session.segmentation.trained_diameter = lambda: 30.0
    session.copied.connect(copied.append)
    session.recipes.copy_command()
    until_idle(volume, qtbot)
    assert "--do_3D --anisotropy 4 --isotropic_steps" in copied[0]
    session.recipes.copy_python()
    until_idle(volume, qtbot)
    assert "io.imread_3D(path)" in copied[1]
    assert "z_axis=0" in copied[1]
    compile(copied[1], "copied", "exec")
