"""The parts of synthetic images: packed cells, their nuclei, renderings, optics."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from cellpose import synthetic
from cellpose.errors import OptionError
from cellpose.synthetic._noise import blur, fractal, grains, smooth_noise

RENDERINGS = (
    synthetic.cytoplasm,
    synthetic.membrane,
    synthetic.phase_contrast,
    synthetic.dic,
    synthetic.brightfield,
    synthetic.quantitative_phase,
    synthetic.electron,
    synthetic.stained_tissue,
)


def scene(form: str, seed: int = 0, size: tuple[int, int] = (160, 160), **more: float) -> synthetic.Scene:
    rng = np.random.default_rng(seed)
    return synthetic.populate(rng, size, synthetic.Population(form=form, **{"diameter": 30, **more}))


@pytest.mark.parametrize("form", synthetic.FORMS)
def test_every_form_makes_cells_and_describes_them(form):
    made = scene(form, coverage=0.5)
    assert made.n == made.labels.max() > 0
    assert len(made.cells.centres) == len(made.cells.angles) == made.n
    inside = made.labels > 0
    assert np.array_equal(made.depth > 0, inside)
    assert made.rise.min() >= 0
    assert made.rise.max() <= 1
    assert (made.outside[inside] == 0).all()
    assert (made.outside[~inside] > 0).all()


def test_sheets_fill_the_plane_and_other_cells_keep_apart():
    whole = scene("sheet", coverage=1.0, reach=4.0)
    assert (whole.labels > 0).all()
    assert (scene("sheet", coverage=1.0, reach=4.0, missing=0.5).labels == 0).mean() > 0.2
    sparse = scene("round", coverage=0.3, gap=1.3, variation=0.0, wobble=0.0, elongation=1.0, size=(256, 256))
    # packed with a distance of 1.3 diameters between centres, discs cannot touch
    ring = np.zeros_like(sparse.labels)
    ring[1:-1, 1:-1] = sparse.labels[1:-1, 1:-1]
    for dy, dx in ((0, 1), (1, 0)):
        other = np.roll(sparse.labels, (dy, dx), (0, 1))[1:-1, 1:-1]
        here = sparse.labels[1:-1, 1:-1]
        assert not ((here != other) & (here > 0) & (other > 0)).any()


def test_coverage_is_what_was_asked_for():
    covered = [(scene("round", seed, (256, 256), diameter=16, coverage=0.4).labels > 0).mean() for seed in range(4)]
    # cells cut off by others, and specks, are lost
    assert np.mean(covered) == pytest.approx(0.4, abs=0.08)


def test_long_rods_have_divided():
    made = scene("rods", 1, (300, 300), diameter=24, elongation=4.0, coverage=0.2, variation=0.0)
    lengths = made.cells.elongation
    # a rod longer than 1.05 times the mean has mostly become two of half its length
    assert (lengths < 0.8 * 4.0).sum() >= 4
    assert lengths.max() < 1.6 * 4.0


def test_rods_of_a_chain_hang_together():
    made = scene("rods", 3, (300, 300), diameter=14, elongation=2.0, coverage=0.1, variation=0.0, chain=6.0, clump=1)
    single = scene("rods", 3, (300, 300), diameter=14, elongation=2.0, coverage=0.1, variation=0.0, clump=1, gap=2.0)
    assert 0.5 < made.n / single.n < 2  # the coverage is that of the cells
    # within 3 pixels of nearly every cell lies another one
    around = [ndimage.binary_dilation(made.labels == i, np.ones((7, 7), bool)) for i in range(1, made.n + 1)]
    assert np.mean([len(np.unique(made.labels[near])) > 2 for near in around]) > 0.8
    assert made.cells.elongation.mean() == pytest.approx(2.0, rel=0.25)


def test_two_sorts_share_the_plane():
    rng = np.random.default_rng(4)
    large, small = scene("round", 5, coverage=0.5, diameter=36, clump=1), scene("round", 6, coverage=0.5, diameter=12)
    both = synthetic.mingle(rng, large, small, 0.5)
    assert both.n == both.labels.max() == len(both.cells.centres)
    assert (both.cells.radii > 12).any()
    assert (both.cells.radii < 10).any()
    assert {ndimage.label(both.labels == i)[1] for i in range(1, both.n + 1)} == {1}
    # all of the plane belongs to the first, or to the second
    assert (synthetic.mingle(rng, large, small, 1.0).cells.radii > 12).all()
    assert (synthetic.mingle(rng, large, small, 0.0).cells.radii < 10).all()


def test_outlines_are_as_wide_as_asked_for():
    cells = scene("sheet", coverage=1.0, reach=4.0, diameter=40)
    thin, thick = (synthetic.membrane(np.random.default_rng(1), cells, (w, w)) for w in (0.02, 0.12))
    deep = (cells.depth > 3) & (cells.depth < 5)
    assert thick[deep].mean() > 1.5 * thin[deep].mean()


def test_buds_are_cells_of_their_own_beside_their_mothers():
    made = scene("budding", 2, (256, 256), diameter=32, coverage=0.25, variation=0.0, gap=1.0, clump=1)
    radii = made.cells.radii
    buds, mothers = np.flatnonzero(radii < 15.9), np.flatnonzero(radii >= 15.9)
    assert len(buds) >= 3
    for bud in buds:
        away = np.linalg.norm(made.cells.centres[mothers] - made.cells.centres[bud], axis=1)
        assert away.min() <= 1.02 * (radii[bud] + 16)


def test_nuclei_lie_in_their_own_cells():
    made = scene("spread", coverage=0.6)
    rng = np.random.default_rng(5)
    with_nuclei = synthetic.add_nuclei(rng, made, 0.4)
    at = with_nuclei.nuclei > 0
    assert at.any()
    np.testing.assert_array_equal(with_nuclei.nuclei[at], made.labels[at])
    assert not made.nuclei.any()
    share = np.sqrt(at.sum() / (made.labels > 0).sum())
    assert 0.2 < share < 0.5


@pytest.mark.parametrize("render", RENDERINGS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("cells", ["none", "some"])
def test_renderings_are_finite_and_leave_the_scene_alone(render, cells):
    made = scene("round", 3, (64, 80), diameter=20, coverage=0.4)
    if cells == "none":
        empty = np.zeros_like(made.labels)
        none = made.cells.take(np.zeros(0, int))
        made = synthetic.Scene(empty, empty.copy(), none, made.population)
    else:
        made = synthetic.add_nuclei(np.random.default_rng(0), made)
    before = made.labels.copy(), made.nuclei.copy()
    for seed in range(5):
        light = render(np.random.default_rng(seed), made)
        assert light.shape == ((3, 64, 80) if render is synthetic.stained_tissue else (64, 80))
        assert light.dtype == np.float32
        assert np.isfinite(light).all()
    np.testing.assert_array_equal(before[0], made.labels)
    np.testing.assert_array_equal(before[1], made.nuclei)


@pytest.mark.parametrize("kind", synthetic.DEVICES)
def test_no_cell_lies_in_a_wall_and_each_stays_whole(kind):
    before = synthetic.add_nuclei(np.random.default_rng(1), scene("round", 3, (256, 256), coverage=0.6))
    for seed in range(4):
        made = synthetic.add_device(np.random.default_rng(seed), before, kind)
        assert 0.02 < made.walls.mean() < 0.9
        assert not made.labels[made.walls].any()
        assert not made.nuclei[made.walls].any()
        assert made.n == made.labels.max() < before.n
        assert all(ndimage.label(made.labels == i)[1] == 1 for i in range(1, made.n + 1))
        # a cell is what is left of one that was there, most of it
        for label in range(1, made.n + 1):
            old = np.unique(before.labels[made.labels == label])
            assert len(old) == 1
            assert (made.labels == label).sum() > 0.5 * (before.labels == old).sum()
        assert set(np.unique(made.nuclei)) <= set(range(made.n + 1))


@pytest.mark.parametrize("render", [synthetic.phase_contrast, synthetic.dic, synthetic.brightfield])
def test_walls_are_seen_and_leave_the_contrast_of_cells(render):
    plain = scene("round", 3, (256, 256), coverage=0.1)
    made = synthetic.add_device(np.random.default_rng(0), plain, "pillars")
    bare = dataclasses.replace(made, walls=None)
    inner = ndimage.binary_erosion(made.walls, iterations=2)
    edge = made.walls & ~inner
    away = ~ndimage.binary_dilation(made.walls | made.inside, iterations=12)
    contrasts = []
    for seed in range(8):
        light, without = (render(np.random.default_rng(seed), one) for one in (made, bare))
        assert light[edge].std() > 2 * light[away].std()
        contrasts.append([plane[made.inside].std() for plane in (light, without)])
    with_walls, without_walls = np.mean(contrasts, axis=0)
    assert with_walls > 0.5 * without_walls


def test_unknown_device():
    with pytest.raises(OptionError, match="'maze'; allowed: pillars, traps"):
        synthetic.add_device(np.random.default_rng(0), scene("round"), "maze")


def test_contrasts_are_as_physics_has_them():
    """Phase contrast: a halo brighter than the ground; DIC: opposite edges of opposite sign; stains: darker nuclei."""
    rng = np.random.default_rng(0)
    made = scene("round", 4, (128, 128), diameter=40, coverage=0.2, variation=0.0, wobble=0.0)
    phase = synthetic.phase_contrast(np.random.default_rng(1), made, roughness=0.0)
    near, far = (made.outside > 0) & (made.outside < 2), made.outside > 12
    assert phase[near].mean() > phase[far].mean() + 0.02
    assert phase[made.depth > 1].mean() < phase[far].mean()
    relief = synthetic.dic(rng, made) - 0.45
    rim = (made.depth > 0) & (made.depth < 4)
    assert (relief[rim] > 0.02).mean() > 0.15
    assert (relief[rim] < -0.02).mean() > 0.15
    colors = synthetic.stained_tissue(rng, made)
    assert (colors[:, made.depth > 3].mean(axis=1) < colors[:, far].mean(axis=1)).all()


def test_optics():
    rng = np.random.default_rng(0)
    light = np.full((2, 64, 64), 0.4, np.float32)
    light[1] = 0
    quiet = {"blur": 0.0, "shading": 0.0, "read_noise": 0.0, "offset": 0.0, "photons": 1e8}
    clean = synthetic.expose(rng, light, synthetic.Optics(**quiet))
    assert np.unique(clean[0]).tolist() == pytest.approx([102 / 255])
    assert not clean[1].any()
    assert (light[0] == np.float32(0.4)).all()
    assert (synthetic.expose(rng, light, synthetic.Optics(**{**quiet, "gain": 3.0}))[0] == 1).all()
    noisy = synthetic.expose(rng, light, synthetic.Optics(**{**quiet, "photons": 200.0, "bits": 16}))[0]
    # 80 photons in each pixel, a deviation of their root; 200 make brightness 1
    assert noisy.std() == pytest.approx(np.sqrt(80) / 200, rel=0.05)  # of 4096 pixels: to about 0.01
    point = np.zeros((1, 64, 64), np.float32)
    point[0, 32, 32] = 1
    spread = synthetic.expose(rng, point, synthetic.Optics(**{**quiet, "blur": 2.0, "gain": 20.0, "bits": 16}))[0]
    assert spread[32, 32] / spread[32, 34] == pytest.approx(np.exp(0.5), rel=0.02)  # the kernel is cut at some sigmas


@pytest.mark.parametrize("scale", [1.0, 4.0, 20.0])
def test_noise_has_the_scale_asked_for(scale):
    field = smooth_noise(np.random.default_rng(0), (200, 220), scale)
    assert field.shape == (200, 220)
    assert field.mean() == pytest.approx(0, abs=1e-4)
    assert field.std() == pytest.approx(1, abs=1e-3)
    step = max(1, round(scale))
    near = (field[:, 1:] * field[:, :-1]).mean()
    far = (field[:, 6 * step :] * field[:, : -6 * step]).mean()
    assert near > far + 0.2
    assert abs(far) < 0.35  # few grains of the largest scale fit into the plane
    assert fractal(np.random.default_rng(0), (64, 64), scale).std() == pytest.approx(1, abs=0.4)


def test_grains_lie_where_they_may_and_wide_blur_keeps_the_mean():
    where = np.zeros((80, 80), bool)
    where[:, :30] = True
    spots = grains(np.random.default_rng(0), where, 0.02, 1.0, 0.0)
    assert spots[:, 36:].max() == pytest.approx(0, abs=1e-6)
    assert 0.8 < spots.max() < 6
    assert not grains(np.random.default_rng(0), np.zeros((8, 8), bool), 0.5, 1.0).any()
    plane = np.random.default_rng(0).random((90, 100), np.float32)
    assert blur(plane, 15.0).mean() == pytest.approx(plane.mean(), abs=0.02)  # the border weighs differently
    assert blur(plane, 15.0).std() < 0.03


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: synthetic.Population(form="cube"), "cube.*allowed: round"),
        (lambda: synthetic.Population(diameter=1), "Population.diameter is 1; allowed: 2 to 2000"),
        (lambda: synthetic.Population(coverage=-0.1), "coverage"),
        (lambda: synthetic.Population(diameter=float("nan")), "diameter is nan"),
        (lambda: synthetic.Optics(photons=0), "Optics.photons is 0; allowed: 1 to"),
        (lambda: synthetic.Optics(bits=1), "Optics.bits"),
    ],
)
def test_options_out_of_range_are_errors(make, named):
    with pytest.raises(OptionError, match=named):
        make()
