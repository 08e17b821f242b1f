"""The command line as a process of its own: its lines, and its end."""

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

_PATIENCE = 10.0  # seconds that an interrupted process has to end by itself
_NICE = 5  # it gives way to the window where there are few processors
_LAST_LINES = 12


class Child:
    """A run of ``cellpose``, which can be interrupted from another thread, also before it begins."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self.interrupted = False
        self._last: deque[str] = deque(maxlen=_LAST_LINES)

    def run(self, words: Sequence[str], told: Callable[[str], None]) -> int:
        """Run a command line to its end, with each of its lines; the exit code, 130 where it was interrupted."""
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
        """End it as Ctrl-C does: what is finished is kept."""
        with self._lock:
            self.interrupted = True
            process = self._process
        if process is None or process.poll() is not None:
            return
        with suppress(OSError):
            process.terminate() if os.name == "nt" else process.send_signal(signal.SIGINT)
        timer = threading.Timer(_PATIENCE, process.kill)  # nothing happens to one that has ended
        timer.daemon = True
        timer.start()

    def reason(self) -> str:
        """The last words of a command line that failed as a whole."""
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
        with suppress(OSError):  # it may have ended already
            os.setpriority(os.PRIO_PROCESS, process.pid, _NICE)
    return process
