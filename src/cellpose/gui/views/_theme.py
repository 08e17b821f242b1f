"""Dark or light: the user's choice, or the system's."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from cellpose.gui.model import ViewState
from cellpose.gui.views._style import apply_style

__all__ = ["follow_theme"]

_SCHEMES = {
    "system": Qt.ColorScheme.Unknown,
    "dark": Qt.ColorScheme.Dark,
    "light": Qt.ColorScheme.Light,
}


def follow_theme(view: ViewState, application: Any = None) -> None:
    """Style the application now, and again whenever the choice or the system setting changes."""
    application = application or QApplication.instance()
    hints = application.styleHints()

    def settle() -> None:
        system = hints.colorScheme()
        view.dark = view.theme == "dark" or (view.theme == "system" and system != Qt.ColorScheme.Light)

    def choose() -> None:
        if hasattr(hints, "setColorScheme"):  # Qt 6.8 and later: the window frames follow too
            hints.setColorScheme(_SCHEMES[view.theme])
        settle()

    view.events.theme.connect(lambda _: choose())
    view.events.dark.connect(lambda dark: apply_style(application, dark))
    hints.colorSchemeChanged.connect(lambda _: settle())
    choose()
    apply_style(application, view.dark)
