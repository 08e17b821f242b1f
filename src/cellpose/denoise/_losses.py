"""Losses of restoration: the restored image must look right to a segmentation network.

Source: Stringer & Pachitariu, Nature Methods 2025, methods section "Training the restoration networks": a perceptual
loss on the correlations of encoder features (after Gatys et al. 2016 and Johnson et al. 2016), the segmentation loss
of the frozen segmentation network, and the plain reconstruction error.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from cellpose import nets, weights
from cellpose.errors import InputError

_REC_SCALE = 80.0  # brings the reconstruction error to the size of the segmentation loss
_STD_FLOOR = 1e-6


def loss_fn_rec(lbl: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Reconstruction loss: 80 times the mean squared error between clean images `lbl` and restored images `y`."""
    return _REC_SCALE * F.mse_loss(y, lbl)


def loss_fn_seg(lbl: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Segmentation loss of network outputs on restored images.

    Parameters
    ----------
    lbl
        Targets (batch, 3, Y, X): cell or not, flow along Y, flow along X (unit vectors).
    y
        Network output (batch, 3, Y, X): flow along Y, flow along X (5 times the unit vectors), cell probability logit.

    Returns
    -------
    torch.Tensor
        A scalar.
    """
    flow_loss = F.mse_loss(y[:, :2], 5.0 * lbl[:, 1:]) / 2.0
    return flow_loss + F.binary_cross_entropy_with_logits(y[:, -1], (lbl[:, 0] > 0.5).to(y.dtype))


def get_sigma(Tdown: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Correlations between the channels of each feature map, which describe its texture but not where things are.

    Parameters
    ----------
    Tdown
        Feature maps of the encoder levels, each (batch, channels, Y, X).

    Returns
    -------
    list of torch.Tensor
        For each level (batch, channels, channels).
    """
    sigmas = []
    for features in Tdown:
        flat = features.flatten(2)
        flat = flat - flat.mean(dim=-1, keepdim=True)
        flat = flat / flat.std(dim=-1, keepdim=True).clamp_min(_STD_FLOOR)
        sigmas.append(flat @ flat.transpose(1, 2) / flat.shape[-1])
    return sigmas


def imstats(X: torch.Tensor, net1: nn.Module) -> list[torch.Tensor]:
    """`get_sigma` of the features that the segmentation network sees in images X (batch, 1, Y, X), without gradient."""
    with torch.no_grad():
        return get_sigma(net1(X)[2])


def loss_fn_per(img: torch.Tensor, net1: nn.Module, yl: Sequence[torch.Tensor]) -> torch.Tensor:
    """Perceptual loss between clean images and the features of restored ones.

    Parameters
    ----------
    img
        Clean images (batch, 1, Y, X).
    net1
        The frozen segmentation network.
    yl
        Encoder features of the restored images, as `net1` returned them.

    Returns
    -------
    torch.Tensor
        Shape (batch,) averaged to a scalar: squared differences of correlations, in units of their spread.
    """
    loss = torch.zeros(len(img), device=img.device, dtype=img.dtype)
    for clean, restored in zip(imstats(img, net1), get_sigma(yl), strict=True):
        spread = clean.std(dim=(1, 2)) + _STD_FLOOR
        loss = loss + ((restored - clean) ** 2).mean(dim=(1, 2)) / spread**2
    return loss.mean()


def test_loss(
    net0: nn.Module,
    X: torch.Tensor,
    net1: nn.Module | None = None,
    img: torch.Tensor | None = None,
    lbl: torch.Tensor | None = None,
    lam: Sequence[float] = (1.0, 1.5, 0.0),
) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss of a restoration network on degraded images, in evaluation mode and without gradient.

    Parameters
    ----------
    net0
        The restoration network.
    X
        Degraded images (batch, 1, Y, X).
    net1
        The frozen segmentation network; needed where the first or second weight is not 0.
    img
        Clean images like `X`; needed where the first or third weight is not 0.
    lbl
        Segmentation targets (batch, 3, Y, X); needed where the second weight is not 0.
    lam
        Weights of the perceptual, the segmentation and the reconstruction loss.

    Returns
    -------
    loss, loss_per
        The weighted sum, shape (1,), and the perceptual loss alone (0 where its weight is 0).
    """
    net0.eval()
    with torch.no_grad():
        return _restoration_loss(net0, X, net1, img, lbl, lam)


def train_loss(
    net0: nn.Module,
    X: torch.Tensor,
    net1: nn.Module | None = None,
    img: torch.Tensor | None = None,
    lbl: torch.Tensor | None = None,
    lam: Sequence[float] = (1.0, 1.5, 0.0),
) -> tuple[torch.Tensor, torch.Tensor]:
    """Like `test_loss`, but in training mode and with gradient."""
    net0.train()
    return _restoration_loss(net0, X, net1, img, lbl, lam)


def _restoration_loss(
    net0: nn.Module,
    X: torch.Tensor,
    net1: nn.Module | None,
    img: torch.Tensor | None,
    lbl: torch.Tensor | None,
    lam: Sequence[float],
) -> tuple[torch.Tensor, torch.Tensor]:
    weight_per, weight_seg, weight_rec = lam
    for weight, needed, what in (
        (max(weight_per, weight_seg), net1, "a segmentation network net1"),
        (max(weight_per, weight_rec), img, "clean images img"),
        (weight_seg, lbl, "targets lbl"),
    ):
        if weight > 0 and needed is None:
            message = f"lam={list(lam)} needs {what}; give it, or set its weights to 0"
            raise InputError(message)
    restored = net0(X)[0]
    loss, loss_per = restored.new_zeros(1), restored.new_zeros(1)
    if net1 is not None and (weight_per > 0 or weight_seg > 0):
        output, _, features = net1(restored)[:3]
        if img is not None and weight_per > 0:
            loss_per = loss_fn_per(img, net1, features)
            loss = loss + weight_per * loss_per
        if lbl is not None and weight_seg > 0:
            loss = loss + weight_seg * loss_fn_seg(lbl, output)
    if img is not None and weight_rec > 0:
        loss = loss + weight_rec * loss_fn_rec(img, restored)
    return loss, loss_per


def one_chan_cellpose(
    device: torch.device | str, model_type: str = "cyto2", pretrained_model: str | Path | None = None
) -> nn.Module:
    """The frozen segmentation network of the losses: one that sees a single channel, made from one that sees two.

    Parameters
    ----------
    device
        Where it runs.
    model_type
        Name of the segmentation model.
    pretrained_model
        Path or name; goes before `model_type`.

    Returns
    -------
    torch.nn.Module
        In evaluation mode; its weights take no gradient, but its input does.

    Raises
    ------
    UnknownModelError, DownloadError, WeightsError
        If there is no such model, or it cannot be had or used.
    """
    state = nets.one_channel(weights.load_state_dict(weights.resolve(pretrained_model or model_type).path))
    net = nets.build(nets.detect_architecture(state))
    net.load_state_dict(state)
    return net.to(nets.usable_device(device)).eval().requires_grad_(False)
