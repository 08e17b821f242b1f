"""Names, the models folder, user models, loading by name. Nothing here touches the network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cellpose import weights
from cellpose.errors import (
    DownloadError,
    FileMissingError,
    FileWriteError,
    OptionError,
    UnknownModelError,
    UnsafeFileError,
    WeightsError,
)
from cellpose.nets import CPDINO, CPSAM, CPnet
from cellpose.weights import _installed

# Names, files and sizes as published.
FILES = {
    "cyto": "cytotorch_0",
    "cyto2": "cyto2torch_0",
    "nuclei": "nucleitorch_0",
    "cytotorch_0": "cytotorch_0",
    "cytotorch_3": "cytotorch_3",
    "cyto2torch_1": "cyto2torch_1",
    "nucleitorch_2": "nucleitorch_2",
    "cellsam": "cpsam",  # napari-serialcellpose
}
SAME = """
    cyto3 cyto2_cp3 tissuenet_cp3 livecell_cp3 yeast_PhC_cp3 yeast_BF_cp3 bact_phase_cp3 bact_fluor_cp3 deepbacs_cp3
    CP CPx TN1 TN2 TN3 LC1 LC2 LC3 LC4 tissuenet livecell general neurips_cellpose_default neurips_grayscale_cyto2
    denoise_cyto3 deblur_cyto3 upsample_cyto3 oneclick_cyto3 denoise_cyto2 deblur_cyto2 upsample_cyto2 oneclick_cyto2
    denoise_nuclei deblur_nuclei upsample_nuclei oneclick_nuclei denoise_per_cyto2 deblur_per_cyto2 upsample_per_cyto2
    oneclick_per_cyto2 denoise_seg_cyto2 deblur_seg_cyto2 upsample_seg_cyto2 oneclick_seg_cyto2 denoise_rec_cyto2
    deblur_rec_cyto2 upsample_rec_cyto2 oneclick_rec_cyto2 denoise_per_nuclei deblur_per_nuclei upsample_per_nuclei
    oneclick_per_nuclei denoise_seg_nuclei deblur_seg_nuclei upsample_seg_nuclei oneclick_seg_nuclei denoise_rec_nuclei
    deblur_rec_nuclei upsample_rec_nuclei oneclick_rec_nuclei aniso_cyto2 aniso_nuclei cpsam cpsam_v2 cpdino cpdino-vitb
""".split()  # noqa: SIM905  (a list with a name per line is three pages)
UNSUPPORTED = ("transformer_cp3", "neurips_cellpose_transformer")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty models folder that does not exist yet; no mirror."""
    path = tmp_path / "models"
    monkeypatch.setenv(weights.MODEL_DIR_ENV, str(path))
    monkeypatch.delenv(weights.MIRROR_ENV, raising=False)
    return path


@pytest.fixture
def small(folder: Path) -> Path:
    """A weight file outside the models folder."""
    path = folder.parent / "my model"
    CPnet([2, 4, 8], diam_mean=22.0).save_model(path)
    return path


@pytest.mark.parametrize("name", [*FILES, *SAME])
def test_every_published_name_means_its_file(folder: Path, name: str) -> None:
    with pytest.raises(DownloadError, match=f"models pull {name}"):
        weights.resolve(name, download=False)
    assert weights.find(name) is None
    folder.mkdir()
    path = folder / FILES.get(name, name)
    path.write_bytes(b"x")
    assert weights.resolve(name, download=False).path == path
    assert weights.find(name) == weights.resolve(name)


def test_the_table_is_complete() -> None:
    assert set(weights.PUBLISHED) == {*SAME, *UNSUPPORTED, "cyto", "cyto2", "nuclei"}
    restoration = [info for info in weights.PUBLISHED.values() if info.task == "restoration"]
    assert len(restoration) == 38
    assert all((info.nchan, info.nout) == (1, 1) for info in restoration)


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("nuclei", "diam_mean", 17.0),
        ("denoise_nuclei", "diam_mean", 17.0),
        ("aniso_cyto2", "diam_mean", 30.0),
        ("neurips_cellpose_default", "nchan", 3),
        ("cyto", "size_file", "size_cytotorch_0.npy"),
        ("cyto3", "size_file", "size_cyto3.npy"),
        ("livecell", "size_file", None),
        ("cpsam", "url", "https://huggingface.co/mouseland/cellpose-sam/resolve/main/cpsam"),
        ("cyto2", "url", "https://www.cellpose.org/models/cyto2torch_0"),
        ("cpdino-vitb", "family", "dino_vitb"),
    ],
)
def test_facts_of_published_models(name: str, field: str, value: Any) -> None:
    assert getattr(weights.PUBLISHED[name], field) == value


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_unsupported_models_name_another(folder: Path, name: str) -> None:
    with pytest.raises(WeightsError, match=r"not supported; use cyto3 .*cpsam"):
        weights.resolve(name)


def test_files_of_the_first_version_name_another(folder: Path) -> None:
    with pytest.raises(WeightsError, match="use 'nuclei'"):
        weights.resolve("nuclei_0")


@pytest.mark.parametrize(
    ("name", "near"),
    [("cyto4", "cyto3"), ("Cyto2", "cyto2"), ("cpsamv2", "cpsam_v2"), ("nuclei_cells", "nuclei-cells")],
)
def test_unknown_names_list_near_ones(folder: Path, name: str, near: str) -> None:
    with pytest.raises(UnknownModelError, match=f"neither a file nor the name.*Did you mean.*{near}"):
        weights.resolve(name)


@pytest.mark.parametrize("name", ["", ".", "a/b", "~nobody-here/x", "a\0b", "../cyto3"])
def test_other_strings_are_unknown(folder: Path, name: str) -> None:
    with pytest.raises(UnknownModelError, match="neither a file"):
        weights.resolve(name)
    assert weights.find(name) is None


def test_paths_go_before_names(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    Path("cyto3").write_bytes(b"mine")
    file = weights.resolve("cyto3")
    assert file.path.read_bytes() == b"mine"
    assert file.sha256 == weights.hash("cyto3")
    assert weights.resolve(file) is file


def test_default_is_cpsam_where_its_file_is(folder: Path) -> None:
    assert weights.default_model() == weights.BUNDLED
    folder.mkdir()
    (folder / "cpsam_v2").write_bytes(b"x")
    assert weights.default_model() == "cpsam_v2"
    (folder / "cpsam").write_bytes(b"")
    assert weights.default_model() == "cpsam_v2"
    (folder / "cpsam").write_bytes(b"x")
    assert weights.default_model() == "cpsam"
    assert weights.resolve(None).path == folder / "cpsam"


def test_bundled_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundled = folder.parent / "bundled"
    monkeypatch.setattr(_installed, "BUNDLED_DIR", bundled)
    with pytest.raises(UnknownModelError, match="missing from this installation"):
        weights.resolve(None)
    bundled.mkdir()
    net = CPnet([2, 4, 8])
    net.dtype = torch.float16
    net.save_model(bundled / f"{weights.BUNDLED}.safetensors")
    (bundled / f"{weights.BUNDLED}.json").write_text(json.dumps({"licence": "CC0-1.0"}))
    file = weights.resolve(None)
    assert (file.name, file.card) == (weights.BUNDLED, {"licence": "CC0-1.0"})
    assert weights.list_models()[0].kind == "bundled"
    loaded = weights.load_network(file)
    assert loaded.dtype == torch.float32
    key = "output.2.weight"
    assert torch.equal(loaded.state_dict()[key], net.state_dict()[key].float())
    assert weights.load_state_dict(file.path)[key].dtype == torch.float32


def test_bundled_file_is_that_of_its_card(folder: Path) -> None:
    if not weights.bundled_models():
        pytest.skip("the bundled model is not in this checkout")
    file = weights.resolve(weights.BUNDLED)
    assert file.card["sha256"] == file.sha256
    kind = weights.architecture(file)
    assert (kind.name, kind.nout, kind.task) == ("cpnet", 3, "segmentation")
    net = weights.load_network(file)
    with torch.inference_mode():
        y, style, _ = net(torch.zeros(1, kind.nchan, 32, 32))
    assert torch.isfinite(y).all()
    assert torch.isfinite(style).all()


def test_folder_is_read_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(weights.MODEL_DIR_ENV, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert weights.model_dir() == tmp_path / ".cellpose" / "models"
    assert not (tmp_path / ".cellpose").exists()
    monkeypatch.setenv(weights.MODEL_DIR_ENV, str(tmp_path / "other"))
    assert weights.model_dir() == tmp_path / "other"


def test_home_that_cannot_be_written(
    tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # A file where the folder should be refuses even the administrator, as whom tests may run.
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".cellpose").write_text("")
    monkeypatch.delenv(weights.MODEL_DIR_ENV)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    added = weights.add_model(small)
    assert tmp_path in added.path.parents
    assert "may be temporary" in caplog.text
    assert weights.user_models() == ["my model"]
    assert weights.resolve("my model").path == added.path
    # A folder that others can write to is not trusted.
    added.path.parent.chmod(0o777)
    assert weights.find("my model") is None
    with pytest.raises(FileWriteError, match="neither"):
        weights.add_model(small)


def test_no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv(weights.MODEL_DIR_ENV, raising=False)
    monkeypatch.setattr(Path, "home", nowhere)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert weights.model_dir().parent == tmp_path
    assert weights.writable_dir() == weights.model_dir()


def test_a_chosen_folder_is_never_replaced(tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(weights.MODEL_DIR_ENV, str(tmp_path / "file" / "models"))
    with pytest.raises(FileWriteError, match=weights.MODEL_DIR_ENV):
        weights.add_model(small)


def test_add_and_remove(folder: Path, small: Path) -> None:
    small.with_name("my model_size.npy").write_bytes(b"size")
    file = weights.add_model(small)
    assert file.path == folder / "my model"
    assert file.path.read_bytes() == small.read_bytes()
    assert weights.add_model(file.path) == file
    assert weights.user_models() == ["my model"]
    assert (folder / "gui_models.txt").read_text() == "my model\n"
    assert weights.resolve("my model") == file
    assert weights.size_model_path("my model").read_bytes() == b"size"
    assert [m.name for m in weights.list_models() if m.kind == "user" and m.installed] == ["my model"]
    with pytest.raises(UnknownModelError, match="my model"):
        weights.remove_model("other")
    weights.remove_model(small)
    assert weights.user_models() == []
    assert file.path.exists()
    weights.add_model(file.path)
    weights.remove_model("my model", delete=True)
    assert not file.path.exists()
    with pytest.raises(ValueError, match="not in the list"):
        weights.remove_model("my model")


def test_list_of_user_models_as_others_write_it(folder: Path) -> None:
    folder.mkdir()
    (folder / "gui_models.txt").write_text("one \r\n\ntwo\none\n")
    assert weights.user_models() == ["one", "two"]
    with pytest.raises(UnknownModelError, match="listed, but its file is not in"):
        weights.resolve("one")


def test_adding_what_is_not_there(folder: Path) -> None:
    with pytest.raises(FileMissingError, match="nothing"):
        weights.add_model("nothing")
    assert not folder.exists()


@pytest.mark.parametrize("content", ["text", "page", "archive", "list", "tensors", "cut"])
def test_what_is_no_network_is_not_added(folder: Path, small: Path, content: str) -> None:
    file = folder.parent / "garbage"
    whole = small.read_bytes()
    write = {
        "text": lambda: file.write_text("a note"),
        "page": lambda: file.write_text("<html>log in first</html>"),
        "archive": lambda: zipfile.ZipFile(file, "w").writestr("a/b", "c"),
        "list": lambda: torch.save([1, 2], file),
        "tensors": lambda: torch.save({"other": torch.zeros(3)}, file),
        "cut": lambda: file.write_bytes(whole[: len(whole) // 2]),
    }
    write[content]()
    with pytest.raises(WeightsError, match="garbage"):
        weights.add_model(file)
    assert weights.user_models() == []
    assert not folder.exists()


@pytest.mark.parametrize(
    ("name", "kind"),
    [("generalist", "bundled"), ("denoise", "bundled"), ("cyto2", "published"), ("cellsam", "published")],
)
def test_a_file_that_another_model_would_shadow_is_not_added(folder: Path, small: Path, name: str, kind: str) -> None:
    file = small.rename(small.with_name(name))
    with pytest.raises(OptionError, match=f"a {kind} model has the name {name}; rename the file"):
        weights.add_model(file)
    assert weights.user_models() == []


def test_a_model_trained_here_does_not_become_a_published_one(folder: Path, small: Path) -> None:
    file = small.rename(small.with_name("cyto3"))
    weights.embed_card(file, {"family": "cpnet"})
    with pytest.raises(OptionError, match="a published model has the name cyto3"):
        weights.add_model(file)


def test_names_listed_earlier_show_no_model_twice(folder: Path, small: Path) -> None:
    folder.mkdir()
    (folder / "gui_models.txt").write_text("generalist\ncyto3\n")
    weights.remember_trained(small.rename(small.with_name("nuclei")))
    names = [model.name for model in weights.list_models()]
    assert len(names) == len(set(names))


def test_nothing_of_a_replaced_model_stays(folder: Path, small: Path, caplog: pytest.LogCaptureFixture) -> None:
    beside = [small.with_name(small.name + ending) for ending in ("_size.npy", ".json")]
    for path in beside:
        path.write_text("{}")
    weights.add_model(small)
    copies = [folder / path.name for path in beside]
    assert all(path.is_file() for path in copies)
    weights.add_model(folder / small.name)
    assert all(path.is_file() for path in copies)
    assert not caplog.records
    beside[0].unlink()
    weights.add_model(small)
    assert [path.is_file() for path in copies] == [False, True]
    removed = f"{copies[0]} is removed: it belongs to earlier weights; --train_size trains a new one"
    assert caplog.messages == [f"the model {small.name} in {folder} is replaced", removed]
    copies[0].write_text("{}")
    weights.remove_model(small.name, delete=True)
    assert not any(path.exists() for path in copies)
    removed = [f"{path} is removed: it belongs to the deleted model {small.name}" for path in copies]
    assert caplog.messages[2:] == removed
    assert all(path.is_file() for path in (small, beside[1]))


def test_a_name_is_given_only_where_it_means_the_file(folder: Path, small: Path, tmp_path: Path) -> None:
    assert weights.name_to_give(small) == str(small)
    weights.remember_trained(small)
    assert weights.name_to_give(small) == small.name
    weights.add_model(small)
    assert weights.name_to_give(small) == str(small)
    assert weights.name_to_give(folder / small.name) == small.name


def test_files_of_models_to_train(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert weights.new_model(tmp_path / "a" / "models", "mine") == tmp_path / "a" / "models" / "mine"
    assert (tmp_path / "a" / "models").is_dir()
    for name in ("", "..", "a/b", str(tmp_path / "missing" / "mine")):
        with pytest.raises(OptionError, match="give the name of a file, without folders"):
            weights.new_model(tmp_path, name)
    for name in ("a", str(tmp_path)):
        with pytest.raises(OptionError, match="which is a folder"):
            weights.new_model(tmp_path, name)
    # scripts give paths, too
    assert weights.new_model(tmp_path / "a", str(tmp_path / "mine")) == tmp_path / "mine"
    weights.new_model(tmp_path, "oneclick")
    assert f"a bundled model has the name oneclick: use the new one by its path {tmp_path / 'oneclick'}" in caplog.text
    (tmp_path / "file").touch()
    with pytest.raises(FileWriteError, match=r"could not create the folder .*choose another one"):
        weights.new_model(tmp_path / "file" / "models", "mine")


def test_adding_the_file_of_a_published_model(folder: Path, small: Path) -> None:
    small.rename(small.with_name("cyto3"))
    weights.add_model(small.with_name("cyto3"))
    assert weights.user_models() == []
    assert weights.resolve("cyto3").info is weights.PUBLISHED["cyto3"]
    with pytest.raises(UnknownModelError, match="delete=True"):
        weights.remove_model("cyto3")
    weights.remove_model("cyto3", delete=True)
    assert weights.find("cyto3") is None


def test_model_paths(folder: Path, small: Path) -> None:
    folder.mkdir()
    for name in ("nucleitorch_0", "nucleitorch_2", "size_nucleitorch_0.npy"):
        (folder / name).write_bytes(b"x")
    assert weights.model_path("nuclei") == folder / "nucleitorch_0"
    assert weights.model_path("nuclei", 2) == folder / "nucleitorch_2"
    assert weights.size_model_path("nuclei") == folder / "size_nucleitorch_0.npy"
    with pytest.raises(UnknownModelError, match="choose 0 to 3"):
        weights.model_path("nuclei", 4)
    with pytest.raises(FileNotFoundError, match="has no size model; models with one are cyto3"):
        weights.size_model_path("livecell")
    with pytest.raises(FileNotFoundError, match="my model_size"):
        weights.size_model_path(small)


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
@pytest.mark.parametrize("kind", ["unet", "sam"])
def test_load_network(folder: Path, small: Path, kind: str, dtype: torch.dtype | None) -> None:
    x = torch.randn(1, 2, 64, 64)
    if kind == "sam":
        CPSAM(bsize=64, embed_dim=32, num_heads=2, offsets=(5, 27)).save_model(small)
    net = weights.load_network(small, device="cpu", dtype=dtype)
    reference: Any = CPnet([2, 4, 8]) if kind == "unet" else CPSAM(bsize=64, embed_dim=32, num_heads=2, offsets=(5, 27))
    reference.load_model(small)
    reference.eval().to(dtype or torch.float32)
    assert not net.training
    assert net.dtype == (dtype or torch.float32)
    assert {k: p.requires_grad for k, p in net.named_parameters()} == {
        k: p.requires_grad for k, p in reference.named_parameters()
    }
    with torch.inference_mode():
        tolerance = {} if dtype is None else {"rtol": 0.1, "atol": 0.1}  # bfloat16 keeps 8 bits
        torch.testing.assert_close(net(x.to(net.dtype))[0], reference(x.to(net.dtype))[0], **tolerance)


def test_loaded_weights_do_not_hang_on_the_file(folder: Path, small: Path) -> None:
    CPSAM(bsize=64, embed_dim=32, num_heads=2, offsets=(5,)).save_model(small)
    net: Any = weights.load_network(small)
    before = net.encoder.pos_embed.clone()
    small.write_bytes(bytes(small.stat().st_size))
    assert torch.equal(net.encoder.pos_embed, before)


def test_load_network_of_old_and_overfull_files(folder: Path, small: Path) -> None:
    state = CPSAM(bsize=64, embed_dim=32, num_heads=2, offsets=(5,)).state_dict()
    state = {key: value for key, value in state.items() if "diam" not in key}
    torch.save({f"module.{k}": v for k, v in {**state, "mask_decoder.x": torch.zeros(1)}.items()}, small)
    net = weights.load_network(small)
    assert float(net.diam_mean) == 30.0
    old = {key: value for key, value in CPnet([2, 4, 8]).state_dict().items() if "diam" not in key}
    folder.mkdir()
    torch.save(old, folder / "nucleitorch_0")
    assert float(weights.load_network("nuclei").diam_mean) == 17.0


@pytest.mark.parametrize("kind", ["unet", "sam"])
def test_load_network_of_incomplete_files(folder: Path, small: Path, kind: str) -> None:
    net: Any = CPnet([2, 4, 8]) if kind == "unet" else CPSAM(bsize=64, embed_dim=32, num_heads=2, offsets=(5,))
    state = net.state_dict()
    last = "output.0.bias" if kind == "unet" else "encoder.neck.3.bias"
    torch.save({key: value for key, value in state.items() if key != last}, small)
    with pytest.raises(WeightsError, match=last):
        weights.load_network(small)
    torch.save({**state, last: torch.zeros(7)}, small)
    with pytest.raises(WeightsError, match="do not fit together"):
        weights.load_network(small)


def test_style_off_stands_in_the_file_name(folder: Path, small: Path) -> None:
    name = "cellpose_residual_on_style_off_concatenation_off_data_2020_10_01_10_00_00.000000"
    small.rename(small.with_name(name))
    assert weights.load_network(small.with_name(name)).style_on is False
    assert weights.architecture(small.with_name(name)).style_on is False


def test_load_network_refuses_code(folder: Path, small: Path) -> None:
    torch.save(torch.nn.Linear(1, 1), small)
    with pytest.raises(UnsafeFileError, match="could run code"):
        weights.load_network(small)
    np.save(small.with_name("size.npy"), np.zeros(2))
    with pytest.raises(WeightsError, match="SizeModel"):
        weights.load_network(small.with_name("size.npy"))


@pytest.mark.slow
def test_dino_comes_back_from_its_file(folder: Path, small: Path) -> None:
    net = CPDINO("vitb").eval()
    net.save_model(small)
    again = weights.load_network(small)
    assert again.backbone == "dino_vitb"
    x = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(again(x)[0], net(x)[0])


def test_names_need_no_torch() -> None:
    code = (
        "import sys; from cellpose import weights; weights.list_models(); weights.default_model(); "
        "sys.exit('torch' in sys.modules)"
    )
    environment = {**os.environ, weights.MODEL_DIR_ENV: "/nowhere"}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
