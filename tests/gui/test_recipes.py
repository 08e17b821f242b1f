"""Copy as command, copy as Python: what is copied runs as it is and gives the masks of the window."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication

from cellpose import io
from cellpose.gui.model._recipe import Recipe, quoted
from cellpose.gui.views._window import Window
from hand import Modifier, entry, key

EXAMPLES = Path(__file__).parents[2] / "examples"
ALT = Modifier.ControlModifier | Modifier.AltModifier


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose name a shell would take apart, with an image of two channels and one of one."""
    place = tmp_path / "my cells; $HOME's"
    place.mkdir()
    cells = io.imread(EXAMPLES / "nuclei_dense.png")[:96, :112]
    io.imsave(str(place / "two.png"), np.stack([cells, cells[::-1], np.zeros_like(cells)], axis=-1))
    io.imsave(str(place / "one.tif"), cells[:80])
    return place


@pytest.fixture
def asked(window: Window, folder: Path, qtbot: object) -> Window:
    """The window with an image and settings of its own, segmented."""
    settings = window.session.settings
    window.session.files.autosave.enabled = False
    window.session.files.open(folder / "two.png")
    settings.model, settings.channels, settings.diameter = "nuclei-cells", (2, 1), 18.5
    settings.cellprob_threshold, settings.flow_threshold, settings.min_size = -0.5, 0.0, 20
    settings.lower, settings.upper, settings.niter = 2.0, 98.5, 120
    segmented(window, qtbot)
    return window


def segmented(window: Window, qtbot: object) -> np.ndarray:
    window.session.segmentation.run()
    qtbot.waitUntil(lambda: not window.session.jobs.any, timeout=60_000)
    return window.session.document.labels.planes[0].copy()


def copied(window: Window, qtbot: object) -> str:
    qtbot.waitUntil(lambda: not window.session.jobs.any, timeout=60_000)
    return QApplication.clipboard().text()


def run(words: list[str], folder: Path) -> None:
    done = subprocess.run(words, check=False, capture_output=True, text=True, cwd=folder, env=dict(os.environ))
    assert done.returncode == 0, done.stderr


def own_python(command: str) -> list[str]:
    """The words of a command as a shell takes them apart, with the Python of this test."""
    words = shlex.split(command)
    assert words[0] == "python"
    return [sys.executable, *words[1:]]


@pytest.mark.skipif(os.name == "nt", reason="the shell of Linux and macOS takes the line apart")
@pytest.mark.parametrize("diameter", [18.5, 0.0])
def test_the_command_gives_the_masks_of_the_window(asked: Window, folder: Path, qtbot: object, diameter: float) -> None:
    asked.session.settings.diameter = diameter
    expected = segmented(asked, qtbot)
    assert expected.max() > 5
    key(asked, "C", ALT)
    command = copied(asked, qtbot)
    run(own_python(command), folder)
    cells = io.imread(folder / "two_cp_masks.tif")
    assert np.array_equal(np.unique(expected, return_inverse=True)[1].reshape(cells.shape), cells)
    assert not (folder / "two_seg.npy").exists(), "corrections in it are not overwritten"


def test_python_gives_the_masks_of_the_window(asked: Window, folder: Path, qtbot: object) -> None:
    settings = asked.session.settings
    settings.sharpen_radius, settings.invert = 2.0, True
    asked.session.filters.apply()
    qtbot.waitUntil(lambda: not asked.session.jobs.any, timeout=60_000)
    expected = segmented(asked, qtbot)
    assert expected.max() > 5
    key(asked, "P", ALT)
    names: dict[str, np.ndarray] = {}
    exec(copied(asked, qtbot), names)
    assert np.array_equal(np.unique(expected, return_inverse=True)[1].reshape(expected.shape), names["masks"])
    assert np.array_equal(io.imread(folder / "two_cp_masks.tif"), names["masks"])
    entry(asked, "File", "Copy as command").trigger()
    assert "--sharpen_radius 2 --invert" in copied(asked, qtbot)


@pytest.mark.skipif(os.name == "nt", reason="the shell of Linux and macOS takes the line apart")
def test_of_the_folder(asked: Window, folder: Path, qtbot: object) -> None:
    asked.session.settings.lower, asked.session.settings.upper = 1.0, 99.0
    expected = segmented(asked, qtbot)
    entry(asked, "File", "Copy as command, for the folder").trigger()
    run(own_python(copied(asked, qtbot)), folder)
    found = {name: io.imread(folder / f"{name}_cp_masks.tif") for name in ("one", "two")}
    assert np.array_equal(np.unique(expected, return_inverse=True)[1].reshape(96, 112), found["two"])
    for path in folder.glob("*_cp_masks.tif"):
        path.unlink()
    entry(asked, "File", "Copy as Python, for the folder").trigger()
    exec(copied(asked, qtbot), {})
    for name, masks in found.items():
        assert np.array_equal(io.imread(folder / f"{name}_cp_masks.tif"), masks), name


def test_defaults_are_not_written_and_windows_is_quoted() -> None:
    masking = {"cellprob_threshold": 0.0, "flow_threshold": 0.4, "min_size": 15, "niter": None}
    recipe = Recipe(Path("a b & c.tif"), "cpsam", True, None, None, None, (1.0, 99.0), {}, masking)
    assert recipe.command(windows=True) == (
        'python -m cellpose --image_path "a b & c.tif" --pretrained_model cpsam --use_gpu --save_tif --no_npy'
    )
    assert quoted(["a'b", ""], windows=False) == shlex.join(["a'b", ""])
    filtered = Recipe(Path("a.tif"), "cyto3", False, (0, 0), 30.0, None, (1.0, 99.0), {"tile_norm_blocksize": 5.0}, {})
    assert "--tile_norm_blocksize 5 " in filtered.command()


def test_an_image_of_no_file_is_told(filled: Window) -> None:
    key(filled, "C", ALT)
    assert filled.statusBar().currentMessage() == "Copy as command: the image is in no file"
