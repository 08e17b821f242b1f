"""An engine that runs the graph of a network without torch, and is compared with torch before its first use."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise, repeat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellpose import nets, weights
from cellpose._progress.stages import current_job, stage
from cellpose.engines._dino_graph import rotations
from cellpose.engines._registry import ENGINES, EngineKind
from cellpose.engines._sessions import Session, threads, workers
from cellpose.engines._source import Source, keep, source_of
from cellpose.errors import CellposeError, InputError

__all__ = ["GraphEngine", "open_engine", "reference_path", "run_side_by_side", "write_reference"]

logger = logging.getLogger("cellpose.engines")

FloatArray = NDArray[np.float32]

# Largest difference from torch at which an engine is accepted. In float32: of any number, relative to the largest. With
# fewer bits: root mean square of the differences, relative to that of the numbers; meant to find faults, not to judge.
TOLERANCES = {"float32": 1e-3, "bfloat16": 0.3, "int8": 0.3}
_CHECK_SIDE = 64
_N_FIXED = 5  # tokens of a CPDINO before those of the patches


class GraphEngine:
    """Runs the graph of a network without torch.

    Parameters
    ----------
    name
        Name of the engine.
    source
        The network.
    session
        Runs its graph.
    precision
        ``"float32"``, ``"bfloat16"`` or ``"int8"``.

    Attributes
    ----------
    nbase, diam_mean, diam_labels
        What the weight file says: channels of each level (U-Nets), and diameters in pixels.
    """

    device = "cpu"

    def __init__(self, name: str, source: Source, session: Session, precision: str = "float32") -> None:
        network = source.network
        family = nets.family_named(network.name)
        self.name, self.precision = name, precision
        self.nout, self.nchan, self.backbone = network.nout, network.nchan, network.name
        self.nbase = list(network.nbase)
        self.diam_mean, self.diam_labels = source.diam_mean, source.diam_labels
        self._family, self._only_side = family, network.bsize
        self.style_size, self.tile_multiple = network.style_size, network.tile_multiple
        self.default_bsize = network.bsize or family.tile_side
        self._periods = np.array(source.periods, np.float32)
        self._session, self._workers, self._threads = session, workers(), threads()
        self._calls, self._counting = 0, threading.Lock()

    def __call__(self, tiles: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Outputs (n, nout, y, x) and styles (n, style_size) of tiles (n, channels, y, x), all float32.

        Every thread runs one tile at a time: its features stay in the cache of the processor, those of a batch do
        not, and no thread waits for another. Sessions that gain by a few tiles at a time (``together``) get them.
        Where two or more threads are free for each tile, sessions that can (``shares_tiles``) run each on several.
        Calls that run at the same time share the threads.

        Raises
        ------
        InputError
            If the number of channels or the size of the tiles is not one that the network takes.
        """
        self._check(tiles)
        n, channels, rows, columns = tiles.shape
        tiles = np.ascontiguousarray(tiles, np.float32)
        if channels < self.nchan:  # missing channels count as zeros, in families that allow it
            tiles = np.pad(tiles, ((0, 0), (0, self.nchan - channels), (0, 0), (0, 0)))
        outputs = np.empty((n, self.nout, rows, columns), np.float32)
        styles = np.zeros((n, self.style_size), np.float32)
        others: dict[str, FloatArray] = {}
        if len(self._periods):
            others = rotations(self._periods, rows // self.tile_multiple, columns // self.tile_multiple, _N_FIXED)

        job = current_job()

        def run(part: slice, each: int) -> None:
            options = {"threads": each} if each > 1 else {}
            results = self._session(tiles[part], **others, **options)
            outputs[part] = results[0]
            if self._family.has_style:
                styles[part] = results[1]
            if job is not None:
                job.step(len(results[0]))

        with self._counted() as calls:
            workers = max(1, self._workers // calls)
            for parts, each in self._rounds(n, workers, max(1, self._threads // calls)):
                if len(parts) == 1 or workers == 1:
                    for part in parts:
                        run(part, each)
                else:
                    # Made for each batch, at negligible cost, so that no thread outlives its use (or a fork).
                    with ThreadPoolExecutor(min(len(parts), workers), "cellpose-tiles") as pool:
                        list(pool.map(run, parts, repeat(each)))
        return outputs, styles

    @contextmanager
    def _counted(self) -> Iterator[int]:
        """The number of calls that run now, this one included: images may be run side by side."""
        with self._counting:
            self._calls += 1
            calls = self._calls
        try:
            yield calls
        finally:
            with self._counting:
                self._calls -= 1

    def _rounds(self, n: int, workers: int, threads: int) -> Iterator[tuple[list[slice], int]]:
        """Parts of ``n`` tiles that ``workers`` run side by side, and how many of the threads each of these has."""
        if not getattr(self._session, "shares_tiles", False):
            yield self._parts(0, n, workers), 1
            return
        last = n % workers
        full = n - last
        each, each_of_last = (max(1, threads // k) for k in (min(n, workers), last or workers))
        if full and each_of_last > each:
            yield self._parts(0, full, workers), each
            yield self._parts(full, n, workers), each_of_last
        else:
            yield self._parts(0, n, workers), each

    def _parts(self, first: int, end: int, workers: int) -> list[slice]:
        """Tiles that are run at a time, by workers that have equally many of them."""
        n = end - first
        rounds = -(-n // (workers * getattr(self._session, "together", 1)))
        edges = np.linspace(first, end, min(n, rounds * workers) + 1).astype(int).tolist()
        return [slice(*pair) for pair in pairwise(edges)]

    def _check(self, tiles: FloatArray) -> None:
        _, channels, rows, columns = tiles.shape
        fewer = not self._family.channel_pair
        if channels != self.nchan and not (fewer and 1 <= channels < self.nchan):
            most = f"1 to {self.nchan}" if fewer else self.nchan
            message = f"tiles of {channels} channels cannot be run: the network takes {most}"
            raise InputError(message)
        if self._only_side and (rows, columns) != (self._only_side, self._only_side):
            message = f"tiles of {rows} x {columns} pixels do not fit; they must have bsize={self._only_side} here"
            raise InputError(message)
        if rows % self.tile_multiple or columns % self.tile_multiple:
            message = (
                f"tiles of {rows} x {columns} pixels cannot be run: sides must be multiples of {self.tile_multiple}"
            )
            raise InputError(message)


def run_side_by_side(*engines: Any) -> bool:
    """Whether several images may be run by these engines at once.

    Torch divides one image among all threads (and a GPU has one memory): two at once would only get in each other's
    way. The same is true of large matrices.
    """
    return all(isinstance(each, GraphEngine) and nets.family_named(each.backbone).convolutional for each in engines)


def open_engine(names: Sequence[str], file: weights.ModelFile, precision: str = "float32") -> GraphEngine | None:
    """The network of a weight file, run by the first of ``names``, torch aside, that can run it; else None.

    The graph is made once for each weight file and kept in the models folder, by the hash of the file, where making it
    needs torch or it is large. Before the first use it is compared with torch on a tile of random numbers. None means
    that torch must run the network; the log says why.
    """
    reference = _Reference(file)
    for name in names:
        kind = ENGINES[name]
        if kind.graphs is None:
            continue
        # Libraries fail in many ways: missing system libraries, unknown processors, graphs they do not take.
        try:
            able = kind.graphs.has_bfloat16() if precision == "bfloat16" else precision in kind.precisions
            if not able:
                logger.info("%s does not support %s on this CPU", name, precision)
                continue
            stage(f"preparing the network for {name}")
            source = source_of(file, kind, precision)
            if source is None:
                logger.info("torch runs the network of %s: %s has no graph for it", file.name, name)
                continue
            engine = _opened(kind, source, precision, reference)
            if engine is not None:
                return engine
        except CellposeError:
            raise
        except Exception as error:
            logger.warning("%s cannot run the network of %s: %s", name, file.name, error)
    return None


class _Reference:
    """Torch's outputs for a tile of random numbers, for the networks of one weight file."""

    def __init__(self, file: weights.ModelFile) -> None:
        self.file = file
        self.shipped = False
        self._values: tuple[FloatArray, FloatArray] | None = None

    def values(self, tile: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Outputs and styles of torch for the tile, from the file that ships with the weights if there is one."""
        if self._values is None:
            self._values = _read_reference(self.file)
            self.shipped = self._values is not None
        if self._values is None:
            stage("comparing with torch")
            self._values = _of_torch(weights.load_network(self.file), tile)
        return self._values


def _opened(kind: EngineKind, source: Source, precision: str, reference: _Reference) -> GraphEngine | None:
    """The network run by one engine; None, with a warning, if its results differ from torch's."""
    graphs, file = kind.graphs, reference.file
    if graphs is None:
        return None
    version = graphs.version()
    noted = version if precision == "float32" else f"{version} {precision}"
    tile = _tile(source.network.nchan, source.network.bsize)
    expected = None
    if noted not in source.checked:
        # Computed before the graph is loaded, since both take much memory.
        expected = reference.values(tile)
    # Beside 8-bit layers, unrounded attention takes half the time; in bfloat16 it loses less than they have lost.
    in_8_bits = precision == "int8" and not nets.family_named(source.network.name).convolutional
    bfloat16 = precision == "bfloat16" or (in_8_bits and graphs.has_bfloat16())
    engine = GraphEngine(kind.name, source, graphs.open(source.graph, bfloat16=bfloat16), precision)
    if expected is None:
        return engine
    measure = _difference if precision == "float32" else _mean_difference
    found = engine(tile)
    difference = max(measure(a, b) for a, b in zip(found, expected, strict=True))
    if not difference <= TOLERANCES[precision]:  # NaN as well
        logger.warning(
            "%s differs from torch by %.1e (allowed: %.0e) on the network of %s and is not used",
            noted, difference, TOLERANCES[precision], file.name,
        )  # fmt: skip
        return None
    logger.debug("%s differs from torch by %.1e on the network of %s", noted, difference, file.name)
    if not (reference.shipped and precision == "float32"):
        source.checked[noted] = difference
        keep(source, file, kind, precision)
    return engine


def reference_path(weight_file: Path) -> Path:
    """Path of torch's outputs for the tile of the comparison, beside a weight file that is shipped."""
    return weight_file.with_name(f"{weight_file.stem}.reference.npz")


def write_reference(weight_file: Path) -> Path:
    """Write torch's outputs, so that the weight file can be used without torch from the start."""
    file = weights.resolve(weight_file)
    net = weights.load_network(file)
    outputs, styles = _of_torch(net, _tile(net.nchan))
    path = reference_path(weight_file)
    with weights.replaced(path) as temporary, temporary.open("wb") as opened:
        np.savez_compressed(opened, sha256=np.array(file.sha256), outputs=outputs, styles=styles)
    return path


def _read_reference(file: weights.ModelFile) -> tuple[FloatArray, FloatArray] | None:
    path = reference_path(file.path)
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as found:
            return (found["outputs"], found["styles"]) if str(found["sha256"]) == file.sha256 else None
    except (OSError, ValueError, KeyError):
        return None


def _of_torch(net: Any, tile: FloatArray) -> tuple[FloatArray, FloatArray]:
    from cellpose.engines._torch import TorchEngine

    run: Callable[[FloatArray], tuple[FloatArray, FloatArray]] = TorchEngine(net)
    return run(tile)


def _tile(channels: int, side: int = 0) -> FloatArray:
    side = side or _CHECK_SIDE
    return np.random.default_rng(0).random((1, channels, side, side), dtype=np.float32)


def _difference(a: FloatArray, b: FloatArray) -> float:
    return float(np.abs(a - b).max() / max(float(np.abs(b).max()), 1e-6))


def _mean_difference(a: FloatArray, b: FloatArray) -> float:
    return float(np.sqrt(np.square(a - b).mean() / max(float(np.square(b).mean()), 1e-12)))
