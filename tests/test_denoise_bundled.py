"""The restoration model that comes with the package: its names, its card, and that it helps."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from cellpose import denoise, io, models, weights

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
DIAMETER = 17.0


@pytest.fixture(scope="module")
def noisy() -> np.ndarray:
    clean = io.imread(EXAMPLES / "nuclei_dense.png").astype(np.float32)[:200, :200]
    return np.random.default_rng(0).poisson((clean / clean.max() + 0.1) * 5.0).astype(np.float32)


@pytest.mark.parametrize("name", weights.RESTORATION_TASKS)
def test_tasks_without_a_set_are_the_bundled_model(name):
    assert Path(denoise.DenoiseModel(model_type=name).pretrained_model) == weights.bundled_restorer()


def test_it_restores_both_channels():
    model = denoise.DenoiseModel(model_type="oneclick", chan2=True)
    assert model.net_chan2 is None
    image = np.random.default_rng(0).random((64, 64, 2), np.float32)
    assert model.eval(image, channels=[1, 2], diameter=30).shape == (64, 64, 2)


def test_it_runs_few_large_tiles(tmp_path):
    model = denoise.DenoiseModel(model_type="oneclick")
    image = np.random.default_rng(0).random((260, 470), np.float32)
    few, small = (model.eval(image, diameter=30, bsize=bsize) for bsize in (0, 224))
    assert not np.array_equal(few, small)
    np.testing.assert_array_equal(model.eval(image, diameter=30), few)
    np.testing.assert_allclose(few, small, atol=0.2)
    denoise.restore_large(model, image, tmp_path / "restored.tif", diameter=30)
    np.testing.assert_allclose(io.imread(tmp_path / "restored.tif"), few[..., 0], atol=1e-5)


def test_the_card_is_that_of_the_file():
    path = weights.bundled_restorer()
    card = weights.resolve("oneclick").card
    assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.stat().st_size < 14e6
    assert all(source["licence"] for source in card["data"]["sources"].values())


def test_more_cells_are_found_in_a_noisy_image(noisy):
    segmenter = models.CellposeModel(pretrained_model="generalist")
    direct = segmenter.eval(noisy, diameter=DIAMETER, channels=[0, 0])[0].max()
    restored = denoise.DenoiseModel(model_type="oneclick").eval(noisy, diameter=DIAMETER)
    found = segmenter.eval(restored, diameter=DIAMETER, channels=[0, 0])[0].max()
    assert found > 1.5 * direct


def test_upsampling_enlarges_images_of_small_cells(noisy):
    model = denoise.DenoiseModel(model_type="upsample")
    assert model.eval(noisy[:60, :60], diameter=15).shape[:2] == (120, 120)
    assert model.ratio == 2
    assert denoise.DenoiseModel(model_type="denoise").eval(noisy[:60, :60], diameter=15).shape[:2] == (60, 60)


def test_it_is_listed_and_is_no_model_to_segment_with():
    (row,) = [row for row in weights.list_models() if row.name == "oneclick"]
    assert (row.kind, row.task, row.installed) == ("bundled", "restoration", True)
    assert "oneclick" not in weights.bundled_models()
