"""Outlines of labels: as an image, as lists of points, and their lengths."""

from __future__ import annotations

from cellpose.utils._outlines._outlines import (
    Contours,
    contours,
    masks_to_outlines,
    outlines_list,
)

__all__ = [
    "Contours",
    "contours",
    "masks_to_outlines",
    "outlines_list",
]
