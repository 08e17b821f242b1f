"""The View menu: what is shown and how."""

from __future__ import annotations

from cellpose.gui._texts import tr
from cellpose.gui.controllers._folder import ORDERS
from cellpose.gui.controllers._session import PANELS, Session
from cellpose.gui.controllers.commands._command import Command, Conditions

__all__ = ["IMAGE_COLORS", "commands"]

IMAGE_COLORS = tr("Colors of the image")
IMAGE_ORDER = tr("Order of the images")


def commands(session: Session) -> list[Command]:
    """Layers, colors, brush, zoom."""
    view, opened, volumes = session.view, Conditions(session).open, session.volumes

    def alone(color: str, key: str) -> Command:
        title = tr("{color} channel alone", color=tr(color).capitalize())
        return Command(f"view.{color}", title, lambda: session.toggle_color(color), (key,), "21", submenu=IMAGE_COLORS)

    modes = [
        Command("view.next_color", tr("Next color mode"), session.next_color, ("Down", "S"), "2"),
        Command("view.previous_color", tr("Previous color mode"), lambda: session.next_color(-1), ("Up", "W"), "2"),
    ]

    def panel(name: str, *keys: str) -> Command:
        return Command(f"view.panel_{name}", PANELS[name], lambda: session.panel_wanted.emit(name), keys, "65")

    def ordered(order: str, title: str) -> Command:
        folder = session.folder
        return Command(
            f"view.order_{order}", title[:1].upper() + title[1:], lambda: folder.set_order(order), (), "66",
            checked=lambda: folder.order == order, enabled=Conditions(session).file, submenu=IMAGE_ORDER,
        )  # fmt: skip

    channels = [alone(color, key) for color, key in (("red", "R"), ("green", "G"), ("blue", "B"))]
    return [
        panel("folder", "Ctrl+Shift+F"),
        panel("cells", "Ctrl+Shift+T"),
        panel("training"),
        *(ordered(order, title) for order, title in ORDERS.items()),
        Command.toggle("view.masks", tr("Masks"), view, "masks_on", ("X",)),
        Command.toggle("view.outlines", tr("Outlines"), view, "outlines_on", ("Z",)),
        Command.toggle("view.single_stroke", tr("Single stroke"), view, "single_stroke", ("A",)),
        Command.toggle("view.disk", tr("Scale disk"), view, "disk_on"),
        *(command.within(IMAGE_COLORS) for command in modes),
        *channels,
        Command("view.next_page", tr("Next plane, or view of a single plane"), volumes.page, ("PgDown",), "2"),
        Command(
            "view.previous_page",
            tr("Previous plane, or view of a single plane"),
            lambda: volumes.page(-1),
            ("PgUp",),
            "2",
        ),
        Command("view.next_view", tr("Next view"), session.next_view, ("Shift+PgDown",), "2"),
        Command("view.previous_view", tr("Previous view"), lambda: session.next_view(-1), ("Shift+PgUp",), "2"),
        Command("view.smaller_brush", tr("Smaller brush"), lambda: session.next_brush(-1), (",",), "3"),
        Command("view.larger_brush", tr("Larger brush"), lambda: session.next_brush(1), (".",), "3"),
        Command("view.fit", tr("Full view"), session.fit.emit, ("Space",), "4"),
        Command(
            "view.next_field", tr("Next field not looked at"), session.field_by_field.next, ("F",), "4", enabled=opened
        ),
        Command("view.zoom_in", tr("Zoom in"), lambda: session.zoom.emit(0.9), ("=", "+"), "4"),
        Command("view.zoom_out", tr("Zoom out"), lambda: session.zoom.emit(1.1), ("-",), "4"),
    ]
