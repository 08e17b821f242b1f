"""A line that cuts cells."""

from __future__ import annotations

import numpy as np

from cellpose.gui._texts import tr
from cellpose.gui.controllers.tools._drag import Drag, Points
from cellpose.gui.controllers.tools._tool import PointerEvent, Preview
from cellpose.gui.model import _operations as operations

__all__ = ["Cut"]


class Cut(Drag):
    """Drag a line across a cell: each part becomes a cell."""

    name = "cut"
    title = tr("Split")
    by_path = True
    in_sections = True
    hint = tr("drag a line across the cell that should be several")

    def moved(self, event: PointerEvent) -> None:
        """Show the line."""
        self.context.show(Preview(self.path))

    def done(self, path: Points, pressed: PointerEvent, released: PointerEvent) -> None:
        """Cut the cell that most of the line crosses."""
        document, section = self.context.document, self.context.section
        if document is None:
            return
        steps = max(2, int(np.abs(np.diff(path, axis=0)).sum()) * 2 + 2)
        along = np.linspace(0, len(path) - 1, steps)
        places = np.stack([np.interp(along, np.arange(len(path)), path[:, axis]) for axis in (0, 1)], axis=1)
        crossed = [document.labels.at(*section.voxel(round(y), round(x))) for y, x in places]
        cells, counts = np.unique([cell for cell in crossed if cell], return_counts=True)
        if not cells.size:
            document.told.emit(tr("the line crosses no cell"))
            return
        document.do(operations.split, int(cells[counts.argmax()]), path, section.axis)
