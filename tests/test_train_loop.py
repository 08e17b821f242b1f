"""The training loop: what it saves, logs, returns and leaves alone."""

from __future__ import annotations

import logging
import re

import numpy as np
import pytest
import torch

from cellpose import nets, train
from cellpose.errors import InputError, OptionError
from toy import toy_from_formula


def scene(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Bright squares on dark, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((70, 80), np.uint16)
    for i in range(9):
        y, x = 6 + 22 * (i // 3), 8 + 24 * (i % 3)
        labels[y : y + 12, x : x + 14] = i + 1
    return (50 + 150 * (labels > 0) + rng.normal(0, 5, labels.shape)).astype(np.float32), labels


@pytest.fixture
def small():
    torch.manual_seed(0)
    return nets.CPnet([2, 4, 8], nout=3)


def run(net, folder, **keywords):
    images, labels = zip(*(scene(i) for i in range(3)), strict=True)
    options = {"n_epochs": 2, "batch_size": 2, "bsize": 32, "channels": [0, 0], "save_path": folder, "model_name": "m"}
    return train.train_seg(net, list(images), list(labels), **{**options, **keywords})


def test_saves_returns_and_reloads(small, tmp_path):
    before = {k: v.clone() for k, v in small.state_dict().items()}
    path, losses, test_losses = run(small, tmp_path, n_epochs=3)
    assert path == tmp_path / "models" / "m"
    assert losses.shape == test_losses.shape == (3,)
    assert np.all(losses > 0)
    assert not test_losses.any()
    state = torch.load(path, weights_only=True)
    assert any(not torch.equal(state[k], before[k]) for k in before if k.endswith("weight"))
    assert float(state["diam_labels"]) == pytest.approx(np.sqrt(12 * 14 / np.pi) * 2)
    assert float(state["diam_mean"]) == 30
    fresh = nets.CPnet([2, 4, 8], nout=3)
    fresh.load_model(path)
    for key, value in fresh.state_dict().items():
        assert torch.equal(value, small.state_dict()[key])


def test_same_run_twice_gives_the_same_weights(tmp_path):
    states = []
    for i in range(2):
        torch.manual_seed(0)
        net = nets.CPnet([2, 4, 8], nout=3)
        run(net, tmp_path, model_name=str(i))
        states.append(net.state_dict())
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])


def test_learns(small, tmp_path):
    _, losses, _ = run(small, tmp_path, n_epochs=30, learning_rate=0.02, rescale=False)
    assert losses[-5:].mean() < 0.6 * losses[:5].mean()


def test_save_each(small, tmp_path):
    run(small, tmp_path, n_epochs=5, save_every=2, save_each=True)
    names = sorted(p.name for p in (tmp_path / "models").iterdir())
    assert names == ["m", "m_epoch_0002"]


def test_log_lines_that_programs_parse(small, tmp_path, caplog):
    image, labels = scene(7)
    with caplog.at_level(logging.INFO, "cellpose.train"):
        run(small, tmp_path, n_epochs=6, test_data=[image], test_labels=[labels])
    lines = [r.getMessage() for r in caplog.records]
    pattern = r"(\d+), train_loss=\d+\.\d{4}, test_loss=\d+\.\d{4}, LR=\d\.\d{6}, time \d+\.\d{2}s"
    epochs = [m[1] for line in lines if (m := re.fullmatch(pattern, line))]
    assert epochs == ["0", "5"]
    assert ">>> n_epochs=6, n_train=3, n_test=1" in lines


def test_batch_size_has_two_names(small, tmp_path, monkeypatch):
    sizes = []
    step = torch.optim.AdamW.step
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self, closure=None: sizes.append(1) or step(self, closure))
    run(small, tmp_path, n_epochs=1, batch_size=None, train_batch_size=1)
    assert len(sizes) == 3


def test_callers_arrays_and_random_numbers_are_untouched(small, tmp_path):
    image, labels = scene()
    copies = image.copy(), labels.copy()
    state = np.random.get_state()[1].copy()
    train.train_seg(small, [image], [labels], n_epochs=1, bsize=32, channels=[0, 0], save_path=tmp_path)
    np.testing.assert_array_equal(image, copies[0])
    np.testing.assert_array_equal(labels, copies[1])
    np.testing.assert_array_equal(np.random.get_state()[1], state)


def test_transformers_use_adamw_and_their_own_size(tmp_path, caplog):
    net = toy_from_formula(3, "sam_vitl")
    with caplog.at_level(logging.INFO, "cellpose.train"):
        run(net, tmp_path, SGD=True, channels=None, n_epochs=1)
    assert "AdamW is used" in caplog.text
    net.default_bsize = 256
    with pytest.raises(OptionError, match="crops of 256 pixels"):
        run(net, tmp_path, channels=None)


def test_half_precision_comes_back(tmp_path):
    class Half(type(toy_from_formula(3))):
        def __init__(self, *args):
            super().__init__(*args)
            self._dtype = torch.bfloat16

        dtype = property(lambda self: self._dtype, lambda self, value: setattr(self, "_dtype", value))

    seen = []
    like = toy_from_formula(3)
    # the plain toy sets its dtype itself, hence made by hand
    net = Half.__new__(Half)
    torch.nn.Module.__init__(net)
    net.__dict__["_dtype"] = torch.bfloat16
    for name in ("w", "b", "diam_mean", "diam_labels"):
        setattr(net, name, getattr(like, name))
    net.device, net.backbone = torch.device("cpu"), "sam_vitl"
    net.register_forward_pre_hook(lambda module, _: seen.append(module.dtype))
    run(net, tmp_path, n_epochs=1, channels=None)
    assert set(seen) == {torch.float32}
    assert net.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("keywords", "word"),
    [
        ({"n_epochs": 0}, "n_epochs=0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"bsize": 4}, "bsize=4"),
        ({"seed": 2**32}, "seed=4294967296"),
        ({"rgb": True, "channels": None}, "rgb=True needs a network of 3 channels"),
    ],
)
def test_options_out_of_range(small, tmp_path, keywords, word):
    with pytest.raises(OptionError, match=word):
        run(small, tmp_path, **keywords)


def test_nothing_to_train_on(small, tmp_path):
    with pytest.raises(InputError, match="no train images"):
        train.train_seg(small, save_path=tmp_path)
