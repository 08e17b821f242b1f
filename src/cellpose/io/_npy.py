"""NumPy files: plain arrays, and dicts such as ``_seg.npy``."""

from __future__ import annotations

import math
import pickle
import struct
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
import numpy.typing as npt

from cellpose._machine.reading import reading
from cellpose._machine.writing import replacing
from cellpose.errors import FileReadError
from cellpose.io._axes import UNKNOWN_AXIS
from cellpose.io._image import Image
from cellpose.io._limits import check_claim
from cellpose.io._open import opened
from cellpose.io._scratch import leaves_on_disk
from cellpose.io._unpickle import BoundedFile, Unwanted, unpickle_data
from cellpose.io._write import PathLike

__all__ = ["holds_objects", "load_npy", "map_npy", "read_npy", "write_npy_object"]

_PICKLE_PROTOCOL = 4
_LARGE, _PIECE = 2**16, 2**24  # bytes


def load_npy(path: PathLike, without: Collection[str] = (), unwanted: Unwanted | None = None) -> Any:
    """What a ``.npy`` file holds: an array, or the one object in it, if that is plain data.

    Parameters
    ----------
    path
        The file.
    without
        Keys of a dict whose arrays are not read; arrays of zeros that take no memory stand in their places.
    unwanted
        Called with the key, shape and dtype of an array: whether to skip this one too.

    Raises
    ------
    FileReadError
        If the file is missing, truncated or corrupt.
    UnsafeFileError
        If it holds anything but numbers, texts, arrays, dates, paths and containers of them.
    """
    path = Path(path)
    with reading(path), opened(path) as file:
        shape, _, dtype = _header(path, file)
        if dtype.hasobject:
            content = unpickle_data(file, str(path), without, unwanted)
            return content.item() if isinstance(content, np.ndarray) and content.ndim == 0 else content
        if leaves_on_disk(dtype.itemsize * math.prod(shape)):
            return map_npy(path)
        check_claim(path, dtype.itemsize * math.prod(shape), _behind(path, file))
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False)


def holds_objects(path: Path) -> bool:
    """Whether a ``.npy`` file holds objects, such as the dict of a ``_seg.npy``, and no array of numbers."""
    with reading(path), opened(path) as file:
        return bool(_header(path, file)[2].hasobject)


def map_npy(path: Path) -> npt.NDArray[Any]:
    """A memory map of the array in a ``.npy`` file; raises as `load_npy` does."""
    with reading(path), opened(path) as file:
        shape, fortran, dtype = _header(path, file)
        if dtype.hasobject:
            message = f"{path} holds Python objects; save an array of numbers to read it in rows"
            raise FileReadError(message)
        check_claim(path, dtype.itemsize * math.prod(shape), _behind(path, file), in_memory=False)
        return np.memmap(path, dtype, "r", file.tell(), shape, "F" if fortran else "C")


def _header(path: Path, file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran order, and dtype; the file then stands at what follows."""
    if not path.stat().st_size:
        message = f"{path} is empty"
        raise FileReadError(message)
    try:
        version = np.lib.format.read_magic(file)
        readers = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        # the length that a header claims is asked for at once
        shape, fortran, dtype = readers[version](BoundedFile(file))
    except (ValueError, KeyError) as error:
        message = f"{path} is not a NumPy file, or its header is corrupt ({error}); save or copy it again"
        raise FileReadError(message) from error
    if dtype.itemsize < 1 or any(side < 0 for side in shape):
        message = f"{path} is corrupt: it claims an array of shape {shape} and dtype {dtype}; save or copy it again"
        raise FileReadError(message)
    return shape, fortran, dtype


def _behind(path: Path, file: IO[bytes]) -> int:
    return path.stat().st_size - file.tell()


def read_npy(path: Path) -> Image:
    """The array of a file, or the ``masks`` of a ``_seg.npy``."""
    content = load_npy(path)
    if isinstance(content, Mapping):
        if not isinstance(content.get("masks"), np.ndarray):
            message = f"{path} has no entry 'masks'; it has {sorted(map(str, content))}. Give a _seg.npy file"
            raise FileReadError(message)
        masks = content["masks"]
        return Image(masks, {2: "YX", 3: "ZYX"}.get(masks.ndim, UNKNOWN_AXIS * masks.ndim))
    if not isinstance(content, np.ndarray) or content.dtype.kind not in "biuf":
        message = f"{path} holds no image, but {type(content).__name__}"
        raise FileReadError(message)
    return Image(content, "YX" if content.ndim == 2 else UNKNOWN_AXIS * content.ndim)


def write_npy_object(path: PathLike, content: Any) -> None:
    """One object as ``np.save`` writes it, so that ``np.load(path, allow_pickle=True).item()`` gives it back."""
    box = np.empty((), object)
    box[()] = content
    header = {"descr": np.lib.format.dtype_to_descr(box.dtype), "fortran_order": False, "shape": ()}
    with replacing(path) as file:
        np.lib.format.write_array_header_1_0(file, header)
        # explicit: protocol 3, which older NumPy uses, fails above 4 GiB
        _Pickler(file, protocol=_PICKLE_PROTOCOL).dump(box)


_PythonPickler: Any = pickle._Pickler  # the C pickler accepts only bytes, which would be copies of arrays


class _Content:
    """The bytes of an array, without a copy."""

    def __init__(self, array: npt.NDArray[Any]) -> None:
        self.array = array


class _Pickler(_PythonPickler):  # type: ignore[misc]
    """Writes what `pickle.dump` writes, but copies no large array and lets other threads run while it is written."""

    dispatch: ClassVar[dict[Any, Any]] = dict(_PythonPickler.dispatch)

    def _save_array(self, array: npt.NDArray[Any]) -> None:
        reduced: Any = (array[:0] if _is_large(array) else array).__reduce__()
        made, given, state = reduced
        if _is_large(array):
            state = (state[0], array.shape, array.dtype, False, _Content(array))
        self.save_reduce(made, given, state, obj=array)

    def _save_content(self, content: _Content) -> None:
        raw = content.array.data.cast("B")
        head = pickle.BINBYTES8 + struct.pack("<Q", len(raw))
        for start in range(0, len(raw), _PIECE):
            self._write_large_bytes(head, raw[start : start + _PIECE])
            head = b""
        self.memoize(content)

    dispatch[np.ndarray], dispatch[_Content] = _save_array, _save_content


def _is_large(array: npt.NDArray[Any]) -> bool:
    return array.nbytes >= _LARGE and not array.dtype.hasobject and array.flags.c_contiguous
