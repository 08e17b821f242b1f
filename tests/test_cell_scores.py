"""How sure a network is of each cell, and what its reliability curve makes of that."""

from __future__ import annotations

import numpy as np
import pytest

from cellpose import dynamics, weights
from cellpose.errors import InputError


@pytest.fixture
def flowing() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels 1, 2 and 4 with their own flows and logits of 4."""
    labels = np.zeros((40, 50), np.int32)
    labels[2:12, 3:13], labels[15:30, 5:20], labels[5:25, 25:45] = 1, 2, 4
    return labels, 5 * dynamics.masks_to_flows(labels), np.where(labels > 0, 4.0, -4.0)


def test_scores_are_those_of_flow_error_and_mean_probability(flowing: tuple[np.ndarray, ...]) -> None:
    labels, flows, logits = flowing
    noisy = flows + np.random.default_rng(0).normal(0, 1, flows.shape)
    scores = dynamics.cell_scores(labels, noisy, logits)
    expected = dynamics.flow_error(labels, noisy)[0]
    np.testing.assert_allclose(scores.flow_error, expected, rtol=1e-5)
    np.testing.assert_allclose(scores.probability[[0, 1, 3]], 1 / (1 + np.exp(-4)), rtol=1e-6)
    assert np.isnan(scores.plain[2]), "there is no label 3"
    perfect = dynamics.cell_scores(labels, flows, logits).plain
    assert (perfect > scores.plain)[[0, 1, 3]].all()


def test_a_cell_against_its_flows_has_a_low_score(flowing: tuple[np.ndarray, ...]) -> None:
    labels, flows, logits = flowing
    merged = np.where(labels == 2, 1, labels)
    scores = dynamics.cell_scores(merged, flows, logits).plain
    assert scores[0] < 0.5 < scores[3]


def test_flows_of_another_size_and_volumes(flowing: tuple[np.ndarray, ...]) -> None:
    labels, flows, logits = flowing
    large = labels.repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_allclose(
        dynamics.cell_scores(large, flows, logits).plain, dynamics.cell_scores(labels, flows, logits).plain
    )
    volume = np.stack([labels, labels])
    scores = dynamics.cell_scores(volume, 5 * dynamics.masks_to_flows(volume), np.stack([logits, logits]))
    assert (scores.plain[[0, 1, 3]] > 0.9).all()
    assert dynamics.cell_scores(np.zeros((4, 4), int), np.zeros((2, 4, 4)), np.zeros((4, 4))).plain.size == 0
    with pytest.raises(InputError, match="do not fit"):
        dynamics.cell_scores(volume, flows, logits)


@pytest.mark.parametrize("name", sorted(weights.bundled_models()))
def test_bundled_models_carry_a_reliability_curve(name: str) -> None:
    curve = weights.reliability(name)
    assert curve is not None
    assert np.all(np.diff(curve.correct) > 0), "a surer cell is more often right"
    assert curve(0.0) < 0.1
    assert curve(1.0) > 0.95
    assert np.isnan(curve(np.nan))


@pytest.mark.parametrize(
    "kept",
    [None, {}, {"score": [0.1], "correct": [0.1]}, {"score": [0.5, 0.1], "correct": [0, 1]},
     {"score": [0, 1], "correct": [0, 2]}, {"score": ["a", "b"], "correct": [0, 1]}, {"score": [0, 1], "correct": [1]},
     {"score": [0, 1], "correct": [float("nan"), 1]}],
)  # fmt: skip
def test_a_card_without_a_sensible_curve_carries_none(kept: object) -> None:
    assert weights.Reliability.of_card({"reliability": kept}) is None
    assert weights.reliability("there is no such model") is None
