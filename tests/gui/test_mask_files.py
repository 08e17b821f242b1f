"""Masks of other names and other programs; settings and choices that the next start begins with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cellpose import io
from cellpose.errors import InputError
from cellpose.gui.model._mask_files import labels_of_file, masks_beside
from cellpose.gui.views._window import Window
from hand import Answers, Modifier, entry, key, until_open

CTRL = Modifier.ControlModifier
SIDE = 60


def squares() -> np.ndarray:
    labels = np.zeros((SIDE, SIDE), np.uint8)
    labels[5:20, 5:20], labels[30:50, 30:50] = 1, 2
    return labels


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "cells.png"
    io.imsave(str(path), np.tile(np.arange(SIDE, dtype=np.uint8), (SIDE, 1)))
    return path


@pytest.mark.parametrize("name", ["cells_cp_masks.png", "cells_masks.tif", "cells_masks.png", "cells_labels.tif"])
def test_masks_beside_the_image_are_told_of_and_suggested(window: Window, image: Path, name: str) -> None:
    masks = image.with_name(name)
    io.imsave(str(masks), squares())
    window.session.files.open(image)
    assert window.statusBar().currentMessage() == f"{name} lies beside the image; Load masks opens it"
    window.session.dialogs = answers = Answers(masks)
    key(window, "M", CTRL)
    until_open(window)
    assert answers.suggested == masks
    assert window.session.cell_count() == 2


def test_autoload_takes_masks_of_other_names_and_is_kept(window: Window, image: Path, qtbot: object) -> None:
    io.imsave(str(image.with_name("cells_cp_masks.png")), squares())
    entry(window, "File", "Autoload masks from _masks.tif file").trigger()
    window.close()
    again = Window()
    qtbot.addWidget(again)
    assert entry(again, "File", "Autoload masks from _masks.tif file").isChecked()
    again.session.files.open(image)
    assert again.session.cell_count() == 2
    again.close()


@pytest.mark.parametrize(("yes", "cells"), [(True, 2), (False, 1)])
def test_a_binary_mask_is_taken_apart_if_wanted(window: Window, image: Path, yes: bool, cells: int) -> None:
    binary = image.with_name("any name.png")
    io.imsave(str(binary), np.where(squares() > 0, 255, 0).astype(np.uint8))
    window.session.files.open(image)
    window.session.dialogs = answers = Answers(binary, yes=yes)
    key(window, "M", CTRL)
    until_open(window)
    assert answers.asked[-1].endswith("has one value only, in 2 pieces. Make a cell of each piece?")
    assert window.session.cell_count() == cells
    key(window, "Z", CTRL)
    assert window.session.cell_count() == 0


@pytest.mark.parametrize("kind", ["float", "gray of three channels", "colors", "one channel", "gaps"])
def test_label_images_of_any_kind(tmp_path: Path, kind: str) -> None:
    labels, path = squares(), tmp_path / "masks.tif"
    colors = np.array([[0, 0, 0], [255, 10, 3], [3, 10, 255]], np.uint8)
    stored = {
        "float": labels.astype(np.float32),
        "gray of three channels": np.repeat(labels[..., None] * 40, 3, axis=-1),
        "colors": colors[labels],
        "one channel": labels[..., None],
        "gaps": labels.astype(np.uint32) * 100_000,
    }[kind]
    io.imsave(str(path), stored)
    found = labels_of_file(path, (1, SIDE, SIDE))
    assert found.dtype == np.int32
    assert len(np.unique(found * 3 + labels)) == 3, "one number for each cell"
    assert found.max() == 2


@pytest.mark.parametrize("stored", [np.full((SIDE, SIDE), 0.5, np.float32), np.zeros((SIDE, 7), np.uint8)])
def test_what_holds_no_masks_of_the_image_is_refused(tmp_path: Path, stored: np.ndarray) -> None:
    io.imsave(str(tmp_path / "masks.tif"), stored)
    with pytest.raises(InputError, match="masks of this image are whole numbers of shape"):
        labels_of_file(tmp_path / "masks.tif", (1, SIDE, SIDE))
    assert masks_beside(tmp_path / "masks.png") == []


def test_settings_of_the_segmentation_are_kept(window: Window, qtbot: object, home: Path) -> None:
    settings = window.session.settings
    settings.model, settings.diameter, settings.channels, settings.min_size = "nuclei-cells", 17.5, (2, 1), 40
    settings.flow_threshold, settings.upper, settings.sharpen_radius = 0.7, 99.5, 3.0
    window.close()
    again = Window()
    qtbot.addWidget(again)
    kept = again.session.settings
    assert (kept.model, kept.diameter, kept.channels, kept.min_size) == ("nuclei-cells", 17.5, (2, 1), 40)
    assert (kept.flow_threshold, kept.upper, kept.sharpen_radius) == (0.7, 99.5, 0.0)
    assert again.panel.segmentation.diameter.value() == 17.5
    again.close()
    file = home / ".cellpose" / "window.json"
    content = json.loads(file.read_text())
    content["segmentation"] |= {"model": "gone", "diameter": "x", "lower": 99.9, "channels": [1, 9], "min_size": None}
    file.write_text(json.dumps(content))
    last = Window()
    qtbot.addWidget(last)
    kept = last.session.settings
    assert (kept.model, kept.diameter, kept.channels, kept.min_size) == ("generalist", 30.0, (0, 0), 15)
    assert (kept.flow_threshold, kept.lower, kept.upper) == (0.7, 1.0, 99.0)
    last.close()
