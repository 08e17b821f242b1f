"""The list of all commands: the source of menus, shortcuts, the palette and the sheet of keys."""

from __future__ import annotations

from cellpose.gui._texts import tr
from cellpose.gui.controllers._session import Session
from cellpose.gui.controllers.commands import (
    _cells,
    _edit,
    _file,
    _help,
    _look,
    _models,
    _movies,
    _restoring,
    _review,
    _view,
    _volumes,
)
from cellpose.gui.controllers.commands._command import Command, Conditions, When
from cellpose.gui.controllers.commands._mouse import MouseRule, mouse_rules
from cellpose.gui.controllers.commands._search import found

__all__ = ["MENUS", "MENU_NAMES", "Command", "Conditions", "MouseRule", "When", "commands", "found", "mouse_rules"]

MENUS = {
    "file": tr("&File"),
    "edit": tr("&Edit"),
    "cells": tr("&Cells"),
    "view": tr("&View"),
    "models": tr("&Models"),
    "help": tr("&Help"),
}
MENU_NAMES = {menu: title.replace("&", "") for menu, title in MENUS.items()}  # titles as plain text


def commands(session: Session) -> list[Command]:
    """All commands of a session."""
    menus = (_file, _edit, _cells, _review, _view, _look, _volumes, _movies, _models, _restoring)
    listed = [command for menu in menus for command in menu.commands(session)]
    return [*listed, *_help.commands(session, listed)]
