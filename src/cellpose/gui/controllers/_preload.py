"""Loading large libraries without blocking the window.

Python's import holds the GIL while the system loads a library: a third of a second for torch. The same loader, called
as a foreign function, lets other threads run; the import then finds the libraries already loaded.

The cyclic garbage collector also holds the GIL while it visits every object of every module: a tenth of a second with
torch. Modules live until the program ends, so the collector need not visit them.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import importlib.util
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["importing", "load_networks"]

logger = logging.getLogger("cellpose.gui")

_NAMES = {"linux": "libtorch_python.so", "darwin": "libtorch_python.dylib"}


class _Collector:
    """Python's garbage collector, which several threads can switch off at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_off = 0
        self._was_enabled = True

    def off(self) -> None:
        """Disable it until `on` has been called as many times."""
        with self._lock:
            if not self._n_off:
                self._was_enabled = gc.isenabled()
                gc.disable()
            self._n_off += 1

    def on(self) -> None:
        """Enable it again, for objects created from now on."""
        with self._lock:
            self._n_off -= 1
            if not self._n_off:
                gc.freeze()
                if self._was_enabled:
                    gc.enable()


_collector = _Collector()


@contextmanager
def importing() -> Iterator[None]:
    """Disable the collector, and exclude all objects alive at the end from it for good. Use once per import."""
    _collector.off()
    try:
        yield
    finally:
        _collector.on()


def load_networks() -> None:
    """Import `cellpose.models` and torch in this thread, if not yet imported."""
    if "cellpose.models" in sys.modules:
        return
    with importing():
        _preload_torch()
        importlib.import_module("cellpose.models")


def _preload_torch() -> None:
    """Load the libraries in this thread, if not yet loaded; if this fails, the import loads them."""
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
