"""CPSAM as an ONNX graph, made from the arrays of its weight file alone; its parts are those of ``nets.CPSAM``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cellpose.engines._token_graph import TokenGraph

__all__ = ["SamGraph"]

FloatArray = NDArray[np.float32]
_EPS = 1e-6  # of its layer norms


class SamGraph(TokenGraph):
    """Writes the graph of a CPSAM for one tile."""

    def attention(self, x: str, key: str, side: int, places: str) -> str:
        """Attention whose keys carry the position of their token as one-hot row and column, see ``nets.CPSAM``."""
        graph, heads = self.graph, self.num_heads
        weight, bias = self.state[f"{key}.qkv.weight"], self.state[f"{key}.qkv.bias"]
        dim = weight.shape[1]
        width = dim // heads
        q, k, v = self.queries_keys_values(x, weight, bias)
        grid = graph.node("Reshape", q, self.shape(side, side, heads, width))
        # The biases belong to queries not divided by the root of the width: the tables compensate for it.
        tables = [
            graph.constant(_by_offset(self.state[f"{key}.rel_pos_{axis}"], side) * np.float32(width**0.5))
            for axis in "hw"
        ]
        by_grid = graph.node("Transpose", grid, perm=[2, 0, 1, 3])
        by_row = graph.node("MatMul", by_grid, tables[0])
        by_column = graph.node("MatMul", graph.node("Transpose", grid, perm=[2, 1, 0, 3]), tables[1])
        by_column = graph.node("Transpose", by_column, perm=[0, 2, 1, 3])
        queries = graph.node("Concat", by_grid, by_row, by_column, axis=3)
        queries = graph.node("Reshape", queries, self.shape(heads, side * side, width + 2 * side))
        keys = graph.node("Concat", self.by_head(k, (1, 2, 0)), places, axis=1)
        return self.layer(self.attend(queries, keys, self.by_head(v), dim), f"{key}.proj")

    def block(self, x: str, key: str, side: int, places: str) -> str:
        """One transformer block on ``side * side`` tokens: attention and MLP, each added to its input."""
        x = self.add(x, self.attention(self.layer_norm(x, f"{key}.norm1", _EPS), f"{key}.attn", side, places))
        hidden = self.gelu(self.layer(self.layer_norm(x, f"{key}.norm2", _EPS), f"{key}.mlp.lin1"))
        return self.add(x, self.layer(hidden, f"{key}.mlp.lin2"))

    def write(self) -> None:
        """Input ``tiles`` (1, nchan, bsize, bsize) and output ``outputs`` (1, nout, bsize, bsize), float32."""
        graph, state, network = self.graph, self.state, self.network
        side, dim = network.bsize // network.ps, network.embed_dim
        tiles = graph.input("tiles", [1, network.nchan, network.bsize, network.bsize])
        stem = "encoder.patch_embed.proj"
        patches = self.conv(tiles, state[f"{stem}.weight"], state[f"{stem}.bias"], stride=network.ps)
        x = graph.node("Transpose", graph.node("Reshape", patches, self.shape(dim, -1)), perm=[1, 0])
        x = self.add(x, graph.constant(state["encoder.pos_embed"].reshape(-1, dim)))
        one_hot = np.eye(side, dtype=np.float32)
        place = np.concatenate((np.repeat(one_hot, side, axis=1), np.tile(one_hot, side)))
        places = graph.constant(np.repeat(place[None], self.num_heads, axis=0))
        for i in range(network.depth):
            x = self.block(x, f"encoder.blocks.{i}", side, places)
        x = graph.node("Transpose", x, perm=[1, 0])
        x = self.conv(graph.node("Reshape", x, self.shape(1, dim, side, side)), state["encoder.neck.0.weight"], None)
        x = self.channel_norm(x, "encoder.neck.1")
        x = self.channel_norm(self.conv(x, state["encoder.neck.2.weight"], None, padding=1), "encoder.neck.3")
        x = self.conv(x, state["out.weight"], state["out.bias"])
        y = graph.node("DepthToSpace", x, blocksize=network.ps, mode="CRD")
        graph.output("outputs", y, [1, network.nout, network.bsize, network.bsize])

    def channel_norm(self, x: str, key: str) -> str:
        """Layer norm over the channels of every pixel of (1, channel, y, x)."""
        last = self.layer_norm(self.graph.node("Transpose", x, perm=[0, 2, 3, 1]), key, _EPS)
        return self.graph.node("Transpose", last, perm=[0, 3, 1, 2])


def _by_offset(table: FloatArray, side: int) -> FloatArray:
    """Embeddings (1, side, width, side) for a query at i and a key at k: of the offset i - k, see ``nets.CPSAM``."""
    n_offsets = 2 * side - 1
    if len(table) != n_offsets:
        place = np.clip((np.arange(n_offsets) + 0.5) * len(table) / n_offsets - 0.5, 0, len(table) - 1)
        low = np.floor(place).astype(int)
        part = (place - low).astype(np.float32)[:, None]
        table = table[low] * (1 - part) + table[np.minimum(low + 1, len(table) - 1)] * part
    i = np.arange(side)
    return np.ascontiguousarray(table[i[:, None] - i + side - 1].transpose(0, 2, 1)[None])
