"""The libraries of torch, loaded without holding up the window.

Python's own import holds the lock of the interpreter while the system loads a library, a third of a second for torch.
Called as a foreign function the same loader lets other threads run; the import finds the libraries there.
"""

from __future__ import annotations

import ctypes
import importlib.util
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path

__all__ = ["preload_torch"]

logger = logging.getLogger("cellpose.gui")

_NAMES = {"linux": "libtorch_python.so", "darwin": "libtorch_python.dylib"}


def preload_torch() -> None:
    """Load them in this thread, if they are not there; without success the import does it."""
    name = _NAMES.get(sys.platform)
    if name is None or "torch" in sys.modules:
        return
    with suppress(ImportError, ValueError, OSError, AttributeError):
        spec = importlib.util.find_spec("torch")
        if spec is None or spec.origin is None:
            return
        system = ctypes.CDLL(None)
        system.dlopen.restype, system.dlopen.argtypes = ctypes.c_void_p, (ctypes.c_char_p, ctypes.c_int)
        path = Path(spec.origin).parent / "lib" / name
        if not system.dlopen(os.fsencode(path), os.RTLD_NOW | os.RTLD_LOCAL):
            logger.debug("%s was not loaded before torch", path)
