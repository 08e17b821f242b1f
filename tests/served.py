"""A real server process, on a port of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

EXAMPLES = Path(__file__).parents[1] / "examples"

_ADDRESS = re.compile(r"is at (http://[^\s?]+?)(?:\?token=([\w%-]+))?(?: \(|\. Ctrl)")


class Served:
    """A server: its address, its token, its process, the folder of its files, and what it has printed."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self.process, self.folder = process, folder
        self.lines: list[str] = []
        for line in process.stderr or ():
            self.lines.append(line)
            found = _ADDRESS.search(line)
            if found:
                self.address, self.token = found[1], unquote(found[2]) if found[2] else None
                break
        else:
            raise AssertionError("".join(self.lines))
        # what is printed later must not fill the pipe
        self._listener = threading.Thread(target=lambda: self.lines.extend(process.stderr or ()), daemon=True)
        self._listener.start()

    def end(self) -> None:
        """End it as Ctrl+C would."""
        self.process.terminate()
        try:
            self.process.wait(20)
        finally:
            self.process.kill()
            self.process.wait()
            self._listener.join(5)
            if self.process.stderr is not None:
                self.process.stderr.close()

    @property
    def kept(self) -> list[str]:
        """Names of the folders and files of images that are kept."""
        return [path.name for path in self.folder.rglob("*") if path.parent != self.folder]


@contextmanager
def serving(*words: str, folder: Path) -> Iterator[Served]:
    """``cellpose serve`` with these words; images are kept below a folder."""
    command = [sys.executable, "-m", "cellpose", "serve", "--port", "0", *words]
    (folder / "kept").mkdir()
    environment = {
        **os.environ, "TMPDIR": str(folder / "kept"), "TEMP": str(folder / "kept"), "TMP": str(folder / "kept"),
        "CELLPOSE_LOCAL_MODELS_PATH": str(folder / "models"),
    }  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)
    served = Served(process, folder / "kept")
    try:
        yield served
    finally:
        served.end()
