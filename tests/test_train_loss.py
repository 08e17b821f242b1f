"""Losses and learning rates on small cases with known results."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cellpose import train
from cellpose.errors import InputError
from cellpose.train._schedule import learning_rates


def target(cell: float, dy: float, dx: float) -> np.ndarray:
    return np.stack([np.full((4, 4), v, np.float32) for v in (cell, dy, dx)])[None]


def test_flow_error_counts_half_its_mean_square():
    y = torch.zeros(1, 3, 4, 4)
    y[:, 0] = 5.0  # dY as wanted, dX wrong by 5: the mean square over both is 12.5
    y[:, 2] = 100.0  # certain that these are cells: no further loss
    assert float(train._loss_fn_seg(target(1, 1, 1), y)) == pytest.approx(6.25)


def test_first_outputs_are_no_part_of_the_segmentation_loss():
    y = torch.randn(1, 5, 4, 4, generator=torch.Generator().manual_seed(0))
    assert float(train._loss_fn_seg(target(1, 0, 1), y)) == float(train._loss_fn_seg(target(1, 0, 1), y[:, 2:]))


def test_too_few_channels_are_told():
    with pytest.raises(InputError, match=r"\(1, 2, 4, 4\)"):
        train._loss_fn_seg(target(1, 0, 1)[:, :2], torch.zeros(1, 3, 4, 4))


def test_class_weights():
    classes = np.zeros((1, 4, 2, 2), np.float32)
    classes[0, 0, 0] = 1
    y = torch.zeros(1, 5, 2, 2)
    y[:, 1] = 1.0
    plain = torch.nn.functional.softplus(torch.tensor([1.0, -1.0]))  # of a pixel of class 0 and one of class 1
    assert float(train._loss_fn_class(classes, y)) == pytest.approx(float(plain.mean()))
    weighted = (1 * plain[0] + 3 * plain[1]) / 4
    for weights in ([1, 3], np.array([1.0, 3.0]), torch.tensor([1.0, 3.0])):
        assert float(train._loss_fn_class(classes, y, class_weights=weights)) == pytest.approx(float(weighted))
    with pytest.raises(InputError, match="give 2 numbers"):
        train._loss_fn_class(classes, y, class_weights=[1, 2, 3])
    with pytest.raises(InputError, match="classes from 0 to 7"):
        train._loss_fn_class(classes * 7, y)


@pytest.mark.parametrize("n_epochs", [1, 10, 99, 100, 101, 250, 300, 301, 2000])
def test_rates_rise_stay_and_halve(n_epochs):
    rates = learning_rates(0.1, n_epochs)
    assert len(rates) == max(10, n_epochs)
    assert rates[0] == 0
    block = 10 if n_epochs > 300 else 5 if n_epochs > 100 else 0
    tail = 10 * block
    assert np.all(rates[9 : len(rates) - tail] == 0.1)
    if block:
        np.testing.assert_array_equal(rates[-tail:], np.repeat(0.1 / 2.0 ** np.arange(1, 11), block))


def test_transformers_decay_from_a_hundred_epochs_on():
    assert learning_rates(1.0, 100, "transformer")[-1] == 2**-10
    assert learning_rates(1.0, 100, "unet")[-1] == 1
    assert learning_rates(1.0, 99, "transformer")[-1] == 1
