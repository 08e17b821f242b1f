"""The one list of commands: titles, menus, keys. Menus, shortcuts, the palette and the sheet of keys are made of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from cellpose.gui.controllers._session import Session

__all__ = ["MENUS", "Command", "commands"]

MENUS = {"file": "&File", "edit": "&Edit", "view": "&View", "models": "&Models", "help": "&Help"}


class Command(NamedTuple):
    """What a menu entry or a key does.

    Parameters
    ----------
    id
        ``"edit.undo"``: its menu and a name.
    title
        As the menu shows it.
    run
        Called without arguments.
    keys
        Shortcuts, the first of which stands in the menu. Return is the key of the letters, Enter that of the numbers.
    """

    id: str
    title: str
    run: Callable[[], object]
    keys: tuple[str, ...] = ()


def commands(session: Session) -> list[Command]:
    """All commands of a session that need no widget."""
    return [
        Command("edit.undo", "Undo previous mask/trace", session.undo, ("Ctrl+Z",)),
        Command("edit.redo", "Undo remove mask", session.redo, ("Ctrl+Y", "Ctrl+Shift+Z")),
        Command("edit.clear", "Clear all masks", session.clear, ("Ctrl+0",)),
        Command("edit.remove", "Remove selected cell (Ctrl+Click)", session.remove_selected, ("Delete",)),
        Command("view.masks", "Masks on/off", session.toggle_masks, ("X",)),
        Command("view.outlines", "Outlines on/off", session.toggle_outlines, ("Z",)),
        Command("view.next_color", "Next colour mode", session.next_color, ("S", "Down")),
        Command("view.previous_color", "Previous colour mode", lambda: session.next_color(-1), ("W", "Up")),
        Command("view.red", "Red channel alone", lambda: session.toggle_color("red"), ("R",)),
        Command("view.green", "Green channel alone", lambda: session.toggle_color("green"), ("G",)),
        Command("view.blue", "Blue channel alone", lambda: session.toggle_color("blue"), ("B",)),
        Command("view.smaller_brush", "Smaller brush", lambda: session.next_brush(-1), (",",)),
        Command("view.larger_brush", "Larger brush", lambda: session.next_brush(1), (".",)),
        Command("view.single_stroke", "Single stroke on/off", session.toggle_single_stroke),
        Command("view.previous", "Previous image", lambda: session.files.go(-1), ("A", "Left")),
        Command("view.next", "Next image", lambda: session.files.go(1), ("D", "Right")),
        Command("models.run", "Run segmentation", session.segmentation.run, ("Shift+Enter", "Shift+Return")),
        Command("edit.click", "Add cells by click", lambda: session.pointer.choose("click"), ("C",)),
        Command("edit.brush", "Brush", lambda: session.pointer.choose("brush"), ("P",)),
        Command("edit.eraser", "Eraser", lambda: session.pointer.choose("eraser"), ("E",)),
        Command("edit.cut", "Split a cell by a line", lambda: session.pointer.choose("cut"), ("K",)),
        Command("view.cancel", "Give up the stroke", session.pointer.cancel, ("Escape",)),
        Command("view.finish", "Finish the cell", session.pointer.finish, ("Enter", "Return")),
    ]
