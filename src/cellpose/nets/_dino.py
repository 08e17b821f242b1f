"""CPDINO: a DINOv3 vision transformer with a flow head, the networks of Cellpose-DINO.

Sources: Siméoni et al., "DINOv3" (2025), section 3.2 and its model table, for the encoder; Su et al., "RoFormer"
(2021), section 3, for rotary positions, here over both image axes.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cellpose.errors import OptionError
from cellpose.nets._files import read_state_dict
from cellpose.nets._tokens import TokenNet, drop_rate, patch_tokens, run_block

__all__ = ["CPDINO", "AxialRope"]

# name: width, blocks, heads, published pretraining file
DINO_SIZES = {
    "vitl": (1024, 24, 16, "dinov3_vitl16_pretrain_lvd1689m-8aa4cbdd.pth"),
    "vitb": (768, 12, 12, "dinov3_vitb16_pretrain_lvd1689m-73cec8be.pth"),
}
_N_STORAGE = 4  # tokens beside the class token that stand for no patch
_PATCH_KERNEL = 16  # pixels a patch kernel sees; patches lie closer (ps) and overlap
_BASE = 100.0  # longest period of the rotary positions, in half image sides
_RESCALE = 2.0  # in training coordinates are scaled by up to this factor, or its inverse


class AxialRope(nn.Module):
    """Rotary positions: pairs of features turn by an angle that grows along rows (first half) or columns (second)."""

    def __init__(self, head_width: int) -> None:
        super().__init__()
        n_periods = head_width // 4
        exponent = torch.arange(n_periods, dtype=torch.float32) / n_periods
        self.register_buffer("periods", _BASE**exponent)

    def forward(self, rows: int, columns: int, scale: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Sine and cosine of the angles of all patches, float32 (rows * columns, head width).

        A patch is placed by its center, from -1 to 1 along each axis; ``scale`` stretches that.
        """
        periods: Tensor = self.periods  # type: ignore[assignment]
        device = periods.device
        places = torch.meshgrid(_centres(rows, device), _centres(columns, device), indexing="ij")
        coordinates = torch.stack([place.flatten() for place in places], dim=-1)
        if scale is not None:
            coordinates = coordinates * scale
        angles = 2 * math.pi * coordinates[:, :, None] / periods.float()
        angles = angles.flatten(1, 2).tile(2)
        return angles.sin(), angles.cos()


def _centres(n: int, device: torch.device) -> Tensor:
    return 2 * (torch.arange(n, dtype=torch.float32, device=device) + 0.5) / n - 1


def rotate(x: Tensor, sin: Tensor, cos: Tensor, n_fixed: int) -> Tensor:
    """``x`` (n, heads, tokens, width) turned by its positions, except the ``n_fixed`` first tokens: they have none."""
    fixed, patches = x[:, :, :n_fixed], x[:, :, n_fixed:].float()
    first, second = patches.chunk(2, dim=-1)
    turned = patches * cos + torch.cat((-second, first), dim=-1) * sin
    return torch.cat((fixed, turned.to(x.dtype)), dim=2)


class _MaskedLinear(nn.Linear):
    """Queries, keys and values in one layer, whose bias does not act on the keys."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim, 3 * dim)
        mask = torch.ones(3 * dim)
        mask[dim : 2 * dim] = 0
        self.register_buffer("bias_mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (..., dim) mapped linearly."""
        return F.linear(x, self.weight, self.bias * self.bias_mask.to(self.bias.dtype))  # type: ignore[operator]


class _Attention(nn.Module):
    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = _MaskedLinear(dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, sin: Tensor, cos: Tensor) -> Tensor:
        """Self-attention of ``x`` (n, token, dim); the last tokens are rotated by ``sin`` and ``cos``."""
        n, length, dim = x.shape
        qkv = self.qkv(x).reshape(n, length, 3, self.num_heads, dim // self.num_heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        n_fixed = length - len(sin)
        y = F.scaled_dot_product_attention(rotate(q, sin, cos, n_fixed), rotate(k, sin, cos, n_fixed), v)
        return self.proj(y.transpose(1, 2).reshape(n, length, dim))  # type: ignore[no-any-return]


class _LayerScale(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), 1e-5))

    def forward(self, x: Tensor) -> Tensor:
        """Each channel of ``x`` (..., dim) times its factor."""
        return x * self.gamma


class _MLP(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """The two layers, with a GELU between them, for each token of ``x`` (..., dim)."""
        return self.fc2(F.gelu(self.fc1(x)))  # type: ignore[no-any-return]


class _Block(nn.Module):
    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-5)
        self.attn = _Attention(dim, num_heads)
        self.ls1 = _LayerScale(dim)
        self.norm2 = nn.LayerNorm(dim, eps=1e-5)
        self.mlp = _MLP(dim)
        self.ls2 = _LayerScale(dim)

    def forward(self, x: Tensor, sin: Tensor, cos: Tensor) -> Tensor:
        """Attention and MLP, each scaled and added to its input (n, token, dim)."""
        x = x + self.ls1(self.attn(self.norm1(x), sin, cos))
        return x + self.ls2(self.mlp(self.norm2(x)))  # type: ignore[no-any-return]


class _PatchEmbed(nn.Module):
    def __init__(self, nchan: int, dim: int, ps: int) -> None:
        super().__init__()
        # The padding centers each kernel on its patch, so that there are as many tokens as patches.
        self.proj = nn.Conv2d(nchan, dim, _PATCH_KERNEL, stride=ps, padding=(_PATCH_KERNEL - ps) // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (n, rows, columns, dim) of images (n, channels, y, x)."""
        return patch_tokens(self.proj, x)


class _Encoder(nn.Module):
    def __init__(self, nchan: int, ps: int, dim: int, depth: int, num_heads: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.storage_tokens = nn.Parameter(torch.zeros(1, _N_STORAGE, dim))
        self.mask_token = nn.Parameter(torch.zeros(1, dim))
        self.patch_embed = _PatchEmbed(nchan, dim, ps)
        self.rope_embed = AxialRope(dim // num_heads)
        self.blocks = nn.ModuleList([_Block(dim, num_heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(dim, eps=1e-5)


class CPDINO(TokenNet):
    """Cellpose-DINO: outputs dY, dX and cell probability of tiles of any size that the patches fill.

    Parameters
    ----------
    model_name
        ``"vitl"`` or ``"vitb"``.
    ps
        Side of a patch in pixels.
    nout
        Number of outputs. With more than three the flows and the cell probability are the last three.
    bsize
        Side in pixels of the tiles that the pipeline uses by default.
    rdrop
        Probability with which training skips the last block of a sample; smaller for blocks before it.
    dtype
        Floating-point type of the weights.
    embed_dim, depth, num_heads
        In place of those of ``model_name``; the published files have the defaults.
    """

    def __init__(
        self,
        model_name: str = "vitl",
        ps: int = 8,
        nout: int = 3,
        bsize: int = 384,
        rdrop: float = 0.4,
        dtype: torch.dtype = torch.float32,
        *,
        embed_dim: int | None = None,
        depth: int | None = None,
        num_heads: int | None = None,
    ) -> None:
        if model_name not in DINO_SIZES:
            message = f"model_name={model_name!r} is not allowed; choose one of {', '.join(map(repr, DINO_SIZES))}"
            raise OptionError(message)
        super().__init__(ps, nout, bsize, rdrop)
        sizes = (embed_dim, depth, num_heads)
        dim, n_blocks, heads = (given or usual for given, usual in zip(sizes, DINO_SIZES[model_name][:3], strict=True))
        self.model_name = model_name
        self.backbone = f"dino_{model_name}"
        self.default_bsize = bsize
        self.encoder = _Encoder(self.nchan, ps, dim, n_blocks, heads)
        self.out = nn.Linear(dim, nout * ps * ps)
        if dtype != torch.float32:
            self.to(dtype)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (n, nout, y, x) and a style of zeros (n, 256) of tiles (n, 1 to 3 channels, y, x).

        Raises
        ------
        InputError
            If y or x is no multiple of the patch side, or there are more than three channels.
        """
        self.check_input(x)
        encoder = self.encoder
        patches = encoder.patch_embed(x)
        n, rows, columns, dim = patches.shape
        fixed = torch.cat((encoder.cls_token, encoder.storage_tokens), dim=1).expand(n, -1, -1)
        tokens = torch.cat((fixed, patches.reshape(n, rows * columns, dim)), dim=1)
        tokens = self._through_blocks(tokens, rows, columns)
        tokens = encoder.norm(tokens)[:, fixed.shape[1] :]
        values = self.out(tokens).reshape(n, rows, columns, -1).permute(0, 3, 1, 2)
        return self.pixels(values), self.no_style(x)

    def _through_blocks(self, tokens: Tensor, rows: int, columns: int) -> Tensor:
        encoder, depth = self.encoder, len(self.encoder.blocks)
        if not self.training:
            angles = encoder.rope_embed(rows, columns)
            for block in encoder.blocks:
                tokens = block(tokens, *angles)
            return tokens
        for i, block in enumerate(encoder.blocks):
            # One factor for both axes, drawn separately for every block, uniformly on a logarithmic scale.
            spread = math.log(_RESCALE)
            scale = torch.empty(1, device=tokens.device).uniform_(-spread, spread).exp()
            angles = encoder.rope_embed(rows, columns, scale)
            tokens = run_block(block, tokens, drop_rate(self.rdrop, i, depth), *angles)
        return tokens

    def load_pretrained(self, root: str | Path | None = None) -> None:
        """Start from the published DINOv3 encoder, whose file lies in folder ``root``.

        Raises
        ------
        FileReadError
            If the file does not exist.
        """
        self.encoder.load_state_dict(read_state_dict(Path(root or ".") / DINO_SIZES[self.model_name][3]))
