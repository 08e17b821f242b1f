"""Networks over whole planes and volumes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from cellpose import core, transforms
from cellpose.engines import as_engine
from cellpose.errors import InputError, OptionError
from cellpose.nets import CPnet
from cellpose.options import Tiling
from toy import toy_from_formula


class Local(nn.Module):
    """Each output pixel depends on its input pixel alone, so that tiles must join to the whole."""

    nout = 3

    def __init__(self):
        super().__init__()
        self.sizes = []

    def forward(self, x):
        self.sizes.append(tuple(x.shape))
        y = torch.cat((x[:, :1], 2 * x[:, :1], 3 * x[:, :1]), dim=1)
        return y, x.mean(dim=(2, 3)) + 1


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (230, 1), (17, 40), (250, 330)])
@pytest.mark.parametrize("bsize", [0, 32, 224])
def test_tiles_join_to_the_whole(size, bsize):
    stack = np.random.default_rng(0).random((2, *size, 2))
    outputs, styles = core.run_net(Local(), stack, bsize=bsize)
    assert outputs.shape == (2, *size, 3)
    assert styles.shape == (2, 2)
    # Weights are divided by their sum in float32.
    np.testing.assert_allclose(outputs, stack[..., :1] * [1, 2, 3], atol=1e-6)


@pytest.mark.parametrize(
    ("size", "shape", "n_tiles"),
    [
        ((256, 256), (272, 272), 1),
        ((432, 432), (448, 448), 1),
        ((433, 433), (256, 256), 4),
        ((520, 696), (304, 384), 4),
        ((100, 1024), (128, 384), 3),
        ((1024, 1024), (384, 384), 9),
    ],
)
def test_tiles_are_few_where_asked_for(size, shape, n_tiles):
    module = Local()
    stack = np.random.default_rng(0).random((1, *size, 2))
    outputs, _ = core.run_net(module, stack, bsize=0)
    assert {s[2:] for s in module.sizes} == {shape}
    assert sum(s[0] for s in module.sizes) == n_tiles
    np.testing.assert_allclose(outputs, stack[..., :1] * [1, 2, 3], atol=1e-6)


@pytest.mark.parametrize("overlap", [0, 0.1, 0.25, 0.5])
@pytest.mark.parametrize("most", [448, 640])
def test_few_tiles_cover_an_image_and_share_as_many_pixels_as_small_ones(overlap, most):
    for n in range(16, 3000, 16):
        grid = transforms.TileGrid(n, 16, 224, overlap, most=most)
        side, starts = grid.tile_shape[0], grid.ystarts
        assert side <= min(most, n)
        assert side % 16 == 0
        assert (starts[0], starts[-1] + side) == (0, n)
        small = transforms.TileGrid(n, 16, 224, overlap)
        assert len(grid) * side <= len(small) * small.tile_shape[0]
        if len(grid) > 1:
            # among the small tiles of a long row; starts are whole numbers, so one pixel may be missing
            shared = 224 * (1 - 1 / (1 + 2 * max(0.05, overlap)))
            assert min(side - np.diff(starts)) >= shared - 1


def test_few_tiles_are_large_ones():
    with pytest.raises(OptionError, match=r"most=447.*at least 448"):
        transforms.TileGrid(1000, 1000, 224, most=447)


@pytest.mark.parametrize("what", ["deep", "compiled", "other tiles"])
def test_networks_that_take_other_tiles_only_have_those_of_their_own(what):
    net = CPnet([2, 4, 8, 8, 8, 8, 8] if what == "deep" else [2, 4, 8], nout=3)
    engine = as_engine(net)
    if what == "compiled":
        engine.name = "compile"
    if what == "other tiles":
        engine.default_bsize = 256
    stack = np.zeros((1, 512, 640, 2), np.float32)
    free, own = (core.padded_grid(engine, stack.shape[1:3], Tiling(bsize=bsize))[1] for bsize in (0, None))
    assert free == own


def test_tiles_of_transformers_have_one_size():
    module = toy_from_formula(3, "dino_vitb")
    whole, given = (core.run_net(module, np.ones((1, 40, 50, 3)), bsize=bsize)[0] for bsize in (0, None))
    np.testing.assert_array_equal(whole, given)


@pytest.mark.parametrize("size", [(70, 90), (432, 200), (440, 500)])
def test_augmented_tiles_of_free_size_turn_flows_back(size):
    stack = np.random.default_rng(0).random((1, *size, 2)).astype(np.float32)
    plain, turned = (core.run_net(Local(), stack, bsize=0, augment=augment)[0] for augment in (False, True))
    np.testing.assert_allclose(turned[..., 2], plain[..., 2], atol=1e-6)
    with pytest.raises(OptionError, match="exclude each other"):
        transforms.TileGrid(100, 100, augment=True, most=448)


def test_augmented_tiles_turn_flows_back():
    stack = np.random.default_rng(0).random((1, 70, 90, 2)).astype(np.float32)
    plain, _ = core.run_net(Local(), stack, bsize=64)
    turned, _ = core.run_net(Local(), stack, bsize=64, augment=True)
    # A probability is the same in a flipped tile; a flow that does not turn with the tile is not, and averages out.
    np.testing.assert_allclose(turned[..., 2], plain[..., 2], atol=1e-6)
    assert np.abs(turned[..., :2]).mean() < 0.5 * np.abs(plain[..., :2]).mean()


def test_batches_hold_no_more_tiles_than_asked_and_span_planes():
    module = Local()
    core.run_net(module, np.zeros((5, 40, 40, 1)), bsize=64, batch_size=3)
    assert [s[0] for s in module.sizes] == [3, 2]
    module = Local()
    core.run_net(module, np.zeros((1, 200, 200, 1)), bsize=64, batch_size=4)
    assert max(s[0] for s in module.sizes) == 4
    assert {s[2:] for s in module.sizes} == {(64, 64)}


@pytest.mark.parametrize(
    ("threads", "bsize", "batches"), [(1, 0, [2] * 4 + [1]), (4, 0, [4, 4, 1]), (1, 224, [8] * 4 + [4])]
)
def test_large_tiles_come_in_smaller_batches(monkeypatch, threads, bsize, batches):
    """As many pixels as usual, or a tile for each thread: whoever cancels waits for the end of a batch."""
    monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
    module = Local()
    core.run_net(module, np.zeros((1, 1024, 1024, 1)), bsize=bsize)
    assert [s[0] for s in module.sizes] == batches


@pytest.mark.parametrize("overlap", [-1, 0, 0.7, 5])
def test_overlap_out_of_range_is_brought_into_it(overlap):
    stack = np.random.default_rng(0).random((1, 90, 90, 1))
    outputs, _ = core.run_net(Local(), stack, bsize=32, tile_overlap=overlap)
    near, _ = core.run_net(Local(), stack, bsize=32, tile_overlap=min(0.5, max(0.05, overlap)))
    np.testing.assert_array_equal(outputs, near)


def test_small_images_fill_the_tile_of_a_transformer_and_not_that_of_a_unet():
    for backbone, side in ((None, 48), ("sam_vitl", 256), ("dino_vitb", 384)):
        module = Local()
        if backbone:
            module.backbone = backbone
        core.run_net(module, np.zeros((1, 30, 20, 1)))
        assert module.sizes[0][2] == side


def test_style_is_a_direction_and_zero_for_transformers():
    _, styles = core.run_net(Local(), np.random.default_rng(0).random((3, 30, 40, 2)))
    np.testing.assert_allclose((styles**2).sum(axis=1), 1, rtol=1e-6)
    module = Local()
    module.backbone = "sam_vitl"
    _, styles = core.run_net(module, np.ones((1, 30, 40, 2)))
    assert not styles.any()


def test_style_without_features_is_zero():
    _, styles = core.run_net(toy_from_formula(2), np.zeros((1, 20, 20, 2)))
    assert not styles.any()


def test_input_is_not_changed_and_any_dtype_will_do():
    whole = (np.random.default_rng(0).random((1, 50, 60, 2)) * 200).astype(np.uint8)
    wanted, _ = core.run_net(Local(), whole.astype(np.float32), rsz=0.5)
    for dtype in (np.uint8, np.uint16, np.float64, ">f4", np.float16):
        stack = whole.astype(dtype)
        stack.setflags(write=False)
        outputs, _ = core.run_net(Local(), stack, rsz=0.5)
        np.testing.assert_array_equal(outputs, wanted)


def test_sizes_are_cut_off_to_whole_pixels_and_at_least_one():
    assert core.run_net(Local(), np.zeros((1, 33, 3, 1)), rsz=0.3)[0].shape[1:3] == (9, 1)
    assert core.run_net(Local(), np.zeros((1, 30, 20, 1)), rsz=[0.5, 2])[0].shape[1:3] == (15, 40)


def test_refusals():
    for shape in ((20, 30), (0, 20, 30, 2), (1, 20, 0, 2)):
        with pytest.raises(InputError):
            core.run_net(Local(), np.zeros(shape))
    with pytest.raises(OptionError, match="multiple of 8"):
        core.run_net(CPnet([2, 4, 4, 4, 4], nout=3), np.zeros((1, 40, 40, 2)), bsize=36)
    with pytest.raises(OptionError, match="batch_size"):
        core.run_net(Local(), np.zeros((1, 40, 40, 2)), batch_size=0)


def test_network_without_flows_cannot_run_a_volume():
    with pytest.raises(InputError, match="outputs"):
        core.run_3D(nn.Identity(), np.zeros((4, 20, 20, 1)))


def test_volume_is_the_sum_of_three_directions():
    volume = np.random.default_rng(0).random((5, 40, 33, 1)).astype(np.float32)
    flows, styles = core.run_3D(Local(), volume, bsize=32)
    assert flows.shape == (5, 40, 33, 4)
    assert styles.shape == (33, 1)
    # (y, x), (z, x) and (z, y): each component is once or twice the first axis of a plane, which gives x, else 2 x.
    np.testing.assert_allclose(flows, volume * [2, 3, 4, 9], atol=1e-5)


def test_volume_tiles_have_the_side_that_was_asked_for():
    module = Local()
    core.run_3D(module, np.zeros((4, 100, 100, 1)), bsize=64)
    assert {s[3] for s in module.sizes} == {64}


def test_orthogonal_network_runs_planes_that_contain_z():
    main, ortho = Local(), Local()
    core.run_3D(main, np.zeros((4, 20, 30, 1)), net_ortho=ortho)
    assert sum(s[0] for s in main.sizes) == 4
    assert sum(s[0] for s in ortho.sizes) == 20 + 30


class Bar:
    """A progress bar."""

    def __init__(self, stop_at=101):
        self.values, self.stop_at = [], stop_at

    def setValue(self, value):
        self.values.append(value)
        if value >= self.stop_at:
            raise KeyboardInterrupt


def test_progress_of_volumes_rises_to_the_end():
    bar = Bar()
    core.run_3D(Local(), np.zeros((4, 20, 30, 1)), progress=bar, batch_size=2)
    assert bar.values == sorted(bar.values)
    assert bar.values[-1] == 100
    assert len(bar.values) > 3


def test_progress_may_stop_the_run():
    module = Local()
    with pytest.raises(KeyboardInterrupt):
        core.run_3D(module, np.zeros((4, 20, 30, 1)), progress=Bar(stop_at=30), batch_size=1)
    assert len(module.sizes) < 4 + 20 + 30


def test_memory_does_not_grow_with_the_number_of_tiles():
    import tracemalloc

    engine = as_engine(Local())
    image = np.zeros((1, 1500, 1500, 1), np.float32)
    tracemalloc.start()
    for _ in core.run_planes(engine, image, Tiling(batch_size=2, bsize=64)):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The padded plane and three channels of output are 4 times the image; all tiles with their outputs at once would
    # be another 1.44 * 4 times.
    assert peak < 5 * image.nbytes


def test_several_tiles_on_one_forward_call():
    y, style = core._forward(Local(), np.ones((2, 1, 16, 16), np.float32))
    assert y.shape == (2, 3, 16, 16)
    assert style.shape == (2, 1)
