"""How the image is looked at: nothing here changes the image, its labels or what a network gets."""

from __future__ import annotations

from dataclasses import dataclass, field

from psygnal import SignalGroupDescriptor

__all__ = ["BRUSHES", "COLOR_MODES", "VIEWS", "ViewState"]

VIEWS = ("image", "gradXY", "cellprob", "restored")
COLOR_MODES = ("RGB", "red", "green", "blue", "gray", "spectral")
BRUSHES = (1, 3, 5, 7, 9)


@dataclass
class ViewState:
    """What is shown and how; each field has an event of its name in ``events``.

    Parameters
    ----------
    view
        Which picture is shown, of ``VIEWS``.
    color
        How its channels become colours, of ``COLOR_MODES``.
    plane
        The plane of a stack.
    masks_on, outlines_on
        Whether the inside and the outlines of cells are drawn.
    opacity
        Of the masks, 0 to 255.
    coloring, palette, cell_color
        What gives a cell its colour, of ``COLORINGS``; from which colours, of ``PALETTES``; that of the palette of one
        colour, ``"#rrggbb"``.
    outline_width, outlines_own, outline_color
        Of the outlines in pixels of the screen; whether each has the colour of its cell; else the colour of all.
    levels
        For three channels the levels that are shown as black and as white, 0 to 255.
    auto_levels
        Take the levels from percentiles of each image.
    brush
        Diameter of the pen in pixels.
    single_stroke
        A cell is made when a stroke closes; else by Enter, of all strokes.
    disk_on
        Whether a disk as large as the diameter is shown below the image.
    dark
        Whether the window is dark.
    """

    events = SignalGroupDescriptor()

    view: str = "image"
    color: str = "RGB"
    plane: int = 0
    masks_on: bool = True
    outlines_on: bool = False
    opacity: int = 128
    coloring: str = "number"
    palette: str = "many colours"
    cell_color: str = "#ffb000"
    outline_width: int = 1
    outlines_own: bool = False
    outline_color: str = "#c8c8ff"
    levels: list[tuple[float, float]] = field(default_factory=lambda: [(0.0, 255.0)] * 3)
    auto_levels: bool = True
    brush: int = 3
    single_stroke: bool = True
    disk_on: bool = True
    dark: bool = True
