"""The base of tools that work from a press to a release."""

from __future__ import annotations

from math import hypot

import numpy as np
import numpy.typing as npt

from cellpose.gui.controllers.tools._tool import CLICK_PX, TAKEN_BACK, Context, PointerEvent, Tool

__all__ = ["Drag", "Points", "around", "corners", "is_click"]

Points = npt.NDArray[np.float64]


class Drag(Tool):
    """Follows the pointer while the left button is held.

    If another window took the release, the first move without the button counts as the release.
    """

    by_path = False  # all points count, not only the first and the last

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._path: list[tuple[float, float]] = []
        self._pressed: PointerEvent | None = None
        self.dragged = False  # moved farther than in a shaky click; a lasso ends where it began

    @property
    def is_busy(self) -> bool:
        """Whether the button is held."""
        return bool(self._path)

    @property
    def path(self) -> Points:
        """Centers of the pixels that the pointer went over, (n, 2), y and x."""
        return np.array(self._path, np.float64).reshape(-1, 2)

    def cancel(self) -> None:
        """Cancel the drag."""
        self._path, self._pressed = [], None
        self.context.show(None)

    def take_back(self) -> bool:
        """Remove the last points, or all if they are few."""
        if self.by_path and len(self._path) > TAKEN_BACK and self._pressed is not None:
            del self._path[-TAKEN_BACK:]
            self.moved(self._pressed)
        else:
            self.let_go()
        return True

    def handle(self, event: PointerEvent) -> bool:
        """Follow from press to release."""
        if event.kind == "press" and event.button == "left" and self.context.document is not None:
            return self._press(event)
        if not self._path:
            return False
        if event.kind == "move" and event.button == "left":
            self._path.append(_centre(event))
            self._see(event)
            self.moved(event)
            return True
        if event.kind == "move" or (event.kind == "release" and event.button == "left"):
            self._release(event)
            return True
        return False

    def begins(self, event: PointerEvent) -> bool:
        """Whether a press is the begin of a drag; with keys it is not."""
        return not (event.ctrl or event.alt or event.shift)

    def moved(self, event: PointerEvent) -> None:
        """Show what a release would do."""

    def done(self, path: Points, pressed: PointerEvent, released: PointerEvent) -> None:
        """The button was released."""

    def _press(self, event: PointerEvent) -> bool:
        if not self.begins(event):
            return False
        self._path, self._pressed, self.dragged = [_centre(event)], event, False
        self.moved(event)
        return True

    def _see(self, event: PointerEvent) -> None:
        self.dragged = self.dragged or self._pressed is None or not is_click(self._pressed, event)

    def _release(self, event: PointerEvent) -> None:
        self._see(event)
        path, pressed = self.path, self._pressed
        Drag.cancel(self)
        if pressed is not None and self.context.document is not None:
            self.done(path, pressed, event)


def corners(first: PointerEvent, last: PointerEvent) -> tuple[float, float, float, float]:
    """Rectangle between two places: first row, first column, last row, last column."""
    return min(first.y, last.y), min(first.x, last.x), max(first.y, last.y), max(first.x, last.x)


def around(pressed: PointerEvent, event: PointerEvent) -> Points:
    """Corners (4, 2) of the rectangle between two places, as they are shown."""
    y0, x0, y1, x1 = (end - 0.5 for end in corners(pressed, event))
    return np.array([(y0, x0), (y0, x1), (y1, x1), (y1, x0)])


def is_click(first: PointerEvent, last: PointerEvent) -> bool:
    """Whether a press and a release are so near each other that no drag was meant."""
    return hypot(*np.subtract(last.screen, first.screen)) <= CLICK_PX


def _centre(event: PointerEvent) -> tuple[float, float]:
    return event.y - 0.5, event.x - 0.5
