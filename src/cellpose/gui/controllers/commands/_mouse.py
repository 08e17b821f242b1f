"""Descriptions of mouse and keyboard cursor actions, for the sheet of keys and the help."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from cellpose.gui._texts import tr
from cellpose.gui.controllers.tools import Tool

__all__ = ["MouseRule", "mouse_rules"]

_ANYWHERE, _CURSOR = tr("Mouse"), tr("Keyboard cursor")


class MouseRule(NamedTuple):
    """One mouse action: the tool, the gesture, and the effect."""

    tool: str
    gesture: str
    what: str


_RULES = (
    MouseRule(_ANYWHERE, tr("Wheel"), tr("Zoom")),
    MouseRule(_ANYWHERE, tr("Left drag"), tr("Move the image")),
    MouseRule(_ANYWHERE, tr("Double click"), tr("Full view")),
    MouseRule(_ANYWHERE, tr("Click"), tr("Select a cell; elsewhere: select none")),
    MouseRule(_ANYWHERE, "Ctrl+click", tr("Delete a cell")),
    MouseRule(_ANYWHERE, "Alt+click", tr("Merge a cell into the selected one")),
    MouseRule(
        _ANYWHERE, tr("Right click, or Shift+click"), tr("Begin the outline of a cell; move around it without a button")
    ),
    MouseRule(_ANYWHERE, tr("Right click again, or back to the red start"), tr("End the outline")),
    MouseRule(_ANYWHERE, tr("Undo while drawing"), tr("Take back the end of the stroke")),
    MouseRule(_ANYWHERE, tr("Drop a file or a folder"), tr("Open an image, or a _seg.npy")),
    MouseRule(_CURSOR, tr("Arrow keys"), tr("Move it; Shift: farther. What is being dragged comes along")),
    MouseRule(
        _CURSOR, tr("Space"), tr("Click; begin or end a drag; with an open outline, draw a straight line to the cursor")
    ),
    MouseRule(_CURSOR, "Shift+Space", tr("Begin the outline of a cell")),
    MouseRule(_CURSOR, "Ctrl+Space", tr("Delete the cell under it")),
    MouseRule(_CURSOR, tr("Ctrl+Up, Ctrl+Down"), tr("Turn the wheel: size of the brush, of the cell to be added")),
    MouseRule(_CURSOR, tr("Enter"), tr("End the outline, or the drag")),
    MouseRule(_CURSOR, tr("Escape"), tr("Give up what is unfinished, then the tool, then the cursor")),
)


def mouse_rules(tools: Iterable[Tool]) -> list[MouseRule]:
    """The rules that always hold, then the hint of each tool."""
    rules = list(_RULES)
    for tool in tools:
        if tool.name == "select" or not tool.hint:
            continue  # its clicks are the rules that always hold
        for part in tool.hint.split(";"):
            gesture, colon, what = part.strip().partition(": ")
            rule = (gesture, what) if colon else ("", gesture)
            rules.append(MouseRule(tool.title, *(text[:1].upper() + text[1:] for text in rule)))
    return rules
