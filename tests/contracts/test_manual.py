"""The commands of the users' manual, as they are written there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from bench import Bench
from blobs import write_images
from conftest import SHARED

MANUAL = SHARED / "manual.md"


def commands() -> list[Any]:
    """Every command of the manual that opens no window, with lines that go on joined."""
    if not MANUAL.is_file():
        return []
    blocks = re.findall(r"^ *```bash\n(.*?)^ *```", MANUAL.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    found = [line for line in lines if line.startswith("python -m cellpose ") and "--Zstack" not in line]
    # training for a hundred epochs takes its time even for a small network
    return [pytest.param(line, marks=[pytest.mark.slow] if "--train" in line else []) for line in dict.fromkeys(found)]


def test_the_manual_has_commands(shared):
    assert len(commands()) >= 8


@pytest.mark.parametrize("command", commands() or [None])
def test_command(bench: Bench, shared, command):
    # a quick model stands for the large one; it is a U-Net, as its file says
    bench.model("cpsam")
    bench.model("my_cellpose_model")
    words = [_ready(word, bench) for word in shlex.split(command)[3:]]
    if "_seg.npy" in words:  # training on masks of the window, which an earlier command of the manual made
        assert bench.run("--dir", words[words.index("--dir") + 1], "--diameter", "30") == 0
    assert bench.run(*words) == 0


def _ready(word: str, bench: Bench) -> str:
    """A path of the manual as one of this test, with images in it."""
    if word == "/path/to/trained_model":
        return str(bench.model("../trained_model"))
    if not word.endswith("/"):
        return word
    folder = bench.root / Path(word).name
    images = write_images(folder, ["a.tif", "b.tif"])
    if "zstacks" in word:
        for image in images:
            tifffile.imwrite(image, np.stack([tifffile.imread(image)] * 4), photometric="minisblack")
    elif folder.name in {"train", "test"}:
        for image in images:
            labels = tifffile.imread(image) > 6000
            tifffile.imwrite(folder / f"{image.stem}_masks.tif", _numbered(labels))
    else:  # images with three channels, so that every --chan of the manual is there
        for image in images:
            tifffile.imwrite(image, np.stack([tifffile.imread(image)] * 3), photometric="minisblack")
    return f"{folder}/"


def _numbered(cells: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    return ndimage.label(cells)[0].astype(np.uint16)
