"""Volumes: planes of three directions at another size, added up at the final one."""

from __future__ import annotations

import numpy as np
import pytest

from cellpose import core, transforms
from cellpose.engines import as_engine
from cellpose.transforms import PLANE_VIEWS
from toy import toy_from_formula

SHAPE = (7, 34, 41)


@pytest.fixture(scope="module")
def volume():
    return np.random.default_rng(0).random((*SHAPE, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def engine():
    return as_engine(toy_from_formula(2))


def as_a_whole(engine, volume, size, out, weights=(1, 1, 1)):
    """The same by arrays: the whole volume resized, each direction run, its outputs resized and added up."""
    resized = transforms.resize_image_3d(volume, size)
    total = np.zeros((4, *out))
    for view, weight in zip(PLANE_VIEWS, weights, strict=True):
        outputs = view.restore(core.run_net(engine, view.planes(resized))[0])
        for channel, component in zip(range(3), (*view.components, 3), strict=True):
            back = transforms.resize_image_3d(np.ascontiguousarray(outputs[..., channel]), out, no_channels=True)
            total[component] += weight * back
    return total


@pytest.mark.parametrize(
    ("size", "out"),
    [(SHAPE, SHAPE), ((21, 34, 41), SHAPE), ((28, 51, 61), SHAPE), ((5, 20, 30), SHAPE), ((14, 20, 30), (14, 20, 30))],
)
def test_planes_one_by_one_give_what_whole_arrays_give(engine, volume, size, out):
    flows, styles = core.run_volume(engine, volume, plan=core.VolumePlan(size, out))
    # Sums of three float32 numbers of up to 5, resized in another order.
    np.testing.assert_allclose(flows, as_a_whole(engine, volume, size, out), atol=2e-4)
    assert flows.dtype == np.float32
    assert len(styles) == size[2]


def test_planes_that_nobody_looks_at_are_not_run(engine, volume):
    sizes = []

    class Counting:
        def __getattr__(self, name):
            return getattr(engine, name)

        def __call__(self, tiles):
            sizes.append(len(tiles))
            return engine(tiles)

    plan = core.VolumePlan((7 * 5, 34, 41), SHAPE)
    core.run_volume(Counting(), volume, plan=plan)
    # Of five planes the one in the middle counts; the other directions have as many planes as before.
    assert sum(sizes) == 7 + 34 + 41


def test_weights_of_views(engine, volume):
    alike, _ = core.run_volume(engine, volume)
    for scale in (1, 0.25, 7):
        weighted, _ = core.run_volume(engine, volume, plan=core.VolumePlan(weights=(scale,) * 3))
        np.testing.assert_allclose(weighted, alike, atol=1e-5)
    only = [as_a_whole(engine, volume, SHAPE, SHAPE, np.eye(3)[v]) for v in range(3)]
    weighted, styles = core.run_volume(engine, volume, plan=core.VolumePlan(weights=(3, 1, 0)))
    np.testing.assert_allclose(weighted[0], 2 * only[1][0], atol=1e-4)  # z: of ZX alone
    np.testing.assert_allclose(weighted[1], 2 * only[0][1], atol=1e-4)  # y: of YX alone
    np.testing.assert_allclose(weighted[2], 2 * (3 * only[0][2] + only[1][2]) / 4, atol=1e-4)
    np.testing.assert_allclose(weighted[3], 3 * (3 * only[0][3] + only[1][3]) / 4, atol=1e-4)
    assert len(styles) == SHAPE[1]  # of the last direction that was run


def test_smooth_planes_ripple_less(engine):
    noise = np.random.default_rng(0).normal(0, 1, (12, 40, 40, 1)).astype(np.float32)
    volume = np.concatenate((noise, np.zeros_like(noise)), axis=3)
    ripples = []
    for how in ("linear", "spline"):
        flows, _ = core.run_volume(engine, volume, plan=core.VolumePlan((72, 40, 40), z_interpolation=how))
        loud = flows[3].std(axis=(1, 2))[12:-12].reshape(-1, 6).mean(axis=0)
        ripples.append(np.ptp(loud) / loud.mean())
    assert ripples[1] < 0.5 * ripples[0]


def test_sums_are_written_where_asked(engine, volume):
    flows = np.zeros((4, *SHAPE), np.float32)
    got, _ = core.run_volume(engine, volume, flows=flows)
    assert got is flows
    np.testing.assert_array_equal(flows, core.run_volume(engine, volume)[0])
