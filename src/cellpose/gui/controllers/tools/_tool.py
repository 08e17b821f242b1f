"""What all tools have in common."""

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

TAKEN_BACK = 12  # points of an open stroke, by one undo
Change = Callable[[Document, Callable[..., Edit], Sequence[int]], Any]
CLICK_PX = 4.0  # of the screen; a press and a release farther apart are a drag


@dataclass(frozen=True)
class PointerEvent:
    """What the pointer did.

    Parameters
    ----------
    kind
        ``"press"``, ``"move"``, ``"release"``, ``"double"`` or ``"wheel"``.
    y, x
        Place in the image, in pixels.
    button
        ``"left"``, ``"right"``, ``"middle"``, or ``""`` for moves and the wheel.
    shift, ctrl, alt
        Keys that are held.
    screen
        Place on the screen, in its pixels.
    steps
        Of the wheel; positive: away from the user.
    pressure
        Of a pen on a tablet, 0 to 1; 1 for a mouse.
    eraser
        Whether a pen is turned round, so that its other end touches the tablet.
    axis
        Of the section that it points into; see `Section`.
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
    """What a tool shows above the image until it is done.

    Parameters
    ----------
    path
        Corners (n, 2) of a line, y and x in pixels.
    width
        Of the line in pixels; 0: as thin as the screen can show.
    closed
        Whether the last corner is joined to the first.
    mask, corner
        Pixels that would change, bool (h, w), and the row and column of the first.
    text
        Beside the last corner of the line, which then is one that measures.
    axis
        Of the section that it lies in.
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
    """What tools work with.

    Parameters
    ----------
    view
        How the image is looked at.
    show
        Shows a preview in place of the last one; None: nothing.
    clock
        Seconds; for tests.
    document
        The open image.
    pixel_um
        Height and width of a pixel in micrometres; None: unknown.
    finder
        Of cells, by its flows.
    axis
        Of the section that the pointer is in.
    z_spacing
        Distance of planes by which steps along 3D flows are shortened.
    background
        Runs a function that takes its time elsewhere, then another with its result.
    change
        Runs an operation on cells of a document, without holding up the window where they are many.
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
        """The plane of the volume that the pointer is in."""
        return Section.seen(self.view, self.axis)

    def cell_at(self, event: PointerEvent) -> int:
        """The cell under the pointer; 0: none."""
        return 0 if self.document is None else self.document.labels.at(*self.section.voxel(*pixel(event)))

    change: Change = lambda document, operation, cells: document.do(operation, cells)


class Tool:
    """A way to use the pointer. Events that it does not want go to the next: selecting, panning, zooming.

    Parameters
    ----------
    context
        What it works with.
    """

    name = ""
    title = ""
    hint = ""
    own_shift = False  # Shift and the left button are its own, and begin no outline
    own_clicks = False  # clicks that it does not take do not select cells
    in_sections = False  # it can be used in other sections than the plane
    modal = False  # it gets all events while it is chosen; Enter and Escape end it

    def __init__(self, context: Context) -> None:
        self.context = context

    @property
    def is_busy(self) -> bool:
        """Whether it is in the middle of something that Escape would give up."""
        return False

    def handle(self, event: PointerEvent) -> bool:
        """Handle an event of the pointer; True if it is done with."""
        return False

    def cancel(self) -> None:
        """Give up what is not finished, and show nothing more of it."""

    def let_go(self) -> None:
        """The window lost the pointer or the keys: give up what a hand is in the middle of."""
        self.cancel()

    def take_back(self) -> bool:
        """Undo inside of what is unfinished; whether there was something."""
        self.let_go()
        return True

    def refresh(self) -> None:
        """The labels or the flows are others now: what was prepared from them is no longer true."""

    def finish(self) -> None:
        """Do what was prepared (Enter)."""


def pixel(event: PointerEvent) -> tuple[int, int]:
    """The pixel under the pointer, (y, x)."""
    return int(np.floor(event.y)), int(np.floor(event.x))
