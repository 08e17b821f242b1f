"""Messages after saving: they name the file that was written and its folder, or say how many files there are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cellpose.gui.controllers._exports import _save
from cellpose.gui.model import Document, Flows
from cellpose.gui.views._window import Window
from hand import Answers, Modifier, key, until_idle

SIDE = 40
CONTROL, BOTH = Modifier.ControlModifier, Modifier.ControlModifier | Modifier.ShiftModifier


def labels(depth: int = 1) -> np.ndarray:
    made = np.zeros((depth, SIDE, SIDE), np.int32)
    for frame in range(depth):
        made[frame, 5:15, 5:15] = frame + 1
    return made


@pytest.fixture
def saving(window: Window, tmp_path: Path) -> Window:
    """A window with a cell and its flows, that answers questions for a file by ``chosen.png``."""
    window.session.dialogs = Answers(tmp_path / "chosen.png")
    document = window.session.open_array(np.zeros((1, 1, SIDE, SIDE), np.uint8), labels(), tmp_path / "b.tif")
    shape = SIDE, SIDE
    document.flows = Flows(np.zeros((*shape, 3), np.uint8), np.zeros((2, *shape), np.float32), np.zeros(shape))
    return window


def after(window: Window, command: str, qtbot: object) -> str:
    """The message after a command of a menu."""
    next(each for each in window.commands if each.id == command).trigger()
    until_idle(window, qtbot)
    return window.statusBar().currentMessage()


@pytest.mark.parametrize(
    ("name", "keys", "file"),
    [("N", CONTROL, "b_cp_masks.png"), ("S", BOTH, "chosen.png")],  # Ctrl+S is tried with a file, see `test_manual`
)
def test_the_file_of_a_key_is_named(
    saving: Window, qtbot: object, tmp_path: Path, name: str, keys: Modifier, file: str
) -> None:
    key(saving, name, keys)
    until_idle(saving, qtbot)
    assert saving.statusBar().currentMessage() == f"saved {file} in {tmp_path}"
    assert (tmp_path / file).is_file()


@pytest.mark.parametrize(
    ("command", "file"),
    [
        ("file.save_outlines", "b_cp_outlines.txt"),
        ("file.save_rois", "b_rois.zip"),
        ("file.save_table", "b_cells.csv"),
        ("file.save_geojson", "b.geojson"),
        ("file.measure_csv", "b_measurements.csv"),
        ("file.save_settings", "chosen.png"),
    ],
)
def test_the_file_of_a_menu_is_named(saving: Window, qtbot: object, tmp_path: Path, command: str, file: str) -> None:
    assert after(saving, command, qtbot) == f"saved {file} in {tmp_path}"
    assert (tmp_path / file).is_file()


def test_several_files_are_counted(saving: Window, qtbot: object, tmp_path: Path) -> None:
    key(saving, "F", CONTROL)
    until_idle(saving, qtbot)
    assert saving.statusBar().currentMessage() == f"saved 3 files in {tmp_path}"
    assert len(list(tmp_path.glob("b_*_cp_masks.tif"))) == 3


def test_files_of_movies_are_counted(window: Window, qtbot: object, tmp_path: Path) -> None:
    window.session.open_array(np.zeros((3, 1, SIDE, SIDE), np.uint8), labels(3), tmp_path / "b.tif", axis="T")
    assert after(window, "file.save_tracks", qtbot) == f"saved 3 files in {tmp_path}"
    assert after(window, "file.save_ctc", qtbot) == f"saved 4 files in {tmp_path / 'b_RES'}"
    assert len(list((tmp_path / "b_RES").iterdir())) == 4
    assert after(window, "file.save_trackmate", qtbot) == f"saved b_trackmate.xml in {tmp_path}"


def test_more_cells_than_a_png_holds_are_named_as_the_tiff_they_are(tmp_path: Path) -> None:
    many = np.arange(1, 2**16 + 257, dtype=np.uint32).reshape(257, 256)
    document = Document(np.zeros((1, 1, *many.shape), np.uint8), None, tmp_path / "b.tif")
    (file,) = _save(document, many, document.path, png=True)
    assert file == tmp_path / "b_cp_masks.tif"
    assert [path.name for path in tmp_path.glob("b_*")] == [file.name]
