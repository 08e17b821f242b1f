"""The QuPath extension, training: it reads the losses from the log and looks for the model's file."""

from __future__ import annotations

import re

import pytest
import tifffile
import torch

from bench import Bench
from blobs import blob_image
from cellpose import io
from cellpose.nets import CPnet

LOSSES = re.compile(r".* (\d+), train_loss=(\d+\.\d+), test_loss=(\d+\.\d+), LR=(\d+\.\d+), time (\d+\.\d+)s")


def training_folders(bench: Bench) -> None:
    """Folders train and test of images X.tif and masks X_masks.tif, as the extension exports them."""
    bench.model("../maker")
    torch.manual_seed(0)
    torch.save(CPnet([2, 4, 8]).state_dict(), bench.models / "starter")  # an untrained network, quick to train
    for name, seeds in (("train", (0, 1)), ("test", (2,))):
        folder = bench.root / name
        folder.mkdir()
        for seed in seeds:
            tifffile.imwrite(folder / f"region_{seed}.tif", blob_image(seed=seed))
        assert bench.run("--dir", folder, "--pretrained_model", bench.root / "maker", "--save_tif", "--no_npy") == 0
        for seed in seeds:
            (folder / f"region_{seed}_cp_masks.tif").rename(folder / f"region_{seed}_masks.tif")
        (folder / "cellpose_run.json").unlink()


def command(bench: Bench, model: str, *words: str) -> list[str]:
    folders = ["--dir", str(bench.root / "train"), "--test_dir", str(bench.root / "test")]
    options = "--chan 0 --chan2 0 --diameter 30 --n_epochs 6 --learning_rate 0.1 --batch_size 2 --min_train_masks 1"
    return ["--train", *folders, "--pretrained_model", model, *options.split(), "--verbose", *words]


def test_losses_and_model_file(bench: Bench):
    training_folders(bench)
    assert bench.run(*command(bench, "starter")) == 0
    matches = [match for line in bench.log().splitlines() if (match := LOSSES.fullmatch(line))]
    assert [int(match.group(1)) for match in matches] == [0, 5]
    assert all(float(match.group(2)) > 0 and float(match.group(3)) > 0 for match in matches[1:])
    models = sorted((bench.root / "train" / "models").iterdir())
    assert ["cellpose" in path.name for path in models] == [True]
    assert f">>>> model trained and saved to {models[0]}" in bench.log()
    # the extension moves the file away and goes on with it
    moved = models[0].rename(bench.root / "my model")
    bench.images("x.tif")
    assert bench.run("--pretrained_model", moved, "--diameter", "30", "--save_tif", "--no_npy") == 0


def test_quality_control_finds_only_the_images(bench: Bench):
    training_folders(bench)
    test = bench.root / "test"
    words = ["--dir", test, "--pretrained_model", "cyto3", "--diameter", "30", "--save_tif", "--no_npy", "--save_flows"]
    assert bench.run(*words) == bench.run(*words) == 0
    assert io.get_image_files(test, "_masks") == [str(test / "region_2.tif")]
    assert {"region_2.tif", "region_2_masks.tif", "region_2_cp_masks.tif"} <= {path.name for path in test.iterdir()}


@pytest.mark.slow  # the whole U-Net, on a CPU
def test_from_scratch(bench: Bench):
    training_folders(bench)
    assert bench.run(*command(bench, "None", "--n_epochs", "1", "--model_name_out", "cellpose_mine")) == 0
    assert ">>>> no model weights loaded" in bench.log()
    assert [path.name for path in (bench.root / "train" / "models").iterdir()] == ["cellpose_mine"]


def test_size_model(bench: Bench):
    training_folders(bench)
    assert bench.run(*command(bench, "starter", "--train_size", "--model_name_out", "mine", "--n_epochs", "1")) == 0
    models = bench.root / "train" / "models"
    assert sorted(path.name for path in models.iterdir()) == ["mine", "mine_size.npy"]
    assert (bench.root / "test" / "mine_predicted_diams.npy").is_file()
    bench.images("x.tif")
    assert bench.run("--pretrained_model", models / "mine", "--diameter", "0", "--no_npy", "--verbose") == 0
    assert ">>>> estimating diameter for each image" in bench.log()
