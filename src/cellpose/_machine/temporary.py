"""Names of temporary files and folders, and the removal of those that killed runs have left.

A result is written under such a name beside its target and moved there when it is complete. A run that is killed leaves
the file behind. The next run that writes into the same folder removes it, unless the run that made it may still be
alive.
"""

from __future__ import annotations

import os
import platform
import re
import secrets
import shutil
import sys
import time
import zlib
from contextlib import suppress
from pathlib import Path

__all__ = ["remove_left_over", "temporary_beside"]

# A run on another machine, or in another container, may be alive, no matter what its process number means here.
_ABANDONED_S = 7 * 24 * 3600
_NAME = re.compile(r"\.cellpose-(?:([0-9a-f]{8})-)?(\d+)-[0-9a-f]{12}\.part")

_STARTED = time.time()
_swept: set[str] = set()


def temporary_beside(target: Path) -> Path:
    """A name for a file that will be moved to ``target``; removes leftovers of killed runs in its folder."""
    folder = os.path.abspath(target.parent)
    if folder not in _swept:  # once for each folder: listing a large one is slow
        _swept.add(folder)
        remove_left_over(folder)
    # a short name of its own: the target's name may already be as long as the file system allows
    return target.with_name(f".cellpose-{_machine()}-{os.getpid()}-{secrets.token_hex(6)}.part")


def remove_left_over(folder: str | os.PathLike[str]) -> None:
    """Remove temporary files and folders of runs that have ended, as far as that is possible and known."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            known = _NAME.fullmatch(entry.name)
            if known:
                with suppress(OSError):
                    if _is_left_over(known[1], int(known[2]), entry.stat(follow_symlinks=False).st_mtime):
                        _remove(entry)


def _remove(entry: os.DirEntry[str]) -> None:
    if entry.is_dir(follow_symlinks=False):
        shutil.rmtree(entry.path, ignore_errors=True)
    else:
        os.unlink(entry.path)


def _is_left_over(machine: str | None, process: int, modified: float) -> bool:
    if time.time() - modified > _ABANDONED_S:
        return True
    if machine != _machine():
        return False
    if process == os.getpid():  # of an earlier process with this number, as happens in containers
        return modified < _STARTED
    return not _is_alive(process)


def _is_alive(process: int) -> bool:
    if sys.platform == "win32":  # there signals end processes; an open file cannot be removed anyway
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # of another user
        return True
    return True


def _machine() -> str:
    return f"{zlib.crc32(platform.node().encode('utf-8', 'replace')):08x}"
