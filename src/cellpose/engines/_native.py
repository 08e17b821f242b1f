"""CPnet by kernels of our own, compiled for the processor at hand: no library, a third of the products."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellpose.engines._cpnet_graph import scale_and_shift
from cellpose.nets import _convolution as kernels
from cellpose.nets._convolution import DOUBLED_KERNELS, KERNELS, LANES

__all__ = ["NativeCPnet"]

FloatArray = NDArray[np.float32]
State = Mapping[str, FloatArray]
_LOWEST = np.float32(0)  # that a rectifier gives
_LINE = 64  # bytes of a line of the cache


def _whole(channels: int) -> int:
    """Channels as they are stored: whole vectors."""
    return -(-channels // LANES) * LANES


def _empty(size: int) -> FloatArray:
    """Room for numbers that begins with a line of the cache: no vector lies across two."""
    room = np.empty(size + _LINE // 4, np.float32)
    first = -room.ctypes.data % _LINE // 4
    return room[first : first + size]


def _filled(values: Any, *lengths: int) -> Any:
    """Zeros appended to the last axes, so that they have these lengths."""
    missing = [(0, length - old) for length, old in zip(lengths, values.shape[-len(lengths) :], strict=True)]
    before = [(0, 0)] * (values.ndim - len(lengths))
    return np.pad(values, before + missing)


def _padded(values: Any, *lengths: int) -> FloatArray:
    """As :func:`_filled`, flat."""
    filled = _filled(values, *lengths)
    flat = _empty(filled.size)
    flat[:] = filled.reshape(-1)
    return flat


def _packed(values: Any, *lengths: int) -> FloatArray:
    """As :func:`_padded`, matrices as kernels read them."""
    whole = kernels.packed(_filled(values, *lengths))
    return _padded(whole, whole.shape[-1])


def _transformed(weight: NDArray[np.float64], *, doubled: bool) -> NDArray[np.float64]:
    """Kernels (n_out, n_in, 3, 3) as seen from the points, (points, n_in, n_out)."""
    n_out, n_in = weight.shape[:2]
    matrix: NDArray[np.float64] = DOUBLED_KERNELS if doubled else KERNELS
    return (matrix @ weight.transpose(2, 3, 1, 0).reshape(9, -1)).reshape(-1, n_in, n_out)


@dataclass(frozen=True)
class _Unit:
    """Batch norm as ``scale * x + shift``, rectifier, convolution, at twice the size where ``doubled``.

    ``style`` is what the style adds to the shift.
    """

    scale: FloatArray
    shift: FloatArray
    kernel: FloatArray
    bias: FloatArray
    n_in: int
    n_out: int
    doubled: bool
    style: FloatArray | None = None

    def shift_by(self, style: FloatArray) -> FloatArray:
        return self.shift if self.style is None else self.shift + self.style @ style


@dataclass(frozen=True)
class _Level:
    """Four units and a projection."""

    units: Sequence[_Unit]
    kernel: FloatArray
    bias: FloatArray

    def project(self, x: FloatArray, n: int, out: FloatArray) -> None:
        """The projection of ``n`` pixels."""
        unit = self.units[0]
        kernels.convolve_pixels(x, n, unit.n_in, self.kernel, self.bias, out, unit.n_out)


class _Features:
    """Places for the features of an image of one size, used again for the next one."""

    def __init__(self, shape: tuple[int, int], channels: Sequence[int]) -> None:
        self.shapes = [(shape[0] >> n, shape[1] >> n) for n in range(len(channels))]
        sizes = [y * x * c for (y, x), c in zip(self.shapes, channels, strict=True)]
        self.encoded, self.decoded = ([_empty(size) for size in sizes] for _ in range(2))
        # the first units of a level may have the channels of the next one
        self.middle, self.small = (_empty(max(sizes)) for _ in range(2))


class NativeCPnet:
    """Runs a CPnet with residual blocks, in two dimensions; what :func:`open_session` gives for other libraries.

    Parameters
    ----------
    state
        Its state dict as arrays.
    nbase
        Channels of the input and of each level.
    nout
        Channels of the output.
    style_on
        Whether the style is used.
    """

    def __init__(self, state: State, nbase: Sequence[int], nout: int, *, style_on: bool = True) -> None:
        self.state, self.nbase, self.nout, self.style_on = state, list(nbase), nout, style_on
        self.channels = [_whole(n) for n in nbase[1:]]
        self.down = [self._level(f"downsample.down.res_down_{n}") for n in range(len(nbase) - 1)]
        self.up = [self._level(f"upsample.up.res_up_{n}", doubled=n < len(nbase) - 2) for n in range(len(nbase) - 1)]
        scale, shift = self._norm("output.0")
        kernel = state["output.2.weight"][:, :, 0, 0].T
        last = _whole(nout)
        self.output = scale, shift, _packed(kernel, self.channels[0], last), _padded(state["output.2.bias"], last)
        self._idle: list[_Features] = []
        del self.state

    @classmethod
    def of(cls, graph: bytes | Path) -> NativeCPnet:
        """The network of a file made by :func:`native_graph`."""
        with np.load(io.BytesIO(graph) if isinstance(graph, bytes) else graph, allow_pickle=False) as found:
            state = {key: found[key] for key in found.files}
        nbase, nout, style_on = state.pop("nbase").tolist(), int(state.pop("nout")), bool(state.pop("style_on"))
        return cls(state, nbase, nout, style_on=style_on)

    def _norm(self, key: str) -> tuple[FloatArray, FloatArray]:
        """Scale and shift of a batch norm, in whole vectors."""
        scale, shift = scale_and_shift(self.state, key)
        length = _whole(len(scale))
        return _padded(scale, length), _padded(shift, length)

    def _unit(self, key: str, *, points: bool = False, doubled: bool = False) -> _Unit:
        """A unit; with ``points`` one of the first convolution, which has few channels."""
        styled = f"{key}.full.weight" in self.state
        conv = f"{key}.conv" if styled else key
        weight = self.state[f"{conv}.2.weight"].astype(np.float64)
        n_out, n_in = weight.shape[:2]
        scale, shift = self._norm(f"{conv}.0")
        kernel = (
            _packed(weight.transpose(2, 3, 1, 0).reshape(-1, n_out), 9 * n_in, _whole(n_out))
            if points
            else _packed(_transformed(weight, doubled=doubled), _whole(n_in), _whole(n_out))
        )
        style = None
        if styled:
            shift = shift + scale * _padded(self.state[f"{key}.full.bias"], len(scale))
            if self.style_on:
                full = self.state[f"{key}.full.weight"]
                style = _padded(full, len(scale), full.shape[1]).reshape(len(scale), -1) * scale[:, None]
        bias = _padded(self.state[f"{conv}.2.bias"], _whole(n_out))
        return _Unit(scale, shift, kernel, bias, n_in if points else _whole(n_in), _whole(n_out), doubled, style)

    def _level(self, key: str, *, doubled: bool = False) -> _Level:
        """A level; ``doubled`` where it begins with the features of a coarser one."""
        first = key == "downsample.down.res_down_0"
        units = [self._unit(f"{key}.conv.conv_0", points=first, doubled=doubled)]
        units += [self._unit(f"{key}.conv.conv_{t}") for t in (1, 2, 3)]
        scale, shift = self._norm(f"{key}.proj.0")
        weight = self.state[f"{key}.proj.1.weight"][:, :, 0, 0]
        n_out, n_in = weight.shape
        bias = _padded(self.state[f"{key}.proj.1.bias"] + weight @ shift[:n_in], _whole(n_out))
        kernel = _packed((weight * scale[:n_in]).T, n_in if first else _whole(n_in), _whole(n_out))
        return _Level(units, kernel, bias)

    def __call__(self, tiles: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Outputs (n, nout, y, x) and styles (n, style) of tiles (n, channel, y, x); several threads may call it."""
        n, _, rows, columns = tiles.shape
        found = np.empty((n, self.nout, rows, columns), np.float32)
        styles = np.empty((n, self.nbase[-1]), np.float32)
        features = self._features((rows, columns))
        for i in range(n):
            styles[i] = self._run(tiles[i], features, found[i].reshape(-1))
        self._idle.append(features)
        return found, styles

    def _features(self, shape: tuple[int, int]) -> _Features:
        """Those of another call that is over, if its tiles had this size, else new ones: never more than threads."""
        try:
            features = self._idle.pop()
        except IndexError:
            return _Features(shape, self.channels)
        return features if features.shapes[0] == shape else _Features(shape, self.channels)

    def _run(self, tile: FloatArray, features: _Features, found: FloatArray) -> FloatArray:
        self._encode(tile, features)
        style = self._style(features)
        self._decode(style, features)
        rows, columns = features.shapes[0]
        kernels.outputs(features.decoded[0], rows * columns, self.channels[0], *self.output, found, self.nout)
        return style

    def _encode(self, tile: FloatArray, features: _Features) -> None:
        x = np.ascontiguousarray(np.moveaxis(tile, 0, -1), np.float32).reshape(-1)
        for n, level in enumerate(self.down):
            (rows, columns), out, middle = features.shapes[n], features.encoded[n], features.middle
            if n:
                x = features.small
                kernels.halve(features.encoded[n - 1], rows, columns, self.channels[n - 1], False, x)
            unit = level.units[0]
            level.project(x, rows * columns, out)
            if n:
                self._convolve(unit, x, features.shapes[n], middle)
            else:
                operands = unit.n_in, unit.scale, unit.shift, unit.kernel, unit.bias
                kernels.convolve_points(x, rows, columns, *operands, middle, unit.n_out)
            self._convolve(level.units[1], middle, features.shapes[n], out, add=True)
            self._convolve(level.units[2], out, features.shapes[n], middle)
            self._convolve(level.units[3], middle, features.shapes[n], out, add=True)

    def _style(self, features: _Features) -> FloatArray:
        """The direction of the mean feature vector; zeros stay zeros."""
        rows, columns = features.shapes[-1]
        mean = kernels.means(features.encoded[-1], rows * columns, self.channels[-1])[: self.nbase[-1]]
        length = np.sqrt(np.square(mean).sum())
        return mean / length if length > 0 else mean  # type: ignore[no-any-return]

    def _decode(self, style: FloatArray, features: _Features) -> None:
        x = features.encoded[-1]
        coarsest = len(self.up) - 1
        for n in range(coarsest, -1, -1):
            level, shape, out, skip = self.up[n], features.shapes[n], features.decoded[n], features.encoded[n]
            rows, columns = shape
            first, second, third, fourth = level.units
            if n == coarsest:
                skip = x.copy()
                level.project(x, rows * columns, out)
            else:
                level.project(x, rows * columns // 4, features.small)
                kernels.double(features.small, rows, columns, first.n_out, out)
            self._convolve(first, x, shape, skip, add=True)
            self._convolve(second, skip, shape, out, style, add=True)
            self._convolve(third, out, shape, features.middle, style)
            self._convolve(fourth, features.middle, shape, out, style, add=True)
            x = out

    def _convolve(
        self,
        unit: _Unit,
        x: FloatArray,
        shape: tuple[int, int],
        out: FloatArray,
        style: FloatArray | None = None,
        *,
        add: bool = False,
    ) -> None:
        shift = unit.shift if style is None else unit.shift_by(style)
        operands = unit.n_in, unit.scale, shift, _LOWEST, unit.kernel, unit.bias
        convolve = kernels.convolve_doubled if unit.doubled else kernels.convolve
        convolve(x, *shape, *operands, out, unit.n_out, add)
