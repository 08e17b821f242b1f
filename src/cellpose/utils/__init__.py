"""Label images: outlines, sizes, shapes, stitching, cleaning; and small helpers that scripts use.

Nothing here changes its arguments. The kernels import numba when they are first used.
"""

from __future__ import annotations

from cellpose._face.also import other_names
from cellpose._face.door import guard
from cellpose._progress.bars import TqdmToLogger
from cellpose.utils._color import hsv_to_rgb, rgb_to_hsv
from cellpose.utils._edit import fill_holes_and_remove_small_masks, largest_pieces, remove_edge_masks
from cellpose.utils._legacy import (
    dilate_masks,
    distance_to_boundary,
    download_url_to_file,
    get_outline_multi,
    masks_to_edges,
    outlines_list_multi,
    outlines_list_single,
)
from cellpose.utils._legacy_shapes import (
    circleMask,
    get_mask_compactness,
    get_mask_perimeters,
    get_mask_stats,
    get_perimeter,
    radius_distribution,
    size_distribution,
)
from cellpose.utils._outlines import masks_to_outlines, outlines_list
from cellpose.utils._shapes import diameters
from cellpose.utils._shares import shares
from cellpose.utils._stitch import stitch3D
from cellpose.utils._unet import get_masks_unet

__all__ = [
    "TqdmToLogger",
    "circleMask",
    "diameters",
    "dilate_masks",
    "distance_to_boundary",
    "download_url_to_file",
    "fill_holes_and_remove_small_masks",
    "get_mask_compactness",
    "get_mask_perimeters",
    "get_mask_stats",
    "get_masks_unet",
    "get_outline_multi",
    "get_perimeter",
    "hsv_to_rgb",
    "largest_pieces",
    "masks_to_edges",
    "masks_to_outlines",
    "outlines_list",
    "outlines_list_multi",
    "outlines_list_single",
    "radius_distribution",
    "remove_edge_masks",
    "rgb_to_hsv",
    "shares",
    "size_distribution",
    "stitch3D",
]

guard(globals())
__getattr__ = other_names("utils")
