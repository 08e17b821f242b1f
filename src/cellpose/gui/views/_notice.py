"""An error message above the image, shown until it is dismissed; it does not stop the work."""

from __future__ import annotations

import qtawesome
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QSizePolicy, QToolButton

from cellpose.gui._texts import tr

__all__ = ["Notice"]

_COLORS = "QFrame#notice { background: #5c2b2e; } QFrame#notice QLabel { color: #ffe3e3; }"


class Notice(QFrame):  # type: ignore[misc]
    """A bar with a text and a button that dismisses it. Hidden at first."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("notice")
        self.setStyleSheet(_COLORS)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(12, 6, 6, 6)
        mark, self.text, self.close_button = QLabel(), QLabel(), QToolButton()
        mark.setPixmap(qtawesome.icon("mdi6.alert-circle-outline", color="#ffb4b4").pixmap(18, 18))
        self.text.setWordWrap(True)
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.close_button.setIcon(qtawesome.icon("mdi6.close", color="#ffe3e3"))
        self.close_button.setAutoRaise(True)
        self.close_button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.close_button.setToolTip(tr("put this away"))
        self.close_button.clicked.connect(lambda: self.hide())
        layout.addWidget(mark)
        layout.addWidget(self.text, 1)
        layout.addWidget(self.close_button)
        self.hide()

    def show_text(self, text: str) -> None:
        """Replace the text and show the bar."""
        self.text.setText(text)
        self.show()
