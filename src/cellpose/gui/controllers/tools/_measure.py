"""Measuring a length with a line."""

from __future__ import annotations

from math import atan2, cos, degrees, hypot, pi, sin

import numpy as np

from cellpose.gui._texts import tr
from cellpose.gui.controllers.tools._drag import Drag, Points
from cellpose.gui.controllers.tools._tool import PointerEvent, Preview
from cellpose.gui.model._scale import in_words

__all__ = ["Measure"]

_TURN = pi / 4  # step of the angle with Shift


class Measure(Drag):
    """Drag a line: its length is shown beside it until the next line. Nothing is edited."""

    name = "measure"
    title = tr("Measure")
    hint = tr("drag a line; Shift: steps of 45°; Esc: remove it")
    own_shift = True

    def begins(self, event: PointerEvent) -> bool:
        """Whether a press starts a line: also with Shift."""
        return not (event.ctrl or event.alt)

    def moved(self, event: PointerEvent) -> None:
        """Show the line and its length."""
        self._show(self.path, event)

    def done(self, path: Points, pressed: PointerEvent, released: PointerEvent) -> None:
        """Keep the line; a click removes it."""
        if self.dragged:
            self._show(np.array([path[0], (released.y - 0.5, released.x - 0.5)]), released)

    def _show(self, path: Points, event: PointerEvent) -> None:
        document = self.context.document
        if document is None:
            return
        down, right = path[-1] - path[0]
        if event.shift:
            long, turn = hypot(down, right), round(atan2(down, right) / _TURN) * _TURN
            down, right = long * sin(turn), long * cos(turn)
        words = [tr("{hypot:.1f} px", hypot=hypot(down, right))]
        size = self.context.pixel_um()
        if size is not None:
            words.append(in_words(hypot(down * size[0], right * size[1])))
        line = np.array([path[0], path[0] + (down, right)])
        self.context.show(Preview(line, text="\n".join(words)))
        document.told.emit(", ".join([*words, f"{degrees(atan2(-down, right)) % 180:.0f}°"]))
