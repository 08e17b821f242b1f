"""Unpickling that builds data and nothing else.

A pickle can name any function of the process and have it called. Here names resolve to a short list of harmless
stand-ins, and arrays are put together by our own checked code once the pickle has been read: neither NumPy's array nor
its dtype constructor ever sees the state that the file dictates.
"""

from __future__ import annotations

import datetime
import math
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable, Collection
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import IO, Any, ClassVar

import numpy as np

from cellpose.errors import CellposeError, FileReadError, UnsafeFileError
from cellpose.io._scratch import is_large, roomy_zeros

__all__ = ["BoundedFile", "Unwanted", "unpickle_data"]

Unwanted = Callable[[str, tuple[int, ...], np.dtype[Any]], bool]  # called with an array's key, shape and dtype

_PLAIN_DTYPE = re.compile(r"[<>|=]?(?:[biuf]\d{1,2}|c\d{1,2}|[SU]\d{1,9}|O8?|\?)")
_PLAIN_VALUES = (
    str,
    bytes,
    bytearray,
    int,
    float,
    complex,
    type(None),
    np.generic,
    PurePath,
    datetime.date,
    datetime.time,
    datetime.timedelta,
    datetime.tzinfo,
)

_CONTAINERS = (list, tuple, set, frozenset, dict, OrderedDict)
_PARTS_A_BYTE, _FEW_PARTS = 16, 100_000
_LARGE = 2**20  # arrays of this many bytes stay in the file until they are built
_PIECE = 2**23  # bytes that are read at once


class _Dtype:
    """A dtype of the file: only its name and byte order are taken over."""

    def __init__(self, name: str | bytes, *_flags: Any) -> None:
        text = name.decode("ascii", "replace") if isinstance(name, bytes) else str(name)
        if not _PLAIN_DTYPE.fullmatch(text):
            message = (
                f"it holds an array of dtype {text[:40]!r}; only numbers, texts and lists of plain data are allowed"
            )
            raise UnsafeFileError(message)
        self.dtype = np.dtype(text)

    def set_state(self, state: Any) -> None:
        """Take the byte order from the pickled state; raises UnsafeFileError for structured dtypes."""
        if not isinstance(state, tuple) or len(state) < 5 or state[2] is not None or state[3] is not None:
            message = "it holds an array of a structured dtype; only plain ones are allowed"
            raise UnsafeFileError(message)
        order = state[1].decode("ascii", "replace") if isinstance(state[1], bytes) else state[1]
        if order == "<":
            self.dtype = self.dtype.newbyteorder("<")
        elif order == ">":
            self.dtype = self.dtype.newbyteorder(">")


class _Part:
    """Bytes of the file that were skipped."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self.file, self.place, self.size = file, file.tell(), size

    def __len__(self) -> int:
        return self.size

    def read_into(self, target: Any) -> None:
        """Fill a buffer of this size, without a second copy and without the lock of the interpreter.

        It is read in pieces: while one of hundreds of megabytes is read, other threads wait for memory.
        """
        self.file.seek(self.place)
        for start in range(0, self.size, _PIECE):
            piece = target[start : start + _PIECE]
            if self.file.readinto(piece) != len(piece):  # type: ignore[attr-defined]
                message = f"the file ends within the {self.size} bytes that begin at byte {self.place}"
                raise FileReadError(message)

    def read(self) -> bytes:
        """The bytes."""
        self.file.seek(self.place)
        return self.file.read(self.size)


class _Array:
    """An array of the file, not built yet."""

    state: tuple[tuple[int, ...], np.dtype[Any], bool, Any] | None = None
    is_built = False

    def set_state(self, state: Any) -> None:
        """Take shape, dtype and values from the pickled state; raises UnsafeFileError unless they are plain."""
        if not isinstance(state, tuple) or len(state) not in (4, 5):
            message = "it holds an array without shape, dtype and values"
            raise UnsafeFileError(message)
        shape, dtype, fortran, values = state[-4:]
        if not isinstance(dtype, _Dtype) or not isinstance(shape, tuple):
            message = "it holds an array whose dtype or shape is something else"
            raise UnsafeFileError(message)
        if not all(isinstance(side, int) and side >= 0 for side in shape):
            message = f"it holds an array of the impossible shape {shape!r:.60}"
            raise UnsafeFileError(message)
        self.state = (shape, dtype.dtype, bool(fortran), values)

    def build(self, resolve: Callable[[Any], Any], empty: bool = False) -> np.ndarray[Any, Any]:
        """The array; ``empty``: only zeros of its shape and dtype, which take no memory."""
        if self.state is None:
            message = "it holds an array without values"
            raise UnsafeFileError(message)
        shape, dtype, fortran, values = self.state
        count = math.prod(shape)
        if self.is_built and empty:  # under a key that is not left out
            return np.broadcast_to(np.zeros((), dtype.newbyteorder("=")), shape)
        if dtype.kind == "O":
            if not isinstance(values, list) or len(values) != count:
                message = f"it holds an array of shape {shape} with another number of values"
                raise UnsafeFileError(message)
            array = np.empty(count, object)
            for index, value in enumerate(values):
                array[index] = resolve(value)
        else:
            # strings where Python 2 wrote the file
            raw = values.encode("latin1") if isinstance(values, str) else values
            if not isinstance(raw, (bytes, bytearray, _Part)) or len(raw) != count * dtype.itemsize:
                message = f"it holds an array of shape {shape} and dtype {dtype} with another number of bytes"
                raise UnsafeFileError(message)
            if empty:
                return np.broadcast_to(np.zeros((), dtype.newbyteorder("=")), shape)
            array = _filled(raw, dtype, count).astype(dtype.newbyteorder("="), copy=not isinstance(raw, _Part))
        # the bytes are no longer needed, and large files need the memory
        self.state, self.is_built = (shape, dtype, fortran, None), True
        return array.reshape(shape, order="F" if fortran else "C")


def _filled(raw: bytes | bytearray | _Part, dtype: np.dtype[Any], count: int) -> np.ndarray[Any, Any]:
    if isinstance(raw, _Part):
        array = roomy_zeros((count,), dtype) if is_large(raw.size) else np.empty(count, dtype)
        raw.read_into(array.view(np.uint8).data)
        return array
    return np.frombuffer(raw, dtype) if count and dtype.itemsize else np.zeros(count, dtype)


def _reconstruct(*_args: Any) -> _Array:
    return _Array()


def _from_buffer(buffer: Any, dtype: Any, shape: Any, order: Any = "C") -> _Array:
    array = _Array()
    array.set_state((shape, dtype, order == "F", buffer))
    return array


def _scalar(dtype: Any, value: Any = b"") -> Any:
    array = _Array()
    array.set_state(((), dtype, False, value))
    if array.state is not None and array.state[1].kind == "O":
        message = "it holds a scalar of dtype object"
        raise UnsafeFileError(message)
    return array.build(lambda item: item)[()]


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        message = f"it requests a text encoded as {encoding!r:.40}"
        raise UnsafeFileError(message)
    return text.encode("latin1")


def _bytes(*args: Any) -> bytes:
    if args:
        message = "it asks for bytes to be made of something else"
        raise UnsafeFileError(message)
    return b""


def _bytearray(content: Any = b"", encoding: Any = "latin1") -> bytearray:
    content = content.read() if isinstance(content, _Part) else content
    return bytearray(content if isinstance(content, (bytes, bytearray)) else _encode(content, encoding))


_PATHS: dict[str, type[PurePath]] = {
    "Path": PurePath,
    "PurePath": PurePath,
    "PosixPath": PurePosixPath,
    "PurePosixPath": PurePosixPath,
    "WindowsPath": PureWindowsPath,
    "PureWindowsPath": PureWindowsPath,
}
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): OrderedDict,
    # NumPy 2 renamed its core
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
    **{
        (builtins, kind.__name__): kind
        for builtins in ("builtins", "__builtin__")
        for kind in (set, frozenset, complex)
    },
    **{(builtins, "bytes"): _bytes for builtins in ("builtins", "__builtin__")},
    **{(builtins, "bytearray"): _bytearray for builtins in ("builtins", "__builtin__")},
    **{(module, name): kind for module in ("pathlib", "pathlib._local") for name, kind in _PATHS.items()},
    **{
        ("datetime", kind.__name__): kind
        for kind in (datetime.date, datetime.datetime, datetime.time, datetime.timedelta, datetime.timezone)
    },
}


# the unpickler in Python rather than that in C: its memo is a dict, so that a file of a few bytes cannot make it
# grow to any size, and every opcode can be overridden
class _DataUnpickler(pickle._Unpickler):
    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(pickle._Unpickler.dispatch)
    stack: list[Any]
    append: Callable[[Any], None]
    read: Callable[[int], bytes]
    _unframer: Any

    def __init__(self, file: BoundedFile) -> None:
        super().__init__(file, encoding="latin1")
        self.file = file

    def find_class(self, module: str, name: str) -> Any:
        """The class that stands for a name of the file; raises UnsafeFileError if there is none."""
        try:
            return _ALLOWED[module, name]
        except KeyError:
            message = f"it names {module}.{name}, which is not plain data"
            raise UnsafeFileError(message) from None

    def load_build(self) -> None:
        """Set the state of an array or dtype; raises UnsafeFileError for anything else."""
        state = self.stack.pop()
        target = self.stack[-1]
        if not isinstance(target, (_Array, _Dtype)):
            message = f"it sets the state of a {type(target).__name__}, which is not plain data"
            raise UnsafeFileError(message)
        target.set_state(state)

    dispatch[pickle.BUILD[0]] = load_build

    def load_binbytes(self) -> None:
        """Bytes whose length has four bytes."""
        self._load_bytes(int.from_bytes(self.read(4), "little"))

    def load_binbytes8(self) -> None:
        """Bytes whose length has eight bytes."""
        self._load_bytes(int.from_bytes(self.read(8), "little"))

    def _load_bytes(self, size: int) -> None:
        frame = self._unframer.current_frame
        if size < _LARGE or (frame is not None and frame.tell() < frame.getbuffer().nbytes):
            self.append(self.read(size))
        else:
            self.append(self.file.passed_over(size))

    dispatch[pickle.BINBYTES[0]] = load_binbytes
    dispatch[pickle.BINBYTES8[0]] = load_binbytes8


class BoundedFile:
    """A file that never reads beyond its end: Python allocates memory for every byte requested."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        place = file.tell()
        # counted here: asking the file before each of a million reads takes seconds
        self.left = file.seek(0, 2) - place
        file.seek(place)

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes; -1: the rest."""
        content = self.file.read(self.left if size < 0 or size > self.left else size)
        self.left -= len(content)
        return content

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; returns how many bytes there were."""
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def passed_over(self, size: int) -> _Part:
        """Skip so many bytes; they are read when they are needed."""
        if size > self.left:
            message = f"it ends within {size} bytes"
            raise EOFError(message)
        part = _Part(self.file, size)
        self.file.seek(size, 1)
        self.left -= size
        return part

    def readline(self) -> bytes:
        """The bytes up to the end of the line."""
        line = self.file.readline()
        self.left -= len(line)
        return line


class _Resolver:
    """Replaces placeholders in nested containers by the objects they stand for, each once."""

    def __init__(self, most: int, without: Collection[str], unwanted: Unwanted | None = None) -> None:
        self.without, self.unwanted = without, unwanted
        self.empty = False  # within what is left out
        self.under = ""  # the key that is being looked into
        # parts that a container may be made of, each counted as often as it is named: a file of a few bytes can name
        # lists within lists, whose copies would fill any memory
        self.most = most
        self.sizes: dict[int, int] = {}
        self.done: dict[tuple[int, bool], Any] = {}
        self.kept: list[Any] = []
        self.open: set[int] = set()

    def __call__(self, value: Any) -> Any:
        if isinstance(value, _PLAIN_VALUES) and not isinstance(value, type):
            return value
        if type(value) in _CONTAINERS and not value:
            return value
        key, empty = id(value), self._is_left_out(value)
        if (key, empty) in self.done:
            return self.done[key, empty]
        if key in self.open:
            message = "it holds a container that contains itself"
            raise UnsafeFileError(message)
        self.open.add(key)
        built = self._build(value, empty)
        self.open.discard(key)
        self.sizes[key] = size = self._size(value)
        if size > self.most:
            message = f"it holds a container of {size} parts, more than its bytes can be"
            raise UnsafeFileError(message)
        self.done[key, empty] = built
        # an id is only good as long as its object lives
        self.kept.append(value)
        return built

    def _item(self, name: Any, item: Any) -> Any:
        outside = self.empty, self.under
        if isinstance(name, str):
            self.empty, self.under = self.empty or name in self.without, name
        try:
            return self(item)
        finally:
            self.empty, self.under = outside

    def _is_left_out(self, value: Any) -> bool:
        if self.empty or self.unwanted is None or type(value) is not _Array or value.state is None:
            return self.empty
        return self.unwanted(self.under, *value.state[:2])

    def _size(self, value: Any) -> int:
        if isinstance(value, dict):
            return 1 + sum(self.sizes.get(id(item), 1) for pair in value.items() for item in pair)
        if isinstance(value, (list, tuple, set, frozenset)):
            return 1 + sum(self.sizes.get(id(item), 1) for item in value)
        return 1

    def _build(self, value: Any, empty: bool) -> Any:
        kind = type(value)
        if kind is _Array:
            return value.build(self, empty)
        if kind is _Part:
            return value.read()
        if kind is _Dtype:
            return value.dtype
        if kind in (list, tuple, set, frozenset):
            return kind(self(item) for item in value)
        if kind in (dict, OrderedDict):
            return kind((self(name), self._item(name, item)) for name, item in value.items())
        message = f"it holds a {kind.__name__}, which is not plain data"
        raise UnsafeFileError(message)


def unpickle_data(file: IO[bytes], name: str, without: Collection[str] = (), unwanted: Unwanted | None = None) -> Any:
    """What a pickle holds, if it is plain data: numbers, texts, arrays, dates, paths and containers of them.

    Parameters
    ----------
    file
        Open at the start of the pickle.
    name
        Name of the file, for messages.
    without
        Keys of dicts whose arrays are not read; arrays of zeros that take no memory stand in their places.
    unwanted
        Called with the key, shape and dtype of an array: whether to skip this one too.

    Raises
    ------
    UnsafeFileError
        If the pickle names anything else. Nothing of it has been run then.
    FileReadError
        If it is cut or broken.
    """
    try:
        clipped = BoundedFile(file)
        most = _PARTS_A_BYTE * clipped.left + _FEW_PARTS
        return _Resolver(most, without, unwanted)(_DataUnpickler(clipped).load())
    except UnsafeFileError as error:
        message = f"{name} is not loaded: {error}. Such a file could run code; check where it comes from"
        raise UnsafeFileError(message) from error
    except CellposeError:
        raise
    except Exception as error:
        # a broken pickle can fail in any opcode, in any way
        message = f"{name} is truncated or corrupt ({type(error).__name__}: {error}); save or copy it again"
        raise FileReadError(message) from error
