"""Regions that training leaves out."""

from __future__ import annotations

import numpy as np

from cellpose.gui._texts import tr
from cellpose.gui.controllers.tools._drag import Drag, Points, around
from cellpose.gui.controllers.tools._tool import PointerEvent, Preview
from cellpose.gui.model import _ignoring

__all__ = ["Ignore"]


class Ignore(Drag):
    """Drag around a region, or with Shift a box over it: training ignores it. A click on a region removes it."""

    name = "ignore"
    title = tr("Ignore for training")
    hint = tr("drag around a region: training leaves it out; Shift: a box; click on one: remove it")
    own_shift = True

    def begins(self, event: PointerEvent) -> bool:
        """Whether a press starts a region: also with Shift."""
        return not (event.ctrl or event.alt)

    def moved(self, event: PointerEvent) -> None:
        """Show the line."""
        if self._pressed is not None:
            self.context.show(Preview(self._line(self.path, self._pressed, event), closed=True))

    def done(self, path: Points, pressed: PointerEvent, released: PointerEvent) -> None:
        """Ignore the enclosed region; a click removes the region under it."""
        document, plane = self.context.document, self.context.view.plane
        if document is None:
            return
        if self.dragged:
            line = self._line(path, pressed, released)
            _, height, width = document.labels.shape
            document.do(_ignoring.ignore, plane, np.clip(line, 0, (height - 1, width - 1)))
            return
        number = _ignoring.ignored_at(document.labels, plane, pressed.y - 0.5, pressed.x - 0.5)
        if number is not None:
            document.do(_ignoring.stop_ignoring, number)

    def _line(self, path: Points, pressed: PointerEvent, event: PointerEvent) -> Points:
        return around(pressed, event) if pressed.shift else path
