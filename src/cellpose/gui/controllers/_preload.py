"""Large libraries, loaded without holding up the window.

Python's own import holds the lock of the interpreter while the system loads a library, a third of a second for torch.
Called as a foreign function the same loader lets other threads run; the import finds the libraries there.

The collector of cyclic garbage holds that lock, too, while it looks at every object of every module, a tenth of a
second where torch is among them. Modules stay until the end: it need not look at them.
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
    """The collector of Python, which several threads may want to be off."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_off = 0
        self._was_enabled = True

    def off(self) -> None:
        """Let it rest until `on` has been called as often."""
        with self._lock:
            if not self._n_off:
                self._was_enabled = gc.isenabled()
                gc.disable()
            self._n_off += 1

    def on(self) -> None:
        """Let it go on, with what is new from now on."""
        with self._lock:
            self._n_off -= 1
            if not self._n_off:
                gc.freeze()
                if self._was_enabled:
                    gc.enable()


_collector = _Collector()


@contextmanager
def importing() -> Iterator[None]:
    """Without the collector, which never looks again at what is there at the end; for imports, once each."""
    _collector.off()
    try:
        yield
    finally:
        _collector.on()


def load_networks() -> None:
    """Import `cellpose.models` and torch in this thread, if they are not there."""
    if "cellpose.models" in sys.modules:
        return
    with importing():
        _preload_torch()
        importlib.import_module("cellpose.models")


def _preload_torch() -> None:
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
