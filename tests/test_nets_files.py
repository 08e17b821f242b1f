"""Weight files: formats, families, and everything a bad file can be."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cellpose import nets
from cellpose.errors import FileMissingError, FileWriteError, UnsafeFileError, WeightsError
from cellpose.nets import CPnet, read_state_dict

SHAPES = {
    "cpnet": ("cpnet", 2, 3),
    "cpnet_avgpool": ("cpnet", 2, 3),
    "cpnet_mid": ("cpnet", 2, 3),
    "cpnet_nuclei": ("cpnet", 2, 3),
    "cpnet_small": ("cpnet", 2, 3),
    "cpnet_small_conv3d": ("cpnet", 2, 3),
    "cpsam": ("sam_vitl", 3, 3),
    "denoise": ("cpnet", 1, 1),
    "denoise_small": ("cpnet", 1, 1),
    "seg1_small": ("cpnet", 1, 3),
}


def tensors() -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in CPnet([2, 4, 8]).state_dict().items()}


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return list(a) == list(b) and all(torch.equal(a[key], b[key]) for key in a)


class Hostile:
    """Runs code when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", SHAPES)
def test_family_of_every_recipe(parity: Any, name: str) -> None:
    import json

    shapes = json.loads((parity.folder / "shapes" / f"{name}.json").read_text())["shapes"]
    meta = {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
    family = nets.detect_architecture(meta)
    assert (family.name, family.nchan, family.nout) == SHAPES[name]
    assert (nets.family_named(family.name).diameter_px is not None) == (name == "cpsam")
    assert (family.task == "restoration") == name.startswith("denoise")
    with torch.device("meta"):
        net = nets.build(family)
    assert {key: list(value.shape) for key, value in net.state_dict().items()} == shapes


def test_all_recipes_have_a_family(parity: Any) -> None:
    assert {path.stem for path in (parity.folder / "shapes").glob("*.json")} == set(SHAPES)


def test_prefix_of_data_parallel_training(tmp_path: Path) -> None:
    state = tensors()
    torch.save({f"module.{key}": value for key, value in state.items()}, tmp_path / "w")
    assert equal(read_state_dict(tmp_path / "w"), state)
    assert nets.detect_architecture(torch.load(tmp_path / "w")).nbase == (2, 4, 8)


def test_formats_are_told_by_content(tmp_path: Path) -> None:
    state = tensors()
    torch.save(state, tmp_path / "zip.safetensors")
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    save_file(state, tmp_path / "safe.pth")
    for name in ("zip.safetensors", "old.pth"):
        assert equal(read_state_dict(tmp_path / name), state)
    # safetensors keeps its own order
    assert equal(dict(sorted(read_state_dict(tmp_path / "safe.pth").items())), dict(sorted(state.items())))


@pytest.mark.parametrize("name", ["plain", "named.safetensors"])
def test_save_and_load(tmp_path: Path, name: str) -> None:
    net, other = CPnet([2, 4, 8], diam_mean=17.0), CPnet([2, 4, 8])
    net.save_model(tmp_path / name)
    other.load_model(tmp_path / name, device="cpu")
    assert equal(other.state_dict(), net.state_dict())
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = CPnet([2, 4, 8])
    net.save_model(tmp_path / "w")
    before = (tmp_path / "w").read_bytes()

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(FileWriteError, match="No space left"):
        net.save_model(tmp_path / "w")
    assert (tmp_path / "w").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(FileWriteError, match="could not write"):
        net.save_model(tmp_path / "no" / "such" / "w")


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(FileMissingError, match="nowhere"):
        read_state_dict(tmp_path / "nowhere")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_is_not_run(tmp_path: Path, zipped: bool) -> None:
    trace = tmp_path / "ran"
    torch.save({"x": Hostile(trace)}, tmp_path / "w", _use_new_zipfile_serialization=zipped)
    with pytest.raises(UnsafeFileError, match="could run code"):
        read_state_dict(tmp_path / "w")
    (tmp_path / "raw").write_bytes(pickle.dumps(Hostile(trace)))
    with pytest.raises((UnsafeFileError, WeightsError)):
        read_state_dict(tmp_path / "raw")
    assert not trace.exists()


def test_whole_networks_are_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(1, 1), tmp_path / "w")
    with pytest.raises(UnsafeFileError, match="state_dict"):
        read_state_dict(tmp_path / "w")


def damaged(kind: str) -> bytes:
    buffer = io.BytesIO()
    torch.save(tensors(), buffer, _use_new_zipfile_serialization=kind != "cut pickle")
    whole = buffer.getvalue()
    if kind == "cut safetensors":
        from safetensors.torch import save

        return save(tensors())[:-100]
    if kind == "cut safetensors head":
        from safetensors.torch import save

        return save(tensors())[:600]
    if kind == "other zip":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("a.txt", "b")
        return buffer.getvalue()
    if kind == "numpy":
        buffer = io.BytesIO()
        np.save(buffer, np.zeros(3))
        return buffer.getvalue()
    return {
        "empty": b"",
        "cut zip": whole[: len(whole) // 2],
        "cut pickle": whole[: len(whole) // 2],
        "zeros": bytes(1000),
        "web page": b"<!DOCTYPE html><html>not found</html>",
        "git lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    }[kind]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("empty", "is empty"),
        ("cut zip", "truncated"),
        ("cut pickle", "truncated"),
        ("cut safetensors", "truncated"),
        ("cut safetensors head", "truncated"),
        ("other zip", "truncated or corrupt"),
        ("zeros", "not a weight file"),
        ("web page", "web page"),
        ("git lfs", "git lfs pull"),
        ("numpy", "SizeModel"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, kind: str, message: str) -> None:
    (tmp_path / "w").write_bytes(damaged(kind))
    with pytest.raises(WeightsError, match=message):
        read_state_dict(tmp_path / "w")


@pytest.mark.parametrize("content", [[1, 2], {}, {"a": 1}, {"a": {"b": torch.zeros(1)}}, torch.zeros(2)])
def test_other_content_is_named(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "w")
    with pytest.raises(WeightsError, match="expected is a state dict"):
        read_state_dict(tmp_path / "w")


def test_incomplete_and_wrong_sizes(tmp_path: Path) -> None:
    state = tensors()
    torch.save({key: value for key, value in state.items() if "res_up_0" not in key}, tmp_path / "incomplete")
    with pytest.raises(WeightsError, match=r"tensors are missing \(upsample"):
        CPnet([2, 4, 8]).load_model(tmp_path / "incomplete")
    torch.save(state, tmp_path / "whole")
    with pytest.raises(WeightsError, match="do not fit"):
        CPnet([1, 4, 8]).load_model(tmp_path / "whole")
    torch.save({**state, "extra": torch.zeros(1)}, tmp_path / "more")
    CPnet([2, 4, 8]).load_model(tmp_path / "more")
    with pytest.raises(WeightsError, match="extra"):
        CPnet([2, 4, 8]).load_model(tmp_path / "more", strict=True)


def test_files_without_diameters_keep_those_of_the_network(tmp_path: Path) -> None:
    torch.save({key: value for key, value in tensors().items() if "diam" not in key}, tmp_path / "old")
    net = CPnet([2, 4, 8], diam_mean=17.0)
    net.load_model(tmp_path / "old")
    assert float(net.diam_mean) == float(net.diam_labels) == 17.0


def test_mean_pooling_stays_after_loading(tmp_path: Path) -> None:
    CPnet([2, 4, 8]).save_model(tmp_path / "w")
    net = CPnet([2, 4, 8], max_pool=False)
    net.load_model(tmp_path / "w")
    assert isinstance(net.downsample.maxpool, torch.nn.AvgPool2d)


def test_another_head_is_left_out(tmp_path: Path) -> None:
    source, target = CPnet([2, 4, 8], nout=3), CPnet([2, 4, 8], nout=1)
    head = target.output[2].weight.clone()
    source.save_model(tmp_path / "w")
    target.load_model(tmp_path / "w")
    assert torch.equal(target.output[2].weight, head)
    key = "downsample.down.res_down_0.proj.1.weight"
    assert torch.equal(target.state_dict()[key], source.state_dict()[key])


def test_manet_is_recognised_and_refused() -> None:
    family = nets.detect_architecture(
        {"net.encoder.a": torch.zeros(1), "net.segmentation_head.0.weight": torch.zeros(1)}
    )
    assert family.name == "manet_mit_b5"
    with pytest.raises(WeightsError, match=r"cyto3 .*cpsam"):
        nets.build(family)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["image_encoder.pos_embed"], "Segment Anything itself"),
        (["storage_tokens", "cls_token"], "DINOv3 itself"),
        (["layer1.weight"], "do not belong to a known network"),
        (["output.2.weight"], "lack the tensor"),
        (["W2"], "lack the tensor encoder.pos_embed"),
    ],
)
def test_other_networks_are_refused(keys: list[str], message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        nets.detect_architecture({key: torch.zeros(3, 3, 8, 8) for key in keys})


def test_dino_of_another_width_is_refused() -> None:
    net = nets.CPDINO("vitb", embed_dim=32, depth=1, num_heads=2)
    with pytest.raises(WeightsError, match="32 wide"):
        nets.detect_architecture(net.state_dict())
