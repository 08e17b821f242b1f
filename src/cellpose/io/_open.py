"""Files are opened: what is wrong is told with the name of the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from cellpose.errors import FileMissingError, FileReadError

__all__ = ["head_of", "opened"]


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        message = f"{path} does not exist"
        raise FileMissingError(message) from error
    except OSError as error:
        message = f"{path} could not be opened: {error.strerror or error}"
        raise FileReadError(message) from error


def opened(path: Path) -> IO[bytes]:
    """The file, to be read and closed.

    Raises
    ------
    FileReadError
        If it is missing (`FileMissingError`), or cannot be opened.
    """
    with _told(path):
        return open(path, "rb")


def head_of(path: Path, n_bytes: int) -> bytes:
    """What a file begins with; raises as `opened` does."""
    with _told(path), open(path, "rb") as file:
        return file.read(n_bytes)
