"""The Help menu: the palette, the sheet of keys, and the pages of the documents."""

from __future__ import annotations

from collections.abc import Iterable

from cellpose.gui._texts import tr
from cellpose.gui.controllers._session import Session
from cellpose.gui.controllers.commands._command import Command
from cellpose.gui.controllers.commands._mouse import mouse_rules

__all__ = ["commands", "training"]


def commands(session: Session, others: Iterable[Command]) -> list[Command]:
    """Finding commands and showing their keys, including these; pages of help."""
    listed = list(others)
    keys, rules = session.keys, mouse_rules(session.pointer.tools.values())

    def everything() -> list[Command]:
        return [*listed, *own]

    def page(name: str, title: str, place: str, *keys: str) -> Command:
        return Command(f"help.{name}", title, lambda: session.dialogs.show_help(place), keys, "2")

    own = [
        Command(
            "help.palette",
            tr("Find a command…"),
            lambda: session.dialogs.show_palette(everything(), keys),
            ("Ctrl+Shift+P",),
        ),
        Command(
            "help.keys", tr("Keys and mouse"), lambda: session.dialogs.show_sheet(everything(), keys, rules), ("?",)
        ),
        Command("help.change_keys", tr("Change keys…"), lambda: session.dialogs.change_keys(everything(), keys)),
        Command("help.here", tr("Help on this part of the window"), session.help_wanted.emit, ("F1",), "2"),
        page("gui", tr("Help with GUI"), "window", "Ctrl+H"),
        page("layout", tr("GUI layout"), "window#at-a-glance", "Ctrl+G"),
        training(session, "help.training", "2"),
        Command("help.tour", tr("Tour"), session.tour.begin, (), "2"),
    ]
    return own


def training(session: Session, name: str, group: str) -> Command:
    """The help on training, shown in two menus."""
    return Command(name, tr("Training instructions"), lambda: session.dialogs.show_help("window#train"), (), group)
