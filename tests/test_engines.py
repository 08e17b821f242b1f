"""Engines: one batch of tiles through a network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from cellpose import core
from cellpose.engines import Engine, TorchEngine, as_engine, is_transformer
from cellpose.errors import DeviceMemoryError, InputError
from cellpose.nets import CPnet
from toy import toy_from_formula


class Limited(nn.Module):
    """Runs out of memory on batches of more than ``most`` tiles."""

    def __init__(self, most):
        super().__init__()
        self.most, self.batches = most, []

    def forward(self, x):
        if len(x) > self.most:
            message = "MPS backend out of memory"
            raise RuntimeError(message)
        self.batches.append(len(x))
        return x[:, [0, 0, 0]] + 1, x.mean(dim=(2, 3))


class NumpyEngine:
    """Another library's engine."""

    nout, style_size, default_bsize, backbone, tile_multiple, device = 3, 2, 64, "cpnet", 1, "cpu"

    def __call__(self, tiles):
        return np.repeat(tiles[:, :1], 3, axis=1), tiles.mean(axis=(2, 3))


def test_module_and_engine():
    module = toy_from_formula(2)
    assert isinstance(as_engine(module), TorchEngine)
    engine = NumpyEngine()
    assert isinstance(engine, Engine)
    assert as_engine(engine) is engine
    with pytest.raises(InputError, match="NoneType"):
        as_engine(None)


def test_network_describes_itself():
    engine = TorchEngine(CPnet([1, 4, 8, 16], nout=1))
    assert (engine.nout, engine.style_size, engine.default_bsize, engine.tile_multiple) == (1, 16, 224, 4)
    assert not is_transformer(engine.backbone)
    assert TorchEngine(toy_from_formula(3), "sam_vitl").default_bsize == 256
    assert TorchEngine(toy_from_formula(3, "dino_vitb")).default_bsize == 384


def test_equals_the_module():
    torch.manual_seed(0)
    net = CPnet([2, 4, 8], nout=3)
    tiles = np.random.default_rng(0).random((3, 2, 16, 24), dtype=np.float32)
    outputs, styles = TorchEngine(net)(tiles)
    assert outputs.dtype == styles.dtype == np.float32
    with torch.no_grad():
        y, s, _ = net.eval()(torch.from_numpy(tiles))
    # Another memory layout, hence another order of sums.
    np.testing.assert_allclose(outputs, y.numpy(), atol=1e-5)
    np.testing.assert_allclose(styles, s.numpy(), atol=1e-5)


def test_training_mode_is_left_and_gradients_are_not_kept():
    net = CPnet([2, 4, 8], nout=3).train()
    mean = net.output[0].running_mean.clone()
    TorchEngine(net)(np.ones((2, 2, 16, 16), np.float32))
    assert torch.equal(net.output[0].running_mean, mean)


@pytest.mark.parametrize(("most", "batches"), [(9, [7]), (4, [3, 3, 1]), (2, [1] * 7)])
def test_batches_that_do_not_fit_are_split(most, batches, caplog):
    module = Limited(most)
    tiles = np.random.default_rng(0).random((7, 2, 8, 8), dtype=np.float32)
    engine = TorchEngine(module)
    outputs, styles = engine(tiles)
    assert module.batches == batches
    np.testing.assert_array_equal(outputs, tiles[:, [0, 0, 0]] + 1)
    # Sums in another order.
    np.testing.assert_allclose(styles, tiles.mean(axis=(2, 3)), rtol=1e-6)
    assert ("out of memory" in caplog.text) == (most < 7)
    # What fits is remembered.
    module.batches.clear()
    engine(tiles)
    assert module.batches == batches


def test_one_tile_that_does_not_fit():
    with pytest.raises(DeviceMemoryError, match="8 x 8"):
        TorchEngine(Limited(0))(np.zeros((2, 1, 8, 8), np.float32))


class Short(NumpyEngine):
    """An engine of another library that cannot hold more than three tiles."""

    def __init__(self, error):
        self.error, self.batches = error, []

    def __call__(self, tiles):
        if len(tiles) > 3:
            raise self.error
        self.batches.append(len(tiles))
        return super().__call__(tiles)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 3 GiB"),
        RuntimeError("Failed to allocate memory for requested buffer of size 9"),
        RuntimeError("std::bad_alloc"),
        torch.cuda.OutOfMemoryError("CUDA out of memory"),
    ],
)
def test_engines_of_other_libraries_get_smaller_batches(error, caplog):
    engine = Short(error)
    image = np.random.default_rng(0).random((1, 200, 200, 2), dtype=np.float32)
    outputs, _ = core.run_net(engine, image, batch_size=16)
    assert set(engine.batches) <= {1, 2}
    warned = [record.getMessage() for record in caplog.records]
    # once from 16 to 8, once from 8 to 4, once from 4 to 2: what fits is remembered for the rest of the image
    assert warned == [f"out of memory on cpu with batches of {n} tiles: going on with {n // 2}" for n in (16, 8, 4)]
    expected, _ = core.run_net(NumpyEngine(), image, batch_size=16)
    np.testing.assert_array_equal(outputs, expected)


def test_other_errors_are_not_tried_again(caplog):
    engine = Short(RuntimeError("the graph has no such input"))
    with pytest.raises(RuntimeError, match="no such input"):
        core.run_net(engine, np.zeros((1, 200, 200, 2), np.float32), batch_size=16)
    assert not caplog.records
    with pytest.raises(DeviceMemoryError, match="64 x 64"):
        core.run_net(TorchEngine(Limited(0)), np.zeros((1, 64, 64, 2), np.float32), bsize=64)


def test_wrong_number_of_channels():
    with pytest.raises(InputError, match="5 channels"):
        TorchEngine(CPnet([2, 4, 8], nout=3))(np.zeros((1, 5, 16, 16), np.float32))


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="weight of size"):
        TorchEngine(nn.Conv2d(2, 3, 1))(np.zeros((1, 5, 16, 16), np.float32))


def test_output_of_another_size():
    with pytest.raises(InputError, match=r"\(1, 2, 4, 4\)"):
        TorchEngine(nn.AvgPool2d(2))(np.zeros((1, 2, 8, 8), np.float32))


def test_module_without_style():
    outputs, styles = TorchEngine(nn.Identity())(np.ones((2, 3, 8, 8), np.float32))
    assert outputs.shape == (2, 3, 8, 8)
    assert not styles.any()


def test_batches_of_a_unet_are_cut_small_on_a_processor():
    """One tile after the other is fastest there; what comes out is the same."""
    torch.manual_seed(0)
    net, sizes = CPnet([2, 4, 8], nout=3), []
    net.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    tiles = np.random.default_rng(0).random((5, 2, 16, 16), dtype=np.float32)
    outputs, _ = TorchEngine(net)(tiles)
    assert max(sizes) <= max(1, torch.get_num_threads())
    assert sum(sizes) == 5
    with torch.no_grad():
        expected = net(torch.from_numpy(tiles))[0].numpy()
    np.testing.assert_allclose(outputs, expected, atol=1e-5)  # sums in another order
