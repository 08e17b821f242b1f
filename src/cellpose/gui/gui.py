"""``gui.run()``: the window for images."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from cellpose.errors import MissingExtraError

__all__ = ["run"]


def run(image: str | os.PathLike[str] | None = None) -> None:
    """Open the window and return when it is closed.

    Parameters
    ----------
    image
        Image or ``_seg.npy`` to open in it.

    Raises
    ------
    MissingExtraError
        If the libraries of the window are not installed.
    """
    os.environ.setdefault("QT_API", "pyside6")
    try:
        from qtpy.QtWidgets import QApplication

        from cellpose.gui.views._window import Window
    except ImportError as error:
        raise MissingExtraError(str(error.name), "gui", "open the window") from error
    application = QApplication.instance() or QApplication(sys.argv[:1])
    window = Window()
    window.show()
    if image is not None:
        window.session.files.begin(Path(image))
    application.exec()
