"""The Edit menu: labels, and the tools that change them."""

from __future__ import annotations

from cellpose.gui.controllers._session import Session
from cellpose.gui.controllers.commands._command import Command

__all__ = ["commands"]

_TOOLS = (
    ("click", "Add cells by click", "C"),
    ("brush", "Brush", "P"),
    ("eraser", "Eraser", "E"),
    ("cut", "Split a cell by a line", "K"),
)


def commands(session: Session) -> list[Command]:
    """History, selection, tools."""
    pointer = session.pointer

    def tool(name: str, title: str, key: str) -> Command:
        return Command(
            f"edit.tool_{name}", title, lambda: pointer.choose(name), (key,), "3", checked=lambda: pointer.tool == name
        )

    return [
        Command("edit.undo", "Undo previous mask/trace", session.undo, ("Ctrl+Z",)),
        Command("edit.redo", "Undo remove mask", session.redo, ("Ctrl+Y", "Ctrl+Shift+Z")),
        Command("edit.clear", "Clear all masks", session.clear, ("Ctrl+0",), "2"),
        Command("edit.remove", "Remove selected cell (Ctrl+Click)", session.remove_selected, ("Delete",), "2"),
        *(tool(*described) for described in _TOOLS),
        Command("edit.finish", "Finish the cell", pointer.finish, ("Enter", "Return"), "4"),
        Command("edit.cancel", "Give up what is unfinished", pointer.cancel, ("Escape",), "4"),
    ]
