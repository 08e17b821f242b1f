"""The QuPath extension, prediction: tiles out, label images back, sometimes while they are being written."""

from __future__ import annotations

import os

import numpy as np
import pytest

from bench import Bench
from cellpose import io

COMMAND = "--chan 0 --chan2 0 --diameter 30 --save_tif --no_npy --use_gpu --verbose --pretrained_model cyto3"
TILES = ("Temp_0_0_z0_t0.tif", "Temp_512_0_z0_t0.tif")


def test_tiles(bench: Bench):
    bench.images(*TILES)
    assert bench.run(*COMMAND.split()) == 0
    for tile in TILES:
        assert io.imread(bench.folder / tile.replace(".tif", "_cp_masks.tif")).max() == 9
    assert len(list(bench.folder.glob("*"))) == 5  # two tiles, two results, the manifest


@pytest.mark.parametrize(
    "words",
    [
        "--cellprob_threshold -1.0 --flow_threshold 0.8",
        "--n_epochs 10 --learning_rate 0.1 --batch_size 4 --min_train_masks 1",
        "--exclude_on_edges",
        "--no_norm --niter 200 --augment",
    ],
)
def test_parameters_of_its_scripts(bench: Bench, words):
    bench.images(TILES[0])
    assert bench.run(*COMMAND.split(), *words.split()) == 0
    assert io.imread(bench.folder / "Temp_0_0_z0_t0_cp_masks.tif").dtype == np.uint16


def test_a_watcher_sees_results_being_modified(bench: Bench, monkeypatch):
    """A result that only appears by a rename is missed by watchers of modifications: it is touched afterwards."""
    bench.images(TILES[0])
    events = []
    replace, touch = os.replace, os.utime
    monkeypatch.setattr(os, "replace", lambda a, b: (events.append(("renamed", str(b))), replace(a, b))[1])
    monkeypatch.setattr(os, "utime", lambda p, *r, **k: (events.append(("modified", str(p))), touch(p, *r, **k))[1])
    assert bench.run(*COMMAND.split()) == 0
    result = str(bench.folder / "Temp_0_0_z0_t0_cp_masks.tif")
    assert [kind for kind, path in events if path == result] == ["renamed", "modified"]
