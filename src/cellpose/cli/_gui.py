"""The command without --dir and --image_path: the window."""

from __future__ import annotations

import importlib
import sys

__all__ = ["open_window"]


def open_window(*, three_d: bool) -> int:
    """Open the window for images or, if ``three_d``, for stacks; 1 and a message if its libraries are missing."""
    try:
        window = importlib.import_module("cellpose.gui.gui3d" if three_d else "cellpose.gui.gui")
    except ImportError as error:
        print(
            f"GUI ERROR: {error}\n"
            "GUI FAILED: GUI dependencies may not be installed, to install, run\n"
            "     pip install 'cellpose[gui]'\n"
            "To segment images without the window give --dir or --image_path; see `cellpose --help`.",
            file=sys.stderr,
        )
        return 1
    window.run()
    return 0
