"""A window with the cells of a volume as a body that the mouse rotates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from cellpose.gui._texts import tr
from cellpose.gui.controllers._jobs import Report
from cellpose.gui.controllers._session import Session
from cellpose.gui.model._palettes import cell_rgb
from cellpose.gui.model._turning import shaded
from cellpose.gui.views._help_places import place_of

if TYPE_CHECKING:
    from cellpose.gui.model import Document

__all__ = ["TurningView", "show_turning", "why_no_opengl"]

_SIZE = (720, 640)
_NO_LIBRARY = tr("the 3D view needs PyOpenGL, which comes with the extra gui: pip install PyOpenGL")
_NO_CONTEXT = tr("the 3D view needs OpenGL, which this screen does not have; the three views show the same cells")
_SLICES = 2  # slices of the volume per voxel


def why_no_opengl() -> str:
    """What the 3D view lacks; empty if it can be shown."""
    try:
        import OpenGL.GL  # noqa: F401
        from qtpy.QtGui import QOffscreenSurface, QOpenGLContext
    except ImportError:
        return _NO_LIBRARY
    surface, context = QOffscreenSurface(), QOpenGLContext()
    surface.create()
    if not context.create() or not context.makeCurrent(surface):
        return _NO_CONTEXT
    context.doneCurrent()
    return ""


def show_turning(window: QWidget, session: Session) -> None:
    """Show the cells of the open volume in a window beside this one, or report why that is impossible."""
    obstacle = why_no_opengl()
    if obstacle:
        session.failed.emit(obstacle)
        return
    view = next(iter(window.findChildren(TurningView)), None) or TurningView(session, window)
    view.show()
    view.raise_()


class TurningView(QWidget):  # type: ignore[misc]
    """Drag rotates, the wheel zooms. Cells that change are drawn again.

    Parameters
    ----------
    session
        The session whose volume is shown.
    parent
        The window that it belongs to.
    """

    name = "3D view"

    def __init__(self, session: Session, parent: QWidget) -> None:
        import pyqtgraph.opengl as gl

        super().__init__(parent, Qt.WindowType.Window)
        self._session = session
        self._body: Any = None
        self._gl = gl
        self.setWindowTitle(tr("Cells in 3D"))
        self.resize(*_SIZE)
        self.view = gl.GLViewWidget(rotationMethod="quaternion")
        self.view.setBackgroundColor("#1e1e1e")
        self.view.setAccessibleName(tr("cells in 3D"))
        self.hint = QLabel(tr("drag: turn; wheel: zoom; Ctrl+drag: move"))
        self.hint.setObjectName("faint")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.view, 1)
        self.hint.setContentsMargins(10, 4, 10, 4)
        column.addWidget(self.hint)
        QShortcut(QKeySequence("F1"), self).activated.connect(lambda: session.dialogs.show_help(place_of(self)))
        session.opened.connect(self._open)
        for event in (session.view.events.palette, session.view.events.coloring, session.view.events.z_aspect):
            event.connect(lambda _: self.renew())
        self._open(session.document)

    def _open(self, document: Document | None) -> None:
        if document is not None:
            document.changed.connect(lambda _: self.renew())
        self.renew(look=True)

    def renew(self, look: bool = False) -> None:
        """Show the current cells, as soon as the background thread has drawn them."""
        session, document = self._session, self._session.document
        if document is None or not document.is_volume or not (look or self.isVisible()):
            return
        frozen, _ = document.labels.frozen()
        ids = document.labels.ids
        colors = np.zeros((ids.size + 1, 3), np.uint8)
        colors[1:] = cell_rgb(document.labels.table, session.view)[ids]
        aspect = session.view.z_aspect

        def work(_report: Report) -> npt.NDArray[np.uint8]:
            return shaded(frozen.labels(), colors, aspect)

        session.jobs.start(
            self.name, work, lambda body: self._show(body, look), lambda error: session.failed.emit(str(error))
        )

    def _show(self, body: npt.NDArray[np.uint8], look: bool) -> None:
        turned: Any = np.ascontiguousarray(body.transpose(2, 1, 0, 3)[:, ::-1, ::-1])  # x, y upwards, z to the viewer
        if self._body is None:
            self._body = self._gl.GLVolumeItem(turned, sliceDensity=_SLICES, smooth=True, glOptions="translucent")
            self.view.addItem(self._body)
        else:
            self._body.setData(turned)
            self._body.resetTransform()
        self._body.translate(*(-side / 2 for side in turned.shape[:3]))
        if look:
            self.view.setCameraPosition(distance=1.7 * max(turned.shape[:3]))
        self.view.update()
