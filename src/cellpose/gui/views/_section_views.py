"""The sections of a volume beside its plane: YZ at the right, XZ below, linked by cross-hairs."""

from __future__ import annotations

from collections.abc import Sequence

import pyqtgraph as pg
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPen, QWheelEvent
from qtpy.QtWidgets import QGraphicsRectItem, QGridLayout, QWidget

from cellpose.gui._texts import tr
from cellpose.gui.controllers._session import Session
from cellpose.gui.controllers.tools import Preview
from cellpose.gui.model import Document
from cellpose.gui.model._sections import SECTIONS, XY, XZ, YZ, Section
from cellpose.gui.views._canvas import BACKGROUND, Scene
from cellpose.gui.views._pointing import Pointing, wheel_steps
from cellpose.gui.views._projection_view import ProjectionView
from cellpose.gui.views._renderer import render_settings

__all__ = ["SectionViews"]

_CROSS = QColor(255, 193, 77, 150)
_GAP = 3  # screen pixels between the views
_WHEEL = 0.9  # one wheel step scales the visible range by this
_STRETCH = {"thin slices": 4, "three views": 2}  # how many times as wide as the sections the plane is
_FAR = 1e6  # planes, rows or columns


class SectionViews(QWidget):  # type: ignore[misc]
    """The view of the plane and, if wanted, the views of the sections.

    Parameters
    ----------
    session
        The session whose volume is shown.
    scene
        The view of the plane, which leads: the sections follow what it shows.
    """

    def __init__(self, session: Session, scene: Scene) -> None:
        super().__init__()
        self._session = session
        self._document: Document | None = None
        self.scenes = {XY: scene, XZ: _SectionScene(scene, XZ), YZ: _SectionScene(scene, YZ)}
        self.corner = ProjectionView(session)
        self._shutters = {axis: _Shutters(self.scenes[axis], axis) for axis in (XZ, YZ)}
        self._crosses = {axis: _Cross(each) for axis, each in self.scenes.items()}
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(_GAP)
        places = {XY: (0, 0), YZ: (0, 1), XZ: (1, 0)}
        for axis, place in places.items():
            grid.addWidget(self.scenes[axis], *place)
        grid.addWidget(self.corner, 1, 1)
        self._grid = grid
        self._axis_of_preview = XY
        self._connect()
        self._show_layout()

    @property
    def is_on(self) -> bool:
        """Whether sections are visible."""
        return self._session.volumes.is_volume and self._session.view.layout != "one plane"

    def _connect(self) -> None:
        session, view = self._session, self._session.view
        for axis in (XZ, YZ):
            scene = self.scenes[axis]
            Pointing(session, scene, axis)
            scene.setAccessibleName(tr("section {name}", name=SECTIONS[axis]))
        self.scenes[XY].box.sigRangeChanged.connect(lambda *_: self._follow())
        for scene in self.scenes.values():
            scene.box.sigResized.connect(lambda *_: self._follow())
        session.opened.connect(self._open)
        view.events.connect(lambda info: self._changed(info.signal.name))
        session.pointer.preview_changed.connect(self._show_preview)
        session.pointer.waiting_changed.connect(self._show_waiting)

    def _open(self, document: Document | None) -> None:
        self._document = document
        for axis in (XZ, YZ):
            self._show(axis)
        if document is not None:
            document.changed.connect(lambda _: self._refresh())
            for signal in (document.flows_changed, document.selection_changed, document.restored_changed):
                signal.connect(lambda *_: self._refresh())
        self._show_layout()
        self.corner.renew()

    def _show(self, axis: int) -> None:
        """Make the canvas of a section draw the open volume."""
        document, canvas = self._document, self.scenes[axis].canvas
        if document is None or not document.is_volume:
            canvas.show(None)
            return
        _, rows, columns = Section(axis, 0).shape(document.labels.shape)
        canvas.show(lambda: render_settings(document, self._session.view, axis), (rows, columns))

    def _changed(self, name: str) -> None:
        """React to a changed field of the view."""
        if name == "layout":
            self._show_layout()
        elif name in ("plane", "dz", "z_aspect"):
            self._follow()
        elif name == "cross":
            self._refresh()
            self._follow()
        elif name not in ("brush", "divider"):
            self._refresh()

    def _refresh(self) -> None:
        if self.is_on:
            for axis in (XZ, YZ):
                self.scenes[axis].canvas.refresh()
            self.corner.canvas.refresh()

    def _show_layout(self) -> None:
        on, thin = self.is_on, self._session.view.layout == "thin slices"
        for widget in (self.scenes[XZ], self.scenes[YZ], self.corner):
            widget.setVisible(on)
        for cross in self._crosses.values():
            cross.setVisible(on)
        wide = _STRETCH["thin slices" if thin else "three views"]
        for stretch in (self._grid.setColumnStretch, self._grid.setRowStretch):
            stretch(0, wide)
            stretch(1, 1 if on else 0)
        self._refresh()
        self._follow()

    def _follow(self) -> None:
        """Align the sections with the plane, and move the cross-hairs."""
        document, view = self._document, self._session.view
        if document is None or not self.is_on:
            return
        (x0, x1), (y0, y1) = self.scenes[XY].box.viewRange()
        per_plane = view.z_aspect * self.scenes[XY].box.width() / max(x1 - x0, 1e-9)  # screen pixels
        for axis, length in ((XZ, self.scenes[XZ].box.height()), (YZ, self.scenes[YZ].box.width())):
            depth = self._depth(document.labels.shape[0], length / max(per_plane, 1e-9))
            across = (x0, x1) if axis == XZ else (y0, y1)
            columns, rows = (across, depth) if axis == XZ else (depth, across)
            self.scenes[axis].box.setRange(xRange=columns, yRange=rows, padding=0, disableAutoRange=True)
            self._shutters[axis].close_outside(*self._planes(document.labels.shape[0]))
        y, x = view.cross
        for axis, (row, column) in {XY: (y, x), XZ: (view.plane, x), YZ: (y, view.plane)}.items():
            self._crosses[axis].place(row + 0.5, column + 0.5)

    def _planes(self, n: int) -> tuple[int, int]:
        """The first plane of the sections, and one past the last."""
        view = self._session.view
        if view.layout != "thin slices":
            return 0, n
        planes = min(2 * view.dz + 1, n)
        first = min(max(view.plane - view.dz, 0), n - planes)
        return first, first + planes

    def _depth(self, n: int, room: float) -> tuple[float, float]:
        """The range of a section with room for this many planes: all of them, centered, or those around the plane."""
        first, end = self._planes(n)
        if room >= end - first:
            low = (first + end - room) / 2
        else:
            low = min(max(self._session.view.plane + 0.5 - room / 2, first), end - room)
        return low, low + room

    def _show_preview(self, preview: Preview | None) -> None:
        """Show what a tool is about to do, in the view where it is used."""
        axis = self._session.pointer.axis
        if axis != self._axis_of_preview:
            self.scenes[self._axis_of_preview].show_preview(None)
            self._axis_of_preview = axis
        self.scenes[axis].show_preview(preview)

    def _show_waiting(self, strokes: Sequence[Preview]) -> None:
        for axis, scene in self.scenes.items():
            scene.show_waiting([stroke for stroke in strokes if stroke.axis == axis])


class _Shutters:
    """Hide the planes that a section must not show."""

    def __init__(self, scene: Scene, axis: int) -> None:
        self._axis, self._parts = axis, (QGraphicsRectItem(), QGraphicsRectItem())
        for part in self._parts:
            part.setBrush(QColor(BACKGROUND & 0xFFFFFF))
            part.setPen(QPen(Qt.PenStyle.NoPen))
            scene.box.addItem(part, ignoreBounds=True)

    def close_outside(self, first: float, end: float) -> None:
        """Show only these planes."""
        for part, low, high in zip(self._parts, (-_FAR, end), (first, _FAR), strict=True):
            sides = (-_FAR, low, 2 * _FAR, high - low) if self._axis == XZ else (low, -_FAR, high - low, 2 * _FAR)
            part.setRect(QRectF(*sides))


class _Cross:
    """Two lines that cross at the position of the sections."""

    def __init__(self, scene: Scene) -> None:
        pen = QPen(_CROSS)
        pen.setCosmetic(True)
        self._row, self._column = (pg.InfiniteLine(angle=angle, pen=pen) for angle in (0, 90))
        for line in (self._row, self._column):
            scene.box.addItem(line, ignoreBounds=True)

    def setVisible(self, on: bool) -> None:
        """Show or hide it."""
        for line in (self._row, self._column):
            line.setVisible(on)

    def place(self, row: float, column: float) -> None:
        """Cross at a row and a column."""
        self._row.setPos(row)
        self._column.setPos(column)


class _SectionScene(Scene):
    """The view of a section. It follows the view of the plane, and its wheel zooms that view."""

    def __init__(self, leader: Scene, axis: int) -> None:
        super().__init__()
        self._leader, self._axis = leader, axis
        self.box.setAspectLocked(False)
        self.box.setMouseEnabled(False, False)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom around the place under the pointer."""
        row, column = self.place(event.position())
        middle = self._leader.box.viewRect().center()
        there = QPointF(column, middle.y()) if self._axis == XZ else QPointF(middle.x(), row)
        self._leader.zoom_at(_WHEEL ** wheel_steps(event), there)
        event.accept()
