"""Losses of the segmentation network.

Source: Stringer et al., Nature Methods 18 (2021), Methods, "Loss function"; the class head is that of
Pachitariu et al., bioRxiv 2025.04.28.651001.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cellpose.errors import InputError

__all__ = ["FLOW_SCALE", "_loss_fn_class", "_loss_fn_seg", "class_entropy", "ignored_of", "segmentation_terms"]

# The network learns flows of this length; unit vectors would weigh little beside the cell probability.
FLOW_SCALE = 5.0

# Class of pixels that do not count.
_NO_CLASS = -100


def segmentation_terms(y: Tensor, cell: Tensor, flows: Tensor, ignored: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The two terms of the segmentation loss.

    Parameters
    ----------
    y
        Network output, float (n, c, y, x); its last three channels are dY, dX and the logit of the cell probability.
    cell
        Cell mask in [0, 1], (n, y, x); above 0.5 is cell.
    flows
        Unit flows dY, dX, (n, 2, y, x).
    ignored
        Pixels that do not count, bool (n, y, x); None: all count.

    Returns
    -------
    tuple
        Half the mean squared error of the flows, and the mean binary cross-entropy of the cell probability; 0 where no
        pixel counts.
    """
    y = y.float()
    if ignored is not None:
        counts = (~ignored).to(y)
        n = counts.sum().clamp(min=1)
        errors = F.mse_loss(y[:, -3:-1], FLOW_SCALE * flows.to(y), reduction="none").mean(dim=1)
        entropy = F.binary_cross_entropy_with_logits(y[:, -1], (cell > 0.5).to(y), reduction="none")
        return (errors * counts).sum() / n / 2, (entropy * counts).sum() / n
    flow_term = F.mse_loss(y[:, -3:-1], FLOW_SCALE * flows.to(y)) / 2
    cell_term = F.binary_cross_entropy_with_logits(y[:, -1], (cell > 0.5).to(y))
    return flow_term, cell_term


def _tensor(values: Any, device: torch.device) -> Tensor:
    if isinstance(values, Tensor):
        return values.to(device)
    return torch.from_numpy(np.ascontiguousarray(values)).to(device)


def _loss_fn_seg(
    lbl: Any, y: Tensor, device: torch.device | str | None = None, *, ignored: Tensor | None = None
) -> Tensor:
    """Segmentation loss of a batch.

    Parameters
    ----------
    lbl
        Targets, array or tensor (n, 3 or more, y, x); the last three channels are cell mask, dY, dX (unit flows).
    y
        Network output (n, 3 or more, y, x); the last three channels are dY, dX, logit of the cell probability.
    device
        Device of the computation; ``None``: that of ``y``.
    ignored
        Pixels that do not count, bool tensor (n, y, x); None: those where the cell mask is negative, if there are any.

    Returns
    -------
    Tensor
        Scalar.

    Raises
    ------
    InputError
        If targets or outputs have fewer than three channels.

    Examples
    --------
    >>> target = np.zeros((1, 3, 4, 4), np.float32)
    >>> round(float(_loss_fn_seg(target, torch.zeros(1, 3, 4, 4))), 4)
    0.6931
    """
    device = y.device if device is None else torch.device(device)
    target = _tensor(lbl, device)
    if target.ndim != 4 or target.shape[1] < 3 or y.ndim != 4 or y.shape[1] < 3:
        message = (
            f"targets of shape {tuple(target.shape)} and outputs of shape {tuple(y.shape)} are not allowed; both must "
            "be (n, channels, y, x) with at least three channels"
        )
        raise InputError(message)
    flow_term, cell_term = segmentation_terms(
        y.to(device), target[:, -3], target[:, -2:], ignored_of(target) if ignored is None else ignored.to(device)
    )
    return flow_term + cell_term


def ignored_of(target: Tensor) -> Tensor | None:
    """Where the cell mask of targets (n, 3 or more, y, x) is negative, bool (n, y, x); None: nowhere."""
    ignored = target[:, -3] < 0
    return ignored if bool(ignored.any()) else None


def _loss_fn_class(lbl: Any, y: Tensor, class_weights: Any = None, *, ignored: Tensor | None = None) -> Tensor:
    """Cross-entropy of the class head; zero where the network has none.

    Parameters
    ----------
    lbl
        Targets, array or tensor (n, 4 or more, y, x); channel 0 is the class of each pixel, a whole number below the
        number of classes.
    y
        Network output (n, classes + 3, y, x); class logits first.
    class_weights
        Weight of each class: a list, an array or a tensor; ``None``: all alike.
    ignored
        Pixels that do not count, bool tensor (n, y, x); None: all count.

    Returns
    -------
    Tensor
        Scalar.

    Raises
    ------
    InputError
        If a class is out of range, or the number of weights is not the number of classes.
    """
    return class_entropy(y[:, :-3], lbl, class_weights, ignored=ignored)


def class_entropy(logits: Tensor, lbl: Any, class_weights: Any = None, *, ignored: Tensor | None = None) -> Tensor:
    """As :func:`_loss_fn_class`, of class logits (n, classes, y, x): all that plain U-Nets have."""
    y = logits = logits.float()
    n_classes = logits.shape[1]
    classes = _tensor(lbl, y.device)[:, 0].long()
    if ignored is not None:
        classes = classes.masked_fill(ignored.to(y.device), 0)
    low, high = int(classes.min()), int(classes.max())
    if low < 0 or high >= n_classes:
        message = f"classes from {low} to {high} are not allowed; the network has classes 0 to {n_classes - 1}"
        raise InputError(message)
    weight = None
    if class_weights is not None:
        weight = torch.as_tensor(class_weights, dtype=torch.float32, device=y.device)
        if weight.shape != (n_classes,):
            message = f"class_weights of shape {tuple(weight.shape)} are not allowed; give {n_classes} numbers"
            raise InputError(message)
    if ignored is not None:
        classes = classes.masked_fill(ignored.to(y.device), _NO_CLASS)
        if bool((classes == _NO_CLASS).all()):
            return logits.sum() * 0.0
    return F.cross_entropy(logits, classes, weight=weight, ignore_index=_NO_CLASS)
