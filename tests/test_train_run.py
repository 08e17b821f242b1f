"""Runs as a whole: resuming, choosing the best, stopping, validating, comparing, and what they leave behind."""

from __future__ import annotations

import csv
import dataclasses
import json
import logging
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from cellpose import nets, train, utils, weights
from cellpose.errors import FileMissingError, MissingExtraError, OptionError, WeightsError
from cellpose.options import Training
from cellpose.train import _loop
from cellpose.train._average import measure_statistics
from cellpose.train._records import write_plot
from cellpose.train._sets import ImageSet, ItemCache, in_advance
from cellpose.train._validate import Comparison, Scores, evaluate
from cellpose.weights import ModelFile
from cellpose.weights._card import read_card
from test_train_data import UNET, discs

SIZE = {"bsize": 32, "channels": [0, 0], "batch_size": 2, "learning_rate": 0.05}


def small(seed: int = 0) -> nets.CPnet:
    torch.manual_seed(seed)
    return nets.CPnet([2, 4, 8], nout=3)


def tiny_transformer() -> nets.CPSAM:
    torch.manual_seed(0)
    return nets.CPSAM(bsize=32, embed_dim=32, num_heads=2, offsets=(7, 7))


def data(n: int = 3) -> tuple[list[np.ndarray], list[np.ndarray]]:
    images, labels = zip(*(discs(9, seed=i) for i in range(n)), strict=True)
    return list(images), list(labels)


def run(net, folder, **keywords):
    images, labels = data()
    options = {**SIZE, "n_epochs": 6, "save_path": folder, "model_name": "m", **keywords}
    return train.train_seg(net, images, labels, **options)


def test_every_option_of_training_arrives(tmp_path, monkeypatch):
    arrived = {}

    def note(family, **given):
        arrived.update(given)
        raise OptionError("enough")

    monkeypatch.setattr(Training, "of", note)
    given = {field.name: object() for field in dataclasses.fields(Training)} | {"SGD": False, "bsize": 32}
    with pytest.raises(OptionError, match="enough"):
        train.train_seg.__wrapped__(small(), *data(), save_path=tmp_path, **given)
    assert arrived == given


def with_test(**keywords):
    images, labels = data(2)
    return {"test_data": images, "test_labels": labels, **keywords}


@pytest.fixture(autouse=True)
def one_thread():
    """Threads that wait for each other make runs of tiny networks slow on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Killed(BaseException):
    """Stands for the power that goes out: nothing catches it."""


def die_after(epoch: int):
    def on_epoch(row):
        if row["epoch"] == epoch:
            raise Killed

    return on_epoch


def equal_states(a, b) -> bool:
    return all(torch.equal(a.state_dict()[k], b.state_dict()[k]) for k in a.state_dict())


@pytest.mark.parametrize(
    "options",
    [{}, {"SGD": True}, {"seed": 3, "accumulate": 2, "deterministic": True}, {"average_weights": 0.4, "seed": 1}],
)
def test_a_resumed_run_ends_as_if_it_had_never_stopped(tmp_path, options):
    options = {**options, "checkpoint_every": 2}
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    whole = small()
    _, losses, test_losses = run(whole, tmp_path / "a", **with_test(**options))
    with pytest.raises(Killed):
        run(small(), tmp_path / "b", **with_test(on_epoch=die_after(4), **options))
    torch.rand(7)  # other random numbers were drawn meanwhile
    resumed = small()
    _, losses2, test_losses2 = run(resumed, tmp_path / "b", **with_test(resume=True, **options))
    np.testing.assert_array_equal(losses2, losses)
    np.testing.assert_array_equal(test_losses2, test_losses)
    assert equal_states(whole, resumed)
    # once more: the run is finished, nothing is trained
    other = small(1)
    again = run(other, tmp_path / "b", **with_test(resume=True, **options))
    np.testing.assert_array_equal(again[1], losses)
    assert equal_states(whole, other)


@pytest.mark.parametrize("options", [{"records": True}, {"report": True}, {"validate_every": 2, "keep_best": True}])
def test_a_finished_run_keeps_its_model(tmp_path, options, caplog):
    options = with_test(**{"records": True, **options})
    trained, net = small(), small(1)
    path, *_ = run(trained, tmp_path, **options)
    before = path.read_bytes()
    with caplog.at_level(logging.INFO, "cellpose.train"):
        run(net, tmp_path, resume=True, **options)
    assert equal_states(net, trained)
    assert not net.training
    assert path.read_bytes() == before
    assert f"the run of m is finished: its model {path} stays as it is" in caplog.text
    path.unlink()
    with pytest.raises(FileMissingError, match=r"its model .*m is missing; train without resume"):
        run(small(1), tmp_path, resume=True, **options)


@pytest.mark.parametrize("records", [True, False])
def test_a_run_that_is_replaced_is_not_taken_for_finished(tmp_path, records):
    def interrupt(row):
        raise KeyboardInterrupt

    run(small(), tmp_path, records=True)
    with pytest.raises(KeyboardInterrupt):
        run(small(), tmp_path, records=records, on_epoch=interrupt)
    whole, resumed = small(), small()
    (tmp_path / "whole").mkdir()
    run(whole, tmp_path / "whole")
    run(resumed, tmp_path, resume=True)
    assert equal_states(whole, resumed)


def test_an_unfinished_run_can_be_resumed_after_another_was_started_by_mistake(tmp_path):
    with pytest.raises(Killed):
        run(small(), tmp_path, checkpoint_every=2, on_epoch=die_after(3))
    with pytest.raises(Killed):
        run(small(), tmp_path, checkpoint_every=2, on_epoch=die_after(0))
    seen = []
    run(small(), tmp_path, resume=True, on_epoch=lambda row: seen.append(row["epoch"]))
    assert seen == [4, 5]


def test_best_weights_of_another_run_are_not_taken(tmp_path, monkeypatch, caplog):
    options = with_test(keep_best=True, validate_every=10)
    with pytest.raises(Killed):
        run(small(), tmp_path, **{**options, "validate_every": 1}, on_epoch=die_after(2))
    best = tmp_path / "training" / "m" / "best.pt"
    assert best.exists()
    net = small()
    run(net, tmp_path, **options, n_epochs=20, on_epoch=lambda row: row["epoch"] < 3)
    fresh = small()
    run(fresh, tmp_path, n_epochs=20, model_name="fresh", on_epoch=lambda row: row["epoch"] < 3)
    assert equal_states(net, fresh)
    assert not best.exists()
    # in the place of the best weights lie those of another epoch
    values = iter([0.6, 0.2, 0.3])
    monkeypatch.setattr(_loop, "validate", lambda _: Scores((next(values),) * 3, 0.0, (0.5,)))
    monkeypatch.setattr("cellpose.train._seg.validate", lambda _: Scores((0.5,) * 3, 0.0, (0.5,)))
    torch.save({"epoch": 1, "net": small(1).state_dict()}, tmp_path / "other.pt")

    def replace(row):
        best.write_bytes((tmp_path / "other.pt").read_bytes())

    caplog.clear()
    run(net := small(), tmp_path, **{**options, "validate_every": 1}, n_epochs=3, on_epoch=replace)
    run(fresh := small(), tmp_path, n_epochs=3, model_name="fresh")
    assert equal_states(net, fresh)
    assert f"the weights of epoch 0, the best ones, are not in {best} any more: the last ones are kept" in caplog.text


def test_layer_drop_and_adapters_resume_too(tmp_path):
    options = {"channels": None, "bsize": None, "adapter_rank": 2, "checkpoint_every": 1, "seed": 0, "batch_size": 3}
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    whole, resumed = tiny_transformer(), tiny_transformer()
    _, losses, _ = run(whole, tmp_path / "a", **options)
    with pytest.raises(Killed):
        run(tiny_transformer(), tmp_path / "b", on_epoch=die_after(2), **options)
    _, losses2, _ = run(resumed, tmp_path / "b", resume=True, **options)
    np.testing.assert_array_equal(losses2, losses)
    assert equal_states(whole, resumed)


@pytest.mark.slow  # three interpreters
def test_killed_process_resumes_exactly(tmp_path):
    """The real thing: SIGKILL in the middle of an epoch, losses compared bit for bit."""
    program = tmp_path / "run.py"
    program.write_text(
        "import sys, torch, numpy as np\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_train_run import run, small\n"
        "torch.set_num_threads(1)\n"
        "told = lambda row: print('epoch', flush=True)\n"
        "path, losses, _ = run(small(), sys.argv[1], n_epochs=25, checkpoint_every=3, on_epoch=told, "
        "resume='resume' in sys.argv)\n"
        "np.save(sys.argv[1] + '/losses.npy', losses)\n"
    )
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    command = [sys.executable, str(program)]
    subprocess.run([*command, str(folders[0])], check=True, capture_output=True)
    with subprocess.Popen([*command, str(folders[1])], stdout=subprocess.PIPE, text=True) as process:
        for _ in range(11):
            process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
    assert not (folders[1] / "losses.npy").exists()
    subprocess.run([*command, str(folders[1]), "resume"], check=True, capture_output=True)
    losses = [np.load(folder / "losses.npy") for folder in folders]
    np.testing.assert_array_equal(*losses)
    states = [torch.load(folder / "models" / "m", weights_only=True) for folder in folders]
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])


def test_resume_finds_the_newest_run_and_refuses_others(tmp_path, caplog):
    with pytest.raises(Killed):
        run(small(), tmp_path, model_name=None, on_epoch=die_after(1), checkpoint_every=1)
    (name,) = (path.name for path in (tmp_path / "training").iterdir())
    with pytest.raises(OptionError, match=r"batch_size was 2, is 3"):
        run(small(), tmp_path, model_name=None, resume=True, batch_size=3)
    path, *_ = run(small(), tmp_path, model_name=None, resume=True)
    assert path.name == name
    (tmp_path / "training" / name / "checkpoint.pt").write_bytes(b"PK\x03\x04broken")
    with pytest.raises(WeightsError, match="corrupt"):
        run(small(), tmp_path, model_name=None, resume=True)
    with caplog.at_level(logging.INFO, "cellpose.train"):
        run(small(), tmp_path, model_name="other", resume=True, n_epochs=1)
    assert "no checkpoint" in caplog.text


def changed(data_, what):
    images, labels = data_
    if what == "intensities":
        return [2 * image for image in images], labels
    moved = labels[0].copy()
    moved[moved == 1] = 0
    return images, [np.where(labels[0] == 1, np.roll(labels[0], 1, 0), moved), *labels[1:]]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("what", ["intensities", "labels"])
def test_other_data_are_not_resumed(tmp_path, what, streamed):
    def attempt(images, labels, **more):
        given = {"train_data": images, "train_labels": labels}
        if streamed:
            for i, (image, label) in enumerate(zip(images, labels, strict=True)):
                np.save(tmp_path / f"im{i}.npy", image.astype(np.float32))
                np.save(tmp_path / f"im{i}_masks.npy", label)
            files = [[str(tmp_path / f"im{i}{end}.npy") for i in range(len(images))] for end in ("", "_masks")]
            given = {
                "train_files": files[0],
                "train_labels_files": files[1],
                "load_files": False,
                "compute_flows": True,
            }
        train.train_seg(
            small(), **given, **SIZE, n_epochs=4, save_path=tmp_path, model_name="m", checkpoint_every=1, **more
        )

    with pytest.raises(Killed):
        attempt(*data(), on_epoch=die_after(1))
    with pytest.raises(OptionError, match=r"data was \w{12}, is \w{12}"):
        attempt(*changed(data(), what), resume=True)
    attempt(*data(), resume=True)


@pytest.mark.parametrize(("name", "other"), [("channels", [1, 0]), ("normalize", False), ("class_weights", [1.0, 2.0])])
def test_images_are_prepared_as_before_when_a_run_is_resumed(tmp_path, name, other):
    with pytest.raises(Killed):
        run(small(), tmp_path, on_epoch=die_after(1), checkpoint_every=1)
    with pytest.raises(OptionError, match="belongs to another run"):
        run(small(), tmp_path, resume=True, **{name: other})


def test_a_run_is_resumed_with_its_base_model_alone(tmp_path):
    files = []
    for seed, name in enumerate(("base", "other", "copy")):
        files.append(ModelFile(name, tmp_path / name))
        small(seed % 2).save_model(tmp_path / name)

    def based_on(file, **more):
        net = small()
        net.load_model(file.path)
        net.model_file = file
        return run(net, tmp_path, checkpoint_every=1, **more)

    with pytest.raises(Killed):
        based_on(files[0], on_epoch=die_after(1))
    with pytest.raises(OptionError, match=f"base_model was {files[0].sha256[:12]}, is {files[1].sha256[:12]}"):
        based_on(files[1], resume=True)
    path, *_ = based_on(files[2], resume=True)  # the same weights by another name
    # a model that is trained further changes before the run is resumed
    with pytest.raises(Killed):
        based_on(ModelFile("m", path), on_epoch=die_after(1))
    based_on(ModelFile("m", path), resume=True)


def test_a_seed_rules_everything_and_leaves_the_callers_numbers_alone(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    losses = []
    for seed in (1, 1, 2):
        net = tiny_transformer()
        torch.manual_seed(5)
        losses.append(run(net, tmp_path, channels=None, bsize=None, seed=seed, n_epochs=3)[1])
        assert torch.equal(torch.rand(3), expected)
    np.testing.assert_array_equal(losses[0], losses[1])
    assert not np.array_equal(losses[0], losses[2])


def test_accumulated_batches_are_one_step(tmp_path):
    """Without batch statistics three crops in one batch, or one by one, give the same gradient."""
    from toy import toy_from_formula

    nets_ = []
    for options in ({"batch_size": 3}, {"batch_size": 1, "accumulate": 3}):
        nets_.append(toy_from_formula(3, "sam_vitl"))
        run(nets_[-1], tmp_path, channels=None, **options, n_epochs=3)
    for a, b in zip(nets_[0].parameters(), nets_[1].parameters(), strict=True):
        # AdamW divides by the size of the gradient: float32 sums in another order show in the fifth digit
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def test_interruption_leaves_a_usable_model(tmp_path, caplog):
    def interrupt(row):
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    net = small()
    with pytest.raises(KeyboardInterrupt):
        run(net, tmp_path, on_epoch=interrupt)
    fresh = small(1)
    fresh.load_model(tmp_path / "models" / "m")
    assert equal_states(fresh, net)
    assert "was saved" in caplog.text


def test_an_interruption_before_the_first_checkpoint_can_be_resumed(tmp_path):
    def interrupt(row):
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(small(), tmp_path, records=True, checkpoint_every=100, on_epoch=interrupt)
    seen, resumed, whole = [], small(), small()
    run(resumed, tmp_path, resume=True, checkpoint_every=100, on_epoch=lambda row: seen.append(row["epoch"]))
    assert seen == [3, 4, 5]
    (tmp_path / "whole").mkdir()
    run(whole, tmp_path / "whole")
    assert equal_states(whole, resumed)


def test_a_callback_stops_training(tmp_path):
    seen = []
    _, losses, _ = run(small(), tmp_path, on_epoch=lambda row: seen.append(row) or row["epoch"] < 2)
    assert np.count_nonzero(losses) == len(seen) == 3
    assert seen[0]["n_epochs"] == 6
    assert (tmp_path / "models" / "m").is_file()


def test_a_callback_stops_training_in_the_middle_of_an_epoch(tmp_path):
    seen = []
    net = small()
    _, losses, _ = run(
        net, tmp_path, nimg_per_epoch=6, on_step=lambda step: seen.append(step) or len(seen) < 4, average_weights=0.5
    )
    assert [(step["epoch"], step["crops"]) for step in seen] == [(0, 2), (0, 4), (0, 6), (1, 2)]
    assert seen[0]["n_crops"] == 6
    assert np.count_nonzero(losses) == 2
    fresh = small(1)
    fresh.load_model(tmp_path / "models" / "m")
    assert equal_states(fresh, net)


def test_best_weights_are_kept_and_training_stops_early(tmp_path, monkeypatch):
    values = iter([0.1, 0.6, 0.2, 0.3, 0.4, 0.5])
    states = []

    def scores(run):
        states.append({k: v.clone() for k, v in run.net.state_dict().items()})
        return Scores((next(values),) * 3, 0.0, (0.5,))

    monkeypatch.setattr(_loop, "validate", scores)
    monkeypatch.setattr("cellpose.train._seg.validate", lambda run: Scores((0.5,) * 3, 0.0, (0.5,)))
    net = small()
    _, losses, _ = run(net, tmp_path, **with_test(validate_every=1, keep_best=True, patience=3, n_epochs=20))
    assert np.count_nonzero(losses) == 5
    assert all(torch.equal(states[1][k], net.state_dict()[k]) for k in states[1])
    saved = torch.load(tmp_path / "models" / "m", weights_only=True)
    assert all(torch.equal(states[1][k], saved[k]) for k in saved)
    assert sorted(p.name for p in (tmp_path / "training" / "m").iterdir() if p.suffix == ".pt") == ["checkpoint.pt"]


def test_the_plot_of_losses_counts_epochs_in_whole_numbers(tmp_path, monkeypatch):
    figure = pytest.importorskip("matplotlib.figure")
    drawn = []
    monkeypatch.setattr(figure.Figure, "savefig", lambda self, path: drawn.append(self))
    write_plot(tmp_path, [{"epoch": epoch, "train_loss": 1.0} for epoch in range(2)])
    ticks = drawn[0].axes[0].get_xticks()
    assert (ticks == np.rint(ticks)).all()


def test_records_of_a_run(tmp_path, caplog):
    with caplog.at_level(logging.INFO, "cellpose.train"):
        path, losses, _ = run(small(), tmp_path, **with_test(records=True, validate_every=3))
    folder = tmp_path / "training" / "m"
    rows = list(csv.DictReader((folder / "losses.csv").read_text(encoding="utf-8").splitlines()))
    np.testing.assert_allclose([float(r["train_loss"]) for r in rows], losses)
    assert [bool(r["ap50"]) for r in rows] == [False, False, True] * 2
    sheet = cv2.imread(str(folder / "validation.png"))
    assert sheet.shape == (2 * 260, 2 * 260, 3)
    assert len(np.unique(sheet)) > 10
    pytest.importorskip("matplotlib")
    assert cv2.imread(str(folder / "losses.png")).std() > 1
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert report["images"] == 2
    assert "AP@0.5:" in caplog.text
    assert read_card(path)["validation"] == report
    assert [p.name for p in (tmp_path / "models").iterdir()] == ["m"]


def test_without_new_options_only_the_model_is_written(tmp_path):
    run(small(), tmp_path)
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")] == ["models", "models/m"]


def test_comparison_says_if_training_harmed():
    good, bad = Scores((0.8, 0.6, 0.3), 0.1, (0.9, 0.7)), Scores((0.6, 0.4, 0.1), 0.2, (0.9, 0.3))
    assert Comparison(good, bad).harmed
    assert "WORSE on the 2 held-out images (1 clearly)" in Comparison(good, bad).lines()[-1]
    assert Comparison(good, bad).lines(["rest"])[-1].endswith("where the loss still falls, rest")
    assert "improved" in Comparison(bad, good).lines(["rest"])[-1]
    assert "changed little" in Comparison(good, good).lines()[-1]


def test_evaluation_counts_neither_for_nor_against_ignored_regions():
    from blobs import blob_finder, blob_image
    from cellpose.train._data import Sources, build_set

    image = blob_image((88, 88))
    net = blob_finder()
    everything = np.full(image.shape, -1, np.int32)
    y, x = np.mgrid[:88, :88]
    labels = np.zeros(image.shape, np.int32)
    for n, (cy, cx) in enumerate([(11, 11), (11, 33), (33, 11), (33, 33)]):
        labels[(y - cy) ** 2 + (x - cx) ** 2 < 45] = n + 1
    sparse = np.where((y < 44) & (x < 44), labels, everything)
    known, unknown = (
        evaluate(net, build_set(Sources([image], [each]), UNET), rescale=False) for each in (sparse, labels)
    )
    assert known.ap[0] == 1.0
    assert unknown.ap[0] == pytest.approx(4 / 16)


def test_card_in_the_model_file(tmp_path, caplog):
    net = small()
    path, *_ = run(net, tmp_path, n_epochs=1)
    card = ModelFile("m", path).card
    assert card["images"] == 3
    assert card["masks"] == 27
    assert card["family"] == "cpnet"
    assert card["training"]["batch_size"] == 2
    assert "parent" not in card
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    net.model_file = ModelFile("m", path)
    second, *_ = run(net, tmp_path, n_epochs=1, model_name="n")
    child = read_card(second)
    assert (child["parent"], child["parent_sha256"]) == ("m", ModelFile("m", path).sha256)
    assert "itself fine-tuned" not in caplog.text
    net.model_file = ModelFile("n", second)
    run(net, tmp_path, n_epochs=1, model_name="o")
    assert "n was itself fine-tuned, from m" in caplog.text
    assert read_card(tmp_path / "none") == {}


@pytest.mark.parametrize("make", [small, tiny_transformer])
def test_frozen_encoder_stays(tmp_path, make):
    net = make()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    u = make is small
    run(net, tmp_path, freeze_encoder=True, channels=[0, 0] if u else None, bsize=32 if u else None)
    changed = {k for k, v in net.state_dict().items() if not torch.equal(v, before[k])} - {"diam_labels"}
    assert changed
    assert not [k for k in changed if k.startswith(("encoder", "downsample"))]
    assert all(p.requires_grad for k, p in net.named_parameters() if not k.startswith(("diam", "W2")))


def test_adapters_are_merged_into_the_published_format(tmp_path):
    net = tiny_transformer()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    path, *_ = run(net, tmp_path, adapter_rank=2, channels=None, bsize=None, learning_rate=None, n_epochs=3)
    saved = torch.load(path, weights_only=True)
    assert saved.keys() == before.keys()
    changed = {k for k, v in saved.items() if not torch.equal(v, before[k])}
    assert {"encoder.blocks.0.attn.qkv.weight", "encoder.blocks.1.attn.proj.weight", "out.weight"} <= changed
    assert not [k for k in changed if "mlp" in k or "patch" in k or k.endswith("rel_pos_h")]
    assert all(torch.equal(v, net.state_dict()[k]) for k, v in saved.items())
    assert read_card(path)["training"]["learning_rate"] == 1e-4
    difference = saved["encoder.blocks.0.attn.qkv.weight"] - before["encoder.blocks.0.attn.qkv.weight"]
    # two thin matrices have no third singular value beyond the rounding of float32 sums
    assert float(torch.linalg.svdvals(difference)[2]) < 1e-6
    with pytest.raises(OptionError, match="use adapter_rank only for transformers"):
        run(small(), tmp_path, adapter_rank=2)


def test_replayed_images_are_part_of_every_epoch(tmp_path, monkeypatch):
    drawn = []
    item = ImageSet.item
    monkeypatch.setattr(ImageSet, "item", lambda self, i: drawn.append((self.names[0], i)) or item(self, i))
    images, labels = data(3)
    replay = [image[:50] for image in images], [label[:50] for label in labels]
    names = [str(tmp_path / f"base{i}") for i in range(3)]
    net = small()
    run(
        net,
        tmp_path,
        n_epochs=4,
        replay_data=replay[0],
        replay_labels=replay[1],
        replay_files=names,
        replay_fraction=0.5,
    )
    assert sum(name == names[0] for name, _ in drawn) == sum(name == "0" for name, _ in drawn) == 4 * 3
    # the replayed images are no part of what the model was tuned on
    assert float(net.diam_labels) == pytest.approx(np.mean([utils.diameters(label)[0] for label in labels]))


def test_images_without_cells_do_not_change_the_diameter_of_the_model(tmp_path):
    images, labels = data(2)
    noise = np.random.default_rng(0).integers(0, 255, images[0].shape).astype(np.uint8)
    net = small()
    given = {**SIZE, "n_epochs": 1, "save_path": tmp_path, "model_name": "m", "min_train_masks": 0}
    path, *_ = train.train_seg(net, [*images, noise], [*labels, labels[0] * 0], **given)
    mean = np.mean([utils.diameters(label)[0] for label in labels])
    assert float(net.diam_labels) == pytest.approx(mean)
    assert read_card(path)["diam_labels"] == pytest.approx(mean, abs=1e-3)


def test_streaming_gives_the_same_weights_as_memory(tmp_path):
    images, labels = data(4)
    files, masks = [], []
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        files.append(tmp_path / f"im{i}.png")
        masks.append(tmp_path / f"im{i}_masks.png")
        cv2.imwrite(str(files[-1]), image)
        cv2.imwrite(str(masks[-1]), label)
    common = {**SIZE, "n_epochs": 2, "save_path": tmp_path, "model_name": "m"}
    nets_ = [small() for _ in range(4)]
    train.train_seg(nets_[0], images, labels, **common)
    for net, more in zip(nets_[1:], ({}, {"workers": 3}, {"cache_gb": 1e-4, "workers": 2}), strict=True):
        train.train_seg(
            net, train_files=files, train_labels_files=masks, load_files=False, compute_flows=True, **common, **more
        )
        assert equal_states(net, nets_[0])


def test_the_cache_is_bounded_and_forgets_the_oldest():
    cache = ItemCache(3000)
    for i in range(4):
        cache.put(i, (np.zeros(100, np.float64), np.zeros(25, np.float64)))
        cache.get(0)
    assert cache.n_bytes == 3000
    assert [cache.get(i) is not None for i in range(4)] == [True, False, True, True]
    cache.put(9, (np.zeros(1000), np.zeros(1)))
    assert cache.get(9) is None


def test_batches_made_in_advance_keep_their_order_and_their_errors():
    def make(start):
        if start == 7:
            message = "broken"
            raise ValueError(message)
        return start

    assert list(in_advance(make, range(5), 2)) == list(range(5))
    taken = in_advance(make, range(5, 10), 2)
    assert [next(taken), next(taken)] == [5, 6]
    with pytest.raises(ValueError, match="broken"):
        next(taken)


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload()
    return {tag: {event.step: event.value for event in events.Scalars(tag)} for tag in events.Tags()["scalars"]}


def test_tensorboard_shows_the_losses_of_a_resumed_run(tmp_path):
    pytest.importorskip("tensorboard")
    options = with_test(tensorboard=True, checkpoint_every=2)
    with pytest.raises(Killed):
        run(small(), tmp_path, on_epoch=die_after(4), **options)
    _, losses, _ = run(small(), tmp_path, resume=True, **options)
    found = scalars(tmp_path / "training" / "m")
    assert found.keys() == {"train_loss", "test_loss", "learning_rate", "seconds"}
    # float32 in the file
    np.testing.assert_allclose([found["train_loss"][epoch] for epoch in range(6)], losses, rtol=1e-6)
    assert found["test_loss"].keys() == {0, 5}


def test_tensorboard_is_missed_before_the_first_epoch(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    seen = []
    with pytest.raises(MissingExtraError, match=r"cellpose\[tensorboard\]"):
        run(small(), tmp_path, tensorboard=True, on_epoch=seen.append)
    assert not seen


def test_averaged_weights_are_what_is_tested_and_saved(tmp_path):
    """Over all steps the mean is that of the weights after each step; the training itself is not touched."""
    states = []

    def keep(net):
        return lambda row: states.append({k: v.clone() for k, v in net.state_dict().items()})

    for share in (0.0, 1.0):
        net = small()
        path, losses, test_losses = run(
            net, tmp_path, **with_test(average_weights=share, on_epoch=keep(net), batch_size=3, model_name=str(share))
        )
        if not share:
            plain, plain_losses, plain_test = list(states), losses, test_losses
    np.testing.assert_array_equal(losses, plain_losses)
    assert equal_states_of(states[6], plain[0])
    assert equal_states_of(states[11], plain[5])  # between epochs the network has its own weights
    assert test_losses[5] != plain_test[5]
    saved = torch.load(path, weights_only=True)
    assert equal_states_of(saved, net.state_dict())
    for name in ("output.2.weight", "downsample.down.res_down_0.proj.1.bias"):
        # float32 sums in another order
        torch.testing.assert_close(saved[name], torch.stack([s[name] for s in plain]).mean(0), rtol=1e-5, atol=1e-7)
    assert saved["output.0.num_batches_tracked"] == plain[5]["output.0.num_batches_tracked"]


def test_statistics_are_measured_only_where_they_are_used(tmp_path, monkeypatch):
    epochs = []
    monkeypatch.setattr(_loop, "_measure_statistics", lambda run: epochs.append(run.mean.n_steps // 2))
    run(small(), tmp_path, n_epochs=8, average_weights=0.5)
    assert epochs == [8]  # two steps per epoch; the last save alone
    epochs.clear()
    run(small(), tmp_path, **with_test(n_epochs=8, average_weights=0.5, validate_every=4))
    assert epochs == [1, 4, 6, 8]


def test_statistics_are_those_of_the_weights():
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2), torch.nn.BatchNorm2d(2))
    net.train()
    net[2].eval()  # frozen
    x = torch.randn(3, 4, 1, 5, 5)
    measure_statistics(net, x)
    features = torch.stack([net[0](batch).detach() for batch in x])
    torch.testing.assert_close(net[1].running_mean, features.mean((0, 1, 3, 4)))
    # the mean over batches of their unbiased variances
    torch.testing.assert_close(net[1].running_var, features.transpose(1, 2).flatten(2).var(-1).mean(0))
    assert (net[1].momentum, int(net[1].num_batches_tracked)) == (0.1, 0)
    assert float(net[2].running_mean.abs().sum()) == 0


def equal_states_of(a, b) -> bool:
    return all(torch.equal(a[k], b[k]) for k in a)


def test_dino_networks_train_on_crops_of_any_multiple(tmp_path):
    torch.manual_seed(0)
    net = nets.CPDINO("vitb", embed_dim=32, depth=2, num_heads=2)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    options = {"channels": None, "bsize": 32, "learning_rate": 1e-3, "n_epochs": 3, "average_weights": 0.5}
    path, losses, _ = run(net, tmp_path, **options)
    assert np.isfinite(losses).all()
    assert losses[2] != losses[1]
    saved = torch.load(path, weights_only=True)
    changed = {k for k, v in saved.items() if not torch.equal(v, before[k])}
    assert {"out.weight", "encoder.blocks.1.attn.qkv.weight", "encoder.patch_embed.proj.weight"} <= changed
    assert not {"W2", "encoder.rope_embed.periods", "encoder.blocks.0.attn.qkv.bias_mask"} & changed
    for wrong, multiple in ((net, 8), (small(), 2)):
        with pytest.raises(OptionError, match=f"bsize=33 is not allowed; it must be a multiple of {multiple}"):
            run(wrong, tmp_path, **{**options, "bsize": 33})
    with pytest.raises(OptionError, match="crops of 32 pixels"):
        run(tiny_transformer(), tmp_path, **{**options, "bsize": 40})


def test_a_model_that_is_replaced_and_options_without_effect_are_told(tmp_path, caplog):
    run(small(), tmp_path, keep_best=True, patience=3)
    assert caplog.messages == ["keep_best, patience have no effect without test images (--test_dir)"]
    caplog.clear()
    path, *_ = run(small(), tmp_path)
    assert caplog.messages == [f"training replaces the model {path}; choose another name to keep it"]


def test_a_name_that_means_another_model_from_now_on_is_told(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path / "home"))
    files = [tmp_path / place / "mine" for place in "ab"]
    for file in files:
        file.parent.mkdir()
        file.touch()
    weights.remember_trained(files[0])
    weights.remember_trained(files[0])
    assert not caplog.records
    weights.remember_trained(files[1])
    assert caplog.messages == [f"the name mine meant {files[0]} until now; use that model by its path"]
