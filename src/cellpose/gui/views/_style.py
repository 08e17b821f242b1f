"""How the window looks: Fusion, dark or light."""

from __future__ import annotations

import qtawesome
from qtpy.QtGui import QColor, QIcon, QPalette
from qtpy.QtWidgets import QApplication

__all__ = ["apply_style", "window_icon"]

_Role, _Group = QPalette.ColorRole, QPalette.ColorGroup

# Role: color in the dark window, color in the light window.
_COLORS = {
    _Role.Window: ("#25272b", "#f3f4f6"),
    _Role.WindowText: ("#dfe2e7", "#22262c"),
    _Role.Base: ("#1b1d20", "#ffffff"),
    _Role.AlternateBase: ("#2b2e33", "#eceef1"),
    _Role.Text: ("#dfe2e7", "#22262c"),
    _Role.Button: ("#34373d", "#e7e9ed"),
    _Role.ButtonText: ("#dfe2e7", "#22262c"),
    _Role.BrightText: ("#ffffff", "#000000"),
    _Role.ToolTipBase: ("#34373d", "#ffffff"),
    _Role.ToolTipText: ("#dfe2e7", "#22262c"),
    _Role.PlaceholderText: ("#9aa0a9", "#636a74"),
    _Role.Highlight: ("#3670c9", "#3670c9"),
    _Role.HighlightedText: ("#ffffff", "#ffffff"),
    _Role.Link: ("#6ea8ff", "#1d5fc4"),
}
_FAINT = ("#6b7079", "#a3a8b0")
_FAINT_ROLES = (_Role.WindowText, _Role.Text, _Role.ButtonText)

_SHEET = """
QGroupBox {{ border: 1px solid {line}; border-radius: 6px; margin-top: 9px; padding-top: 6px; font-weight: 600; }}
QGroupBox::title {{ subcontrol-origin: margin; left: 10px; padding: 0 4px; }}
QGroupBox > * {{ font-weight: normal; }}
QPushButton {{ padding: 4px 10px; }}
QPushButton[narrow="true"] {{ padding: 4px 3px; }}
QPushButton#run {{ padding: 6px 10px; font-weight: 600; }}
QPushButton[choice="true"]:checked {{ border: 1px solid #3d7bd9; border-radius: 3px; }}
QProgressBar {{ border: 1px solid {line}; border-radius: 4px; }}
QProgressBar::chunk {{ background: #3d7bd9; border-radius: 3px; }}
QStatusBar {{ border-top: 1px solid {line}; }}
QStatusBar::item {{ border: none; }}
QLabel#mode {{ font-weight: 600; }}
QLabel#welcome {{ font-size: 20px; font-weight: 600; }}
QLabel#faint {{ color: {faint}; }}
QLabel#problem {{ color: {problem}; }}
QLabel#keycap {{ border: 1px solid {line}; border-bottom-width: 2px; border-radius: 4px; padding: 1px 6px; }}
QLabel#heading {{ font-weight: 600; padding: 2px 0; }}
QLabel#gesture {{ font-weight: 500; }}
QFrame#tour {{ border: 1px solid #3670c9; border-radius: 8px; background: {bubble}; }}
QDialog#palette {{ border: 1px solid {line}; }}
QLineEdit[wrong="true"] {{ border: 1px solid #d9534f; border-radius: 2px; }}
QToolTip {{ border: 1px solid {line}; padding: 3px; }}
"""


def apply_style(application: QApplication, dark: bool) -> None:
    """Set style and colors for all windows of an application."""
    palette, place = QPalette(), 0 if dark else 1
    for role, colors in _COLORS.items():
        palette.setColor(role, QColor(colors[place]))
    for role in _FAINT_ROLES:
        palette.setColor(_Group.Disabled, role, QColor(_FAINT[place]))
    sheet = _SHEET.format(
        line="#41454c" if dark else "#cfd3d9",
        bubble="#25272b" if dark else "#ffffff",
        faint="#9aa0a9" if dark else "#636a74",
        problem="#f08a85" if dark else "#b3322d",
    )
    if application.styleSheet() != sheet:
        application.setStyle("Fusion")
        application.setPalette(palette)
        application.setStyleSheet(sheet)


def window_icon() -> QIcon:
    """The window's icon in the task bar."""
    return qtawesome.icon("mdi6.hexagon-multiple", color="#b05bd6")
