"""Which model is meant, and what it says of itself."""

from __future__ import annotations

import copy
import logging
import os
import pickle

import numpy as np
import pytest
import torch

from cellpose import denoise, models, weights
from cellpose.errors import DownloadError, FileMissingError, InputError, OptionError, UnknownModelError, WeightsError
from cellpose.models import Cellpose, CellposeModel, SizeModel
from cellpose.nets import CPnet
from small_model import small_file


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty models folder, and no way out."""
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path / "models"))
    monkeypatch.setenv("CELLPOSE_MODEL_MIRROR", "http://127.0.0.1:9")
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


@pytest.fixture
def no_download(monkeypatch):
    def refuse(urls, *_):
        message = f"no connection to {urls[0]}"
        raise DownloadError(message)

    monkeypatch.setattr("cellpose.weights._resolve.download_file", refuse)


@pytest.mark.parametrize("name", ["cyto33", "no/such/file", "CYTO3", ""])
def test_unknown_model_is_never_replaced_by_another(folder, no_download, name):
    if not name:
        with pytest.raises(OptionError, match="cpsam"):
            CellposeModel(pretrained_model=name)
        return
    with pytest.raises(UnknownModelError, match=name):
        CellposeModel(pretrained_model=name)
    with pytest.raises(UnknownModelError, match=name):
        CellposeModel(model_type=name)


def test_published_model_that_cannot_be_downloaded(folder, no_download):
    with pytest.raises(DownloadError, match="cyto3"):
        CellposeModel(pretrained_model="cyto3")


@pytest.mark.parametrize("nothing", [None, False])
def test_a_network_without_weights_is_there_to_be_trained(folder, nothing):
    model = CellposeModel(pretrained_model=nothing, nchan=1, diam_mean=20.0)
    assert (model.nchan, model.nbase, model.diam_mean) == (1, [1, 32, 64, 128, 256], 20.0)
    assert model.pretrained_model is None
    image = np.random.default_rng(0).random((32, 32), dtype=np.float32)
    # What random weights find looks like a result and is none.
    for _ in range(2):
        with pytest.raises(WeightsError, match="random weights"):
            model.eval(image)
    with torch.no_grad():
        model.net.output[2].bias += 1
    assert model.eval(image)[0].shape == (32, 32)
    assert CellposeModel(pretrained_model=nothing).nchan == 2


@pytest.mark.parametrize("nothing", [[], "", 3])
def test_what_names_no_model_is_refused(folder, nothing):
    with pytest.raises(OptionError, match="path of a weight file"):
        CellposeModel(pretrained_model=nothing)


@pytest.mark.parametrize("given", ["pretrained_model", "model_type"])
def test_name_of_a_model(folder, given):
    path = small_file(folder, "nucleitorch_0")
    model = CellposeModel(**{given: "nuclei"})
    assert model.pretrained_model == str(path)
    assert model.model_name == "nuclei"
    assert model.diam_mean == 17
    if given == "model_type":
        for empty in (None, False):
            assert CellposeModel(pretrained_model=empty, model_type="nuclei").model_name == "nuclei"


def test_pretrained_model_goes_before_model_type(folder, tmp_path):
    path = small_file(tmp_path, "mine")
    assert CellposeModel(pretrained_model=str(path), model_type="cyto3").pretrained_model == str(path)
    assert CellposeModel(pretrained_model=[path]).pretrained_model == str(path)


def test_default_model_is_told(folder, caplog):
    small_file(folder, "cyto3")
    with caplog.at_level(logging.INFO, logger="cellpose"):
        model = CellposeModel()
    assert model.model_name == weights.default_model() == weights.BUNDLED
    assert f"model {weights.BUNDLED}" in caplog.text


def test_attributes_of_both_generations(tmp_path):
    model = CellposeModel(pretrained_model=small_file(tmp_path, nbase=(2, 4, 8), diam_mean=21.0))
    assert model.gpu is False
    assert model.device == torch.device("cpu")
    assert model.mkldnn is True
    assert (model.nchan, model.nclasses, model.nbase) == (2, 3, [2, 4, 8])
    assert isinstance(model.net, CPnet)
    assert model.net_ortho is None
    assert (model.diam_mean, model.diam_labels) == (21, 21)
    assert model.backbone == "cpnet"
    assert model.net_type.startswith("cellpose")
    assert model.timing == []
    for name in ("gpu", "device", "mkldnn", "net", "net_ortho", "nchan", "diam_mean", "diam_labels", "backbone"):
        setattr(model, name, getattr(model, name))


def test_diameter_of_published_names_and_of_files(tmp_path):
    """Published files: 17 for nuclei, else the constructor's; other files: their own."""
    mine = small_file(tmp_path, "mine", diam_mean=12.0)
    assert CellposeModel(pretrained_model=mine).diam_mean == 12
    assert CellposeModel(pretrained_model=mine, diam_mean=40).diam_mean == 12
    cyto = small_file(tmp_path, "cyto3")
    assert CellposeModel(pretrained_model=cyto).diam_mean == 30
    assert CellposeModel(pretrained_model=cyto, diam_mean=40.0).diam_mean == 40
    nuclei = small_file(tmp_path, "nucleitorch_0")
    assert CellposeModel(pretrained_model=nuclei, diam_mean=40.0).diam_mean == 17


def test_device(tmp_path, monkeypatch):
    path = small_file(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert CellposeModel(gpu=True, pretrained_model=path).gpu is False
    assert CellposeModel(gpu=True, pretrained_model=path, device=torch.device("cpu")).device.type == "cpu"


def test_numbers_of_the_network(tmp_path):
    path = small_file(tmp_path)
    assert CellposeModel(pretrained_model=path).net.dtype == torch.float32
    assert CellposeModel(pretrained_model=path, use_bfloat16=False).net.dtype == torch.float32
    assert CellposeModel(pretrained_model=path, use_bfloat16=True).net.dtype == torch.bfloat16


def test_retired_keywords_are_told_once_and_unknown_ones_refused(tmp_path, caplog):
    path = small_file(tmp_path)
    models._retired.warn_once.cache_clear()
    for _ in range(2):
        CellposeModel(pretrained_model=path, net_avg=True, omni=False)
    assert caplog.text.count("net_avg") == 1
    assert caplog.text.count("omni") == 1
    with pytest.raises(TypeError, match="nett_avg"):
        CellposeModel(pretrained_model=path, nett_avg=True)


def test_broken_and_foreign_files(tmp_path):
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    with pytest.raises(WeightsError):
        CellposeModel(pretrained_model=empty)
    with pytest.raises(UnknownModelError):
        CellposeModel(pretrained_model=tmp_path / "missing")


def test_orthogonal_model(tmp_path):
    path, ortho = small_file(tmp_path, "a"), small_file(tmp_path, "b", nbase=(2, 4, 4))
    model = CellposeModel(pretrained_model=path, pretrained_model_ortho=ortho)
    assert model.net_ortho.nbase == [2, 4, 4]


def test_names_and_paths(folder):
    assert {"cpsam", "cpsam_v2", "cyto3", "nuclei", "cyto2_cp3", "CPx", weights.BUNDLED} <= set(models.MODEL_NAMES)
    assert len(set(models.MODEL_NAMES)) == len(models.MODEL_NAMES)
    assert folder == models.MODEL_DIR
    assert str(folder / "gui_models.txt") == models.MODEL_LIST_PATH
    path = small_file(folder, "cyto2torch_1")
    assert models.model_path("cyto2", 1) == str(path)
    assert models.cache_model_path("cyto2torch_1") == str(path)
    np.save(folder / "size_cyto2torch_0.npy", {})
    assert models.size_model_path("cyto2") == models.cache_model_path("size_cyto2torch_0.npy")
    assert models.get_backbone(path) == "cpnet"
    assert models.get_user_models() == []
    (folder / "gui_models.txt").write_text("mine\n")
    assert models.get_user_models() == ["mine"]
    mine = small_file(folder, "mine")
    assert models.get_model_params("mine", None) == (str(mine), 30.0, False, None)
    assert CellposeModel(pretrained_model="mine").pretrained_model == str(mine)
    with pytest.raises(AttributeError, match="no_such"):
        models.no_such  # noqa: B018


def test_model_without_size_model(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="size"):
        Cellpose(model_type="livecell_cp3")
    with pytest.raises(FileNotFoundError, match=r"_size\.npy"):
        Cellpose(model_type=small_file(tmp_path, "mine"))
    model = CellposeModel(pretrained_model=small_file(tmp_path, "mine"))
    with pytest.raises(OptionError, match="pretrained_size"):
        SizeModel(model)
    with pytest.raises(OSError, match="no-size-model"):
        SizeModel(model, pretrained_size=small_file(tmp_path, "no-size-model.npy"))


def test_signatures_keep_real_names():
    """Clients look up names of options in the code object."""
    names = set(CellposeModel.eval.__code__.co_varnames)
    v3 = "x batch_size resample channels channel_axis z_axis normalize invert rescale diameter flow_threshold"
    v3 += " cellprob_threshold do_3D anisotropy flow3D_smooth stitch_threshold min_size max_size_fraction niter augment"
    v3 += " tile_overlap bsize interp compute_masks progress"
    assert set(v3.split()) <= names
    names = set(CellposeModel.__init__.__code__.co_varnames)
    given = {
        "gpu",
        "pretrained_model",
        "model_type",
        "mkldnn",
        "diam_mean",
        "device",
        "nchan",
        "use_bfloat16",
        "backbone",
    }
    assert given <= names


@pytest.mark.parametrize(
    "option",
    [
        {"device": object()}, {"device": "bad text"}, {"model_type": np.zeros(3)}, {"nchan": np.zeros(3)},
        {"nchan": -1}, {"nchan": 10**9}, {"diam_mean": -1}, {"diam_mean": float("nan")}, {"diam_mean": b"30"},
        {"pretrained_model": np.zeros(3)}, {"pretrained_model": b"cyto"}, {"pretrained_model_ortho": 5},
        {"pretrained_model_ortho": b""}, {"gpu": "yes"}, {"engine": 5}, {"precision": b"int8"}, {"backbone": 1j},
    ],
    ids=lambda option: next(iter(option)),
)  # fmt: skip
def test_wrong_values_are_named(option):
    with pytest.raises((OptionError, InputError), match=next(iter(option))):
        CellposeModel(**{"pretrained_model": "nuclei-cells", **option})


@pytest.fixture
def moved_away(tmp_path, monkeypatch):
    """A model of a file in the working folder, which another one is by now."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    small_file(tmp_path)
    model = CellposeModel(pretrained_model="small", engine="native")
    monkeypatch.chdir(tmp_path / "elsewhere")
    return model


def test_the_network_is_found_from_another_working_folder(moved_away):
    image = np.random.default_rng(0).random((64, 64), np.float32)
    other = pickle.loads(pickle.dumps(moved_away))
    np.testing.assert_array_equal(other.eval(image)[1][2], moved_away.eval(image)[1][2])
    assert moved_away.net.nbase == other.net.nbase == [2, 4, 8]


def test_a_network_is_not_mixed_with_another_of_its_name(tmp_path):
    path = small_file(tmp_path)
    model = CellposeModel(pretrained_model=str(path), engine="native")
    sent = pickle.dumps(model)
    os.utime(path, (0, 0))
    assert pickle.loads(sent).net.nbase == [2, 4, 8]  # the same weights, of another time
    image = np.random.default_rng(0).random((64, 64), np.float32)
    expected = model.eval(image)[1][2]
    small_file(tmp_path, nbase=(2, 4, 16))
    np.testing.assert_array_equal(model.eval(image)[1][2], expected)
    with pytest.raises(WeightsError, match=r"small has other weights than when .*; load the model again"):
        _ = model.net
    with pytest.raises(WeightsError, match="load the model again"):
        pickle.loads(sent)
    path.unlink()
    with pytest.raises(FileMissingError, match=r"small does not exist"):
        _ = model.net


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_models_can_be_copied_and_sent_to_other_processes(copied):
    image = np.random.default_rng(0).random((64, 64), np.float32)
    model = CellposeModel(pretrained_model="nuclei-cells")
    for _ in range(2):  # before its network was loaded by torch, and after
        other = copied(model)
        assert other.engine == model.engine
        np.testing.assert_array_equal(other.eval(image)[1][2], model.eval(image)[1][2])
        assert model.net is not other.net
    with torch.no_grad():
        next(model.net.parameters()).mul_(2)
    other = copied(model)
    assert other.engine == "torch"
    np.testing.assert_array_equal(other.eval(image)[1][2], model.eval(image)[1][2])
    untrained = CellposeModel(pretrained_model=False)
    assert copied(untrained).net.nbase == untrained.net.nbase
    restoring = denoise.DenoiseModel(model_type="oneclick")
    np.testing.assert_array_equal(copied(restoring).eval(image), restoring.eval(image))
