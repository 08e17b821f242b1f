"""A pointer moved with the keyboard, so every tool works without a mouse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from cellpose.gui._texts import tr
from cellpose.gui.controllers.tools import PointerEvent

if TYPE_CHECKING:
    from cellpose.gui.controllers._session import Session

__all__ = ["Cursor"]

_STEPS = 200  # steps to cross the visible part of the image
_FAR = 10  # steps of one far move
_HOW = tr("arrow keys: move; Space: click or drag; Shift+Space: begin an outline; Enter: end it; Esc: leave")
_SCREEN = 10.0  # pixels of the screen per pixel of the image, as tools see them: a single step is a drag, not a click


class Cursor:
    """The keyboard cursor: a position in the image where keys act as mouse buttons.

    Parameters
    ----------
    session
        Whose image and tools it works with.

    Attributes
    ----------
    place
        Pixel (y, x) of the image; None: the cursor is off.
    changed : Signal(object)
        The new place, or None.
    """

    changed = Signal(object)

    def __init__(self, session: Session) -> None:
        self._session = session
        self.place: tuple[int, int] | None = None
        self._last = (0, 0)  # the end of the open outline
        session.opened.connect(lambda document: self._go(None if self.place is None else self._middle()))

    @property
    def is_busy(self) -> bool:
        """Whether there is an open outline or drag, which Enter ends."""
        return self.place is not None and self._session.pointer.mode == "drawing"

    def toggle(self) -> None:
        """Show the cursor in the middle of the view, or hide it."""
        self._go(self._middle() if self.place is None else None)
        if self.place is not None:
            self._session.told.emit(_HOW)

    def leave(self) -> bool:
        """Hide the cursor; return whether it was shown."""
        was_on = self.place is not None
        self._go(None)
        return was_on

    def move(self, down: int, right: int, far: bool = False) -> None:
        """Move by some steps, each at least one pixel; continue an open drag."""
        document = self._session.document
        if self.place is None or document is None:
            return
        step = self._step(far)
        _, height, width = document.picture.shape
        y, x = self.place
        self._go((min(max(y + down * step, 0), height - 1), min(max(x + right * step, 0), width - 1)))
        pointer = self._session.pointer
        if not pointer.is_outlining:
            self._send("move", "left" if self.is_busy else "")

    def move_region(self, down: int, right: int, far: bool = False, size: bool = False) -> None:
        """Move the rectangle that chooses cells to remove, or change its size, by steps as those of the cursor."""
        step = self._step(far)
        self._session.pointer.removal.move_region(down * step, right * step, size)

    def press(self, shift: bool = False, ctrl: bool = False) -> None:
        """Act as a click at the cursor: begin or end a drag, or extend the open outline to the cursor."""
        pointer = self._session.pointer
        if self.place is None:
            return
        if pointer.is_outlining:
            self._draw_on()
        elif self.is_busy:
            self._send("release", "left")
        else:
            self._last = self.place
            self._send("move")
            self._send("press", "left", shift, ctrl)
            if not self.is_busy:
                self._send("release", "left", shift, ctrl)

    def finish(self) -> None:
        """End the open outline, or the drag."""
        if self._session.pointer.is_outlining:
            self._draw_on()
            if self._session.pointer.is_outlining:  # it may have closed by itself
                self._send("press", "right")
        elif self.is_busy:
            self._send("release", "left")

    def turn(self, steps: int) -> None:
        """Act as the mouse wheel, for tools that use it; for others as the wheel with Ctrl, which the brushes need."""
        if self.place is None:
            return
        y, x = self.place
        for ctrl in (False, True):
            event = PointerEvent("wheel", y + 0.5, x + 0.5, ctrl=ctrl, steps=steps)
            if self._session.pointer.handle(event):
                return

    def _step(self, far: bool) -> int:
        """Pixels of the image for a press of an arrow key."""
        y0, x0, y1, x1 = self._session.seen
        return max(1, round(max(y1 - y0, x1 - x0) / _STEPS)) * (_FAR if far else 1)

    def _draw_on(self) -> None:
        """Draw the outline from its end straight to the cursor, pixel by pixel."""
        if self.place is None:
            return
        (y0, x0), (y1, x1) = self._last, self.place
        n = max(abs(y1 - y0), abs(x1 - x0))
        for y, x in zip(np.linspace(y0, y1, n + 1)[1:], np.linspace(x0, x1, n + 1)[1:], strict=True):
            self._send_at(float(y), float(x), "move")
        self._last = self.place

    def _middle(self) -> tuple[int, int] | None:
        document = self._session.document
        if document is None:
            return None
        y0, x0, y1, x1 = self._session.seen
        _, height, width = document.picture.shape
        y, x = ((max(low, 0) + min(high, side)) / 2 for low, high, side in ((y0, y1, height), (x0, x1, width)))
        return min(max(int(y), 0), height - 1), min(max(int(x), 0), width - 1)

    def _go(self, place: tuple[int, int] | None) -> None:
        if place != self.place:
            self.place = place
            self.changed.emit(place)

    def _send(self, kind: str, button: str = "", shift: bool = False, ctrl: bool = False) -> None:
        if self.place is not None:
            self._send_at(*self.place, kind, button, shift, ctrl)

    def _send_at(
        self, y: float, x: float, kind: str, button: str = "", shift: bool = False, ctrl: bool = False
    ) -> None:
        screen = x * _SCREEN, y * _SCREEN
        event = PointerEvent(kind, round(y) + 0.5, round(x) + 0.5, button, shift, ctrl, screen=screen)
        self._session.pointer.handle(event)
