"""Training slices that are cut of a corrected volume in the window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from cellpose import io
from cellpose.gui.model import _operations as operations
from cellpose.gui.model._strokes import outlined
from cellpose.gui.views._window import Window
from hand import circle, entry, until_idle, until_open

SHAPE = (12, 60, 70)


@pytest.fixture
def volume(window: Window, tmp_path: Path) -> Window:
    """The window with a volume of a file, with one cell that was drawn and not saved yet."""
    path = tmp_path / "volume.tif"
    image = np.random.default_rng(0).integers(0, 200, SHAPE).astype(np.uint8)
    tifffile.imwrite(
        path, image, imagej=True, resolution=(4, 4), metadata={"axes": "ZYX", "spacing": 0.5, "unit": "um"}
    )
    window.session.files.open(path)
    box, mask = outlined(circle(30, 30, 10), SHAPE, 3)
    mask = np.repeat(mask, 6, axis=0)
    window.session.document.do(operations.add_cell, box._replace(z1=9), mask)
    return window


def test_slices_of_three_directions_with_the_cells_as_they_are(volume: Window, tmp_path: Path, qtbot: object) -> None:
    entry(volume, "Models", "Cut training slices of this volume").trigger()
    until_idle(volume, qtbot)
    until_open(volume)
    folder = tmp_path / "train"
    names = {path.stem.split("_")[1] for path in folder.glob("volume_*_seg.npy")}
    assert names == {"YX", "ZY", "ZX"}
    side = io.read_seg(next(iter(folder.glob("volume_ZX_*_seg.npy"))))
    assert side.masks.shape == (24, 70)  # planes are twice as far apart as pixels
    assert side.masks.max() == 1
    assert side.ismanual.all()
    document = volume.session.document
    assert document.path.parent == folder
    assert document.labels.count == 1


def test_the_slices_are_what_is_trained_on(volume: Window, qtbot: object) -> None:
    entry(volume, "Models", "Cut training slices of this volume").trigger()
    until_idle(volume, qtbot)
    until_open(volume)
    from cellpose.gui.model._training_set import training_set

    found = training_set(volume.session.document.path.parent)
    n_slices = len(list(volume.session.document.path.parent.glob("*_masks.tif")))
    assert len(found.train) + len(found.held_out) == n_slices > 10
    assert not found.left_out


def test_a_volume_itself_is_not_trained_on(volume: Window, tmp_path: Path) -> None:
    volume.session.files.autosave.settle()
    from cellpose.gui.model._training_set import training_set

    assert "training slices" in dict(training_set(tmp_path).left_out)["volume.tif"]


def test_without_cells_there_is_nothing_to_cut(volume: Window) -> None:
    volume.session.clear()
    volume.session.slicing.cut()
    assert "slices without cells" in volume.statusBar().currentMessage()
