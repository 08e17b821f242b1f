"""Graphs of transformers, and graphs in 8 bits: what they give, what is kept, what is refused."""

from __future__ import annotations

import importlib.util
import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cellpose import nets, weights
from cellpose.engines import (
    ENGINES,
    TorchEngine,
    _calibration,
    _graph,
    choose_engine,
    open_engine,
    worthwhile_precision,
)
from cellpose.engines._dino_graph import rotations
from cellpose.engines._sam_graph import SamGraph
from cellpose.engines._token_graph import rounded
from cellpose.errors import InputError, MissingExtraError, OptionError
from cellpose.metrics import mask_ious
from cellpose.models import CellposeModel
from small_model import discs, small_file

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
LIBRARIES = {kind.name: kind.library for kind in ENGINES.values() if kind.graphs and "sam_vitl" in kind.graphs.families}


@pytest.fixture(params=LIBRARIES)
def engine(request):
    """Each engine that is installed."""
    if importlib.util.find_spec(LIBRARIES[request.param]) is None:
        pytest.skip(f"needs the extra {request.param} (pip install 'cellpose[{request.param}]')")
    return request.param


@pytest.fixture
def openvino():
    pytest.importorskip("openvino", reason="needs the extra openvino (pip install 'cellpose[openvino]')")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty models folder, in which graphs are kept."""
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path / "models"))
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def lively(net):
    """The network with numbers everywhere: fresh ones have zeros in places."""
    torch.manual_seed(0)
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, 0, 0.3 if parameter.ndim > 1 or "gamma" in name else 0.5)
    return net.eval()


def sam(**options):
    return lively(nets.CPSAM(bsize=64, embed_dim=128, num_heads=2, offsets=(5, 27, 15), nout=4, **options))


def dino():
    return lively(nets.CPDINO("vitb", depth=1))


def file_of(net, folder, name="network"):
    net.save_model(folder / name)
    return weights.resolve(folder / name)


def random_tiles(*shape):
    return np.random.default_rng(0).random(shape, dtype=np.float32)


@pytest.mark.parametrize(("make", "shape"), [(sam, (2, 3, 64, 64)), (dino, (2, 3, 64, 96))])
def test_every_transformer_gives_what_torch_gives(engine, tmp_path, make, shape):
    net = make()
    found = open_engine([engine], file_of(net, tmp_path))
    assert (found.name, found.backbone, found.nout, found.nchan) == (engine, net.backbone, net.nout, 3)
    assert (found.default_bsize, found.style_size) == (net.default_bsize, 256)
    tiles = random_tiles(*shape)
    outputs, styles = found(tiles)
    expected = TorchEngine(net)(tiles)[0]
    # The same sums in another order: float32 with 24 bits, up to a thousand terms a sum.
    np.testing.assert_allclose(outputs, expected, atol=2e-5 * np.abs(expected).max())
    assert not styles.any()
    # A missing channel is one of zeros.
    fewer = tiles[:, :2]
    np.testing.assert_allclose(found(fewer)[0], TorchEngine(net)(fewer)[0], atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("make", [sam, dino])
def test_the_files_are_onnx(tmp_path, make):
    onnx = pytest.importorskip("onnx", reason="needs the extra onnx (pip install 'cellpose[onnx]')")
    pytest.importorskip("onnxruntime", reason="needs the extra onnx (pip install 'cellpose[onnx]')")
    open_engine(["onnx"], file_of(make(), tmp_path))
    (path,) = tmp_path.glob("models/cache/*.onnx")
    onnx.checker.check_model(str(path), full_check=True)
    assert path.stat().st_size < path.with_suffix(".bin").stat().st_size


def test_positions_of_patches_equal_those_of_torch():
    rope = nets.CPDINO("vitb", depth=1).encoder.rope_embed
    sin, cos = (tensor.numpy() for tensor in rope(3, 4))
    found = rotations(rope.periods.numpy(), 3, 4, n_fixed=2)
    assert found["sin"].shape == (14, 64)
    np.testing.assert_array_equal(found["sin"][:2], 0)
    np.testing.assert_array_equal(found["cos"][:2], 1)
    # Angles of some units of float32; the halves exchange with opposite signs.
    np.testing.assert_allclose(found["sin"][2:], sin * np.repeat([-1, 1], 32), atol=1e-5)
    np.testing.assert_allclose(found["cos"][2:], cos, atol=1e-5)


def test_tiles_that_do_not_fit(engine, tmp_path):
    found = open_engine([engine], file_of(sam(), tmp_path))
    with pytest.raises(InputError, match="1 to 3"):
        found(random_tiles(1, 4, 64, 64))
    with pytest.raises(InputError, match="bsize=64"):
        found(random_tiles(1, 3, 72, 64))
    other = open_engine([engine], file_of(dino(), tmp_path, "dino"))
    with pytest.raises(InputError, match="multiples of 8"):
        other(random_tiles(1, 3, 64, 60))


def test_a_model_segments_with_it(engine, tmp_path):
    file = file_of(sam(), tmp_path)
    flows = [
        CellposeModel(pretrained_model=file.path, engine=name).eval(discs(70, 80), compute_masks=False)[1][1]
        for name in ("torch", engine)
    ]
    np.testing.assert_allclose(*flows, atol=1e-4 * np.abs(flows[0]).max())


# ------------------------------------------------------------------------------------------------------------ kept


def test_weights_are_kept_beside_the_graph(engine, tmp_path, folder, monkeypatch):
    file = file_of(sam(), tmp_path)
    first = open_engine([engine], file)
    assert sorted(path.suffix for path in (folder / "cache").iterdir()) == [".bin", ".json", ".onnx"]
    monkeypatch.setattr(weights, "load_state_dict", None)
    monkeypatch.setattr(weights, "load_network", None)
    second = open_engine([engine], weights.resolve(file.path))
    tiles = random_tiles(1, 3, 64, 64)
    np.testing.assert_array_equal(first(tiles)[0], second(tiles)[0])
    del first, second


def test_damaged_weights_are_written_anew(engine, tmp_path, folder):
    file = file_of(dino(), tmp_path)
    before = open_engine([engine], file)(random_tiles(1, 3, 32, 32))[0]
    (data,) = (folder / "cache").glob("*.bin")
    size = data.stat().st_size
    data.unlink()
    data.write_bytes(b"cut off")
    after = open_engine([engine], file)(random_tiles(1, 3, 32, 32))[0]
    np.testing.assert_array_equal(before, after)
    assert data.stat().st_size == size


def test_full_discs_are_no_hindrance(engine, tmp_path, folder, monkeypatch, caplog):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    file = file_of(sam(), tmp_path)
    model = CellposeModel(pretrained_model=file.path, engine=engine)
    assert model.engine == "torch"
    assert "0.0 GB left" in caplog.text
    assert "CELLPOSE_LOCAL_MODELS_PATH" in caplog.text
    assert not list(folder.glob("cache/*.bin"))


# ---------------------------------------------------------------------------------------------------- fewer bits


def test_rounding_keeps_numbers_within_half_a_step():
    values = np.array([[0.5, -1.27, 0.004], [0, 0, 0]], np.float32)
    numbers, scales = rounded(values)
    assert numbers.tolist() == [[50, -127, 0], [0, 0, 0]]
    assert np.abs(numbers * scales - values).max() <= 0.005 + 1e-7


@pytest.mark.parametrize("make", [sam, dino])
def test_transformers_in_8_bits_are_near(engine, tmp_path, folder, make):
    if engine == "openvino" and "ONEDNN_MAX_CPU_ISA" in os.environ:
        pytest.skip("OpenVINO asks the processor which kernels to plan, and the variable takes them away")
    net = make()
    found = open_engine([engine], file_of(net, tmp_path), "int8")
    assert found.precision == "int8"
    side = 64 if make is sam else 96
    tiles = random_tiles(1, 3, side, side)
    expected = TorchEngine(net)(tiles)[0]
    difference = _graph._mean_difference(found(tiles)[0], expected)
    # Each of some ten products rounds both sides to 1 part in 250 of the largest of 128 numbers.
    assert 1e-4 < difference < 0.06
    (data,) = folder.glob("cache/*int8*.bin")
    # The weights of the blocks take a byte each instead of four.
    linear = sum(p.numel() for name, p in net.named_parameters() if "blocks" in name and p.ndim == 2)
    assert data.stat().st_size < 4 * sum(p.numel() for p in net.parameters()) - 2.5 * linear


def test_bits_of_the_graph(tmp_path):
    onnx = pytest.importorskip("onnx", reason="needs the extra onnx (pip install 'cellpose[onnx]')")
    state = {key: value.numpy() for key, value in sam().state_dict().items()}
    family = nets.detect_architecture(state)
    kinds = {
        int8: [n.op_type for n in onnx.load_from_string(SamGraph.of(state, family, int8=int8).to_bytes()).graph.node]
        for int8 in (None, "onnx", "openvino")
    }
    assert kinds[None].count("Gemm") == kinds["onnx"].count("MatMulNBits") == 6 * family.depth
    assert kinds["openvino"].count("DequantizeLinear") == 6 * family.depth


@pytest.mark.parametrize(
    ("limit", "allowed"), [("AVX2", False), ("AVX512_CORE_VNNI", False), ("AVX512_CORE_AMX", True), ("", True)]
)
def test_bfloat16_is_not_asked_of_kernels_that_may_not_use_it(openvino, limit, allowed, monkeypatch):
    """OpenVINO asks the processor for what it has, but its kernels obey the variable: such networks cannot be run."""
    capabilities = SimpleNamespace(get_property=lambda *_: ["BF16"])
    monkeypatch.setattr("openvino.Core", lambda: capabilities)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    monkeypatch.delenv("DNNL_MAX_CPU_ISA", raising=False)
    assert ENGINES["openvino"].graphs.has_bfloat16() == allowed


def test_bfloat16_where_the_processor_has_it(engine, tmp_path, monkeypatch):
    net = sam()
    file = file_of(net, tmp_path)
    exact = replace(ENGINES[engine].graphs, has_bfloat16=lambda: False)
    monkeypatch.setitem(ENGINES, engine, replace(ENGINES[engine], graphs=exact))
    assert open_engine([engine], file, "bfloat16") is None
    monkeypatch.undo()
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path / "models"))
    model = CellposeModel(pretrained_model=file.path, engine=engine, use_bfloat16=True)
    assert model.engine == (engine if ENGINES[engine].graphs.has_bfloat16() else "torch")
    tiles = random_tiles(1, 3, 64, 64)
    found = model._network().engine(tiles)[0]
    # bfloat16 keeps 8 bits.
    assert _graph._mean_difference(found, TorchEngine(net)(tiles)[0]) < 0.05


def test_choice_of_8_bits(monkeypatch):
    monkeypatch.delenv("CELLPOSE_ENGINE", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name == "onnxruntime" or None)
    assert choose_engine(precision="int8") == ("onnx",)
    with pytest.raises(MissingExtraError, match=r"cellpose\[openvino\]"):
        choose_engine("openvino", precision="int8")
    with pytest.raises(OptionError, match="with a GPU"):
        choose_engine(gpu=True, precision="int8")
    with pytest.raises(OptionError, match="engine='torch'"):
        choose_engine("torch", precision="int8")
    with pytest.raises(OptionError, match="choose one of float32, bfloat16, int8"):
        choose_engine(precision="int4")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"cellpose\[openvino\]"):
        choose_engine(precision="int8")


def test_precision_of_a_model(openvino, tmp_path, monkeypatch):
    monkeypatch.setenv("CELLPOSE_ENGINE", "auto")
    monkeypatch.setattr("cellpose.nets._vector_code.has_8_bit_products", lambda: True)
    model = CellposeModel(pretrained_model=small_file(tmp_path), precision="int8")
    assert (model.engine, model.precision) == ("openvino", "int8")
    assert model.net.dtype == torch.float32
    with pytest.raises(OptionError, match="remove one of them"):
        CellposeModel(pretrained_model=small_file(tmp_path), precision="int8", use_bfloat16=True)


@pytest.mark.parametrize(("machine", "there", "taken"), [
    ("x86_64", False, "float32"), ("AMD64", False, "float32"), ("x86_64", True, "int8"), ("arm64", False, "int8"),
])  # fmt: skip
def test_8_bits_are_not_taken_where_they_are_slower(machine, there, taken, monkeypatch, caplog):
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("cellpose.nets._vector_code.has_8_bit_products", lambda: there)
    monkeypatch.delenv("CELLPOSE_ENGINE", raising=False)
    assert worthwhile_precision("int8") == worthwhile_precision("int8", "auto") == taken
    assert caplog.text.count("slower than float32 on this CPU") == (2 if taken == "float32" else 0)
    assert worthwhile_precision("bfloat16") == "bfloat16"
    # GPUs do not compute in 8 bits, which is told elsewhere.
    assert worthwhile_precision("int8", "openvino") == worthwhile_precision("int8", gpu=True) == "int8"
    monkeypatch.setenv("CELLPOSE_ENGINE", "openvino")
    assert worthwhile_precision("int8") == "int8"


def test_a_model_in_8_bits_is_exact_where_that_is_faster(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("cellpose.nets._vector_code.has_8_bit_products", lambda: False)
    monkeypatch.setenv("CELLPOSE_ENGINE", "auto")
    model = CellposeModel(pretrained_model=small_file(tmp_path), precision="int8")
    assert (model.engine, model.precision) == ("native", "float32")
    assert caplog.text.count("slower than float32 on this CPU") == 1


def test_networks_that_have_no_8_bits_are_refused(tmp_path):
    pytest.importorskip("onnxruntime", reason="needs the extra onnx (pip install 'cellpose[onnx]')")
    path = tmp_path / "volume"
    nets.CPnet([2, 4, 8], nout=3, conv_3D=True).save_model(path)
    for each in (path, small_file(tmp_path)):  # ONNX Runtime has no fast convolutions in 8 bits
        with pytest.raises(OptionError, match="precision='int8' is not possible for the network of"):
            CellposeModel(pretrained_model=each, engine="onnx", precision="int8")


def test_calibration_tiles():
    tiles = _calibration.calibration_tiles(3)
    assert tiles.shape == (8, 3, 224, 224)
    assert tiles.dtype == np.float32
    np.testing.assert_array_equal(tiles[:, 0], tiles[:, 2])
    # Percentiles 1 and 99 of the images they were cut from were 0 and 1.
    assert -0.5 <= tiles.min() < 0.05
    assert 0.5 < np.percentile(tiles[:, 0], 99) < 1.5
    assert [bool(tile.any()) for tile in tiles[:, 1]] == [False, True] * 4


def test_rare_large_numbers_are_cut():
    rng = np.random.default_rng(0)
    values = rng.random(10_000).astype(np.float32)
    assert _calibration._best_cut(values) == pytest.approx(1, abs=0.03)
    # Finer steps for a million small numbers are worth more than a single large one.
    few = np.append(np.full(1_000_000, 0.3, np.float32) * rng.random(1_000_000, np.float32), np.float32(1.0))
    assert _calibration._best_cut(few) < 0.5
    assert _calibration._best_cut(np.zeros(5, np.float32)) == 0


@pytest.mark.parametrize("bundled", sorted(weights.bundled_models()))
@pytest.mark.parametrize("name", ["nuclei_dense", "tissue_pink"])
def test_bundled_models_in_8_bits_find_the_same_cells(openvino, name, bundled):
    image = EXAMPLES / f"{name}.png"
    model = {p: CellposeModel(pretrained_model=bundled, engine="openvino", precision=p) for p in ("float32", "int8")}
    reference, found = (model[p].eval(image, channels=[0, 0])[0] for p in ("float32", "int8"))
    assert reference.max() > 10
    # Of 7900 cells of test images 99.5 % agree so; of some fifty here one or two may not.
    assert (mask_ious(reference, found)[0] > 0.9).mean() > 0.95
