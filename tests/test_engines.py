"""Engines: one batch of tiles through a network."""

from __future__ import annotations

import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cellpose import core, weights
from cellpose.engines import Engine, TorchEngine, _loaded, _torch, as_engine, choose_engine
from cellpose.errors import DeviceMemoryError, InputError, OptionError
from cellpose.nets import CPSAM, CPnet, family_named
from tolerances import assert_same_network
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
    assert family_named(engine.backbone).channel_pair
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
    assert_same_network(outputs, y)
    assert_same_network(styles, s)


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
    assert warned == [f"out of memory on cpu with batches of {n} tiles: continuing with {n // 2}" for n in (16, 8, 4)]
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
    assert_same_network(outputs, expected)


# ------------------------------------------------------------------------------------------- compiled, and on GPUs


def compiled_as(monkeypatch, function):
    """Let ``torch.compile`` give what ``function`` makes of a module."""
    monkeypatch.setattr(torch, "compile", lambda module, **options: function(module))


def test_batches_of_compiled_networks_have_one_size(monkeypatch):
    seen = []
    compiled_as(monkeypatch, lambda module: lambda x: (seen.append(len(x)), module(x))[1])
    net = toy_from_formula(2)
    engine = TorchEngine(net, compiled=True)
    assert engine.name == "compile"
    tiles = np.random.default_rng(0).random((5, 2, 16, 16), dtype=np.float32)
    for n in (4, 1, 3):
        for a, b in zip(engine(tiles[:n]), TorchEngine(net)(tiles[:n]), strict=True):
            assert_same_network(a, b)
    assert seen == [4, 4, 4]
    engine(tiles)  # a larger one is compiled again
    assert seen == [4, 4, 4, 5]


def test_networks_that_cannot_be_compiled_are_run_as_they_are(monkeypatch, caplog):
    def fails(module):
        def run(x):
            message = "no such compiler\nmore"
            raise RuntimeError(message)

        return run

    compiled_as(monkeypatch, fails)
    engine = TorchEngine(toy_from_formula(2), compiled=True)
    tiles = np.zeros((1, 2, 16, 16), np.float32)
    np.testing.assert_array_equal(engine(tiles)[0], TorchEngine(toy_from_formula(2))(tiles)[0])
    assert engine.name == "torch"
    assert caplog.text.count("without torch.compile: no such compiler") == 1
    engine(tiles)


def test_compiled_networks_that_do_not_fit_are_run_in_parts(monkeypatch):
    limited = Limited(2)
    compiled_as(monkeypatch, lambda module: module)
    engine = TorchEngine(limited, compiled=True)
    engine(np.zeros((4, 2, 8, 8), np.float32))
    assert engine.name == "compile"
    assert limited.batches == [2, 2]


@pytest.mark.slow
def test_compiled_networks_give_the_same():
    if not any(map(shutil.which, ("g++", "clang++", "c++"))):
        pytest.skip("needs a C++ compiler")
    torch.manual_seed(0)
    net = CPnet([2, 4, 8], nout=3).eval()
    tiles = np.random.default_rng(0).random((2, 2, 32, 32), dtype=np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, about itself
        engine = TorchEngine(net, compiled=True)
        found = engine(tiles)
    assert engine.name == "compile"
    for a, b in zip(found, TorchEngine(net)(tiles), strict=True):
        assert_same_network(a, b)


def test_choice_of_the_compiler(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/g++" if name == "g++" else None)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("CXX", raising=False)
    assert choose_engine("compile") == ("compile", "torch")
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(OptionError, match="engine='compile' needs a C\\+\\+ compiler"):
        choose_engine("compile")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(OptionError, match="needs Triton"):
        choose_engine("compile", gpu=True)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    assert choose_engine("compile", gpu=True) == ("compile", "torch")


class FakeGPU:
    """A device of which tensors think that they are on a GPU; all of it is on the CPU."""

    type = "cuda"


def test_batches_go_to_a_gpu_from_pinned_memory(monkeypatch):
    calls = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: (calls.append("pinned"), self)[1])
    real = torch.Tensor.to

    def to(self, *args, device=None, non_blocking=False, **options):
        if isinstance(device, FakeGPU):
            calls.append(("sent", non_blocking))
            return self
        return real(self, *args, **options) if device is None else real(self, *args, device=device, **options)

    monkeypatch.setattr(torch.Tensor, "to", to)
    x = _torch._on_device(np.ones((1, 2, 4, 4)), FakeGPU(), torch.bfloat16)
    assert calls == ["pinned", ("sent", True)]
    assert x.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("kind", "capable", "expected"), [("sam", True, "bfloat16"), ("sam", False, "float32"), ("cpnet", True, "float32")]
)
def test_usual_precision_on_a_gpu(monkeypatch, tmp_path, kind, capable, expected):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: capable)
    net = CPSAM(bsize=64, embed_dim=32, num_heads=2, offsets=(5,)) if kind == "sam" else CPnet([2, 4], nout=3)
    net.save_model(tmp_path / "net")
    file = weights.resolve(tmp_path / "net")
    assert _loaded._usual_precision(file, torch.device("cuda")) == expected
    assert _loaded._usual_precision(file, torch.device("cpu")) == _loaded._usual_precision(file, None) == "float32"


@pytest.mark.parametrize(
    "make", [lambda: CPSAM(bsize=64, embed_dim=32, num_heads=2, offsets=(5, 27)), lambda: CPnet([2, 8, 16], nout=3)]
)
def test_bfloat16_is_near_float32(make):
    torch.manual_seed(0)
    net = make().eval()
    for name, parameter in net.named_parameters():
        if parameter.requires_grad and "rel_pos" in name:
            torch.nn.init.normal_(parameter, 0, 0.1)
    tiles = np.random.default_rng(0).random((2, net.nchan, 64, 64), dtype=np.float32)
    exact = TorchEngine(net)(tiles)[0]
    net.dtype = torch.bfloat16
    found = TorchEngine(net)(tiles)[0]
    assert found.dtype == np.float32
    # bfloat16 keeps 8 bits: each of some ten layers rounds by up to 0.4 %.
    assert np.sqrt(np.mean((found - exact) ** 2)) < 0.03 * np.sqrt(np.mean(exact**2))


@pytest.mark.slow
def test_benchmark_of_gpus_runs_on_a_cpu():
    script = Path(__file__).resolve().parents[1] / "benchmarks" / "gpu.py"
    words = ["--device", "cpu", "--small", "--batches", "1", "--repeats", "1"]
    done = subprocess.run([sys.executable, str(script), *words], capture_output=True, text=True, check=True)
    assert "{'error'" not in done.stdout
    assert "average precision 1.0000 at 0.5" in done.stdout
    for row in ("cpsam bfloat16", "cpnet float32", "compute_masks", "ours cpu"):
        assert row in done.stdout
