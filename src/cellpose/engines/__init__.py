"""Engines: each turns a batch of tiles into flows, cell probability and styles.

Everything above uses a network through :class:`Engine` alone, so any engine can run it: torch (every network, every
device), libraries and kernels of our own (on CPUs, faster). ``ENGINES`` lists the engines, and ``nets.FAMILIES`` what
networks can do. Torch is imported where it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cellpose.engines._batches import SmallerBatches
from cellpose.engines._choose import ENGINE_ENV, PRECISIONS, choose_engine, worthwhile_precision
from cellpose.engines._graph import GraphEngine, open_engine, run_side_by_side, write_reference
from cellpose.engines._loaded import LoadedNetwork, NetworkAttribute, engine_of
from cellpose.engines._protocol import Engine
from cellpose.engines._registry import ENGINES, EngineKind, Graphs, by_speed, engine_names
from cellpose.engines._wrap import as_engine

if TYPE_CHECKING:
    from cellpose.engines._torch import TorchEngine

__all__ = [
    "ENGINES",
    "ENGINE_ENV",
    "PRECISIONS",
    "Engine",
    "EngineKind",
    "GraphEngine",
    "Graphs",
    "LoadedNetwork",
    "NetworkAttribute",
    "SmallerBatches",
    "TorchEngine",
    "as_engine",
    "by_speed",
    "choose_engine",
    "engine_names",
    "engine_of",
    "open_engine",
    "run_side_by_side",
    "worthwhile_precision",
    "write_reference",
]


def __getattr__(name: str) -> Any:
    if name == "TorchEngine":
        from cellpose.engines._torch import TorchEngine

        return TorchEngine
    message = f"module 'cellpose.engines' has no attribute {name!r}"
    raise AttributeError(message)
