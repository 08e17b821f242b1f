"""``gui.run()``: the window for images."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from cellpose._machine.screen import why_no_screen
from cellpose.errors import InputError, MissingExtraError
from cellpose.gui._texts import language
from cellpose.gui.controllers._preload import importing

__all__ = ["run"]

_SHOWN_MS = 50  # until the window is painted


def run(image: str | os.PathLike[str] | None = None, *, stacks: bool = False) -> None:
    """Open the window and return when it is closed.

    Parameters
    ----------
    image
        Image or ``_seg.npy`` to open in it.
    stacks
        Files that do not name their axes hold planes of a volume, as for ``--Zstack``.

    Raises
    ------
    MissingExtraError
        If the libraries of the window are not installed.
    InputError
        If there is no screen.
    """
    os.environ.setdefault("QT_API", "pyside6")
    try:
        with importing():
            from qtpy.QtCore import QTimer
            from qtpy.QtWidgets import QApplication

            from cellpose.gui.views._warming import warm_soon
            from cellpose.gui.views._window import Window
    except ImportError as error:
        raise MissingExtraError(str(error.name), "gui", "open the window") from error
    application = QApplication.instance()
    if application is None:
        reason = why_no_screen()
        if reason is not None:  # Qt would end the whole process
            raise InputError(reason)
        application = QApplication(sys.argv[:1])
    _take_every_move(application)
    _speak(application)
    window = Window()
    window.session.files.as_stacks = stacks
    window.show()
    QTimer.singleShot(_SHOWN_MS, warm_soon)
    window.session.tour.begin_once()
    if image is not None:
        window.session.files.begin(Path(image))
    application.exec()


def _take_every_move(application: Any) -> None:
    """Let a stroke have all of its points, also where the window was busy: Qt on X11 drops all moves but the last."""
    from qtpy.QtCore import Qt

    # with an application only: on X11, making one turns this on
    application.setAttribute(Qt.ApplicationAttribute.AA_CompressHighFrequencyEvents, False)


def _speak(application: Any) -> None:
    """Let Qt's own buttons and dialogs have the language of the window."""
    from qtpy.QtCore import QLibraryInfo, QLocale, QTranslator

    translator = QTranslator(application)
    folder = QLibraryInfo.path(QLibraryInfo.LibraryPath.TranslationsPath)
    if language() and translator.load(QLocale(language()), "qtbase", "_", folder):
        application.installTranslator(translator)
