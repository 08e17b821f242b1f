"""The scripts that put synthetic images beside real ones, in pictures and in figures."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from cellpose import synthetic

SCRIPTS = Path(__file__).resolve().parents[1] / "training"


@pytest.fixture(scope="module")
def scripts():
    if not SCRIPTS.is_dir():
        pytest.skip("the training scripts are in the source tree only")
    sys.path.insert(0, str(SCRIPTS))
    try:
        yield {name: importlib.import_module(name) for name in ("contact_sheet", "compare_synthetic")}
    finally:
        sys.path.remove(str(SCRIPTS))


@pytest.fixture(scope="module")
def data(scripts, tmp_path_factory):
    """An image for each group of real images, in the layout of the training data; one of the test split."""
    folder = tmp_path_factory.mktemp("data")
    rows = ["source,id,split,modality,group"]
    for i, group in enumerate(g for groups in scripts["contact_sheet"].REAL.values() for g in groups):
        source, _, name = group.partition(" ")
        (folder / source).mkdir(exist_ok=True)
        one = synthetic.sample(i, (200, 210), "tissue" if "RGB" in group else "nuclei", channels=3, diameter=20)
        picture = np.moveaxis(one.image, 0, -1) if "RGB" in group else one.image[0]
        cv2.imwrite(str(folder / source / f"p{i}_img.png"), (picture * 255).astype(np.uint8))
        cv2.imwrite(str(folder / source / f"p{i}_masks.png"), one.masks.astype(np.uint16))
        rows.append(f"{source},p{i},train,any,{name}")
    rows.append("usiigaci,absent,test,any,")  # would fail if it were read
    (folder / "split.csv").write_text("\n".join(rows))
    return folder


def test_the_sheet_has_a_row_for_each_kind(scripts, data, tmp_path):
    out = tmp_path / "deeper" / "sheet.png"
    common = ["--out", str(out), "--width", "400", "--kinds", "phase", "yeast"]
    scripts["contact_sheet"].main([*common, "--data", str(data), "--real", "2", "--made", "2"])
    sheet = cv2.imread(str(out))
    # a strip with the name, four tiles of 192 pixels, the line between them
    assert sheet.shape == (round(2 * 192 * 400 / (24 + 4 * 192 + 8)), 400, 3)
    line = sheet[: sheet.shape[0] // 2, round((24 + 2 * 192 + 4) * 400 / 800)]
    assert (line > 200).all()
    scripts["contact_sheet"].main([*common, "--made", "3"])
    assert cv2.imread(str(out)).shape == (round(2 * 192 * 400 / (24 + 3 * 192)), 400, 3)


def test_figures_of_real_and_synthetic_images_are_printed(scripts, data, capsys):
    scripts["compare_synthetic"].main(["--data", str(data), "--images", "2"])
    lines = capsys.readouterr().out.splitlines()
    kinds = len(scripts["contact_sheet"].REAL)
    figures, told = lines[: 2 + 2 * kinds], lines[3 + 2 * kinds :]
    assert {line.count("|") for line in figures} == {11}
    assert len(told) == 2 + kinds


def test_a_classifier_tells_noisy_images_apart_and_like_ones_not(scripts):
    module = scripts["compare_synthetic"]
    one, other = list(module.synthetic_images("nuclei", 24)), list(module.synthetic_images("nuclei", 48))[24:]
    rng = np.random.default_rng(0)
    noisy = [(plane + rng.normal(0, 0.2, plane.shape).astype(np.float32), masks) for plane, masks in other]
    alike, apart = (int(module.tell_apart(one, images, 48)[0].rstrip("%")) for images in (other, noisy))
    assert alike < 75
    assert apart > 90


def test_noise_is_measured_whatever_the_image(scripts):
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:128, :128].astype(np.float32) / 128
    noisy = 3 * y + np.sin(4 * x) + 0.05 * rng.standard_normal((128, 128), np.float32)
    level = scripts["compare_synthetic"].noise_level(noisy, np.ones((128, 128), bool))
    assert level == pytest.approx(0.05, rel=0.05)  # 16 384 pixels, a median of them
