"""The common parts of transformer graphs: linear layers in float32 or in 8 bits, layer norms, attention.

In 8 bits, weights have one scale for each output and 128 inputs, or for each output. Activations are rounded as they
come, with one scale for each token and 128 of its numbers: nothing must be known of them beforehand, and a large number
spoils few others.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cellpose.engines._onnx_file import Graph

if TYPE_CHECKING:
    from cellpose.nets import Architecture

__all__ = ["INT8_GROUP", "TokenGraph"]

FloatArray = NDArray[np.float32]

#: Inputs that share a scale in 8 bits.
INT8_GROUP = 128


class TokenGraph(ABC):
    """Writes the nodes of a transformer for one tile; tokens are (token, width)."""

    def __init__(
        self, state: Mapping[str, FloatArray], network: Architecture, int8: str | None, data_file: str | None
    ) -> None:
        self.state, self.network, self.num_heads, self.int8 = state, network, network.num_heads, int8
        self.graph = Graph(data_file)

    @classmethod
    def of(
        cls,
        state: Mapping[str, FloatArray],
        network: Architecture,
        *,
        int8: str | None = None,
        data_file: str | None = None,
    ) -> Graph:
        """The graph of a network.

        Parameters
        ----------
        state
            Its state dict as arrays.
        network
            The result of ``nets.detect_architecture``.
        int8
            ``"onnx"`` or ``"openvino"``: linear layers of the blocks in 8 bits, as this library runs them fastest.
            ``None``: in float32.
        data_file
            Name of the file beside the graph that takes the weights.

        Returns
        -------
        Graph
            With the inputs and outputs that :meth:`write` describes.
        """
        writer = cls(state, network, int8, data_file)
        writer.write()
        return writer.graph

    @abstractmethod
    def write(self) -> None:
        """Write the whole network, its inputs and outputs."""

    def shape(self, *lengths: int) -> str:
        """A shape as a constant (int64)."""
        return self.graph.constant(np.array(lengths))

    def linear(self, x: str, weight: FloatArray, bias: FloatArray) -> str:
        """``x @ weight.T + bias``; weight (out, in)."""
        graph, (n_out, n_in) = self.graph, weight.shape
        if self.int8 is None or n_in % INT8_GROUP:
            return graph.node("Gemm", x, graph.constant(weight), graph.constant(bias), transB=1)
        if self.int8 == "onnx":
            numbers, scales = rounded(weight.reshape(n_out, -1, INT8_GROUP))
            constants = [graph.constant(a) for a in ((numbers.view(np.uint8) + np.uint8(128)), scales.reshape(-1))]
            # The last attribute asks for products of 8-bit numbers.
            return graph.node(
                "com.microsoft:MatMulNBits", x, *constants, "", "", graph.constant(bias),
                K=n_in, N=n_out, bits=8, block_size=INT8_GROUP, accuracy_level=4,
            )  # fmt: skip
        numbers, scales = rounded(weight)
        zeros = graph.constant(np.zeros(n_out, np.int8))
        restored = graph.node(
            "DequantizeLinear", graph.constant(np.ascontiguousarray(numbers.T)), graph.constant(scales[:, 0]), zeros,
            axis=1,
        )  # fmt: skip
        return graph.node("Add", graph.node("MatMul", x, restored), graph.constant(bias))

    def layer(self, x: str, key: str, scale: FloatArray | None = None) -> str:
        """A linear layer of the file, its outputs multiplied by ``scale``."""
        weight, bias = self.state[f"{key}.weight"], self.state[f"{key}.bias"]
        return self.linear(x, weight, bias) if scale is None else self.linear(x, weight * scale[:, None], bias * scale)

    def layer_norm(self, x: str, key: str, epsilon: float) -> str:
        """Layer norm of the last axis of ``x``, with the weight and bias of this name."""
        weight, bias = (self.graph.constant(self.state[f"{key}.{name}"]) for name in ("weight", "bias"))
        return self.graph.node("LayerNormalization", x, weight, bias, axis=-1, epsilon=epsilon)

    def queries_keys_values(self, x: str, weight: FloatArray, bias: FloatArray) -> list[str]:
        """Each (token, width), queries already divided by the root of the width of a head."""
        dim = weight.shape[1]
        scale = np.float32((dim // self.num_heads) ** -0.5)
        parts = zip(weight.reshape(3, dim, dim), bias.reshape(3, dim), (scale, 1, 1), strict=True)
        return [self.linear(x, w * s if s != 1 else w, b * s if s != 1 else b) for w, b, s in parts]

    def by_head(self, x: str, perm: tuple[int, ...] = (1, 0, 2)) -> str:
        """(token, width) as (head, token, width of a head), or in another order of these axes."""
        return self.graph.node("Transpose", self.graph.node("Reshape", x, self.shape(0, self.num_heads, -1)), perm=perm)

    def attend(self, queries: str, keys: str, values: str, dim: int) -> str:
        """Attention of queries (head, token, a), keys (head, a, token) and values (head, token, b): (token, dim).

        A head at a time, whose logits stay in the cache of a processor.
        """
        graph, heads = self.graph, self.num_heads
        split = (graph.nodes("Split", [x], heads, axis=0, num_outputs=heads) for x in (queries, keys, values))
        results = [
            graph.node("MatMul", graph.node("Softmax", graph.node("MatMul", q, k), axis=-1), v)
            for q, k, v in zip(*split, strict=True)
        ]
        joined = graph.node("Transpose", graph.node("Concat", *results, axis=0), perm=[1, 0, 2])
        return graph.node("Reshape", joined, self.shape(-1, dim))

    def gelu(self, x: str) -> str:
        """The exact GELU of ``x``."""
        return self.graph.node("Gelu", x, approximate="none")

    def add(self, a: str, b: str) -> str:
        """The sum ``a + b``."""
        return self.graph.node("Add", a, b)

    def conv(self, x: str, weight: FloatArray, bias: FloatArray | None, stride: int = 1, padding: int = 0) -> str:
        """Convolve ``x`` (n, channel, y, x)."""
        graph, side = self.graph, weight.shape[-1]
        constants = [graph.constant(a) for a in (weight, bias) if a is not None]
        return graph.node(
            "Conv", x, *constants, kernel_shape=[side, side], pads=[padding] * 4, strides=[stride, stride]
        )


def rounded(weight: FloatArray) -> tuple[NDArray[np.int8], FloatArray]:
    """Numbers from -127 to 127 and their scales, one for all of the last axis, which is kept with length 1."""
    scale = np.maximum(np.abs(weight).max(axis=-1, keepdims=True), np.float32(1e-12)) / np.float32(127)
    return np.rint(weight / scale).astype(np.int8), scale.astype(np.float32)
