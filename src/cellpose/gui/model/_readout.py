"""The status bar text for a position in the image."""

from __future__ import annotations

from cellpose.gui._texts import tr
from cellpose.gui.model._document import Document

__all__ = ["readout"]


def readout(document: Document, plane: int, y: int, x: int) -> str:
    """Position, intensities as in the file, and cell of a pixel; empty outside the image.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.full((1, 2, 9, 9), 700, np.uint16)
    >>> readout(Document(image, np.ones((9, 9), np.int32)), 0, 4, 3)
    'x 3  y 4     700  700     cell 1'
    >>> readout(Document(image), 0, 4, 3), readout(Document(image), 0, -1, 3)
    ('x 3  y 4     700  700', '')
    """
    _, height, width = document.labels.shape
    if not (0 <= y < height and 0 <= x < width):
        return ""
    values = "  ".join(f"{value:.5g}" for value in document.channels[plane, :, y, x].tolist())
    cell = document.labels.at(plane, y, x)
    words = tr("cell {cell}", cell=cell)
    if cell and document.is_movie:
        words = tr("{words}  track {track}", words=words, track=document.lineage.track[cell])
    return "     ".join([f"x {x}  y {y}", values, *([words] if cell else [])])
