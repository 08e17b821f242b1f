"""The size model's regression."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from torch import nn

from cellpose import nets, train, weights
from cellpose.errors import OptionError
from cellpose.train._size import _regress


class Sizer(nn.Module):
    """A network whose style tells how much of the image is bright."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1))
        self.diam_mean = nn.Parameter(torch.tensor([30.0]), requires_grad=False)
        self.nchan = 2

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        bright = (x[:, 0] > 0.5).float().mean(dim=(1, 2))
        return x, torch.stack([torch.log(bright + 1e-3), bright], dim=1)


def squares(side: int) -> tuple[np.ndarray, np.ndarray]:
    labels = np.zeros((64, 64), np.uint16)
    for i in range(4):
        y, x = 2 + 32 * (i // 2), 2 + 32 * (i % 2)
        labels[y : y + side, x : x + side] = i + 1
    return (200.0 * (labels > 0)).astype(np.float32), labels


def test_regularization():
    rng = np.random.default_rng(0)
    styles = rng.normal(size=(50, 3)) + 4
    targets = styles @ [1.0, -2.0, 0.5] + 7
    A, smean, ymean = _regress(styles, targets, 1e-9)
    np.testing.assert_allclose(A, [1.0, -2.0, 0.5], rtol=1e-6)  # the ridge of 1e-9 is felt in the tenth digit
    np.testing.assert_allclose((styles - smean) @ A + ymean, targets)
    assert np.abs(_regress(styles, targets, 100.0)[0]).sum() < np.abs(A).sum()


def test_the_size_model_of_a_bundled_model_is_never_replaced():
    path = weights.bundled_models()["nuclei-cells"]
    before = sorted(path.parent.iterdir())
    image, labels = squares(12)
    with pytest.raises(OptionError, match="is a bundled model: its size model is part of the installation"):
        train.train_size(Sizer(), str(path), [image], [labels], min_train_masks=1)
    assert sorted(path.parent.iterdir()) == before


def test_finds_sizes(tmp_path, caplog):
    images, labels = zip(*(squares(side) for side in (8, 12, 16, 20, 24)), strict=True)
    path = tmp_path / "model"
    with caplog.at_level(logging.INFO, "cellpose.train"):
        params = train.train_size(
            Sizer(), path, list(images), list(labels), test_data=list(images), test_labels=list(labels), bsize=64,
            min_train_masks=1, channels=[0, 0], n_epochs=4, batch_size=2, l2_regularization=1e-3,
        )  # fmt: skip
    assert params["A"].shape == params["smean"].shape == (2,)
    correlations = [float(r.getMessage().rsplit(" ", 1)[1]) for r in caplog.records if "correlation" in r.getMessage()]
    assert len(correlations) == 2
    assert min(correlations) > 0.8
    saved = np.load(f"{path}_size.npy", allow_pickle=True).item()
    assert sorted(saved) == ["A", "diam_mean", "smean", "ymean"]
    np.testing.assert_array_equal(saved["A"], params["A"])


def test_crops_without_cells_do_not_count_in_the_test_correlation(caplog):
    images, labels = zip(*(squares(side) for side in (8, 12, 16, 20, 24)), strict=True)
    noise = np.full_like(images[-1], 200)
    noise[0, 0] = 0  # bright, as an image of large cells is
    options = {"bsize": 64, "min_train_masks": 1, "channels": [0, 0], "n_epochs": 4, "l2_regularization": 1e-3}
    with caplog.at_level(logging.INFO, "cellpose.train"):
        train.train_size(
            Sizer(), None, list(images), list(labels), test_data=[*images, noise], test_labels=[*labels, labels[0] * 0],
            **options,
        )  # fmt: skip
    (found,) = [r.getMessage() for r in caplog.records if "test correlation" in r.getMessage()]
    assert float(found.rsplit(" ", 1)[1]) > 0.8


def test_a_size_model_does_not_outlive_its_weights(tmp_path, caplog):
    images, labels = squares(12)
    (tmp_path / "models").mkdir()
    for name in ("mine", "mine.safetensors", "other"):
        (tmp_path / "models" / f"{name}_size.npy").touch()
    for name in ("mine", "mine.safetensors"):
        path, *_ = train.train_seg(
            nets.CPnet([2, 4]), [images], [labels], channels=[0, 0], n_epochs=1, bsize=32, min_train_masks=1,
            save_path=tmp_path, model_name=name,
        )  # fmt: skip
        assert f"{path}_size.npy is removed: it belongs to earlier weights" in caplog.text
    assert [p.name for p in (tmp_path / "models").glob("*_size.npy")] == ["other_size.npy"]
