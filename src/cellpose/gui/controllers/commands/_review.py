"""Entries of the Cells menu for reviewing cells: doubt, classes, visibility."""

from __future__ import annotations

from cellpose.gui._texts import tr
from cellpose.gui.controllers._session import Session
from cellpose.gui.controllers.commands._command import Command, Conditions
from cellpose.gui.model._marks import MOST_CLASSES

__all__ = ["commands"]


def commands(session: Session) -> list[Command]:
    """The next doubtful cell, marks, classes, isolation."""
    review, when = session.review, Conditions(session)
    some, chosen = when.cells & when.quiet, when.selection & when.quiet

    def give(kind: int) -> Command:
        title = tr("Class {kind}", kind=kind) if kind else tr("No class")
        keys = (f"{kind}", f"Ctrl+{kind}") if kind else ("0",)  # Ctrl+0 clears all masks
        give_it = lambda: review.set_class(kind)  # noqa: E731
        return Command(f"cells.class_{kind}", title, give_it, keys, "7", enabled=some, submenu=tr("Class"))

    return [
        Command("cells.next", tr("Next doubtful cell"), review.next, ("N",), "6", enabled=some),
        Command(
            "cells.previous", tr("Previous doubtful cell"), lambda: review.next(back=True), ("Ctrl+Shift+N",), "6",
            enabled=some,
        ),
        Command("cells.check", tr("Mark as checked, and go on"), review.check_and_next, ("Y",), "6", enabled=some),
        Command(
            "cells.uncheck", tr("Mark as not checked"), lambda: review.set_checked(False), ("Shift+Y",), "6",
            enabled=chosen,
        ),
        Command(
            "cells.isolate", tr("Hide all other cells"), review.isolate, ("I",), "6",
            checked=lambda: bool(session.view.isolated), enabled=some,
        ),
        *(give(kind) for kind in range(MOST_CLASSES + 1)),
    ]  # fmt: skip
