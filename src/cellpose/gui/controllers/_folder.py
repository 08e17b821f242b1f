"""The folder of the open image: each image's progress, and how good the models were before the user's corrections."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from psygnal import Signal

from cellpose.gui._texts import tr
from cellpose.gui.controllers._jobs import Report
from cellpose.gui.controllers._proposal import places_of
from cellpose.gui.model import Document, Edit
from cellpose.gui.model._corrections import Correction, compare, verdict
from cellpose.gui.model._folder import STATES, ImageState, by_doubt, images_of, state_of_image
from cellpose.gui.model._seg_file import seg_path

if TYPE_CHECKING:
    from cellpose.gui.controllers._session import Session

__all__ = ["ORDERS", "Folder"]

ORDERS = {"name": tr("by name"), "doubt": tr("most doubtful first"), "annotate": tr("to annotate first")}

_BY_MACHINE = ("segment", "thresholds", "load masks")  # edits that are not corrections


class Folder:
    """The images in the folder of the open image.

    Parameters
    ----------
    session
        Whose image is open.

    Attributes
    ----------
    changed : Signal()
        The folder, the state of an image, or the order changed.
    corrected : Signal(Correction)
        An image segmented by a model was corrected and closed.
    corrections
        Of this session and of the files in the folder, in the order made or read.
    order
        How the images are ordered, one of ``ORDERS``.
    """

    proposing = "propose"  # the job that looks at all images

    changed = Signal()
    corrected = Signal(object)

    def __init__(self, session: Session) -> None:
        self._session = session
        self._states: dict[Path, ImageState] = {}
        self._left: Document | None = None
        self._known: tuple[Edit, ...] = ()  # edits that came with the open image, evaluated in an earlier session
        self.path: Path | None = None
        self.order = "name"
        self._places: dict[Path, int] = {}  # positions in the annotation order
        self._looked_at: set[Path] = set()  # for that order; unreadable images have no place
        self.corrections: list[Correction] = []
        session.opened.connect(self._opened)
        session.saved.connect(self._saved)

    @property
    def states(self) -> list[ImageState]:
        """The state of each image, in browsing order."""
        states = list(self._states.values())
        if self.order == "annotate":
            return sorted(states, key=lambda image: self._places.get(image.path, len(states)))
        return by_doubt(states) if self.order == "doubt" else states

    @property
    def images(self) -> list[Path]:
        """The images, in the same order."""
        return [state.path for state in self.states]

    def set_order(self, order: str) -> None:
        """Order the images by ``order``, one of ``ORDERS``; the annotation order is computed in the background."""
        self.order = order
        if order != "annotate":
            self._session.jobs.cancel(self.proposing)
        elif set(self._states) - self._looked_at and not self._session.jobs.running(self.proposing):
            self._propose()
        self.changed.emit()

    def _propose(self) -> None:
        session, folder, paths = self._session, self.path, list(self._states)
        diameter, gpu = session.settings.diameter or None, session.settings.gpu

        def done(places: dict[Path, int]) -> None:
            if folder != self.path:
                return
            self._places, self._looked_at = places, set(paths)
            session.told.emit(
                tr("the images are in an order to annotate them: begin with {name}", name=next(iter(places)).name)
            )
            self.changed.emit()

        def failed(error: Exception) -> None:
            session.failed.emit(str(error))
            self.set_order("name")

        session.told.emit(tr("looking at {n} images ...", n=len(paths)))
        session.jobs.start(self.proposing, lambda report: places_of(paths, diameter, gpu, report), done, failed)

    def look(self) -> None:
        """List the images again and read the state of each, in the background."""
        folder, session = self.path, self._session
        if folder is None:
            return
        self._states = {
            path: self._states.get(path, ImageState(path, STATES[1 if seg_path(path).is_file() else 0]))
            for path in images_of(folder)
        }
        paths = [path for path, state in self._states.items() if state.state != STATES[0]]
        self.changed.emit()

        def work(report: Report) -> None:
            for number, path in enumerate(paths, 1):
                state = state_of_image(path)
                session.in_main(lambda state=state: self._take(folder, state))  # type: ignore[misc]
                report(number / len(paths))

        if paths:
            session.jobs.start("folder", work, lambda _: None, lambda error: session.told.emit(str(error)))

    def _take(self, folder: Path, state: ImageState) -> None:
        if folder != self.path or state.path not in self._states:
            return
        self._states[state.path] = state
        self.corrections = _with_state(self.corrections, state)
        self.changed.emit()

    def _opened(self, document: Document | None) -> None:
        left, self._left = self._left, document
        if left is not None and left is not document and left.history.edits != self._known:
            self._judge(left)
        if left is not document:
            saved = document is not None and document.is_saved
            self._known = document.history.edits if document is not None and saved else ()
        folder = None if document is None or document.path is None else document.path.parent
        if folder is None or (folder == self.path and document is not None and document.path in self._states):
            self.changed.emit()
            return
        if folder != self.path:
            self._states, self.corrections, self._places, self._looked_at = {}, [], {}, set()
            if self.order == "annotate":  # reading all images must be requested by the user for each folder
                self.set_order("name")
        self.path = folder
        self.look()

    def _saved(self, seg: Path) -> None:
        """Read the state of one image from its file."""
        image = next((path for path in self._states if seg_path(path) == seg), None)
        if image is None:
            return
        folder = image.parent
        self._session.jobs.start(
            f"state of {image.name}",
            lambda _report: state_of_image(image),
            lambda state: self._take(folder, state),
            lambda error: self._session.told.emit(str(error)),
        )

    def _judge(self, document: Document) -> None:
        """Measure how good the model was on an image being closed, if it was corrected since."""
        found = document.found
        if found is None or not _corrected_by_hand(document):
            return
        labels = document.labels.planes.copy()
        name = document.path.name if document.path else tr("the image")
        self._session.jobs.start(
            f"judge {name}",
            lambda _report: compare(found, labels, name),
            self._add,
            lambda error: self._session.told.emit(str(error)),
        )

    def _add(self, correction: Correction) -> None:
        self.corrections = [
            each for each in self.corrections if (each.image, each.model) != (correction.image, correction.model)
        ]
        self.corrections.append(correction)
        words = verdict(self.corrections)
        self._session.told.emit(f"{correction}; {words}" if words else str(correction))
        self.corrected.emit(correction)
        self.changed.emit()


def _with_state(corrections: list[Correction], state: ImageState) -> list[Correction]:
    """The corrections with that of an image as it is now, at its place in their order; none if it has none now."""
    name, now = (state.path.name, state.model), state.correction
    places = [place for place, each in enumerate(corrections) if (each.image, each.model) == name]
    others = [each for each in corrections if (each.image, each.model) != name]
    if now is not None:
        others.insert(places[0] if places else len(others), now)
    return others


def _corrected_by_hand(document: Document) -> bool:
    names = [edit.name for edit in document.history.edits if not _links_alone(edit)]
    return bool(names) and names[-1] not in _BY_MACHINE


def _links_alone(edit: Edit) -> bool:
    """Whether an edit changed only which cell comes from which: the cells are as they were."""
    before = edit.rows_before.copy()
    before["earlier"] = edit.rows_after["earlier"]
    return not edit.patches and edit.regions is None and before.tobytes() == edit.rows_after.tobytes()
