"""The Help menu: the palette, the sheet of keys, and pages that come with the package."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from importlib import resources

from cellpose.gui.controllers._session import Session
from cellpose.gui.controllers.commands._command import Command
from cellpose.gui.controllers.commands._mouse import mouse_rules

__all__ = ["commands", "page", "show"]

_TITLES = {"gui": "Help with GUI", "layout": "GUI layout", "training": "Training instructions"}
_KEYS, _MOUSE = "<!-- keys -->", "<!-- mouse -->"  # where a page wants these tables


def commands(session: Session, others: Iterable[Command]) -> list[Command]:
    """What tells of all commands, these among them; pages of help."""
    listed = list(others)
    keys, rules = session.keys, mouse_rules(session.pointer.tools.values())

    def everything() -> list[Command]:
        return [*listed, *own]

    own = [
        Command(
            "help.palette",
            "Find a command…",
            lambda: session.dialogs.show_palette(everything(), keys),
            ("Ctrl+Shift+P",),
        ),
        Command(
            "help.keys", "Keys and mouse", lambda: session.dialogs.show_sheet(everything(), keys, rules), ("?", "F1")
        ),
        Command("help.change_keys", "Change keys…", lambda: session.dialogs.change_keys(everything(), keys)),
        Command("help.gui", _TITLES["gui"], lambda: show(session, "gui", everything()), ("Ctrl+H",), "2"),
        Command("help.layout", _TITLES["layout"], lambda: show(session, "layout"), ("Ctrl+G",), "2"),
        Command("help.training", _TITLES["training"], lambda: show(session, "training"), (), "2"),
    ]
    return own


def show(session: Session, name: str, listed: Iterable[Command] = ()) -> None:
    """Show a page of help."""
    session.dialogs.show_text(_TITLES[name], page(session, name, listed))


def page(session: Session, name: str, listed: Iterable[Command] = ()) -> str:
    """The HTML of a page, with tables of the keys of these commands and of the mouse where it wants them."""
    text = resources.files("cellpose.gui").joinpath("help").joinpath(f"{name}.html").read_text("utf-8")
    keys = [(", ".join(session.keys.of(command)), command.title) for command in listed]
    mouse = [(rule.gesture, rule.what) for rule in mouse_rules(()) if rule.gesture]
    return text.replace(_KEYS, _table(keys)).replace(_MOUSE, _table(mouse))


def _table(rows: Iterable[tuple[str, str]]) -> str:
    shown = "".join(f"<tr><td><b>{escape(key)}</b></td><td>{escape(what)}</td></tr>" for key, what in rows if key)
    return f'<table cellpadding="4">{shown}</table>'
