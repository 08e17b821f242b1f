"""The engines. A new one is one entry of ``ENGINES``, and nothing anywhere else.

Everything that chooses, names, lists or runs engines reads from here which engines exist, in which order ``auto`` tries
them, what they compute and how they are opened.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from cellpose.engines import _sessions
from cellpose.engines._native_graph import NativeGraph, native_graph
from cellpose.engines._onnx_graphs import ONNX_GRAPHS, onnx_graph

if TYPE_CHECKING:
    from cellpose.engines._onnx_file import Graph
    from cellpose.nets import Architecture

__all__ = ["ENGINES", "EngineKind", "Graphs", "by_speed", "engine_names", "native_is_fastest"]

# Processors on which the kernels of "native" are known to be faster than any library, except one in 8 bits.
_NATIVE_FIRST = ("x86_64", "amd64")


@dataclass(frozen=True)
class Graphs:
    """How an engine runs networks without torch.

    Attributes
    ----------
    write
        The graph of a network, from its arrays and architecture: its bytes, a ``NativeGraph``, or a ``Graph`` with
        weights beside it; None where the engine does not run it. ``int8`` asks for numbers in 8 bits.
    open
        Opens a graph as a ``Session``. ``bfloat16`` allows products in that.
    version
        Name and version of the library or kernels: after a change of it results are compared with torch again.
    families
        Names of the families that it has graphs of.
    has_bfloat16
        Whether it computes in bfloat16 on this processor by instructions made for it.
    format
        Engines that share one read the same graphs; ``None``: those of its name.
    suffix
        End of the names of the files in which graphs are kept.
    """

    write: Callable[..., bytes | NativeGraph | Graph | None]
    open: Callable[..., _sessions.Session]
    version: Callable[[], str]
    families: tuple[str, ...]
    has_bfloat16: Callable[[], bool] = lambda: False
    format: str | None = None
    suffix: str = ".graph"


@dataclass(frozen=True)
class EngineKind:
    """An engine: whether it is here, what it computes, and how it is opened.

    Attributes
    ----------
    name
        Its name for users.
    title
        Its name in sentences.
    place
        Place in the order in which ``"auto"`` tries engines, the lowest first; None: only where it is named.
    library
        Module that must be installed, by the extra of the name of the engine; "" for none.
    precisions
        How exactly it can compute.
    on_gpu
        Whether it runs networks on a GPU too.
    graphs
        How it runs networks without torch; None: torch runs them.
    compiled
        Whether torch compiles them.
    missing
        The missing requirement, for a GPU or not; "" where nothing is missing.
    """

    name: str
    title: str
    place: Callable[[], int | None] = lambda: None
    library: str = ""
    precisions: tuple[str, ...] = ("float32",)
    on_gpu: bool = False
    graphs: Graphs | None = None
    compiled: bool = False
    missing: Callable[[bool], str] = lambda _: ""

    @property
    def is_installed(self) -> bool:
        """Whether its library can be found; it is not imported."""
        return not self.library or importlib.util.find_spec(self.library) is not None


def native_is_fastest() -> bool:
    """Whether our own kernels are the fastest on this kind of processor."""
    return platform.machine().lower() in _NATIVE_FIRST


def _missing_compiler(gpu: bool) -> str:
    """What torch.compile needs: Triton for a GPU, a C++ compiler for the CPU."""
    if gpu:
        return "" if importlib.util.find_spec("triton") is not None else "Triton (pip install triton)"
    usual = ("cl",) if sys.platform == "win32" else ("g++", "clang++", "c++")
    there = any(shutil.which(name) for name in (os.environ.get("CXX", ""), *usual) if name)
    return "" if there else f"a C++ compiler ({' or '.join(usual)})"


def _native_graph(
    arrays: Mapping[str, Any], network: Architecture, *, int8: bool, data_file: str
) -> NativeGraph | None:
    return native_graph(arrays, network)


def _of_onnx(library: str, **how: Any) -> Graphs:
    return Graphs(partial(onnx_graph, library), families=tuple(ONNX_GRAPHS), format="", suffix=".onnx", **how)


#: Every engine by its name.
ENGINES: dict[str, EngineKind] = {
    kind.name: kind
    for kind in (
        # Torch runs everything, so it comes last.
        EngineKind("torch", "torch", place=lambda: 100, precisions=("float32", "bfloat16"), on_gpu=True),
        EngineKind(
            "native",
            "our own kernels",
            place=lambda: 0 if native_is_fastest() else 30,
            graphs=Graphs(
                _native_graph,
                _sessions.open_native,
                _sessions.native_version,
                families=("cpnet",),
                format="native",
                suffix=".npz",
            ),
        ),
        EngineKind(
            "onnx",
            "ONNX Runtime",
            place=lambda: 20,
            library="onnxruntime",
            precisions=("float32", "int8"),
            graphs=_of_onnx("onnx", open=_sessions.open_onnx, version=_sessions.onnx_version),
        ),
        EngineKind(
            "openvino",
            "OpenVINO",
            place=lambda: 10,
            library="openvino",
            precisions=("float32", "bfloat16", "int8"),
            graphs=_of_onnx(
                "openvino",
                open=_sessions.open_openvino,
                version=_sessions.openvino_version,
                has_bfloat16=_sessions.openvino_has_bfloat16,
            ),
        ),
        EngineKind(
            "compile",
            "torch.compile",
            precisions=("float32", "bfloat16"),
            on_gpu=True,
            compiled=True,
            missing=_missing_compiler,
        ),
    )
}


def by_speed(precision: str | None = None) -> list[EngineKind]:
    """Engines in the order in which ``"auto"`` tries them, the fastest first; those that compute in ``precision``."""
    placed = [(kind.place(), kind) for kind in ENGINES.values()]
    found = sorted(((place, kind) for place, kind in placed if place is not None), key=lambda pair: pair[0])
    return [kind for _, kind in found if precision is None or precision in kind.precisions]


def engine_names() -> tuple[str, ...]:
    """Names that may be given as an engine."""
    return ("auto", *ENGINES)
