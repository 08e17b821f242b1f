"""The command without --dir and --image_path: the window, or what works where it cannot open."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable

from cellpose.errors import MissingExtraError

__all__ = ["open_window"]

_INSTEAD = """\
Without the window the command line does all of it. To segment the images of a folder:

    {example}

All options: `cellpose --help`. In Python: cellpose.models."""
# What Qt loads to draw on X11 and does not bring along, by the packages of Debian that hold it.
_NEEDED = {
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
}
_IMAGES = "cellpose --dir my_images --save_tif"
_STACKS = "cellpose --dir my_stacks --do_3D --save_tif"


def open_window(window: Callable[[], None], *, three_d: bool) -> int:
    """Open the window; 1 and a message that says what works instead where it cannot be opened.

    ``window`` opens it and returns when it is closed.
    """
    reason = "The window for stacks (--Zstack) is not there yet; that for planes is: `cellpose`." if three_d else None
    reason = reason or _no_screen()
    if reason is None:
        try:
            window()
        except MissingExtraError as error:
            reason = str(error)
    if reason is None:
        return 0
    print(reason, _INSTEAD.format(example=_STACKS if three_d else _IMAGES), sep="\n", file=sys.stderr)
    return 1


def _no_screen() -> str | None:
    """Why Qt would end the process at once, which it does where it finds no screen; None where it will find one."""
    if not sys.platform.startswith("linux") or os.environ.get("QT_QPA_PLATFORM"):
        return None
    if os.environ.get("WAYLAND_DISPLAY"):
        return None
    if not os.environ.get("DISPLAY"):
        return (
            "There is no screen to open the window on: neither DISPLAY nor WAYLAND_DISPLAY is set. Over SSH connect "
            "with `ssh -X`."
        )
    missing = [package for library, package in _NEEDED.items() if not _is_there(library)]
    if missing:
        return f"Libraries of the system that Qt needs are missing (Debian, Ubuntu: apt install {' '.join(missing)})."
    return None


def _is_there(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
