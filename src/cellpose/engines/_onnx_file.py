"""Writing ONNX files without the onnx library: graphs of a few kinds of nodes, in the protobuf wire format.

Sources: the ONNX specification (``onnx.proto``: field numbers, types of tensors and attributes) and the protobuf
encoding (a key ``field << 3 | type`` before each value, integers with seven bits per byte, least significant first).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Graph"]

_IR_VERSION = 9
_OPSET = 20
_EXTENSIONS = "com.microsoft"  # nodes that only ONNX Runtime knows
_FLOAT = 1  # TensorProto.DataType
_TYPES = {np.dtype(kind): number for kind, number in (("f4", _FLOAT), ("u1", 2), ("i1", 3), ("i4", 6), ("i8", 7))}
# Arrays of at least so many bytes go to the file beside the graph, each at a multiple of a page of memory.
_LARGE, _PAGE = 1 << 16, 1 << 12
Axis = int | str


def _varint(value: int) -> bytes:
    value &= 2**64 - 1  # negative numbers are written as their two's complement
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _int(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes | str | memoryview) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return b"".join((_varint(field << 3 | 2), _varint(len(raw)), raw))


def _attribute(name: str, value: Any) -> bytes:
    """AttributeProto: name 1, f 2, i 3, s 4, ints 8, type 20."""
    head = _bytes(1, name)
    if isinstance(value, float):
        return head + _varint(2 << 3 | 5) + struct.pack("<f", value) + _int(20, 1)
    if isinstance(value, int):
        return head + _int(3, value) + _int(20, 2)
    if isinstance(value, str):
        return head + _bytes(4, value) + _int(20, 3)
    return head + b"".join(_int(8, each) for each in value) + _int(20, 7)


def _tensor(name: str, array: NDArray[Any], place: tuple[str, int] | None = None) -> bytes:
    """TensorProto: dims 1, data_type 2, name 8, raw_data 9, or external_data 13 and data_location 14.

    ``place`` is the name of the file that holds the numbers, and the byte where they begin.
    """
    dims = b"".join(_int(1, n) for n in array.shape)
    head = dims + _int(2, _TYPES[array.dtype]) + _bytes(8, name)
    if place is None:
        return head + _bytes(9, np.ascontiguousarray(array).tobytes())
    entries = {"location": place[0], "offset": str(place[1]), "length": str(array.nbytes)}
    return head + b"".join(_bytes(13, _bytes(1, k) + _bytes(2, v)) for k, v in entries.items()) + _int(14, 1)


def _value_info(name: str, shape: Sequence[Axis]) -> bytes:
    """ValueInfoProto of a float tensor; axes are lengths, or names where the length is not fixed."""
    axes = b"".join(_bytes(1, _bytes(2, n) if isinstance(n, str) else _int(1, n)) for n in shape)
    return _bytes(1, name) + _bytes(2, _bytes(1, _int(1, _FLOAT) + _bytes(2, axes)))


class Graph:
    """An ONNX graph in the making. Values are named by strings, which methods return.

    Parameters
    ----------
    data_file
        Name of the file beside the graph that takes the large arrays; ``None``: they are part of the graph.

    Examples
    --------
    >>> graph = Graph()
    >>> y = graph.node("Add", graph.input("x", ["n", 2]), graph.constant(np.ones(2, np.float32)))
    >>> graph.output("y", y, ["n", 2])
    >>> len(graph.to_bytes()) > 50
    True
    """

    def __init__(self, data_file: str | None = None) -> None:
        self._data_file = data_file
        self._large: list[tuple[int, NDArray[Any]]] = []
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []
        self._inputs: list[bytes] = []
        self._outputs: list[bytes] = []
        self._count = 0

    def _name(self) -> str:
        self._count += 1
        return f"v{self._count}"

    def input(self, name: str, shape: Sequence[Axis]) -> str:
        """A float input; axes are lengths or names."""
        self._inputs.append(_value_info(name, shape))
        return name

    def output(self, name: str, value: str, shape: Sequence[Axis]) -> None:
        """Give ``value`` out under ``name``."""
        self._append("Identity", [value], [name], {})
        self._outputs.append(_value_info(name, shape))

    def constant(self, array: NDArray[Any]) -> str:
        """A constant; floating-point numbers are stored as float32, integers of more than 8 bits as int64."""
        name = self._name()
        if array.dtype.itemsize > 1 and array.dtype != np.int32:
            array = array.astype(np.float32 if array.dtype.kind == "f" else np.int64, copy=False)
        place = None
        if self._data_file is not None and array.nbytes >= _LARGE:
            place = self._data_file, self.data_bytes
            self._large.append((place[1], array))
        self._constants.append(_tensor(name, array, place))
        return name

    @property
    def data_bytes(self) -> int:
        """Size of the file beside the graph."""
        if not self._large:
            return 0
        start, last = self._large[-1]
        return start + -(-last.nbytes // _PAGE) * _PAGE

    def write_data(self, path: Path) -> None:
        """Write the file beside the graph."""
        with path.open("wb") as file:
            for start, array in self._large:
                file.seek(start)
                file.write(np.ascontiguousarray(array).data)
            file.truncate(self.data_bytes)
            file.flush()
            os.fsync(file.fileno())

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """The output of a node of this kind; an empty name leaves an input out."""
        return self.nodes(kind, inputs, 1, **attributes)[0]

    def nodes(self, kind: str, inputs: Iterable[str], n_outputs: int, **attributes: Any) -> list[str]:
        """All outputs of a node of this kind."""
        outputs = [self._name() for _ in range(n_outputs)]
        self._append(kind, list(inputs), outputs, attributes)
        return outputs

    def _append(self, kind: str, inputs: list[str], outputs: list[str], attributes: Mapping[str, Any]) -> None:
        """NodeProto: input 1, output 2, op_type 4, attribute 5, domain 7."""
        domain, _, kind = kind.rpartition(":")
        parts = [_bytes(1, name) for name in inputs] + [_bytes(2, name) for name in outputs]
        parts += [_bytes(4, kind), *(_bytes(5, _attribute(*item)) for item in attributes.items())]
        if domain:
            parts.append(_bytes(7, domain))
        self._nodes.append(b"".join(parts))

    def to_bytes(self, metadata: Mapping[str, str] | None = None) -> bytes:
        """The file (ModelProto): ir_version 1, producer_name 2, graph 7, opset_import 8, metadata_props 14."""
        parts = [_bytes(1, node) for node in self._nodes]
        parts += [_bytes(2, "cellpose"), *(_bytes(5, tensor) for tensor in self._constants)]
        parts += [_bytes(11, each) for each in self._inputs] + [_bytes(12, each) for each in self._outputs]
        properties = [_bytes(14, _bytes(1, key) + _bytes(2, value)) for key, value in (metadata or {}).items()]
        head = _int(1, _IR_VERSION) + _bytes(2, "cellpose") + _bytes(8, _int(2, _OPSET))
        head += _bytes(8, _bytes(1, _EXTENSIONS) + _int(2, 1))
        return b"".join((head, _bytes(7, b"".join(parts)), *properties))
