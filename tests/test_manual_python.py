"""The Python of the users' manual, run as it is written."""

from __future__ import annotations

import logging
import re
import shlex
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from cellpose import models, weights
from evaluations import save_recipe

SECTIONS = (7, 8, 9, 10, 11, 13, 14, 19, 26, 27, 28, 29, 31)
# Code that needs more than this package, and what for.
NEEDS = {28: ("pandas", "skimage")}

pytestmark = pytest.mark.skipif(not weights.bundled_models(), reason="needs the bundled model")


def blocks(shared: Path, section: int) -> list[str]:
    text = (shared / "manual.md").read_text(encoding="utf-8")
    found = re.search(rf"^## {section}\. .*?(?=^## \d+\. |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"section {section} is not in the manual"
    return re.findall(r"```python\n(.*?)```", found.group(), re.DOTALL)


def discs(*shape: int) -> np.ndarray:
    """Bright discs of 20 pixels on a dark ground, with noise, for the last two axes."""
    y, x = np.mgrid[: shape[-2], : shape[-1]]
    plane = 20 + 150 * (((y % 32 - 16) ** 2 + (x % 32 - 16) ** 2) < 100)
    noise = np.random.default_rng(0).normal(0, 5, shape)
    return (plane + noise).clip(0, 255).astype(np.uint8)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with the files that the manual names; napari, which is not installed here, stands in for itself."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path / "models"))
    for name, shape in {
        "cells.tif": (96, 96),
        "dapi.tif": (96, 96),
        "cells_2ch.tif": (2, 96, 96),
        "multichannel.tif": (2, 96, 96),
        "piezo1_multichannel.tif": (3, 96, 96),
        "confocal_zstack.tif": (6, 40, 40),
    }.items():
        tifffile.imwrite(name, discs(*shape), photometric="minisblack")
    Path("images").mkdir()
    for name in ("a.tif", "b.tif"):
        tifffile.imwrite(f"images/{name}", discs(64, 64))
    napari = types.ModuleType("napari")
    shown = types.SimpleNamespace(add_image=lambda *_, **__: None, add_labels=lambda *_, **__: None)
    napari.Viewer, napari.run = (lambda: shown), (lambda: None)
    monkeypatch.setitem(sys.modules, "napari", napari)
    return tmp_path


def names(section: int) -> dict[str, object]:
    """What a section takes for granted from those before it."""
    image = discs(3, 96, 96) if section == 9 else discs(96, 96)
    made = models.CellposeModel()
    return {"np": np, "models": models, "model": made, "img": image, "imgs": [discs(64, 64)] * 2, "new_image": image}


@pytest.mark.parametrize("section", [s for s in SECTIONS if s not in (13, 19)])
def test_section(shared, desk, section, capsys):
    for library in NEEDS.get(section, ()):
        pytest.importorskip(library)
    code = blocks(shared, section)
    assert code or section == 14
    space = names(section) if code else {}
    for block in code:
        exec(compile(block, f"manual section {section}", "exec"), space)
    for name in ("masks", "cell_masks", "masks_3d"):
        if name in space and not isinstance(space[name], list):
            assert space[name].max() > 0, "no cell was found"
    if section == 7:
        saved = {path.name for path in (desk / "results").iterdir()}
        assert {"cells_cp_masks.tif", "cells_cp_masks.png"} <= saved
        assert "Found" in capsys.readouterr().out


def test_models_section(shared, desk, parity, caplog):
    """Names of models: that of Cellpose 3 and a file of one's own; Cellpose-SAM in the slow suite."""
    (desk / "models").mkdir()
    save_recipe(parity, "cpnet_small", desk / "models" / "cyto3")
    save_recipe(parity, "cpnet_small", desk / "my_model")
    (block,) = blocks(shared, 13)
    block = block.replace('"/path/to/my_model"', repr(str(desk / "my_model")))
    block = "\n".join(line for line in block.splitlines() if '"cpsam"' not in line)
    space = {"models": models}
    with caplog.at_level(logging.INFO, logger="cellpose"):
        exec(compile(block, "manual section 13", "exec"), space)
    assert space["model"].model_name == "my_model"
    assert "cyto3" in caplog.text


@pytest.mark.slow
def test_models_section_cellpose_sam(shared, desk, parity):
    (desk / "models").mkdir()
    save_recipe(parity, "cpsam", desk / "models" / "cpsam")
    (block,) = blocks(shared, 13)
    lines = [line for line in block.splitlines() if '"cpsam"' in line]
    space = {"models": models}
    exec(compile("\n".join(lines), "manual section 13", "exec"), space)
    assert space["model"].backbone == "sam_vitl"


@pytest.fixture(params=[""])
def training_desk(desk, request):
    """Images with masks to train on and to test with, named as the manual says."""
    for folder, count in (("train", 3), ("test", 1)):
        (desk / folder).mkdir()
        for number in range(count):
            image = ndimage.gaussian_filter(discs(96, 96), 1)
            labels = ndimage.label(discs(96, 96) > 95)[0].astype(np.uint16)
            assert labels.max() == 9
            tifffile.imwrite(f"{folder}/image{number:03d}{request.param}.tif", image)
            tifffile.imwrite(f"{folder}/image{number:03d}_masks.tif", labels)
    return desk


@pytest.mark.parametrize("training_desk", ["_img"], indirect=True)
def test_training_section(shared, training_desk):
    """Trained as the manual does (fewer epochs: 2 in place of 100), and the model used by its name."""
    train_block, use_block = blocks(shared, 18)
    assert "n_epochs=100" in train_block
    for what in ("train", "test"):
        train_block = train_block.replace(f"/path/to/{what}/", str(training_desk / what))
    space = {"new_image": tifffile.imread("test/image000_img.tif")}
    exec(compile(train_block.replace("n_epochs=100", "n_epochs=2"), "manual section 18", "exec"), space)
    assert Path(space["model_path"]).exists()
    assert len(space["train_losses"]) == 2
    assert np.all(np.isfinite(space["train_losses"]))
    exec(compile(use_block, "manual section 18", "exec"), space)
    assert space["model"].model_name == "my_cellpose_model"
    assert space["masks"].max() > 0


@pytest.mark.parametrize("source", ["_masks", pytest.param("_seg.npy", marks=pytest.mark.slow)])
def test_training_commands(shared, training_desk, monkeypatch, source):
    """The two commands of the manual that train: from label images, and from what was corrected in the window."""
    text = (shared / "manual.md").read_text(encoding="utf-8")
    commands = [
        c.replace("\\\n", " ") for c in re.findall(r"^python -m cellpose \\\n(?:.*\\\n)*.*$", text, re.MULTILINE)
    ]
    (command,) = [c for c in commands if "--train " in c and ("_seg.npy" in c) == (source == "_seg.npy")]
    assert "--n_epochs 100" in command
    command = (
        command.replace("--n_epochs 100", "--n_epochs 2").replace("~/images/", "").replace("train_images", "train")
    )
    if source == "_seg.npy":
        run = "--dir train/ --save_tif --save_png"
        subprocess.run([sys.executable, "-m", "cellpose", *shlex.split(run)], check=True, capture_output=True)
    words = [sys.executable, *shlex.split(command)[1:]]
    subprocess.run(words, check=True, capture_output=True)
    (made,) = [path for path in (training_desk / "train" / "models").iterdir() if path.is_file()]
    use = [sys.executable, "-m", "cellpose", "--dir", "images", "--pretrained_model", str(made), "--save_tif"]
    subprocess.run(use, check=True, capture_output=True)
    assert len(list((training_desk / "images").glob("*_cp_masks.tif"))) == 2


def test_seg_file_section(shared, desk):
    """What the manual reads from a ``_seg.npy``; its key ``diams`` is named ``diameter`` in the file."""
    from cellpose import io

    image = discs(96, 96)
    result = models.CellposeModel().eval(image, diameter=30, channels=[0, 0])
    io.masks_flows_to_seg(image, result[0], result[1], "image.tif", channels=[0, 0], diams=30)
    (block,) = blocks(shared, 19)
    space = {}
    for line in block.splitlines():
        if 'seg["diams"]' not in line:
            exec(compile(line, "manual section 19", "exec"), space)
    assert set(space["seg"]) >= {"masks", "flows", "outlines", "chan_choose", "diameter"}
    np.testing.assert_array_equal(space["seg"]["masks"], result[0])
