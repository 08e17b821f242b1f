"""New samples along one axis."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from cellpose.transforms import Sampling


@pytest.mark.parametrize(("n", "count"), [(1, 5), (2, 9), (7, 7), (5, 30), (13, 20), (20, 13), (30, 5), (9, 1)])
def test_linear_samples_are_those_of_opencv(n, count):
    old = np.random.default_rng(n).random((n, 3)).astype(np.float32)
    sampling = Sampling.linear(n, count)
    wanted = cv2.resize(old, (3, count), interpolation=cv2.INTER_LINEAR)
    # Both round positions to float32.
    np.testing.assert_allclose(np.stack(list(sampling.samples(old))), wanted, atol=1e-6)
    np.testing.assert_allclose(sampling.apply(old), wanted, atol=1e-6)


@pytest.mark.parametrize("make", [Sampling.linear, Sampling.cubic, Sampling.spline, Sampling.area])
@pytest.mark.parametrize(("n", "count"), [(1, 4), (3, 3), (3, 18), (6, 17), (17, 6), (18, 3)])
def test_a_constant_stays_what_it_is(make, n, count):
    sampling = make(n, count)
    assert len(sampling) == count
    # Weights are rounded to float32.
    np.testing.assert_allclose(sampling.matrix.sum(axis=1), 1, atol=1e-6)
    old = np.full((n, 2, 3), 7.0)
    np.testing.assert_allclose(np.stack(list(sampling.samples(old))), np.full((count, 2, 3), 7), rtol=1e-6)


def test_areas_are_means():
    old = np.arange(12.0).reshape(6, 2)
    np.testing.assert_allclose(Sampling.area(6, 3).apply(old), old.reshape(3, 2, 2).mean(axis=1))
    assert Sampling.area(4, 6).matrix.shape == (6, 4)


def test_cubic_samples_go_through_the_old_ones_and_follow_curves():
    old = np.sin(np.arange(20) * 0.5)[:, None]
    at = (np.arange(100) + 0.5) / 5 - 0.5
    inside = slice(15, -15)
    far = {
        make: np.abs(make(20, 100).apply(old)[inside, 0] - np.sin(at[inside] * 0.5)).max()
        for make in (Sampling.linear, Sampling.cubic)
    }
    assert far[Sampling.cubic] < 0.2 * far[Sampling.linear]
    np.testing.assert_allclose(Sampling.cubic(20, 100).apply(old)[2::5], old, atol=1e-6)


def test_noise_of_smooth_samples_is_the_same_everywhere():
    def deviations(make):
        return np.sqrt((make(9, 54).matrix.astype(float) ** 2).sum(axis=1))[12:-12]

    linear, smooth = deviations(Sampling.linear), deviations(Sampling.spline)
    # Along lines the deviation goes from 0.92 close to a plane down to 0.71 in the middle.
    assert np.ptp(linear) > 0.2
    assert np.ptp(smooth) < 0.03
    assert smooth.max() < 0.72


def test_samples_that_have_no_weight_are_told():
    sampling = Sampling.linear(30, 5)
    assert np.flatnonzero(sampling.used).tolist() == [2, 3, 8, 9, 14, 15, 20, 21, 26, 27]
    wanted = np.array([True, False, True])
    assert [float(s[0]) for s in Sampling.linear(3, 3).samples(np.arange(3.0)[:, None], wanted)] == [0, 2]
