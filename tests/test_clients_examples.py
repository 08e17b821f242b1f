"""Scripts for other programs: the commands in them are run as they stand."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cellpose.cli import main
from cellpose.cli._parser import get_arg_parser

FOLDER = Path(__file__).resolve().parent.parent / "examples/clients"
if not FOLDER.is_dir():  # an installed copy of the tests
    pytest.skip("needs the folder examples of a clone", allow_module_level=True)


@pytest.fixture
def image(tmp_path):
    y, x = np.mgrid[:90, :120]
    cells = sum(np.exp(-(((y - cy) ** 2 + (x - cx) ** 2) / 60.0)) for cy, cx in ((25, 30), (60, 40), (45, 90)))
    file = tmp_path / "region.tif"
    tifffile.imwrite(file, np.uint8(220 * cells))
    return file


def words_of(text: str, image: Path, diameter: str = "16") -> list[str]:
    """The words of a call in a script; names of variables become what they hold."""
    known = {
        "diameter": diameter,
        "image.getPath()": str(image),
        "folder.getPath()": str(image.parent),
        "form": "geojson",
    }
    known['folder + title + ".tif"'] = str(image)
    parts = [part.strip() for part in re.split(r",(?=\s)", text)]
    return [part.strip('"') if re.fullmatch(r'"[^"]*"', part) else known[part] for part in parts]


def test_the_macro_of_fiji(image):
    line = next(line for line in (FOLDER / "fiji_segment.ijm").read_text().splitlines() if "exec(" in line)
    words = words_of(line[line.index("(") + 1 : line.rindex(")")].partition('"cellpose", ')[2], image)
    assert main(words) == 0
    assert tifffile.imread(image.with_name("region_cp_masks.tif")).max() == 3
    assert image.with_name("region_rois.zip").is_file()


def test_the_script_of_qupath(image):
    calls = re.findall(r"^run\(\[(.*)\]\)", (FOLDER / "qupath_segment.groovy").read_text(), re.MULTILINE)
    assert [main(words_of(call, image)) for call in calls] == [0, 0]
    assert [file.name for file in image.parent.glob("*.geojson")] == ["region.geojson"]


def test_the_options_for_nextflow():
    options = re.search(r"ext\.args = '(.*)'", (FOLDER / "nfcore_cellpose.config").read_text())
    args = get_arg_parser().parse_args(["--image_path", "a.tif", *options[1].split()])
    assert (args.pretrained_model, args.save_flows) == ("generalist", True)


def test_what_the_image_of_docker_copies_is_there():
    root = FOLDER.parent.parent
    copied = re.findall(r"^COPY (.*) \S+$", (root / "Dockerfile").read_text(), re.MULTILINE)
    names = [name for line in copied for name in line.split()]
    assert names
    kept = (root / ".dockerignore").read_text().split()
    for name in names:
        assert (root / name).exists()
        assert f"!{name}" in kept


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("sopa") is None, reason="needs sopa")
def test_sopa_segments_a_store(tmp_path):
    out = tmp_path / "store.zarr"
    done = subprocess.run(
        [sys.executable, FOLDER / "sopa_pipeline.py", "--out", out], capture_output=True, text=True, check=True
    )
    assert 55 <= int(done.stdout.splitlines()[-1].split()[0]) <= 70
    assert {each.name for each in out.iterdir()} >= {"images", "shapes", "tables"}
