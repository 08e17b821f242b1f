"""Dispatch of pointer events: first to the outline (right button), then to the chosen tool, then to clicks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from weakref import ref

from psygnal import Signal

from cellpose.gui._texts import tr
from cellpose.gui.controllers.tools._brush import Brush, Eraser
from cellpose.gui.controllers.tools._choose import BoxSelect, Lasso, MergeBox
from cellpose.gui.controllers.tools._classify import Classify
from cellpose.gui.controllers.tools._click import Click
from cellpose.gui.controllers.tools._cut import Cut
from cellpose.gui.controllers.tools._ignore import Ignore
from cellpose.gui.controllers.tools._link import Link
from cellpose.gui.controllers.tools._measure import Measure
from cellpose.gui.controllers.tools._outline import Outline
from cellpose.gui.controllers.tools._region import RunRegion
from cellpose.gui.controllers.tools._remove import RemoveMany
from cellpose.gui.controllers.tools._select import Select
from cellpose.gui.controllers.tools._tool import Change, Context, PointerEvent, Preview, Tool
from cellpose.gui.model import Document, ViewState
from cellpose.gui.model._regions import Rectangle
from cellpose.gui.model._sections import XY

__all__ = ["Pointer"]


class Pointer:
    """The tools, one of them chosen.

    Parameters
    ----------
    view
        Display settings: plane, brush, whether cells are visible.
    clock
        Returns the time in seconds; replaced in tests.
    pixel_um
        Height and width of a pixel in micrometers; None: unknown.
    change
        Runs an operation on cells of a document; None: at once.
    background, z_spacing
        As in `Context`.

    Attributes
    ----------
    preview_changed : Signal(object)
        The `Preview` to show, or None.
    waiting_changed : Signal(object)
        The strokes that wait for Enter, a tuple of `Preview`.
    mode_changed : Signal(str)
        The current activity for the status bar: ``"drawing"`` while a stroke is open, else the tool.
    """

    preview_changed = Signal(object)
    waiting_changed = Signal(object)
    mode_changed = Signal(str)

    def __init__(
        self,
        view: ViewState,
        clock: Callable[[], float] = time.monotonic,
        pixel_um: Callable[[], tuple[float, float] | None] = lambda: None,
        change: Change | None = None,
        background: Callable[[Callable[[], Any], Callable[[Any], None]], None] = lambda work, done: done(work()),
        z_spacing: Callable[[], float] = lambda: 1.0,
    ) -> None:
        self._context = Context(view, self._show, clock, pixel_um=pixel_um, background=background, z_spacing=z_spacing)
        if change is not None:
            self._context.change = change
        self._outline = Outline(self._context)
        self._select = Select(self._context)
        self.removal = RemoveMany(self._context)
        drawing = Click(self._context), Brush(self._context), Eraser(self._context), Cut(self._context)
        choosing = Lasso(self._context), BoxSelect(self._context), MergeBox(self._context)
        self._classify = Classify(self._context)
        self.run_region = RunRegion(self._context)
        others = Measure(self._context), self._classify, self.run_region, Ignore(self._context), Link(self._context)
        tools: list[Tool] = [self._select, self.removal, *drawing, *choosing, *others]
        self.tools = {tool.name: tool for tool in tools}
        self._tool: Tool = self._select
        self._laid: Tool | None = None  # the tool in use before the pen was turned around
        self._mode = "select"
        self._n_waiting = 0  # number of strokes shown
        for event in (view.events.plane, view.events.cross):
            event.connect(lambda _: self._show_waiting())
        view.events.plane.connect(lambda _: self._refresh(self._context.document))

    @property
    def tool(self) -> str:
        """Name of the chosen tool."""
        return self._tool.name

    def _show_waiting(self) -> None:
        """Show the waiting strokes of the plane in view."""
        if self._n_waiting:
            self.waiting_changed.emit(self._outline.waiting)

    @property
    def axis(self) -> int:
        """Axis of the section being drawn in."""
        return self._context.axis

    @property
    def mode(self) -> str:
        """``"drawing"`` while something is unfinished, else the name of the tool."""
        busy = self._outline.is_busy or self._tool.is_busy
        return "drawing" if busy else self._tool.name

    @property
    def is_outlining(self) -> bool:
        """Whether the outline of a cell is open."""
        return self._outline.is_busy

    @property
    def words(self) -> tuple[str, str]:
        """The current activity, and how to continue or end it, as text."""
        tool = self._tool
        if self._outline.is_busy:
            return tr("drawing"), tr("right click ends, Esc gives up")
        if self._outline.n_waiting and not tool.is_busy:
            return tr("strokes wait"), tr("Enter makes a cell of them, Esc gives them up")
        if tool.is_busy and not tool.modal:
            return tool.title, tr("let go to end, Esc gives up")
        return tool.title, tool.hint_now

    def choose(self, name: str) -> None:
        """Choose a tool; unfinished work is canceled. Choosing the same tool again puts it down."""
        before = (self._laid or self._tool).name
        self.cancel()
        self._tool = self._select if name == before else self.tools[name]
        self._tell()

    def classify(self, kind: int, called: str) -> None:
        """Let clicks assign a class from now on; choosing the same class again ends this."""
        again = self._tool is self._classify and self._classify.kind == kind
        self._classify.use(kind, called)
        if again or self._tool is not self._classify:
            self.choose(self._classify.name)
        else:
            self.mode_changed.emit(self._mode)

    def remove_by(self, how: str, seen: Rectangle) -> None:
        """Choose cells to remove together: by ``"click"``, by a ``"region"`` in the part seen, or by ``"lasso"``."""
        if self._tool is not self.removal:
            self.choose(self.removal.name)
        if how == "region":
            self.removal.show_region(seen)
        elif how == "lasso":
            self.removal.use_lasso()
        self.mode_changed.emit(self._mode)  # the words changed

    def open(self, document: Document | None) -> None:
        """Switch to another image; unfinished work is canceled."""
        self._outline.forget()
        self.cancel()
        self._context.document = document
        if document is not None:
            there = ref(document)  # a strong reference would keep it alive
            document.flows_changed.connect(lambda: self._refresh(there()))
            document.changed.connect(lambda _: self._refresh(there()))

    def cancel(self) -> None:
        """Cancel unfinished work."""
        for tool in (self._outline, self._tool, self._select):
            tool.cancel()
        self._end_modal()
        self._tell()

    def escape(self) -> bool:
        """Cancel unfinished work or, if there is none, put down the tool; return whether there was either."""
        if self._outline.is_busy or self._tool.is_busy:
            self.let_go()
        elif self._outline.n_waiting:
            self._outline.forget()
            self._tell()
        elif self._tool is not self._select:
            self.choose("select")
        else:
            return False
        return True

    def let_go(self) -> None:
        """Stop drags when the window loses focus. Cells chosen for removal stay chosen."""
        for tool in (self._outline, self._tool, self._select):
            tool.let_go()
        self._tell()

    def leave(self) -> None:
        """The pointer left the image: hide the preview under it."""
        if not (self._outline.is_busy or self._tool.is_busy or self._tool.modal):
            self._show(None)

    def take_back(self) -> bool:
        """Undo the last points of an open stroke, or a stroke waiting for Enter; return whether there was one."""
        taken = self._tool.take_back() if self._tool.is_busy else self._outline.take_back()
        self._tell()
        return taken

    def finish(self) -> None:
        """Make a cell from the waiting strokes."""
        self._outline.finish()
        self._tool.finish()
        self._end_modal()
        self._tell()

    def handle(self, event: PointerEvent) -> bool:
        """Handle a pointer event; True if the view should not pan or zoom."""
        if self._context.document is None:
            return False
        free = not (self._outline.is_busy or self._tool.is_busy or self._tool.modal)
        if event.axis != self._context.axis:
            if not free:
                return event.kind != "wheel"  # an action begun in one view does not continue in another
            self._show(None)
            self._context.axis = event.axis
        if event.axis != XY and not self._tool.in_sections:
            return event.kind != "wheel" and event.button == "right"
        if event.eraser and event.kind == "press" and free:
            self._tool.cancel()
            self._laid, self._tool = self._tool, self.tools["eraser"]
        taken = self._taken(event)
        self._tell()
        return taken

    def _refresh(self, document: Document | None) -> None:
        """Update the tools after the labels or the flows changed."""
        if document is self._context.document:
            self._tool.refresh()

    def _end_modal(self) -> None:
        if self._tool.modal:
            self._tool = self._select

    def _taken(self, event: PointerEvent) -> bool:
        if self._tool.modal:
            return self._tool.handle(event)
        if self._outline.is_busy or (event.kind == "press" and not self._tool.is_busy):
            own = event.button == "left" and event.shift and self._tool.own_shift and not self._outline.is_busy
            if not own and self._outline.handle(event):
                return True
        elif event.button == "right":
            return True
        if self._tool.handle(event):
            return True
        if self._tool is self._select or self._tool.is_busy or self._tool.own_clicks:
            return False
        return self._select.handle(event)

    def _show(self, preview: Preview | None) -> None:
        self.preview_changed.emit(preview)

    def _tell(self) -> None:
        if self._laid is not None and not self._tool.is_busy:
            self._tool, self._laid = self._laid, None  # the eraser of the pen is done, one way or another
        n = self._outline.n_waiting
        if self.mode != self._mode or n != self._n_waiting:
            self._mode = self.mode
            self.mode_changed.emit(self._mode)  # also if only the words changed
        if n != self._n_waiting:
            self._n_waiting = n
            self.waiting_changed.emit(self._outline.waiting)
