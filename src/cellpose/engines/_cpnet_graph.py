"""CPnet as an ONNX graph, made from the arrays of its weight file alone.

A unit of CPnet is batch norm, ReLU, convolution. Where the output of a convolution goes to one batch norm only, its
scale and shift are folded into that convolution; where no ReLU stands between, into the next one. The other batch
norms, of values that are also added to others later, remain separate nodes.

In 8 bits the inputs and weights of convolutions of more than one pixel are rounded, the weights with a scale for each
output; sums stay in float32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellpose.engines._onnx_file import Graph
from cellpose.engines._token_graph import rounded

__all__ = ["cpnet_graph", "scale_and_shift"]

FloatArray = NDArray[np.float32]
State = Mapping[str, FloatArray]
_EPS = 1e-5  # of the batch norms of CPnet
_LEAST_CHANNELS = 8  # convolutions of fewer are not rounded


def scale_and_shift(state: State, key: str) -> tuple[FloatArray, FloatArray]:
    """A batch norm as ``scale * x + shift``."""
    weight, bias, mean, variance = (
        state[f"{key}.{name}"].astype(np.float64) for name in ("weight", "bias", "running_mean", "running_var")
    )
    scale = weight / np.sqrt(variance + _EPS)
    return scale.astype(np.float32), (bias - mean * scale).astype(np.float32)


@dataclass(frozen=True)
class _Norm:
    """A batch norm as ``scale * x + shift``."""

    scale: FloatArray
    shift: FloatArray


@dataclass(frozen=True)
class _Conv:
    """A convolution: weight (out, in, size, size), bias (out)."""

    weight: FloatArray
    bias: FloatArray

    def then(self, norm: _Norm) -> _Conv:
        """Followed by a batch norm."""
        return _Conv(self.weight * norm.scale[:, None, None, None], self.bias * norm.scale + norm.shift)

    def after(self, norm: _Norm) -> _Conv:
        """Preceded by a batch norm; only for kernels of one pixel, since padding is not shifted."""
        shifted = self.weight[:, :, 0, 0] @ norm.shift
        return _Conv(self.weight * norm.scale[None, :, None, None], self.bias + shifted)


class _CPnetGraph:
    """Walks the network and writes its nodes; values are names in the graph."""

    def __init__(
        self,
        state: State,
        residual_on: bool,
        style_on: bool,
        concatenation: bool,
        max_pool: bool,
        largest: Sequence[float] | None = None,
    ) -> None:
        self.state, self.graph = state, Graph()
        self.largest = largest
        # Inputs of the convolutions that can be rounded, in order; none is negative.
        self.rounded: list[str] = []
        self.residual_on, self.style_on, self.concatenation = residual_on, style_on, concatenation
        self.pool = "MaxPool" if max_pool else "AveragePool"
        self.style = ""

    def norm(self, key: str) -> _Norm:
        """The batch norm of this name as scale and shift (channel,)."""
        return _Norm(*scale_and_shift(self.state, key))

    def conv(self, key: str) -> _Conv:
        """Weight and bias of the convolution of this name."""
        return _Conv(self.state[f"{key}.weight"], self.state[f"{key}.bias"])

    # ---------------------------------------------------------------------------------------------------- nodes

    def operands(self, x: str, weight: FloatArray, axis: int) -> tuple[str, str]:
        """Input and weights of a convolution, rounded if all are; ``axis`` is that of the outputs."""
        graph = self.graph
        # Kernels of one pixel, or on the image itself, need few products.
        if weight.shape[-1] == 1 or weight.shape[1 - axis] < _LEAST_CHANNELS:
            return x, graph.constant(weight)
        self.rounded.append(x)
        if self.largest is None:
            return x, graph.constant(weight)
        scale = graph.constant(np.array(max(self.largest[len(self.rounded) - 1], 1e-12) / 255, np.float32))
        zero = graph.constant(np.array(0, np.uint8))
        x = graph.node("DequantizeLinear", graph.node("QuantizeLinear", x, scale, zero), scale, zero)
        by_output = np.moveaxis(weight, axis, 0)
        numbers, scales = rounded(by_output.reshape(len(by_output), -1))
        numbers = np.moveaxis(numbers.reshape(by_output.shape), 0, axis)
        constants = (graph.constant(a) for a in (numbers, scales[:, 0], np.zeros(len(by_output), np.int8)))
        return x, graph.node("DequantizeLinear", *constants, axis=axis)

    def convolved(self, x: str, conv: _Conv) -> str:
        """Convolve ``x`` (n, channel, y, x) with zero padding; its size stays."""
        size = conv.weight.shape[-1]
        graph = self.graph
        return graph.node(
            "Conv", *self.operands(x, conv.weight, 0), graph.constant(conv.bias),
            kernel_shape=[size, size], pads=[size // 2] * 4, strides=[1, 1],
        )  # fmt: skip

    def normalized(self, x: str, norm: _Norm) -> str:
        """Scale and shift each channel of ``x``."""
        channels = len(norm.scale)
        none, one = np.zeros(channels, np.float32), np.ones(channels, np.float32)
        constants = [self.graph.constant(a) for a in (norm.scale, norm.shift, none, one)]
        return self.graph.node("BatchNormalization", x, *constants, epsilon=0.0)

    def relu(self, x: str) -> str:
        """Negative values of ``x`` become 0."""
        return self.graph.node("Relu", x)

    def add(self, a: str, b: str) -> str:
        """The sum ``a + b``."""
        return self.graph.node("Add", a, b)

    def upsampled(self, x: str) -> str:
        """Repeat each pixel of ``x`` twice along y and x."""
        scales = self.graph.constant(np.array([1, 1, 2, 2], np.float32))
        return self.graph.node(
            "Resize", x, "", scales, mode="nearest", nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        )  # fmt: skip

    def upsampled_convolved(self, x: str, conv: _Conv) -> str:
        """The convolution of ``x`` at twice its size.

        Repeating each pixel and convolving with a kernel of side 3 is one transposed convolution with a kernel of side
        4, with 16 instead of 36 products per pixel of ``x``.
        """
        if conv.weight.shape[-1] == 1:
            return self.upsampled(self.convolved(x, conv))
        if conv.weight.shape[-1] != 3:
            return self.convolved(self.upsampled(x), conv)
        kernel = _sums_of_taps(_sums_of_taps(conv.weight, 2), 3).transpose(1, 0, 2, 3)
        graph = self.graph
        return graph.node(
            "ConvTranspose", *self.operands(x, kernel, 1), graph.constant(conv.bias),
            kernel_shape=[4, 4], pads=[1] * 4, strides=[2, 2],
        )  # fmt: skip

    def style_of(self, features: str) -> str:
        """The direction of the mean feature vector; zeros stay zeros."""
        graph = self.graph
        mean = graph.node("ReduceMean", features, graph.constant(np.array([2, 3])), keepdims=0)
        square = graph.node("ReduceSum", graph.node("Mul", mean, mean), graph.constant(np.array([1])), keepdims=1)
        least = graph.constant(np.array([np.finfo(np.float32).tiny], np.float32))
        return graph.node("Div", mean, graph.node("Sqrt", graph.node("Max", square, least)))

    def styled(self, key: str, norm: _Norm) -> str:
        """What the style adds to every pixel, (n, channels, 1, 1), with the batch norm that follows."""
        graph = self.graph
        weight, bias = self.state[f"{key}.full.weight"], self.state[f"{key}.full.bias"]
        bias = bias * norm.scale + norm.shift
        if not self.style_on:
            return graph.constant(bias.reshape(1, -1, 1, 1))
        weight = weight * norm.scale[:, None]
        vector = graph.node("Gemm", self.style, graph.constant(weight), graph.constant(bias), transB=1)
        return graph.node("Unsqueeze", vector, graph.constant(np.array([2, 3])))

    # --------------------------------------------------------------------------------------------------- levels

    def pair(self, x: str, first: str, second: str) -> str:
        """Two successive units of the encoder."""
        start = self.relu(self.normalized(x, self.norm(f"{first}.0")))
        middle = self.relu(self.convolved(start, self.conv(f"{first}.2").then(self.norm(f"{second}.0"))))
        return self.convolved(middle, self.conv(f"{second}.2"))

    def down(self, x: str, n: int) -> str:
        """Level ``n`` of the encoder."""
        if not self.residual_on:
            key = f"downsample.down.conv_down_{n}.conv.conv_"
            return self.pair(x, f"{key}0", f"{key}1")
        level = f"downsample.down.res_down_{n}"
        key = f"{level}.conv.conv_"
        projected = self.convolved(x, self.conv(f"{level}.proj.1").after(self.norm(f"{level}.proj.0")))
        h = self.add(self.pair(x, f"{key}0", f"{key}1"), projected)
        return self.add(self.pair(h, f"{key}2", f"{key}3"), h)

    def joined(self, x: str, skip: str, level: str, *, upsample: bool) -> str:
        """The first two units of a decoder level: the second one takes the skip connection and the style."""
        run = self.upsampled_convolved if upsample else self.convolved
        norm = self.norm(f"{level}.conv.conv_1.conv.0")
        start = self.relu(self.normalized(x, self.norm(f"{level}.conv.conv_0.0")))
        conv = self.conv(f"{level}.conv.conv_0.2")
        style = self.styled(f"{level}.conv.conv_1", norm)
        if self.concatenation:
            both = self.graph.node("Concat", skip, run(start, conv), axis=1)
            y = self.normalized(both, _Norm(norm.scale, np.zeros_like(norm.shift)))
        else:
            unshifted = _Norm(norm.scale, np.zeros_like(norm.shift))
            y = self.add(run(start, conv.then(unshifted)), self.normalized(skip, unshifted))
        return self.convolved(self.relu(self.add(y, style)), self.conv(f"{level}.conv.conv_1.conv.2"))

    def up(self, x: str, skip: str, n: int, *, upsample: bool) -> str:
        """Level ``n`` of the decoder; ``skip`` is the output of the encoder on this level."""
        if not self.residual_on:
            return self.joined(x, skip, f"upsample.up.conv_up_{n}", upsample=upsample)
        level = f"upsample.up.res_up_{n}"
        projection = self.conv(f"{level}.proj.1").after(self.norm(f"{level}.proj.0"))
        projected = (self.upsampled_convolved if upsample else self.convolved)(x, projection)
        h = self.add(self.joined(x, skip, level, upsample=upsample), projected)
        second, third = self.norm(f"{level}.conv.conv_2.conv.0"), self.norm(f"{level}.conv.conv_3.conv.0")
        scaled = self.normalized(h, _Norm(second.scale, np.zeros_like(second.shift)))
        y = self.relu(self.add(scaled, self.styled(f"{level}.conv.conv_2", second)))
        conv = self.conv(f"{level}.conv.conv_2.conv.2").then(_Norm(third.scale, np.zeros_like(third.shift)))
        y = self.relu(self.add(self.convolved(y, conv), self.styled(f"{level}.conv.conv_3", third)))
        return self.add(self.convolved(y, self.conv(f"{level}.conv.conv_3.conv.2")), h)

    def write(self, nbase: Sequence[int], nout: int) -> None:
        """Write the whole network: tiles (n, channel, y, x) in, outputs and styles out."""
        graph, levels = self.graph, len(nbase) - 1
        x = graph.input("tiles", ["n", nbase[0], "y", "x"])
        features: list[str] = []
        for n in range(levels):
            if features:
                x = graph.node(self.pool, features[-1], kernel_shape=[2, 2], strides=[2, 2])
            features.append(self.down(x, n))
            x = features[-1]
        self.style = self.style_of(x)
        for n in range(levels - 1, -1, -1):
            x = self.up(x, features[n], n, upsample=n < levels - 1)
        y = self.convolved(self.relu(self.normalized(x, self.norm("output.0"))), self.conv("output.2"))
        graph.output("outputs", y, ["n", nout, "y", "x"])
        graph.output("styles", self.style, ["n", nbase[-1]])

    def show_rounded(self) -> None:
        """Output the inputs of convolutions that can be rounded, beside the results."""
        for i, name in enumerate(self.rounded):
            self.graph.output(f"input{i}", name, ["n", "channel", f"y{i}", f"x{i}"])


def _sums_of_taps(kernel: FloatArray, axis: int) -> FloatArray:
    """The four taps of a transposed convolution of stride 2 from the three of a convolution of repeated pixels."""
    first, second, third = np.moveaxis(kernel, axis, 0)
    return np.stack((third, second + third, first + second, first), axis=axis)


def cpnet_graph(
    state: State,
    nbase: Sequence[int],
    nout: int,
    *,
    residual_on: bool = True,
    style_on: bool = True,
    concatenation: bool = False,
    max_pool: bool = True,
    largest: Sequence[float] | None = None,
    observed: bool = False,
    metadata: Mapping[str, Any] | None = None,
) -> bytes:
    """The ONNX file of a CPnet in two dimensions.

    Parameters
    ----------
    state
        Its state dict as arrays.
    nbase, nout, residual_on, style_on, concatenation, max_pool
        Constructor arguments of ``CPnet``.
    largest
        The largest number that each rounded input of a convolution can be, in the order of the nodes: in 8 bits.
    observed
        Give these inputs out as well, to find what their largest numbers are.
    metadata
        Stored in the file.

    Returns
    -------
    bytes
        Graph with the input ``tiles`` (n, channel, y, x) and the outputs ``outputs`` (n, nout, y, x) and ``styles``
        (n, style), all float32.
    """
    writer = _CPnetGraph(state, residual_on, style_on, concatenation, max_pool, largest)
    writer.write(nbase, nout)
    if observed:
        writer.show_rounded()
    return writer.graph.to_bytes({key: str(value) for key, value in (metadata or {}).items()})
