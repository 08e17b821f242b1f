"""The whole way of contributions on the command line, with trainings of a very small network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import Bench, make_bench
from cellpose import io, nets, train
from cellpose.__main__ import main
from cellpose.contributions import CONSENT, Provenance, Store, checked_pair
from test_train_data import discs


@pytest.fixture
def bench(tmp_path: Path):
    with make_bench(tmp_path) as place:
        torch.manual_seed(0)
        nets.CPnet([2, 4, 8]).save_model(place.models / "starter")
        yield place


@pytest.fixture
def store(bench: Bench) -> Store:
    store = Store(bench.root / "given", create=True)
    fields = {"licence": "CC0-1.0", "consent": CONSENT, "contributor": "Ada", "source": "A"}
    for seed in range(4):
        image, labels = discs(9, (80, 80), seed=seed)
        image = np.stack([image] * 3) if seed == 2 else image
        store.add(checked_pair(image, labels), Provenance.of(fields))
    return store


def contributions(command: str, store: Store, *words: str) -> int:
    return main(["contributions", command, str(store.folder), *words])


def test_from_received_to_published_and_back(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    names = [each.short for each in store.contributions()]
    assert contributions("accept", store, *names[:3]) == 0
    assert contributions("reject", store, names[3], "--reason", "blurred") == 0
    assert contributions("list", store, "--json") == 0
    printed = capsys.readouterr().out
    listed = json.loads(printed[printed.index("[\n") :])
    assert [each["state"] for each in listed] == ["accepted"] * 3 + ["rejected"]
    assert [each["role"] for each in listed] == ["train", "validation", "train", ""]
    assert listed[3]["reason"] == "blurred"

    known = store.folder.parent / "known"
    known.mkdir()
    image_file, masks_file = store.files_of(store.contributions()[3])
    shutil.copy(image_file, known / f"a{image_file.suffix}")
    shutil.copy(masks_file, known / f"a_masks{masks_file.suffix}")
    words = ["--pretrained_model", "starter", "--n_epochs", "2", "--replay_dir", str(known)]
    assert contributions("retrain", store, *words) == 0
    current = store.folder / "models" / "current"
    told = capsys.readouterr().err
    assert "A: AP@0.5" in told
    assert f"contributions-0001 is published: {current}" in told
    assert contributions("retrain", store, "--n_epochs", "2") == 0
    assert "nothing was accepted since" in capsys.readouterr().err
    image = io.imread(store.files_of(store.contributions()[0])[0])
    io.imsave(store.folder.parent / "new.tif", image)
    assert main(["--image_path", str(store.folder.parent / "new.tif"), "--pretrained_model", str(current)]) == 0

    assert contributions("versions", store) == 0
    assert "* contributions-0001  published" in capsys.readouterr().out
    assert contributions("rollback", store) == 0
    assert "contributions-0001 is withdrawn; no model is published any more" in capsys.readouterr().out
    assert not current.exists()


def test_a_worse_model_is_not_published(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in store.contributions():
        store.accept(each.id)
    aps = {"starter": 0.9, "contributions-0001": 0.8}
    monkeypatch.setattr(
        train, "score_seg", lambda net, images, *_, **__: np.full(len(images), aps[net.model_file.name])
    )
    assert contributions("retrain", store, "--pretrained_model", "starter", "--n_epochs", "1") == 1
    told = capsys.readouterr().err
    assert "A: AP@0.5 0.800 (0.900 published, 0.900 base; tolerance 0.020, 1 image): FELL" in told
    assert "contributions-0001 is not published: it is worse on A" in told
    assert not (store.folder / "models" / "current").exists()


def test_training_on_contributions_is_one_training(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--contributions", str(store.folder), "--pretrained_model", "starter", "--n_epochs", "2"]
    assert main(["train", *words]) == 2
    assert "is accepted; look through them first" in capsys.readouterr().err
    for each in store.contributions():
        store.accept(each.id)
    assert main(["train", *words, "--model_name_out", "mine", "--verbose"]) == 0
    printed = capsys.readouterr().out
    assert "n_train=3, n_test=1" in printed
    assert (store.folder / "models" / "mine").is_file()
    assert main(["train", *words, "--dir", str(store.folder)]) == 2
    assert main(words[:2]) == 2
    assert "cellpose train --contributions FOLDER" in capsys.readouterr().err


def test_damage_and_sparse_annotations_are_found(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert contributions("check", store) == 0
    assert "all files are as they were contributed" in capsys.readouterr().out
    assert not store.unmeasured()
    broken = store.contributions()[1]
    store.files_of(broken)[1].write_bytes(b"II*\0")
    assert contributions("check", store) == 1
    printed = capsys.readouterr()
    assert "1 contribution damaged" in printed.out
    assert broken.short in printed.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["list"], "required: FOLDER"),
        (["retrain", "{store}", "--every", "0"], "--every 0 is not allowed"),
        (["rollback", "{store}"], "nothing to roll back"),
        (["accept", "{store}", "ffffffffffff"], "there is no contribution ffffffffffff"),
        (["versions", "nowhere"], "nowhere holds no contributions"),
        (["retrain", "{store}"], "no contribution in"),
    ],
)
def test_errors_say_what_to_do(store: Store, words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["contributions", *(word.format(store=store.folder) for word in words)]) == 2
    assert told in capsys.readouterr().err
