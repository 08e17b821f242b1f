"""Tiles: cut and joined they are the image again, whatever its size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellpose import transforms
from cellpose.errors import AxesError, CellposeError, InputError, OptionError
from cellpose.transforms import TileAverage, TileGrid, iter_tiles

RNG = np.random.default_rng(0)
SIZES = st.integers(1, 150)
QUICK = settings(deadline=None, max_examples=60)
# weights of one to nine tiles, each rounded to float32, on values up to 1
BLENDED = {"rtol": 0, "atol": 1e-6}


def flipped_like(grid: TileGrid, index: int, tile: np.ndarray) -> np.ndarray:
    """Outputs (dY, dX, cellprob) as a network would give them for a flipped tile, from those of the tile as it lies."""
    flip_y, flip_x = grid.flips(index)
    out = tile.copy()
    if flip_y:
        out[0] *= -1
    if flip_x:
        out[1] *= -1
    return out


@QUICK
@given(SIZES, SIZES, st.integers(8, 80), st.floats(-1, 2), st.booleans())
def test_tiles_joined_are_the_image(Ly, Lx, bsize, overlap, augment):
    image = RNG.random((3, Ly, Lx), np.float32)
    tiles, ysub, xsub, high, wide = transforms.make_tiles(image, bsize, augment=augment, tile_overlap=overlap)
    grid = TileGrid(Ly, Lx, bsize, overlap, augment)
    assert tiles.shape[:2] == grid.shape
    y = np.stack([flipped_like(grid, k, t) for k, t in enumerate(tiles.reshape(-1, *tiles.shape[2:]))])
    if augment:
        y = transforms.unaugment_tiles(y.reshape(tiles.shape)).reshape(y.shape)
    joined = transforms.average_tiles(y, ysub, xsub, high, wide)
    np.testing.assert_allclose(joined[:, :Ly, :Lx], image, **BLENDED)


@QUICK
@given(SIZES, SIZES, st.integers(8, 80), st.floats(0, 0.6), st.booleans(), st.integers(1, 9))
def test_running_average_is_the_average(Ly, Lx, bsize, overlap, augment, batch_size):
    image = RNG.random((3, Ly, Lx), np.float32)
    grid = TileGrid(Ly, Lx, bsize, overlap, augment)
    tiles, ysub, xsub, high, wide = transforms.make_tiles(image, bsize, augment=augment, tile_overlap=overlap)
    average = grid.average(3)
    seen = 0
    for indices, batch in grid.tiles(image, batch_size):
        assert len(batch) <= batch_size
        assert batch.flags.c_contiguous
        np.testing.assert_array_equal(batch, tiles.reshape(-1, *tiles.shape[2:])[indices.start : indices.stop])
        average.add(indices, batch)
        seen += len(batch)
    assert seen == len(grid)
    whole = transforms.unaugment_tiles(tiles) if augment else tiles
    want = transforms.average_tiles(whole.reshape(-1, *tiles.shape[2:]), ysub, xsub, high, wide)[:, :Ly, :Lx]
    np.testing.assert_allclose(average.result(), want, **BLENDED)


def test_batches_over_planes_are_full():
    planes = RNG.random((5, 2, 70, 50), np.float32)
    grid = TileGrid(70, 50, 32)
    averages = [grid.average(2) for _ in planes]
    sizes = []
    for indices, batch in iter_tiles(grid, iter(planes), 7):
        sizes.append(len(batch))
        for (plane, tile), y in zip(indices, batch, strict=True):
            averages[plane].add(tile, y)
    assert sizes[:-1] == [7] * (len(sizes) - 1)
    np.testing.assert_allclose([a.result() for a in averages], planes, **BLENDED)


def test_flips_of_augmented_tiles():
    """Flipped along y in odd columns, along x in odd rows."""
    image = np.arange(64 * 64, dtype=np.float32).reshape(1, 64, 64)
    tiles, ysub, xsub, *_ = transforms.make_tiles(image, 32, augment=True)
    for k, tile in enumerate(tiles.reshape(-1, 32, 32)):
        j, i = divmod(k, tiles.shape[1])
        plain = image[0, slice(*ysub[k]), slice(*xsub[k])]
        np.testing.assert_array_equal(tile, plain[:: -1 if i % 2 else 1, :: -1 if j % 2 else 1])


def test_flows_of_a_radial_field_survive_augmentation():
    """A network that answers flips with flips gives the same field with and without augmentation."""
    y, x = np.mgrid[:90, :70] - np.array([40, 30])[:, None, None]
    field = np.stack([y, x, y**2 + x**2]).astype(np.float32) / 100
    grid = TileGrid(90, 70, 32, augment=True)
    average = grid.average(3)
    for indices, batch in grid.tiles(field, 4):
        average.add(indices, np.stack([flipped_like(grid, k, t) for k, t in zip(indices, batch, strict=True)]))
    np.testing.assert_allclose(average.result(), field, rtol=1e-6, atol=1e-5)


def test_which_outputs_change_their_sign():
    for nout in (1, 2, 3, 5):
        y = np.ones((2, 2, nout, 4, 4), np.float32)
        signs = transforms.unaugment_tiles(y)[:, :, :, 0, 0]
        flows = {c for c in range(nout) if (signs[..., c] < 0).any()}
        assert flows == ({nout - 3, nout - 2} if nout >= 3 else set())
        assert (y == 1).all()


@QUICK
@given(
    SIZES, SIZES, st.integers(1, 32), st.integers(0, 3), st.none() | st.tuples(st.integers(1, 200), st.integers(1, 200))
)
def test_padding_and_cropping_is_the_image(Ly, Lx, div, extra, least):
    image = RNG.random((2, Ly, Lx), np.float32)
    padded, ysub, xsub = transforms.pad_image_ND(image, div, extra, least)
    np.testing.assert_array_equal(padded[:, ysub][:, :, xsub], image)
    assert padded.sum(dtype=np.float64) == pytest.approx(image.sum(dtype=np.float64))
    for n, length, wanted in zip(padded.shape[1:], (Ly, Lx), least or (0, 0), strict=True):
        assert n >= max(length, wanted - 1)
        if length >= wanted:
            assert (n - 2 * (extra * div // 2)) % div == 0


def test_padding_along_z():
    image = RNG.random((2, 5, 30, 40), np.float32)
    padded, ysub, xsub, zsub = transforms.pad_image_ND(image, zpad=True)
    np.testing.assert_array_equal(padded[:, zsub][:, :, ysub][..., xsub], image)
    with pytest.raises(AxesError):
        transforms.pad_image_ND(image[0], zpad=True)


def test_memory_of_the_running_average_does_not_grow_with_tiles():
    few, many = TileAverage(TileGrid(500, 500, 224), 3), TileAverage(TileGrid(500, 500, 16), 3)
    assert few._sum.nbytes == many._sum.nbytes


def test_taper_is_one_inside_and_small_outside():
    taper = transforms._taper_mask(ly=224, lx=224)
    # numbers made with the original
    np.testing.assert_allclose(
        [taper[0, 112], taper[10, 112], taper[20, 112], taper[112, 112], taper[0, 0]],
        [0.0691381, 0.2198273, 0.5166579, 0.9999899, 0.00478012],
        rtol=1e-5,
    )


def test_what_is_refused():
    for make in (
        lambda: TileGrid(0, 5),
        lambda: TileGrid(5, 5, bsize=0),
        lambda: TileGrid(5, 5, overlap=float("nan")),
        lambda: transforms.make_tiles(np.zeros((5, 5))),
        lambda: transforms.make_tiles(np.zeros((1, 0, 5))),
        lambda: transforms.unaugment_tiles(np.zeros((2, 3, 4, 4))),
        lambda: transforms.average_tiles(np.zeros((2, 3, 4, 4)), [[0, 4]], [[0, 4]], 4, 4),
        lambda: transforms.get_pad_yx(0, 5),
        lambda: transforms.pad_image_ND(np.zeros((5, 5))),
        lambda: next(TileGrid(8, 8).tiles(np.zeros((1, 8, 9)))),
    ):
        with pytest.raises(CellposeError):
            make()
    with pytest.raises(OptionError):
        transforms.get_pad_yx(5, 5, div=0)


def test_a_sum_that_lacks_tiles_is_no_result():
    average = TileGrid(64, 64, 32).average(1)
    with pytest.raises(InputError, match="0 of 9"):
        average.result()
