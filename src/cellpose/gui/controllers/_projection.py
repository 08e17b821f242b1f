"""A volume seen from above: the brightest voxel along z, and the cells there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from psygnal import Signal

from cellpose.gui.controllers._jobs import Report
from cellpose.gui.model import Box, Document

if TYPE_CHECKING:
    from cellpose.gui.controllers._session import Session

__all__ = ["Projected", "Projection"]

_AT_ONCE = 2**22  # voxels searched in the main thread


class Projected(NamedTuple):
    """The projection of a document: its image (C, Y, X) and labels (Y, X)."""

    document: Document
    image: npt.NDArray[Any]
    labels: npt.NDArray[np.int32]


class Projection:
    """Keeps the maximum projection of the open volume, made when first needed.

    Parameters
    ----------
    session
        Whose volume it is.

    Attributes
    ----------
    changed : Signal()
        The projection is ready, or has changed.
    """

    changed = Signal()
    name = "projection"

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: Projected | None = None
        self._stale = False  # labels changed while it was being made
        session.opened.connect(self._open)

    def get(self) -> Projected | None:
        """The projection; None until it is made, then `changed` is sent."""
        document = self._session.document
        wanted = self._known is None and document is not None and document.is_volume
        if wanted and document is not None and self._session.jobs.running(self.name) is None:
            self._make(document)
        return self._known

    def look(self, y: int, x: int) -> None:
        """Move the cross-hairs to the cell shown at a place, or else to the brightest voxel there."""
        known = self._known
        if known is None or not (0 <= y < known.labels.shape[0] and 0 <= x < known.labels.shape[1]):
            return
        document, cell = known.document, int(known.labels[y, x])
        column = document.labels.planes[:, y, x] == cell
        if not cell or not column.any():
            column = document.picture.planes[:, :, y, x].max(axis=1)
            plane = int(column.argmax())
        else:
            plane = int(np.flatnonzero(column)[column.sum() // 2])
        view = self._session.view
        view.plane, view.cross = plane, (y, x)

    def _open(self, document: Document | None) -> None:
        self._session.jobs.cancel(self.name)
        self._known = None
        if document is not None and document.is_volume:
            document.changed.connect(self._patch)

    def _make(self, document: Document) -> None:
        self._stale = False

        def work(report: Report) -> Projected:
            planes, labels = document.picture.planes, document.labels.planes
            image, cells = planes[0].copy(), labels[0].copy()
            for plane in range(1, len(planes)):
                np.maximum(image, planes[plane], out=image)
                np.maximum(cells, labels[plane], out=cells)
                report(plane / len(planes))
            return Projected(document, image, cells)

        def done(projected: Projected) -> None:
            if projected.document is self._session.document:
                self._known = None if self._stale else projected
                self.changed.emit()

        self._session.jobs.start(self.name, work, done, lambda error: self._session.failed.emit(str(error)))

    def _patch(self, box: Box) -> None:
        """Update the projection after labels changed within a box."""
        self._stale = True
        known = self._known
        if known is None or not box.size:
            return
        rows, columns = box.slices[1:]
        if known.labels[rows, columns].size * len(known.document.labels.planes) > _AT_ONCE:
            self._known = None
        else:
            known.labels[rows, columns] = known.document.labels.planes[:, rows, columns].max(axis=0)
        self.changed.emit()
