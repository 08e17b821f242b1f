"""Programs run on a terminal, as a person starts them, and what the terminal shows."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable
from pathlib import Path

__all__ = ["on_terminal", "screen_of"]

_CODES = re.compile(r"\x1b\[(\d*)([A-Za-z])")


def on_terminal(
    command: list[str],
    *,
    columns: int = 100,
    folder: Path | None = None,
    stdout: int | None = None,
    when: tuple[str, Callable[[subprocess.Popen[bytes]], None]] | None = None,
    **environment: str,
) -> tuple[int, str]:
    """Run Python with these words on a terminal of so many columns: exit code, and all that was written to it.

    Parameters
    ----------
    stdout
        Where stdout goes; None: to the terminal too.
    when
        A text, and what is done with the process once the terminal has shown it.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "TERM": "xterm", **environment}
    process = subprocess.Popen(
        [sys.executable, *command], stdin=theirs, stdout=theirs if stdout is None else stdout, stderr=theirs,
        env=variables, cwd=folder, start_new_session=True,
        # what runs in the background ignores Ctrl+C, and so would its children; a person's programs do not
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509  (no thread is started before)
    )  # fmt: skip
    os.close(theirs)
    shown = bytearray()
    watch = list([when] if when else [])

    def read() -> None:
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # the program has closed it
                return
            if not piece:
                return
            shown.extend(piece)
            if watch and watch[0][0].encode() in shown:
                watch.pop()[1](process)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        code = process.wait(timeout=240)
    finally:
        process.kill()
        reader.join(timeout=10)
        os.close(ours)
    return code, shown.decode("utf-8", "replace")


def screen_of(written: str) -> list[str]:
    """The lines that are left on the screen, without empty ones at the end."""
    lines, row, column, at = [""], 0, 0, 0
    while at < len(written):
        code = _CODES.match(written, at)
        if code:
            row = max(0, row - int(code.group(1) or 1)) if code.group(2) == "A" else row
            at = code.end()
            continue
        letter = written[at]
        at += 1
        if letter == "\r":
            column = 0
        elif letter == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        else:
            line = lines[row].ljust(column)
            lines[row] = line[:column] + letter + line[column + 1 :]
            column += 1
    lines = [line.rstrip() for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    return lines
