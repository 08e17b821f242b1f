"""What a result says against itself: when it speaks, what it says to try, and when it is silent."""

from __future__ import annotations

import numpy as np
import pytest

from cellpose.io import Image
from cellpose.models import segment_image
from cellpose.models._doubt import doubt_of, doubts_untold, one_doubt, signs_of
from cellpose.options import Evaluation, Masking
from small_model import discs, toy_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return toy_model(tmp_path_factory.mktemp("unet"))


def squares(n: int = 9, side: int = 10) -> np.ndarray:
    """Labels of squares on a grid of three columns."""
    labels = np.zeros((60, 60), np.uint16)
    for k in range(n):
        y, x = 20 * (k // 3), 20 * (k % 3)
        labels[y : y + side, x : x + side] = k + 1
    return labels


def of(labels, logit=5.0, ground=-5.0, diameter=11.0, threshold=0.0, given=True, **options):
    cellprob = np.where(labels > 0, np.float32(logit), np.float32(ground))
    evaluation = Evaluation(
        diameter=diameter if given else None, masking=Masking(cellprob_threshold=threshold), **options
    )
    n_planes = len(labels) if labels.ndim == 3 else 1
    return doubt_of(signs_of(labels, cellprob, threshold), evaluation, diameter, n_planes, estimates=True)


def test_signs():
    signs = signs_of(squares(), np.where(squares() > 0, 4.0, -3.0), 0.0)
    assert (signs.n_cells, signs.planes, signs.kept) == (9, 1, 1)
    assert signs.diameter_px == pytest.approx(2 * np.sqrt(100 / np.pi))
    assert signs.logit == pytest.approx(4)
    assert signs.foreground == pytest.approx(0.25)
    volume = np.stack([squares(), squares(5), np.zeros_like(squares())])
    signs = signs_of(volume, np.zeros((3, 30, 30)), 0.0)
    assert (signs.n_cells, signs.planes) == (9, 2)
    assert signs.diameter_px == pytest.approx(2 * np.sqrt(100 / np.pi))
    assert np.isnan(signs.logit)  # of another size than the labels
    assert signs_of(np.zeros((9, 9), int), np.zeros((9, 9)), 0.0).n_cells == 0


def test_good_results_say_nothing():
    for diameter in (6, 11.3, 22, None):
        assert of(squares(), diameter=diameter) is None
    assert of(np.zeros((60, 60), int)) is None
    for diameter in (5, 27):  # a model bears so much, and nobody said anything
        assert of(squares(), diameter=diameter, given=False) is None
    assert of(squares(4), diameter=50) is None  # of four cells nothing is concluded
    assert of(squares(), logit=1.0, threshold=-2) is None  # cells that were asked for
    # a ground that looks like cells to the network, beside cells that are sure
    labels = squares()
    cellprob = np.full(labels.shape, 3.0)
    assert doubt_of(signs_of(labels, cellprob, 0.0), Evaluation(), 11, 1) is None


@pytest.mark.parametrize("diameter", [3.5, 35])
def test_cells_far_from_the_diameter_assumed(diameter):
    said = of(squares(), diameter=diameter)
    assert "11 pixels across" in said
    assert "--diameter 0" in said
    assert "--diameter 11" in said
    assert of(squares(), diameter=diameter, given=False) == said


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({}, "try --diameter 0 (it is estimated), another channel (--chan) or another model"),
        ({"min_size": 5000}, "try a lower --min_size than 5000"),
        ({"flow_threshold": 0.001}, "try a higher --flow_threshold than 0.001"),
        ({"niter": 1, "cellprob_threshold": -6.0}, "a higher --niter than 1 or a higher --cellprob_threshold than -6"),
        ({"flow_threshold": 0.0, "min_size": -1, "niter": 2000}, "another channel (--chan) or another model"),
    ],
)
def test_options_that_reject_cells_are_named(options, advice):
    masking = Masking(**options)
    signs = signs_of(np.zeros((60, 60), int), np.where(squares() > 0, 4.0, -9.0), masking.cellprob_threshold)
    said = doubt_of(signs, Evaluation(masking=masking), 11, 1, estimates=True)
    assert said.startswith("most pixels of cell candidates were rejected")
    assert said.endswith(advice)


def test_a_threshold_above_all_pixels_is_named():
    nothing = np.zeros((60, 60), int)
    assert of(nothing, ground=5.0, threshold=20.0).endswith("try a lower --cellprob_threshold than 20")


def test_what_is_impossible_is_no_advice():
    labels = squares()
    signs = signs_of(labels, np.where(labels, 3.0, -3.0), 0.0)
    said = doubt_of(signs, Evaluation(diameter=35), 35, 1)
    assert "--diameter 11" in said
    assert "--diameter 0" not in said
    unsure = signs_of(labels, np.where(labels, 0.8, -5.0), 0.0)
    assert doubt_of(unsure, Evaluation(), 11, 1).endswith(
        "; look at them, and try another channel (--chan) or another model"
    )
    assert doubt_of(unsure, Evaluation(), 11, 1, channels=False).endswith("; look at them, and try another model")


def test_cells_that_are_unsure():
    assert "uncertain about most of the 9 cells" in of(squares(), logit=0.8)
    # next to nothing was kept of what looked like cells
    said = of(squares(1), ground=1.0)
    assert "97 % did not become cells" in said
    assert "--chan" in said
    assert of(np.zeros((60, 60), int), ground=-1.0) is None


def volume(planes_of_a_cell: int, n_planes: int = 20) -> np.ndarray:
    """Nine columns, each of it cut into cells of so many planes."""
    return np.stack([(squares() + 9 * (z // planes_of_a_cell)) * (squares() > 0) for z in range(n_planes)])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"do_3D": True}, "(it is estimated), --anisotropy"),
        ({"stitch_threshold": 0.3}, "lower"),
    ],
)
def test_crumbs_of_a_volume(options, words):
    for planes in (1, 2):
        said = of(volume(planes), **options)
        assert f"go through {planes} of 20 planes only" in said
        assert words in said
    said = of(volume(10), diameter=30, **options)
    assert "11 pixels across, but 30 were assumed: cells may be cut into fragments" in said
    assert words in said
    assert of(volume(5), **options) is None
    given = of(volume(1), anisotropy=1.5, **options)
    assert ("try --diameter 0 (it is estimated), another --anisotropy N" in given) == bool(options.get("do_3D"))
    # few planes because there are few, or because they are far apart
    assert of(volume(2, 4), **options) is None
    assert of(volume(2), **options, anisotropy=4.0) is None
    assert of(volume(1)) is None  # planes segmented each for itself


def test_a_warning_per_image_that_names_it(model, caplog):
    image = discs(72, 96)
    model.eval(image, diameter=15)
    assert "--diameter" not in caplog.text
    for one in (image, [image, image]):
        caplog.clear()
        model.eval(one, diameter=90)
        told = [r.message for r in caplog.records if "pixels across" in r.message]
        names = ["image 1:", "image 2:"] if isinstance(one, list) else ["image:"]
        assert len(told) == len(names)
        assert all(line.startswith(name) for line, name in zip(sorted(told), names, strict=True))
    caplog.clear()
    model.eval(image, diameter=90, compute_masks=False)
    with doubts_untold():
        model.eval([image, image], diameter=90)
        with one_doubt():
            model.eval(image, diameter=90)
    assert "pixels across" not in caplog.text


@pytest.mark.parametrize("shape", [(72, 96), (5, 72, 96)])
def test_thresholds_are_no_advice_for_an_image_without_contrast(model, caplog, shape):
    for threshold in (-20, 20):
        model.eval(np.zeros(shape, np.uint8), z_axis=0 if len(shape) > 2 else None, cellprob_threshold=threshold)
    assert "cellprob_threshold" not in caplog.text


def test_one_warning_for_a_movie(model, caplog):
    movie = Image(np.stack([discs(72, 96)] * 3), "TYX")
    segment_image(model, movie, diameter=90)
    assert caplog.text.count("pixels across") == 1
