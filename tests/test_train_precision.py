"""Mixed precision: the network computes in bfloat16, all that is kept and added up stays in float32."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from cellpose import train
from cellpose.train import _loop
from test_train_run import SIZE, data, small


def losses(folder, **options):
    images, labels = data()
    net = small()
    seen = []
    net.output[2].register_forward_hook(lambda _module, _inputs, y: seen.append(y.dtype))
    made = []
    with pytest.MonkeyPatch.context() as patch:
        make = _loop.make_optimiser
        patch.setattr(_loop, "make_optimiser", lambda *args: made.append(make(*args)) or made[-1])
        _, train_losses, _ = train.train_seg(
            net, images, labels, **SIZE, SGD=True, n_epochs=6, save_path=folder, model_name="m", **options
        )
    state = [value for values in made[0].state.values() for value in values.values() if torch.is_tensor(value)]
    kept = {
        tensor.dtype for tensor in [*net.parameters(), *state, *(p.grad for p in net.parameters() if p.requires_grad)]
    }
    return train_losses, set(seen), kept


def test_bfloat16_learns_what_float32_learns(tmp_path, monkeypatch):
    """On the CPU, whose autocast follows the same rules as that of GPUs."""
    exact, dtypes, _ = losses(tmp_path)
    assert dtypes == {torch.float32}
    monkeypatch.setattr(_loop, "HALF_PRECISION_DEVICES", {"cpu"})
    half, dtypes, kept = losses(tmp_path, mixed_precision=True)
    assert dtypes == {torch.bfloat16}
    assert kept == {torch.float32}
    assert np.any(half != exact)
    # eight bits of mantissa in each layer, six epochs
    np.testing.assert_allclose(half, exact, rtol=0.05)


def test_processors_say_that_they_compute_in_float32(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "cellpose.train"):
        _, dtypes, _ = losses(tmp_path, mixed_precision=True)
    assert dtypes == {torch.float32}
    assert "mixed_precision is for CUDA GPUs only; on cpu training computes in float32" in caplog.text
