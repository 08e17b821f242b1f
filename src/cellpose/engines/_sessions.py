"""ONNX Runtime, OpenVINO, our own kernels: each turns a graph into a function of tiles, on the CPU.

A graph is given as bytes, or as a file, beside which its weights may lie. ``engines/_registry.py`` says who opens what.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellpose.engines._native_graph import NativeGraph
from cellpose.engines._token_graph import INT8_GROUP

__all__ = [
    "Session",
    "native_version",
    "onnx_version",
    "open_native",
    "open_onnx",
    "open_openvino",
    "openvino_has_bfloat16",
    "openvino_version",
    "threads",
    "workers",
]

FloatArray = NDArray[np.float32]
#: The outputs of a graph for tiles (n, channel, y, x), and for its other inputs by name. Several threads may call it.
Session = Callable[..., tuple[FloatArray, ...]]


# Tiles run at the same time: as many as a batch usually has.
_MOST_WORKERS = 8


def threads() -> int:
    """Threads a network may use: as many as torch would, or ``OMP_NUM_THREADS``, or one for each processor."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return int(torch.get_num_threads())
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdecimal() and int(wanted):
        return int(wanted)
    own = getattr(os, "sched_getaffinity", None)
    return len(own(0)) if own is not None else os.cpu_count() or 1


def workers() -> int:
    """How many tiles are run at the same time, each by its own threads, which need not wait for one another."""
    return min(threads(), _MOST_WORKERS)


def native_version() -> str:
    """Name and version of everything that results of our own kernels depend on."""
    import numba

    from cellpose.nets import processor

    return f"native, numba {numba.__version__}, {processor()}"


def onnx_version() -> str:
    """Name and version of ONNX Runtime, which is imported."""
    import onnxruntime

    return f"onnxruntime {onnxruntime.__version__}"


def openvino_version() -> str:
    """Name and version of OpenVINO, which is imported."""
    import openvino

    return f"openvino {openvino.__version__}"


def openvino_has_bfloat16() -> bool:
    """Whether OpenVINO computes in bfloat16 on this processor by instructions made for it; imports it."""
    if not _may_use_bfloat16():
        return False
    import openvino

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _may_use_bfloat16() -> bool:
    """Whether the variable that limits the instructions of OpenVINO's kernels, which asks the processor, allows it."""
    limit = (os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or "ALL").upper()
    return limit == "DEFAULT" or any(name in limit for name in ("ALL", "BF16", "FP16", "AMX", "AVX10", "VNNI_2"))


def open_native(graph: bytes | Path | NativeGraph, *, bfloat16: bool = False) -> Session:
    """A session that runs a graph with our own kernels."""
    from cellpose.engines._native import NativeCPnet

    return NativeCPnet.of(graph)


def open_onnx(graph: bytes | Path, *, bfloat16: bool = False) -> Session:
    """A session that runs an ONNX graph with ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads() // workers()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # warnings are about its own optimizations
    # Threads that wait in a busy loop take the time of those that follow the flows.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    content = graph if isinstance(graph, bytes) else str(graph)
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(tiles: FloatArray, **others: FloatArray) -> tuple[FloatArray, ...]:
        return tuple(session.run(None, {"tiles": tiles, **others}))

    return run


def open_openvino(graph: bytes | Path, *, bfloat16: bool = False) -> Session:
    """A session that runs an ONNX graph with OpenVINO; products may be computed in bfloat16."""
    import openvino

    core = openvino.Core()
    settings: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
        "INFERENCE_NUM_THREADS": threads(),
        "NUM_STREAMS": workers(),
        # Has an effect only where the weights of a layer are in 8 bits.
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": INT8_GROUP,
    }
    model = core.compile_model(core.read_model(graph), "CPU", settings)
    outputs = range(len(model.outputs))
    idle: list[Any] = []

    def run(tiles: FloatArray, **others: FloatArray) -> tuple[FloatArray, ...]:
        # A request runs one batch at a time: every thread takes one that is idle. Lists are safe to share.
        try:
            request = idle.pop()
        except IndexError:
            request = model.create_infer_request()
        request.infer({"tiles": tiles, **others}, share_inputs=True, share_outputs=True)
        # Copies, since the next batch is written to the same place.
        copies = tuple(np.array(request.get_output_tensor(i).data) for i in outputs)
        idle.append(request)
        return copies

    return run
