"""NumPy files: plain arrays, and dicts such as ``_seg.npy``."""

from __future__ import annotations

import math
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cellpose.errors import FileReadError
from cellpose.io._image import UNKNOWN_AXIS, Image
from cellpose.io._limits import check_claim
from cellpose.io._open import opened
from cellpose.io._unpickle import unpickle_data
from cellpose.io._write import PathLike, replacing

__all__ = ["load_npy", "read_npy", "write_npy_object"]

_PICKLE_PROTOCOL = 4


def load_npy(path: PathLike) -> Any:
    """What a ``.npy`` file holds: an array, or the one object in it, if that is plain data.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    FileReadError
        If the file is missing, cut or corrupt.
    UnsafeFileError
        If it holds anything but numbers, texts, arrays, dates, paths and containers of them.
    """
    path = Path(path)
    with opened(path) as file:
        try:
            version = np.lib.format.read_magic(file)
            readers = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }
            shape, _, dtype = readers[version](file)
        except (ValueError, KeyError) as error:
            message = f"{path} is not a NumPy file, or its header is corrupt: {error}"
            raise FileReadError(message) from error
        if dtype.hasobject:
            content = unpickle_data(file, str(path))
            return content.item() if isinstance(content, np.ndarray) and content.ndim == 0 else content
        stored = path.stat().st_size - file.tell()
        check_claim(path, dtype.itemsize * math.prod(shape), stored)
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False)


def read_npy(path: Path) -> Image:
    """The array of a file, or the ``masks`` of a ``_seg.npy``."""
    content = load_npy(path)
    if isinstance(content, Mapping):
        if not isinstance(content.get("masks"), np.ndarray):
            message = f"{path} holds no 'masks'; it has {sorted(map(str, content))}"
            raise FileReadError(message)
        masks = content["masks"]
        return Image(masks, {2: "YX", 3: "ZYX"}.get(masks.ndim, UNKNOWN_AXIS * masks.ndim))
    if not isinstance(content, np.ndarray) or content.dtype.kind not in "biuf":
        message = f"{path} holds no image but {type(content).__name__}"
        raise FileReadError(message)
    return Image(content, "YX" if content.ndim == 2 else UNKNOWN_AXIS * content.ndim)


def write_npy_object(path: PathLike, content: Any) -> None:
    """One object as ``np.save`` writes it, so that ``np.load(path, allow_pickle=True).item()`` gives it back."""
    box = np.empty((), object)
    box[()] = content
    header = {"descr": np.lib.format.dtype_to_descr(box.dtype), "fortran_order": False, "shape": ()}
    with replacing(path) as file:
        np.lib.format.write_array_header_1_0(file, header)
        # said outright: protocol 3, which older NumPy takes, fails above 4 GiB
        pickle.dump(box, file, protocol=_PICKLE_PROTOCOL)
