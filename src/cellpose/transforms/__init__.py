"""Images on their way to the network and back: axes, normalisation, resizing, tiles, augmentation.

Pure functions on arrays: none writes into what it is given.
"""

from __future__ import annotations

from cellpose.transforms._augment import random_rotate_and_resize
from cellpose.transforms._resize import (
    PLANE_VIEWS,
    PlaneView,
    resize_image,
    resize_image_3d,
    resize_safe,
    scaled_shape,
)
from cellpose.transforms._tiles import (
    TileAverage,
    TileGrid,
    _taper_mask,
    average_tiles,
    get_pad_yx,
    iter_tiles,
    make_tiles,
    pad_image_ND,
    unaugment_tiles,
)

__all__ = [
    "PLANE_VIEWS",
    "PlaneView",
    "TileAverage",
    "TileGrid",
    "_taper_mask",
    "average_tiles",
    "get_pad_yx",
    "iter_tiles",
    "make_tiles",
    "pad_image_ND",
    "random_rotate_and_resize",
    "resize_image",
    "resize_image_3d",
    "resize_safe",
    "scaled_shape",
    "unaugment_tiles",
]
