"""Whether a window can be opened on this machine."""

from __future__ import annotations

import ctypes
import os
import sys

__all__ = ["why_no_screen"]

# Libraries that Qt needs on X11 and does not ship, by the Debian packages that contain them.
_NEEDED = {
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
}


def why_no_screen() -> str | None:
    """Why Qt would find no screen and end the process; None if it will find one."""
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
        return f"System libraries that Qt needs are missing (Debian, Ubuntu: apt install {' '.join(missing)})."
    if not _answers():
        return (
            f"There is no screen to open the window on: no display answers at DISPLAY={os.environ['DISPLAY']}. Start "
            "one, or correct the variable; over SSH connect with `ssh -X`."
        )
    return None


def _answers() -> bool:
    """Whether the display named by DISPLAY accepts connections."""
    xcb = ctypes.CDLL("libxcb.so.1")
    xcb.xcb_connect.restype = ctypes.c_void_p
    connection = ctypes.c_void_p(xcb.xcb_connect(None, None))
    failed = xcb.xcb_connection_has_error(connection)
    xcb.xcb_disconnect(connection)
    return not failed


def _is_there(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
