"""Shared by the transformers: the fixed pixel-shuffle kernel, the input checks, and skipping blocks in training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cellpose.errors import InputError, WeightsError
from cellpose.nets._base import NetFile, logger

__all__ = ["TokenNet", "drop_rate", "patch_tokens", "run_block"]

STYLE_SIZE = 256


def patch_tokens(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """Tokens (n, rows, columns, width) of images with as many channels as ``conv`` or fewer.

    Missing channels count as zeros; leaving out their weights gives the same without the work.
    """
    weight = conv.weight[:, : x.shape[1]]
    tokens = F.conv2d(x, weight, conv.bias, stride=conv.stride, padding=conv.padding)
    return tokens.permute(0, 2, 3, 1)


def drop_rate(rdrop: float, index: int, depth: int) -> float:
    """Probability with which training skips a block: from 0 at the first to ``rdrop`` at the last."""
    return rdrop * index / max(depth - 1, 1)


def run_block(block: nn.Module, x: Tensor, rate: float, *args: Any) -> Tensor:
    """``block(x)``, in which each sample skips the block with probability ``rate`` (layer drop; training only)."""
    if rate <= 0:
        return block(x, *args)  # type: ignore[no-any-return]
    kept = torch.nonzero(torch.rand(len(x), device=x.device) >= rate).flatten()
    if len(kept) == len(x):
        return block(x, *args)  # type: ignore[no-any-return]
    if len(kept) == 0:
        return x
    return x.index_copy(0, kept, block(x.index_select(0, kept), *args).to(x.dtype))


class TokenNet(NetFile):
    """A network over image patches whose head predicts every pixel of a patch at once."""

    style_size = STYLE_SIZE

    def __init__(self, ps: int, nout: int, bsize: int, rdrop: float, nchan: int = 3) -> None:
        super().__init__()
        self.ps, self.nout, self.bsize, self.rdrop, self.nchan = ps, nout, bsize, rdrop, nchan
        self.diam_labels = nn.Parameter(torch.full((1,), 30.0), requires_grad=False)
        self.diam_mean = nn.Parameter(torch.full((1,), 30.0), requires_grad=False)
        # Files carry the kernel of the pixel shuffle, which is an identity and never trained.
        width = nout * ps * ps
        self.W2 = nn.Parameter(torch.eye(width).reshape(width, nout, ps, ps), requires_grad=False)

    def check_input(self, x: Tensor) -> None:
        """Raise InputError unless ``x`` is (n, up to ``nchan`` channels, y, x) with sides that fit the patches."""
        if x.ndim != 4 or not 1 <= x.shape[1] <= self.nchan or x.shape[2] % self.ps or x.shape[3] % self.ps:
            message = (
                f"the input of {type(self).__name__} has shape {tuple(x.shape)}; it must be (n, 1 to {self.nchan} "
                f"channels, y, x) with y and x multiples of {self.ps}"
            )
            raise InputError(message)

    def pixels(self, tokens: Tensor) -> Tensor:
        """Outputs (n, nout, y, x) of head values (n, nout * ps * ps, rows, columns).

        Channel ``c * ps * ps + i * ps + j`` of a token is output c at row i, column j of its patch: what a transposed
        convolution with the kernel ``W2`` gives, without its multiplications by zero.
        """
        return F.pixel_shuffle(tokens, self.ps)

    def no_style(self, x: Tensor) -> Tensor:
        """The transformers have no style: zeros (n, 256)."""
        return torch.zeros((x.shape[0], STYLE_SIZE), dtype=x.dtype, device=x.device)

    def check_family(self, state: Mapping[str, Any], filename: str) -> None:
        """Raise WeightsError if ``state`` is not that of a transformer of this kind."""
        if "W2" not in state:
            kind = "a Cellpose 1-3 U-Net" if "output.2.weight" in state else "not a Cellpose-SAM or Cellpose-DINO model"
            message = f"{filename} is {kind}; load it with CellposeModel, which recognizes the kind of network"
            raise WeightsError(message)
        dino = "encoder.cls_token" in state
        if dino != self.backbone.startswith("dino"):
            message = f"{filename} is a {'DINO' if dino else 'SAM'} model and this network is {self.backbone}"
            raise WeightsError(message)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load tensors; where the file has another number of outputs, its head is left out and this one's stays."""
        head = state_dict.get("out.weight")
        if head is not None and head.shape[0] != self.nout * self.ps**2:
            logger.warning(
                "the file has %d outputs and this network %d: its last layer is not loaded",
                head.shape[0] // self.ps**2,
                self.nout,
            )
            body = {key: value for key, value in state_dict.items() if key not in ("out.weight", "out.bias", "W2")}
            result = super().load_state_dict(body, strict=False, assign=assign)
            result.missing_keys[:] = [k for k in result.missing_keys if k not in ("out.weight", "out.bias", "W2")]
            return result
        return super().load_state_dict(state_dict, strict=strict, assign=assign)
