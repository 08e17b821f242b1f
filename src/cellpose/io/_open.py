"""Opening files: errors name the file."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from cellpose._machine.reading import reading

__all__ = ["head_of", "opened"]


def opened(path: Path) -> IO[bytes]:
    """The file, to be read and closed.

    Raises
    ------
    FileReadError
        If it is missing (`FileMissingError`), or cannot be opened.
    """
    with reading(path):
        return open(path, "rb")


def head_of(path: Path, n_bytes: int) -> bytes:
    """The first bytes of a file; raises as `opened` does."""
    with reading(path), open(path, "rb") as file:
        return file.read(n_bytes)
