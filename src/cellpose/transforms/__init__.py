"""Images on their way to the network and back: axes, normalisation, resizing, tiles, augmentation.

Pure functions on arrays: none writes into what it is given.
"""

from __future__ import annotations

from cellpose.transforms._augment import random_rotate_and_resize
from cellpose.transforms._axes import (
    convert_image,
    fill_nonfinite,
    move_axis,
    move_min_dim,
    prepare_transformer,
    prepare_unet,
    reshape,
    update_axis,
)
from cellpose.transforms._normalize import (
    apply_normalization,
    gaussian_kernel,
    normalize99,
    normalize99_tile,
    normalize_img,
    smooth_sharpen_img,
)
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
    "apply_normalization",
    "average_tiles",
    "convert_image",
    "fill_nonfinite",
    "gaussian_kernel",
    "get_pad_yx",
    "iter_tiles",
    "make_tiles",
    "move_axis",
    "move_min_dim",
    "normalize99",
    "normalize99_tile",
    "normalize_img",
    "pad_image_ND",
    "prepare_transformer",
    "prepare_unet",
    "random_rotate_and_resize",
    "reshape",
    "resize_image",
    "resize_image_3d",
    "resize_safe",
    "scaled_shape",
    "smooth_sharpen_img",
    "unaugment_tiles",
    "update_axis",
]
