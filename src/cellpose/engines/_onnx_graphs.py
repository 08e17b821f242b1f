"""Which families have a graph of ONNX, and how it is written."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cellpose.engines._calibration import largest_inputs
from cellpose.engines._cpnet_graph import cpnet_graph
from cellpose.engines._dino_graph import DinoGraph
from cellpose.engines._onnx_file import Graph
from cellpose.engines._sam_graph import SamGraph
from cellpose.engines._sessions import open_openvino

if TYPE_CHECKING:
    from cellpose.nets import Architecture

__all__ = ["ONNX_GRAPHS", "onnx_graph"]

logger = logging.getLogger("cellpose.engines")

Arrays = Mapping[str, NDArray[np.float32]]


def _cpnet(arrays: Arrays, network: Architecture, int8: str | None = None, data_file: str | None = None) -> Any:
    if network.conv_3D or network.classes:
        return None
    if int8 not in (None, "openvino"):
        logger.info("U-Nets are run in 8 bits by OpenVINO only")
        return None

    def graph(**options: Any) -> bytes:
        return cpnet_graph(
            arrays,
            network.nbase,
            network.nout,
            residual_on=network.residual_on,
            style_on=network.style_on,
            concatenation=network.concatenation,
            **options,
        )

    if int8 is None:
        return graph()
    return graph(largest=largest_inputs(open_openvino(graph(observed=True)), network.nchan))


#: Writes the graph of a family from its arrays: its bytes, or a ``Graph`` with weights beside it; None where it
#: has none. ``int8`` is the library for which it is written in 8 bits.
ONNX_GRAPHS: dict[str, Callable[..., bytes | Graph | None]] = {
    "cpnet": _cpnet,
    "sam_vitl": SamGraph.of,
    "dino_vitl": DinoGraph.of,
    "dino_vitb": DinoGraph.of,
}


def onnx_graph(
    library: str, arrays: Arrays, network: Architecture, *, int8: bool, data_file: str
) -> bytes | Graph | None:
    """The graph of a network as ``library`` runs it; None for kinds that have none."""
    writer = ONNX_GRAPHS.get(network.name)
    return None if writer is None else writer(arrays, network, int8=library if int8 else None, data_file=data_file)
