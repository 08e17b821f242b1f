"""Dragging a rectangle to segment."""

from __future__ import annotations

from psygnal import Signal

from cellpose.gui._texts import tr
from cellpose.gui.controllers.tools._drag import Drag, Points, around, corners
from cellpose.gui.controllers.tools._tool import PointerEvent, Preview

__all__ = ["RunRegion"]


class RunRegion(Drag):
    """Drag a rectangle: it is segmented, and the rest stays as it is.

    Attributes
    ----------
    drawn : Signal(tuple)
        The `Rectangle`.
    """

    name = "run_region"
    title = tr("Run on a rectangle")
    hint = tr("drag a rectangle: segment what lies in it again; Esc: cancel")
    drawn = Signal(tuple)

    def moved(self, event: PointerEvent) -> None:
        """Show the rectangle."""
        if self._pressed is not None:
            self.context.show(Preview(around(self._pressed, event), closed=True))

    def done(self, path: Points, pressed: PointerEvent, released: PointerEvent) -> None:
        """Report the rectangle; a click makes none."""
        if self.dragged:
            self.drawn.emit(corners(pressed, released))
