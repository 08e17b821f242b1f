"""TrackMate 7: a folder of frames, PNG masks back, progress from the log file."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest

from bench import Bench

PROGRESS = re.compile(r".+\s(\d*\.?\d*)\%.+")


def size_model(bench: Bench, diameter_px: float) -> None:
    """A size model for the quick model that always says this diameter."""
    content = {"A": np.zeros(8), "smean": np.zeros(8), "ymean": np.log(diameter_px / 30), "diam_mean": 30.0}
    np.save(bench.models / "size_cyto3.npy", np.array(content, object), allow_pickle=True)


@pytest.mark.parametrize("use_gpu", [[], ["--use_gpu"]])
@pytest.mark.parametrize("advanced", [[], ["--flow_threshold", "0.4", "--cellprob_threshold", "0.0"]])
def test_masks_as_png(bench: Bench, use_gpu, advanced):
    bench.images("1.tif", "2.tif", "10.tif")
    common = ["--chan", "0", "--diameter", "30", "--pretrained_model", "cyto3", "--save_png", "--no_npy"]
    assert bench.run(*common, *use_gpu, *advanced) == 0
    for t in (1, 2, 10):
        masks = cv2.imread(str(bench.folder / f"{t}_cp_masks.png"), cv2.IMREAD_UNCHANGED)
        assert (masks.dtype, masks.max()) == (np.uint16, 9)


def test_diameter_0_is_estimated(bench: Bench):
    size_model(bench, 30.0)
    bench.images("1.tif")
    words = ["--chan", "0", "--chan2", "0", "--diameter", "0", "--pretrained_model", "cyto3", "--save_png", "--no_npy"]
    assert bench.run(*words, "--verbose") == 0
    assert ">>>> estimating diameter for each image" in bench.log()
    # the second estimate is the median diameter of the masks, which have a radius of about seven pixels
    assert 8 < bench.manifest()["images"][0]["diameter_px"] < 20


def test_progress_stands_in_the_log(bench: Bench):
    bench.images(*(f"{t}.tif" for t in range(4)))
    words = ["--chan", "0", "--diameter", "30", "--pretrained_model", "cyto3", "--save_png", "--no_npy", "--verbose"]
    assert bench.run(*words) == 0
    found = [match for line in bench.log().splitlines() if (match := PROGRESS.fullmatch(line))]
    percents = [float(match.group(1)) for match in found]
    assert percents[0] == 0
    assert percents[-1] == 100
    assert percents == sorted(percents)


def test_the_log_is_made_anew(bench: Bench):
    bench.images("1.tif")
    words = ["--pretrained_model", "cyto3", "--diameter", "30", "--save_png", "--no_npy", "--verbose"]
    assert bench.run(*words) == bench.run(*words) == 0
    assert bench.log().count(">>>> completed in") == 1
