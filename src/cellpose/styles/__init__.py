"""Which images are alike: the style vectors of a folder as a map, with outliers and images to annotate first."""

from __future__ import annotations

from cellpose._face.door import guard
from cellpose.styles._look import mean_score, middle_plane, vector_of
from cellpose.styles._map import StyleMap, style_map, to_annotate, unlikeness
from cellpose.styles._page import MappedImage, page_of, picture_of

__all__ = [
    "MappedImage",
    "StyleMap",
    "mean_score",
    "middle_plane",
    "page_of",
    "picture_of",
    "style_map",
    "to_annotate",
    "unlikeness",
    "vector_of",
]

guard(globals())
