"""Keys drawn as keycaps."""

from __future__ import annotations

from collections.abc import Iterable

import qtawesome
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QWidget

__all__ = ["caps", "native", "search_line", "shown_keys"]

_GRAY = "#8a8f98"


def native(key: str) -> str:
    """A key as this system writes it."""
    return str(QKeySequence(key).toString(QKeySequence.SequenceFormat.NativeText)) or key


def shown_keys(keys: Iterable[str]) -> tuple[str, ...]:
    """Keys as this system writes them; Enter and Return count as one, since every keyboard has one of them."""
    listed = list(keys)
    return tuple(native(key) for key in listed if not ("Return" in key and key.replace("Return", "Enter") in listed))


def caps(keys: Iterable[str]) -> QWidget:
    """Keys side by side."""
    whole = QWidget()
    layout = QHBoxLayout(whole)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    for key in shown_keys(keys):
        label = QLabel(key)
        label.setObjectName("keycap")
        label.setAlignment(Qt.AlignmentFlag.AlignCenter)
        layout.addWidget(label)
    layout.addStretch(1)
    return whole


def search_line(hint: str) -> QLineEdit:
    """A line for a search."""
    line = QLineEdit()
    line.setPlaceholderText(hint)
    line.setAccessibleName(hint)
    line.setClearButtonEnabled(True)
    line.addAction(qtawesome.icon("mdi6.magnify", color=_GRAY), QLineEdit.ActionPosition.LeadingPosition)
    return line
