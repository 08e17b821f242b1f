"""BioImage.IO packages: written, run by the library of the format, and read back; damaged and hostile ones refused."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import zipfile

import numpy as np
import pytest
import torch

from cellpose import export, models, weights
from cellpose.errors import InputError, MissingExtraError, OptionError, WeightsError
from cellpose.nets import CPSAM, CPnet

HAS_SPEC = importlib.util.find_spec("bioimageio") is not None
needs_spec = pytest.mark.skipif(not HAS_SPEC, reason="needs bioimageio.core (the extra export)")
needs_yaml = pytest.mark.skipif(importlib.util.find_spec("yaml") is None, reason="needs PyYAML")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "small"
    net = CPnet([2, 4, 8], nout=3)
    net.save_model(path)
    return path


def package(folder, weight_file, *, sha256=None, source="weights.pt", name="rdf.yaml", extra=()):
    """A package as programs write it; YAML takes JSON."""
    path = folder / "package.zip"
    content = weight_file.read_bytes()
    state = {"source": source, "sha256": sha256 or hashlib.sha256(content).hexdigest()}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, json.dumps({"weights": {"pytorch_state_dict": state}}))
        archive.writestr("weights.pt", content)
        for other, text in extra:
            archive.writestr(other, text)
    return path


@needs_yaml
@pytest.mark.parametrize("name", ["rdf.yaml", "bioimageio.yaml"])
def test_a_package_segments_as_its_weights_do(small, tmp_path, monkeypatch, name):
    monkeypatch.setenv(weights.MODEL_DIR_ENV, str(tmp_path / "models"))
    path = package(tmp_path, small, name=name)
    image = np.random.default_rng(0).random((64, 64), np.float32)
    wanted = models.CellposeModel(pretrained_model=str(small)).eval(image, diameter=30)[1]
    for given in (path, _unpacked(path, tmp_path / "folder")):
        found = models.CellposeModel(pretrained_model=str(given)).eval(image, diameter=30)[1]
        np.testing.assert_array_equal(found[2], wanted[2])
    assert weights.resolve(path).name == "package"


def _unpacked(path, folder):
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    return folder


@needs_yaml
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sha256": "0" * 64}, "download the package again"),
        ({"sha256": "../.."}, "64 hexadecimal digits"),
        ({"sha256": "abc"}, "64 hexadecimal digits"),
        ({"source": "../weights.pt", "extra": [("../weights.pt", "x")]}, "not in it"),
        ({"source": "/etc/passwd"}, "not in it"),
        ({"source": "missing.pt"}, "not in it"),
    ],
)
def test_damaged_and_hostile_packages_are_refused(small, tmp_path, monkeypatch, change, words):
    monkeypatch.setenv(weights.MODEL_DIR_ENV, str(tmp_path / "models"))
    with pytest.raises(WeightsError, match=words):
        weights.resolve(package(tmp_path, small, **change))
    assert not (tmp_path / "models" / "bioimageio").exists()


@needs_yaml
def test_a_kept_copy_that_was_changed_is_taken_anew(small, tmp_path, monkeypatch):
    monkeypatch.setenv(weights.MODEL_DIR_ENV, str(tmp_path / "models"))
    path = package(tmp_path, small)
    kept = weights.resolve(path).path
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 1
    kept.write_bytes(content)
    assert weights.resolve(path).path.read_bytes() == small.read_bytes()


@needs_yaml
def test_a_link_out_of_a_folder_is_refused(small, tmp_path):
    folder = _unpacked(package(tmp_path, small), tmp_path / "folder")
    (folder / "weights.pt").unlink()
    (folder / "weights.pt").symlink_to(small)
    with pytest.raises(WeightsError, match="link"):
        weights.resolve(folder)


@needs_yaml
def test_a_package_without_these_weights_is_told(tmp_path):
    path = tmp_path / "other.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("rdf.yaml", json.dumps({"weights": {"onnx": {"source": "a.onnx"}}}))
    with pytest.raises(WeightsError, match="pytorch_state_dict"):
        weights.resolve(path)


def test_files_of_torch_are_no_packages(small):
    assert weights.resolve(small).path == small


@pytest.mark.skipif(HAS_SPEC, reason="the libraries are there")
def test_what_is_missing_is_told(small, tmp_path):
    with pytest.raises(MissingExtraError, match=r"cellpose\[export\]"):
        export.export_model(small, tmp_path)


@needs_spec
@pytest.mark.parametrize(
    "make",
    [
        lambda: CPnet([2, 4, 8], nout=3),
        lambda: CPnet([1, 4, 8], nout=1),
        lambda: CPSAM(bsize=64, embed_dim=32, num_heads=2, offsets=(15, 15)),
    ],
)
def test_a_package_is_valid_and_gives_its_test_outputs(tmp_path, make):
    from bioimageio.core import test_model as run_test

    torch.manual_seed(1)
    make().save_model(tmp_path / "net")
    path = export.export_model(tmp_path / "net", tmp_path / "out", authors=[{"name": "A. Biologist"}], license="MIT")
    assert path == tmp_path / "out" / "net.zip"
    assert run_test(path).status == "passed"
    state, read = (weights.load_state_dict(weights.resolve(each).path) for each in (tmp_path / "net", path))
    assert all(torch.equal(state[key], read[key]) for key in state)


@needs_spec
def test_what_cannot_be_exported_is_told(small, tmp_path):
    with pytest.raises(InputError, match="too small"):
        export.export_model(small, tmp_path, image=np.zeros((8, 8)), license="MIT")
    with pytest.raises(OptionError, match="CC-BY"):
        export.export_model(small, tmp_path)
    with pytest.raises(OptionError, match="licen"):
        export.export_model(small, tmp_path, license="no such licence")
    CPnet([1, 4], nout=3, conv_3D=True).save_model(tmp_path / "volumes")
    with pytest.raises(OptionError, match="volumes"):
        export.export_model(tmp_path / "volumes", tmp_path)
