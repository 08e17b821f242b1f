"""The scripts that train the bundled model: crops that can be repeated, flows that turn, runs that can be resumed."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from cellpose import synthetic

SCRIPTS = Path(__file__).resolve().parents[1] / "training"


@pytest.fixture(scope="module")
def scripts():
    """The training scripts as modules; they are no part of the package."""
    if not SCRIPTS.is_dir():
        pytest.skip("the training scripts are in the source tree only")
    sys.path.insert(0, str(SCRIPTS))
    try:
        yield {name: importlib.import_module(name) for name in ("bundled_data", "train_bundled")}
    finally:
        sys.path.remove(str(SCRIPTS))


@pytest.fixture(scope="module")
def data(tmp_path_factory, scripts):
    """Two pictures in the layout of the training data, one gray and one RGB."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "dsb2018").mkdir()
    rows = ["source,id,split,modality,group"]
    for i, group in enumerate(("256x256 L", "320x256 RGB")):
        sample = synthetic.sample(5 + i, (128, 128), "cytoplasm", channels=1, diameter=24)
        picture, labels = sample.image[0], sample.masks
        low, high = np.percentile(picture, (0, 100))
        image = ((picture - low) / (high - low) * 255).astype(np.uint8)
        if i:
            image = np.stack([image, 255 - image, image // 2], axis=-1)
        cv2.imwrite(str(folder / "dsb2018" / f"p{i}_img.png"), image)
        cv2.imwrite(str(folder / "dsb2018" / f"p{i}_masks.png"), labels.astype(np.uint16))
        rows.append(f"dsb2018,p{i},train,nuclei,{group}")
    rows.append("dsb2018,p9,test,nuclei,256x256 L")
    (folder / "split.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture(scope="module")
def packed(data, scripts, tmp_path_factory):
    cache = tmp_path_factory.mktemp("run") / "packed"
    module = scripts["bundled_data"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "N_SYNTHETIC", 2)
        module.pack(data, cache, 0)
    return cache


def test_only_the_training_split_is_packed(packed, scripts):
    crops = scripts["bundled_data"].Crops(packed, 0, 64, 2, 30.0)
    assert [(e.source, e.id, e.channels) for e in crops.entries[:2]] == [("dsb2018", "p0", 1), ("dsb2018", "p1", 4)]
    assert {e.source for e in crops.entries[2:]} == {"synthetic"}


def test_batches_can_be_repeated(packed, scripts):
    crops, again = (scripts["bundled_data"].Crops(packed, 3, 64, 4, 30.0) for _ in range(2))
    first, _ = crops(0), crops(1)
    np.testing.assert_array_equal(first[0], again(0)[0])
    np.testing.assert_array_equal(first[1], again(0)[1])
    assert not np.array_equal(first[0], crops(1)[0])
    assert first[0].shape == (4, 2, 64, 64)
    assert not first[0][:, 1].any()


@pytest.mark.parametrize(
    "linear", [[[1, 0], [0, 1]], [[0, -1], [1, 0]], [[-1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1.0], [-1, 0]]]
)
def test_flows_turn_with_the_image(packed, scripts, linear):
    from cellpose import dynamics

    crops = scripts["bundled_data"].Crops(packed, 0, 128, 1, 30.0)
    entry = crops.entries[0]
    linear = np.array(linear, float)
    _, target = crops._cut(entry, 0, np.array([64.0, 64.0]), linear)
    _, plain = crops._cut(entry, 0, np.array([64.0, 64.0]), np.eye(2))
    height, width = entry.shape
    raw = crops.targets[: 3 * height * width].reshape(3, height, width).astype(np.float32)
    np.testing.assert_allclose(plain, raw, atol=1e-6)  # nothing but a copy; OpenCV rounds weights to 1/32
    # flows point to the same cells after turning: followed, they find them again
    followed = dynamics.compute_masks(5 * target[1:], np.where(target[0] > 0, 5.0, -5.0), niter=200, flow_threshold=0)
    before = dynamics.compute_masks(5 * raw[1:], np.where(raw[0] > 0, 5.0, -5.0), niter=200, flow_threshold=0)
    assert abs(int(followed.max()) - int(before.max())) <= 1  # a cell that touches the border may merge or vanish
    inside = target[0] > 0
    assert np.hypot(*target[1:])[inside].mean() > 0.9


def test_resumed_runs_equal_runs_in_one_go(packed, data, scripts, tmp_path, monkeypatch):
    module = scripts["train_bundled"]
    monkeypatch.setattr(module.signal, "signal", lambda *_: None)
    weights = []
    for name, parts in (("once", [6]), ("twice", [3, 6])):
        out = tmp_path / name
        out.mkdir()
        (out / "packed").symlink_to(packed)
        for last in parts:
            # the learning rate stays the same in both: no cooldown within these steps
            arguments = (
                f"--data {data} --out {out} --steps {last} --cooldown 0 --size 64 --batch 2 --width 4 --threads 1"
            )
            module.main([*arguments.split(), "--float32", "--validate-every", "0", "--save-every", "3"])
        weights.append(torch.load(out / "final.pt", weights_only=True))
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_learning_rate_rises_stays_and_falls(scripts):
    module = scripts["train_bundled"]
    args = module.parse(["--data", "d", "--out", "o", "--steps", "100", "--cooldown", "40", "--warmup", "10"])
    rates = [module.learning_rate(step, args) for step in range(101)]
    assert rates[0] == pytest.approx(2e-4)
    assert rates[10:60] == [2e-3] * 50
    assert rates[60:] == sorted(rates[60:], reverse=True)
    assert rates[100] == 0
