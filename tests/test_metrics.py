"""Metrics: hand-drawn cells with known scores, the definitions on dense tables, bad input."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from cellpose import metrics, utils
from cellpose.errors import InputError, OptionError

tables = hnp.arrays(
    np.float64,
    st.tuples(st.integers(0, 7), st.integers(0, 7)),
    # few values, so that ties and labels in several pairs occur
    elements=st.sampled_from([0.0, 0.0, 0.2, 0.3, 0.5, 0.5, 0.7, 1.0]),
)
label_images = hnp.arrays(np.int32, (6, 6), elements=st.integers(0, 4))


@pytest.fixture
def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Two squares, and the same moved by one and by three pixels."""
    true, pred = np.zeros((30, 30), np.uint16), np.zeros((30, 30), np.uint16)
    true[2:12, 2:12], true[15:25, 15:25] = 1, 2
    pred[3:13, 2:12], pred[15:25, 18:28] = 1, 2
    return true, pred


def true_positives_by_definition(iou: np.ndarray, th: float) -> int:
    """The assignment of all rows or columns at least cost, on the dense table."""
    m = min(iou.shape)
    if m == 0:
        return 0
    rows, cols = linear_sum_assignment(-(iou >= th).astype(float) - iou / (2 * m))
    return int((iou[rows, cols] >= th).sum())


def test_scores_of_the_drawing(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    true, pred = drawn
    ap, tp, fp, fn = metrics.average_precision(true, pred)
    np.testing.assert_allclose(ap, [1, 1 / 3, 0], rtol=1e-6)
    assert (tp.tolist(), fp.tolist(), fn.tolist()) == ([2, 1, 0], [0, 1, 2], [0, 1, 2])
    assert ap.dtype == np.float32
    iou, preds = metrics.mask_ious(true, pred)
    np.testing.assert_allclose(iou, [90 / 110, 70 / 130])
    assert preds.tolist() == [1, 2]
    np.testing.assert_allclose(metrics.aggregated_jaccard_index([true], [pred]), [160 / 240])
    precision, recall, _ = metrics.boundary_scores([true], [pred], [0.1, 0.5])
    np.testing.assert_allclose(precision[:, 0], [0.6538462, 0.9637562], atol=1e-7)
    np.testing.assert_allclose(recall[:, 0], [0.6538462, 0.9405145], atol=1e-7)


@given(tables, st.sampled_from([0.0, 0.2, 0.25, 0.5, 0.7, 1.0]))
@settings(deadline=None, max_examples=500)
def test_true_positives_are_those_of_the_dense_assignment(iou: np.ndarray, th: float) -> None:
    assert metrics._true_positive(iou, th) == true_positives_by_definition(iou, th)


@given(label_images, label_images)
@settings(deadline=None, max_examples=300)
def test_average_precision_by_definition(true: np.ndarray, pred: np.ndarray) -> None:
    thresholds = [0.1, 0.25, 0.5, 0.75, 1.0]
    ap, tp, fp, fn = metrics.average_precision(true, pred, thresholds)
    rows, cols = np.unique(true[true > 0]), np.unique(pred[pred > 0])
    inside_true, inside_pred = (true == rows[:, None, None])[:, None], (pred == cols[:, None, None])[None]
    iou = (inside_true & inside_pred).sum((2, 3)) / (inside_true | inside_pred).sum((2, 3))
    for k, th in enumerate(thresholds):
        assert tp[k] == true_positives_by_definition(iou, th)
        assert fp[k] == cols.size - tp[k]
        assert fn[k] == rows.size - tp[k]
    if rows.size + cols.size:
        np.testing.assert_allclose(ap, tp / (tp + fp + fn))
    else:
        assert np.isnan(ap).all()


@given(label_images, label_images)
@settings(deadline=None, max_examples=200)
def test_ious_by_definition(true: np.ndarray, pred: np.ndarray) -> None:
    iou = metrics._intersection_over_union(true, pred)
    overlap = metrics._label_overlap(true, pred).toarray()
    for i in range(true.max() + 1):
        for j in range(pred.max() + 1):
            assert overlap[i, j] == ((true == i) & (pred == j)).sum()
            assert iou[i, j] == pytest.approx(overlap[i, j] / max(1, ((true == i) | (pred == j)).sum()))
    matched, preds = metrics.mask_ious(true, pred)
    assert matched.shape == preds.shape == (true.max(),)
    taken = preds[preds > 0]
    assert np.unique(taken).size == taken.size
    for i, (value, j) in enumerate(zip(matched, preds, strict=True), start=1):
        assert value == (pytest.approx(iou[i, j]) if j else 0)


@given(label_images)
@settings(deadline=None)
def test_numbers_do_not_matter(labels: np.ndarray) -> None:
    numbers = np.array([0, 900_000_000, 3, 70_000, 12])
    for th in (0.5, 1.0):
        _, tp, fp, fn = metrics.average_precision(labels, numbers[labels], th)
        assert (tp[0], fp[0], fn[0]) == (np.unique(labels[labels > 0]).size, 0, 0)


def test_swapping_true_and_predicted_swaps_errors(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    true, pred = drawn
    pred = np.where(pred == 2, 0, pred)
    forth, back = metrics.average_precision(true, pred), metrics.average_precision(pred, true)
    for a, b in zip(forth, (back[0], back[1], back[3], back[2]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_list_of_images_gives_a_row_each(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    true, pred = drawn
    volume = np.stack([true, true])
    ap, *_ = metrics.average_precision([true, volume, true], [pred, volume, true], 0.75)
    np.testing.assert_allclose(ap, [[1 / 3], [1], [1]], rtol=1e-6)


def test_nothing_predicted_and_nothing_true(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    true, _ = drawn
    nothing = np.zeros_like(true)
    ap, tp, fp, fn = metrics.average_precision([true, nothing, nothing], [nothing, true, nothing], 0.5)
    np.testing.assert_array_equal(ap[:, 0], [0, 0, np.nan])
    np.testing.assert_array_equal(np.stack([tp, fp, fn])[:, :, 0], [[0, 0, 0], [0, 2, 0], [2, 0, 0]])
    np.testing.assert_array_equal(metrics.aggregated_jaccard_index([true, nothing], [nothing, nothing]), [0, np.nan])


def test_an_iou_of_exactly_the_threshold_counts_once() -> None:
    true, pred = np.ones((1, 4), int), np.array([[1, 1, 2, 2]])
    _, tp, fp, fn = metrics.average_precision(true, pred, 0.5)
    assert (tp[0], fp[0], fn[0]) == (1, 1, 0)


@pytest.mark.parametrize(
    ("true", "pred", "message"),
    [
        ([np.zeros((3, 3), int)] * 2, [np.zeros((3, 3), int)], "2 images and masks_pred 1"),
        (np.zeros((3, 3), int), np.zeros((3, 4), int), r"\(3, 3\) and masks_pred \(3, 4\)"),
        (np.full((3, 3), 0.5), np.zeros((3, 3), int), "masks_true holds 0.5"),
        (np.zeros((3, 3), int), np.full((3, 3), -1), "masks_pred holds the label -1"),
    ],
)
def test_what_cannot_be_compared_is_named(true: object, pred: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        metrics.average_precision(true, pred)


def test_boundary_scores_dilate_the_outlines_by_a_disk() -> None:
    from scipy import ndimage

    rng = np.random.default_rng(0)
    true, pred = (ndimage.label(ndimage.gaussian_filter(rng.standard_normal((70, 80)), 4) > 0)[0] for _ in range(2))
    scales = [0.05, 0.13, 0.3]
    precision, recall, fscore = metrics.boundary_scores([true], [pred], scales)
    for s, scale in enumerate(scales):
        radius = max(1, scale * utils.diameters(true)[0])
        half = int(np.ceil(radius))
        disk = utils.circleMask([half, half])[0] <= radius
        near_true, near_pred = (ndimage.binary_dilation(utils.masks_to_outlines(m), disk) for m in (true, pred))
        hits = (near_true & near_pred).sum()
        np.testing.assert_allclose(precision[s, 0], hits / near_pred.sum())
        np.testing.assert_allclose(recall[s, 0], hits / near_true.sum())
        np.testing.assert_allclose(fscore[s, 0], 2 * hits / (near_true.sum() + near_pred.sum()))


def test_flow_error_is_that_of_dynamics() -> None:
    masks = np.zeros((20, 20), int)
    masks[4:14, 4:14] = 1
    errors, flows = metrics.flow_error(masks, np.zeros((2, 20, 20)))
    assert errors.shape == (1,)
    again, _ = metrics.flow_error(masks, 5 * flows)
    # exact up to the rounding of the division by 5
    assert again[0] == pytest.approx(0, abs=1e-12)


def test_thousands_of_cells_are_matched_in_a_moment() -> None:
    """A dense table of 3600 x 3600 for each threshold would take far longer."""
    true = np.kron(np.arange(1, 3601, dtype=np.int32).reshape(60, 60), np.ones((16, 16), np.int32))
    pred = np.roll(true, (3, 5), axis=(0, 1))
    metrics.average_precision(true[:32, :32], pred[:32, :32])  # compiles
    start = time.process_time()
    _, tp, *_ = metrics.average_precision(true, pred, [0.25, 0.5, 0.75])
    assert time.process_time() - start < 2  # about 0.1 s on one core; the margin is for slow machines
    assert tp.tolist() == [3600, 0, 0]  # each pair shares 13 x 11 pixels of 369


def test_no_pixels_and_no_images() -> None:
    empty = np.zeros((0, 4), int)
    assert [len(values) for values in metrics.mask_ious(empty, empty)] == [0, 0]
    with pytest.raises(InputError, match="masks_true is of type NoneType"):
        metrics.average_precision(None, empty)


@given(tables)
@settings(deadline=None, max_examples=500)
def test_the_assignment_is_that_of_scipy_among_equals_too(table: np.ndarray) -> None:
    costs = -table if len(table) <= table.shape[1] else -table.T
    assert_assigned_as_scipy_does(costs)


@pytest.mark.parametrize("seed", range(8))
def test_long_searches_are_those_of_scipy(seed: int) -> None:
    """Many rows want the same columns; more costs in a row than a search keeps; as many rows as columns."""
    rng = np.random.default_rng(seed)
    rows, columns = 320, 320 + 20 * (seed % 2)
    costs = np.zeros((rows, columns))
    few = columns // 4 if seed % 4 < 2 else columns
    costs[rng.integers(0, rows, 1500), rng.integers(0, few, 1500)] = -rng.choice([0.2, 0.3, 0.5, 1.1, 0.7], 1500)
    if seed > 3:
        costs[:3] = -rng.random((3, columns))
    assert_assigned_as_scipy_does(costs)


def assert_assigned_as_scipy_does(costs: np.ndarray) -> None:
    from cellpose.metrics._kernels import assign

    i, j = np.nonzero(costs)
    pointers = np.searchsorted(i, np.arange(len(costs) + 1))
    found = assign(pointers, j, costs[i, j], costs.shape[1])
    np.testing.assert_array_equal(found, linear_sum_assignment(costs)[1])


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("squared", [1, 2, 5, 30, 2500, 6000])
def test_bits_are_dilated_by_a_disk(squared: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from cellpose.metrics._boundary import _dilated

    monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
    rng = np.random.default_rng(squared)
    points = rng.random((3000, 150)) < 1e-3
    bits = np.zeros((len(points), 192), bool)
    bits[:, :150] = points
    found = _dilated(np.packbits(bits, axis=1, bitorder="little").view(np.uint64), squared)
    distance = ndimage.distance_transform_edt(~points)
    np.testing.assert_array_equal(
        np.unpackbits(found.view(np.uint8), axis=1, bitorder="little")[:, :150], np.rint(distance**2) <= squared
    )


def test_boundary_scores_of_any_scale_end_and_bad_scales_are_named() -> None:
    true = np.zeros((16, 16), int)
    true[4:10, 4:10] = 1
    everywhere = metrics.boundary_scores([true], [true], [1e30, np.inf])
    assert np.array_equal(everywhere, np.ones((3, 2, 1)))
    for bad in (-0.1, np.nan):
        with pytest.raises(OptionError, match="scales"):
            metrics.boundary_scores([true], [true], [bad])
