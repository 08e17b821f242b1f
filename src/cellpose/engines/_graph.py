"""An engine that runs an ONNX graph, and the graph of a weight file: made, kept, and compared with torch."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cellpose import nets, weights
from cellpose.engines._cpnet_graph import cpnet_graph
from cellpose.engines._sessions import Session, open_session, version_of, workers
from cellpose.errors import CellposeError, FileWriteError, InputError

if TYPE_CHECKING:
    from cellpose.nets import Family

__all__ = ["GraphEngine", "open_engine", "reference_path", "write_reference"]

logger = logging.getLogger("cellpose.engines")

FloatArray = NDArray[np.float32]

# Raised whenever graphs of the same weights are written otherwise: older ones are made anew.
_GRAPH_VERSION = 1
# Largest difference from torch, relative to the largest output, with which an engine is used.
TOLERANCE = 1e-3
_CHECK_SIDE = 64
# Files with more bytes hold transformers, which are not read to be told so.
_LARGEST = 400 << 20


@dataclass(frozen=True)
class _Source:
    """What is needed to run the network of a weight file: its graph and what the file says of itself.

    ``checked`` are the libraries that gave what torch gives, and the difference that was found.
    """

    family: Family
    diam_mean: float
    diam_labels: float
    graph: bytes = b""
    checked: dict[str, float] = field(default_factory=dict)


class GraphEngine:
    """Runs the graph of a U-Net with another library than torch.

    Parameters
    ----------
    name
        ``"onnx"`` or ``"openvino"``.
    source
        The network.
    session
        Runs its graph.

    Attributes
    ----------
    nbase, diam_mean, diam_labels
        What the weight file says: channels of each level, and diameters in pixels.
    """

    default_bsize = 224
    backbone = "cpnet"
    device = "cpu"

    def __init__(self, name: str, source: _Source, session: Session) -> None:
        self.name = name
        self.nout, self.nchan = source.family.nout, source.family.nchan
        self.nbase = list(source.family.nbase)
        self.style_size = self.nbase[-1]
        self.tile_multiple = 2 ** (len(self.nbase) - 2)
        self.diam_mean, self.diam_labels = source.diam_mean, source.diam_labels
        self._session, self._workers = session, workers()

    def __call__(self, tiles: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Outputs (n, nout, y, x) and styles (n, style_size) of tiles (n, channels, y, x), all float32.

        Every thread runs one tile at a time: its features stay in the cache of the processor, those of a batch do
        not, and no thread waits for another.

        Raises
        ------
        InputError
            If the number of channels is not that of the network, or sides are no multiples of ``tile_multiple``.
        """
        n, channels, rows, columns = tiles.shape
        if channels != self.nchan:
            message = f"tiles of {channels} channels cannot be run: the network takes {self.nchan}"
            raise InputError(message)
        if rows % self.tile_multiple or columns % self.tile_multiple:
            message = (
                f"tiles of {rows} x {columns} pixels cannot be run: sides must be multiples of {self.tile_multiple}"
            )
            raise InputError(message)
        tiles = np.ascontiguousarray(tiles, np.float32)
        outputs = np.empty((n, self.nout, rows, columns), np.float32)
        styles = np.empty((n, self.style_size), np.float32)

        def run(i: int) -> None:
            outputs[i : i + 1], styles[i : i + 1] = self._session(tiles[i : i + 1])

        if min(n, self._workers) == 1:
            for i in range(n):
                run(i)
        else:
            # Made for each batch, which takes no time beside it, so that no thread outlives its use (or a fork).
            with ThreadPoolExecutor(min(n, self._workers), "cellpose-tiles") as pool:
                list(pool.map(run, range(n)))
        return outputs, styles


def open_engine(names: Sequence[str], file: weights.ModelFile) -> GraphEngine | None:
    """The network of a weight file, run by the first of ``"openvino"`` and ``"onnx"`` in ``names`` that can; else None.

    The graph is made once for each weight file and kept in the models folder, by the hash of the file, where making it
    needs torch. Before the first use it is compared with torch on a tile of random numbers. None means that torch must
    run the network; the log tells why.
    """
    names = [name for name in names if name != "torch"]
    source = _source(file) if names else None
    if source is None:
        if names:
            logger.info("torch runs the network of %s: %s run U-Nets in 2D only", file.name, " and ".join(names))
        return None
    for name in names:
        # Libraries fail in many ways: missing system libraries, unknown processors, graphs they do not take.
        try:
            version = version_of(name)
            engine = GraphEngine(name, source, open_session(name, source.graph))
            if version in source.checked or _agrees(engine, version, source, file):
                return engine
        except CellposeError:
            raise
        except Exception as error:
            logger.warning("%s cannot run the network of %s: %s", name, file.name, error)
    return None


def _source(file: weights.ModelFile) -> _Source | None:
    """The network of a file, from the models folder if it was kept there; None for other kinds than U-Nets in 2D."""
    if file.path.stat().st_size > _LARGEST:
        return None
    arrays = weights.load_arrays(file.path)
    kept = _read_kept(file)
    if arrays is None:
        if kept is not None and kept.graph:
            return kept
        arrays = {key: value.numpy() for key, value in weights.load_state_dict(file.path).items()}
    family = weights.family_of(arrays, file.path)
    if family.name != "cpnet" or family.conv_3D:
        return None
    default = file.info.diam_mean if file.info else 30.0
    diam_mean, diam_labels = (
        float(arrays[key].reshape(-1)[0]) if key in arrays else default for key in ("diam_mean", "diam_labels")
    )
    try:
        graph = cpnet_graph(
            arrays,
            family.nbase,
            family.nout,
            residual_on=family.residual_on,
            style_on=family.style_on,
            concatenation=family.concatenation,
        )
    except KeyError:
        return None  # torch tells best what is missing
    return _Source(family, diam_mean, diam_labels, graph, kept.checked if kept else {})


# ------------------------------------------------------------------------------------------------------------ kept


def _kept_path(file: weights.ModelFile, folder: Path) -> Path:
    # The name tells of networks without style, which their weights do not.
    style = "-style_off" if "style_off" in file.path.name else ""
    return folder / "cache" / f"{file.sha256[:32]}-{_GRAPH_VERSION}{style}.json"


def _read_kept(file: weights.ModelFile) -> _Source | None:
    path = _kept_path(file, weights.model_dir())
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        graph = path.with_suffix(".onnx").read_bytes() if found["graph"] else b""
        known = {f.name for f in fields(nets.Family)}
        family: dict[str, Any] = {
            key: tuple(v) if isinstance(v, list) else v for key, v in found["family"].items() if key in known
        }
        checked = {str(key): float(value) for key, value in found["checked"].items()}
        return _Source(nets.Family(**family), float(found["diam_mean"]), float(found["diam_labels"]), graph, checked)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _keep(source: _Source, file: weights.ModelFile) -> None:
    """Write the record of a network, and its graph where it cannot be made without torch."""
    with_graph = weights.load_arrays(file.path) is None
    record = {
        "family": asdict(source.family),
        "diam_mean": source.diam_mean,
        "diam_labels": source.diam_labels,
        "graph": with_graph,
        "checked": source.checked,
    }
    try:
        path = _kept_path(file, weights.writable_dir())
        if with_graph:
            with weights.replaced(path.with_suffix(".onnx")) as temporary:
                temporary.write_bytes(source.graph)
        with weights.replaced(path) as temporary:
            temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    except FileWriteError as error:
        logger.debug("the graph of %s is not kept: %s", file.name, error)


# --------------------------------------------------------------------------------------------------------- checked


def reference_path(weight_file: Path) -> Path:
    """Where what torch gives for the tile of the comparison lies beside a weight file that is shipped."""
    return weight_file.with_name(f"{weight_file.stem}.reference.npz")


def write_reference(weight_file: Path) -> Path:
    """Write what torch gives, so that the file can be used without torch from the first time on."""
    file = weights.resolve(weight_file)
    net = weights.load_network(file)
    outputs, styles = _of_torch(net, _tile(net.nchan))
    path = reference_path(weight_file)
    with weights.replaced(path) as temporary, temporary.open("wb") as opened:
        np.savez_compressed(opened, sha256=np.array(file.sha256), outputs=outputs, styles=styles)
    return path


def _agrees(engine: GraphEngine, version: str, source: _Source, file: weights.ModelFile) -> bool:
    """Whether an engine gives what torch gives; if so that is noted."""
    tile = _tile(engine.nchan)
    expected = _read_reference(file)
    of_file = expected is not None
    if expected is None:
        expected = _of_torch(weights.load_network(file), tile)
    difference = max(_difference(a, b) for a, b in zip(engine(tile), expected, strict=True))
    if not difference <= TOLERANCE:  # NaN as well
        logger.warning(
            "%s differs from torch by %.1e (allowed: %.0e) on the network of %s and is not used",
            version, difference, TOLERANCE, file.name,
        )  # fmt: skip
        return False
    logger.debug("%s differs from torch by %.1e on the network of %s", version, difference, file.name)
    if not of_file:
        source.checked[version] = difference
        _keep(source, file)
    return True


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


def _tile(channels: int) -> FloatArray:
    return np.random.default_rng(0).random((1, channels, _CHECK_SIDE, _CHECK_SIDE), dtype=np.float32)


def _difference(a: FloatArray, b: FloatArray) -> float:
    return float(np.abs(a - b).max() / max(float(np.abs(b).max()), 1e-6))
