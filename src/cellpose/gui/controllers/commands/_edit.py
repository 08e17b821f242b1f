"""The Edit menu: labels, and the tools that change them."""

from __future__ import annotations

from cellpose.gui._texts import mark, tr
from cellpose.gui.controllers._session import Session
from cellpose.gui.controllers.commands._command import Command, Conditions, When

__all__ = ["commands"]

_TOOLS = (
    ("click", tr("Add cells by click"), "C"),
    ("brush", tr("Brush"), "P"),
    ("eraser", tr("Eraser"), "E"),
    ("cut", tr("Split a cell by a line"), "K"),
    ("lasso", tr("Select cells by a lasso"), "Shift+L"),
    ("box", tr("Select cells by a box"), "V"),
    ("ignore", tr("Regions that training ignores"), "Shift+I"),
)


def commands(session: Session) -> list[Command]:
    """History, selection, tools."""
    pointer, view = session.pointer, session.view
    when = Conditions(session)

    def tool(name: str, title: str, key: str) -> Command:
        return Command(
            f"edit.tool_{name}", title, lambda: pointer.choose(name), (key,), "3", checked=lambda: pointer.tool == name
        )

    def remove_by(how: str) -> Command:
        title = tr("Delete multiple ROIs: {how}-select", how=tr(how))
        return Command(f"edit.remove_{how}", title, lambda: session.remove_by(how), (), "25", enabled=when.open)

    return [
        Command("edit.undo", tr("Undo previous mask/trace"), session.undo, ("Ctrl+Z",)),
        Command("edit.redo", tr("Undo remove mask"), session.redo, ("Ctrl+Y", "Ctrl+Shift+Z")),
        Command("edit.clear", tr("Clear all masks"), session.clear, ("Ctrl+0",), "2", enabled=when.cells),
        Command(
            "edit.remove",
            tr("Remove selected cell (Ctrl+Click)"),
            session.remove_selected,
            ("Delete",),
            "2",
            enabled=when.selection,
        ),
        Command(
            "edit.merge",
            tr("Merge cells by Alt+Click"),
            lambda: None,
            (),
            "2",
            enabled=When((lambda: False, tr("select a cell, then Alt+click the cell to merge into it"))),
        ),
        *(remove_by(how) for how in (mark("region"), mark("click"), mark("lasso"))),
        Command("edit.remove_done", tr("Delete multiple ROIs: done"), pointer.finish, (), "25", enabled=when.removing),
        Command(
            "edit.remove_cancel", tr("Delete multiple ROIs: cancel"), pointer.cancel, (), "25", enabled=when.removing
        ),
        Command.toggle("edit.snap", tr("Snap drawn outlines to the flows"), view, "snap", ("Shift+K",), "4"),
        Command.toggle("edit.preserve", tr("Preserve labels when drawing and painting"), view, "preserve", (), "4"),
        *(tool(*described) for described in _TOOLS),
        Command(
            "edit.cursor",
            tr("Keyboard cursor"),
            session.cursor.toggle,
            ("Q",),
            "3",
            checked=lambda: session.cursor.place is not None,
            enabled=when.open,
        ),
        Command.toggle("edit.pressure", tr("Pen pressure scales the brush"), view, "pressure", (), "3"),
        Command("edit.finish", tr("Finish the cell"), pointer.finish, ("Enter", "Return"), "4"),
        Command("edit.cancel", tr("Give up what is unfinished, then the tool"), session.escape, ("Escape",), "4"),
    ]
