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
_counting = threading.Lock()
_n_importing = 0  # threads
_was_enabled = True


@contextmanager
def importing() -> Iterator[None]:
    """Without the collector, which never looks again at what is there at the end; for imports, once each."""
    global _n_importing, _was_enabled
    with _counting:
        if not _n_importing:
            _was_enabled = gc.isenabled()
            gc.disable()
        _n_importing += 1
    try:
        yield
    finally:
        with _counting:
            _n_importing -= 1
            if not _n_importing:
                gc.freeze()
                if _was_enabled:
                    gc.enable()


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
