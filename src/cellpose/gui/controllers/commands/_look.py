"""Entries of the View menu for how image and cells are drawn."""

from __future__ import annotations

from cellpose.gui.controllers._session import Session
from cellpose.gui.controllers.commands._command import Command
from cellpose.gui.model._palettes import PALETTES
from cellpose.gui.model._view import COLOR_MAPS

__all__ = ["commands"]

_OPACITY_STEP = 32
_WIDEST = 9  # pixels of the screen


def commands(session: Session) -> list[Command]:
    """Colour maps of the image, and the look of the cells."""
    view = session.view

    def opacity(by: int) -> None:
        view.opacity = min(max(view.opacity + by, 0), 255)

    def width(by: int) -> None:
        view.outline_width = min(max(view.outline_width + by, 1), _WIDEST)

    def next_palette() -> None:
        view.palette = PALETTES[(PALETTES.index(view.palette) + 1) % len(PALETTES)]

    def toggle_own() -> None:
        view.outlines_own = not view.outlines_own

    def show_in(mode: str) -> Command:
        title = "Composite of the channels" if mode == "composite" else f"Colours: {mode}"
        name = mode.replace(" ", "_")
        return Command(
            f"view.{name}", title, lambda: setattr(view, "color", mode), (), "25", checked=lambda: view.color == mode
        )

    return [
        *(show_in(mode) for mode in ("composite", *COLOR_MAPS)),
        Command("view.fainter", "Fainter masks", lambda: opacity(-_OPACITY_STEP), ("Shift+X",), "15"),
        Command("view.stronger", "Stronger masks", lambda: opacity(_OPACITY_STEP), ("Ctrl+X",), "15"),
        Command("view.palette", "Next colours of cells", next_palette, ("L",), "15"),
        Command("view.thinner", "Thinner outlines", lambda: width(-1), ("Shift+Z",), "15"),
        Command("view.wider", "Wider outlines", lambda: width(1), (), "15"),
        Command(
            "view.own_outlines", "Outlines as their cells", toggle_own, (), "15", checked=lambda: view.outlines_own
        ),
    ]
