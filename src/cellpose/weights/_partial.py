"""The partial file of a download: kept for a later call, and written by one process at a time."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from cellpose.errors import DownloadError

__all__ = ["PartialFile", "partial"]


@dataclass
class PartialFile:
    """The downloaded part of a file: an open partial file, and the version of the remote file it belongs to."""

    file: IO[bytes]
    path: Path
    origin: dict[str, Any]

    @property
    def note(self) -> Path:
        """The file that says what the partial file is a part of."""
        return self.path.with_name(self.path.name + ".json")

    def restart(self, origin: dict[str, Any]) -> None:
        """Delete the part; what follows belongs to the version ``origin``."""
        self.file.seek(0)
        self.file.truncate()
        self.origin = origin
        with contextlib.suppress(OSError):
            self.note.write_text(json.dumps(origin), encoding="utf-8")

    def size(self) -> int:
        """Bytes that are here."""
        return self.file.seek(0, os.SEEK_END)

    def head(self, n_bytes: int) -> bytes:
        """The first bytes."""
        self.file.seek(0)
        return self.file.read(n_bytes)


@contextlib.contextmanager
def partial(target: Path) -> Iterator[PartialFile]:
    """The partial file of ``target``: the one an earlier call left, or a new one if another process is using that."""
    path = target.with_name(f".{target.name}.part")
    file = open_alone(path)
    shared = file is None
    if file is None:
        try:
            descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
        except OSError as error:
            message = f"cannot write to {target.parent}: {error.strerror or error}"
            raise DownloadError(message) from error
        file, path = os.fdopen(descriptor, "w+b"), Path(name)
        path.chmod(0o644)
    part = PartialFile(file, path, {})
    part.origin = _read_note(part.note)
    try:
        yield part
    finally:
        finished = file.closed
        empty = False
        # A full disk may be reported only here; the error that matters has been raised by then.
        with contextlib.suppress(OSError):
            empty = not finished and part.size() == 0
        with contextlib.suppress(OSError):
            file.close()
        if finished or shared or empty:
            part.note.unlink(missing_ok=True)
        if shared or empty:
            path.unlink(missing_ok=True)


def _read_note(path: Path) -> dict[str, Any]:
    """The note of an earlier call; empty unless it shows whether the remote file is still the same."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        origin = json.loads(path.read_text(encoding="utf-8"))
        validator = origin["validator"]
        if isinstance(validator, str) and validator.isascii() and validator.isprintable():
            return {"url": str(origin["url"]), "validator": validator, "total": origin["total"]}
    return {}


def open_alone(path: Path) -> IO[bytes] | None:
    """The partial file, locked for this process; None where it belongs to another process or user."""
    try:
        file = path.open("a+b")
    except OSError:
        return None
    if _lock(file, path):
        return file
    file.close()
    return None


def _lock(file: IO[bytes], path: Path) -> bool:
    """Whether this process alone has the file, until it closes it."""
    try:
        import fcntl
    except ImportError:  # Windows
        return _lock_windows(file)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Another process may have finished and renamed the file between our opening and our locking it.
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False


def _lock_windows(file: IO[bytes]) -> bool:
    msvcrt: Any = importlib.import_module("msvcrt")
    try:
        # Far beyond the end, since other processes cannot read a locked byte.
        file.seek(1 << 40)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except OSError:
        return False
    return True
