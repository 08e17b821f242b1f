"""Entries of the View menu for drawing the image and the cells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cellpose.gui._texts import tr
from cellpose.gui.controllers._session import Session
from cellpose.gui.controllers.commands._command import Command, Conditions
from cellpose.gui.controllers.commands._view import IMAGE_COLORS
from cellpose.gui.model._palettes import COLORINGS, PALETTES
from cellpose.gui.model._view import COLOR_MAPS, CORNERS, THEMES

__all__ = ["commands"]

_OPACITY_STEP = 32
_WIDEST = 9  # pixels of the screen


def _after(choice: str, choices: Sequence[str]) -> str:
    """The next choice, wrapping around."""
    return choices[(choices.index(choice) + 1) % len(choices)]


def commands(session: Session) -> list[Command]:
    """Color maps of the image, and the look of the cells."""
    view, can = session.view, Conditions(session)

    def opacity(by: int) -> None:
        view.opacity = min(max(view.opacity + by, 0), 255)

    def width(by: int) -> None:
        view.outline_width = min(max(view.outline_width + by, 1), _WIDEST)

    def next_palette() -> None:
        view.palette = _after(view.palette, PALETTES)

    def show_in(mode: str) -> Command:
        title = tr("Composite of the channels") if mode == "composite" else tr("Colors: {mode}", mode=tr(mode))
        name = mode.replace(" ", "_")
        return Command(
            f"view.{name}", title, lambda: setattr(view, "color", mode), (), "25", checked=lambda: view.color == mode
        )

    def toggle(field: str, title: str, group: str, keys: tuple[str, ...] = ()) -> Command:
        return Command.toggle(f"view.{field}", title, view, field, keys, group)

    def next_coloring() -> None:
        view.coloring = _after(view.coloring, list(COLORINGS))
        session.told.emit(tr("cells are colored by {coloring}", coloring=tr(view.coloring)))

    def color_by(name: str) -> Command:
        choose = lambda: setattr(view, "coloring", name)  # noqa: E731
        title = tr("Color cells by {name}", name=tr(name))
        return Command(f"view.by_{name}", title, choose, (), "16", checked=lambda: view.coloring == name)

    def next_corner() -> None:
        view.scale_bar_corner = _after(view.scale_bar_corner, CORNERS)

    def bar_color() -> None:
        view.scale_bar_color = session.dialogs.ask_color(tr("Scale bar"), view.scale_bar_color) or view.scale_bar_color

    def save_picture() -> None:
        document = session.document
        source = document.path if document is not None and document.path else Path("image")
        path = session.dialogs.ask_save(tr("Save picture of the view"), source.with_name(f"{source.stem}_view.png"))
        if path is not None:
            session.picture_wanted.emit(path if path.suffix else path.with_suffix(".png"))

    def theme(name: str) -> Command:
        title = tr("Window as the system") if name == "system" else tr("Window {name}", name=tr(name))
        choose = lambda: setattr(view, "theme", name)  # noqa: E731
        return Command(f"view.theme_{name}", title, choose, (), "7", checked=lambda: view.theme == name)

    scale_bar = [
        toggle("scale_bar_on", tr("Scale bar"), "35"),
        Command("view.scale_bar_corner", tr("Scale bar to the next corner"), next_corner, (), "35"),
        Command("view.scale_bar_color", tr("Color of the scale bar…"), bar_color, (), "35"),
        Command("view.pixel_size", tr("Pixel size…"), session.scale.ask, (), "35", enabled=can.open),
    ]
    cells = [
        Command("view.fainter", tr("Fainter masks"), lambda: opacity(-_OPACITY_STEP), ("Shift+X",), "15"),
        Command("view.stronger", tr("Stronger masks"), lambda: opacity(_OPACITY_STEP), ("Ctrl+X",), "15"),
        *(color_by(name) for name in COLORINGS),
        Command("view.coloring", tr("Color cells by the next"), next_coloring, ("H",), "16"),
        Command("view.palette", tr("Next colors of cells"), next_palette, ("L",), "16"),
        Command("view.thinner", tr("Thinner outlines"), lambda: width(-1), ("Shift+Z",), "17"),
        Command("view.wider", tr("Wider outlines"), lambda: width(1), (), "17"),
        toggle("outlines_own", tr("Outlines as their cells"), "17"),
    ]
    return [
        toggle("full_screen", tr("Full screen"), "6", ("F11",)),
        Command(
            "view.copy_picture",
            tr("Copy picture of the view"),
            lambda: session.picture_wanted.emit(None),
            ("Ctrl+Shift+C",),
            "6",
            enabled=can.open,
        ),
        Command(
            "view.save_picture", tr("Save picture of the view…"), save_picture, ("Ctrl+Shift+S",), "6", enabled=can.open
        ),
        *(theme(name).within(tr("Style of the window")) for name in THEMES),
        *(command.within(tr("Scale bar")) for command in scale_bar),
        toggle("minimap_on", tr("Minimap"), "35", ("Shift+M",)),
        Command(
            "view.tool_measure",
            tr("Measure a length"),
            lambda: session.pointer.choose("measure"),
            ("M",),
            "35",
            checked=lambda: session.pointer.tool == "measure",
        ),
        *(show_in(mode).within(IMAGE_COLORS) for mode in ("composite", *COLOR_MAPS)),
        *(command.within(tr("Look of the cells")) for command in cells),
    ]
