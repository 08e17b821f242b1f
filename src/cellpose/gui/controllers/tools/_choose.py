"""Acting on many cells: selecting by a lasso or a box, or merging by a box."""

from __future__ import annotations

from cellpose.gui._texts import tr
from cellpose.gui.controllers.tools._drag import Drag, Points, around, corners
from cellpose.gui.controllers.tools._tool import Context, PointerEvent, Preview, pixel
from cellpose.gui.model import _operations as operations
from cellpose.gui.model._regions import cells_inside, cells_touched

__all__ = ["BoxSelect", "Lasso", "MergeBox"]


class Chooser(Drag):
    """A drag selects; with Shift it adds to the selection, with Alt it removes. Clicks do the same with one cell."""

    own_shift = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._before: frozenset[int] | None = None

    def begins(self, event: PointerEvent) -> bool:
        """Whether a press starts a selection: also with Shift and Alt, not with Ctrl (delete)."""
        if event.ctrl or self.context.document is None:
            return False
        self._before = self.context.document.selection
        return True

    def cancel(self) -> None:
        """Restore the previous selection."""
        before, document, self._before = self._before, self.context.document, None
        if self.is_busy and before is not None and document is not None:
            document.select(before)
        super().cancel()

    def moved(self, event: PointerEvent) -> None:
        """Show the line, and which cells a release would select."""
        if self._pressed is not None:
            self.context.show(Preview(self.line(self.path, self._pressed, event), closed=True))
            self._choose(self.path, self._pressed, event)

    def done(self, path: Points, pressed: PointerEvent, released: PointerEvent) -> None:
        """Select; a click selects the cell under it."""
        self._choose(path, pressed, released)
        self._before = None

    def line(self, path: Points, pressed: PointerEvent, event: PointerEvent) -> Points:
        """Corners (n, 2) of the line to show."""
        raise NotImplementedError

    def cells(self, path: Points, pressed: PointerEvent, event: PointerEvent) -> set[int]:
        """Numbers of the cells covered by the drag."""
        raise NotImplementedError

    def _choose(self, path: Points, pressed: PointerEvent, event: PointerEvent) -> None:
        document, before = self.context.document, self._before or frozenset()
        if document is None:
            return
        if not self.dragged:
            under = document.labels.at(self.context.view.plane, *pixel(pressed))
            found = {under} if under else set()
            if pressed.shift:
                document.select(before ^ found)
                return
        else:
            found = self.cells(path, pressed, event)
        document.select(before | found if pressed.shift else before - found if pressed.alt else found)


class Lasso(Chooser):
    """Selects the cells inside a drawn line."""

    name = "lasso"
    title = tr("Select by lasso")
    hint = tr("drag around cells: select them; Shift: add; Alt: remove; Shift+click: add or remove one")

    def line(self, path: Points, pressed: PointerEvent, event: PointerEvent) -> Points:
        """The path."""
        return path

    def cells(self, path: Points, pressed: PointerEvent, event: PointerEvent) -> set[int]:
        """The cells with more than half of their area inside."""
        document = self.context.document
        return cells_inside(document.labels, self.context.view.plane, path) if document else set()


class BoxSelect(Chooser):
    """Selects the cells that a rectangle touches."""

    name = "box"
    title = tr("Select by a box")
    hint = tr("drag over cells: select all that the box touches; Shift: add; Alt: remove")

    def line(self, path: Points, pressed: PointerEvent, event: PointerEvent) -> Points:
        """The rectangle."""
        return around(pressed, event)

    def cells(self, path: Points, pressed: PointerEvent, event: PointerEvent) -> set[int]:
        """The cells touched by the rectangle."""
        document = self.context.document
        return cells_touched(document.labels, self.context.view.plane, corners(pressed, event)) if document else set()


class MergeBox(BoxSelect):
    """Merges all cells touched by a rectangle, keeping the lowest number; they are selected until the release."""

    name = "merge_box"
    title = tr("Merge by a box")
    hint = tr("drag a box over the cells that should be one; Esc: cancel")
    own_shift = False

    def begins(self, event: PointerEvent) -> bool:
        """Whether a press starts a box: only without keys."""
        return not (event.shift or event.alt) and super().begins(event)

    def done(self, path: Points, pressed: PointerEvent, released: PointerEvent) -> None:
        """Merge; a click selects, as without a tool."""
        super().done(path, pressed, released)
        document = self.context.document
        if document is None or not self.dragged:
            return
        cells = sorted(document.selection)
        if len(cells) < 2:
            document.told.emit(tr("the box touches {n} cell; drag it over at least two", n=len(cells) or tr("no")))
        else:
            self.context.change(document, operations.merge, cells)
