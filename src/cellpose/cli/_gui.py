"""The command without --dir and --image_path: the window, once it is there."""

from __future__ import annotations

import sys

from cellpose._version import version

__all__ = ["open_window"]

_MESSAGE = """\
cellpose {version} has no window yet; no package that could be installed brings it.
The command line and Python do all else. To segment the images of a folder:

    {example}

Each image gets its labels as a TIFF, and a _seg.npy that the window of other Cellpose versions opens.
One image: --image_path FILE; training: --train; all options: `cellpose --help`. In Python: cellpose.models."""
_IMAGES = "cellpose --dir my_images --save_tif"
_STACKS = "cellpose --dir my_stacks --do_3D --save_tif"


def open_window(*, three_d: bool) -> int:
    """Say that there is no window yet, and what works instead; 1."""
    example = _STACKS if three_d else _IMAGES
    print(_MESSAGE.format(version=version, example=example), file=sys.stderr)
    return 1
