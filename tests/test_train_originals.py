"""Models trained here run in the original programs, and theirs here, with the same results.

They are run as they are, by interpreters that ``CELLPOSE_TEST_PYTHON_V3`` (3.1.1.3) and ``CELLPOSE_TEST_PYTHON_V4``
(4.2.1.1) name; without these the tests are skipped.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from cellpose import models, nets, train, weights
from cellpose.train._card import save_network
from cellpose.weights._card import read_card
from test_train_data import discs

pytestmark = pytest.mark.slow  # networks of full size, and interpreters that import torch

# On both sides: the outputs for one image, and for one tile, of a model file. The diameter is given, so that images are
# brought to the size that the file says.
RUN = """
import sys, numpy as np, torch
from cellpose import models
torch.set_num_threads(1)
path, image, out = sys.argv[1:4]
model = models.CellposeModel(gpu=False, pretrained_model=path)
image = np.load(image)
masks, flows, style = model.eval(image, channels=[0, 0], diameter=20.0)
np.savez(out, masks=masks, dP=flows[1], cellprob=flows[2], style=style, diam_mean=float(model.net.diam_mean),
         diam_labels=float(model.net.diam_labels))
"""

TRAIN = """
import sys, numpy as np, torch
from cellpose import train
from cellpose.resnet_torch import CPnet
folder = sys.argv[1]
torch.set_num_threads(1)
torch.manual_seed(3)
net = CPnet([2, 32, 64, 128, 256], nout=3, sz=3)
data = np.load(folder + "/data.npz")
train.train_seg(net, train_data=list(data["images"]), train_labels=list(data["labels"]), channels=[0, 0], n_epochs=3,
                learning_rate=0.005, batch_size=2, bsize=64, min_train_masks=1, save_path=folder, model_name="theirs")
"""

TILE = """
import sys, numpy as np, torch
from cellpose import models
torch.set_num_threads(1)
model = models.CellposeModel(gpu=False, pretrained_model=sys.argv[1], use_bfloat16=False)
model.net.eval()
with torch.no_grad():
    y = model.net(torch.from_numpy(np.load(sys.argv[2])))[0].float().numpy()
np.savez(sys.argv[3], y=y, nout=model.net.nout)
"""


def original(version: int) -> str:
    name = f"CELLPOSE_TEST_PYTHON_V{version}"
    python = os.environ.get(name)
    if not python:
        pytest.skip(f"{name} names no interpreter with the original program")
    return python


def call(python: str, code: str, folder: Path, *words: object) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"OMP_NUM_THREADS": "1", "HOME": str(folder), "CELLPOSE_LOCAL_MODELS_PATH": str(folder)}
    command = [python, "-W", "ignore", "-c", code, *map(str, words)]
    done = subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def data() -> tuple[list[np.ndarray], list[np.ndarray]]:
    images, labels = zip(*(discs(9, seed=i) for i in range(2)), strict=True)
    return list(images), list(labels)


def compare(python: str, path: Path, folder: Path) -> None:
    """Outputs of one model file, theirs and ours."""
    np.save(folder / "image.npy", data()[0][0])
    call(python, RUN, folder, path, folder / "image.npy", folder / "theirs.npz")
    theirs = np.load(folder / "theirs.npz")
    model = models.CellposeModel(pretrained_model=str(path), engine="torch")
    masks, flows, style = model.eval(data()[0][0], channels=[0, 0], diameter=20.0)
    assert float(model.net.diam_mean) == theirs["diam_mean"]
    assert float(model.net.diam_labels) == pytest.approx(float(theirs["diam_labels"]))
    # float32 sums in another order, over about a hundred layers
    scale = np.abs(theirs["dP"]).max()
    np.testing.assert_allclose(flows[1], theirs["dP"], atol=2e-4 * scale)
    np.testing.assert_allclose(flows[2], theirs["cellprob"], atol=2e-4 * np.abs(theirs["cellprob"]).max())
    np.testing.assert_allclose(style, theirs["style"], atol=1e-4)
    assert (masks > 0).mean() == pytest.approx((theirs["masks"] > 0).mean(), abs=0.01)


def test_version_3_runs_our_unet(tmp_path):
    python = original(3)
    torch.manual_seed(0)
    images, labels = data()
    net = nets.CPnet([2, 32, 64, 128, 256])
    path, *_ = train.train_seg(
        net, images, labels, channels=[0, 0], n_epochs=3, batch_size=2, bsize=64, min_train_masks=1,
        average_weights=0.5, save_path=tmp_path, model_name="ours",
    )  # fmt: skip
    assert read_card(path)["masks"] == 18  # the card is in the file that they read
    compare(python, path, tmp_path)


def test_we_run_the_unet_of_version_3_and_train_it_on(tmp_path):
    python = original(3)
    images, labels = data()
    np.savez(tmp_path / "data.npz", images=np.stack(images), labels=np.stack(labels))
    call(python, TRAIN, tmp_path, tmp_path)
    path = tmp_path / "models" / "theirs"
    compare(python, path, tmp_path)
    tuned, *_ = train.train_seg(
        weights.load_network(path), images, labels, channels=[0, 0], n_epochs=1, bsize=64, save_path=tmp_path,
        model_name="tuned",
    )  # fmt: skip
    assert read_card(tuned)["parent"] == "theirs"


def test_version_4_runs_our_transformer(tmp_path):
    python = original(4)
    torch.manual_seed(0)
    net = nets.CPSAM().eval()
    with torch.no_grad():
        net.out.weight.mul_(20)  # outputs of the size of those of trained networks
    save_network(net, tmp_path / "ours", {"images": 1})
    tile = np.random.default_rng(0).random((1, 3, 256, 256), dtype=np.float32)
    np.save(tmp_path / "tile.npy", tile)
    with torch.inference_mode():
        ours = net(torch.from_numpy(tile))[0].numpy()
    del net
    call(python, TILE, tmp_path, tmp_path / "ours", tmp_path / "tile.npy", tmp_path / "theirs.npz")
    theirs = np.load(tmp_path / "theirs.npz")
    assert (int(theirs["nout"]), theirs["y"].shape) == (3, ours.shape)
    # float32 sums in another order, over 24 blocks
    np.testing.assert_allclose(ours, theirs["y"], atol=1e-3 * np.abs(theirs["y"]).max())
