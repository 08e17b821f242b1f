"""The base of all tools."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.gui.controllers.tools._finder import FlowFinder
from cellpose.gui.model import Document, Edit, ViewState
from cellpose.gui.model._sections import XY, Section

__all__ = ["CLICK_PX", "TAKEN_BACK", "Change", "Context", "PointerEvent", "Preview", "Tool", "pixel"]

TAKEN_BACK = 12  # points of an open stroke removed by one undo
Change = Callable[[Document, Callable[..., Edit], Sequence[int]], Any]
CLICK_PX = 4.0  # screen pixels; a press and a release farther apart are a drag


@dataclass(frozen=True)
class PointerEvent:
    """An event of the pointer.

    Parameters
    ----------
    kind
        ``"press"``, ``"move"``, ``"release"``, ``"double"`` or ``"wheel"``.
    y, x
        Place in the image, in pixels.
    button
        ``"left"``, ``"right"``, ``"middle"``, or ``""`` for moves and the wheel.
    shift, ctrl, alt
        Keys held down.
    screen
        Place on the screen, in its pixels.
    steps
        Steps of the wheel; positive: away from the user.
    pressure
        Pressure of a pen on a tablet, 0 to 1; 1 for a mouse.
    eraser
        Whether the pen is turned around, with its eraser end on the tablet.
    axis
        Axis of the section under the pointer; see `Section`.
    """

    kind: str
    y: float
    x: float
    button: str = ""
    shift: bool = False
    ctrl: bool = False
    alt: bool = False
    screen: tuple[float, float] = (0.0, 0.0)
    steps: float = 0.0
    pressure: float = 1.0
    eraser: bool = False
    axis: int = XY


@dataclass(frozen=True, eq=False)
class Preview:
    """Preview that a tool shows over the image until it is done.

    Parameters
    ----------
    path
        Corners (n, 2) of a line, y and x in pixels.
    width
        Width of the line in pixels; 0: as thin as the screen allows.
    closed
        Whether the last corner is connected to the first.
    mask, corner
        Pixels that would change, bool (h, w), and the row and column of the first pixel.
    text
        Text beside the last corner of the line, for measuring lines.
    axis
        Axis of the section it lies in.
    """

    path: npt.NDArray[Any] = field(default_factory=lambda: np.zeros((0, 2)))
    width: float = 0.0
    closed: bool = False
    mask: npt.NDArray[np.bool_] | None = None
    corner: tuple[int, int] = (0, 0)
    text: str = ""
    axis: int = XY


@dataclass
class Context:
    """The environment of the tools.

    Parameters
    ----------
    view
        Display settings.
    show
        Shows a preview in place of the last one; None: hides it.
    clock
        Returns the time in seconds; replaced in tests.
    document
        The open image.
    pixel_um
        Height and width of a pixel in micrometers; None: unknown.
    finder
        Finds cells from the flows of the document.
    axis
        Axis of the section under the pointer.
    z_spacing
        Distance between planes, by which steps along 3D flows are shortened.
    background
        Runs a slow function in the background, then another one with its result.
    change
        Runs an operation on cells of a document, without blocking the window if they are many.
    """

    view: ViewState
    show: Callable[[Preview | None], None]
    clock: Callable[[], float]
    document: Document | None = None
    pixel_um: Callable[[], tuple[float, float] | None] = lambda: None
    finder: FlowFinder = field(default_factory=FlowFinder)
    axis: int = XY
    z_spacing: Callable[[], float] = lambda: 1.0
    background: Callable[[Callable[[], Any], Callable[[Any], None]], None] = lambda work, done: done(work())

    @property
    def section(self) -> Section:
        """The section of the volume under the pointer."""
        return Section.seen(self.view, self.axis)

    def cell_at(self, event: PointerEvent) -> int:
        """The cell under the pointer; 0: none."""
        return 0 if self.document is None else self.document.labels.at(*self.section.voxel(*pixel(event)))

    change: Change = lambda document, operation, cells: document.do(operation, cells)


class Tool:
    """A way to use the pointer. Events it does not handle go on to selecting, panning and zooming.

    Parameters
    ----------
    context
        Its environment.
    """

    name = ""
    title = ""
    hint = ""
    own_shift = False  # it uses Shift+left button, which then begins no outline
    own_clicks = False  # clicks it does not handle do not select cells
    in_sections = False  # it also works in sections other than XY
    modal = False  # it gets all events while it is chosen; Enter and Escape end it

    def __init__(self, context: Context) -> None:
        self.context = context

    @property
    def is_busy(self) -> bool:
        """Whether it is in the middle of an action that Escape would cancel."""
        return False

    @property
    def hint_now(self) -> str:
        """The part of the hint for the status bar that matters at the moment."""
        return self.hint

    def handle(self, event: PointerEvent) -> bool:
        """Handle an event of the pointer; True if the event is used up."""
        return False

    def cancel(self) -> None:
        """Cancel unfinished work and hide its preview."""

    def let_go(self) -> None:
        """Cancel the gesture in progress, because the window lost the pointer or the keyboard."""
        self.cancel()

    def take_back(self) -> bool:
        """Undo part of unfinished work; return whether there was something to undo."""
        self.let_go()
        return True

    def refresh(self) -> None:
        """Drop what was prepared, because the labels or the flows changed."""

    def finish(self) -> None:
        """Complete the prepared action (Enter)."""


def pixel(event: PointerEvent) -> tuple[int, int]:
    """The pixel under the pointer, (y, x)."""
    return int(np.floor(event.y)), int(np.floor(event.x))
