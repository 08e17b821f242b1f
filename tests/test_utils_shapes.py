"""Sizes and shapes of labels."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cellpose import utils
from cellpose.errors import InputError


def disk_mask(radius: float, size: int = 61) -> np.ndarray:
    y, x = np.mgrid[:size, :size] - size // 2
    return (y**2 + x**2 <= radius**2).astype(np.uint16)


def test_diameters_of_two_squares() -> None:
    masks = np.zeros((30, 30), np.uint16)
    masks[2:12, 2:12] = 1
    masks[15:25, 15:25] = 7
    median, roots = utils.diameters(masks)
    assert median == pytest.approx(11.283792, abs=1e-6)  # the diameter of a disk of 100 pixels
    assert roots.tolist() == [10, 10]


def test_a_label_counts_where_there_is_no_background() -> None:
    masks = np.ones((20, 20), int)
    masks[5:9, 5:9] = 2
    assert utils.diameters(masks)[1].tolist() == [math.sqrt(384), 4]


def test_no_labels_no_diameter() -> None:
    median, roots = utils.diameters(np.zeros((4, 4), int))
    assert median == 0
    assert roots.shape == (0,)
    assert math.isnan(utils.size_distribution(np.zeros((4, 4), int)))


def test_radius_distribution_adds_up_to_one() -> None:
    masks = np.zeros((30, 30), np.uint16)
    masks[2:12, 2:12] = 1
    masks[15:19, 15:19] = 7
    fractions, diameter, radii = utils.radius_distribution(masks, np.arange(0, 10))
    assert radii.tolist() == [5, 2]
    assert fractions.tolist() == [0, 0, 0.5, 0, 0, 0.5, 0, 0, 0]
    assert diameter == pytest.approx(3.5 / (math.sqrt(math.pi) / 2))


def test_size_distribution_is_one_for_equal_sizes() -> None:
    masks = np.kron(np.arange(1, 10).reshape(3, 3), np.ones((4, 4), int))
    assert utils.size_distribution(masks) == 1


def test_perimeter_of_a_square_and_of_a_diamond() -> None:
    square = np.zeros((12, 12), int)
    square[1:11, 1:11] = 2
    assert utils.get_mask_perimeters(square).tolist() == [0, 36]
    y, x = np.mgrid[-5:6, -5:6]
    diamond = (abs(y) + abs(x) <= 4).astype(int)
    assert utils.get_mask_perimeters(diamond)[0] == pytest.approx(16 * math.sqrt(2))


def test_the_parts_of_a_label_add_up_and_holes_do_not_count() -> None:
    masks = np.zeros((20, 20), int)
    masks[1:6, 1:6] = 1
    masks[10:15, 10:15] = 1
    masks[12, 12] = 0
    assert utils.get_mask_perimeters(masks).tolist() == [32]


def test_compactness_of_a_square() -> None:
    masks = np.zeros((20, 20), int)
    masks[5:15, 5:15] = 1
    assert utils.get_mask_compactness(masks)[0] == pytest.approx(4 * math.pi * 100 / 36**2)
    assert utils.get_mask_compactness(masks[8:11, 8:11])[0] == 1  # 9 pixels inside a perimeter of 8: capped


def test_stats_of_a_disk_are_near_one() -> None:
    convexity, solidity, compactness = utils.get_mask_stats(disk_mask(20))
    # the staircase of pixels is a few per cent longer than the hull
    assert 0.93 < convexity[0] <= 1
    assert 0.93 < solidity[0] <= 1
    assert compactness[0] == pytest.approx(1, abs=1e-3)


def test_stats_of_a_cross_say_that_it_is_not_convex() -> None:
    masks = np.zeros((40, 40), int)
    masks[18:22, 2:38] = 1
    masks[2:38, 18:22] = 1
    convexity, solidity, compactness = utils.get_mask_stats(masks)
    assert convexity[0] < 0.9
    assert solidity[0] < 0.5
    assert compactness[0] < 0.8


def test_stats_skip_small_and_absent_labels() -> None:
    masks = np.zeros((30, 30), int)
    masks[:3, :5] = 1  # 15 pixels
    masks[10:20, 10:20] = 4
    for values in utils.get_mask_stats(masks):
        assert values.shape == (4,)
        assert (values[:3] == 0).all()
        assert values[3] > 0.9
    line = np.zeros((3, 30), int)
    line[1, 2:28] = 1
    convexity, solidity, compactness = utils.get_mask_stats(line)
    assert convexity[0] == solidity[0] == 0  # a hull without area
    assert 0 < compactness[0] < 0.5


def test_circle_mask_is_symmetric() -> None:
    rs, dx, dy = utils.circleMask([3, 5])
    assert rs.shape == dx.shape == dy.shape == (7, 11)
    np.testing.assert_array_equal(rs, rs[::-1, ::-1])
    np.testing.assert_allclose(rs, np.hypot(dx, dy))
    with pytest.raises(InputError, match=r"d0=\[1\]"):
        utils.circleMask([1])


def test_two_dimensions_only() -> None:
    volume = np.zeros((2, 5, 5), int)
    for function in (utils.get_mask_perimeters, utils.get_mask_compactness, utils.get_mask_stats, utils.outlines_list):
        with pytest.raises(InputError, match="3 dimensions"):
            function(volume)
    assert utils.diameters(np.ones((2, 3, 4), int))[1].tolist() == [math.sqrt(24)]
