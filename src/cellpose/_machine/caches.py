"""Where compiled loops are kept when neither the package nor the home folder can be written to.

numba keeps machine code beside the source, else in the home folder. It refuses to compile where it can write to
neither: in containers with read-only images, and for users without a home.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["provide_compile_cache"]

_VARIABLE = "NUMBA_CACHE_DIR"


def provide_compile_cache(package: Path) -> Path | None:
    """Point numba to a folder for temporary files if it has no other; None where that is not needed.

    Parameters
    ----------
    package
        Folder of the modules that numba compiles.
    """
    if os.environ.get(_VARIABLE) or os.access(package, os.W_OK) or _home_takes_files():
        return None
    import tempfile

    user = os.getuid() if hasattr(os, "getuid") else "user"
    folder = Path(tempfile.gettempdir()) / f"cellpose-numba-{user}"
    if not _is_private(folder):
        folder = Path(tempfile.mkdtemp(prefix="cellpose-numba-"))
    os.environ[_VARIABLE] = str(folder)
    if "numba" in sys.modules:  # numba read the variable when it was imported
        sys.modules["numba"].config.CACHE_DIR = str(folder)
    return folder


def _home_takes_files() -> bool:
    import tempfile

    cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    there = next((place for place in (cache, *cache.parents) if place.is_dir()), None)
    if there is None or there == Path(there.anchor):
        return False
    try:
        with tempfile.TemporaryFile(dir=there):
            return True
    except OSError:
        return False


def _is_private(folder: Path) -> bool:
    """Whether the folder exists or can be made, and no other user can write to it: its files are run as code."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return False
    mine = not hasattr(os, "getuid") or status.st_uid == os.getuid()
    return mine and folder.is_dir() and not folder.is_symlink() and not status.st_mode & 0o022
