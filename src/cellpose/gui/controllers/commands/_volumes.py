"""Entries of the View menu for volumes: planes and sections."""

from __future__ import annotations

from cellpose.gui._texts import tr
from cellpose.gui.controllers._session import Session
from cellpose.gui.controllers.commands._command import Command, Conditions, When
from cellpose.gui.model._view import LAYOUTS

__all__ = ["commands"]

_SUBMENU = tr("Volume")
_KEYS = {"three views": ("T",), "thin slices": ("Shift+T",)}


def commands(session: Session) -> list[Command]:
    """The first and the last plane, the other images of the folder, sections."""
    volumes, view, movies = session.volumes, session.view, session.movies
    planes = Conditions(session).open & When((lambda: volumes.is_open, tr("open a volume or a movie first")))
    volume = (
        planes
        & When((lambda: not movies.is_open, tr("frames of a movie are times, not planes in depth")))
        & When((lambda: volumes.is_volume, tr("open a volume first, a file of planes")))
    )

    def show(layout: str) -> Command:
        return Command(
            f"view.{layout.replace(' ', '_')}",
            tr(layout).capitalize(),
            lambda: volumes.layout(layout),
            _KEYS.get(layout, ()),
            "23",
            checked=lambda: view.layout == layout,
            enabled=volume,
        )

    listed = [
        Command(
            "view.first_plane", tr("First plane or frame"), lambda: volumes.see(0), ("Home",), "23", enabled=planes
        ),
        Command(
            "view.last_plane",
            tr("Last plane or frame"),
            lambda: volumes.see(volumes.n_planes - 1),
            ("End",),
            "23",
            enabled=planes,
        ),
        *(show(layout) for layout in LAYOUTS),
        Command(
            "view.body", tr("Cells in 3D, turning"), session.body_wanted.emit, ("Ctrl+Shift+D",), "23", enabled=volume
        ),
        Command.toggle("view.ball", tr("Brush through planes, a ball"), view, "ball", ("Shift+P",), "23"),
    ]
    others = [
        Command(
            "file.previous_file",
            tr("Previous image"),
            lambda: session.files.go(-1),
            ("Ctrl+Left",),
            "4",
            enabled=planes,
        ),
        Command("file.next_file", tr("Next image"), lambda: session.files.go(1), ("Ctrl+Right",), "4", enabled=planes),
    ]
    slices = Command(
        "models.slices",
        tr("Cut training slices of this volume"),
        session.slicing.cut,
        (),
        "3",
        enabled=volume & Conditions(session).cells,
    )
    return [slices, *(command.within(_SUBMENU) for command in listed), *others]
