"""The command line in its own process: its output lines and its exit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

__all__ = ["Child"]

_PATIENCE = 10.0  # seconds an interrupted process has to exit by itself
_NICE = 5  # it yields to the window on machines with few cores
_LAST_LINES = 12


class Child:
    """A run of ``cellpose``, which another thread can interrupt, even before it starts."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self.interrupted = False
        self._last: deque[str] = deque(maxlen=_LAST_LINES)

    def run(self, words: Sequence[str], told: Callable[[str], None]) -> int:
        """Run a command line, pass each output line to ``told``, and return the exit code; 130 if interrupted."""
        with self._lock:
            if self.interrupted:
                return 130
            self._process = process = _start(words)
        with process:
            for line in process.stdout or ():
                self._last.append(line.rstrip())
                told(line.rstrip())
        code = process.returncode
        return 130 if self.interrupted else code

    def interrupt(self) -> None:
        """Interrupt it as Ctrl-C does: finished results are kept."""
        with self._lock:
            self.interrupted = True
            process = self._process
        if process is None or process.poll() is not None:
            return
        with suppress(OSError):
            process.terminate() if os.name == "nt" else process.send_signal(signal.SIGINT)
        timer = threading.Timer(_PATIENCE, process.kill)  # no effect on a process that has exited
        timer.daemon = True
        timer.start()

    def reason(self) -> str:
        """The last message of a command line that failed as a whole."""
        wanted = [line for line in self._last if "cellpose: error: " in line or "ERROR" in line]
        last = wanted[-1] if wanted else next((line for line in reversed(self._last) if line), "it said nothing")
        return last.split("[ERROR] ")[-1].split("error: ")[-1].removeprefix("ERROR: ")


def _start(words: Sequence[str]) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "cellpose", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, "PYTHONIOENCODING": "utf-8:backslashreplace"},
        creationflags=getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0),
    )
    if hasattr(os, "setpriority"):
        with suppress(OSError):  # it may have exited already
            os.setpriority(os.PRIO_PROCESS, process.pid, _NICE)
    return process
