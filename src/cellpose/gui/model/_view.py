"""How the image is looked at: nothing here changes the image, its labels or what a network gets."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from psygnal import SignalGroupDescriptor

from cellpose.gui._texts import mark

__all__ = [
    "ALL_COLOR_MODES",
    "BRUSHES",
    "COLOR_MAPS",
    "COLOR_MODES",
    "CORNERS",
    "LAYOUTS",
    "THEMES",
    "USUAL_COLORS",
    "VIEWS",
    "ChannelLook",
    "ViewState",
]

VIEWS = (mark("image"), "gradXY", "cellprob", "gradZ", mark("restored"))
COLOR_MODES = ("RGB", mark("red"), mark("green"), mark("blue"), mark("gray"), mark("spectral"))
COLOR_MAPS = (mark("inverted gray"), "viridis", "magma", "inferno", "cividis")  # of the mean of the channels
ALL_COLOR_MODES = (*COLOR_MODES, mark("composite"), *COLOR_MAPS)
USUAL_COLORS = ("#ff0000", "#00ff00", "#0000ff", "#ffffff", "#00ffff", "#ff00ff", "#ffff00", "#ff8000")
THEMES = ("system", mark("dark"), mark("light"))
CORNERS = ("bottom right", "bottom left", "top left", "top right")
BRUSHES = (1, 3, 5, 7, 9)
LAYOUTS = (mark("one plane"), mark("three views"), mark("thin slices"))


@dataclass(frozen=True)
class ChannelLook:
    """How a channel is shown.

    Parameters
    ----------
    color
        ``"#rrggbb"``, in the composite.
    on
        Whether it is seen at all.
    gamma
        Exponent of the brightness: below 1 what is dark becomes brighter.
    """

    color: str
    on: bool = True
    gamma: float = 1.0


@dataclass
class ViewState:
    """What is shown and how; each field has an event of its name in ``events``.

    Parameters
    ----------
    view
        Which picture is shown, of ``VIEWS``.
    color
        How its channels become colours, of ``ALL_COLOR_MODES``; keys go through ``COLOR_MODES``.
    plane
        The plane of a volume.
    compare
        Whether the image is shown left of a divider, and what was restored right of it.
    divider
        Where that is, as a share of the width of the view.
    layout
        How much of a volume is seen, of ``LAYOUTS``: the plane alone, or with it the sections XZ and YZ, whole or thin.
    cross
        Row and column of the cross-hairs, through which the sections go.
    dz
        Planes above and below the plane that thin sections show.
    z_aspect
        Distance of planes in pixels.
    masks_on, outlines_on
        Whether the inside and the outlines of cells are drawn.
    opacity
        Of the masks, 0 to 255.
    coloring, palette, cell_color
        What gives a cell its colour, of ``COLORINGS``; from which colours, of ``PALETTES``; that of the palette of one
        colour, ``"#rrggbb"``.
    outline_width, outlines_own, outline_color
        Of the outlines in pixels of the screen; whether each has the colour of its cell; else the colour of all.
    class_colors
        ``"#rrggbb"`` of the classes 1, 2, ..., for the colouring by classes.
    tails_on, tail_frames
        Of a movie: whether the ways of the cells are drawn as lines, and of how many frames before.
    playing, frames_per_s
        Whether a movie goes on by itself, and how fast.
    isolated
        Numbers of the cells that alone are seen; empty: all are.
    levels
        For each channel, at least three, the levels that are shown as black and as white, 0 to 255.
    channels
        How each channel is shown besides; of those behind the end the usual, see `channel`.
    auto_levels
        Take the levels from percentiles of each image.
    brush
        Diameter of the pen in pixels.
    pressure
        Whether the pressure of a pen on a tablet scales the brush.
    ball
        In volumes the brush is a ball, which goes through several planes.
    single_stroke
        A cell is made when a stroke closes; else by Enter, of all strokes.
    preserve
        Drawing and painting leave the pixels of other cells alone; else they take them.
    snap
        A drawn outline becomes the cell that the flows tell of there, if they tell of about the same.
    disk_on
        Whether a disk as large as the diameter is shown below the image.
    scale_bar_on, scale_bar_color, scale_bar_corner
        The scale bar, its colour ``"#rrggbb"`` and its place, of ``CORNERS``.
    minimap_on
        Whether a small picture of the whole is shown while a part is seen.
    full_screen
        Whether the window covers the screen.
    theme, dark
        Which the user wants, of ``THEMES``, and whether the window is dark, which follows.
    """

    events = SignalGroupDescriptor()

    view: str = "image"
    color: str = "RGB"
    plane: int = 0
    compare: bool = False
    divider: float = 0.5
    layout: str = "one plane"
    cross: tuple[int, int] = (0, 0)
    dz: int = 10
    z_aspect: float = 1.0
    masks_on: bool = True
    outlines_on: bool = False
    opacity: int = 128
    coloring: str = "number"
    palette: str = "many colours"
    cell_color: str = "#ffb000"
    outline_width: int = 1
    outlines_own: bool = False
    outline_color: str = "#c8c8ff"
    class_colors: tuple[str, ...] = ()
    tails_on: bool = True
    tail_frames: int = 10
    playing: bool = False
    frames_per_s: float = 8.0
    isolated: frozenset[int] = frozenset()
    levels: list[tuple[float, float]] = field(default_factory=lambda: [(0.0, 255.0)] * 3)
    channels: tuple[ChannelLook, ...] = ()
    auto_levels: bool = True
    brush: int = 3
    pressure: bool = False
    ball: bool = False
    single_stroke: bool = True
    preserve: bool = True
    snap: bool = False
    disk_on: bool = True
    scale_bar_on: bool = True
    scale_bar_color: str = "#ffffff"
    scale_bar_corner: str = "bottom right"
    minimap_on: bool = True
    full_screen: bool = False
    theme: str = "system"
    dark: bool = True

    def channel(self, number: int) -> ChannelLook:
        """How a channel is shown."""
        if number < len(self.channels):
            return self.channels[number]
        return ChannelLook(USUAL_COLORS[number % len(USUAL_COLORS)])

    def set_channel(self, number: int, **changed: Any) -> None:
        """Show a channel in another way."""
        n = max(number + 1, len(self.channels))
        self.channels = tuple(replace(self.channel(each), **(changed if each == number else {})) for each in range(n))

    def level(self, number: int) -> tuple[float, float]:
        """The levels of a channel."""
        return self.levels[number] if number < len(self.levels) else (0.0, 255.0)
