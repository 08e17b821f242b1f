"""Training from the command line: what can be told to it, and what it leaves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from bench import Bench, make_bench
from cellpose import nets
from cellpose.__main__ import main
from cellpose.cli import _train
from test_train_data import discs

WORDS = "--pretrained_model starter --n_epochs 3 --learning_rate 0.05 --batch_size 2 --model_name_out mine".split()  # noqa: SIM905


@pytest.fixture
def bench(tmp_path):
    with make_bench(tmp_path) as place:
        yield place


@pytest.fixture
def folders(bench: Bench) -> Bench:
    torch.manual_seed(0)
    nets.CPnet([2, 4, 8]).save_model(bench.models / "starter")
    for name, seeds in (("train", (0, 1)), ("test", (2,))):
        (bench.root / name).mkdir()
        for seed in seeds:
            image, labels = discs(9, seed=seed)
            tifffile.imwrite(bench.root / name / f"im{seed}.tif", image)
            tifffile.imwrite(bench.root / name / f"im{seed}_masks.tif", labels)
    return bench


def train(bench: Bench, *words: str) -> int:
    folders = ["--dir", str(bench.root / "train"), "--test_dir", str(bench.root / "test")]
    return bench.run("--train", *folders, *WORDS, *words)


def weights(bench: Bench, name: str = "mine") -> dict[str, torch.Tensor]:
    return torch.load(bench.root / "train" / "models" / name, weights_only=True)


def test_records_and_report(folders: Bench, capsys):
    assert train(folders, "--validate_every", "2", "--verbose") == 0
    files = {path.name for path in (folders.root / "train" / "training" / "mine").iterdir()}
    assert {"losses.csv", "validation.png", "report.json", "checkpoint.pt"} <= files
    output = capsys.readouterr().out
    assert "held-out images" in output
    assert main(["models", "add", str(folders.root / "train" / "models" / "mine")]) == 0
    capsys.readouterr()
    assert main(["models", "info", "mine"]) == 0
    printed = capsys.readouterr().out
    assert "parent       starter" in printed
    assert "masks        18" in printed


def test_only_the_model(folders: Bench):
    assert train(folders, "--no_records", "--no_report") == 0
    assert not (folders.root / "train" / "training").exists()


def test_streamed_training_is_the_same(folders: Bench):
    assert train(folders) == 0
    expected = weights(folders)
    assert train(folders, "--stream", "--workers", "2", "--model_name_out", "streamed") == 0
    streamed = weights(folders, "streamed")
    assert all(torch.equal(streamed[k], expected[k]) for k in expected)


def test_resume(folders: Bench, monkeypatch):
    assert train(folders, "--checkpoint_every", "1", "--model_name_out", "whole") == 0
    from cellpose.train import _loop

    epoch = _loop._epoch

    def die(run, optimiser, rate, progress):
        if progress.epoch == 2:
            raise KeyboardInterrupt
        epoch(run, optimiser, rate, progress)

    with monkeypatch.context() as patch:
        patch.setattr(_loop, "_epoch", die)
        assert train(folders, "--checkpoint_every", "1") == 130
    assert weights(folders).keys() == weights(folders, "whole").keys()
    assert train(folders, "--checkpoint_every", "1", "--resume") == 0
    assert all(torch.equal(weights(folders)[k], v) for k, v in weights(folders, "whole").items())


def test_replay_and_wrong_folders(folders: Bench, capsys):
    assert train(folders, "--replay_dir", str(folders.root / "nowhere")) == 2
    assert "--replay_dir" in capsys.readouterr().err
    assert train(folders, "--replay_dir", str(folders.root / "test"), "--replay_fraction", "0.5") == 0


def test_adapters_choose_their_own_rate(bench: Bench, monkeypatch):
    from cellpose import train as room
    from cellpose.cli import get_arg_parser

    seen = {}
    monkeypatch.setattr(
        room, "train_seg", lambda net, **keywords: seen.update(keywords) or ("x", np.zeros(0), np.zeros(0))
    )
    args = get_arg_parser().parse_args(["--train", "--dir", str(bench.root), "--adapter_rank", "4"])
    _train._train_network(None, nets.family_named("transformer"), {}, args)
    assert (seen["adapter_rank"], seen["learning_rate"]) == (4, None)


def test_a_trained_model_is_used_by_its_name(folders: Bench, capsys, monkeypatch):
    assert train(folders, "--no_records", "--no_report") == 0
    monkeypatch.chdir(folders.root)
    test = str(folders.root / "test")
    assert main(["--dir", test, "--pretrained_model", "mine", "--save_tif", "--no_npy"]) == 0
    assert main(["models", "list"]) == 0
    assert "mine" in capsys.readouterr().out
    (folders.root / "train" / "models" / "mine").unlink()
    assert main(["--dir", test, "--pretrained_model", "mine", "--save_tif", "--no_npy"]) == 2
    (folders.root / "models").mkdir(exist_ok=True)
    nets.CPnet([2, 4, 8]).save_model(folders.root / "models" / "other")  # as train_seg leaves it in the current folder
    assert main(["--dir", test, "--pretrained_model", "other", "--save_tif", "--no_npy"]) == 0


@pytest.mark.parametrize(("name", "kind"), [("nuclei-cells", "bundled"), ("cyto3", "published")])
def test_a_model_of_a_known_name_is_used_by_its_path(folders: Bench, name: str, kind: str, capsys):
    assert train(folders, "--no_records", "--no_report", "--model_name_out", name, "--verbose") == 0
    output, path = capsys.readouterr().out, folders.root / "train" / "models" / name
    told = f"a {kind} model has the name {name}: use the new one by its path {path}"
    assert told in output.partition(">>> computing flows")[0]
    assert f"use it with --pretrained_model {path}" in output
    assert main(["models", "list", "--all"]) == 0
    assert sum(line.split()[:1] == [name] for line in capsys.readouterr().out.splitlines()) == 1


def test_a_name_that_means_a_copy_in_the_models_folder(folders: Bench, capsys):
    path = folders.root / "train" / "models" / "mine"
    assert train(folders, "--no_records", "--no_report") == 0
    assert main(["models", "add", str(path)]) == 0
    assert "is replaced" not in capsys.readouterr().err
    assert train(folders, "--no_records", "--no_report", "--seed", "1") == 0
    told = capsys.readouterr().err
    assert f"WARNING: the name mine still means {folders.models / 'mine'}: use the new model by its path" in told
    assert f"`cellpose models add {path}`" in told
    assert "until now" not in told
    for words in (["models", "add"], ["--add_model"]):
        assert main([*words, str(path)]) == 0
        assert f"WARNING: the model mine in {folders.models} is replaced" in capsys.readouterr().err
    assert main(["models", "path", "mine"]) == 0
    assert capsys.readouterr().out.strip() == str(folders.models / "mine")


@pytest.mark.parametrize("name", ["a/b", "..", "a/"])
def test_names_that_no_model_can_have(folders: Bench, name: str, monkeypatch, capsys):
    monkeypatch.setattr(_train, "_load_data", lambda _: pytest.fail("data were read"))
    assert train(folders, "--model_name_out", name) == 2
    assert f"the model name {name!r} is not allowed" in capsys.readouterr().err


def test_restoration_networks_are_refused(folders: Bench, capsys):
    assert train(folders, "--pretrained_model", "oneclick") == 2
    assert "1 output and no flows: it cannot learn to segment" in capsys.readouterr().err


@pytest.mark.parametrize("how", [(), ("--stream",)])
@pytest.mark.parametrize("option", ["dir", "test_dir", "replay_dir"])
def test_an_empty_folder_is_named_with_its_option(folders: Bench, option: str, how: tuple[str, ...], capsys):
    (folders.root / "empty").mkdir()
    assert train(folders, f"--{option}", str(folders.root / "empty"), *how) == 2
    assert f"no files in --{option} folder {folders.root / 'empty'}" in capsys.readouterr().err


@pytest.mark.parametrize("how", [(), ("--stream",)])
def test_flows_of_an_earlier_training_are_no_labels(folders: Bench, how: tuple[str, ...], capsys):
    assert train(folders, "--no_records", "--no_report", *how) == 0
    capsys.readouterr()
    for with_masks in (True, False):
        assert train(folders, "--no_records", "--no_report", "--mask_filter", "_msk", *how) == 2
        told = capsys.readouterr().err
        assert f"there is no {folders.root / 'train' / 'im0'}_msk with any of" in told
        assert ("..._masks.tif" in told) == with_masks
        assert "im0_flows.tif seems to be computed from labels" in told
        for path in folders.root.glob("*/*_masks.tif"):
            path.unlink()


def test_other_options_are_refused_before_flows_are_computed(folders: Bench, monkeypatch, capsys):
    assert train(folders) == 0
    monkeypatch.setattr("cellpose.train._seg._image_sets", lambda *_: pytest.fail("images were prepared"))
    assert train(folders, "--resume", "--n_epochs", "4") == 2
    assert "n_epochs was 3, is 4" in capsys.readouterr().err


@pytest.mark.parametrize("how", ["file_list", "stream"])
def test_size_model_after_training_from_files(folders: Bench, how, capsys):
    """The size model is the same as that after training from memory."""

    assert train(folders, "--train_size", "--no_records", "--no_report") == 0
    expected = np.load(folders.root / "train" / "models" / "mine_size.npy", allow_pickle=True).item()
    words = ["--stream"]
    if how == "file_list":
        files = {
            f"{name}_{kind}": sorted(str(p) for p in (folders.root / name).glob(f"im?{end}.tif"))
            for name in ("train", "test")
            for kind, end in (("files", ""), ("labels_files", "_masks"))
        }
        np.save(folders.root / "list.npy", np.array({**files, "compute_flows": True}, dtype=object))
        words = ["--file_list", str(folders.root / "list.npy")]
    capsys.readouterr()
    second = ("--model_name_out", "second", "--no_records", "--no_report", "--verbose")
    assert train(folders, "--train_size", *second, *words) == 0
    assert "style test correlation: nan; final test correlation: nan" in "".join(capsys.readouterr())  # one image
    ignored = tifffile.imread(folders.root / "test" / "im2_masks.tif").astype(np.int32)
    ignored[:5] = -1
    tifffile.imwrite(folders.root / "test" / "im2_masks.tif", ignored)
    found = np.load(folders.root / "train" / "models" / "second_size.npy", allow_pickle=True).item()
    np.testing.assert_array_equal(found["A"], expected["A"])
    predicted = folders.root / "test" / "second_predicted_diams.npy"
    assert len(np.load(predicted, allow_pickle=True).item()["predicted_diams"]) == 1


def spoil(bench: Bench) -> None:
    """An image that does not fit its labels, and one that is no image, to train and to test on."""
    for name in ("train", "test"):
        image, labels = discs(9, seed=3)
        tifffile.imwrite(bench.root / name / "half.tif", image)
        tifffile.imwrite(bench.root / name / "half_masks.tif", labels[:20])
        tifffile.imwrite(bench.root / name / "broken_masks.tif", labels)
        (bench.root / name / "broken.tif").write_bytes(b"II*")


@pytest.mark.parametrize("how", [(), ("--stream",)])
def test_a_size_model_is_trained_without_the_files_that_are_left_out(
    folders: Bench, how: tuple[str, ...], capsys, monkeypatch
):
    spoil(folders)
    compared = []
    monkeypatch.setattr("cellpose.train.correlation", lambda *rows: compared.append(rows) or 0.5)
    assert train(folders, "--train_size", "--no_records", "--no_report", *how) == 0
    assert (folders.root / "train" / "models" / "mine_size.npy").is_file()
    assert "half.tif: has " in capsys.readouterr().err
    predicted = np.load(folders.root / "test" / "mine_predicted_diams.npy", allow_pickle=True).item()
    # nothing is wrong with the image whose labels do not fit; one that cannot be read keeps its place in a list
    listed = {"half.tif": True, "im2.tif": True, **({"broken.tif": False} if how else {})}
    assert [Path(name).name for name in predicted["files"]] == sorted(listed)
    for key in ("predicted_diams", "diams_style"):
        assert np.isfinite(predicted[key]).tolist() == [listed[name] for name in sorted(listed)]
    assert np.shape(compared) == (2, 2, 2)
    assert np.isfinite(compared).all()


def test_a_size_model_alone_is_trained_from_files(folders: Bench):
    place, model = str(folders.root / "train"), folders.root / "mine"
    nets.CPnet([2, 4, 8]).save_model(model)
    words = ("--train_size", "--dir", place, "--pretrained_model", str(model))
    assert folders.run(*words) == 0
    expected = np.load(f"{model}_size.npy", allow_pickle=True).item()
    for path in folders.root.glob("*/*_flows.tif"):
        path.unlink()
    assert folders.run(*words, "--stream") == 0
    found = np.load(f"{model}_size.npy", allow_pickle=True).item()
    np.testing.assert_array_equal(found["A"], expected["A"])
