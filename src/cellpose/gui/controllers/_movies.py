"""Movies: going through time, linking cells, correcting links, and the files of tracks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellpose.gui._texts import tr, tr_n
from cellpose.gui.controllers._jobs import Report
from cellpose.gui.model import Document, Edit
from cellpose.gui.model import _links as links
from cellpose.gui.model._link_settings import LinkSettings
from cellpose.gui.model._movie_tracks import filled_cells, links_of, tracks_of

if TYPE_CHECKING:
    from cellpose.gui.controllers._session import Session

__all__ = ["Movies"]

_PIXELS_PER_CELL = 4096  # linking one cell takes as long as changing this many pixels


class Movies:
    """The commands on the frames of the open movie.

    Parameters
    ----------
    session
        Whose movie it is.

    Attributes
    ----------
    linking
        Name of the job that links cells.
    settings
        The settings for linking.
    """

    linking = "link"

    def __init__(self, session: Session) -> None:
        self._session = session
        self.settings = LinkSettings()
        self._picked: frozenset[int] = frozenset()  # cells selected by the user, in any frame
        self._follows = False  # the selection is being changed here, not by the user
        session.opened.connect(self._watch)
        session.view.events.plane.connect(lambda _: self._follow())

    @property
    def is_open(self) -> bool:
        """Whether a movie is open."""
        return self._session.document is not None and self._session.document.is_movie

    @property
    def has_links(self) -> bool:
        """Whether cells of the open movie are linked."""
        document = self._session.document
        return document is not None and document.is_movie and bool(document.lineage.earlier.any())

    # --- time ---

    def toggle(self) -> None:
        """Switch the planes of the open file between frames in time and planes in depth."""
        self._session.files.take_planes_for("Z" if self.is_open else "T")

    def play(self) -> None:
        """Play the movie, or stop it."""
        self._session.view.playing = self.is_open and not self._session.view.playing

    def advance(self) -> None:
        """Show the next frame; after the last, the first."""
        volumes = self._session.volumes
        volumes.see((self._session.view.plane + 1) % max(volumes.n_planes, 1))

    def _watch(self, document: Document | None) -> None:
        self._session.view.playing = False
        self._picked = frozenset()
        if document is not None and document.is_movie:
            document.selection_changed.connect(self._pick)

    def _pick(self, cells: frozenset[int]) -> None:
        if not self._follows:
            self._picked = cells

    def _follow(self) -> None:
        """In another frame, select the cells of the same tracks, so that commands act on visible cells."""
        document = self._session.document
        if document is None or not document.is_movie or not self._picked or self._session.removing:
            return
        self._follows = True
        try:
            document.select(document.lineage.in_frame(self._picked, self._session.view.plane))
        finally:
            self._follows = False

    # --- links ---

    @property
    def is_linking(self) -> bool:
        """Whether cells are being linked."""
        return self._session.jobs.running(self.linking) is not None

    def link(self) -> None:
        """Link the cells of all frames as ``cellpose track`` does, in the background; one step of the history."""
        session, document, settings = self._session, self._session.document, self.settings
        if self.is_linking:
            session.jobs.cancel(self.linking)
            return
        if document is None or not document.is_movie:
            session.failed.emit(tr("open a movie first, then link its cells"))
            return
        if session.held or not document.labels.count:
            session.told.emit(session.held or tr("there are no cells to link; segment the frames first"))
            return
        frozen, ids = document.labels.frozen()[0], document.labels.ids
        options, fills = settings.options(), settings.fill_gaps
        before, next_id = document.history.edits[-1:], document.labels.next_id

        def work(report: Report) -> tuple[dict[int, int], list[tuple[Any, Any]], str]:
            from cellpose import track

            labels = frozen.labels()
            report(0.05)
            tracks = track.track(labels, **options)
            report(0.8)
            new: list[tuple[Any, Any]] = []
            if fills:
                filled, tracks = track.fill_gaps(labels, tracks)
                new, tracks = filled_cells(labels, filled, tracks)
            numbers = np.concatenate([[0], ids, next_id + np.arange(len(new))]).astype(np.int32)  # in the document
            found = {int(numbers[cell]): int(numbers[earlier]) for cell, earlier in links_of(tracks).items()}
            words = tr(
                "{tracks} of {cells}, {divisions}",
                tracks=tr_n("{n} track", "{n} tracks", tracks.numbers.size),
                cells=tr_n("{n} cell", "{n} cells", tracks.frame.size),
                divisions=tr_n("{n} division", "{n} divisions", len(tracks.divided)),
            )
            put_back = [(box, numbers[piece]) for box, piece in new]
            if fills:
                words = tr_n("{words}, {n} cell put back", "{words}, {n} cells put back", len(new), words=words)
            return found, put_back, words

        def done(result: tuple[dict[int, int], list[tuple[Any, Any]], str]) -> None:
            found, new, words = result
            if document is not session.document:
                return
            if before != document.history.edits[-1:]:
                session.failed.emit(tr("cells were edited while they were linked; link them again"))
                return

            def tell(edit: Edit | None) -> None:
                if edit is not None:
                    session.told.emit(words)

            self._link_all(document, found, new, then=tell)

        session.jobs.start(
            self.linking, work, done, lambda error: session.failed.emit(tr("not linked: {error}", error=error))
        )

    def unlink(self) -> None:
        """Remove all links."""
        if self._session.document is not None:
            self._link_all(self._session.document, {})

    def _link_all(self, document: Document, *args: Any, **options: Any) -> None:
        pixels = document.labels.count * _PIXELS_PER_CELL
        self._session.steps.do(document, links.link_all, *args, pixels=pixels, **options)

    def cut(self) -> None:
        """Make the tracks of the selected cells begin with them."""
        self._correct(links.cut)

    def cut_after(self) -> None:
        """Make the tracks of the selected cells end with them."""
        self._correct(links.cut_after)

    def swap(self) -> None:
        """Swap the tracks of the two selected cells of a frame, from this frame on."""
        self._correct(links.swap)

    def mark_division(self) -> None:
        """Mark the two selected cells of a frame as daughters of one cell."""
        self._correct(links.make_daughters)

    def _correct(self, operation: Callable[..., Edit]) -> None:
        document = self._session.document
        if document is not None:
            document.do(operation, sorted(document.selection))

    def track_of(self, cell: int) -> int:
        """The track number of a cell in the open movie; 0: none."""
        document = self._session.document
        known = document is not None and document.is_movie and cell < document.lineage.track.size
        return int(document.lineage.track[cell]) if known and document is not None else 0

    # --- files ---

    def save_tables(self) -> None:
        """Save tables of cells and tracks, and masks numbered by track, as ``cellpose track`` writes them."""

        def write(labels: Any, tracks: Any, path: Path) -> list[Path]:
            from cellpose import io, track

            files = [path.with_name(path.stem + end) for end in ("_tracks.csv", "_lineage.csv", "_tracked.tif")]
            track.write_table(files[0], tracks)
            track.write_table(files[1], tracks, "tracks")
            io.imsave(files[2], io.smallest_labels(tracks.masks(labels)))
            return files

        self._save(tr("tracks"), write)

    def save_ctc(self) -> None:
        """Save a folder in the format of the Cell Tracking Challenge."""

        def write(labels: Any, tracks: Any, path: Path) -> list[Path]:
            from cellpose import track

            return track.write_ctc(path.with_name(f"{path.stem}_RES"), labels, tracks)

        self._save(tr("tracks (Cell Tracking Challenge)"), write)

    def save_trackmate(self) -> None:
        """Save a TrackMate XML file."""
        document, pixel_um = self._session.document, self._session.scale.pixel_um
        facts: dict[str, Any] = {
            "image": None if document is None else document.path,
            "interval_s": None if document is None else document.interval_s,
            "pixel_size_um": None if pixel_um is None else pixel_um[1],
        }

        def write(labels: Any, tracks: Any, path: Path) -> list[Path]:
            from cellpose import track

            target = path.with_name(f"{path.stem}_trackmate.xml")
            track.write_trackmate(target, labels, tracks, **facts)
            return [target]

        self._save(tr("tracks (TrackMate)"), write)

    def _save(self, what: str, write: Callable[[Any, Any, Path], list[Path]]) -> None:
        document = self._session.document
        if document is None or not document.is_movie:
            self._session.told.emit(tr("open a movie first"))
            return
        rows = document.labels.table[document.labels.ids]
        numbers = links.numbered_links(rows, document.labels.ids)

        def written(_document: Document, labels: Any, path: Path) -> list[Path]:
            stack = np.asarray(labels, np.int32)
            return write(stack, tracks_of(stack, rows, numbers), path)

        self._session.exports.write(what, written)
