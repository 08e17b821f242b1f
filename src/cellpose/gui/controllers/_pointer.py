"""The pointer: from presses and moves to strokes, selections, removals and merges; a state machine without widgets.

Its states are two: `idle`, and `drawing` while a stroke is open. Every way out of `drawing` is here: a second right
click, a return to the start, Escape, another image, loss of the focus.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import hypot

import numpy as np
from psygnal import Signal

from cellpose.errors import EditRefusedError
from cellpose.gui.model import Document, ViewState
from cellpose.gui.model import _operations as operations
from cellpose.gui.model._strokes import outlined, painted

__all__ = ["Pointer", "PointerEvent"]

# A right click so soon and so near after a stroke closed by itself was meant to end that stroke.
_SAME_CLICK_S, _SAME_CLICK_PX = 0.3, 10.0
_CLICK_PX = 4.0  # of the screen; farther is a drag


@dataclass(frozen=True)
class PointerEvent:
    """What the pointer did.

    Parameters
    ----------
    kind
        ``"press"``, ``"move"`` or ``"release"``.
    y, x
        Place in the image, in pixels.
    button
        ``"left"``, ``"right"``, ``"middle"``, or ``""`` for moves.
    shift, ctrl, alt
        Keys that are held.
    screen
        Place on the screen, in its pixels.
    """

    kind: str
    y: float
    x: float
    button: str = ""
    shift: bool = False
    ctrl: bool = False
    alt: bool = False
    screen: tuple[float, float] = (0.0, 0.0)


class Pointer:
    """What the pointer does in the image.

    Parameters
    ----------
    view
        How the image is looked at: plane, brush, whether cells can be seen.
    clock
        Seconds; for tests.

    Attributes
    ----------
    stroke_changed : Signal(list)
        The open stroke, a list of (y, x); empty when it ended.
    mode_changed : Signal(str)
        ``"idle"`` or ``"drawing"``.
    """

    stroke_changed = Signal(list)
    mode_changed = Signal(str)

    def __init__(self, view: ViewState, clock: Callable[[], float] = time.monotonic) -> None:
        self.document: Document | None = None
        self._view = view
        self._clock = clock
        self._stroke: list[tuple[float, float]] = []
        self._finished: list[list[tuple[float, float]]] = []
        self._left_start = False
        self._closed: tuple[float, float, float] | None = None
        self._pressed: PointerEvent | None = None

    @property
    def mode(self) -> str:
        """``"drawing"`` while a stroke is open, else ``"idle"``."""
        return "drawing" if self._stroke else "idle"

    def open(self, document: Document | None) -> None:
        """Work on another image; an open stroke is given up."""
        self.cancel()
        self._finished = []
        self.document = document

    def cancel(self) -> None:
        """Give up the open stroke."""
        self._pressed = None
        if self._stroke:
            self._end()

    def handle(self, event: PointerEvent) -> bool:
        """React to what the pointer did; True where nobody else should."""
        if self.document is None:
            return False
        if event.kind == "move":
            return self._move(event)
        if event.kind == "press":
            return self._press(event)
        return self._release(event)

    def finish(self) -> None:
        """Make one cell of all strokes that were drawn (Enter, where a stroke alone makes none)."""
        document, strokes = self.document, self._finished
        self._finished = []
        if document is None or not strokes:
            return
        self._add([point for stroke in strokes for point in stroke])

    def _press(self, event: PointerEvent) -> bool:
        drawing = bool(self._stroke)
        starts = event.button == "right" or (event.button == "left" and event.shift)
        if starts and drawing:
            self._close()
        elif starts and not self._meant_to_end(event):
            self._start(event)
        elif event.button == "left" and not drawing:
            self._pressed = event
            return event.ctrl or event.alt  # without a key a drag pans
        return starts or drawing

    def _move(self, event: PointerEvent) -> bool:
        if not self._stroke:
            return False
        place = (float(np.floor(event.y)), float(np.floor(event.x)))
        if place == self._stroke[-1]:
            return True
        self._stroke.append(place)
        start, brush = self._stroke[0], self._view.brush
        away = hypot(place[0] - start[0], place[1] - start[1])
        self._left_start = self._left_start or away > max(6, 3 * brush)
        if self._left_start and away <= max(3, 1.8 * brush):
            self._closed = (self._clock(), *event.screen)
            self._close()
        else:
            self.stroke_changed.emit(self._stroke)
        return True

    def _release(self, event: PointerEvent) -> bool:
        pressed, self._pressed = self._pressed, None
        if event.button == "right":
            return True
        if pressed is None or hypot(*np.subtract(event.screen, pressed.screen)) > _CLICK_PX:
            return False
        self._click(pressed)
        return pressed.ctrl or pressed.alt

    def _click(self, event: PointerEvent) -> None:
        document = self.document
        if document is None:
            return
        cell = document.labels.at(self._view.plane, int(np.floor(event.y)), int(np.floor(event.x)))
        if not self._view.masks_on and not self._view.outlines_on:
            cell = 0
        if event.ctrl:
            if cell:
                document.do(operations.delete, [cell])
        elif event.alt:
            chosen = sorted(document.selection - {cell})
            if cell and chosen:
                document.do(operations.merge, [*chosen, cell])
                document.select(chosen[:1])
        elif cell in document.selection and len(document.selection) == 1:
            document.select([])
        else:
            document.select([cell])

    def _meant_to_end(self, event: PointerEvent) -> bool:
        """Whether a right click is the end of a stroke that just closed by itself."""
        if self._closed is None:
            return False
        when, *where = self._closed
        self._closed = None
        near = hypot(*np.subtract(event.screen, where)) <= _SAME_CLICK_PX
        return near and self._clock() - when <= _SAME_CLICK_S

    def _start(self, event: PointerEvent) -> None:
        self._stroke = [(float(np.floor(event.y)), float(np.floor(event.x)))]
        self._left_start = False
        self.stroke_changed.emit(self._stroke)
        self.mode_changed.emit("drawing")

    def _end(self) -> list[tuple[float, float]]:
        stroke, self._stroke = self._stroke, []
        self.stroke_changed.emit([])
        self.mode_changed.emit("idle")
        return stroke

    def _close(self) -> None:
        stroke = self._end()
        if self._view.single_stroke:
            self._add(stroke)
        else:
            self._finished.append(stroke)

    def _add(self, stroke: list[tuple[float, float]]) -> None:
        document = self.document
        if document is None:
            return
        points, shape = np.array(stroke), document.labels.shape
        try:
            inside, mask = outlined(points, shape, self._view.plane)
            path_box, path = painted(points, 1, shape, self._view.plane)
        except EditRefusedError as refused:
            document.told.emit(str(refused))
            return
        around = inside.joined(path_box)
        whole = np.zeros(around.shape, bool)
        whole[inside.within(around)] |= mask
        whole[path_box.within(around)] |= path
        document.do(operations.add_cell, around, whole)
