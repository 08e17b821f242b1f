"""The optimizer of the bundled networks: Muon for the kernels of convolutions, AdamW for everything else."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

# A kernel that is a matrix of fewer rows or columns than this (the first and the last layer) is left to AdamW.
_SMALLEST_SIDE = 4


class MuonAndAdamW:
    """`torch.optim.Muon` for kernels, each as a matrix (outputs, pixels x inputs), and `torch.optim.AdamW`.

    Muon makes the step of a matrix orthogonal, so that no direction of it is left behind. Its steps are scaled to those
    of AdamW: one learning rate and one weight decay serve both. Scales and biases are not pulled towards 0, which would
    only fight the batch normalization.

    Parameters
    ----------
    net
        In memory format channels last, in which a kernel is a matrix as it is; it must stay in this memory.
    lr, weight_decay
        As for AdamW.
    """

    def __init__(self, net: nn.Module, lr: float, weight_decay: float) -> None:
        learnt = [p for p in net.parameters() if p.requires_grad]
        self.kernels = [p for p in learnt if p.ndim == 4 and min(len(p), p[0].numel()) >= _SMALLEST_SIDE]
        rest = [p for p in learnt if not any(p is kernel for kernel in self.kernels)]
        self.matrices = [nn.Parameter(_matrix(kernel.detach())) for kernel in self.kernels]
        self.muon = torch.optim.Muon(self.matrices, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
        groups = [
            {"params": [p for p in rest if p.ndim > 1], "weight_decay": weight_decay},
            {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.adamw = torch.optim.AdamW(groups, lr=lr)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Those of both, to set their learning rates."""
        return [*self.muon.param_groups, *self.adamw.param_groups]

    def step(self) -> None:
        """Change the network by its gradients."""
        for kernel, matrix in zip(self.kernels, self.matrices, strict=True):
            if kernel.data_ptr() != matrix.data_ptr():
                raise RuntimeError("the kernels of the network are no longer where the optimizer found them")
            matrix.grad = None if kernel.grad is None else _matrix(kernel.grad)
        self.muon.step()
        self.adamw.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        for parameter in [*self.kernels, *self.matrices]:
            parameter.grad = None
        self.adamw.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on."""
        return {"muon": self.muon.state_dict(), "adamw": self.adamw.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        self.muon.load_state_dict(state["muon"])
        self.adamw.load_state_dict(state["adamw"])


def _matrix(kernel: torch.Tensor) -> torch.Tensor:
    """A kernel (outputs, inputs, y, x) as (outputs, y * x * inputs): the same memory if it is channels last."""
    return kernel.permute(0, 2, 3, 1).flatten(1)
