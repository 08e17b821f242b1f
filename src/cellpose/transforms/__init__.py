"""Images on their way to the network and back: axes, normalization, resizing, tiles, augmentation.

Pure functions on arrays: none writes into what it is given.
"""

from __future__ import annotations

from cellpose._face.also import other_names
from cellpose._face.door import guard
from cellpose.transforms._augment import random_rotate_and_resize
from cellpose.transforms._axes import (
    assumed_axes,
    axis_meant_by,
    convert_image,
    is_one_number,
    prepare_transformer,
    prepare_unet,
    update_axis,
)
from cellpose.transforms._background import correct_flatfield, estimate_flatfield, subtract_background
from cellpose.transforms._channels import Channels, choose_channels
from cellpose.transforms._filters import gaussian_kernel, smooth_sharpen_img
from cellpose.transforms._legacy import (
    move_axis,
    move_min_dim,
    normalize_img,
    pad_image_ND,
    reshape,
    resize_image_3d,
)
from cellpose.transforms._legacy_tiles import _taper_mask, average_tiles, make_tiles, unaugment_tiles
from cellpose.transforms._normalize import apply_normalization, network_input, normalize99_tile, tell_of_sparse
from cellpose.transforms._padding import get_pad_yx
from cellpose.transforms._percentiles import LEAST_RANGE, has_contrast, normalize99, percentiles, scale_of, thinned
from cellpose.transforms._preparation import Preparation
from cellpose.transforms._resize import PLANE_VIEWS, PlaneView, resize_image, resize_plane, resize_safe, scaled_shape
from cellpose.transforms._sampling import Sampling
from cellpose.transforms._tiles import TileAverage, TileGrid, iter_tiles
from cellpose.transforms._values import fill_nonfinite

__all__ = [
    "LEAST_RANGE",
    "PLANE_VIEWS",
    "Channels",
    "PlaneView",
    "Preparation",
    "Sampling",
    "TileAverage",
    "TileGrid",
    "_taper_mask",
    "apply_normalization",
    "assumed_axes",
    "average_tiles",
    "axis_meant_by",
    "choose_channels",
    "convert_image",
    "correct_flatfield",
    "estimate_flatfield",
    "fill_nonfinite",
    "gaussian_kernel",
    "get_pad_yx",
    "has_contrast",
    "is_one_number",
    "iter_tiles",
    "make_tiles",
    "move_axis",
    "move_min_dim",
    "network_input",
    "normalize99",
    "normalize99_tile",
    "normalize_img",
    "pad_image_ND",
    "percentiles",
    "prepare_transformer",
    "prepare_unet",
    "random_rotate_and_resize",
    "reshape",
    "resize_image",
    "resize_image_3d",
    "resize_plane",
    "resize_safe",
    "scale_of",
    "scaled_shape",
    "smooth_sharpen_img",
    "subtract_background",
    "tell_of_sparse",
    "thinned",
    "unaugment_tiles",
    "update_axis",
]

guard(globals())
__getattr__ = other_names("transforms")
