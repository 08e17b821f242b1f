"""Standard output and standard error that may fail without ending the program.

A run of hours must not end because the disk behind ``> log.txt`` is full or the reader of a pipe has left: its results
are files. What cannot be written to such a stream is lost, and the program goes on.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import Any

__all__ = ["guard_streams", "is_output_lost"]


class _Guarded:
    """A text stream that drops everything after its first failure."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text; after a failure it is dropped. Returns its length."""
        try:
            self._stream.write(text)
        except OSError as error:
            self._give_up(error)
        return len(text)

    def flush(self) -> None:
        """Flush the stream; after a failure do nothing."""
        try:
            self._stream.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.error = error
        # buffered text goes there too, also when the interpreter ends
        with suppress(OSError, ValueError):
            void = os.open(os.devnull, os.O_WRONLY)
            os.dup2(void, self._stream.fileno())
            os.close(void)
        told = self._stream is sys.__stdout__ and not isinstance(error, BrokenPipeError)
        if told and sys.stderr is not None:
            sys.stderr.write(f"cellpose: output cannot be printed: {error.strerror or error}\n")


def guard_streams() -> None:
    """Guard the standard streams of this process; letters that they do not know are written as escapes."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # closed: otherwise the next opened file would take its place and receive the printed text
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
            setattr(sys, name, _Guarded(stream))


def is_output_lost() -> bool:
    """Whether a part of what was printed to a guarded standard output could not be written."""
    if not isinstance(sys.stdout, _Guarded):
        return False
    sys.stdout.flush()
    return sys.stdout.error is not None
