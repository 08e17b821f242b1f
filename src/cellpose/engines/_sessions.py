"""ONNX Runtime and OpenVINO: one function each that makes a graph something to call with tiles."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Session", "open_session", "threads", "version_of", "workers"]

FloatArray = NDArray[np.float32]
#: Outputs and styles of tiles (n, channel, y, x). Several threads may call it at once.
Session = Callable[[FloatArray], tuple[FloatArray, FloatArray]]


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


def version_of(engine: str) -> str:
    """Name and version of the library of an engine; imports it."""
    if engine == "onnx":
        import onnxruntime

        return f"onnxruntime {onnxruntime.__version__}"
    import openvino

    return f"openvino {openvino.__version__}"


def open_session(engine: str, graph: bytes) -> Session:
    """What runs an ONNX graph with ``"onnx"`` (ONNX Runtime) or ``"openvino"``, on the CPU, in float32."""
    return _onnx(graph) if engine == "onnx" else _openvino(graph)


def _onnx(graph: bytes) -> Session:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads() // workers()
    options.inter_op_num_threads = 1
    # Threads that wait in a busy loop take the time of those that follow the flows.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def run(tiles: FloatArray) -> tuple[FloatArray, FloatArray]:
        outputs, styles = session.run(["outputs", "styles"], {"tiles": tiles})
        return outputs, styles

    return run


def _openvino(graph: bytes) -> Session:
    import openvino

    core = openvino.Core()
    settings: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads(),
        "NUM_STREAMS": workers(),
    }
    model = core.compile_model(core.read_model(graph), "CPU", settings)
    idle: list[Any] = []

    def run(tiles: FloatArray) -> tuple[FloatArray, FloatArray]:
        # A request runs one batch at a time: every thread takes one that is idle. Lists are safe to share.
        try:
            request = idle.pop()
        except IndexError:
            request = model.create_infer_request()
        result = request.infer({"tiles": tiles}, share_inputs=True, share_outputs=True)
        # Copies, since the next batch is written to the same place.
        copies = np.array(result["outputs"]), np.array(result["styles"])
        idle.append(request)
        return copies

    return run
