"""Display settings: nothing here changes the image, its labels or the input of a network."""

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
COLOR_MAPS = (mark("inverted gray"), "viridis", "magma", "inferno", "cividis")  # for the mean of the channels
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
        ``"#rrggbb"``, used in the composite.
    on
        Whether it is shown.
    gamma
        Exponent of the brightness: below 1, dark areas become brighter.
    """

    color: str
    on: bool = True
    gamma: float = 1.0


@dataclass
class ViewState:
    """What is shown and how. Each field has an event of its name in ``events``.

    Parameters
    ----------
    view
        The picture shown, one of ``VIEWS``.
    color
        How its channels become colors, one of ``ALL_COLOR_MODES``; keys cycle through ``COLOR_MODES``.
    plane
        The plane of a volume.
    compare
        Whether the image is shown left of a divider, and the restored image right of it.
    divider
        Position of the divider, as a fraction of the width of the view.
    layout
        Sections of a volume shown, one of ``LAYOUTS``: the plane alone, or also the sections XZ and YZ, whole or thin.
    cross
        Row and column of the cross-hairs, where the sections cut.
    dz
        Number of planes above and below the plane shown in thin sections.
    z_aspect
        Distance between planes in pixels.
    masks_on, outlines_on
        Whether the inside and the outlines of cells are drawn.
    opacity
        Opacity of the masks, 0 to 255.
    coloring, palette, cell_color
        What determines the color of a cell, one of ``COLORINGS``; the palette, one of ``PALETTES``; the color of the
        single-color palette, ``"#rrggbb"``.
    outline_width, outlines_own, outline_color
        Width of outlines in screen pixels; whether each has the color of its cell; else the color of all.
    class_colors
        ``"#rrggbb"`` of the classes 1, 2, ..., for coloring by class.
    tails_on, tail_frames
        For a movie: whether the paths of the cells are drawn as lines, and over how many frames back.
    playing, frames_per_s
        Whether a movie is playing, and how fast.
    isolated
        Numbers of the only cells shown; empty: all are shown.
    levels
        For each channel, at least three, the levels shown as black and as white, 0 to 255.
    channels
        Other display settings of each channel; channels beyond the end have the defaults, see `channel`.
    auto_levels
        Whether levels come from percentiles of each image.
    brush
        Diameter of the pen in pixels.
    pressure
        Whether the pressure of a pen on a tablet scales the brush.
    ball
        In volumes, whether the brush is a ball, which covers several planes.
    single_stroke
        Whether a cell is made when a stroke closes; else Enter makes one from all strokes.
    preserve
        Whether drawing and painting leave the pixels of other cells alone; else they take them.
    snap
        Whether a drawn outline snaps to the cell predicted by the flows, if the two are similar.
    disk_on
        Whether a disk as large as the diameter is shown below the image.
    scale_bar_on, scale_bar_color, scale_bar_corner
        Whether the scale bar is shown, its color ``"#rrggbb"`` and its position, one of ``CORNERS``.
    minimap_on
        Whether a small overview is shown while only a part of the image is in view.
    full_screen
        Whether the window covers the screen.
    theme, dark
        The theme chosen by the user, one of ``THEMES``, and whether the window is therefore dark.
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
    palette: str = "many colors"
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
        """Change how a channel is shown."""
        n = max(number + 1, len(self.channels))
        self.channels = tuple(replace(self.channel(each), **(changed if each == number else {})) for each in range(n))

    def level(self, number: int) -> tuple[float, float]:
        """The levels of a channel."""
        return self.levels[number] if number < len(self.levels) else (0.0, 255.0)
