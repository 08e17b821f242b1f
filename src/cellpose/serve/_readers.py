"""Processes that read uploads; see `_decode`."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from cellpose.errors import FileReadError
from cellpose.serve._about import About

__all__ = ["Readers"]

_SECONDS = 60.0  # time limit for one file
_FILES = 500  # after which a process is replaced, since libraries leak memory


class Readers:
    """Reads uploads in separate processes.

    Parameters
    ----------
    count
        Number of processes; further files wait.
    most_pixels
        Largest image size.
    seconds
        Time limit for one file.
    """

    def __init__(self, count: int, most_pixels: float, seconds: float = _SECONDS) -> None:
        self._free: queue.LifoQueue[_Reader] = queue.LifoQueue()
        self._all = [_Reader(most_pixels, seconds) for _ in range(count)]
        for reader in self._all:
            self._free.put(reader)

    def read(self, source: Path, folder: Path, name: str) -> About:
        """Read a file into a folder.

        Raises
        ------
        FileReadError
            If it cannot be read.
        """
        reader = self._free.get()
        try:
            return reader.read(source, folder, name)
        finally:
            self._free.put(reader)

    def close(self) -> None:
        """End the processes."""
        for reader in self._all:
            reader.end()


class _Reader:
    """One process, started on demand."""

    def __init__(self, most_pixels: float, seconds: float) -> None:
        self._most_pixels, self._seconds = most_pixels, seconds
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._done = 0

    def read(self, source: Path, folder: Path, name: str) -> About:
        """Like `Readers.read`."""
        if self._process is None or self._process.poll() is not None or self._done >= _FILES:
            self._start()
        self._done += 1
        order = {"source": str(source), "folder": str(folder), "name": name}
        found = self._ask(json.dumps(order))
        if found is None:
            self.end()
            message = f"{name} could not be read: it took too long, or broke the program that reads it"
            raise FileReadError(message)
        if "error" in found:
            raise FileReadError(found["error"])
        return About.of(found["about"])

    def _start(self) -> None:
        self.end()
        words = [sys.executable, "-m", "cellpose.serve._decode", repr(self._most_pixels)]
        # a new queue, which the reader of an older process cannot fill
        self._answers, self._done = queue.SimpleQueue(), 0
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8"
        )
        listen = threading.Thread(target=_listen, args=(self._process, self._answers), daemon=True, name="serve-reader")
        listen.start()

    def _ask(self, order: str) -> Any:
        """The answer to a request; None: there is none."""
        process = self._process
        if process is None or process.stdin is None:
            return None
        try:
            process.stdin.write(order + "\n")
            process.stdin.flush()
            return json.loads(self._answers.get(timeout=self._seconds))
        except (OSError, queue.Empty, ValueError):  # an empty or cut line: the process has ended
            return None

    def end(self) -> None:
        """Kill the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    if stream is not None:
                        stream.close()


def _listen(process: subprocess.Popen[str], answers: queue.SimpleQueue[str]) -> None:
    """Pass on the lines of a process, and an empty one when it ends."""
    with contextlib.suppress(ValueError, OSError):  # closed in the meantime
        for line in process.stdout or ():
            answers.put(line)
    answers.put("")
