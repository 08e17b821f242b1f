"""Normalisation: exact percentiles, options, and what the original did wrongly."""

from __future__ import annotations

import numpy as np
import pytest

from cellpose import transforms
from cellpose.errors import AxesError, CellposeError, InputError, OptionError
from cellpose.options import Normalization
from cellpose.transforms._percentiles import percentiles

RNG = np.random.default_rng(0)
Y, X = np.mgrid[:60, :80]
WAVES = np.stack([np.sin(0.1 * Y) * np.cos(0.07 * X) + 1, np.cos(0.05 * Y + 0.02 * X) + 1], axis=-1).astype(np.float32)


@pytest.mark.parametrize("size", [1, 2, 101, 70_000])
@pytest.mark.parametrize(
    "make",
    [
        lambda n: RNG.poisson(40, n).astype(np.uint16),
        lambda n: RNG.integers(0, 65536, n).astype(np.uint16),
        lambda n: RNG.poisson(40, n).astype(np.float32),
        lambda n: RNG.random(n, np.float32),
        lambda n: RNG.normal(0, 50, n).round().astype(np.float32),
        lambda n: np.concatenate([RNG.poisson(40, n - 1), [0.5]]).astype(np.float32),
    ],
)
def test_percentiles_are_those_of_numpy(make, size):
    values = make(size)
    for q in [(1, 99), (0, 100), (0.3, 42)]:
        # float64: NumPy's own interpolation in float32 is what would differ in the last digits
        want = np.percentile(values.astype(np.float64), q)
        np.testing.assert_allclose(percentiles(values, *q), want, rtol=1e-12, atol=1e-12)


def test_counting_and_sorting_agree():
    values = RNG.integers(0, 4000, 100_000).astype(np.uint16)
    low, high = percentiles(values, 1, 99)
    assert (low, high) == pytest.approx(percentiles(values.astype(np.float32) + 0.25, 1, 99) - np.array(0.25))


def test_large_arrays_are_thinned_out_only_where_asked():
    values = np.zeros((3400, 3400), np.float32)
    values[::2] = np.arange(3400, dtype=np.float32)
    exact = np.percentile(values, [1, 99])
    got = transforms.normalize99(values)
    assert got.max() == pytest.approx((3399 - exact[0]) / (exact[1] - exact[0]), rel=1e-6)
    thin = transforms.normalize99(values, downsample=True)
    step = 3400 // 224
    sparse = np.percentile(values[::step, ::step], [1, 99])
    assert thin.max() == pytest.approx((3399 - sparse[0]) / (sparse[1] - sparse[0]), rel=1e-6)


def test_normalize99_in_place_only_if_told():
    values = RNG.random((30, 30))
    before = values.copy()
    got = transforms.normalize99(values)
    np.testing.assert_array_equal(values, before)
    assert got.dtype == np.float64
    inside = transforms.normalize99(values, copy=False)
    assert inside is values
    np.testing.assert_array_equal(values, got)


def test_reference_numbers():
    """Numbers made with the original on the same waves; six digits were kept of each."""
    stack = WAVES[None]
    tiled = transforms.normalize99_tile(stack, blocksize=25)[0]
    # sums of 4800 pixels in float32
    np.testing.assert_allclose(tiled.sum((0, 1)), [2403.824463, 1925.571167], rtol=2e-6)
    np.testing.assert_allclose(tiled[[10, 50], [10, 70]], [[0.793292, 0.980884], [0.367445, 0.373097]], atol=2e-6)
    sharp = transforms.smooth_sharpen_img(stack, 0, 5)[0]
    np.testing.assert_allclose(sharp[[10, 50], [10, 70]], [[0.162203, 0.134906], [-0.085482, 0.023606]], atol=2e-6)
    smooth = transforms.smooth_sharpen_img(stack, 2, 0)[0]
    np.testing.assert_allclose(smooth[[10, 50], [10, 70]], [[1.616429, 1.804236], [0.898463, 0.231029]], atol=2e-6)


def test_tiles_of_a_plane_are_those_of_a_stack_of_one():
    """The original used the bounds of the first row for all rows of a plane with several channels."""
    np.testing.assert_array_equal(
        transforms.normalize99_tile(WAVES, 25), transforms.normalize99_tile(WAVES[None], 25)[0]
    )
    # OpenCV resizes the bounds of two channels at once, in another order of sums
    alone = transforms.normalize99_tile(WAVES[..., 1], 25)
    np.testing.assert_allclose(transforms.normalize99_tile(WAVES, 25)[..., 1], alone, rtol=0, atol=1e-6)


def test_tiles_of_planes_of_their_own():
    """The original could not normalise several planes with several channels one by one, only with one channel."""
    stack = np.stack([WAVES, 100 * WAVES, 3 * WAVES])
    got = transforms.normalize99_tile(stack, 25, norm3D=False)
    for c in range(2):
        alone = transforms.normalize99_tile(stack[..., c : c + 1], 25, norm3D=False)
        np.testing.assert_allclose(got[..., c], alone[..., 0], rtol=0, atol=1e-5)
    together = transforms.normalize99_tile(stack, 25, norm3D=True)
    assert together[1].max() > got[1].max()  # the bright plane rises above the mean of the bounds


def test_tile_normalisation_inverts():
    options = {"tile_norm_blocksize": 25}
    straight = transforms.normalize_img(WAVES, **options)
    # 1 - x of the same x, exactly
    np.testing.assert_array_equal(transforms.normalize_img(WAVES, invert=True, **options), 1 - straight)


def test_blocks_without_contrast():
    image = np.zeros((60, 80, 1), np.float32)
    np.testing.assert_array_equal(transforms.normalize99_tile(image, 20), image)
    image[20:40, 20:40] = RNG.random((20, 20, 1))
    assert np.isfinite(transforms.normalize99_tile(image, 20)).all()


KINDS_OF_SCALE = [
    {},
    {"invert": True},
    {"lowhigh": (0, 2)},
    {"lowhigh": (0, 2), "invert": True},
    {"percentile": (0, 100)},
    {"sharpen_radius": 3},
    {"sharpen_radius": 3, "smooth_radius": 2},
    {"tile_norm_blocksize": 20},
    {"tile_norm_blocksize": 20, "invert": True},
    {"norm3D": False},
]


@pytest.mark.parametrize("options", KINDS_OF_SCALE)
@pytest.mark.parametrize("value", [0, 7, 0.1, 60000, -3, np.nan, np.inf])
def test_channels_without_contrast_are_nothing(options, value):
    flat = np.full((60, 80), value, np.float32)
    for image in (np.stack([WAVES[..., 0], flat], -1), np.stack([np.stack([WAVES[..., 0], flat], -1)] * 3)):
        got = transforms.apply_normalization(image, Normalization(**options))
        assert not got[..., 1].any()
        alone = transforms.apply_normalization(image[..., :1], Normalization(**options))
        # OpenCV resizes the bounds of the tiles of two channels at once, in another order of sums
        np.testing.assert_allclose(got[..., :1], alone, rtol=0, atol=1e-5 if "tile_norm_blocksize" in options else 0)
        assert np.ptp(got[..., 0]) > 0.9


@pytest.mark.parametrize(("factor", "offset"), [(1e-8, 0), (1, 1e9)])
def test_what_may_be_an_image_without_contrast_is_told(caplog, factor, offset):
    image = RNG.integers(0, 250, (60, 80)) * factor + offset
    flat = np.full_like(image, offset)
    for stack, where in (
        (image[..., None], "channel 1 of"),
        (np.stack([flat, image], -1), "channel 2 of"),
        (np.stack([[WAVES[..., 0], WAVES[..., 0]], [flat, image]], -1), "channel 2 in 1 of 4 planes of"),
    ):
        caplog.clear()
        assert not transforms.network_input(stack, Normalization(norm3D=False))[..., -1].any()
        (told,) = [r.getMessage() for r in caplog.records]
        assert told.startswith(f"no contrast ({where} the network): intensities from ")
        assert told.endswith("subtract the smallest intensity and divide by the largest, in float64")
    caplog.clear()
    transforms.network_input(flat[..., None], Normalization())
    transforms.network_input(image[..., None], Normalization(normalize=False))
    assert not caplog.records


def test_rounding_is_no_contrast():
    rounded = (0.1 * np.ones((60, 80), np.float32)) + RNG.normal(0, 1e-8, (60, 80)).astype(np.float32)
    thousands = np.float32(50000) + RNG.integers(0, 2, (60, 80)).astype(np.float32) * np.float32(0.00390625)
    for flat in (rounded, thousands):
        assert np.ptp(flat) > 0
        assert not transforms.normalize_img(flat[..., None]).any()


def test_intensities_of_a_small_range_have_contrast():
    """A dim image of 16 bits, divided by 65535."""
    image = (WAVES[..., :1] + 2) * np.float32(1e-4)
    # the same picture on another scale; rounding of 1e-4 in float32, divided by the range
    np.testing.assert_allclose(transforms.normalize_img(image), transforms.normalize_img(WAVES[..., :1]), atol=1e-5)


def test_planes_of_their_own_are_nothing_where_they_have_no_contrast():
    stack = np.stack([WAVES, np.full_like(WAVES, 7), WAVES])
    for options in ({}, {"invert": True}, {"lowhigh": (-3, 3)}):
        apart = transforms.apply_normalization(stack, Normalization(norm3D=False, **options))
        assert not apart[1].any()
        assert apart[0].any()
    # with one scale for all a plane of one intensity is as bright as that is elsewhere
    together = transforms.apply_normalization(stack, Normalization())
    assert (together[1] == together[1, 0, 0]).all()
    assert together[1].any()


def test_network_input_is_normalised_or_as_it_is():
    image = np.stack([WAVES[..., 0], np.full((60, 80), 7, np.float32)], axis=-1)
    np.testing.assert_array_equal(transforms.network_input(image, Normalization()), transforms.normalize_img(image))
    for off in (Normalization(normalize=False), Normalization(normalize=False, lowhigh=(0, 9), invert=True)):
        np.testing.assert_array_equal(transforms.network_input(image, off), image)


def sparse_image(offset: float = 0, height: float = 2000, dtype: str = "f4") -> np.ndarray:
    """A cell on 0.5 % of a plane that has one intensity elsewhere."""
    y, x = np.mgrid[:100, :120]
    cell = height * np.exp(-(((y - 30) / 6) ** 2) - ((x - 70) / 6) ** 2)
    return (offset + cell * (np.hypot(y - 30, x - 70) < 4.3)).astype(dtype)[..., None]


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "f8"])
@pytest.mark.parametrize(("offset", "height"), [(0, 200), (40, 200), (255, -200)])
def test_sparse_images_are_scaled_by_what_is_there(caplog, dtype, offset, height):
    image = sparse_image(offset, height, dtype)
    got = transforms.normalize_img(image)
    assert np.percentile(image, 1) == np.percentile(image, 99)
    assert got[0, 0, 0] == (0 if height > 0 else 1)
    assert 0.95 < np.ptp(got) < 1.2
    assert caplog.text.count("sparse") == 1
    assert "--norm_percentile" in caplog.text


def test_sparse_by_a_grey_level():
    """Percentiles of a dark background with single photons are 0 and 1: cells of 2000 lie far beyond."""
    photons = RNG.poisson(0.02, (100, 120, 1))
    got = transforms.normalize_img(sparse_image() + photons)
    assert 0.9 < got.max() < 1.2
    # a few hot pixels are no reason to lose sight of the rest
    dim = RNG.poisson(2, (100, 120, 1)).astype(np.float32)
    hot = dim.copy()
    hot.reshape(-1)[:5] = 60000
    np.testing.assert_array_equal(transforms.normalize_img(hot)[1:], transforms.normalize_img(dim)[1:])


def test_sparse_channels_planes_and_tiles(caplog):
    sparse = sparse_image()
    varied = RNG.random(sparse.shape).astype(np.float32)
    got = transforms.normalize_img(np.concatenate([varied, sparse], axis=-1))
    np.testing.assert_array_equal(got[..., :1], transforms.normalize_img(varied))
    np.testing.assert_array_equal(got[..., 1:], transforms.normalize_img(sparse))
    caplog.clear()
    stack = np.stack([sparse, 3 * sparse, np.zeros_like(sparse)])
    for norm3D in (False, True):
        got = transforms.normalize_img(stack, norm3D=norm3D)
        assert got.max() == pytest.approx(1, abs=0.1)
        assert not got[2].any()
    assert caplog.text.count("sparse") == 2
    assert "2 of 3 planes" in caplog.text
    # one block and its neighbours hold the cell on less than 1 % of their pixels, or not at all
    got = transforms.normalize_img(sparse, tile_norm_blocksize=100)
    assert got.max() == pytest.approx(1, abs=0.1)


def test_sparse_in_an_array_that_is_thinned_out():
    from cellpose.transforms._percentiles import scale_of

    # the values at hand miss what is there: the extremes of the whole serve
    scale = scale_of(np.zeros(1000, np.float32), 1, 99, (0.0, 500.0))
    assert (scale.low, scale.high, scale.percentiles) == (0, 500, (0, 0))


def test_parity_of_constant_channels(parity):
    """The rule for all families is that of version 4."""
    fixtures = parity.load("transforms")
    image = fixtures["in/norm/const"]
    cases = {
        "default": {},
        "invert": {"invert": True},
        "sharp3": {"sharpen_radius": 3},
        "both": {"sharpen_radius": 6, "smooth_radius": 1.5},
    }
    for case, options in cases.items():
        got = transforms.apply_normalization(image, Normalization(**options))
        # the tolerance of the fixture
        np.testing.assert_allclose(got, fixtures[f"v4/normalize_img/const_{case}"], rtol=1e-5, atol=1e-5, err_msg=case)
    # both versions leave a constant channel at its place on a scale that is given
    for case, options in {"low_high": {"lowhigh": (10, 120)}, "tile25": {"tile_norm_blocksize": 25}}.items():
        assert fixtures[f"both/normalize_img/const_{case}"].any()
        assert not transforms.apply_normalization(image, Normalization(**options)).any()


def test_parity_of_planes_left_as_they_are(parity):
    image = parity.load("transforms")["in/norm/img2"]
    np.testing.assert_array_equal(transforms.normalize_img(image, normalize=False), image)


def test_planes_have_their_own_scale_without_norm3d():
    stack = np.stack([WAVES, 50 * WAVES])
    apart = transforms.normalize_img(stack, norm3D=False)
    # the same picture at fifty times the brightness; float32 rounding
    np.testing.assert_allclose(apart[0], apart[1], atol=1e-5)
    assert not np.allclose(*transforms.normalize_img(stack, norm3D=True), atol=0.1)


def test_lowhigh():
    got = transforms.normalize_img(np.stack([Y, X], -1), lowhigh=[[0, 10], [5, 25]])
    # one subtraction and one division in float32
    np.testing.assert_allclose(got, np.stack([Y / 10, (X - 5) / 20], -1), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["?", "u1", "i2", ">u2", "i8", "u8", "f2", "f4", ">f8"])
@pytest.mark.parametrize("options", [{}, {"tile_norm_blocksize": 20}, {"sharpen_radius": 3}])
def test_dtypes(dtype, options):
    image = (WAVES * 60).astype(dtype)
    before = image.copy()
    got = transforms.normalize_img(image, **options)
    assert got.dtype == np.float32
    # the filters sum 4800 values in float32
    np.testing.assert_allclose(got, transforms.normalize_img(image.astype(np.float64), **options), atol=1e-4)
    np.testing.assert_array_equal(image, before)
    assert not np.shares_memory(got, image)


@pytest.mark.parametrize(
    "options",
    [{}, {"norm3D": False}, {"tile_norm_blocksize": 30}, {"smooth_radius": 1}, {"sharpen_radius": 2}, {"invert": True}],
)
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 1, 2), (1, 50, 2), (50, 1, 1), (3, 1, 40, 1)])
def test_smallest_images(shape, options):
    assert np.isfinite(transforms.normalize_img(RNG.random(shape), **options)).all()


def test_not_finite_intensities_do_not_spread():
    image = WAVES.copy()
    image[5, 5] = np.nan
    got = transforms.normalize_img(image)
    clean = transforms.normalize_img(WAVES)
    # one pixel of 4800 may move a percentile a little
    np.testing.assert_allclose(
        np.delete(got.reshape(-1, 2), 405, 0), np.delete(clean.reshape(-1, 2), 405, 0), atol=1e-3
    )
    assert np.isfinite(got).all()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"percentile": (99, 1)}, OptionError),
        ({"percentile": (-1, 99)}, OptionError),
        ({"lowhigh": 5}, OptionError),
        ({"lowhigh": [1, 2, 3]}, OptionError),
        ({"lowhigh": [3, 3]}, OptionError),
        ({"lowhigh": [0, np.nan]}, OptionError),
        ({"normalize": False, "invert": True}, OptionError),
        ({"axis": 3}, AxesError),
    ],
)
def test_options_that_are_refused(options, error):
    with pytest.raises(error):
        transforms.normalize_img(WAVES, **options)


def test_arrays_that_are_refused():
    for image in (np.zeros((4, 4)), np.zeros((0, 4, 1)), np.zeros((4, 4, 1), complex)):
        with pytest.raises(InputError):
            transforms.normalize_img(image)
    for function in (transforms.normalize99_tile, transforms.smooth_sharpen_img):
        with pytest.raises(AxesError):
            function(np.zeros(5))
    for bad in ((None, 99), (50, 50), (1, 101)):
        with pytest.raises(OptionError):
            transforms.normalize99(WAVES, *bad)
    with pytest.raises(CellposeError):
        transforms.gaussian_kernel(0, 4, 4)


def test_narrow_kernel_is_no_nan():
    assert float(transforms.gaussian_kernel(1e-3, 7, 9).sum()) == pytest.approx(1)


@pytest.mark.parametrize("kind", ["smooth", "whole", "negative", "few", "infinite"])
def test_percentiles_of_large_arrays_are_those_of_numpy(kind):
    rng = np.random.default_rng(0)
    values = rng.standard_normal(100_000).astype(np.float32)
    if kind == "whole":
        values = np.round(values * 50 + 100)
    elif kind == "negative":
        values = -np.abs(values)
    elif kind == "few":
        values = rng.choice(np.array([0.0, -0.0, 1.0, 1e-40], np.float32), 100_000)
    elif kind == "infinite":
        values[rng.integers(0, values.size, 300)] = np.inf
        values[rng.integers(0, values.size, 300)] = -np.inf
    for lower, upper in ((1, 99), (0.7, 33.3), (50, 98)):
        # float64 holds each order statistic exactly; what is left is the rounding of the interpolation
        expected = np.percentile(values.astype(np.float64), [lower, upper])
        np.testing.assert_allclose(percentiles(values, lower, upper), expected, rtol=1e-12)


def test_an_array_of_ones_own_is_not_copied():
    options = Normalization(percentile=(2, 98), invert=True)
    kept = WAVES.copy()
    expected = transforms.apply_normalization(kept, options)
    np.testing.assert_array_equal(kept, WAVES)
    found = transforms.apply_normalization(kept, options, own=True)
    assert np.shares_memory(found, kept)
    np.testing.assert_array_equal(found, expected)
