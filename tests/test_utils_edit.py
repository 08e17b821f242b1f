"""Label images cleaned, dilated, stitched."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from cellpose import utils
from cellpose.errors import InputError, OptionError

stacks = hnp.arrays(
    np.int32,
    st.tuples(st.integers(1, 5), st.integers(1, 7), st.integers(1, 7)),
    elements=st.integers(0, 4),
)


def square(y: int, x: int, label: int = 1, side: int = 10, shape: tuple[int, int] = (40, 40)) -> np.ndarray:
    plane = np.zeros(shape, np.uint16)
    plane[y : y + side, x : x + side] = label
    return plane


# ------------------------------------------------------------------------------------------------------------- edges


def test_labels_at_the_border_go() -> None:
    masks = square(0, 5) + square(15, 15, 5) + square(28, 28, 9)
    np.testing.assert_array_equal(utils.remove_edge_masks(masks), square(15, 15, 1) + 2 * (square(28, 28) > 0))
    kept = utils.remove_edge_masks(masks, change_index=False)
    np.testing.assert_array_equal(kept, square(15, 15, 5) + square(28, 28, 9))
    assert kept.dtype == masks.dtype
    assert masks.max() == 9  # not changed


def test_first_and_last_plane_are_border() -> None:
    volume = np.zeros((4, 9, 9), int)
    volume[0, 4, 4] = 1
    volume[1:3, 4, 6] = 2
    volume[3, 2, 2] = 3
    assert np.unique(utils.remove_edge_masks(volume, change_index=False)).tolist() == [0, 2]


# --------------------------------------------------------------------------------------------------------- distances


def test_distance_by_definition() -> None:
    rng = np.random.default_rng(1)
    masks = ndimage.label(ndimage.gaussian_filter(rng.standard_normal((60, 70)), 3) > 0)[0] * 3
    distances = utils.distance_to_boundary(masks)
    for label in np.unique(masks[masks > 0]):
        mask = masks == label
        contour = np.argwhere(utils.masks_to_outlines(mask))
        pixels = np.argwhere(mask)
        expected = ((pixels[:, None] - contour[None]) ** 2).sum(axis=-1).min(axis=1)
        np.testing.assert_array_equal(distances[mask], expected)
    assert (distances[masks == 0] == 0).all()


def test_edges_are_the_outlines_and_then_wider() -> None:
    masks = square(4, 4, 3)
    np.testing.assert_array_equal(utils.masks_to_edges(masks), utils.masks_to_outlines(masks))
    assert utils.masks_to_edges(masks, threshold=2.0).sum() == 36 + 28


# ---------------------------------------------------------------------------------------------------------- dilation


def test_a_label_grows_a_pixel_a_round() -> None:
    masks = square(10, 10, 4)
    np.testing.assert_array_equal(utils.dilate_masks(masks, n_iter=3), square(7, 7, 4, side=16))
    np.testing.assert_array_equal(utils.dilate_masks(masks, n_iter=0), masks)
    np.testing.assert_array_equal(utils.dilate_masks(square(0, 0, 4), n_iter=1), square(0, 0, 4, side=11))


def test_labels_that_grow_together_share_the_gap() -> None:
    masks = square(10, 5, 1) + square(10, 17, 2)
    dilated = utils.dilate_masks(masks, n_iter=4)
    assert set(np.unique(dilated[12])) == {0, 1, 2}
    assert (dilated[12, 6:15] == 1).all()
    assert (dilated[12, 17:30] == 2).all()


def test_dilation_of_a_volume_is_plane_by_plane() -> None:
    volume = np.stack([square(5, 5), square(20, 20, 2)])
    dilated = utils.dilate_masks(volume, n_iter=2)
    np.testing.assert_array_equal(dilated[1], utils.dilate_masks(volume[1], n_iter=2))
    assert dilated.dtype == volume.dtype


def test_rounds_below_zero_are_refused() -> None:
    with pytest.raises(OptionError, match="n_iter=-1"):
        utils.dilate_masks(np.zeros((3, 3), int), n_iter=-1)


# ------------------------------------------------------------------------------------------------------------- holes


def test_holes_are_filled_and_small_labels_go() -> None:
    masks = square(5, 5, 3)
    masks[8, 8] = 0
    masks[30, 30] = 7
    before = masks.copy()
    result = utils.fill_holes_and_remove_small_masks(masks, min_size=2)
    np.testing.assert_array_equal(result, square(5, 5, 1))
    assert result.dtype == masks.dtype
    np.testing.assert_array_equal(masks, before)


# --------------------------------------------------------------------------------------------------------- stitching


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [(0.25, [{1, 2}, {1, 2}, set(), {3, 4}]), (0.6, [{1, 2}, {1, 3}, set(), {4, 5}])],
)
def test_stitching_over_four_planes(threshold: float, expected: list[set[int]]) -> None:
    a = square(2, 2, 1) + square(15, 15, 2)
    b = square(3, 2, 1) + square(15, 18, 2)
    planes = np.stack([a, b, np.zeros_like(a), b])
    stitched = utils.stitch3D(planes, stitch_threshold=threshold)
    assert [set(np.unique(plane).tolist()) - {0} for plane in stitched] == expected
    np.testing.assert_array_equal(planes[3], b)  # not changed


def test_planes_apart_do_not_share_numbers() -> None:
    empty = np.zeros((40, 40), np.uint16)
    stitched = utils.stitch3D(np.stack([empty, square(2, 2), empty, square(20, 20), empty]))
    assert [int(plane.max()) for plane in stitched] == [0, 1, 0, 2, 0]


def stitched_by_definition(planes: np.ndarray, threshold: float) -> np.ndarray:
    """The rule on dense tables, plane by plane."""
    out = planes.astype(np.int64)
    top = out[0].max()
    for z in range(1, len(out)):
        n, m = out[z].max(), out[z - 1].max()
        iou = np.zeros((n, m + 1))  # one column too many, so that there is always one
        for i in range(n):
            for j in range(m):
                a, b = out[z] == i + 1, out[z - 1] == j + 1
                iou[i, j] = (a & b).sum() / max(1, (a | b).sum())
        iou[iou < threshold] = 0
        iou[iou < iou.max(axis=0, initial=0)] = 0
        numbers = np.zeros(n + 1, np.int64)
        for i in range(n):
            if iou[i].max() > 0:
                numbers[i + 1] = iou[i].argmax() + 1
            else:
                top += 1
                numbers[i + 1] = top
        out[z] = numbers[out[z]]
    return out


@given(stacks, st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]))
@settings(deadline=None, max_examples=100)
def test_stitching_by_definition(planes: np.ndarray, threshold: float) -> None:
    np.testing.assert_array_equal(utils.stitch3D(planes, threshold), stitched_by_definition(planes, threshold))


def test_numbers_that_no_longer_fit_do_not_wrap() -> None:
    planes = np.zeros((2, 16, 32), np.uint8)
    planes[0] = np.arange(512).reshape(16, 32) % 256
    planes[1, :, :16] = 1 + np.arange(256).reshape(16, 16) % 255
    stitched = utils.stitch3D(planes, stitch_threshold=1.0)
    assert stitched.dtype == np.uint16
    assert stitched.max() > 255


def test_stitching_says_what_it_needs() -> None:
    with pytest.raises(InputError, match="2 dimensions"):
        utils.stitch3D(np.zeros((4, 4), int))
    with pytest.raises(OptionError, match=r"stitch_threshold=1\.5"):
        utils.stitch3D(np.zeros((2, 4, 4), int), stitch_threshold=1.5)


def test_dilation_ends_when_nothing_is_left_and_counts_whole_rounds() -> None:
    masks = square(4, 4, side=3, shape=(16, 16))
    masks[10:12, 10:12] = 2
    assert np.array_equal(utils.dilate_masks(masks, n_iter=10**30), utils.dilate_masks(masks, n_iter=100))
    with pytest.raises(OptionError, match=r"n_iter=1\.5"):
        utils.dilate_masks(masks, n_iter=1.5)


@pytest.mark.parametrize("ndim", [2, 3])
def test_largest_pieces_against_scipy(ndim: int) -> None:
    from scipy import ndimage

    rng = np.random.default_rng(ndim)
    masks = rng.integers(0, 4, (40, 50) if ndim == 2 else (6, 12, 14)).astype(np.uint16) * 1000
    before, got = masks.copy(), utils.largest_pieces(masks)
    for label in (1000, 2000, 3000):
        numbered, n = ndimage.label(masks == label)
        sizes = np.bincount(numbered.ravel())[1:]
        assert n > 1
        np.testing.assert_array_equal(got == label, numbered == 1 + sizes.argmax())
    assert got.dtype == masks.dtype
    np.testing.assert_array_equal(masks, before)
    assert utils.largest_pieces(np.zeros((0, 3), int)).shape == (0, 3)
    huge = np.array([[60_000_000, 0, 2_000_000_000], [60_000_000, 0, 0], [0, 60_000_000, 0]])
    np.testing.assert_array_equal(utils.largest_pieces(huge), huge * np.array([[1], [1], [0]]))
