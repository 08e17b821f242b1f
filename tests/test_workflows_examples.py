"""The workflows among the examples, run as they stand, and the notebooks made from them."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from cellpose import weights

FOLDER = Path(__file__).resolve().parent.parent / "examples/workflows"
if not FOLDER.is_dir():  # an installed copy of the tests
    pytest.skip("needs the folder examples of a clone", allow_module_level=True)

NOTEBOOKS = runpy.run_path(str(FOLDER / "notebooks.py"))
SCRIPTS = [script.stem for script in NOTEBOOKS["workflows"]()]
# The section of the manual that each workflow follows.
SECTIONS = {
    "nuclei": [26],
    "cells_with_nuclei": [27],
    "puncta_per_cell": [28],
    "stack": [29],
    "refine_a_model": [30],
    "what_is_written": [19],
    "measure_cells": [20],
    "look_in_napari": [21, 22],
}

needs_model = pytest.mark.skipif(not weights.bundled_models(), reason="needs the bundled model")


class Viewer:
    """What a workflow asks of a viewer of napari: layers by their names."""

    def __init__(self):
        self.layers = {}

    def _add(self, data, name, **_):
        self.layers[name] = types.SimpleNamespace(data=data)

    add_image = add_labels = add_points = _add


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a workflow in a folder of its own, with a viewer that opens no window; gives its names."""
    matplotlib = pytest.importorskip("matplotlib")
    for library in ("pandas", "skimage"):
        pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setitem(sys.modules, "napari", types.SimpleNamespace(Viewer=Viewer, run=lambda: None))
    before = matplotlib.get_backend()
    matplotlib.use("Agg")
    yield lambda name: runpy.run_path(str(FOLDER / f"{name}.py"))
    sys.modules.pop("example_images", None)
    matplotlib.pyplot.close("all")
    matplotlib.use(before)


def size_of(picture: str) -> tuple[int, ...]:
    from cellpose import io

    return io.imread(picture).shape[:2]


@needs_model
def test_nuclei(run):
    assert 60 <= run("nuclei")["masks"].max() <= 72
    assert {"dapi_cp_masks.tif", "dapi_cp_outlines.txt"} <= {path.name for path in Path("results").iterdir()}
    assert size_of("nuclei.png")[1] > 1000


@needs_model
def test_cells_with_nuclei(run):
    assert 29 <= run("cells_with_nuclei")["masks"].max() <= 37
    assert size_of("cells_with_nuclei.png")[1] > 1000


@needs_model
def test_puncta_per_cell(run):
    table = run("puncta_per_cell")["df"]
    assert 19 <= len(table) <= 23
    # Of 200 spots 180 lie in cells; some lie so near each other that they are seen as one.
    assert 120 <= table["puncta_count"].sum() <= 190
    assert Path("piezo1_analysis.csv").is_file()
    assert size_of("puncta_per_cell.png")[1] > 700


@needs_model
def test_stack(run):
    space = run("stack")
    assert 9 <= space["masks_3d"].max() <= 13
    assert list(space["viewer"].layers) == ["Z-Stack", "3D Masks"]
    assert Path("masks_3d.tif").is_file()
    assert size_of("stack.png")[1] > 700


@needs_model
def test_what_is_written(run):
    space = run("what_is_written")
    assert 20 <= space["seg"]["masks"].max() <= 32
    assert space["seg"]["diams"] == 30
    np.testing.assert_array_equal(space["saved"], space["masks"])
    assert size_of("what_is_written.png")[1] > 1000


@needs_model
def test_measure_cells(run):
    space = run("measure_cells")
    assert 20 <= len(space["table"]["label"]) <= 32
    for channel, name in enumerate(("GFP_mean", "mCherry_mean")):
        np.testing.assert_allclose(space["table"][f"intensity_mean-{channel}"], space["df"][name], rtol=1e-6)
    for name in ("cell_measurements.csv", "multichannel_measurements.csv", "measure_cells.png"):
        assert Path(name).is_file()


@needs_model
def test_look_in_napari(run):
    layers = run("look_in_napari")["viewer"].layers
    assert list(layers) == ["Raw", "Cellpose Masks", "Centroids"]
    assert len(layers["Centroids"].data) == layers["Cellpose Masks"].data.max()


@needs_model
@pytest.mark.parametrize("epochs", [1, pytest.param(40, marks=pytest.mark.slow)])
def test_refine_a_model(run, monkeypatch, capfd, epochs):
    """As written (slow), and with one epoch in place of 40."""
    as_it_is = subprocess.run

    def shorter(words, **options):
        if "--train" in words:
            assert words[-2:] == ["--n_epochs", "40"]
            words = [*words[:-1], str(epochs)]
        return as_it_is(words, **options)

    monkeypatch.setattr(subprocess, "run", shorter)
    run("refine_a_model")
    said = capfd.readouterr().out
    found = re.findall(
        r"^(learned from|new), (before|after): \d+ cells, average precision ([\d.]+)$", said, re.MULTILINE
    )
    precision = {(field, when): float(value) for field, when, value in found}
    assert len(precision) == 4
    assert precision["learned from", "before"] > 0.6
    # One epoch says nothing; the model must only be whole.
    assert precision["learned from", "after"] > (precision["learned from", "before"] if epochs == 40 else 0.3)


@pytest.mark.parametrize("name", SCRIPTS)
def test_notebooks_are_those_of_the_scripts(name):
    script = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    text = (FOLDER / f"{name}.ipynb").read_text(encoding="utf-8")
    assert text == NOTEBOOKS["notebook"](script), "run python examples/workflows/notebooks.py"
    cells = json.loads(text)["cells"]
    assert [cell["cell_type"] for cell in cells[:2]] == ["markdown", "code"]
    assert "# %%" not in text


@pytest.mark.parametrize("name", SCRIPTS)
def test_calls_are_those_of_the_manual(shared, name):
    """Each line of the code of the manual's section, but for `conda` and the like, stands in the script."""
    manual = (shared / "manual.md").read_text(encoding="utf-8")
    script = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    lines = {line.strip() for line in script.splitlines()}
    for section in SECTIONS[name]:
        text = re.search(rf"^## {section}\. .*?(?=^## \d+\. |\Z)", manual, re.MULTILINE | re.DOTALL).group()
        code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
        calls = {line.strip() for line in code.splitlines() if line.strip() and not line.strip().startswith("#")}
        missing = {line for line in calls - lines if not line.startswith(("seg[", "seg =", "zstack ="))}
        assert missing == set()


def test_each_workflow_is_in_the_list():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| \[(\w+)\.py\]\(\1\.py\)", text, re.MULTILINE)
    assert sorted(listed) == SCRIPTS == sorted(SECTIONS)
