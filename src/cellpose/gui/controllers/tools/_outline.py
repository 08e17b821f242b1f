"""Outlining cells: right click, move around the cell, right click again or return to the start."""

from __future__ import annotations

from math import hypot

import numpy as np

from cellpose.errors import EditRefusedError
from cellpose.gui._texts import tr
from cellpose.gui.controllers.tools._tool import TAKEN_BACK, Context, PointerEvent, Preview, Tool
from cellpose.gui.model import Box, Document
from cellpose.gui.model import _operations as operations
from cellpose.gui.model._box import Mask
from cellpose.gui.model._morphing import filled_between
from cellpose.gui.model._sections import Section
from cellpose.gui.model._snapping import snapped
from cellpose.gui.model._strokes import outlined, painted

__all__ = ["Outline"]

Stroke = list[tuple[float, float]]

# A right click this soon and this near after a stroke closed by itself was meant to end that stroke.
_SAME_CLICK_S, _SAME_CLICK_PX = 0.3, 10.0


class Outline(Tool):
    """Draws outlines. It works alongside every other tool, because it alone uses the right button."""

    name = "outline"
    in_sections = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._stroke: Stroke = []
        self._section = context.section  # section of the open stroke
        self._finished: list[tuple[Stroke, Section]] = []
        self._left_start = False
        self._closed: tuple[float, PointerEvent, tuple[float, float]] | None = None  # when, where, and its start

    @property
    def is_busy(self) -> bool:
        """Whether a stroke is open."""
        return bool(self._stroke)

    @property
    def n_waiting(self) -> int:
        """How many strokes wait for Enter."""
        return len(self._finished)

    @property
    def waiting(self) -> tuple[Preview, ...]:
        """Previews of the strokes that wait for Enter on the visible planes."""
        view = self.context.view
        return tuple(
            Preview(np.array(stroke), view.brush, axis=section.axis)
            for stroke, section in self._finished
            if section == Section.seen(view, section.axis)
        )

    def handle(self, event: PointerEvent) -> bool:
        """Start, draw and close strokes."""
        if event.kind == "move":
            return self._move(event)
        if event.kind == "press":
            return self._press(event)
        return event.button == "right" and event.kind in ("release", "double")

    def cancel(self) -> None:
        """Cancel the open stroke."""
        if self._stroke:
            self._end()

    def forget(self) -> None:
        """Cancel all strokes."""
        self.cancel()
        self._finished = []

    def _leaving(self) -> float:
        """Distance from its start, in pixels, that a stroke must reach before it can close."""
        return max(6.0, 3.0 * self.context.view.brush)

    def take_back(self) -> bool:
        """Undo the end of the open stroke, or the last stroke that waits for Enter; return whether there was one."""
        if len(self._stroke) > TAKEN_BACK:
            del self._stroke[-TAKEN_BACK:]
            away = np.hypot(*(np.array(self._stroke) - self._stroke[0]).T)
            self._left_start = bool(away.max() > self._leaving())
            self._show()
        elif self._stroke:
            self.cancel()
        elif self._finished:
            self._finished.pop()
        else:
            return False
        return True

    def finish(self) -> None:
        """Make one cell from all waiting strokes; the planes between drawn planes are filled.

        In a movie, each drawn frame gets its own cell.
        """
        strokes, self._finished = self._finished, []
        planes: dict[Section, Stroke] = {}
        for stroke, section in strokes:
            planes.setdefault(section, []).extend(stroke)
        if len(planes) == 1:
            section, outline = next(iter(planes.items()))
            self._add(outline, section)
        elif self.context.document is not None and self.context.document.is_movie:
            for section, outline in planes.items():
                self._add(outline, section)  # one cell per frame
        elif planes:
            self._add_through(planes)

    def _press(self, event: PointerEvent) -> bool:
        starts = event.button == "right" or (event.button == "left" and event.shift and not event.ctrl)
        if not starts:
            return self.is_busy
        if self._stroke:
            self._close()
        elif not self._meant_to_end(event):
            self._start(event)
        return True

    def _move(self, event: PointerEvent) -> bool:
        if not self._stroke:
            return False
        place = (float(np.floor(event.y)), float(np.floor(event.x)))
        if place == self._stroke[-1]:
            return True
        self._stroke.append(place)
        start = self._stroke[0]
        away = hypot(place[0] - start[0], place[1] - start[1])
        self._left_start = self._left_start or away > self._leaving()
        if self._left_start and away <= self._closing():
            self._closed = (self.context.clock(), event, start)
            self._close()
        else:
            self._show()
        return True

    def _meant_to_end(self, event: PointerEvent) -> bool:
        """Whether a right click was meant to end a stroke that just closed by itself."""
        if self._closed is None:
            return False
        when, where, start = self._closed
        self._closed = None
        near = hypot(*np.subtract(event.screen, where.screen)) <= _SAME_CLICK_PX
        at_start = hypot(event.y - start[0], event.x - start[1]) <= self._closing()
        return (near or at_start) and self.context.clock() - when <= _SAME_CLICK_S

    def _closing(self) -> float:
        """Distance from its start, in pixels, within which a stroke closes."""
        return max(3.0, 1.8 * self.context.view.brush)

    def _start(self, event: PointerEvent) -> None:
        self._stroke, self._section = [(float(np.floor(event.y)), float(np.floor(event.x)))], self.context.section
        self._left_start = False
        self._show()

    def _show(self) -> None:
        self.context.show(Preview(np.array(self._stroke), self.context.view.brush))

    def _end(self) -> Stroke:
        stroke, self._stroke = self._stroke, []
        self.context.show(None)
        return stroke

    def _close(self) -> None:
        stroke = self._end()
        if self.context.view.single_stroke:
            self._add(stroke, self._section)
        else:
            self._finished.append((stroke, self._section))

    def _add(self, stroke: Stroke, section: Section) -> None:
        """Make a cell from one outline."""
        document = self.context.document
        if document is None:
            return
        try:
            box, mask = _enclosed(stroke, section, document)
        except EditRefusedError as refused:
            document.told.emit(str(refused))
            return
        box, mask = section.lift(box, mask)
        if self.context.view.snap and not document.is_volume:
            box, mask = self._snapped(document, box, mask)
        document.do(operations.add_cell, box, mask, over_others=not self.context.view.preserve)

    def _add_through(self, planes: dict[Section, Stroke]) -> None:
        """Make a cell from outlines on several planes, with the planes between them filled."""
        document = self.context.document
        if document is None:
            return
        if len({section.axis for section in planes}) > 1:
            document.told.emit(tr("draw the outlines of one cell in one of the views; it was not drawn"))
            return
        try:
            drawn = {section.place: _enclosed(stroke, section, document) for section, stroke in planes.items()}
        except EditRefusedError as refused:
            document.told.emit(str(refused))
            return
        box, mask = next(iter(planes)).lift(*filled_between(drawn))
        document.do(operations.add_cell, box, mask, over_others=not self.context.view.preserve)

    def _snapped(self, document: Document, box: Box, mask: Mask) -> tuple[Box, Mask]:
        """The cell predicted by the flows in place of the drawn one, or the drawn one unchanged."""
        finder, plane = self.context.finder, self.context.view.plane
        if not finder.knows(document, plane):
            document.told.emit(tr("kept as drawn: there are no flows to snap to; run the network first"))
            return box, mask
        found, overlap = snapped(box, mask, lambda y, x: finder.at(document, plane, y, x, 0.0))
        if found is None:
            document.told.emit(
                tr("kept as drawn: the flows tell of another cell there (overlap {overlap:.2f})", overlap=overlap)
            )
        return found or (box, mask)


def _enclosed(stroke: Stroke, section: Section, document: Document) -> tuple[Box, Mask]:
    """The area enclosed by a stroke, including the pixels under it, as displayed; raises `EditRefusedError`."""
    points, shape = np.array(stroke), section.shape(document.labels.shape)
    inside, mask = outlined(points, shape, section.place)
    path_box, path = painted(points, 1, shape, section.place)
    around = inside.joined(path_box)
    whole = np.zeros(around.shape, bool)
    whole[inside.within(around)] |= mask
    whole[path_box.within(around)] |= path
    return around, whole
