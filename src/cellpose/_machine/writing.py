"""Writing that never leaves half a file: a temporary file beside the target, then one replacement."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from cellpose._machine.temporary import temporary_beside
from cellpose.errors import CellposeError, FileWriteError

__all__ = ["make_folder", "replacing", "replacing_by_name"]


def make_folder(folder: str | os.PathLike[str]) -> Path:
    """The folder, made with its parents where it is missing.

    Raises
    ------
    FileWriteError
        If it cannot be made.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"could not create the folder {path}: {error.strerror or error}; choose another one"
        raise FileWriteError(message) from error
    return path


@contextmanager
def replacing_by_name(path: str | os.PathLike[str], failures: tuple[type[Exception], ...] = ()) -> Iterator[Path]:
    """The name of a file that takes the place of ``path`` when the block ends without an error.

    Until then, and if anything fails, the old file at ``path`` is untouched. After the replacement the modification
    time is set again: programs that watch a folder wait for a file to be modified and miss a mere rename.

    Parameters
    ----------
    path
        The file to write.
    failures
        What the writing raises where it fails, beside `OSError`; libraries have errors of their own.

    Raises
    ------
    FileWriteError
        If the file cannot be written: no space, no permission, no such folder.
    """
    # a link stays a link: what it points to is replaced
    target = Path(os.path.realpath(path))
    if os.path.exists(target) and not os.path.isfile(target):
        message = f"could not write {path}: it exists and is not a file; choose another name"
        raise FileWriteError(message)
    if not target.parent.is_dir():
        message = f"could not write {path}: there is no folder {target.parent}; create it, or choose another one"
        raise FileWriteError(message)
    temporary = temporary_beside(target)
    try:
        yield temporary
        if target.exists():
            with suppress(OSError):
                shutil.copymode(target, temporary)
        os.replace(temporary, target)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, (OSError, *failures)) and not isinstance(error, CellposeError):
            message = (
                f"could not write {path}: {getattr(error, 'strerror', None) or error}. "
                "Free space or change the permissions, or choose another folder; nothing was changed there"
            )
            raise FileWriteError(message) from error
        raise
    with suppress(OSError):
        os.utime(target)


@contextmanager
def replacing(path: str | os.PathLike[str], failures: tuple[type[Exception], ...] = ()) -> Iterator[BinaryIO]:
    """A binary file that takes the place of ``path``; see `replacing_by_name`."""
    # opened again rather than with tempfile, whose files only their owner may read
    with replacing_by_name(path, failures) as name, open(name, "xb") as file:
        yield file
