"""Flows to masks: following, gathering, checking."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from cellpose import dynamics
from cellpose._labels.arrays import renumber
from cellpose.dynamics import _flows, _legacy, _legacy_follow, _mask_finder, _masks, _quality
from cellpose.dynamics._cpu import _gather, _heat
from cellpose.errors import InputError, OptionError
from cellpose.options import Masking
from test_dynamics_flows import REFERENCE, discs

LOGITS = np.where(REFERENCE > 0, 4.0, -4.0).astype(np.float32)


def noisy_flows(labels: np.ndarray, amount: float, seed: int = 0) -> np.ndarray:
    """5 x the flows of labels plus noise that varies smoothly."""
    from scipy.ndimage import gaussian_filter

    make = dynamics.masks_to_flows if labels.ndim == 2 else dynamics.masks_to_flows_gpu_3d
    rng = np.random.default_rng(seed)
    noise = np.stack([gaussian_filter(rng.standard_normal(labels.shape), 1.5) for _ in range(labels.ndim)])
    return (5 * make(labels) + amount * noise / noise.std()).astype(np.float32)


def euler(flows: np.ndarray, inds: tuple[np.ndarray, ...], niter: int, interp: bool) -> np.ndarray:
    """Every step of every pixel, in float32, written from the definition.

    Volumes are sampled over the whole width of their voxels, with zeros beyond, as both published generations do.
    """
    p = np.array(inds, np.float32)
    sides = np.array(flows.shape[1:], np.float32).reshape(-1, 1)
    rimmed = np.pad(flows, ((0, 0), *[(1, 1)] * len(p)))
    for _ in range(niter):
        if interp:
            at = p if len(p) == 2 else p * (sides / (sides - 1)) - np.float32(0.5)
            low = np.floor(at).astype(np.int64)
            corners = [
                rimmed[(slice(None), *(low[a] + 1 + bits[a] for a in range(len(p))))]
                for bits in np.ndindex((2,) * len(p))
            ]
            for f in at - low.astype(np.float32):
                half = len(corners) // 2
                corners = [a + f * (b - a) for a, b in zip(corners[:half], corners[half:], strict=True)]
            step = corners[0]
        else:
            step = flows[(slice(None), *p.astype(np.int64))]
        p = np.clip(p + step, 0, sides - 1).astype(np.float32)
    return p


def test_one_step_at_known_places() -> None:
    flows = 0.01 * np.indices((20, 30)).astype(np.float32)
    starts = ([0, 5, 10, 19], [0, 7, 15, 29])
    want = [[0, 5.05, 10.1, 19], [0, 7.07, 15.15, 29]]
    np.testing.assert_allclose(dynamics.follow_flows(flows, starts, niter=1), want, rtol=1e-6)
    np.testing.assert_allclose(dynamics.steps_interp(flows, starts, 1), want, rtol=1e-6)


@pytest.mark.parametrize("niter", [0, 1, 3, 40, 201, 202, 203])
@pytest.mark.parametrize("interp", [True, False])
def test_early_rest_is_full_integration(niter: int, interp: bool) -> None:
    flows = noisy_flows(REFERENCE, 1.0) * (REFERENCE > 0) / np.float32(5)
    inds = np.nonzero(REFERENCE)
    got = dynamics.follow_flows(flows, inds, niter, interp=interp)
    # The same float32 operations in the same order.
    np.testing.assert_array_equal(got, euler(flows, inds, niter, interp))


@pytest.mark.parametrize("interp", [True, False])
def test_early_rest_is_full_integration_in_volumes(interp: bool) -> None:
    labels = discs((14, 24, 26), (6, 9, 9, 5), (7, 12, 17, 6))
    flows = noisy_flows(labels, 0.5) * (labels > 0) / np.float32(5)
    inds = np.nonzero(labels)
    for niter in (1, 30, 203):
        got = np.asarray(dynamics.follow_flows(flows, inds, niter, interp=interp))
        # The axes of the interpolation come in another order, which differs by rounding; it grows where flows part.
        close = np.abs(got - euler(flows, inds, niter, interp)).max(axis=0) < 1e-3
        assert close.mean() > 0.995


def test_cycles_end_where_they_would() -> None:
    # Between these two pixels the flow throws a position from one side to the other for ever.
    flows = np.zeros((2, 1, 6), np.float32)
    flows[1, 0] = [0, 0, 1.0, -1.0, 0, 0]
    for niter in range(1, 12):
        got = dynamics.follow_flows(flows, ([0, 0], [2, 3]), niter)
        np.testing.assert_array_equal(got, euler(flows, (np.zeros(2, int), np.array([2, 3])), niter, True))


def test_positions_stay_in_the_image() -> None:
    rng = np.random.default_rng(0)
    flows = rng.normal(0, 40, (2, 7, 9)).astype(np.float32)
    p = dynamics.follow_flows(flows, np.nonzero(np.ones((7, 9))), 50)
    assert p.min() >= 0
    assert (p.max(axis=1) <= [6, 8]).all()


def test_flows_that_are_not_finite_count_as_zero() -> None:
    flows = np.full((2, 5, 6), np.nan)
    flows[0, 2] = np.inf
    flows[1, 3] = 1e38
    inds = np.nonzero(np.ones((5, 6)))
    np.testing.assert_array_equal(dynamics.follow_flows(flows, inds, 20), np.array(inds))
    assert dynamics.compute_masks(flows, np.ones((5, 6))).max() == 0
    assert dynamics.compute_masks(np.zeros((2, 5, 6)), np.full((5, 6), np.nan)).max() == 0


def test_interp_by_position_as_in_version_3() -> None:
    flows = noisy_flows(REFERENCE, 0.5) / 5
    inds = np.nonzero(REFERENCE)
    nearest = dynamics.follow_flows(flows, inds, 10, False)
    np.testing.assert_array_equal(nearest, dynamics.follow_flows(flows, inds, 10, interp=False))
    np.testing.assert_array_equal(nearest, dynamics.follow_flows(flows, inds, 10, False, torch.device("cpu")))
    assert (nearest != dynamics.follow_flows(flows, inds, 10, True)).any()
    flows, logits, cpu = noisy_flows(REFERENCE, 0.5), np.where(REFERENCE, 4.0, -4.0), torch.device("cpu")
    smooth, coarse = (dynamics.compute_masks(flows, logits, interp=interp) for interp in (True, False))
    assert (smooth != coarse).any()
    for interp, want in ((True, smooth), (False, coarse)):
        got = dynamics.compute_masks(flows, logits, None, 200, 0.0, 0.4, interp, False, -1, 0.4, cpu)
        np.testing.assert_array_equal(got, want)
        got = dynamics.resize_and_compute_masks(flows, logits, 200, 0.0, 0.4, interp, False, -1, 0.4, None, cpu)
        np.testing.assert_array_equal(got, want)
        got = dynamics.compute_masks(flows, logits, None, 200, 0.0, 0.4, interp, False)
        np.testing.assert_array_equal(got, want)
    # positions of version 4
    np.testing.assert_array_equal(dynamics.compute_masks(flows, logits, None, 200, 0.0, 0.4, False, -1), smooth)


def test_without_pixels_those_that_move_are_followed() -> None:
    flows = noisy_flows(REFERENCE, 0.5) / 5 * (REFERENCE > 0)
    moving = np.nonzero(np.abs(flows[0]) > 1e-3)
    np.testing.assert_array_equal(dynamics.follow_flows(flows, niter=7), dynamics.follow_flows(flows, moving, 7))


def test_positions_in_volumes_are_tensors() -> None:
    flows = np.zeros((3, 4, 5, 6), np.float32)
    flows[2] = 0.25
    ends = dynamics.follow_flows(flows, ([1], [2], [1]), niter=4)
    assert isinstance(ends, torch.Tensor)
    assert ends.cpu().numpy().tolist() == [[1.0], [2.0], [2.0]]


def test_steps_of_positions_without_interpolation() -> None:
    flows = noisy_flows(REFERENCE, 0.5) / 5
    inside = np.nonzero(REFERENCE)
    starts = np.array(inside, np.float32)
    np.testing.assert_array_equal(
        dynamics.steps2D(starts, flows, 15), dynamics.follow_flows(flows, inside, 15, interp=False)
    )
    np.testing.assert_array_equal(starts, np.array(inside))
    volume = np.zeros((3, 2, 3, 4), np.float32)
    volume[2] = 0.5
    moved = dynamics.steps3D(np.array([[1], [2], [1.5]]), volume, 2)
    np.testing.assert_array_equal(moved, [[1], [2], [2.5]])
    with pytest.raises(InputError, match="do not fit 3 axes"):
        dynamics.steps3D(starts, volume, 2)


def test_values_between_pixels() -> None:
    out = np.zeros((1, 2), np.float32)
    dynamics.map_coordinates(np.arange(6.0).reshape(1, 2, 3), np.array([0.5, 9]), np.array([1.25, 9]), out)
    np.testing.assert_allclose(out, [[2.75, 5]])


def test_reference_masks() -> None:
    k = np.arange(2 * 60 * 80).reshape(2, 60, 80)
    flows = 5 * dynamics.labels_to_flows([REFERENCE])[0][2:] + 0.5 * np.sin(0.37 * k)
    flows[:, REFERENCE == 3] *= 0.2
    counts = {t: np.bincount(dynamics.compute_masks(flows, LOGITS, flow_threshold=t).ravel()) for t in (0, 0.4, 0.7)}
    assert counts[0].tolist() == counts[0.7].tolist() == [3356, 373, 305, 517, 249]
    assert counts[0.4].tolist() == [3873, 373, 305, 249]
    masks = dynamics.compute_masks(flows, LOGITS, flow_threshold=0)
    assert masks.dtype == np.uint16
    assert [masks[y, x] for y, x in ((18, 20), (18, 41), (42, 30), (40, 64))] == [2, 1, 3, 4]
    errors, _ = dynamics.flow_error(renumber(REFERENCE)[0], flows)
    np.testing.assert_allclose(errors, [0.009980, 0.009975, 0.639530, 0.009981], atol=1e-6)  # six digits are given


def test_masks_to_flows_to_masks_keeps_the_labels() -> None:
    rng = np.random.default_rng(3)
    circles = [
        (y + rng.uniform(-3, 3), x + rng.uniform(-3, 3), rng.uniform(5, 13))
        for y in range(12, 240, 24)
        for x in range(12, 260, 24)
    ]
    labels = renumber(discs((240, 260), *circles))[0]
    masks = dynamics.compute_masks(noisy_flows(labels, 0.2), np.where(labels, 3.0, -3.0))
    # A few pixels on the border between touching cells may change sides.
    assert masks.max() == labels.max()
    assert (masks != labels).mean() < 1e-3


def test_volumes_keep_their_labels() -> None:
    labels = renumber(discs((20, 40, 44), (9, 12, 12, 7), (10, 14, 28, 8), (8, 30, 20, 7)))[0]
    masks = dynamics.compute_masks(noisy_flows(labels, 0.1), np.where(labels, 3.0, -3.0), do_3D=True, min_size=20)
    assert masks.max() == 3
    assert (masks != labels).mean() < 1e-3


def test_bad_flows_are_found_whatever_the_label_numbers() -> None:
    flows = 5 * dynamics.masks_to_flows(REFERENCE)
    flows[:, REFERENCE == 2] *= -1
    sparse = np.array([0, 9, 4, 300, 2])[REFERENCE]
    errors, _ = dynamics.flow_error(sparse, flows)
    assert errors.shape == (300,)
    assert np.flatnonzero(errors > 0.4).tolist() == [3]
    assert np.isnan(errors).sum() == 296
    cleaned = dynamics.remove_bad_flow_masks(sparse, flows)
    np.testing.assert_array_equal(cleaned, np.array([0, 1, 0, 2, 3])[REFERENCE])
    assert cleaned.dtype == sparse.dtype
    assert sparse.max() == 300


def test_errors_without_an_image_of_flows_are_those_with_one() -> None:
    flows = noisy_flows(REFERENCE, 1.5)
    cells = _quality.find_cells(REFERENCE)
    alone = _quality.cell_errors(REFERENCE, cells, flows, None)
    np.testing.assert_allclose(alone, dynamics.flow_error(REFERENCE, flows)[0], rtol=1e-6)  # float32 against float64


def test_cells_above_an_error_are_those_whose_exact_error_is() -> None:
    snake = np.zeros((60, 400), np.int32)  # so long that heat in float32 does not reach its ends
    snake[10:12, 5:390] = 1
    snake[30:55, 20:380] = np.repeat(np.arange(2, 14), 30)
    snake[40, 30:60] = 0
    snake[2, 2] = 20
    blocks = np.kron(np.arange(1, 101, dtype=np.int32).reshape(10, 10), np.ones((13, 17), np.int32))
    for labels, noise in ((REFERENCE, 1.5), (snake, 2.0), (blocks, 2.5)):
        flows = noisy_flows(labels, noise).astype(np.float32)
        flows[0, labels == 3] = np.nan
        cells = _quality.find_cells(labels)
        errors = _heat.cell_errors(labels, cells, flows)
        known = errors[np.isfinite(errors)]
        for most in (*known, *np.nextafter(known, 0), *known * 0.99999, 0.0, 0.4, 1e9):
            np.testing.assert_array_equal(_heat.errors_above(labels, cells, flows, most), errors > most)


def test_shapes_that_do_not_fit(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InputError, match="do not fit"):
        dynamics.compute_masks(np.zeros((2, 5, 5)), np.zeros((5, 6)))
    with pytest.raises(InputError, match="do_3D"):
        dynamics.compute_masks(np.zeros((2, 5, 5)), np.zeros((5, 5)), do_3D=True)
    with pytest.raises(InputError, match="not allowed"):
        dynamics.follow_flows(np.zeros((3, 5, 5)), ([0], [0]))
    with pytest.raises(InputError, match="flows"):
        dynamics.remove_bad_flow_masks(np.zeros((5, 5), int), np.zeros((2, 5, 6)))
    with pytest.raises(InputError, match="resize"):
        dynamics.resize_and_compute_masks(np.zeros((2, 5, 5)), np.zeros((5, 5)), resize=[5])
    assert dynamics.flow_error(np.zeros((5, 5), int), np.zeros((2, 5, 6))) is None
    assert "do not fit" in caplog.text


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (1, 1, 30), (1, 20, 20)])
def test_thin_images(shape: tuple[int, ...]) -> None:
    labels = np.ones(shape, int)
    flows = noisy_flows(labels, 0.0)
    masks = dynamics.compute_masks(flows, np.ones(shape), max_size_fraction=1.0, flow_threshold=0)
    assert masks.shape == shape
    assert masks.max() == (labels.size > 10)


def test_size_fraction_and_min_size() -> None:
    flows = 5 * dynamics.masks_to_flows(REFERENCE)
    # Sizes are 373, 305, 517 and 249 of 4800 pixels.
    assert dynamics.compute_masks(flows, LOGITS, max_size_fraction=400 / 4800).max() == 3
    assert dynamics.compute_masks(flows, LOGITS, min_size=300).max() == 3
    assert dynamics.compute_masks(flows, LOGITS, min_size=600).max() == 0


def test_resized_masks_take_the_nearest_pixel() -> None:
    flows = 5 * dynamics.masks_to_flows(REFERENCE)
    small = dynamics.compute_masks(flows, LOGITS)
    large = dynamics.resize_and_compute_masks(flows, LOGITS, resize=[120, 160])
    np.testing.assert_array_equal(large, small.repeat(2, 0).repeat(2, 1))
    np.testing.assert_array_equal(
        dynamics.resize_and_compute_masks(flows, LOGITS, resize=[30, 40]), renumber(small[::2, ::2])[0]
    )


@pytest.mark.parametrize("size", [None, (70, 45)])
def test_masks_for_one_threshold_after_the_other_are_those_made_alone(
    size: tuple[int, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = noisy_flows(REFERENCE, 1.0)
    cellprob = np.where(REFERENCE > 0, 1 + REFERENCE % 3, -3).astype(np.float32)
    finder = dynamics.MaskFinder(network, cellprob, size)
    options = [
        {"cellprob_threshold": at, "flow_threshold": most, "min_size": least}
        for at in (0.0, 1.5)
        for most in (0.4, 0.05, None)
        for least in (-1, 60)
    ]
    for option in [*options, *options[::-1], {"niter": 3}, {"interp": False}, {"max_size_fraction": 0.01}]:
        alone = dynamics.resize_and_compute_masks(network, cellprob, resize=size, **option)
        np.testing.assert_array_equal(finder.masks(**option), alone)
    followed = _mask_finder.gathered
    calls: list[object] = []
    monkeypatch.setattr(_mask_finder, "gathered", lambda *args: calls.append(args) or followed(*args))
    for option in options[:6]:
        finder.masks(**option)
    assert len(calls) == 1, "the flows are followed once per cell probability"


def test_gathering_places_by_hand() -> None:
    inds = np.nonzero(np.ones((6, 10)))
    ends = np.zeros((2, 60), int)
    ends[0], ends[1, :40], ends[1, 40:] = 3, 2, 7
    masks = dynamics.get_masks_torch(torch.from_numpy(ends), inds, (6, 10), max_size_fraction=1.0)
    np.testing.assert_array_equal(masks.ravel(), np.repeat([1, 2], [40, 20]))
    # 10 pixels are too few for a seed, 11 are enough.
    ends[1, 40:49] = 2
    assert dynamics.get_masks_torch(ends, inds, (6, 10), max_size_fraction=1.0).max() == 2
    ends[1, 40:50] = 2
    assert dynamics.get_masks_torch(ends, inds, (6, 10), max_size_fraction=1.0).max() == 1


def test_larger_seeds_win_except_in_the_old_way() -> None:
    # Two heaps seven pixels apart, with a bridge of three pixels a place between them: both reach places 4 to 7.
    places = np.repeat(np.arange(2, 10), [30, 3, 3, 3, 3, 3, 3, 20])
    p = np.zeros((2, 1, places.size), np.float32)
    p[1, 0] = places
    new = dynamics.get_masks_torch(p[:, 0], (p[0, 0].astype(int), np.arange(places.size)), p.shape[1:], 20, 1.0)
    np.testing.assert_array_equal(new[0], np.where(places < 8, 1, 2))
    old = dynamics.get_masks_orig(p, max_size_fraction=1.0)
    np.testing.assert_array_equal(old[0], np.where(places < 4, 1, 2))
    assert old.dtype == np.uint32
    np.testing.assert_array_equal(dynamics.get_masks(p, max_size_fraction=1.0), old)
    # What is no cell stays in its own place, and makes no heap.
    none = dynamics.get_masks_orig(p, iscell=np.zeros(p.shape[1:], bool))
    assert none.max() == 0


def test_more_masks_than_uint16_holds() -> None:
    side = 1040
    labels = np.arange(260 * 260, dtype=np.int32).reshape(260, 260).repeat(4, 0).repeat(4, 1)[:side, :side] + 1
    # Every block of 4 x 4 pixels ends in its second pixel.
    ends = (np.indices((side, side)) // 4 * 4 + 1).reshape(2, -1)
    inds = tuple(np.indices((side, side)).reshape(2, -1))
    masks = dynamics.get_masks_torch(ends, inds, (side, side))
    assert masks.dtype == np.uint32
    np.testing.assert_array_equal(masks, renumber(labels)[0])


def test_running_maximum() -> None:
    h = np.zeros((1, 6, 7), np.float32)
    h[0, 2, 3] = 5
    want = np.zeros_like(h)
    want[0, 0:5, 1:6] = 5
    np.testing.assert_array_equal(dynamics.max_pool_nd(h), want)
    np.testing.assert_array_equal(dynamics.max_pool2d(h), want)
    np.testing.assert_array_equal(dynamics.max_pool3d(h[None])[0], want)
    pooled = dynamics.max_pool_nd(torch.from_numpy(h), kernel_size=3)
    assert isinstance(pooled, torch.Tensor)
    assert pooled.sum() == 45
    out = np.empty_like(h)
    assert dynamics.max_pool1d(h, 3, axis=2, out=out) is out
    with pytest.raises(InputError, match="odd"):
        dynamics.max_pool_nd(h, kernel_size=4)


@pytest.fixture
def on_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the CPU run what other devices run."""
    for module in (_flows, _legacy, _legacy_follow, _masks, _quality):
        monkeypatch.setattr(module, "on_gpu", lambda device: device is not None)


@pytest.mark.parametrize("interp", [True, False])
@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.usefixtures("on_tensors")
def test_tensors_give_the_masks_of_the_kernels(ndim: int, interp: bool) -> None:
    labels = REFERENCE if ndim == 2 else discs((14, 24, 26), (6, 9, 9, 5), (7, 12, 17, 6))
    flows, logits = noisy_flows(labels, 0.8), np.where(labels, 3.0, -3.0)
    ours = dynamics.compute_masks(flows, logits, do_3D=ndim == 3, interp=interp)
    theirs = dynamics.compute_masks(flows, logits, do_3D=ndim == 3, interp=interp, device="cpu")
    # Rounding differs and may carry single pixels over a border.
    assert ours.max() == theirs.max() == labels.max()
    assert (ours != theirs).mean() < 1e-3
    p = dynamics.follow_flows(flows / 5, np.nonzero(labels), 20, "cpu", interp=interp)
    assert isinstance(p, torch.Tensor)
    on_cpu = np.asarray(dynamics.follow_flows(flows / 5, np.nonzero(labels), 20, interp=interp))
    close = np.abs(p.numpy() - on_cpu).max(axis=0) < 1e-3
    assert close.mean() > 0.995


@pytest.mark.parametrize("niter", [1, 7, 200])
def test_tensors_are_followed_in_planes_bit_for_bit(niter: int) -> None:
    from scipy.ndimage import gaussian_filter

    from cellpose.dynamics._torch._follow import follow

    rng = np.random.default_rng(0)
    flows = gaussian_filter(rng.standard_normal((2, 60, 83)), (0, 4, 4)).astype(np.float32) * 9
    inds = np.nonzero(rng.random((60, 83)) < 0.8)
    found = follow(flows, np.array(inds, np.float32), niter, True, "cpu")
    # The same operations in the same order.
    np.testing.assert_array_equal(found.numpy(), dynamics.follow_flows(flows, inds, niter))


@pytest.mark.usefixtures("on_tensors")
def test_tensors_take_planes_far_apart_thresholds_and_what_is_no_number() -> None:
    labels = discs((14, 24, 26), (6, 9, 9, 5), (7, 12, 17, 6))
    flows, logits = noisy_flows(labels, 0.5), np.where(labels, 3.0, -3.0)
    flows[:, 6, 9, 5], flows[0, 0, 0, 0] = np.nan, np.inf
    logits[7] -= 2.6
    for threshold in (0.0, 0.5, 9.0):
        options = {"cellprob_threshold": threshold, "z_spacing": 2.0, "niter": 100}
        ours = dynamics.compute_masks(flows, logits, **options)
        theirs = dynamics.compute_masks(flows, logits, **options, device="cpu")
        assert ours.max() == theirs.max() == (0 if threshold == 9 else 2)
        assert (ours != theirs).mean() < 1e-3  # rounding may carry single pixels over a border


@pytest.mark.parametrize("resize", [None, (70, 200), (90, 60)])
@pytest.mark.parametrize("flow_threshold", [None, 0.05, 0.4])
@pytest.mark.usefixtures("on_tensors")
def test_tensors_check_resize_fill_and_filter_alike(
    resize: tuple[int, int] | None, flow_threshold: float | None
) -> None:
    flows, logits = noisy_flows(REFERENCE, 0.8), np.where(REFERENCE, 3.0, -3.0)
    for label in range(1, 5):  # holes
        rows, columns = np.nonzero(label == REFERENCE)
        middle = np.round(rows.mean()).astype(int) + 2, np.round(columns.mean()).astype(int)
        logits[middle] = -3.0
    fewest = np.median(np.bincount(REFERENCE.ravel())[1:])
    for min_size in (-1, 15, int(fewest)):
        options = {"flow_threshold": flow_threshold, "min_size": min_size, "resize": resize}
        ours = dynamics.resize_and_compute_masks(flows, logits, **options)
        theirs = dynamics.resize_and_compute_masks(flows, logits, **options, device="cpu")
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape == (resize or REFERENCE.shape)
        assert ours.max() == theirs.max()
        assert (ours != theirs).mean() < 1e-3


@pytest.mark.parametrize("small_wins", [False, True])
@pytest.mark.parametrize("shape", [(40, 50), (9, 20, 21)])
def test_tensors_gather_as_the_kernels_do(shape: tuple[int, ...], small_wins: bool, monkeypatch) -> None:
    """The very same labels: crowded seeds that meet, equal ones, ends at the border."""
    from cellpose.dynamics._torch import _gather as on_device

    monkeypatch.setattr(on_device, "SEEDS", 7)  # several rounds
    rng = np.random.default_rng(0)
    middles = rng.integers(0, shape, (30, len(shape)))
    ends = middles[rng.integers(0, 30, 9000)] + np.round(rng.normal(0, 1.2, (9000, len(shape))))
    positions = np.clip(ends, 0, np.array(shape) - 1).astype(np.float32).T.copy()
    want = _gather.gather(_gather.index_of(positions, shape), shape, small_wins=small_wins)
    assert want.max() > 10
    np.testing.assert_array_equal(on_device.gather(torch.from_numpy(positions), shape, small_wins=small_wins), want)
    none = torch.zeros((len(shape), 0))
    assert on_device.gather(none, shape).numel() == 0


@pytest.mark.usefixtures("on_tensors")
def test_tensors_find_the_errors_of_some_cells() -> None:
    flows = noisy_flows(REFERENCE, 1.5)
    cells = _quality.find_cells(REFERENCE)
    some = _heat.cells_of(REFERENCE, cells.boxes, cells.labels[::2])
    want = _quality.cell_errors(REFERENCE, some, flows, None)
    # Sums in another order, in float64; the flows themselves are stored in float32.
    np.testing.assert_allclose(_quality.cell_errors(REFERENCE, some, flows, "cpu"), want, rtol=1e-6)


@pytest.mark.usefixtures("on_tensors")
def test_tensors_check_flows_alike() -> None:
    flows = noisy_flows(REFERENCE, 1.5)
    ours, theirs = dynamics.flow_error(REFERENCE, flows)[0], dynamics.flow_error(REFERENCE, flows, "cpu")[0]
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)
    bad = dynamics.remove_bad_flow_masks(REFERENCE, flows, ours.mean(), "cpu")
    np.testing.assert_array_equal(bad, dynamics.remove_bad_flow_masks(REFERENCE, flows, ours.mean()))


def test_threads_and_callers_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = REFERENCE.repeat(4, 0).repeat(4, 1)
    flows, logits = noisy_flows(labels, 1.0), np.where(labels, 3.0, -3.0)
    before = flows.copy()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    want = dynamics.compute_masks(flows, logits)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    results: list[np.ndarray] = []
    callers = [threading.Thread(target=lambda: results.append(dynamics.compute_masks(flows, logits))) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(results) == 4
    for result in results:
        np.testing.assert_array_equal(result, want)
    np.testing.assert_array_equal(flows, before)


def test_tensors_are_taken_as_arrays() -> None:
    flows = 5 * dynamics.masks_to_flows(REFERENCE)
    masks = dynamics.compute_masks(torch.from_numpy(flows), torch.from_numpy(LOGITS), device=torch.device("cpu"))
    np.testing.assert_array_equal(masks, dynamics.compute_masks(flows, LOGITS))


@pytest.mark.parametrize("resize", [[5], ["a", "b"], np.ones((2, 2)), 7, [0, 4]])
def test_sizes_that_do_not_fit(resize: object) -> None:
    with pytest.raises(InputError, match="one positive side per axis"):
        dynamics.resize_and_compute_masks(np.zeros((2, 9, 9)), np.ones((9, 9)), resize=resize)


def test_options_are_those_of_masking() -> None:
    """The faces build the options, which check themselves; labels are int32 below and get their dtype at the face."""
    flows = dynamics.NetworkFlows(noisy_flows(REFERENCE, 0.8), LOGITS)
    found = dynamics.flows_to_masks(flows, Masking(flow_threshold=0.2, niter=50), (70, 200))
    options = {"flow_threshold": 0.2, "niter": 50, "resize": (70, 200)}
    face = dynamics.resize_and_compute_masks(flows.dP, flows.cellprob, **options)
    assert (found.dtype, face.dtype) == (np.int32, np.uint16)
    np.testing.assert_array_equal(found, face)
    for wrong in ({"niter": -1}, {"max_size_fraction": -0.5}):
        with pytest.raises(OptionError, match=next(iter(wrong))):
            dynamics.compute_masks(flows.dP, flows.cellprob, **wrong)


def test_complex_flows_are_refused() -> None:
    with pytest.raises(InputError, match="complex128"):
        dynamics.compute_masks(np.zeros((2, 9, 9), complex), np.ones((9, 9)))
