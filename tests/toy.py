"""The small fixed network of the parity fixtures (their README tells how it is made)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


class Toy(nn.Module):
    """One convolution; flows of nearly unit length times 5, a cell probability, a style from channel means."""

    def __init__(self, weight: np.ndarray, bias: np.ndarray, backbone: str | None = None) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.from_numpy(np.array(weight)))
        self.b = nn.Parameter(torch.from_numpy(np.array(bias)))
        self.diam_mean = nn.Parameter(torch.full((1,), 30.0), requires_grad=False)
        self.diam_labels = nn.Parameter(torch.full((1,), 30.0), requires_grad=False)
        self.nout, self.nbase, self.mkldnn = 3, [weight.shape[1], 32, 64, 128, 256], False
        self.dtype, self.device = torch.float32, torch.device("cpu")
        if backbone is not None:
            self.backbone = backbone

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
        channels = x.shape[1]
        v = F.conv2d(x, self.w[:, :channels], self.b, padding=8)
        flows = 5 * v[:, :2] / torch.sqrt(v[:, :1] ** 2 + v[:, 1:2] ** 2 + 1e-3)
        j = torch.arange(256)
        style = x.mean(dim=(2, 3))[:, j % channels] * (j + 1) / 256
        return torch.cat((flows, v[:, 2:]), dim=1), style, [x]


def toy_of(fixtures, channels: int, *, shift: float = 0.0, backbone: str | None = None) -> Toy:
    """The toy network for 1, 2 or 3 channels; ``shift`` is added to its biases."""
    return Toy(fixtures[f"in/toy/w{channels}"], fixtures[f"in/toy/b{channels}"] + np.float32(shift), backbone)


def toy_from_formula(channels: int, backbone: str | None = None) -> Toy:
    """The toy network made from its description rather than read."""
    yy, xx = np.mgrid[-8:9, -8:9].astype(np.float64)
    gauss = np.exp(-(yy**2 + xx**2) / 18)
    gauss /= gauss.sum()
    narrow = np.exp(-(yy**2 + xx**2) / 4.5)
    first = np.stack((yy * gauss, xx * gauss, 10 * narrow / narrow.sum()))
    weight = np.stack([first] + [0.1 * first] * (channels - 1), axis=1).astype(np.float32)
    return Toy(weight, np.array([0, 0, -2.5], np.float32), backbone)
