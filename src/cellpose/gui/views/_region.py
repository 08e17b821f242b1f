"""The yellow rectangle that selects cells to remove."""

from __future__ import annotations

import pyqtgraph as pg
from qtpy.QtCore import QSignalBlocker

from cellpose.gui.controllers.tools import RemoveMany

__all__ = ["Region"]

_YELLOW, _LIGHT = "#ffe000", "#fff3a0"


class Region(pg.RectROI):  # type: ignore[misc]
    """Drag its inside to move it, its corners to resize it.

    Parameters
    ----------
    box
        The view that it is drawn in.
    tool
        Receives the place of the region; signals when the region is shown.
    """

    def __init__(self, box: pg.ViewBox, tool: RemoveMany) -> None:
        pens = {"pen": pg.mkPen(_YELLOW, width=2), "hoverPen": pg.mkPen(_LIGHT, width=3)}
        handles = {"handlePen": pg.mkPen(_YELLOW, width=2), "handleHoverPen": pg.mkPen(_LIGHT, width=3)}
        super().__init__((0, 0), (1, 1), **pens, **handles)
        for corner, opposite in (((0, 0), (1, 1)), ((0, 1), (1, 0)), ((1, 0), (0, 1))):
            self.addScaleHandle(corner, opposite)
        self._tool = tool
        self.setZValue(10)
        self.hide()
        box.addItem(self, ignoreBounds=True)
        self.sigRegionChanged.connect(lambda *_: self._tell())
        tool.region_changed.connect(self._place)

    def _place(self, region: tuple[float, float, float, float] | None) -> None:
        self.setVisible(region is not None)
        if region is not None:
            y0, x0, y1, x1 = region
            with QSignalBlocker(self):
                self.setPos((x0, y0))
                self.setSize((x1 - x0, y1 - y0))

    def _tell(self) -> None:
        (x, y), (width, height) = self.pos(), self.size()
        self._tool.set_region((min(y, y + height), min(x, x + width), max(y, y + height), max(x, x + width)))
