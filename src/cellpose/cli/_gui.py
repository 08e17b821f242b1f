"""The command without --dir and --image_path: the window, or a hint at what works where it cannot open."""

from __future__ import annotations

import sys
from collections.abc import Callable

from cellpose._machine.screen import why_no_screen
from cellpose.errors import MissingExtraError

__all__ = ["open_window"]

_INSTEAD = """\
The command line works without the window. To segment the images of a folder:

    {example}

All options: `cellpose --help`. In Python: cellpose.models."""
_IMAGES = "cellpose --dir my_images --save_tif"
_STACKS = "cellpose --dir my_stacks --do_3D --save_tif"


def open_window(window: Callable[[bool], None], *, three_d: bool) -> int:
    """Open the window; where that fails, return 1 and say what works instead.

    ``window`` opens it, for stacks or for planes, and returns when it is closed.
    """
    reason = why_no_screen()
    if reason is None:
        try:
            window(three_d)
        except MissingExtraError as error:
            reason = str(error)
    if reason is None:
        return 0
    print(reason, _INSTEAD.format(example=_STACKS if three_d else _IMAGES), sep="\n", file=sys.stderr)
    return 1
