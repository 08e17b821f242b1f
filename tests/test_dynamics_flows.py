"""Labels to flows: heat inside each label, alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from cellpose import dynamics
from cellpose._machine import threads as _threads
from cellpose.dynamics import _flows
from cellpose.errors import InputError


def discs(shape: tuple[int, ...], *circles: tuple[float, ...]) -> np.ndarray:
    """Discs or balls ``(*centre, radius)`` painted in order on pixels that are still free."""
    labels = np.zeros(shape, np.int32)
    grid = np.indices(shape)
    for label, (*centre, radius) in enumerate(circles, start=1):
        distance = sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True))
        labels[(distance < radius**2) & (labels == 0)] = label
    return labels


REFERENCE = discs((60, 80), (18, 20, 10), (18, 41, 11), (42, 30, 13), (40, 64, 9))


def test_flows_of_a_line_point_to_its_middle() -> None:
    flows = dynamics.masks_to_flows(np.array([[0, 0, 0, 0, 0, 0], [0, 3, 3, 3, 3, 0], [0, 0, 0, 0, 0, 0]]))
    np.testing.assert_array_equal(flows[0], 0)
    # The mean lies between two pixels; the first of them is the source.
    np.testing.assert_array_equal(flows[1, 1], [0, 1, 1, -1, -1, 0])


def test_one_pixel_has_no_flow() -> None:
    assert not dynamics.masks_to_flows(np.array([[0, 0], [0, 5]])).any()


def test_flows_are_unit_vectors_in_cells_and_zero_elsewhere() -> None:
    norm = np.linalg.norm(dynamics.masks_to_flows(REFERENCE), axis=0)
    assert not norm[REFERENCE == 0].any()
    inside = norm[REFERENCE > 0]
    # Apart from the middle of a symmetric cell, where heat rises nowhere.
    assert np.count_nonzero(np.abs(inside - 1) > 1e-12) <= REFERENCE.max()


def test_reference_numbers() -> None:
    flows = dynamics.labels_to_flows([REFERENCE])[0]
    # sums of 1444 float32
    np.testing.assert_allclose(flows.sum(axis=(1, 2)), [REFERENCE.sum(), 1444, -1, 0], atol=1e-3)
    np.testing.assert_allclose(np.abs(flows[2:]).sum(axis=(1, 2)), [906.872192, 905.872192], rtol=1e-6)
    np.testing.assert_allclose(flows[2:, 18, 25], [0, -1], atol=1e-6)
    np.testing.assert_allclose(flows[2:, 25, 33], [-0.682380, 0.730998], atol=1e-6)


@pytest.mark.parametrize("ndim", [2, 3])
def test_neighbours_do_not_disturb_each_other(ndim: int) -> None:
    if ndim == 2:
        labels, make = discs((40, 50), (15, 15, 9), (18, 28, 10), (28, 16, 9)), dynamics.masks_to_flows
    else:
        labels = discs((16, 24, 26), (7, 9, 9, 6), (8, 12, 17, 7))
        make = lambda m: dynamics.masks_to_flows_gpu_3d(m, niter=200)  # noqa: E731
    together = make(labels)
    for label in range(1, labels.max() + 1):
        alone = make((labels == label).astype(int))
        np.testing.assert_array_equal(together[:, labels == label], alone[:, labels == label])


def test_numbers_and_types_of_labels_do_not_matter() -> None:
    want = dynamics.masks_to_flows(REFERENCE)
    sparse = np.array([0, 70000, 3, 900, 12])[REFERENCE]
    for labels in (sparse, REFERENCE.astype(np.uint8), REFERENCE.astype(float), np.asfortranarray(REFERENCE)):
        np.testing.assert_array_equal(dynamics.masks_to_flows(labels), want)


def test_rotated_labels_give_rotated_flows() -> None:
    labels = discs((31, 31), (12, 14, 8.5))
    labels[5:20, 24:27] = 2
    sources = _flows.find_cells(labels).centres[:, 1:]
    flows = dynamics.masks_to_flows(labels)
    turned = dynamics.masks_to_flows(np.rot90(labels).copy())
    back = np.rot90(turned, -1, axes=(1, 2))
    middle = np.isin(np.arange(31 * 31).reshape(31, 31), [np.ravel_multi_index(c, (31, 31)) for c in sources])
    # dy of the turned image is minus dx; the order of sums differs, which shows where heat rises nowhere.
    np.testing.assert_allclose(np.where(middle, 0, -back[0]), np.where(middle, 0, flows[1]), atol=1e-6)
    np.testing.assert_allclose(np.where(middle, 0, back[1]), np.where(middle, 0, flows[0]), atol=1e-6)


def test_steps_reach_as_far_as_they_go() -> None:
    labels = np.ones((1, 41), int)
    flows = dynamics.masks_to_flows(labels, niter=5)
    # After n steps heat has come n pixels far, and rises up to one pixel further.
    assert np.flatnonzero(flows[1, 0]).tolist() == [i for i in range(14, 27) if i != 20]


def test_centres_come_from_the_mask() -> None:
    ring = discs((31, 31), (15, 15, 12)) - discs((31, 31), (15, 15, 8))
    y, x = dynamics.center_of_mass(ring)
    assert ring[y, x] == 1
    distance = np.hypot(*(np.indices(ring.shape) - 15))
    assert distance[y, x] == distance[ring > 0].min()
    with pytest.raises(InputError, match="empty"):
        dynamics.center_of_mass(np.zeros((3, 3)))


def test_get_centers_takes_rows_and_slices() -> None:
    labels = REFERENCE.copy()
    labels[labels == 2] = 0
    slices = [(slice(0, 1), slice(0, 1)), None, (slice(0, 1), slice(0, 1)), (slice(0, 1), slice(0, 1))]
    rows = np.array([[0, 0, 1, 0, 1], [2, 0, 1, 0, 1], [3, 0, 1, 0, 1]])
    for boxes in (slices, rows):
        centres, extents = dynamics.get_centers(labels, boxes)
        np.testing.assert_array_equal(centres, [[18, 20], [42, 30], [40, 64]])
        np.testing.assert_array_equal(extents, [40, 52, 36])
    with pytest.raises(InputError, match=r"\[2\]"):
        dynamics.get_centers(labels, np.array([[1, 0, 1, 0, 1]]))


def test_empty_masks(caplog: pytest.LogCaptureFixture) -> None:
    flows = dynamics.masks_to_flows(np.zeros((4, 5), int))
    assert flows.shape == (2, 4, 5)
    assert "empty" in caplog.text
    assert dynamics.masks_to_flows_gpu(np.zeros((4, 5), int))[1] is None
    assert not dynamics.masks_to_flows_gpu_3d(np.zeros((2, 4, 5), int)).any()
    assert dynamics.labels_to_flows([np.zeros((4, 5), int)])[0].shape == (4, 4, 5)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (1, 1, 1), (1, 5, 6)])
def test_thin_images(shape: tuple[int, ...]) -> None:
    flows = dynamics.masks_to_flows(np.ones(shape, int))
    assert flows.shape == (len(shape), *shape)
    assert np.isfinite(flows).all()
    if len(shape) == 3:
        assert np.isfinite(dynamics.masks_to_flows_gpu_3d(np.ones(shape, int))).all()


def test_one_cell_over_the_whole_image() -> None:
    flows = dynamics.masks_to_flows(np.ones((21, 21), int))
    inward = (flows * (10 - np.indices((21, 21)))).sum(axis=0)
    inward[10, 10] = 1  # the source itself
    assert (inward > 0).all()


@pytest.mark.parametrize("shape", [(4,), (2, 3, 4, 5)])
def test_wrong_axes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="shape"):
        dynamics.masks_to_flows(np.ones(shape, int))
    with pytest.raises(InputError, match="shape"):
        dynamics.labels_to_flows([np.ones(shape, int)])


def test_targets_are_written_beside_the_images(tmp_path: Path) -> None:
    files = [tmp_path / "a.b.png", tmp_path / "c.tif"]
    flows = dynamics.labels_to_flows([REFERENCE, REFERENCE[None]], files=[str(f) for f in files])
    for name, want in zip(("a.b_flows.tif", "c_flows.tif"), flows, strict=True):
        np.testing.assert_array_equal(tifffile.imread(tmp_path / name), want)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["a.b_flows.tif", "c_flows.tif"]
    with pytest.raises(InputError, match="1 files"):
        dynamics.labels_to_flows([REFERENCE, REFERENCE], files=[files[0]])


def test_given_targets_are_kept_or_made_anew() -> None:
    given = dynamics.labels_to_flows([REFERENCE])[0]
    given[2:] *= 0.5
    np.testing.assert_array_equal(dynamics.labels_to_flows([given])[0], given)
    anew = dynamics.labels_to_flows([given], redo_flows=True)[0]
    np.testing.assert_array_equal(anew, dynamics.labels_to_flows([REFERENCE])[0])
    assert dynamics.labels_to_flows([given], return_flows=False) == []


def test_threads_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    circles = [(*rng.uniform(0, 200, 2), rng.uniform(2, 9)) for _ in range(300)]
    labels = discs((200, 200), *circles)
    results = []
    for threads in ("1", "2", "5"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        assert _threads.thread_count() == int(threads)
        results.append(dynamics.masks_to_flows(labels))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_heat_with_tensors_is_heat_with_kernels() -> None:
    from cellpose.dynamics._torch._heat import heat_flows

    labels = discs((60, 70), (12, 14, 9), (20, 30, 12), (45, 20, 14), (40, 55, 5), (12, 60, 6.5))
    cells = _flows.find_cells(labels)
    steps = 2 * (cells.extents[:, 1:].sum(axis=1) + 4)
    # The same sums in the same order.
    np.testing.assert_allclose(
        heat_flows(labels, cells.labels, cells.centres[:, 1:], steps, "cpu"),
        dynamics.masks_to_flows(labels),
        atol=1e-12,
    )
    volume = discs((14, 24, 26), (6, 9, 9, 5), (7, 12, 17, 6))
    cells = _flows.find_cells(volume)
    np.testing.assert_allclose(
        heat_flows(volume, cells.labels, cells.centres, np.full(2, 90), "cpu"),
        dynamics.masks_to_flows_gpu_3d(volume, niter=90),
        atol=1e-12,
    )


def test_scattered_labels_get_flows_where_heat_reaches() -> None:
    labels = np.zeros((300, 310), int)
    labels[2:9, 3:12] = 1
    labels[292:299, 296:305] = 1
    labels[150, 150:158] = 1  # nearest to the mean, so heat spreads from here alone
    flows = dynamics.masks_to_flows(labels)
    np.testing.assert_array_equal(np.abs(flows[1, 150, 150:158]), 1)
    assert not flows[:, :100].any()
    assert not flows[:, 200:].any()
    # With the steps of the whole box; for the line alone they would be fewer.
    alone = np.where(np.arange(300)[:, None] == 150, labels, 0)
    np.testing.assert_array_equal(flows, dynamics.masks_to_flows(alone, niter=2 * (297 + 302 + 4)))
    error, _ = dynamics.flow_error(labels, np.zeros((2, 300, 310)))
    np.testing.assert_allclose(error, 8 / np.count_nonzero(labels))
