"""CPDINO as an ONNX graph, made from the arrays of its weight file alone; its parts are those of ``nets.CPDINO``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cellpose.engines._token_graph import TokenGraph

__all__ = ["DinoGraph", "rotations"]

FloatArray = NDArray[np.float32]
_EPS = 1e-5  # of its layer norms


def rotations(periods: FloatArray, rows: int, columns: int, n_fixed: int) -> dict[str, FloatArray]:
    """The rotation of queries and keys by the positions of patches: ``x * cos + (x with its halves exchanged) * sin``.

    The ``n_fixed`` tokens before the patches have no position and stay as they are.
    """
    centres = (2 * (np.arange(n, dtype=np.float32) + np.float32(0.5)) / n - 1 for n in (rows, columns))
    coordinates = np.stack([place.ravel() for place in np.meshgrid(*centres, indexing="ij")], axis=-1)
    angles = np.float32(2 * np.pi) * coordinates[:, :, None] / periods.astype(np.float32)
    angles = angles.reshape(len(coordinates), -1)
    sin = np.concatenate((-np.sin(angles), np.sin(angles)), axis=1)
    cos = np.tile(np.cos(angles), 2)
    fixed = np.zeros((n_fixed, sin.shape[1]), np.float32)
    return {
        "sin": np.concatenate((fixed, sin)).astype(np.float32),
        "cos": np.concatenate((fixed + 1, cos)).astype(np.float32),
    }


class DinoGraph(TokenGraph):
    """Writes the graph of a CPDINO for one tile of any size that the patches fill."""

    def rotated(self, x: str, axis: int) -> str:
        """Queries or keys (head, token, width) turned by the positions of their tokens."""
        graph = self.graph
        first, second = graph.nodes("Split", [x], 2, axis=axis, num_outputs=2)
        exchanged = graph.node("Concat", second, first, axis=axis)
        return self.add(graph.node("Mul", x, "cos"), graph.node("Mul", exchanged, "sin"))

    def attention(self, x: str, key: str, scale: FloatArray) -> str:
        """Self-attention with rotary positions; the output is multiplied by ``scale`` (dim,)."""
        weight, bias = self.state[f"{key}.qkv.weight"], self.state[f"{key}.qkv.bias"]
        dim = weight.shape[1]
        bias = bias * self.state.get(f"{key}.qkv.bias_mask", _no_bias_of_keys(dim))
        q, k, v = self.queries_keys_values(x, weight, bias)
        keys = self.graph.node("Transpose", self.rotated(self.by_head(k), 2), perm=[0, 2, 1])
        y = self.attend(self.rotated(self.by_head(q), 2), keys, self.by_head(v), dim)
        return self.layer(y, f"{key}.proj", scale)

    def block(self, x: str, key: str) -> str:
        """One transformer block: attention and MLP, each added to its input."""
        first, second = (self.state[f"{key}.ls{n}.gamma"] for n in (1, 2))
        x = self.add(x, self.attention(self.layer_norm(x, f"{key}.norm1", _EPS), f"{key}.attn", first))
        hidden = self.gelu(self.layer(self.layer_norm(x, f"{key}.norm2", _EPS), f"{key}.mlp.fc1"))
        return self.add(x, self.layer(hidden, f"{key}.mlp.fc2", second))

    def write(self) -> None:
        """Inputs ``tiles`` (1, nchan, y, x) and ``sin`` and ``cos`` (token, width of a head; see :func:`rotations`).

        The output is ``outputs`` (1, nout, y, x), all are float32.
        """
        graph, state, network = self.graph, self.state, self.network
        ps, dim = network.ps, network.embed_dim
        tiles = graph.input("tiles", [1, network.nchan, "y", "x"])
        for name in ("sin", "cos"):
            graph.input(name, ["token", dim // network.num_heads])
        kernel = state["encoder.patch_embed.proj.weight"]
        patches = self.conv(
            tiles, kernel, state["encoder.patch_embed.proj.bias"], stride=ps, padding=(kernel.shape[-1] - ps) // 2
        )
        sides = graph.node("Shape", patches, start=2, end=4)
        x = graph.node("Transpose", graph.node("Reshape", patches, self.shape(dim, -1)), perm=[1, 0])
        fixed = np.concatenate((state["encoder.cls_token"][0], state["encoder.storage_tokens"][0]))
        x = graph.node("Concat", graph.constant(fixed), x, axis=0)
        for i in range(network.depth):
            x = self.block(x, f"encoder.blocks.{i}")
        x = self.layer_norm(x, "encoder.norm", _EPS)
        x = graph.node("Slice", x, self.shape(len(fixed)), self.shape(np.iinfo(np.int64).max), self.shape(0))
        weight, bias = (graph.constant(state[f"out.{name}"]) for name in ("weight", "bias"))
        x = graph.node("Transpose", graph.node("Gemm", x, weight, bias, transB=1), perm=[1, 0])
        size = graph.node("Concat", self.shape(1, network.nout * ps * ps), sides, axis=0)
        y = graph.node("DepthToSpace", graph.node("Reshape", x, size), blocksize=ps, mode="CRD")
        graph.output("outputs", y, [1, network.nout, "y", "x"])


def _no_bias_of_keys(dim: int) -> FloatArray:
    return np.repeat(np.array([1, 0, 1], np.float32), dim)
