"""The text of an empty window: how to begin."""

from __future__ import annotations

import qtawesome
from qtpy.QtCore import QEvent, QObject, QSize, Qt, Signal
from qtpy.QtWidgets import QLabel, QPushButton, QVBoxLayout, QWidget

from cellpose.gui._texts import tr

__all__ = ["Welcome"]


class Welcome(QWidget):  # type: ignore[misc]
    """A few words and a button, centered over another widget.

    Parameters
    ----------
    over
        The widget; files dropped here go on to the window.

    Attributes
    ----------
    load : Signal()
        The button was clicked.
    """

    load = Signal()

    def __init__(self, over: QWidget) -> None:
        super().__init__(over)
        mark = QLabel()
        mark.setPixmap(qtawesome.icon("mdi6.image-plus-outline", color="#80858e").pixmap(QSize(56, 56)))
        title = QLabel(tr("Drop an image here"))
        title.setObjectName("welcome")
        self.button = QPushButton(tr("Load image …"))
        self.button.clicked.connect(self.load)
        hint = QLabel(tr("Ctrl+L loads an image  ·  Shift+Enter segments it  ·  ? shows all keys"))
        hint.setObjectName("faint")
        layout = QVBoxLayout(self)
        layout.setSpacing(14)
        layout.addStretch(1)
        for label in (mark, title, hint):
            label.setAlignment(Qt.AlignmentFlag.AlignCenter)
            label.setWordWrap(label is not mark)
        layout.addWidget(mark)
        layout.addWidget(title)
        layout.addWidget(self.button, 0, Qt.AlignmentFlag.AlignHCenter)
        layout.addWidget(hint)
        layout.addStretch(1)
        over.installEventFilter(self)
        self.resize(over.size())

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Keep the size of the widget below."""
        if event.type() == QEvent.Type.Resize:
            self.resize(watched.size())
        return False
