"""The tour: four steps that lead a new user from an image to saved cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from psygnal import Signal

from cellpose.gui._texts import tr

if TYPE_CHECKING:
    from cellpose.gui.controllers._session import Session
    from cellpose.gui.model import Document

__all__ = ["STEPS", "Step", "Tour"]

_SECTION, _SEEN = "tour", "seen"


class Step(NamedTuple):
    """A note shown beside a part of the window: ``"open"``, ``"run"``, ``"image"`` or ``"folder"``."""

    part: str
    title: str
    text: str


STEPS = (
    Step("open", tr("Open an image"), tr("Drop an image on the window, or press Ctrl+L. A folder works, too.")),
    Step("run", tr("Find the cells"), tr("Choose a model, type the diameter of your cells in pixels, and press run.")),
    Step(
        "image",
        tr("Correct what is wrong"),
        tr(
            "Right click, move around a cell that was missed, right click again. Ctrl+click deletes a cell. "
            "Ctrl+Z undoes anything."
        ),
    ),
    Step(
        "folder",
        tr("Go on to the next image"),
        tr(
            "Your work is saved automatically beside the image; Ctrl+N writes the masks as a picture. The right "
            "arrow key opens the next image. F1 helps anywhere."
        ),
    ),
)
_OPEN, _RUN = 0, 1


class Tour:
    """The current step of the tour. It advances when an image is opened and when cells are found.

    Parameters
    ----------
    session
        Whose preferences remember that it was shown.

    Attributes
    ----------
    place
        Number of the step, from 0; None: the tour is off.
    changed : Signal(object)
        The new place, or None.
    """

    changed = Signal(object)

    def __init__(self, session: Session) -> None:
        self._session = session
        self.place: int | None = None
        session.opened.connect(self._watch)

    def begin_once(self) -> None:
        """Begin, unless the tour was shown in an earlier session."""
        preferences = self._session.preferences
        if not preferences.section(_SECTION).get(_SEEN):
            preferences.put(_SECTION, {_SEEN: True})
            self.begin()

    def begin(self) -> None:
        """Show the first step; with an open image the second."""
        self._go(_OPEN if self._session.document is None else _RUN)

    def next(self) -> None:
        """Show the next step; after the last one, end."""
        if self.place is not None:
            self._go(self.place + 1 if self.place + 1 < len(STEPS) else None)

    def back(self) -> None:
        """Show the previous step."""
        if self.place:
            self._go(self.place - 1)

    def end(self) -> bool:
        """End the tour; return whether a step was shown."""
        was_on = self.place is not None
        self._go(None)
        return was_on

    def _watch(self, document: Document | None) -> None:
        if document is not None:
            document.flows_changed.connect(lambda: self._done(_RUN))
            self._done(_OPEN)

    def _done(self, place: int) -> None:
        """Advance after the user has completed a step."""
        if self.place == place:
            self.next()

    def _go(self, place: int | None) -> None:
        if place != self.place:
            self.place = place
            self.changed.emit(place)
