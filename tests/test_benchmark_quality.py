"""The benchmark of quality: its classical baseline, its sums, and its tables."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def scripts():
    """The scripts as modules; they are no part of the package."""
    folders = [str(ROOT / "benchmarks"), str(ROOT / "training")]
    if not all(Path(folder).is_dir() for folder in folders):
        pytest.skip("the benchmarks are in the source tree only")
    pytest.importorskip("skimage")
    before = list(sys.path)
    sys.path[:0] = folders
    try:
        yield {
            name: importlib.import_module(name)
            for name in ("quality", "quality_others", "quality_curves", "bundled_eval")
        }
    finally:
        sys.path[:] = before


def discs(centres, radius=9, side=96):
    y, x = np.indices((side, side))
    labels = np.zeros((side, side), np.int32)
    for i, (cy, cx) in enumerate(centres, start=1):
        labels[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = i
    return labels


TRUTH = discs([(20, 20), (20, 36), (60, 30), (70, 75)])  # the first two touch


@pytest.fixture
def data(tmp_path):
    (tmp_path / "bbbc039").mkdir()
    noise = np.random.default_rng(0).normal(0, 4, TRUTH.shape)
    image = np.clip(40 + 160 * (TRUTH > 0) + noise, 0, 255).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "bbbc039" / "a_img.png"), image)
    cv2.imwrite(str(tmp_path / "bbbc039" / "a_masks.png"), TRUTH.astype(np.uint16))
    (tmp_path / "split.csv").write_text("source,id,split,modality,group\nbbbc039,a,test,nuclei,520x696\n")
    return tmp_path


@pytest.mark.parametrize("bright", [True, False])
@pytest.mark.parametrize("diameter", [None, 18.0])
def test_classical_baseline_parts_touching_discs(scripts, bright, diameter):
    image = (TRUTH > 0) * 160.0 + 40 if bright else 200 - (TRUTH > 0) * 160.0
    found = scripts["quality_others"].otsu_watershed({}, image, [0, 0], diameter)
    assert scripts["bundled_eval"].average_precision(TRUTH, found)[1] == 1


def test_nothing_in_an_empty_image_is_found(scripts):
    assert not scripts["quality_others"].otsu_watershed({}, np.ones((32, 32)), [0, 0], None).any()


def test_scores_of_perfect_empty_and_shifted_masks(scripts):
    scores = scripts["bundled_eval"].scores
    np.testing.assert_array_equal(scores(TRUTH, TRUTH), np.ones(5))
    np.testing.assert_array_equal(scores(TRUTH, 0 * TRUTH), np.zeros(5))
    np.testing.assert_array_equal(scores(0 * TRUTH, 0 * TRUTH), np.ones(5))
    half, strict, strictest, jaccard, _ = scores(TRUTH, np.roll(TRUTH, 4, axis=1))
    assert (half, strict, strictest) == (1, 0, 0)
    assert 0.5 < jaccard < 0.75


def test_what_is_measured_is_kept(scripts, data, tmp_path):
    quality = scripts["quality"]
    calls = []

    def segment(row, image, channels, diameter):
        calls.append(diameter)
        return TRUTH

    out = tmp_path / "quality.json"
    results = quality.run_all({"truth": lambda: segment}, data, out)
    assert calls == [None, pytest.approx(18, abs=0.5)]
    assert quality.run_all({"truth": lambda: segment}, data, out) == results == json.loads(out.read_text())
    assert len(calls) == 2
    row = results["truth"]["test, without a diameter"]["bbbc039"]
    assert (row["images"], row["objects"], row["AP@0.9"], row["boundary F"]) == (1, 4, 1, 1)
    assert "| bbbc039 | 1.000 / 1.000 |" in quality.beside(results, "test, without a diameter")
    assert "| bbbc039 | 1 | 4 | 1.000 |" in quality.one_method(results["truth"]["test, without a diameter"])


def test_kinds_within_a_source_are_told_apart(scripts, data):
    measure = scripts["bundled_eval"].measure
    row = {"source": "bbbc039", "id": "a", "group": "", "modality": "nuclei"}
    same = measure(lambda *_: TRUTH, data, [row, row])
    assert list(same) == ["bbbc039"]
    masks = iter([TRUTH, 0 * TRUTH])
    mixed = measure(lambda *_: next(masks), data, [row, {**row, "modality": "whole cells"}])
    assert {k: (v["images"], v["AP@0.5"]) for k, v in mixed.items()} == {
        "bbbc039": (2, 0.5), "bbbc039, nuclei": (1, 1.0), "bbbc039, whole cells": (1, 0.0),
    }  # fmt: skip


def test_training_by_the_recipe_of_the_original(scripts, data, tmp_path, monkeypatch):
    """It is trained once, and gives weights that can be run, here and in a process of its own."""
    others = scripts["quality_others"]
    rows = [{"source": "bbbc039", "id": "a"}]
    monkeypatch.setattr(others, "read_split", lambda *_: rows)
    monkeypatch.setattr(others, "RECIPE", {**others.RECIPE, "n_epochs": 2, "min_train_masks": 1})
    trained = others.train_original(Path(sys.executable), data, tmp_path / "run", 1, 8)
    assert trained.exists()
    elsewhere = others.Elsewhere(Path(sys.executable), others.RUN_ORIGINAL, trained, tmp_path / "masks", data)
    elsewhere.prepare(rows, by_diameter=True)
    monkeypatch.setattr(others, "run", None)
    assert others.train_original(Path(sys.executable), data, tmp_path / "run", 1, 8) == trained
    elsewhere.prepare(rows, by_diameter=True)
    image = cv2.imread(str(data / "bbbc039" / "a_img.png"), -1)
    here = scripts["quality"].bundled(str(trained))(rows[0], image, [0, 0], 18.0)
    assert elsewhere(rows[0], image, [0, 0], 18.0).shape == here.shape == image.shape


def test_changes_of_the_robustness_curves(scripts):
    module = scripts["quality_curves"]
    pair = ((TRUTH > 0).astype(np.float32), TRUTH)
    for change, strengths in module.CHANGES.values():
        for strength in strengths:
            image, truth = change(pair, strength)
            assert image.shape == truth.shape
            assert len(np.unique(truth)) == 5
    image, truth = module.rescaled(pair, 0.5)
    assert truth.shape == (48, 48)
    assert ((image > 0.5) == (truth > 0)).mean() > 0.97


def test_bins_of_the_reliability_plot(scripts):
    scores = np.stack([np.linspace(0, 1, 100), np.linspace(0, 1, 100), np.arange(100) >= 50], axis=1)
    by_probability = scripts["quality_curves"].reliability(scores, 1)
    assert [round(share) for _, share, _ in by_probability] == [0] * 5 + [1] * 5
    by_error = scripts["quality_curves"].reliability(scores, 0)
    assert sum(n for *_, n in by_error) == sum(n for *_, n in by_probability) == 100


def test_correct_cells_are_told_from_others(scripts):
    found = np.zeros_like(TRUTH)
    found[TRUTH == 3] = 1
    found[:8, :8] = 2
    found[np.roll(TRUTH, 9, axis=0) == 4] = 3
    correct = scripts["quality_curves"].correct_cells
    assert correct(TRUTH, found).tolist() == [True, False, False]
    assert correct(0 * TRUTH, found).tolist() == [False] * 3
