"""Images, masks and flows as pictures.

Results are arrays; only :func:`show_segmentation` needs matplotlib, through the figure it is given.
"""

from __future__ import annotations

from cellpose._face.also import other_names
from cellpose._face.door import guard
from cellpose.plot._color import dx_to_circ, image_to_rgb, mask_overlay
from cellpose.plot._figure import show_segmentation
from cellpose.plot._legacy import disk, interesting_patch, mask_rgb
from cellpose.plot._outline import outline_view
from cellpose.plot._thumbnail import thumbnail

__all__ = [
    "disk",
    "dx_to_circ",
    "image_to_rgb",
    "interesting_patch",
    "mask_overlay",
    "mask_rgb",
    "outline_view",
    "show_segmentation",
    "thumbnail",
]

guard(globals())
__getattr__ = other_names("plot")
