"""Going through a large image field by field."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psygnal import Signal

from cellpose.gui._texts import tr
from cellpose.gui.model import Document
from cellpose.gui.model._fields import Fields

if TYPE_CHECKING:
    from cellpose.gui.controllers._session import Session

__all__ = ["FieldByField"]

_WHOLE = 0.95  # of the image in view: above this there are no fields


class FieldByField:
    """Which parts of the open image were viewed, and which comes next.

    Attributes
    ----------
    changed : Signal()
        More of the image was viewed, or another image is open.
    go_to : Signal(float, float)
        The view should center on this place (y, x).
    """

    changed = Signal()
    go_to = Signal(float, float)

    def __init__(self, session: Session) -> None:
        self._session = session
        self.fields: Fields | None = None  # from the first step on
        session.opened.connect(self._forget)

    def next(self) -> None:
        """Mark the view as done and go to the next part not yet viewed, at the same zoom."""
        session, document = self._session, self._session.document
        if document is None:
            return
        _, height, width = document.labels.shape
        y0, x0, y1, x1 = session.seen
        if min((y1 - y0) / height, (x1 - x0) / width) >= _WHOLE:
            session.told.emit(tr("all of the image is in view: zoom in first, then go from field to field"))
            return
        if self.fields is None:
            self.fields = Fields(height, width)
        self.fields.mark(session.seen)
        place = self.fields.following(y1 - y0, x1 - x0)
        if place is None:
            session.told.emit(tr("all of the image was looked at"))
            self.fields = None
        else:
            session.told.emit(tr("{share:.0%} of the image was looked at", share=self.fields.share))
            self.go_to.emit(*place)
        self.changed.emit()

    def _forget(self, _document: Document | None) -> None:
        self.fields = None
        self.changed.emit()
