"""Entries for filters and restoration: the panel's buttons in the Models menu, and comparing both pictures."""

from __future__ import annotations

from collections.abc import Callable

from cellpose.gui._texts import mark, tr
from cellpose.gui.controllers._restoration import TASKS
from cellpose.gui.controllers._session import Session
from cellpose.gui.controllers.commands._command import Command, Conditions, When

__all__ = ["commands"]

_SUBMENU = tr("Restore or filter the image")
_STEP = 0.02  # of the width of the view


def commands(session: Session) -> list[Command]:
    """None, filter, the tasks of networks, comparing, saving."""
    view, filters, restoration, when = session.view, session.filters, session.restoration, Conditions(session)
    restored = when.open & When(
        (
            lambda: session.document is not None and session.document.restored is not None,
            tr("restore or filter it first"),
        )
    )
    quiet = when.image

    def within(name: str, title: str, run: Callable[[], object], enabled: When) -> Command:
        return Command(f"models.restore_{name}", title, run, (), "15", enabled=enabled, submenu=_SUBMENU)

    def asked(task: str) -> Command:
        title = (
            tr("{task} the image", task=TASKS[task].capitalize())
            if task != "oneclick"
            else tr("One-click: all of these")
        )
        return within(task, title, lambda: restoration.start(task), quiet)

    def compare() -> None:
        view.compare = not session.compares
        if view.compare and view.view not in ("image", "restored"):
            view.view = "restored"

    def divider(way: str, by: float) -> Command:
        def move() -> None:
            view.divider = min(max(view.divider + by, 0.0), 1.0)

        title, key = tr("Divider to the {way}", way=tr(way)), f"Alt+{way.capitalize()}"
        return Command(f"view.divider_{way}", title, move, (key,), "2", enabled=comparing)

    comparing = When((lambda: session.compares, tr("compare the image with the restored one first")))
    return [
        within("none", tr("None: the image as it is"), filters.clear, quiet),
        within("filter", tr("Filter the image"), filters.apply, quiet),
        *(asked(task) for task in TASKS),
        Command(
            "view.compare", tr("Compare original and restored"), compare, ("Shift+R",), "2",
            checked=lambda: session.compares, enabled=restored,
        ),
        divider(mark("left"), -_STEP),
        divider(mark("right"), _STEP),
        Command(
            "file.save_restored", tr("Save restored or filtered image as tif"), session.exports.restored, (), "5",
            enabled=restored & when.file,
        ),
    ]  # fmt: skip
