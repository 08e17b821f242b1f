"""``gui3d.run()``: the window, where files that do not name their axes hold planes of a volume."""

from __future__ import annotations

import os

from cellpose.gui import gui

__all__ = ["run"]


def run(image: str | os.PathLike[str] | None = None) -> None:
    """Open the window for stacks and return when it is closed; ``python -m cellpose --Zstack`` does the same.

    Parameters
    ----------
    image
        Image or ``_seg.npy`` to open in it.

    Raises
    ------
    MissingExtraError
        If the libraries of the window are not installed.
    InputError
        If there is no screen.
    """
    gui.run(image, stacks=True)
