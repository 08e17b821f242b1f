"""The File menu."""

from __future__ import annotations

from cellpose.gui.controllers._session import Session
from cellpose.gui.controllers.commands._command import Command

__all__ = ["commands"]


def commands(session: Session) -> list[Command]:
    """Opening, the way through the folder, saving."""
    files = session.files

    def load() -> None:
        path = session.dialogs.ask_open("Load image")
        if path is not None:
            files.open(path)

    return [
        Command("file.open", "Load image", load, ("Ctrl+L",)),
        Command("file.previous", "Previous image", lambda: files.go(-1), ("Left", "A"), "2"),
        Command("file.next", "Next image", lambda: files.go(1), ("Right", "D"), "2"),
        Command("file.save", "Save masks and image (_seg.npy)", files.save, ("Ctrl+S",), "3"),
    ]
