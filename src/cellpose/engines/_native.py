"""CPnet by kernels of our own, compiled for the processor at hand: no library, a third of the products."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellpose.engines._cpnet_graph import scale_and_shift
from cellpose.engines._native_graph import NativeGraph
from cellpose.nets import DOUBLED_KERNELS, KERNELS, LANES
from cellpose.nets import convolution as kernels

__all__ = ["NativeCPnet"]

FloatArray = NDArray[np.float32]
State = Mapping[str, FloatArray]
_LOWEST = np.float32(0)  # the smallest output of a rectifier
_LINE = 64  # bytes of a cache line
_SMALL = 256**2  # pixels of a tile; more are enough for each kernel that is read
# Numbers of a result from which threads share a layer; for fewer it takes longer to call them.
_WORTH_SHARING = 2**15


def _whole(channels: int) -> int:
    """Channels as they are stored: whole vectors."""
    return -(-channels // LANES) * LANES


def _empty(size: int) -> FloatArray:
    """An empty array that begins at a cache line, so that no vector spans two lines."""
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
    matrix = DOUBLED_KERNELS if doubled else KERNELS
    at_points: NDArray[np.float64] = matrix @ weight.transpose(2, 3, 1, 0).reshape(9, -1)
    return at_points.reshape(-1, n_in, n_out)


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
        """The shift of each channel (channel,), the part of the style included."""
        return self.shift if self.style is None else self.shift + self.style @ style


@dataclass(frozen=True)
class _Level:
    """Four units and a projection."""

    units: Sequence[_Unit]
    kernel: FloatArray
    bias: FloatArray

    def project(self, x: FloatArray, n: int, out: FloatArray, team: _Team) -> None:
        """The projection of ``n`` pixels."""
        unit = self.units[0]
        size = n * unit.n_out
        team.share(size, kernels.convolve_pixels, x, n, unit.n_in, self.kernel, self.bias, out, unit.n_out)


class _Team:
    """Threads that share the layers of a tile, and wait for each other after each of them."""

    def __init__(self, pool: ThreadPoolExecutor | None = None, threads: int = 1) -> None:
        self._pool, self._threads = pool, threads

    @classmethod
    @contextmanager
    def of(cls, threads: int) -> Iterator[_Team]:
        """A team of so many threads, the calling one included."""
        if threads == 1:
            yield cls()
            return
        with ThreadPoolExecutor(threads - 1, "cellpose-layers") as pool:
            yield cls(pool, threads)

    def share(self, size: int, layer: Callable[..., None], *operands: Any) -> None:
        """Compute a layer whose result has ``size`` numbers, each thread one part of it."""
        if self._pool is None or size < _WORTH_SHARING:
            layer(*operands, 0, 1)
            return
        others = [self._pool.submit(layer, *operands, part, self._threads) for part in range(1, self._threads)]
        layer(*operands, 0, self._threads)
        for other in others:
            other.result()


class _Features:
    """Places for the features of tiles of one size, used again for the next ones.

    Attributes
    ----------
    shapes
        Rows and columns of each level.
    deep
        The first level whose kernels are larger than the features of a tile.
    """

    def __init__(self, shape: tuple[int, int], channels: Sequence[int]) -> None:
        self.shapes = [(shape[0] >> n, shape[1] >> n) for n in range(len(channels))]
        pixels = [y * x for y, x in self.shapes]
        self.sizes = [n * c for n, c in zip(pixels, channels, strict=True)]
        # What is halved going down has the channels of the level before; what is doubled going up, fewer pixels.
        before = [channels[0] // 4, *channels]
        self.small_sizes = [n * max(before[i], channels[i] // 4) for i, n in enumerate(pixels)]
        self.deep = next((i for i, n in enumerate(pixels) if len(KERNELS) * channels[i] > n), len(pixels))
        self.shared = self.levels(0, self.deep)
        self._tiles: list[_Tile] = []

    def levels(self, first: int, end: int) -> tuple[list[FloatArray], ...]:
        """Places for each of some levels: two for its units, which all share, and its decoded features."""
        middle, small = (_empty(max(sizes[first:end], default=0)) for sizes in (self.sizes, self.small_sizes))
        return [middle] * (end - first), [small] * (end - first), [_empty(size) for size in self.sizes[first:end]]

    def tiles(self, n: int) -> list[_Tile]:
        """Places for ``n`` tiles."""
        self._tiles += [_Tile(self) for _ in range(n - len(self._tiles))]
        return self._tiles[:n]


class _Tile:
    """Places for the features of a tile at each level; before the deep ones all tiles share what no other level needs.

    ``encoded`` and ``decoded`` are the results of a level, ``middle`` and ``small`` what its units need.
    """

    def __init__(self, features: _Features) -> None:
        own = features.levels(features.deep, len(features.sizes))
        self.middle, self.small, self.decoded = (a + b for a, b in zip(features.shared, own, strict=True))
        self.encoded = [_empty(size) for size in features.sizes]


class NativeCPnet:
    """Runs a CPnet with residual blocks, in two dimensions; what sessions of other libraries are.

    Where kernels are larger than the features of a tile, they are read once for a few tiles, unit by unit; other levels
    are run tile by tile.

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

    together = 2  # tiles, if they are small; more, or large ones, would take more memory and save little time
    shares_tiles = True

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
    def of(cls, graph: bytes | Path | NativeGraph) -> NativeCPnet:
        """The network of a graph, or of the file of one."""
        made = graph if isinstance(graph, NativeGraph) else NativeGraph.of(graph)
        return cls(made.arrays, made.nbase, made.nout, style_on=made.style_on)

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

    def __call__(self, tiles: FloatArray, threads: int = 1) -> tuple[FloatArray, FloatArray]:
        """Outputs (n, nout, y, x) and styles (n, style) of tiles (n, channel, y, x); several threads may call it.

        Each of these may have ``threads`` for itself, which share the layers of a tile.
        """
        n, _, rows, columns = tiles.shape
        found = np.empty((n, self.nout, rows, columns), np.float32)
        styles = np.empty((n, self.nbase[-1]), np.float32)
        features = self._features((rows, columns))
        with _Team.of(threads) as team:
            step = self.together if rows * columns <= _SMALL else 1
            for first in range(0, n, step):
                part = slice(first, first + step)
                self._run(tiles[part], features, found[part], styles[part], team)
        self._idle.append(features)
        return found, styles

    def _features(self, shape: tuple[int, int]) -> _Features:
        """Buffers of a finished call if its tiles had this size, else new ones; never more than threads."""
        try:
            features = self._idle.pop()
        except IndexError:
            return _Features(shape, self.channels)
        return features if features.shapes[0] == shape else _Features(shape, self.channels)

    def _run(self, tiles: FloatArray, features: _Features, found: FloatArray, styles: FloatArray, team: _Team) -> None:
        places, shapes = features.tiles(len(tiles)), features.shapes
        levels = list(range(len(shapes)))
        fine, deep = levels[: features.deep], levels[features.deep :]
        for tile, place in zip(tiles, places, strict=True):
            self._first(tile, place, team)
            for n in fine:
                self._encode(n, shapes[n], [place], team)
        for n in deep:
            self._encode(n, shapes[n], places, team)
        for style, place in zip(styles, places, strict=True):
            style[:] = self._style(shapes[-1], place)
        for n in reversed(deep):
            self._decode(n, shapes[n], places, styles, team)
        for i, place in enumerate(places):
            for n in reversed(fine):
                self._decode(n, shapes[n], [place], styles[i : i + 1], team)
            self._last(shapes[0], place, found[i].reshape(-1), team)

    def _first(self, tile: FloatArray, place: _Tile, team: _Team) -> None:
        """Projection and first unit of the finest level."""
        level, (_, rows, columns) = self.down[0], tile.shape
        unit, out = level.units[0], place.middle[0]
        x = np.ascontiguousarray(np.moveaxis(tile, 0, -1), np.float32).reshape(-1)
        level.project(x, rows * columns, place.encoded[0], team)
        operands = unit.n_in, unit.scale, unit.shift, unit.kernel, unit.bias, out, unit.n_out
        team.share(rows * columns * unit.n_out, kernels.convolve_points, x, rows, columns, *operands)

    def _last(self, shape: tuple[int, int], place: _Tile, out: FloatArray, team: _Team) -> None:
        """The outputs of the network."""
        n, channels = shape[0] * shape[1], self.channels[0]
        team.share(n * channels, kernels.outputs, place.decoded[0], n, channels, *self.output, out, self.nout)

    def _encode(self, n: int, shape: tuple[int, int], places: Sequence[_Tile], team: _Team) -> None:
        (rows, columns), level = shape, self.down[n]
        outs, middles = [p.encoded[n] for p in places], [p.middle[n] for p in places]
        smalls = [p.small[n] for p in places]
        first, second, third, fourth = level.units
        if n:
            for p, x, out in zip(places, smalls, outs, strict=True):
                size, channels = rows * columns * self.channels[n - 1], self.channels[n - 1]
                team.share(size, kernels.halve, p.encoded[n - 1], rows, columns, channels, False, x)
                level.project(x, rows * columns, out, team)
            self._convolve(first, smalls, shape, middles, team)
        self._convolve(second, middles, shape, outs, team, add=True)
        self._convolve(third, outs, shape, middles, team)
        self._convolve(fourth, middles, shape, outs, team, add=True)

    def _style(self, shape: tuple[int, int], place: _Tile) -> FloatArray:
        """The direction of the mean feature vector; zeros stay zeros."""
        rows, columns = shape
        mean = kernels.means(place.encoded[-1], rows * columns, self.channels[-1])[: self.nbase[-1]]
        length = np.sqrt(np.square(mean).sum())
        return mean / length if length > 0 else mean  # type: ignore[no-any-return]

    def _decode(self, n: int, shape: tuple[int, int], places: Sequence[_Tile], styles: FloatArray, team: _Team) -> None:
        (rows, columns), level = shape, self.up[n]
        outs, middles = [p.decoded[n] for p in places], [p.middle[n] for p in places]
        skips = [p.encoded[n] for p in places]
        first, second, third, fourth = level.units
        if first.doubled:
            xs = [p.decoded[n + 1] for p in places]
            for p, x, out in zip(places, xs, outs, strict=True):
                level.project(x, rows * columns // 4, p.small[n], team)
                size = rows * columns * first.n_out
                team.share(size, kernels.double, p.small[n], rows, columns, first.n_out, out)
        else:
            xs, skips = skips, [x.copy() for x in skips]
            for x, out in zip(xs, outs, strict=True):
                level.project(x, rows * columns, out, team)
        self._convolve(first, xs, shape, skips, team, add=True)
        self._convolve(second, skips, shape, outs, team, styles, add=True)
        self._convolve(third, outs, shape, middles, team, styles)
        self._convolve(fourth, middles, shape, outs, team, styles, add=True)

    def _convolve(
        self,
        unit: _Unit,
        xs: Sequence[FloatArray],
        shape: tuple[int, int],
        outs: Sequence[FloatArray],
        team: _Team,
        styles: FloatArray | None = None,
        *,
        add: bool = False,
    ) -> None:
        convolve = kernels.convolve_doubled if unit.doubled else kernels.convolve
        size = shape[0] * shape[1] * unit.n_out
        for i, (x, out) in enumerate(zip(xs, outs, strict=True)):
            shift = unit.shift if styles is None else unit.shift_by(styles[i])
            operands = unit.n_in, unit.scale, shift, _LOWEST, unit.kernel, unit.bias, out, unit.n_out, add
            team.share(size, convolve, x, *shape, *operands)
