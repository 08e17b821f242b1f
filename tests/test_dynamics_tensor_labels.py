"""Label images as tensors give what the kernels give, to the pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cellpose import metrics, utils
from cellpose._labels import arrays as _labels
from cellpose._labels.check import each_plane
from cellpose.dynamics import _flows
from cellpose.dynamics._torch import _labels as _tensor_labels
from cellpose.metrics import _inputs


def on_tensors(labels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(labels, np.int32))


def rings(shape: tuple[int, ...], n: int, seed: int, *, nested: bool = False) -> np.ndarray:
    """Balls and shells in a random order of numbers; the holes of shells are empty unless they may hold others."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    grid = np.indices(shape)
    for number in rng.permutation(2 * n)[:n] + 1:
        middle, radius = rng.uniform(0, shape), rng.uniform(2, 9)
        distance = np.sqrt(((grid - middle.reshape(-1, *[1] * len(shape))) ** 2).sum(axis=0))
        if not nested and labels[distance <= radius + 1].any():
            continue
        labels[(distance <= radius) & (distance > rng.choice([0, 0.5 * radius]))] = number
    return labels


def strewn(shape: tuple[int, ...], n: int, seed: int) -> np.ndarray:
    """Pixels of every label anywhere: strays, parts and holes within holes."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, n + 1, shape).astype(np.int32) * (rng.random(shape) < 0.7)


IMAGES = {
    "rings": rings((90, 110), 40, 0),
    "many": rings((300, 200), 300, 1),
    "shells": rings((20, 40, 50), 20, 2),
    "nested": rings((90, 110), 40, 3, nested=True),
    "nested shells": rings((20, 40, 50), 30, 4, nested=True),
    "strewn": strewn((40, 40), 5, 5),
    "strewn volume": strewn((6, 12, 13), 3, 6),
    "one row": rings((1, 80), 9, 7),
    "one column": rings((80, 1), 9, 8),
    "one label": np.ones((5, 6), np.int32),
    "background": np.zeros((5, 6), np.int32),
    "frame": np.pad(np.zeros((5, 6), np.int32), 1, constant_values=3),
}


@pytest.fixture(params=IMAGES)
def labels(request: pytest.FixtureRequest) -> np.ndarray:
    return IMAGES[request.param]


@pytest.fixture(params=[_tensor_labels.MOST_PIXELS, 200])
def _rounds(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All boxes at once, and a few at a time."""
    monkeypatch.setattr(_tensor_labels, "MOST_PIXELS", request.param)


def test_boxes_sizes_and_places(labels: np.ndarray) -> None:
    found, want = _tensor_labels.scan(on_tensors(labels)), _labels.scan(labels)
    for name in ("boxes", "counts", "broken", "first"):
        np.testing.assert_array_equal(getattr(found, name)[1:], getattr(want, name)[1:], err_msg=name)
    assert found.counts[0] == want.counts[0]


def test_images_without_pixels() -> None:
    none = torch.zeros((0, 4), dtype=torch.int32)
    assert _tensor_labels.scan(none).counts.tolist() == [0]
    assert _tensor_labels.fill_holes_and_remove_small(none, 5).shape == (0, 4)
    assert _tensor_labels.outlines(none).shape == (0, 4)


@pytest.mark.parametrize("min_size", [-1, 0, 1, 15, 60])
@pytest.mark.usefixtures("_rounds")
def test_holes_are_filled_and_small_labels_removed(labels: np.ndarray, min_size: int) -> None:
    given = on_tensors(labels)
    filled = _tensor_labels.fill_holes_and_remove_small(given, min_size)
    np.testing.assert_array_equal(filled, _labels.fill_holes_and_remove_small(labels, min_size))
    np.testing.assert_array_equal(given, labels)


def test_holes_that_hold_nothing_stay_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def called(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(_tensor_labels, "fill_holes_in_order", called)
    labels = IMAGES["many"]
    filled = _tensor_labels.fill_holes_and_remove_small(on_tensors(labels), 5)
    assert (filled > 0).sum() > (labels > 0).sum() + 500
    with pytest.raises(AssertionError):
        _tensor_labels.fill_holes_and_remove_small(on_tensors(IMAGES["nested"]), 5)


@pytest.mark.usefixtures("_rounds")
def test_outlines(labels: np.ndarray) -> None:
    for plane in each_plane(labels):
        np.testing.assert_array_equal(_tensor_labels.outlines(on_tensors(plane)), utils.masks_to_outlines(plane))


def test_centres(labels: np.ndarray) -> None:
    want = _flows.find_cells(labels)
    given = on_tensors(labels)
    cells = torch.from_numpy(want.labels)
    found = _tensor_labels.centres(given, _tensor_labels.scan(given), cells)
    np.testing.assert_array_equal(found, want.centres)
    some = _tensor_labels.centres(given, _tensor_labels.scan(given), cells[::2])
    np.testing.assert_array_equal(some, want.centres[::2])


def test_overlaps(labels: np.ndarray) -> None:
    other = np.roll(labels, 3, axis=-1)
    found, want = _tensor_labels.overlap(on_tensors(labels), on_tensors(other)), _labels.overlap(labels, other)
    for ours, theirs in zip(found, want, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_metrics_of_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    true, pred = IMAGES["nested"], np.roll(IMAGES["nested"], 2, axis=1)
    calls = (
        lambda **options: metrics.average_precision(true, pred, **options),
        lambda **options: metrics.mask_ious(true, pred, **options),
        lambda **options: metrics.aggregated_jaccard_index([true], [pred], **options),
        lambda **options: metrics.boundary_scores([true], [pred], [0.1, 0.5], **options),
    )
    want = [call() for call in calls]
    counted = []
    monkeypatch.setattr(_inputs, "on_gpu", lambda device: counted.append(device) or device is not None)
    for call, expected in zip(calls, want, strict=True):
        counted.clear()
        for ours, theirs in zip(call(device="cpu"), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert counted
        assert set(counted) == {"cpu"}


@pytest.mark.parametrize(("device", "there"), [("mps", "cpu"), ("cuda:1", "cuda:1"), ("cpu", "cpu")])
def test_devices_that_lack_something_leave_labels_to_the_cpu(device: str, there: str) -> None:
    assert _tensor_labels.device_for_labels(device) == torch.device(there)
