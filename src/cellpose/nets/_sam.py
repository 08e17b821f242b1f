"""CPSAM: the ViT-L image encoder of Segment Anything with a flow head, the network of Cellpose-SAM.

Sources: Pachitariu, Rariden and Stringer, "Cellpose-SAM" (2025), Methods, for the head, the patches of 8 pixels and
global attention in all blocks; Kirillov et al., "Segment Anything" (2023), Appendix A, for the encoder; Li et al.,
"MViTv2" (2022), section 4.1, for decomposed relative positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cellpose.errors import InputError, WeightsError
from cellpose.nets._files import read_state_dict
from cellpose.nets._tokens import TokenNet, drop_rate, patch_tokens, run_block

__all__ = ["CPSAM", "SamBlock"]

_SAM_PATCH = 16  # patch side in pixels of the original encoder
_SAM_GRID = 64  # its tokens per side
_SAM_WINDOW = 14  # its attention window in tokens; the tables of relative positions keep that size
_SAM_FILE = "sam_vit_l_0b3195.pth"


def relative_positions(table: Tensor, side: int) -> Tensor:
    """Embeddings (side, side, head width) of the offset from token k to token i along one axis.

    ``table`` (offsets, head width) is stretched linearly to the ``2 * side - 1`` offsets that occur.
    """
    n_offsets = 2 * side - 1
    if table.shape[0] != n_offsets:
        table = F.interpolate(table.T[None], size=n_offsets, mode="linear", align_corners=False)[0].T
    place = torch.arange(side, device=table.device)
    return table[place[:, None] - place[None, :] + side - 1]


def _places(rows: int, columns: int, like: Tensor) -> Tensor:
    """One-hot row and column of every token, (rows * columns, rows + columns)."""
    row = torch.eye(rows, dtype=like.dtype, device=like.device)[:, None].expand(rows, columns, rows)
    column = torch.eye(columns, dtype=like.dtype, device=like.device)[None].expand(rows, columns, columns)
    return torch.cat((row, column), dim=-1).flatten(0, 1)


class _Attention(nn.Module):
    """Self-attention over all tokens of an image, with relative positions by row and by column."""

    def __init__(self, dim: int, num_heads: int, n_offsets: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        width = dim // num_heads
        self.rel_pos_h = nn.Parameter(torch.zeros(n_offsets, width))
        self.rel_pos_w = nn.Parameter(torch.zeros(n_offsets, width))
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Self-attention of ``x`` (n, row, column, dim) with relative positions."""
        n, rows, columns, dim = x.shape
        width = dim // self.num_heads
        qkv = self.qkv(x).reshape(n, rows * columns, 3, self.num_heads, width)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        # The logit of a pair of tokens is q.k / sqrt(width) + by_row[q, row of k] + by_column[q, column of k]: again a
        # product, of queries that carry their two rows of biases with keys that carry their place as a one-hot vector.
        # The biases of all pairs are never stored, and fused attention kernels apply (they need values of the same
        # width).
        by_row, by_column = self._biases(q.reshape(n, self.num_heads, rows, columns, width))
        queries = torch.cat((q * width**-0.5, by_row, by_column), dim=-1)
        keys = torch.cat((k, _places(rows, columns, k).expand(n, self.num_heads, -1, -1)), dim=-1)
        y = F.scaled_dot_product_attention(queries, keys, F.pad(v, (0, rows + columns)), scale=1.0)[..., :width]
        return self.proj(y.transpose(1, 2).reshape(n, rows, columns, dim))  # type: ignore[no-any-return]

    def _biases(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the offset to each row and to each column, (n, heads, tokens, rows) and (.., columns)."""
        rows, columns = q.shape[2:4]
        table_h = relative_positions(self.rel_pos_h, rows).to(q.dtype)
        table_w = relative_positions(self.rel_pos_w, columns).to(q.dtype)
        by_row = torch.einsum("bnhwc,hkc->bnhwk", q, table_h)
        by_column = torch.einsum("bnhwc,wkc->bnhwk", q, table_w)
        return by_row.flatten(2, 3), by_column.flatten(2, 3)


class _MLP(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(dim, hidden)
        self.lin2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """The two layers, with a GELU between them, for each token of ``x`` (..., dim)."""
        return self.lin2(F.gelu(self.lin1(x)))  # type: ignore[no-any-return]


class SamBlock(nn.Module):
    """Transformer block over tokens (n, rows, columns, dim)."""

    def __init__(self, dim: int, num_heads: int, n_offsets: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = _Attention(dim, num_heads, n_offsets)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = _MLP(dim, 4 * dim)

    def forward(self, x: Tensor) -> Tensor:
        """Attention and MLP, each added to its input (n, row, column, dim)."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))  # type: ignore[no-any-return]


class _ChannelNorm(nn.Module):
    """Layer norm over the channels of every pixel of (n, channels, y, x)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize the channels of each pixel of ``x`` (n, channel, y, x)."""
        y = F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, eps=1e-6)
        return y.permute(0, 3, 1, 2)


class _PatchEmbed(nn.Module):
    def __init__(self, nchan: int, dim: int, ps: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(nchan, dim, ps, stride=ps)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (n, rows, columns, dim) of images (n, channels, y, x)."""
        return patch_tokens(self.proj, x)


class _Encoder(nn.Module):
    def __init__(self, nchan: int, ps: int, grid: int, dim: int, num_heads: int, offsets: Sequence[int]) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, grid, grid, dim))
        self.patch_embed = _PatchEmbed(nchan, dim, ps)
        self.blocks = nn.ModuleList([SamBlock(dim, num_heads, n) for n in offsets])
        self.neck = nn.Sequential(
            nn.Conv2d(dim, 256, 1, bias=False),
            _ChannelNorm(256),
            nn.Conv2d(256, 256, 3, padding=1, bias=False),
            _ChannelNorm(256),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Features (n, 256, rows, columns) of images (n, channels, y, x)."""
        tokens = self.patch_embed(x) + self.pos_embed
        for block in self.blocks:
            tokens = block(tokens)
        return self.neck(tokens.permute(0, 3, 1, 2))  # type: ignore[no-any-return]


def sam_offsets(depth: int = 24) -> tuple[int, ...]:
    """Rows of the relative position tables: long in every sixth block, whose attention was global from the start."""
    return tuple(2 * (_SAM_GRID if i % 6 == 5 else _SAM_WINDOW) - 1 for i in range(depth))


class CPSAM(TokenNet):
    """Cellpose-SAM: outputs dY, dX and cell probability of tiles of ``bsize`` pixels.

    Parameters
    ----------
    ps
        Side of a patch in pixels.
    nout
        Number of outputs. With more than three the flows and the cell probability are the last three.
    bsize
        Side of a tile in pixels; the absolute positions are made for it.
    rdrop
        Probability with which training skips the last block of a sample; smaller for blocks before it.
    dtype
        Floating-point type of the weights.
    embed_dim, num_heads, offsets
        Width, heads, and rows of the relative position table of each block; the published files have the defaults.
    """

    backbone = "sam_vitl"

    def __init__(
        self,
        ps: int = 8,
        nout: int = 3,
        bsize: int = 256,
        rdrop: float = 0.4,
        dtype: torch.dtype = torch.float32,
        *,
        embed_dim: int = 1024,
        num_heads: int = 16,
        offsets: Sequence[int] | None = None,
    ) -> None:
        super().__init__(ps, nout, bsize, rdrop)
        offsets = sam_offsets() if offsets is None else offsets
        self.default_bsize = bsize
        self.encoder = _Encoder(self.nchan, ps, bsize // ps, embed_dim, num_heads, offsets)
        self.out = nn.Conv2d(256, nout * ps * ps, 1)
        if dtype != torch.float32:
            self.to(dtype)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (n, nout, bsize, bsize) and a style of zeros (n, 256) of tiles (n, 1 to 3 channels, bsize, bsize).

        Raises
        ------
        InputError
            If the tiles have another size or more than three channels.
        """
        self.check_input(x)
        if x.shape[2:] != (self.bsize, self.bsize):
            message = f"tiles of {x.shape[2]} x {x.shape[3]} pixels do not fit CPSAM; they must have bsize={self.bsize}"
            raise InputError(message)
        encoder = self.encoder
        tokens = encoder.patch_embed(x) + encoder.pos_embed
        depth = len(encoder.blocks)
        for i, block in enumerate(encoder.blocks):
            tokens = run_block(block, tokens, drop_rate(self.rdrop, i, depth) if self.training else 0.0)
        features = encoder.neck(tokens.permute(0, 3, 1, 2))
        return self.pixels(self.out(features)), self.no_style(x)

    def load_pretrained(self, root: str | Path | None = None) -> None:
        """Start from the published Segment Anything encoder, ``sam_vit_l_0b3195.pth`` in folder ``root``.

        Its patch kernels and absolute positions are sampled to the smaller patches.

        Raises
        ------
        FileReadError
            If the file does not exist.
        """
        state = read_state_dict(Path(root or ".") / _SAM_FILE)
        stem = "image_encoder."
        encoder = {key.removeprefix(stem): value for key, value in state.items() if key.startswith(stem)}
        if not encoder:
            message = f"{_SAM_FILE} has no tensors named {stem}*; it is not the Segment Anything file"
            raise WeightsError(message)
        step = _SAM_PATCH // self.ps
        encoder["patch_embed.proj.weight"] = encoder["patch_embed.proj.weight"][:, :, ::step, ::step]
        step = _SAM_GRID // (self.bsize // self.ps)
        encoder["pos_embed"] = encoder["pos_embed"][:, ::step, ::step]
        self.encoder.load_state_dict(encoder)
