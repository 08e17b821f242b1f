"""Nothing is lost: every edit goes into a journal at once, and the ``_seg.npy`` is written when editing pauses."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from cellpose import io
from cellpose.errors import CellposeError, FileWriteError
from cellpose.gui._texts import tr, tr_n
from cellpose.gui.controllers._jobs import Report
from cellpose.gui.model import Document, Edit
from cellpose.gui.model._closed import ClosedHistories, ClosedHistory
from cellpose.gui.model._journal import Base, Journal, forget, journal_path, new_state, state_of, states_after, strays
from cellpose.gui.model._saved import saved
from cellpose.gui.model._seg_file import Snapshot, content_of, put_aside, seg_path
from cellpose.gui.model._stray import Stray

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cellpose.gui.controllers._session import Session

__all__ = ["Autosave"]

_REST_S = 2.0  # the file is written after this long without an edit
_LARGE = 2**22  # pixels; saving so many takes longer than a window may stand still
_REST_SHARE = 4  # at least this many times the duration of the last write; until then the journal has the edits


class Autosave:
    """The journal and the file of the open image.

    While a file is written, edits go into two journals: one for the old file and one for the new file. Whichever of
    the two exists after a crash, its journal is complete.

    Parameters
    ----------
    session
        Whose labels are saved.

    Attributes
    ----------
    enabled
        Whether the ``_seg.npy`` is written automatically. The journal always is.
    """

    name = "save"

    def __init__(self, session: Session) -> None:
        self._session = session
        self._document: Document | None = None
        self._journals: list[Journal] = []
        self._timer: threading.Timer | None = None
        self._state = self._written = "none"  # of the file as it was read or saved, and as it was last written
        self._writing: tuple[str, Callable[[], None]] = "none", lambda: None  # state of the next file; to call after it
        self._older: set[str] = set()  # states of files that the labels came from
        self._strays: list[Stray] = []  # edits that fit no file
        self._on_disk = "none"  # `state_of` the file alone when it was last read or written here
        self._told = ""  # the last reason for a failed save shown to the user
        self._took = 0.0  # seconds
        self._closed = ClosedHistories()
        self.enabled = True

    def attach(self, document: Document, state: str, on_disk: str) -> None:
        """Apply the edits in the journal of a document's state again, then start recording new edits.

        Parameters
        ----------
        document
            Just opened.
        state
            `state_of` the file its labels came from.
        on_disk
            `state_of` the ``_seg.npy``, without its content, before it was read. A file in another state was written
            by another program, or could not be read; it is renamed before a new file takes its name.
        """
        if document.path is None:
            return
        self._on_disk, self._told, self._took = on_disk, "", 0.0
        journal = Journal(journal_path(document.path, state))
        closed = self._closed.take(document.path, state)
        n = self._replay(document, journal, closed, state)
        self._document, self._journals, self._state = document, [journal], state
        resumed = closed is not None and closed.resume(document)
        document.history.recorded.connect(self._record)
        document.held_changed.connect(self._soon)
        self._find_strays(document.path, state)
        self._older |= states_after(document.path, state)  # writes that a crash interrupted
        if n and not resumed:
            self._session.told.emit(
                tr_n("{n} edit that was not saved is back", "{n} edits that were not saved are back", n)
            )
        if n:
            self._soon()

    def catch_up(self) -> bool:
        """Save a large image in the background before it is left; return whether that must be waited for."""
        document = self._document
        if document is None or document.labels.planes.size <= _LARGE:
            return False
        self._session.finish()
        behind = self.enabled and not document.is_saved and not self._told  # a failure is told again by `settle`
        if behind and self._session.jobs.running(self.name) is None:
            self.save()
        return self._session.jobs.running(self.name) is not None

    def leave(self) -> None:
        """Save what is not saved and wait for it, before another image is opened or the window is closed."""
        document = self._document
        if document is None:
            return
        self.settle()
        document.history.recorded.disconnect(self._record)
        document.held_changed.disconnect(self._soon)
        self._tell_not_kept(document)
        if document.path is not None:
            self._closed.put(document.path, ClosedHistory.of(document, self._state))
        self._document, self._journals = None, []

    def _tell_not_kept(self, document: Document) -> None:
        """Tell what does not come back with the edits in the journal."""
        name, restored = document.path.name if document.path is not None else "", document.restored
        if not document.has_file and restored is not None and restored.model:
            self._session.told.emit(
                tr("the restored image of {name} was not kept; it is saved as soon as there are cells", name=name)
            )
        elif not self.enabled and not document.is_saved_beside:
            self._session.told.emit(
                tr("autosave is off: only the edits of {name} come back, no other changes", name=name)
            )

    def settle(self) -> None:
        """Finish and save what is not saved and wait for it, so the file can be read."""
        document = self._document
        if document is None:
            return
        self._session.finish()
        self._stop_timer()
        running = self._session.jobs.running(self.name)
        if running is not None:
            self._session.jobs.cancel(self.name)
            if running.thread is not None:
                running.thread.join()  # otherwise it could overwrite the labels written now with older ones
            writing, take = self._writing
            if self._written == writing:
                take()
        if self.enabled and not document.is_saved and document.path is not None:
            state, held = new_state(), document.held
            snapshot = Snapshot.of(document, self._session.settings, self._session.review.classes)
            try:
                self._write(snapshot, state)
            except (CellposeError, OSError) as error:
                self._tell_not_saved(error)
            else:
                document.mark_saved(held)
                self._state = state
                self._older.add(state)
                self._journals = [Journal(journal_path(document.path, state))]
                self._first_base = self._base(document, snapshot)
                self._all_saved(document.path, state)

    def save(self, tell: bool = False) -> None:
        """Write the file now, in the background; report success if the user asked for it (``tell``)."""
        document = self._document
        if document is None or document.path is None:
            return
        self._stop_timer()
        path, state, held = document.path, new_state(), document.held
        snapshot = Snapshot.of(document, self._session.settings, self._session.review.classes)
        journal = Journal(journal_path(path, state))
        try:
            journal.begin(self._base(document, snapshot))
        except OSError as error:
            self._session.told.emit(
                tr("edits cannot be written down at {parent}: {error}", parent=journal.path.parent, error=error)
            )
        self._journals.append(journal)
        self._older.add(state)

        running = self._session.jobs.running(self.name)
        older = running.thread if running is not None else None

        def work(_report: Report) -> None:
            if older is not None:
                older.join()  # the latest request is written last
            self._write(snapshot, state)

        def take() -> None:
            document.mark_saved(held)
            self._journals, self._state = [journal], state
            self._all_saved(path, state)

        def finished(_result: None) -> None:
            if self._document is not document:
                return
            take()
            if tell:
                self._session.told.emit(saved(seg_path(path)))

        def failed(error: Exception) -> None:
            self._not_saved(journal, error, asked=tell)
            if tell and isinstance(error, FileWriteError):
                self._save_elsewhere(snapshot)

        self._writing = state, take
        self._session.jobs.start(self.name, work, finished, failed)

    def _write(self, snapshot: Snapshot, state: str) -> None:
        """Write the file, in any thread. A file not read or written here is set aside first."""
        seg, begun = seg_path(snapshot.path), time.perf_counter()
        kept = put_aside(seg) if state_of(seg) not in ("none", self._on_disk) else None
        try:
            io.write_seg(seg, content_of(snapshot, state))
        except (CellposeError, OSError):
            if kept is not None:
                kept.replace(seg)
            raise
        self._on_disk, self._took, self._written = state_of(seg), time.perf_counter() - begun, state
        if kept is not None:
            message = tr(
                "{name} was written by another program; it is kept as {kept}, and what is seen is saved",
                name=seg.name,
                kept=kept.name,
            )
            self._session.in_main(lambda: self._session.failed.emit(message))
        self._keep_strays(snapshot)

    def _find_strays(self, image: Path, state: str) -> None:
        """Look for edits that were not saved and do not fit the file, because another program replaced it."""
        self._strays = [Stray.of(journal) for journal in strays(image, self._older, state)]
        n = sum(each.n_edits for each in self._strays)
        if n:
            text = tr_n(
                "{n} edit of {name} that was not saved belongs to another _seg.npy; the cells that it drew or changed "
                "are kept in a file of their own when you save",
                "{n} edits of {name} that were not saved belong to another _seg.npy; the cells that they drew or "
                "changed are kept in a file of their own when you save",
                n,
                name=image.name,
            )
            self._session.in_main(lambda: self._session.failed.emit(text))  # after the image is shown

    def _keep_strays(self, snapshot: Snapshot) -> None:
        """Write the cells of edits that do not fit the file beside it, in any thread."""
        image = snapshot.path
        while self._strays:
            stray, kept = self._strays[-1], io.name_to_keep(seg_path(image))
            if stray.labels.any():
                try:
                    io.write_seg(kept, {**stray.content(image), **snapshot.image})
                except (CellposeError, OSError):
                    return  # the journal stays, for the next time
                text = tr(
                    "edits of {name} that were not saved belong to another _seg.npy; their cells are kept as {kept}, "
                    "which opens with Load processed/labelled image",
                    name=image.name,
                    kept=kept.name,
                )
                self._session.in_main(lambda text=text: self._session.failed.emit(text))  # type: ignore[misc]
            stray.journal.remove()
            self._strays.pop()

    def _save_elsewhere(self, snapshot: Snapshot) -> None:
        """Save a copy in a folder the user chooses, if the folder of the image is not writable."""
        session, name = self._session, seg_path(snapshot.path).name
        folder = session.dialogs.ask_folder(
            tr("{parent} cannot be written to: save {name} in another folder", parent=snapshot.path.parent, name=name)
        )
        if folder is not None:
            session.jobs.start(
                "save a copy",
                lambda _: io.write_seg(folder / name, content_of(snapshot, new_state())),
                lambda _: session.told.emit(
                    tr("saved {path}; it opens with Load processed/labelled image", path=folder / name)
                ),
                lambda error: session.failed.emit(tr("not saved: {error}", error=error)),
            )

    def _all_saved(self, path: Path, state: str) -> None:
        self._told = ""
        forget(path, self._older - {state})
        self._older = {state}
        self._session.saved.emit(seg_path(path))

    def _not_saved(self, journal: Journal, error: Exception, asked: bool) -> None:
        if journal in self._journals:
            self._journals.remove(journal)
        journal.remove()
        self._tell_not_saved(error, asked)

    def _tell_not_saved(self, error: Exception, asked: bool = False) -> None:
        """Report the error once, and again each time the user asks to save."""
        if asked or str(error) != self._told:
            self._told = str(error)
            text = tr("not saved, the edits are kept and come back with the image: {error}", error=error)
            self._session.in_main(lambda: self._session.failed.emit(text))  # after another image has come, if one does

    def _record(self, what: str, edit: Edit) -> None:
        document = self._document
        if document is None:
            return
        for journal in self._journals:
            try:
                if not journal.path.exists():
                    journal.begin(self._first_base)
                journal.record(what, edit)
            except OSError as error:
                self._session.told.emit(
                    tr("edits cannot be written down at {parent}: {error}", parent=journal.path.parent, error=error)
                )

    def _base(self, document: Document, snapshot: Snapshot) -> Base:
        ids = tuple(int(cell) for cell in snapshot.ids)
        return Base(str(document.path), document.labels.shape, ids, tuple(self._older))

    def _replay(self, document: Document, journal: Journal, closed: ClosedHistory | None, state: str) -> int:
        """Apply the edits of the journal again and return how many. Without a journal, cells get back their numbers."""
        ids, found = document.labels.ids, journal.read()
        self._older = {state, *(found[0].older if found is not None else ())}
        if found is None and closed is not None and closed.ids.size == ids.size:
            document.labels.renumber_to(closed.ids.tolist())
            ids = closed.ids
        self._first_base = Base(str(document.path), document.labels.shape, tuple(int(cell) for cell in ids))
        if found is None:
            return 0
        base, records = found
        if base.shape != document.labels.shape or len(base.ids) != ids.size:
            journal.remove()
            return 0
        document.labels.renumber_to(base.ids)
        n = 0
        try:
            for what, edit in records:
                document.history.replay(what, edit)
                n += 1
        except CellposeError as error:
            self._session.told.emit(str(error))
        journal.follow(document.history.edits, document.history.undone)
        return n

    def _soon(self) -> None:
        self._stop_timer()
        if self.enabled:
            rest = max(_REST_S, _REST_SHARE * self._took)
            timer = threading.Timer(rest, lambda: self._session.in_main(self._rested))
            timer.daemon = True
            timer.start()
            self._timer = timer

    def _rested(self) -> None:
        document = self._document
        if document is None or document.is_saved:
            return
        if self._session.jobs.running(self.name) is None:
            self.save()
        else:
            self._soon()  # edits made during the write go into the next one

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
