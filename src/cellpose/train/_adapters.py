"""Training only a part of a network: a frozen encoder, or low-rank adapters in the attention of a transformer.

Source of the adapters: Hu et al., ICLR 2022, "LoRA: Low-Rank Adaptation of Large Language Models".
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cellpose.errors import OptionError

__all__ = ["encoder_of", "merged_state", "trained_part"]

# Layers of a transformer block that get adapters, by the end of their names.
_ADAPTED = ("attn.qkv", "attn.proj")


class LowRank(nn.Module):
    """A frozen linear layer plus a trained product of two thin matrices, which begins as zero."""

    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__()
        self.base = base
        like: dict[str, Any] = {"device": base.weight.device, "dtype": base.weight.dtype}
        self.inner = nn.Parameter(torch.empty(rank, base.in_features, **like))
        self.outer = nn.Parameter(torch.zeros(base.out_features, rank, **like))
        nn.init.kaiming_uniform_(self.inner, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (..., dim) through the frozen layer and the adapter, added."""
        return self.base(x) + F.linear(F.linear(x, self.inner), self.outer)  # type: ignore[no-any-return]

    def weight(self) -> Tensor:
        """The weight of a single linear layer that computes the same."""
        return self.base.weight.detach() + self.outer.detach() @ self.inner.detach()


def encoder_of(net: Any) -> nn.Module:
    """The part of a network that turns images into features.

    Raises
    ------
    OptionError
        If the network has none.
    """
    encoder = getattr(net, "encoder", None) or getattr(net, "downsample", None)
    if not isinstance(encoder, nn.Module):
        message = f"a {type(net).__name__} has no encoder to freeze; leave out freeze_encoder"
        raise OptionError(message)
    return encoder


@contextmanager
def trained_part(net: Any, *, freeze_encoder: bool, rank: int | None) -> Iterator[None]:
    """Freeze the encoder, or put adapters of a rank into it; afterwards undo this, with adapters merged."""
    if not freeze_encoder and rank is None:
        yield
        return
    required = [(parameter, parameter.requires_grad) for parameter in net.parameters()]
    for parameter in encoder_of(net).parameters():
        parameter.requires_grad_(False)
    try:
        if rank is not None:
            _attach(net, rank)
        yield
    finally:
        _merge(net)
        for parameter, value in required:
            parameter.requires_grad_(value)


def _attach(net: nn.Module, rank: int) -> None:
    layers = [(name, m) for name, m in net.named_modules() if name.endswith(_ADAPTED) and isinstance(m, nn.Linear)]
    if not layers:
        message = f"a {type(net).__name__} has no attention to adapt; use adapter_rank only for transformers"
        raise OptionError(message)
    for name, layer in layers:
        _replace(net, name, LowRank(layer, rank))


def _merge(net: nn.Module) -> None:
    for name, layer in [(name, m) for name, m in net.named_modules() if isinstance(m, LowRank)]:
        layer.base.weight.data.copy_(layer.weight())
        _replace(net, name, layer.base)


def _replace(net: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(net.get_submodule(parent), last, layer)


def merged_state(net: nn.Module) -> dict[str, Tensor]:
    """The state of the network with its adapters merged: what a network without adapters loads."""
    state = dict(net.state_dict())
    for name, layer in net.named_modules():
        if isinstance(layer, LowRank):
            for part in ("inner", "outer", "base.weight", "base.bias"):
                value = state.pop(f"{name}.{part}", None)
                if part == "base.bias" and value is not None:
                    state[f"{name}.bias"] = value
            state[f"{name}.weight"] = layer.weight()
    return state
