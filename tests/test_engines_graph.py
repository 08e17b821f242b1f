"""The engines that run a graph: they give what torch gives, without torch, and step aside where they cannot."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cellpose import weights
from cellpose.engines import ENGINES, TorchEngine, _graph, _native, _sessions, choose_engine, open_engine
from cellpose.engines._cpnet_graph import cpnet_graph
from cellpose.engines._native_graph import NativeGraph, native_graph
from cellpose.engines._onnx_file import Graph
from cellpose.errors import InputError, MissingExtraError, OptionError
from cellpose.models import CellposeModel
from cellpose.nets import Architecture, CPnet
from small_model import discs, small_file
from tolerances import assert_same_network
from toy import toy_from_formula

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
LIBRARIES = {kind.name: kind.library or "numba" for kind in ENGINES.values() if kind.graphs}


@pytest.fixture(params=LIBRARIES)
def engine(request):
    """Each engine that is installed."""
    if importlib.util.find_spec(LIBRARIES[request.param]) is None:
        pytest.skip(f"needs the extra {request.param} (pip install 'cellpose[{request.param}]')")
    return request.param


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty models folder, in which graphs are kept."""
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path / "models"))
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def lively(net):
    """The network with batch norms as after training: with means, scales and shifts that differ."""
    torch.manual_seed(1)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.5)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.5)
    return net.eval()


def lively_file(folder, name="lively", **options):
    path = folder / name
    lively(CPnet([2, 4, 8, 16], nout=3, **options)).save_model(path)
    return weights.resolve(path)


def graph_of(engine, net, nbase, nout, *, sz=3, **options):
    state = {key: value.numpy() for key, value in net.state_dict().items()}
    if engine == "native":  # a file does not tell how its network pools
        options.pop("max_pool", None)
        return native_graph(state, Architecture("cpnet", nbase[0], nout, tuple(nbase), sz, **options))
    return cpnet_graph(state, nbase, nout, **options)


def test_a_native_graph_comes_back_from_its_file():
    graph = graph_of("native", lively(CPnet([2, 4, 8], nout=3)), [2, 4, 8], 3)
    read = NativeGraph.of(graph.to_bytes())
    assert (read.nbase, read.nout, read.style_on) == ((2, 4, 8), 3, True)
    assert read.arrays.keys() == graph.arrays.keys()
    for name, array in graph.arrays.items():
        np.testing.assert_array_equal(read.arrays[name], array)


@pytest.mark.parametrize(
    ("nbase", "nout", "options"),
    [
        ([2, 4, 8, 16], 3, {}),
        ([2, 4], 3, {}),
        ([1, 4, 8], 1, {}),
        ([3, 4, 8, 16, 16, 20], 4, {}),
        ([2, 4, 8], 3, {"residual_on": False}),
        ([2, 4, 8], 3, {"concatenation": True}),
        ([2, 4, 8], 3, {"style_on": False}),
        ([2, 4, 8], 3, {"residual_on": False, "concatenation": True, "style_on": False}),
        ([2, 4, 8], 3, {"sz": 5}),
        ([2, 4, 8], 3, {"sz": 1}),
        ([2, 4, 8], 3, {"max_pool": False}),
        ([2, 40, 56], 20, {}),
    ],
)
def test_every_network_gives_what_torch_gives(engine, nbase, nout, options):
    net = lively(CPnet(nbase, nout=nout, **options))
    graph = graph_of(engine, net, nbase, nout, **options)
    if engine == "native" and options.keys() & {"residual_on", "concatenation", "sz"}:
        assert graph is None
        return
    if engine == "native" and "max_pool" in options:
        pytest.skip("the kernels pool by the largest, as every file is taken to")
    session = ENGINES[engine].graphs.open(graph)
    rng = np.random.default_rng(0)
    for shape in ((1, 32, 48), (2, 48, 16)):
        tiles = rng.normal(size=(shape[0], nbase[0], *shape[1:])).astype(np.float32)
        outputs, styles = session(tiles)
        y, s = TorchEngine(net)(tiles)
        assert_same_network(outputs, y)
        assert_same_network(styles, s)


def test_an_image_without_features_has_no_style(engine):
    net = CPnet([2, 4, 8], nout=3).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    graph = graph_of(engine, net, [2, 4, 8], 3)
    outputs, styles = ENGINES[engine].graphs.open(graph)(np.zeros((1, 2, 8, 8), "f4"))
    assert not outputs.any()
    assert not styles.any()


def test_the_file_is_onnx():
    onnx = pytest.importorskip("onnx", reason="needs the extra onnx (pip install 'cellpose[onnx]')")
    net = CPnet([2, 4, 8], nout=3)
    state = {key: value.numpy() for key, value in net.state_dict().items()}
    model = onnx.load_from_string(cpnet_graph(state, [2, 4, 8], 3, metadata={"family": "cpnet"}))
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in model.graph.output] == ["outputs", "styles"]
    assert {p.key: p.value for p in model.metadata_props} == {"family": "cpnet"}


def test_numbers_of_any_size_are_written():
    onnx = pytest.importorskip("onnx", reason="needs the extra onnx (pip install 'cellpose[onnx]')")
    graph = Graph()
    values = np.array([0, 1, 127, 128, 2**40, -1])
    graph.output("y", graph.node("Constant", axis=-3, alpha=0.5, mode="a", many=[300, -1]), ["n", 1000])
    graph.constant(values)
    found = onnx.load_from_string(graph.to_bytes())
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(found.graph.initializer[0]), values)
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in found.graph.node[0].attribute}
    assert attributes == {"axis": -3, "alpha": 0.5, "mode": b"a", "many": [300, -1]}


def test_tiles_that_do_not_fit(engine, tmp_path):
    found = open_engine([engine], lively_file(tmp_path))
    with pytest.raises(InputError, match="3 channels"):
        found(np.zeros((1, 3, 16, 16), np.float32))
    with pytest.raises(InputError, match="multiples of 4"):
        found(np.zeros((1, 2, 16, 18), np.float32))


def test_threads_may_share_an_engine(engine, tmp_path):
    found = open_engine([engine], lively_file(tmp_path))
    tiles = np.random.default_rng(0).random((4, 2, 64, 64), dtype=np.float32)
    expected, results = found(tiles)[0], {}

    def run(k):
        results[k] = [found(tiles[k : k + 1])[0][0] for _ in range(10)]

    workers = [threading.Thread(target=run, args=(k,)) for k in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for k, outputs in results.items():
        for output in outputs:
            np.testing.assert_array_equal(output, expected[k])


@pytest.mark.parametrize("count", [1, 3])
def test_number_of_threads_changes_nothing(engine, tmp_path, monkeypatch, count):
    tiles = np.random.default_rng(0).random((5, 2, 32, 32), dtype=np.float32)
    file = lively_file(tmp_path)
    expected = TorchEngine(weights.load_network(file))(tiles)
    monkeypatch.setattr(_sessions, "threads", lambda: count)
    found = open_engine([engine], file)
    assert found._workers == count
    for a, b in zip(found(tiles), expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)  # sums of float32 in another order


def test_threads_as_the_environment_says(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert _sessions.threads() == 3
    for text in ("", "0", "many"):
        monkeypatch.setenv("OMP_NUM_THREADS", text)
        assert _sessions.threads() >= 1


# ------------------------------------------------------------------------------------------------------- the choice


def test_choice(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name == "onnxruntime" or None)
    monkeypatch.setattr("platform.machine", lambda: "AMD64")
    monkeypatch.delenv("CELLPOSE_ENGINE")
    assert choose_engine() == choose_engine("auto") == ("native", "onnx", "torch")
    assert choose_engine("native") == ("native", "torch")
    with monkeypatch.context() as patched:
        patched.setattr("platform.machine", lambda: "arm64")
        assert choose_engine("auto") == ("onnx", "native", "torch")
    assert choose_engine("auto", gpu=True) == ("torch",)
    monkeypatch.setenv("CELLPOSE_ENGINE", "torch")
    assert choose_engine() == ("torch",)
    assert choose_engine("onnx") == ("onnx", "torch")
    monkeypatch.setenv("CELLPOSE_ENGINE", "onnx")
    assert choose_engine(gpu=True) == ("torch",)
    for name in ("onnx", "native"):
        with pytest.raises(OptionError, match="gpu=False"):
            choose_engine(name, gpu=True)
    with pytest.raises(MissingExtraError, match=r"cellpose\[openvino\]"):
        choose_engine("openvino")
    with pytest.raises(OptionError, match="engine='tensorflow' is not allowed; choose one of auto, torch"):
        choose_engine("tensorflow")
    monkeypatch.setenv("CELLPOSE_ENGINE", "fast")
    with pytest.raises(OptionError, match="CELLPOSE_ENGINE='fast'"):
        choose_engine()


def test_a_model_says_what_runs_it(engine, tmp_path, monkeypatch):
    path = small_file(tmp_path)
    assert CellposeModel(pretrained_model=path).engine == "torch"
    assert CellposeModel(pretrained_model=path, engine=engine).engine == engine
    monkeypatch.setenv("CELLPOSE_ENGINE", engine)
    model = CellposeModel(pretrained_model=path)
    assert model.engine == engine
    assert (model.nchan, model.nclasses, model.nbase, model.backbone) == (2, 3, [2, 4, 8], "cpnet")
    assert (model.diam_mean, model.diam_labels) == (30, 30)
    half = CellposeModel(pretrained_model=path, use_bfloat16=True)
    assert half.precision == "bfloat16"
    assert half.engine == (engine if ENGINES[engine].graphs.has_bfloat16() else "torch")


def test_other_networks_are_run_by_torch(engine, tmp_path):
    path = tmp_path / "volume"
    CPnet([2, 4, 8], nout=3, conv_3D=True).save_model(path)
    assert open_engine([engine], weights.resolve(path)) is None
    model = CellposeModel(pretrained_model=path, engine=engine)
    assert model.engine == "torch"


# ---------------------------------------------------------------------------------------------- kept and compared


def test_graphs_of_torch_files_are_kept(engine, tmp_path, folder, monkeypatch):
    file = lively_file(tmp_path, diam_mean=21.0)
    first = open_engine([engine], file)
    suffix = ".npz" if engine == "native" else ".onnx"
    assert sorted(path.suffix for path in (folder / "cache").iterdir()) == [".json", suffix]
    monkeypatch.setattr(weights, "load_state_dict", None)
    monkeypatch.setattr(weights, "load_network", None)
    second = open_engine([engine], weights.resolve(file.path))
    tiles = np.random.default_rng(0).random((1, 2, 32, 32), dtype=np.float32)
    np.testing.assert_array_equal(first(tiles)[0], second(tiles)[0])
    assert (second.diam_mean, second.nbase) == (21, [2, 4, 8, 16])


@pytest.mark.parametrize("damage", ["", "{}", "[1]", '{"family": {"no": 1}}'])
def test_damaged_records_are_made_anew(engine, tmp_path, folder, damage):
    file = lively_file(tmp_path)
    open_engine([engine], file)
    (record,) = (folder / "cache").glob("*.json")
    good = record.read_text()
    record.write_text(damage)
    assert open_engine([engine], file) is not None
    assert json.loads(record.read_text()) == json.loads(good)


def test_folders_that_cannot_be_written_to_are_no_hindrance(engine, tmp_path, monkeypatch):
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path / "file" / "models"))
    (tmp_path / "file").write_text("")
    assert open_engine([engine], lively_file(tmp_path)) is not None


@pytest.mark.parametrize("wrong", ["scaled", "nan", "broken"])
def test_an_engine_that_differs_is_not_used(engine, tmp_path, folder, monkeypatch, caplog, wrong):
    real = ENGINES[engine]

    def distorted(graph, **options):
        if wrong == "broken":
            message = "no such instruction"
            raise RuntimeError(message)
        session = real.graphs.open(graph, **options)
        factor = np.float32(1.01 if wrong == "scaled" else np.nan)
        return lambda tiles: tuple(part * factor for part in session(tiles))

    monkeypatch.setitem(ENGINES, engine, replace(real, graphs=replace(real.graphs, open=distorted)))
    model = CellposeModel(pretrained_model=small_file(tmp_path), engine=engine)
    assert model.engine == "torch"
    assert ("no such instruction" if wrong == "broken" else "differs from torch") in caplog.text
    assert not list(folder.glob("cache/*"))
    model.eval(discs(64, 64))


# -------------------------------------------------------------------------------------- what scripts do to networks


def test_changed_networks_are_run_by_torch(engine, tmp_path):
    path, image = small_file(tmp_path), discs(64, 64)

    def cellprob(model):
        return model.eval(image, compute_masks=False)[1][2]

    model = CellposeModel(pretrained_model=path, engine=engine)
    model.net.eval()
    before = cellprob(model)
    assert model.engine == engine
    with torch.no_grad():
        model.net.output[2].bias += 5
    np.testing.assert_allclose(cellprob(model), before + 5, atol=1e-4)  # sums of float32 in another order
    assert model.engine == "torch"

    model = CellposeModel(pretrained_model=path, engine=engine)
    seen = []
    model.net.output.register_forward_hook(lambda *_: seen.append(1))
    cellprob(model)
    assert seen

    model = CellposeModel(pretrained_model=path, engine=engine)
    model.net = toy_from_formula(2)
    np.testing.assert_array_equal(cellprob(model), cellprob(_toy(path)))


def _toy(path):
    model = CellposeModel(pretrained_model=path, engine="torch")
    model.net = toy_from_formula(2)
    return model


def test_two_networks_for_volumes(engine, tmp_path):
    first, second = small_file(tmp_path, "a"), lively_file(tmp_path).path
    volume = discs(12, 40, 44)
    flows = [
        CellposeModel(pretrained_model=first, pretrained_model_ortho=second, engine=name).eval(
            volume, do_3D=True, z_axis=0, compute_masks=False
        )[1][1]
        for name in ("torch", engine)
    ]
    np.testing.assert_allclose(*flows, atol=1e-4)  # sums of float32 in another order


# ------------------------------------------------------------------------------------------------ the bundled model


def agreement(a, b):
    """The part of the cells of ``a`` that are in ``b`` with an overlap of more than 0.9."""
    from cellpose.metrics import mask_ious

    return float((mask_ious(a, b)[0] > 0.9).mean())


@pytest.mark.parametrize("name", ["nuclei_dense", "phase_cells_1", "tissue_pink"])
def test_bundled_model_finds_the_same_cells(engine, name):
    image = EXAMPLES / f"{name}.png"
    reference, found = (
        CellposeModel(pretrained_model=weights.BUNDLED, engine=e).eval(image) for e in ("torch", engine)
    )
    # Flows are 5 times unit vectors; all that differs is the order of sums.
    assert np.abs(reference[1][1] - found[1][1]).max() < 1e-3
    assert np.abs(reference[1][2] - found[1][2]).max() < 1e-3
    assert reference[0].max() > 10
    # A pixel may cross a threshold; cells as such must not.
    assert agreement(reference[0], found[0]) >= 0.995
    assert agreement(found[0], reference[0]) >= 0.995


def test_reference_of_the_bundled_model_is_current():
    """Where this fails the weights were replaced: run ``cellpose.engines.write_reference`` on their file."""
    file = weights.resolve(weights.BUNDLED)
    expected = _graph._read_reference(file)
    assert expected is not None
    outputs, styles = TorchEngine(weights.load_network(file))(_graph._tile(2))
    assert_same_network(outputs, expected[0])
    assert_same_network(styles, expected[1])


def test_bundled_model_without_torch(engine, folder):
    code = f"""
import sys
import numpy as np
from cellpose.models import CellposeModel
model = CellposeModel(pretrained_model="nuclei-cells", engine={engine!r})
masks, flows, styles = model.eval(np.random.default_rng(0).random((100, 120)))
assert model.engine == {engine!r}
assert masks.shape == (100, 120)
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert not list(folder.iterdir())


def test_command_line_without_torch(engine, tmp_path):
    import shutil

    (tmp_path / "in").mkdir()
    shutil.copy(EXAMPLES / "nuclei_dense.png", tmp_path / "in")
    words = ["--dir", str(tmp_path / "in"), "--pretrained_model", "nuclei-cells", "--engine", engine, "--verbose"]
    code = f"""
import sys
from cellpose.__main__ import main
assert main({words!r}) == 0
assert "torch" not in sys.modules
"""
    environment = {**os.environ, "HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
    assert f"network run by {engine}" in done.stdout + done.stderr


def test_memory_of_tiles_does_not_grow_with_their_sizes(tmp_path):
    found = open_engine(["native"], lively_file(tmp_path))
    for side in range(16, 160, 16):
        found(np.zeros((1, 2, side, side), np.float32))
    (kept,) = found._session._idle
    assert kept.shapes[0] == (144, 144)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_tiles_run_together_give_what_each_gives_alone(tmp_path, monkeypatch, workers):
    found = open_engine(["native"], lively_file(tmp_path))
    monkeypatch.setattr(found, "_workers", workers)
    monkeypatch.setattr(found, "_threads", workers)
    tiles = np.random.default_rng(0).normal(size=(11, 2, 32, 48)).astype(np.float32)
    outputs, styles = found(tiles)
    for i in range(len(tiles)):
        alone = found(tiles[i : i + 1])
        np.testing.assert_array_equal(outputs[i], alone[0][0])
        np.testing.assert_array_equal(styles[i], alone[1][0])
    assert len(found._session._idle) <= workers
    assert all(len(features._tiles) <= found._session.together for features in found._session._idle)


@pytest.mark.parametrize("threads", [2, 3, 40])
@pytest.mark.parametrize("shape", [(16, 16), (48, 208), (336, 176)])
@pytest.mark.parametrize("nbase", [[2, 4, 8, 16], [1, 16, 64]])
def test_threads_share_a_tile_with_the_same_numbers(tmp_path, monkeypatch, nbase, shape, threads):
    monkeypatch.setattr(_native, "_WORTH_SHARING", 0)
    torch.manual_seed(0)
    lively(CPnet(nbase, nout=3)).save_model(tmp_path / "net")
    session = open_engine(["native"], weights.resolve(tmp_path / "net"))._session
    tiles = np.random.default_rng(0).normal(size=(3, nbase[0], *shape)).astype(np.float32)
    for together, alone in zip(session(tiles, threads=threads), session(tiles), strict=True):
        np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize(
    ("n", "workers", "threads", "rounds"),
    [
        (1, 8, 8, [(1, 8)]),
        (3, 8, 8, [(3, 2)]),
        (5, 8, 8, [(5, 1)]),
        (8, 8, 8, [(8, 1)]),
        (9, 8, 8, [(8, 1), (1, 8)]),
        (9, 4, 4, [(8, 1), (1, 4)]),
        (13, 8, 8, [(13, 1)]),
        (3, 1, 1, [(3, 1)]),
        (12, 8, 16, [(8, 2), (4, 4)]),
    ],
)
def test_tiles_that_are_left_share_the_threads(tmp_path, n, workers, threads, rounds):
    found = open_engine(["native"], lively_file(tmp_path))
    done = list(found._rounds(n, workers, threads))
    assert [(parts[-1].stop - parts[0].start, each) for parts, each in done] == rounds
    assert sorted(k for parts, _ in done for part in parts for k in range(part.start, part.stop)) == list(range(n))


def test_calls_at_the_same_time_share_the_threads(tmp_path, monkeypatch):
    found = open_engine(["native"], lively_file(tmp_path))
    monkeypatch.setattr(found, "_workers", 4)
    monkeypatch.setattr(found, "_threads", 4)
    tiles = np.zeros((4, 2, 16, 16), np.float32)
    session, lock, at_once, seen = found._session, threading.Lock(), [0], []

    def run(part, **options):
        with lock:
            at_once[0] += 1
            seen.append((at_once[0], options.get("threads", 1)))
        time.sleep(0.02)
        with lock:
            at_once[0] -= 1
        return session(part)

    run.shares_tiles = True
    monkeypatch.setattr(found, "_session", run)
    found(tiles)
    assert max(n for n, _ in seen) == 4
    seen.clear()
    found(tiles[:1])
    assert seen == [(1, 4)]
    seen.clear()
    with found._counted():  # another call
        found(tiles)
        found(tiles[:1])
    assert max(n for n, _ in seen) == 2
    assert seen[-1] == (1, 2)
    with pytest.raises(ZeroDivisionError), found._counted():
        raise ZeroDivisionError
    assert found._calls == 0


def test_an_error_of_a_thread_that_shares_a_tile_arrives():
    with _native._Team.of(3) as team, pytest.raises(ZeroDivisionError):
        team.share(10**6, lambda part, parts: 1 // (part - 1))
