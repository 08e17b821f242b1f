"""Every rule of the mouse, as real events, and files that are dropped."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from cellpose import io
from cellpose.gui.views._window import Window
from hand import Modifier, circle, click, drag, draw, drop, hover

SIDE = 120


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "cells.png"
    cv2.imwrite(str(path), np.tile(np.arange(60, dtype=np.uint8), (50, 1)))
    return path


def test_left_drag_pans_and_changes_nothing(filled: Window) -> None:
    before = filled.scene.box.viewRect().center()
    drag(filled, (90, 90), (80, 80), (70, 60))
    after = filled.scene.box.viewRect().center()
    assert (after.x() - before.x(), after.y() - before.y()) == pytest.approx((30, 20), abs=2)
    assert filled.session.document.selection == set()
    assert len(filled.session.document.history) == 0


def test_shift_and_left_begins_an_outline_too(filled: Window) -> None:
    path = circle(90, 90, 12, 0.85)
    click(filled, *path[0], keys=Modifier.ShiftModifier)
    assert filled.session.pointer.mode == "drawing"
    assert filled.scene.start.isVisible()
    assert filled.scene.start.brush().color().name() == "#ff0000"
    for point in path[1:]:
        hover(filled, *point)
    assert filled.scene.stroke.pen().color().getRgb() == (255, 0, 255, 100)
    click(filled, *path[-1], "RightButton")
    assert filled.session.cell_count() == 3


def test_a_stroke_over_cells_takes_free_pixels_only(filled: Window) -> None:
    before = filled.session.document.labels.planes.copy()
    draw(filled, 50, 40, 26)
    after = filled.session.document.labels.planes
    assert filled.session.cell_count() == 3
    assert np.array_equal(after[before > 0], before[before > 0])
    assert filled.session.document.labels.table["manual"][3]


def test_a_stroke_without_room_is_refused_and_told(filled: Window) -> None:
    draw(filled, 50, 30, 4)
    assert filled.session.cell_count() == 2
    assert "not drawn" in filled.statusBar().currentMessage()


def test_merging_needs_a_selected_cell_and_another(filled: Window) -> None:
    alt = Modifier.AltModifier
    click(filled, 50, 50, keys=alt)
    assert filled.session.cell_count() == 2
    click(filled, 50, 30)
    for y, x in ((50, 30), (100, 100)):  # itself, and the background
        click(filled, y, x, keys=alt)
        assert filled.session.cell_count() == 2
    click(filled, 50, 50, keys=alt)
    assert filled.session.cell_count() == 1


def test_ctrl_click_on_the_background_removes_nothing(filled: Window) -> None:
    click(filled, 50, 30)
    click(filled, 100, 100, keys=Modifier.ControlModifier)
    assert filled.session.cell_count() == 2


def test_a_selected_cell_is_white_unless_both_layers_are_off(filled: Window) -> None:
    from cellpose.gui.views._renderer import cell_table

    click(filled, 50, 30)
    document, view = filled.session.document, filled.session.view
    assert cell_table(document, view)[1, 0] == 0x80FFFFFF
    view.masks_on, view.outlines_on = False, True
    assert cell_table(document, view)[1, 0] == 0x40FFFFFF, "with outlines alone a veil"
    assert cell_table(document, view)[2, 0] == 0
    view.outlines_on = False
    assert not cell_table(document, view).any(), "both layers off show nothing of the cells"


def test_the_first_of_the_dropped_files_is_opened(window: Window, image: Path, tmp_path: Path) -> None:
    drop(window, image, tmp_path / "another.png")
    assert window.windowTitle().startswith("cells.png")
    assert window.session.document.picture.shape == (1, 50, 60)


def test_a_dropped_seg_file_is_opened_with_its_image(window: Window, image: Path) -> None:
    masks = np.zeros((50, 60), np.uint16)
    masks[5:20, 5:20] = 1
    flows = [np.zeros((50, 60, 3), np.uint8), np.zeros((2, 50, 60), np.float32), np.zeros((50, 60), np.float32)]
    content = io.seg_content(masks, flows, image, channels=(2, 3), diameter=17.5, model="nuclei")
    content["normalize_params"] = {"percentile": [3.0, 97.0], "norm3D": True, "sharpen_radius": 0.0}
    io.write_seg(image.with_name("cells_seg.npy"), content)
    drop(window, image.with_name("cells_seg.npy"))
    settings = window.session.settings
    assert window.session.cell_count() == 1
    assert (settings.diameter, settings.lower, settings.upper) == (17.5, 3.0, 97.0)
    assert settings.channels == (0, 0), "of an image with one channel"
    drop(window, image)
    assert window.session.cell_count() == 1, "an image is opened with the segmentation beside it"


def test_a_seg_file_that_holds_the_image_needs_no_other(window: Window, tmp_path: Path) -> None:
    masks = np.zeros((50, 60), np.uint16)
    masks[5:20, 5:20] = 1
    old = {"masks": masks, "outlines": masks, "img": np.arange(3000.0).reshape(50, 60), "filename": "/gone/cells.tif"}
    np.save(tmp_path / "cells_seg.npy", old)
    drop(window, tmp_path / "cells_seg.npy")
    assert window.session.cell_count() == 1
    del old["img"]
    np.save(tmp_path / "others_seg.npy", old)
    drop(window, tmp_path / "others_seg.npy")
    assert "is not there" in window.notice.text.text()


def test_masks_beside_the_image_are_loaded_if_wanted(window: Window, image: Path) -> None:
    masks = np.zeros((50, 60), np.uint8)
    masks[5:20, 5:20], masks[30:40, 30:40] = 7, 9
    cv2.imwrite(str(image.with_name("cells_masks.png")), masks)
    drop(window, image)
    assert window.session.cell_count() == 0
    window.session.files.autoload_masks = True
    drop(window, image)
    assert window.session.cell_count() == 2


def test_a_filter_is_kept_in_the_seg_file_and_on_again_with_it(window: Window, image: Path, qtbot: object) -> None:
    def rest() -> None:
        qtbot.waitUntil(lambda: not window.session.jobs.any, timeout=30_000)

    drop(window, image)
    draw(window, 25, 30, 10)
    window.session.settings.smooth_radius = 2.0
    window.session.filters.apply()
    rest()
    window.session.files.save()
    rest()
    window.session.files.autosave.enabled = False  # else the file would follow
    window.session.filters.clear()
    drop(window, image)
    rest()
    assert window.session.settings.smooth_radius == 2
    assert window.session.filters.is_on
    assert window.session.view.view == "restored"
