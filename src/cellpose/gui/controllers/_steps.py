"""Steps of the history: small ones run at once, large ones in the background so the window stays responsive."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from cellpose.errors import EditRefusedError
from cellpose.gui._texts import tr
from cellpose.gui.controllers._jobs import Job, Report
from cellpose.gui.model import Document, Edit, Prepared

if TYPE_CHECKING:
    from cellpose.gui.controllers._session import Session

__all__ = ["Steps", "Then"]

# Limits for a step that runs at once: about 30 ms.
_MOST_PIXELS = 2**22
_MOST_CELLS = 2_000

Then = Callable[[Edit | None], None]


def _nothing(_edit: Edit | None) -> None:
    pass


class Steps:
    """Does and undoes edits without blocking the window.

    A job does steps of many pixels or cells on a copy of the labels. Meanwhile drawing is off and other steps wait.

    Parameters
    ----------
    session
        Runs the jobs and shows messages.

    Attributes
    ----------
    moved : Signal(object, object)
        An edit of a `Document` was undone or redone.
    """

    name = "step"
    moved = Signal(object, object)

    def __init__(self, session: Session) -> None:
        self._session = session
        self._finish: Callable[[], None] | None = None  # of the step in progress
        self._waiting: deque[Callable[[], None]] = deque()

    def do(
        self,
        document: Document,
        operation: Callable[..., Edit],
        *args: Any,
        pixels: int,
        then: Then = _nothing,
        **options: Any,
    ) -> None:
        """Run an operation that changes about ``pixels`` pixels.

        ``then`` gets the edit, or None if it was refused; ``options`` as for `Document.do`.
        """
        self._do(document, operation, args, then, options, long=pixels > _MOST_PIXELS)

    def change(self, document: Document, operation: Callable[..., Edit], cells: Sequence[int], *args: Any) -> None:
        """Run an operation on cells."""
        self._do(document, operation, (cells, *args), _nothing, {}, long=len(cells) > _MOST_CELLS)

    def undo(self, document: Document) -> None:
        """Undo the last edit."""
        self._move(document, back=True)

    def redo(self, document: Document) -> None:
        """Redo the last undone edit."""
        self._move(document, back=False)

    def finish(self) -> None:
        """Wait for all steps in progress, before another image opens or the window closes."""
        while self._finish is not None:
            self._finish()

    def _do(
        self,
        document: Document,
        operation: Callable[..., Edit],
        args: tuple[Any, ...],
        then: Then,
        options: dict[str, Any],
        *,
        long: bool,
    ) -> None:
        if self._finish is not None:
            self._waiting.append(lambda: self._do(document, operation, args, then, options, long=long))
            return
        if not long or document.locked:
            then(document.do(operation, *args, **options))
            return
        beside = options.pop("beside", None)
        prepare = lambda: document.prepare(operation, *args, **options)  # noqa: E731
        self._start(document, prepare, lambda prepared: then(document.take(prepared, beside)), then)

    def _move(self, document: Document, *, back: bool) -> None:
        if self._finish is not None:
            self._waiting.append(lambda: self._move(document, back=back))
            return
        edits = document.history.edits[-1:] if back else document.history.undone[-1:]

        def tell(edit: Edit | None) -> None:
            if edit is not None:
                self.moved.emit(document, edit)

        if any(_is_long(edit) for edit in edits):
            prepare = lambda: document.prepare_step(back=back)  # noqa: E731
            self._start(document, prepare, lambda prepared: tell(document.take(prepared)), _nothing)
        else:
            tell(document.undo() if back else document.redo())

    def _start(
        self,
        document: Document,
        prepare: Callable[[], Prepared],
        take: Callable[[Prepared], Any],
        refused: Then,
    ) -> None:
        """Prepare a step in a thread, then apply it in the main thread: on a signal, or earlier by `finish`."""
        outcome: list[Prepared | Exception] = []
        document.locked = tr("the last step is still being done")

        def work(_report: Report) -> None:
            try:
                outcome.append(prepare())
            except Exception as error:  # every error is reported in the main thread
                outcome.append(error)

        def finish() -> None:
            if self._finish is not finish:
                return
            if job.thread is not None:
                job.thread.join()
            self._finish, document.locked = None, ""
            result = outcome[0]
            if isinstance(result, Prepared):
                take(result)
            elif isinstance(result, EditRefusedError):
                document.told.emit(str(result))
                refused(None)
            else:
                self._session.failed.emit(tr("this could not be done: {result}", result=result))
            while self._waiting and self._finish is None:
                self._waiting.popleft()()

        self._finish = finish
        job: Job[None] = self._session.jobs.start(self.name, work, lambda _: finish(), lambda _: finish())


def _is_long(edit: Edit) -> bool:
    pixels = sum(patch.box.size for patch in edit.patches)
    return pixels > _MOST_PIXELS or edit.ids.size > _MOST_CELLS
