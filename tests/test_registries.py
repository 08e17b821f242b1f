"""Families of networks and engines are entries of two registries: nothing else has to be told of a new one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cellpose import core, engines, nets, options, train, weights
from cellpose.cli import get_arg_parser
from cellpose.cli._doctor import _engines
from cellpose.engines import ENGINES, EngineKind, Graphs, choose_engine, engine_names
from cellpose.errors import OptionError
from cellpose.models import CellposeModel
from cellpose.nets import FAMILIES, Architecture, NetFile, family_named

_KEY = "toy.gain"


class ToyNet(NetFile):
    """Flows along the differences of the image, cells where it is bright; without training, styles or levels."""

    backbone, nout, nchan, style_size, default_bsize, tile_multiple = "toy", 3, 1, 256, 48, 1
    optional_keys = ("diam_mean", "diam_labels")

    def __init__(self) -> None:
        super().__init__()
        self.toy = torch.nn.ParameterDict({"gain": torch.nn.Parameter(torch.ones(1))})

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        image = x[:, 0] * self.toy["gain"]
        down = torch.roll(image, -1, 1) - torch.roll(image, 1, 1)
        right = torch.roll(image, -1, 2) - torch.roll(image, 1, 2)
        return 5 * torch.stack((down, right, image - 0.5), 1), x.new_zeros((len(x), 256))


def toy_session(graph: bytes | Path, *, bfloat16: bool = False) -> Any:
    gain = np.frombuffer(bytes(graph), np.float32)

    def run(tiles: np.ndarray) -> tuple[np.ndarray, ...]:
        image = tiles[:, 0] * gain
        down, right = (np.roll(image, -1, axis) - np.roll(image, 1, axis) for axis in (1, 2))
        runs.append(tiles.shape)
        return (5 * np.stack((down, right, image - 0.5), 1).astype(np.float32),)

    return run


runs: list[tuple[int, ...]] = []


def image() -> np.ndarray:
    """Two round cells, brightest in their middles, float32 (40, 50)."""
    y, x = np.mgrid[:40, :50]
    return sum(np.exp(-((y - b) ** 2 + (x - a) ** 2) / 60) for b, a in ((12, 12), (27, 35))).astype(np.float32)


TOY_FAMILY = replace(
    FAMILIES["sam_vitl"],
    name="toy",
    plural="toys",
    detect=lambda shapes: Architecture("toy", 1, 3, ps=1, bsize=48) if _KEY in shapes else None,
    build=lambda architecture, diam_mean: ToyNet(),
    prefixes=(),
    diameter_px=20.0,
    tile_side=48,
)
TOY_ENGINE = EngineKind(
    "abacus",
    "the abacus",
    place=lambda: -1,
    graphs=Graphs(
        lambda arrays, network, *, int8, data_file: arrays[_KEY].tobytes(),
        toy_session,
        lambda: "abacus 1",
        families=("toy",),
    ),
)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Both are registered; the weight file of a toy."""
    monkeypatch.setitem(FAMILIES, "toy", TOY_FAMILY)
    monkeypatch.setitem(ENGINES, "abacus", TOY_ENGINE)
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path / "models"))
    monkeypatch.delenv("CELLPOSE_ENGINE", raising=False)
    runs.clear()
    save_file({_KEY: torch.ones(1)}, tmp_path / "toy.safetensors")
    return tmp_path / "toy.safetensors"


def test_a_new_family_is_recognised_built_and_run_by_torch(toy: Path) -> None:
    model = CellposeModel(pretrained_model=toy, engine="torch")
    assert (model.backbone, model.nchan, model.engine, type(model.net)) == ("toy", 1, "torch", ToyNet)
    masks, _, styles = model.eval(image(), diameter=25, flow_threshold=0)
    assert masks.shape == (40, 50)
    assert masks.max() == 2
    assert not styles.any()
    with pytest.raises(OptionError, match="toy runs only on tiles of 48 pixels"):
        model.eval(image(), bsize=64)


def test_a_new_engine_runs_a_new_family(toy: Path) -> None:
    by_torch = CellposeModel(pretrained_model=toy, engine="torch").eval(image(), diameter=25, flow_threshold=0)
    model = CellposeModel(pretrained_model=toy)
    assert model.engine == "abacus"  # auto takes it first, since it says so
    masks, flows, _ = model.eval(image(), diameter=25, flow_threshold=0)
    assert runs[-1] == (1, 1, 48, 48)  # images are brought to 20 pixels, and filled up to a tile
    assert masks.max() == 2
    np.testing.assert_array_equal(masks, by_torch[0])
    np.testing.assert_allclose(flows[2], by_torch[1][2], atol=1e-5)
    (record,) = (toy.parent / "models" / "cache").glob("*.json")
    assert json.loads(record.read_text())["family"]["name"] == "toy"
    again = CellposeModel(pretrained_model=toy, engine="abacus")
    np.testing.assert_array_equal(again.eval(image(), diameter=25, flow_threshold=0)[0], masks)


def test_a_network_that_an_engine_has_no_graph_of_is_left_to_the_next(toy: Path, tmp_path: Path) -> None:
    nets.CPnet([2, 4, 8], nout=3).save_model(tmp_path / "unet.safetensors")
    assert CellposeModel(pretrained_model=tmp_path / "unet.safetensors").engine != "abacus"


def test_everything_that_lists_engines_lists_a_new_one(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "abacus" in engine_names()
    assert choose_engine("auto")[0] == "abacus"
    assert choose_engine("abacus") == ("abacus", "torch")
    assert next(iter(_engines([]))) == "abacus"
    with pytest.raises(OptionError, match=r"choose one of auto, .*abacus"):
        choose_engine("slide rule")
    with pytest.raises(OptionError, match="engine='abacus' runs networks on the CPU only"):
        choose_engine("abacus", gpu=True)
    with pytest.raises(OptionError, match="not possible with engine='abacus'; OpenVINO or ONNX Runtime"):
        choose_engine("abacus", precision="int8")


def test_help_and_docstrings_know_the_registered_engines(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        get_arg_parser().parse_args(["--help"])
    words = set(capsys.readouterr().out.replace(",", " ").split())
    assert set(ENGINES) <= words
    assert list(_engines([])) == [engine.name for engine in engines.by_speed()] + ["compile"]


def test_options_of_training_follow_the_family(toy: Path) -> None:
    recipe = FAMILIES["sam_vitl"].learning.script
    chosen = options.Training.of("toy")
    assert (chosen.learning_rate, chosen.n_epochs, chosen.rescale) == (recipe.learning_rate, recipe.n_epochs, False)
    assert train._network.family_of(ToyNet()) is FAMILIES["toy"]


def test_tiles_follow_the_family(toy: Path) -> None:
    engine = engines.as_engine(ToyNet())
    (_, grid), (_, other) = (core._planes.padded_grid(engine, size, options.Tiling()) for size in ((10, 10), (100, 48)))
    assert len(grid) == 1
    assert len(other) > 1


def test_families_that_are_not_here_are_known_by_a_prefix() -> None:
    assert family_named("sam_vith").one_side
    assert family_named("dino_huge").tile_side == 384
    assert not family_named("vit").channel_pair
    assert family_named(None).channel_pair
    assert [family.name for family in FAMILIES.values() if family.build is None] == ["vit", "manet_mit_b5"]
    assert weights.PUBLISHED.keys() == {info.name for info in weights.PUBLISHED.values() if info.family in FAMILIES}
