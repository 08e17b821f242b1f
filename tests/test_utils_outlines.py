"""Outlines: tiny drawings with exact results, the definition label by label, OpenCV's contours."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from cellpose import utils
from cellpose.errors import InputError

label_images = hnp.arrays(np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 3))


def cells(shape: tuple[int, int], step: int, seed: int = 0) -> np.ndarray:
    """Ellipses on a grid that overlap at random: cells that touch, are cut in pieces or covered."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    y, x = np.mgrid[: shape[0], : shape[1]]
    centres = [(cy, cx) for cy in range(step // 2, shape[0], step) for cx in range(step // 2, shape[1], step)]
    for k, (cy, cx) in enumerate(rng.permutation(centres), start=1):
        a, b = rng.uniform(0.35, 0.75, 2) * step
        labels[((y - cy) / a) ** 2 + ((x - cx) / b) ** 2 < 1] = k
    return labels


def outline_by_definition(mask: np.ndarray) -> np.ndarray:
    """Pixels of a mask that touch, by an edge, the outside that is connected to the border of the image."""
    padded = np.pad(mask, 1)
    regions, _ = ndimage.label(~padded)  # over edges, as a contour over corners demands
    outside = regions == regions[0, 0]
    return (ndimage.binary_dilation(outside) & padded)[1:-1, 1:-1] & mask


@given(label_images)
@settings(deadline=None, max_examples=200)
def test_outlines_are_those_of_each_label_for_itself(labels: np.ndarray) -> None:
    expected = np.zeros(labels.shape, bool)
    for label in np.unique(labels[labels > 0]):
        expected |= outline_by_definition(labels == label)
    np.testing.assert_array_equal(utils.masks_to_outlines(labels), expected)


def test_many_touching_cells_have_the_outlines_of_each_for_itself() -> None:
    labels = cells((400, 400), step=16)
    assert np.unique(labels).size > 500
    expected = np.zeros(labels.shape, bool)
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is not None:
            expected[box] |= outline_by_definition(labels[box] == label)
    np.testing.assert_array_equal(utils.masks_to_outlines(labels), expected)


@pytest.mark.parametrize("seed", range(3))
def test_outlines_list_holds_the_longest_contour_of_opencv(seed: int) -> None:
    labels = cells((90, 110), step=12, seed=seed)
    expected = []
    for label in np.unique(labels[labels > 0]):
        found, _ = cv2.findContours((labels == label).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        longest = max(found, key=len)[:, 0]
        expected.append(longest.tolist())
    ours = [points.tolist() for points in utils.outlines_list(labels)]
    assert len(ours) == len(expected)
    assert all(one == other for one, other in zip(ours, expected, strict=True) if len(other) > 4)


def test_the_points_of_all_contours_are_the_outline() -> None:
    labels = cells((120, 120), step=20)
    labels = np.where(ndimage.minimum_filter(labels, 3) == ndimage.maximum_filter(labels, 3), labels, 0)
    parts = {k: ndimage.label(labels == k, np.ones((3, 3)))[1] for k in np.unique(labels[labels > 0])}
    large = np.flatnonzero(np.bincount(labels.ravel()) > 20)
    labels = np.where(np.isin(labels, [k for k in large if parts.get(k) == 1]), labels, 0)
    drawn = np.zeros(labels.shape, bool)
    for points in utils.outlines_list(labels):
        drawn[points[:, 1], points[:, 0]] = True
    assert drawn.any()
    np.testing.assert_array_equal(drawn, utils.masks_to_outlines(labels))


def test_a_hole_and_what_lies_in_it_have_no_outline() -> None:
    masks = np.zeros((9, 9), np.uint8)
    masks[1:8, 1:8] = 1
    masks[2:7, 2:7] = 0
    masks[4, 4] = 1
    outlines = utils.masks_to_outlines(masks)
    assert outlines.sum() == 24  # the rim of a square of seven
    assert not outlines[4, 4]
    assert [len(points) for points in utils.outlines_list(masks)] == [24]


def test_another_label_in_a_hole_has_its_outline() -> None:
    masks = np.zeros((9, 9), np.uint8)
    masks[1:8, 1:8] = 1
    masks[3:6, 3:6] = 2
    assert utils.masks_to_outlines(masks).sum() == 24 + 8


@pytest.mark.parametrize(
    ("drawing", "corners"),
    [
        ("x", [[0, 0], [0, 1], [1, 1], [1, 0]]),
        ("xx", [[0, 0], [0, 1], [2, 1], [2, 0]]),
        ("xxx", [[0, 0], [0, 1], [3, 1], [3, 0]]),
        ("x x", [[2, 0], [2, 1], [3, 1], [3, 0]]),  # of two parts of one length the last, as for larger ones
        ("xx\nxx", [[0, 0], [0, 2], [2, 2], [2, 0]]),
        ("x \n x", [[0, 0], [0, 1], [1, 1], [1, 2], [2, 2], [2, 1], [1, 1], [1, 0]]),
        (" x\nx ", [[1, 0], [1, 1], [0, 1], [0, 2], [1, 2], [1, 1], [2, 1], [2, 0]]),
        ("xx\nx ", [[0, 0], [0, 2], [1, 2], [1, 1], [2, 1], [2, 0]]),
    ],
)
def test_labels_of_few_pixels_have_the_border_of_their_pixels(drawing, corners):
    masks = np.array([[character == "x" for character in line] for line in drawing.split("\n")], np.uint16)
    (outline,) = utils.outlines_list(masks)
    assert outline.tolist() == corners
    assert outline.dtype == np.int64
    (shifted,) = utils.outlines_list(np.pad(masks, ((5, 0), (3, 0))))
    assert (shifted - [3, 5]).tolist() == corners


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=5, unique=True))
@settings(deadline=None, max_examples=300)
def test_every_label_has_an_outline_around_its_pixels(pixels):
    """Area and bounding box of the polygon are those of the part's pixels, its holes filled."""
    masks = np.zeros((4, 4), np.uint8)
    masks[tuple(np.transpose(pixels))] = 1
    (outline,) = utils.outlines_list(masks)
    assert len(outline) >= 4
    contour = max(cv2.findContours(masks, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0], key=len)[:, 0]
    if len(contour) > 4:
        return
    x, y = outline.T
    area = abs(int(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
    parts, _ = ndimage.label(masks, np.ones((3, 3)))
    part = parts == parts[contour[0][1], contour[0][0]]
    assert area == ndimage.binary_fill_holes(part).sum()
    rows, columns = np.nonzero(part)
    assert [x.min(), x.max(), y.min(), y.max()] == [columns.min(), columns.max() + 1, rows.min(), rows.max() + 1]


def test_lines_of_four_pixels_are_followed_there_and_back():
    masks = np.zeros((3, 7), np.uint16)
    masks[1, 1:6] = 3
    (outline,) = utils.outlines_list(masks)
    assert outline.shape == (8, 2)  # its ends once: 2 n - 2 points


def test_a_label_in_two_parts_gives_the_longer_one() -> None:
    masks = np.zeros((12, 12), int)
    masks[0:3, 0:3] = 1
    masks[5:10, 5:10] = 1
    assert utils.outlines_list(masks)[0].min(axis=0).tolist() == [5, 5]


def test_labels_far_apart_in_number_are_in_ascending_order() -> None:
    masks = np.zeros((8, 20), np.int64)
    masks[1:5, 12:16] = 5
    masks[1:5, 1:5] = 2**31 - 1
    assert [points[:, 0].min() for points in utils.outlines_list(masks)] == [12, 1]
    assert utils.masks_to_outlines(masks).sum() == 24


def test_other_names_of_outlines_list() -> None:
    labels = cells((60, 60), step=15)
    expected = utils.outlines_list(labels, multiprocessing_threshold=1, multiprocessing=True)
    for found in (utils.outlines_list_single(labels), utils.outlines_list_multi(labels, num_processes=2)):
        assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    last = int(np.unique(labels)[-1])
    np.testing.assert_array_equal(utils.get_outline_multi((labels, last)), expected[-1])
    assert utils.get_outline_multi((labels, last + 1)).shape == (0, 2)


def test_a_volume_is_done_plane_by_plane() -> None:
    volume = np.stack([cells((40, 50), 12, seed) for seed in range(3)])
    planes = [utils.masks_to_outlines(plane) for plane in volume]
    np.testing.assert_array_equal(utils.masks_to_outlines(volume), np.stack(planes))


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.int64, np.uint64, np.float32])
def test_any_dtype_of_whole_numbers_is_a_label_image(dtype: type) -> None:
    masks = np.zeros((6, 6), dtype)
    masks[1:5, 1:5] = 1
    assert utils.masks_to_outlines(masks).sum() == 12
    assert utils.masks_to_outlines(masks[::-1, ::-1]).sum() == 12


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (np.zeros(5, int), r"1 dimensions \(shape \(5,\)\)"),
        (np.zeros((2, 2, 2, 2), int), "4 dimensions"),
        (np.full((3, 3), -2), "holds the label -2"),
        (np.full((3, 3), 1.5), r"holds 1\.5; give whole numbers"),
        (np.full((3, 3), np.nan), "holds nan"),
        (np.full((3, 3), 2**31), "the largest allowed is 2147483647"),
        (np.full((3, 3), "a"), "dtype <U1"),
        (np.ones((3, 3), complex), "dtype complex128"),
        ([[1, 2], [3]], "is not one array"),
    ],
)
def test_what_is_no_label_image_is_named(masks: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        utils.masks_to_outlines(masks)


def test_nothing_in_nothing_out() -> None:
    assert utils.outlines_list(np.zeros((5, 5), int)) == []
    assert utils.outlines_list(np.zeros((0, 5), int)) == []
    assert utils.masks_to_outlines(np.zeros((0, 5), int)).shape == (0, 5)
    assert not utils.masks_to_outlines(np.zeros((2, 5, 5), int)).any()
