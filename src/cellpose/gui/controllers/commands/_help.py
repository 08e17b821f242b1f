"""The Help menu: pages that come with the package."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from importlib import resources

from cellpose.gui.controllers._session import Session
from cellpose.gui.controllers.commands._command import Command

__all__ = ["commands", "page", "show"]

_TITLES = {"gui": "Help with GUI", "layout": "GUI layout", "training": "Training instructions"}
_KEYS = "<!-- keys -->"  # where the page wants the table of keys


def commands(session: Session, others: Iterable[Command]) -> list[Command]:
    """Pages of help; that of the window lists the keys of all commands."""
    listed = list(others)
    own = [
        Command("help.gui", _TITLES["gui"], lambda: show(session, "gui", [*listed, *own]), ("Ctrl+H",)),
        Command("help.layout", _TITLES["layout"], lambda: show(session, "layout"), ("Ctrl+G",)),
        Command("help.training", _TITLES["training"], lambda: show(session, "training")),
    ]
    return own


def show(session: Session, name: str, listed: Iterable[Command] = ()) -> None:
    """Show a page of help."""
    session.dialogs.show_text(_TITLES[name], page(name, listed))


def page(name: str, listed: Iterable[Command] = ()) -> str:
    """The HTML of a page, with a table of the keys of these commands where it wants one."""
    text = resources.files("cellpose.gui").joinpath("help").joinpath(f"{name}.html").read_text("utf-8")
    return text.replace(_KEYS, _table(listed))


def _table(listed: Iterable[Command]) -> str:
    rows = "".join(
        f"<tr><td><b>{escape(', '.join(command.keys))}</b></td><td>{escape(command.title)}</td></tr>"
        for command in listed
        if command.keys
    )
    return f'<table cellpadding="4">{rows}</table>'
