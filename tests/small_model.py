"""A model that is made in no time, and finds discs: the toy network in a small U-Net's place."""

from __future__ import annotations

import numpy as np
import torch

from cellpose.models import CellposeModel
from cellpose.nets import CPnet
from toy import toy_from_formula


def small_file(folder, name="small", nbase=(2, 4, 8), **options):
    """A weight file of a small U-Net with random weights."""
    torch.manual_seed(0)
    path = folder / name
    CPnet(list(nbase), nout=3, **options).save_model(path)
    return path


def toy_model(folder, backbone=None):
    """A model whose network is the toy one, prepared as a U-Net or as a transformer."""
    model = CellposeModel(pretrained_model=small_file(folder))
    model.net = toy_from_formula(3 if backbone else 2, backbone)
    return model


def discs(*shape, dtype=np.uint8):
    """Bright discs of 10 pixels, 24 pixels apart, on a dark ground with noise."""
    y, x = np.mgrid[: shape[-2], : shape[-1]]
    plane = 20 + 150 * (((y % 24 - 12) ** 2 + (x % 24 - 12) ** 2) < 25)
    noise = np.random.default_rng(0).normal(0, 5, shape)
    return (plane + noise).clip(0, 255).astype(dtype)
