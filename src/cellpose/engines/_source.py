"""The graph of a weight file: made from its arrays, and kept in the models folder."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellpose import nets, weights
from cellpose._progress.stages import say
from cellpose.engines._native_graph import NativeGraph
from cellpose.engines._onnx_file import Graph
from cellpose.engines._registry import EngineKind, Graphs
from cellpose.errors import FileWriteError

if TYPE_CHECKING:
    from cellpose.nets import Architecture

__all__ = ["Source", "keep", "source_of"]

logger = logging.getLogger("cellpose.engines")

# Increased whenever graphs of the same weights are written differently: older ones are then rebuilt.
_GRAPH_VERSION = 2
_PERIODS = "encoder.rope_embed.periods"
# Bytes that must stay free on the disk beside a graph that is kept.
_SPARE_BYTES = 256 << 20


@dataclass(frozen=True)
class Source:
    """All that is needed to run the network of a weight file: its graph and what the file says of itself.

    ``graph`` is a graph, or the file of one. ``checked`` are the libraries that gave what torch gives, and the
    difference that was found. ``periods`` are those of the positions of a CPDINO.
    """

    network: Architecture
    diam_mean: float
    diam_labels: float
    graph: bytes | Path | NativeGraph = b""
    checked: dict[str, float] = field(default_factory=dict)
    periods: tuple[float, ...] = ()


def _graphs_of(engine: EngineKind) -> Graphs:
    if engine.graphs is None:
        message = f"{engine.title} has no graphs"
        raise ValueError(message)
    return engine.graphs


def _variant_of(engine: EngineKind, precision: str) -> str:
    """The variant of a graph: engines of one format share graphs, except those in 8 bits."""
    own = _graphs_of(engine).format
    return f"int8-{engine.name}" if precision == "int8" else engine.name if own is None else own


def source_of(file: weights.ModelFile, engine: EngineKind, precision: str = "float32") -> Source | None:
    """The network of a file, from the models folder if it was kept there; None for kinds that have no graph."""
    graphs = _graphs_of(engine)
    kept = _read_kept(file, engine, precision)
    if kept is not None and kept.graph:
        return kept
    arrays = weights.load_arrays(file.path)
    if arrays is None:
        arrays = {key: value.numpy() for key, value in weights.load_state_dict(file.path).items()}
    network = weights.architecture_of(arrays, file.path)
    if network.name not in graphs.families:
        return None
    default = file.info.diam_mean if file.info else 30.0
    diam_mean, diam_labels = (
        float(arrays[key].reshape(-1)[0]) if key in arrays else default for key in ("diam_mean", "diam_labels")
    )
    variant = _variant_of(engine, precision)
    data_file = _kept_path(file, Path(), variant).with_suffix(".bin").name
    try:
        graph = graphs.write(arrays, network, int8=precision == "int8", data_file=data_file)
    except KeyError:
        return None  # torch reports best what is missing
    if graph is None:
        return None
    try:
        whole = _written(graph, file, variant, graphs.suffix) if isinstance(graph, Graph) else graph
    except FileWriteError as error:
        logger.warning("torch runs the network of %s, because its graph cannot be saved: %s", file.name, error)
        return None
    periods = tuple(arrays[_PERIODS].tolist()) if _PERIODS in arrays else ()
    return Source(network, diam_mean, diam_labels, whole, kept.checked if kept else {}, periods)


def _written(graph: Graph, file: weights.ModelFile, variant: str, suffix: str) -> Path:
    """A graph as a file, with its weights beside it, each whole or not at all.

    Raises
    ------
    FileWriteError
        If the disk is too full, or cannot be written to.
    """
    path = _kept_path(file, weights.writable_dir(), variant).with_suffix(suffix)
    data = path.with_suffix(".bin")
    path.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(path.parent).free
    if free < graph.data_bytes + _SPARE_BYTES:
        message = (
            f"{path.parent} has {free / 1e9:.1f} GB left and {graph.data_bytes / 1e9:.1f} GB are needed; free some "
            "space, or set CELLPOSE_LOCAL_MODELS_PATH to a folder on a larger disk"
        )
        raise FileWriteError(message)
    say(f"writing {graph.data_bytes / 1e9:.1f} GB of weights to {data}, once for each model")
    with weights.replaced(data) as temporary:
        graph.write_data(temporary)
    with weights.replaced(path) as temporary:
        temporary.write_bytes(graph.to_bytes())
    return path


def _kept_path(file: weights.ModelFile, folder: Path, variant: str) -> Path:
    # The file name shows networks without style; their weights do not.
    style = "-style_off" if "style_off" in file.path.name else ""
    variant = f"-{variant}" if variant else ""
    return folder / "cache" / f"{file.sha256[:32]}-{_GRAPH_VERSION}{style}{variant}.json"


def _read_kept(file: weights.ModelFile, engine: EngineKind, precision: str) -> Source | None:
    path = _kept_path(file, weights.model_dir(), _variant_of(engine, precision))
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        known = {f.name for f in fields(nets.Architecture)}
        network: dict[str, Any] = {
            key: tuple(v) if isinstance(v, list) else v for key, v in found["family"].items() if key in known
        }
        checked = {str(key): float(value) for key, value in found["checked"].items()}
        periods = tuple(float(value) for value in found["periods"])
        graph = _kept_graph(path.with_suffix(_graphs_of(engine).suffix), found)
        diameters = float(found["diam_mean"]), float(found["diam_labels"])
        return Source(nets.Architecture(**network), *diameters, graph, checked, periods)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _kept_graph(path: Path, record: Mapping[str, Any]) -> bytes | Path:
    if not record["graph"]:
        return b""
    if not record["data_bytes"]:
        return path.read_bytes()
    data = path.with_suffix(".bin")
    if not path.is_file() or data.stat().st_size != record["data_bytes"]:
        message = f"{data} does not match what was written"
        raise ValueError(message)
    return path


def keep(source: Source, file: weights.ModelFile, engine: EngineKind, precision: str) -> None:
    """Write the record of a network, and its graph where it cannot be made at once and without torch."""
    separate = isinstance(source.graph, Path)
    with_graph = separate or precision == "int8" or weights.load_arrays(file.path) is None
    record = {
        "family": asdict(source.network),
        "diam_mean": source.diam_mean,
        "diam_labels": source.diam_labels,
        "periods": source.periods,
        "graph": with_graph,
        "data_bytes": source.graph.with_suffix(".bin").stat().st_size if isinstance(source.graph, Path) else 0,
        "checked": source.checked,
    }
    try:
        path = _kept_path(file, weights.writable_dir(), _variant_of(engine, precision))
        if with_graph and not isinstance(source.graph, Path):
            content = source.graph if isinstance(source.graph, bytes) else source.graph.to_bytes()
            with weights.replaced(path.with_suffix(_graphs_of(engine).suffix)) as temporary:
                temporary.write_bytes(content)
        with weights.replaced(path) as temporary:
            temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    except FileWriteError as error:
        logger.debug("the graph of %s is not kept: %s", file.name, error)
