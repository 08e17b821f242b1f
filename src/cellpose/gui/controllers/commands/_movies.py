"""Entries for movies: time, links, and track files."""

from __future__ import annotations

from cellpose.gui._texts import tr
from cellpose.gui.controllers._session import Session
from cellpose.gui.controllers.commands._command import Command, Conditions, When

__all__ = ["commands"]

_SUBMENU, _FILES = tr("Time"), tr("Tracks")


def commands(session: Session) -> list[Command]:
    """Frames, all frames at once, links and their corrections, files."""
    movies, view, pointer, when = session.movies, session.view, session.pointer, Conditions(session)
    movie = when.open & When((lambda: movies.is_open, tr("open a movie first, a file of frames in time")))
    linked = movie & When((lambda: movies.has_links, tr("link the cells through time first")))
    cells, chosen = movie & when.cells & when.quiet, movie & when.selection & when.quiet
    planes = when.file & when.quiet
    time = [
        Command(
            "view.play", tr("Play, or stop"), movies.play, ("O",), "24",
            checked=lambda: view.playing, enabled=movie,
        ),
        Command.toggle("view.tails", tr("Tails of the cells"), view, "tails_on", ("Shift+W",), "24"),
    ]  # fmt: skip
    corrections = [
        Command(
            "cells.tool_link", tr("Link cells by clicks"), lambda: pointer.choose("link"), ("U",), "8",
            checked=lambda: pointer.tool == "link", enabled=movie,
        ),
        Command("cells.cut", tr("Cut the link to the frame before"), movies.cut, ("Shift+U",), "8", enabled=chosen),
        Command(
            "cells.cut_after", tr("Cut the link to the frame after"), movies.cut_after, ("Ctrl+Shift+U",), "8",
            enabled=chosen,
        ),
        Command("cells.swap", tr("Swap the tracks of two cells"), movies.swap, ("Shift+Q",), "8", enabled=chosen),
        Command(
            "cells.divide", tr("Two cells are daughters of one"), movies.mark_division, ("Shift+D",), "8",
            enabled=chosen,
        ),
        Command("cells.unlink", tr("Take all links away"), movies.unlink, (), "8", enabled=linked & when.quiet),
    ]  # fmt: skip
    runs = [
        Command(
            "models.run_frames", tr("Run on all frames"), session.segmentation.run_all_frames,
            ("Ctrl+Alt+Enter", "Ctrl+Alt+Return"), enabled=movie & when.quiet,
        ),
        Command("models.link", tr("Link cells through time"), movies.link, ("Ctrl+K",), enabled=cells),
    ]  # fmt: skip
    files = [
        Command("file.save_tracks", tr("Save tracks as tables, and masks by tracks"), movies.save_tables, (), "55",
                enabled=cells),
        Command("file.save_ctc", tr("Save for the Cell Tracking Challenge"), movies.save_ctc, (), "55", enabled=cells),
        Command("file.save_trackmate", tr("Save for TrackMate (Fiji)"), movies.save_trackmate, (), "55", enabled=cells),
    ]  # fmt: skip

    def load_folder() -> None:
        path = session.dialogs.ask_folder(tr("Load folder as a movie, an image for each frame"), session.files.folder())
        if path is not None:
            session.files.begin_movie(path)

    from_folder = Command("file.open_movie", tr("Load folder as a movie"), load_folder, (), "1", enabled=when.quiet)
    is_time = Command(
        "file.is_time", tr("Planes of this file are frames in time"), movies.toggle, (), "2",
        checked=lambda: movies.is_open, enabled=planes,
    )  # fmt: skip
    return [
        from_folder,
        is_time,
        *(command.within(_FILES) for command in files),
        *(command.within(_SUBMENU) for command in (*time, *corrections)),
        *runs,
    ]
