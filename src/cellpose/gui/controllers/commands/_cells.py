"""The Cells menu: selecting cells, and changing the selected ones."""

from __future__ import annotations

from cellpose.gui._texts import tr
from cellpose.gui.controllers._session import Session
from cellpose.gui.controllers.commands._command import Command, Conditions

__all__ = ["commands"]


def commands(session: Session) -> list[Command]:
    """Selection, shape, number, merging."""
    cells, pointer, when = session.cells, session.pointer, Conditions(session)
    some, quiet = when.cells & when.quiet, when.selection & when.quiet
    return [
        Command("cells.select_all", tr("Select all cells"), cells.select_all, ("Ctrl+A",), "1", enabled=some),
        Command(
            "cells.select_none", tr("Clear the selection"), cells.select_none, ("Ctrl+Shift+A",), "1", enabled=quiet
        ),
        Command("cells.invert", tr("Invert the selection"), cells.invert, ("Ctrl+I",), "1", enabled=some),
        Command("cells.fill", tr("Fill holes"), cells.fill, ("Shift+F",), "2", enabled=quiet),
        Command("cells.smooth", tr("Smooth the outline"), cells.smooth, ("Shift+S",), "2", enabled=quiet),
        Command("cells.grow", tr("Grow by a pixel"), lambda: cells.grow(1), ("]",), "2", enabled=quiet),
        Command("cells.shrink", tr("Shrink by a pixel"), lambda: cells.grow(-1), ("[",), "2", enabled=quiet),
        Command("cells.number", tr("Change number…"), cells.change_number, ("Shift+N",), "3", enabled=quiet),
        Command(
            "cells.merge",
            tr("Merge the selected cells"),
            cells.merge,
            ("Shift+J",),
            "4",
            enabled=when.several & when.quiet,
        ),
        Command(
            "cells.merge_box",
            tr("Merge cells by a box"),
            lambda: pointer.choose("merge_box"),
            ("J",),
            "4",
            checked=lambda: pointer.tool == "merge_box",
            enabled=when.image,
        ),
    ]
