"""The Models menu."""

from __future__ import annotations

from cellpose.gui.controllers._session import Session
from cellpose.gui.controllers.commands._command import Command

__all__ = ["commands"]


def commands(session: Session) -> list[Command]:
    """Running and training."""
    return [
        Command("models.run", "Run segmentation", session.segmentation.run, ("Shift+Enter", "Shift+Return")),
    ]
