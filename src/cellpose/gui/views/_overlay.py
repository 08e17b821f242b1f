"""Small widgets in the corners of the view."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QSize
from qtpy.QtWidgets import QWidget

__all__ = ["Overlay"]

_MARGIN = 12


class Overlay(QWidget):  # type: ignore[misc]
    """Sits in a corner of a view and moves with it; overlays in the same corner are stacked.

    Parameters
    ----------
    viewport
        The viewport of the view.
    corner
        ``"top left"``, ``"top right"``, ``"bottom left"`` or ``"bottom right"``.
    """

    comes_first = False  # when two share a corner, this one takes the corner itself

    def __init__(self, viewport: QWidget, corner: str) -> None:
        super().__init__(viewport)
        self.corner = corner
        viewport.installEventFilter(self)
        self.hide()

    def put(self, size: QSize | None = None) -> None:
        """Move to the corner, with a new size if given."""
        if size is not None:
            self.resize(size)
        around, vertical, horizontal = self.parentWidget(), *self.corner.split()
        x = _MARGIN if horizontal == "left" else around.width() - self.width() - _MARGIN
        taken = sum(
            other.height() + _MARGIN
            for other in around.findChildren(Overlay)
            if other is not self and other.corner == self.corner and other.isVisible() and other.comes_first
        )
        y = _MARGIN + taken if vertical == "top" else around.height() - self.height() - _MARGIN - taken
        self.move(x, y)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Follow the size of the view."""
        if event.type() == QEvent.Type.Resize:
            self.put()
        return bool(super().eventFilter(watched, event))
