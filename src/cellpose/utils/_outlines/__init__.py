"""Outlines of labels: as an image, as lists of points, and their lengths."""

from __future__ import annotations

from cellpose.utils._outlines._outlines import (
    Contours,
    contours,
    get_outline_multi,
    masks_to_outlines,
    outlines_list,
    outlines_list_multi,
    outlines_list_single,
)

__all__ = [
    "Contours",
    "contours",
    "get_outline_multi",
    "masks_to_outlines",
    "outlines_list",
    "outlines_list_multi",
    "outlines_list_single",
]
