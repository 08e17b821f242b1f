"""Reading files: any error of a damaged file becomes one of the package's errors, with the name of the file."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cellpose.errors import (
    CellposeError,
    FileMissingError,
    FileReadError,
    InputError,
    OptionError,
    WeightsError,
)

__all__ = ["fingerprint", "read_json", "reading"]

_LONGEST = 300  # characters of a library's message; some print all that they read


@contextmanager
def reading(path: str | os.PathLike[str], kind: type[FileReadError | WeightsError] = FileReadError) -> Iterator[None]:
    """A context in which this file is read: any error becomes one of the package's and names the file.

    A broken file can make a library fail in any way. Errors of the package pass unchanged; one about an array,
    an option or weights gets the name of the file if it lacks it.

    Parameters
    ----------
    path
        The file or folder.
    kind
        The error that damage becomes.

    Raises
    ------
    FileMissingError
        If the file, or one that it needs, does not exist.
    FileReadError, WeightsError
        If it cannot be opened (always `FileReadError`), is damaged, or does not fit into memory.

    Examples
    --------
    >>> with reading("a.tif"):
    ...     raise ZeroDivisionError("division by zero")
    Traceback (most recent call last):
    cellpose.errors.FileReadError: a.tif could not be read, it seems corrupt or truncated: ZeroDivisionError: ...
    """
    name = os.fspath(path)
    try:
        _refuse_endless(name)
        yield
    except (InputError, OptionError, WeightsError) as error:
        if os.path.basename(name) not in str(error):
            error.args = (f"{name}: {error}",)
        raise
    except CellposeError:
        raise
    except FileNotFoundError as error:
        other = error.filename
        itself = other is None or os.fspath(other) == name
        message = f"{name} does not exist" if itself else f"{name} needs {os.fspath(other)!r}, which does not exist"
        raise FileMissingError(message) from error
    except MemoryError as error:
        wanted = _told(error)
        message = f"{name} does not fit in memory{f' ({wanted})' if wanted else ''}; crop or tile it"
        raise kind(message) from error
    except OSError as error:
        # decoders raise OSError without a number; the system always gives one
        if error.errno is None:
            raise kind(_damaged(name, kind, error)) from error
        message = f"{name} could not be opened: {error.strerror or error}"
        raise FileReadError(message) from error
    except Exception as error:
        raise kind(_damaged(name, kind, error)) from error


def fingerprint(path: str | os.PathLike[str]) -> dict[str, int]:
    """What tells a file from a later one of its name, without reading it: its size and the time of its change."""
    status = os.stat(path)
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns}


def read_json(path: str | os.PathLike[str]) -> Any:
    """What a JSON file holds; raises as `reading` does."""
    with reading(path), open(path, encoding="utf-8") as file:
        return json.load(file)


def _refuse_endless(name: str) -> None:
    """Refuse pipes, sockets and devices: opening them may block forever, and reading them may never end."""
    try:
        kind = os.stat(name).st_mode
    except (OSError, ValueError):  # reported when it is opened
        return
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        message = f"{name} could not be opened: it is a pipe, socket or device; give a file"
        raise FileReadError(message)


def _damaged(name: str, kind: type[Exception], error: Exception) -> str:
    told = f"{type(error).__name__}: {_told(error)}"
    if issubclass(kind, WeightsError):
        return f"{name} is truncated or corrupt ({told}); download or copy it again"
    return f"{name} could not be read, it seems corrupt or truncated: {told}"


def _told(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"
