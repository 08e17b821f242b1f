"""The bar at the bottom: the mode, the pixel under the pointer, the zoom, and whether everything is saved."""

from __future__ import annotations

from datetime import datetime
from math import floor
from typing import Any

from qtpy.QtCore import QEvent, QObject, QPointF, Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QStatusBar, QWidget
from superqt import QElidingLabel
from superqt.utils import qthrottled

from cellpose.gui._texts import tr
from cellpose.gui.controllers._session import Session
from cellpose.gui.model import Document
from cellpose.gui.model._readout import readout
from cellpose.gui.views._canvas import Scene

__all__ = ["Status"]

_FRAME_MS = 16


class Status(QWidget):  # type: ignore[misc]
    """The status bar; messages appear between the mode and the rest.

    Parameters
    ----------
    session
        The session whose state is shown.
    scene
        The view that the pointer moves over.
    bar
        The status bar to fill.
    """

    def __init__(self, session: Session, scene: Scene, bar: QStatusBar) -> None:
        super().__init__(bar)
        self._session, self._scene = session, scene
        self._pointed: QPointF | None = None
        self._cursor: tuple[int, int] | None = None
        self._hint = ""
        self.mode, self.message = QLabel(), QElidingLabel()
        self.place, self.zoom, self.saved = QLabel(), QLabel(), QLabel()
        self.mode.setObjectName("mode")
        self.message.setObjectName("faint")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(8, 2, 8, 2)
        layout.setSpacing(16)
        layout.addWidget(self.mode)
        layout.addWidget(self.message, 1)
        for label, text in ((self.place, ""), (self.zoom, "0000 %"), (self.saved, tr("saved 00:00"))):
            label.setMinimumWidth(label.fontMetrics().horizontalAdvance(text))  # a new text must not move the rest
            label.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            layout.addWidget(label)
        bar.addPermanentWidget(self, 1)
        bar.messageChanged.connect(lambda text: self.message.setText(text or self._hint))
        bar.setSizeGripEnabled(False)
        self._connect()
        self._show_mode()

    def _connect(self) -> None:
        session = self._session
        session.pointer.mode_changed.connect(lambda _: self._show_mode())
        session.opened.connect(self._watch)
        session.saved.connect(lambda _: self._show_saved(tr("saved {now:%H:%M}", now=datetime.now())))
        self._scene.box.sigRangeChanged.connect(lambda *_: self._show_zoom())
        self._scene.viewport().installEventFilter(self)
        session.cursor.changed.connect(self._follow_cursor)

    def _watch(self, document: Document | None) -> None:
        if document is not None:
            document.changed.connect(lambda _: self._show_place())
            document.held_changed.connect(lambda: self._show_saved(""))
        self._show_place()
        self._show_zoom()
        self._show_saved("")

    def _show_mode(self) -> None:
        title, self._hint = self._session.pointer.words
        self.mode.setText(title)
        bar = self.parent()
        self.message.setToolTip(self._hint)  # the full text, in case the window is narrow
        self.message.setText((bar.currentMessage() if isinstance(bar, QStatusBar) else "") or self._hint)

    def _show_saved(self, text: str) -> None:
        document = self._session.document
        if document is not None and not document.is_saved:
            text = tr("not saved")
        self.saved.setText(text)

    @qthrottled(timeout=_FRAME_MS)  # type: ignore[untyped-decorator]
    def _show_zoom(self) -> None:
        """Show the zoom: screen points per pixel of the image; 100 %: one point per pixel."""
        (x0, x1), _ = self._scene.box.viewRange()
        width = self._scene.viewport().width() * self._scene.devicePixelRatioF()
        percent = 100 * width / max(x1 - x0, 1e-9)
        shown = self._session.document is not None
        self.zoom.setText(f"{percent:.{0 if percent >= 10 else 1}f} %" if shown else "")

    def _follow_cursor(self, place: tuple[int, int] | None) -> None:
        """Show the pixel under the keyboard cursor."""
        self._cursor = place
        self._show_place()

    @qthrottled(timeout=_FRAME_MS)  # type: ignore[untyped-decorator]
    def _show_place(self) -> None:
        document, pointed = self._session.document, self._pointed
        text = ""
        spot = self._cursor or (None if pointed is None else self._scene.place(pointed))
        if document is not None and spot is not None:
            y, x = spot
            text = readout(document, self._session.view.plane, floor(y), floor(x))
        self.place.setText(text)
        self._scene.setAccessibleDescription(text)
        self.place.setMinimumWidth(max(self.place.minimumWidth(), self.place.sizeHint().width()) if text else 0)

    def eventFilter(self, watched: QObject, event: QEvent | Any) -> bool:
        """Follow the pointer; let all events through."""
        if event.type() == QEvent.Type.MouseMove:
            self._pointed = event.position()
            self._show_place()
        elif event.type() == QEvent.Type.Leave:
            self._pointed = None
            self._show_place()
        return bool(super().eventFilter(watched, event))
