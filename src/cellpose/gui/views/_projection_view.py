"""The volume seen from above, in the corner between the sections."""

from __future__ import annotations

from math import floor
from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QMouseEvent

from cellpose.gui._texts import tr
from cellpose.gui.controllers._session import Session
from cellpose.gui.views._canvas import Scene
from cellpose.gui.views._renderer import projection_settings

__all__ = ["ProjectionView"]


class ProjectionView(Scene):
    """Shows the maximum projection, computed when first visible; a click moves the cross-hairs there."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.box.setMouseEnabled(False, False)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAccessibleName(tr("maximum projection"))
        self.setToolTip(tr("maximum projection; a click goes there"))
        self.viewport().installEventFilter(self)
        session.projection.changed.connect(lambda: self.renew())

    def renew(self) -> None:
        """Show the projection of the open volume with its current look; nothing if there is none yet."""
        session = self._session
        document = session.document
        known = session.projection.get() if self.isVisible() else None
        if known is None or document is None:
            self.canvas.show(None)
            return
        height, width = known.labels.shape
        self.canvas.show(lambda: projection_settings(document, session.view, known), (height, width))
        self.fit(height, width)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Clicks move the cross-hairs; all other input is ignored."""
        if isinstance(event, QMouseEvent) and event.type() == QEvent.Type.MouseButtonPress:
            if event.button() == Qt.MouseButton.LeftButton:
                y, x = self.place(event.position())
                self._session.projection.look(floor(y), floor(x))
            return True
        return bool(super().eventFilter(watched, event))

    def wheelEvent(self, event: Any) -> None:
        """Ignore the wheel: the full image is always visible."""
        event.ignore()

    def showEvent(self, event: Any) -> None:
        """Request the projection, now that it is visible."""
        super().showEvent(event)
        self.renew()
