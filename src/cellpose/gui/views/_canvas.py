"""The image with its cells: one item that fills only the visible pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPainterPath, QPen, QPixmap, QTransform
from qtpy.QtWidgets import QGraphicsEllipseItem, QGraphicsPathItem, QGraphicsPixmapItem

from cellpose._machine.threads import run_sliced
from cellpose.gui.controllers.tools import Preview
from cellpose.gui.model import Box

__all__ = ["Canvas", "RenderSettings", "Scene", "first_pixel", "pixels_of", "rendered"]

Places = npt.NDArray[np.int32]

BACKGROUND = 0xFF1E1E1E
_STROKE = QColor(255, 0, 255, 100)
MEASURE = QColor("#ffd166")
_START = QColor(255, 0, 0)
_PREVIEW, _PREVIEW_EDGE = 0x60FFFF00, 0xFFFFFF00
_SHARE, _MOST_SHARE = 1 / 6, 1 / 2  # of the view, taken by the cell in focus
_DISK = QColor(150, 50, 150)
_SLICE = 2**16  # pixels worth a thread
_FARTHEST = 20  # at most this many image lengths are visible


@dataclass(eq=False)
class RenderSettings:
    """Everything that decides the color of a pixel of the image.

    Parameters
    ----------
    image
        One plane, uint8 or uint16 (C, Y, X); an enlarged image has more rows and columns than the labels.
    channels
        The visible channels, int32 (n,).
    tables
        Brightness of each value for each visible channel, uint8 (n, values).
    colors
        Color of each visible channel, float32 (n, 3), with components from 0 to 1.
    palette
        uint8 (256, 3) for color modes that look up the sum of the channels, else (0, 3).
    labels
        int32 (Y, X).
    cells
        0xAARRGGBB of the inside and the outline of each label, uint32 (labels, 2).
    outline_width
        Width of the outlines in screen pixels at 96 dpi; 0: no outlines.
    """

    image: npt.NDArray[Any]
    channels: npt.NDArray[np.int32]
    tables: npt.NDArray[np.uint8]
    colors: npt.NDArray[np.float32]
    palette: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int32]
    cells: npt.NDArray[np.uint32]
    outline_width: float

    @property
    def fineness(self) -> tuple[float, float]:
        """Rows and columns of the image per row and column of the labels."""
        (height, width), (rows, columns) = self.image.shape[1:], self.labels.shape
        return height / rows, width / columns


class Canvas(pg.GraphicsObject):  # type: ignore[misc]
    """Draws a `RenderSettings` in image coordinates: the pixel (y, x) covers y to y + 1, x to x + 1.

    Attributes
    ----------
    size
        Height and width of the image; None: no image.
    begins
        The first screen column that is drawn, in Qt pixels.
    """

    def __init__(self) -> None:
        super().__init__()
        self.size: tuple[int, int] | None = None
        self.begins = 0.0
        self._make: Callable[[], RenderSettings] | None = None
        self._made: RenderSettings | None = None
        self._frame: _Frame | None = None
        self._pixels = np.zeros((0, 0), np.uint32)
        self.setFlag(self.GraphicsItemFlag.ItemUsesExtendedStyleOption, True)

    def show(self, make: Callable[[], RenderSettings] | None, size: tuple[int, int] | None = None) -> None:
        """From now on, draw what `make` returns, an image of this height and width; None: draw nothing."""
        if size != self.size:
            self.prepareGeometryChange()
        self._make, self.size = make, size
        self.refresh()

    def refresh(self) -> None:
        """Redraw once before the next paint, because the content has changed."""
        self._made = self._frame = None
        self.update()

    @property
    def shown(self) -> RenderSettings | None:
        """The content as it is now."""
        if self._made is None and self._make is not None:
            self._made = self._make()
        return self._made

    def boundingRect(self) -> QRectF:
        """Bounds of the image."""
        if self.size is None:
            return QRectF()
        height, width = self.size
        return QRectF(0, 0, width, height)

    def paint(self, painter: QPainter, _option: Any, widget: Any = None) -> None:
        """Fill the visible pixels, unless the last frame already holds them, and put them on the screen."""
        shown = self.shown
        if shown is None or widget is None:
            return
        ratio = widget.devicePixelRatioF()
        to_screen = painter.worldTransform() * QTransform.fromScale(ratio, ratio)
        seen = to_screen.mapRect(self.boundingRect())
        left, top = max(0, int(np.floor(seen.left())), round(self.begins * ratio)), max(0, int(np.floor(seen.top())))
        right = min(int(np.ceil(widget.width() * ratio)), int(np.ceil(seen.right())))
        bottom = min(int(np.ceil(widget.height() * ratio)), int(np.ceil(seen.bottom())))
        if right <= left or bottom <= top:
            return
        place = (left, top, right, bottom, to_screen.m11(), to_screen.m22(), to_screen.dx(), to_screen.dy())
        if self._frame is None or self._frame.place != place:
            self._frame = _Frame.filled(shown, place, ratio, self._frame)
            self._pixels = self._frame.pixels
        height, width = self._pixels.shape
        image = QImage(self._pixels.data, width, height, 4 * width, QImage.Format.Format_RGB32)
        image.setDevicePixelRatio(ratio)
        painter.save()
        painter.resetTransform()
        painter.drawImage(QPointF(left / ratio, top / ratio), image)
        painter.restore()


@dataclass(frozen=True, eq=False)
class _Frame:
    """Filled screen pixels, with the state they show.

    Parameters
    ----------
    place
        Left, top, right and bottom on the screen; scales and offsets from the image to the screen.
    ratio
        Screen pixels per Qt pixel.
    rows, columns
        The image row of each screen row, and the image column of each screen column.
    pixels
        0xffRRGGBB.
    """

    place: tuple[Any, ...]
    ratio: float
    rows: Places
    columns: Places
    pixels: npt.NDArray[np.uint32]

    @classmethod
    def filled(cls, shown: RenderSettings, place: tuple[Any, ...], ratio: float, last: _Frame | None) -> _Frame:
        """The pixels at a place; those that the last frame of the same picture already holds are copied, not filled."""
        left, top, right, bottom, scale_x, scale_y, move_x, move_y = place
        (height, width), (fine_y, fine_x) = shown.image.shape[1:], shown.fineness
        rows = _sources(top, bottom, scale_y / fine_y, move_y, height)
        columns = _sources(left, right, scale_x / fine_x, move_x, width)
        pixels = None
        if last is not None and last.ratio == ratio:  # after a drag the scales differ by a rounding error
            pixels = _moved_on(shown, last, rows, columns, place)
        return cls(place, ratio, rows, columns, _filled(shown, rows, columns, ratio) if pixels is None else pixels)


def _moved_on(
    shown: RenderSettings, last: _Frame, rows: Places, columns: Places, place: tuple[Any, ...]
) -> npt.NDArray[np.uint32] | None:
    """The pixels after the view was dragged: only strips at the edges are new. None: the view was not just dragged."""
    margin = _outline_pixels(shown, last.ratio)  # an outline there may belong to a neighbor that was not visible
    down = _overlap(last.rows, rows, round(place[7] - last.place[7]) + last.place[1] - place[1], margin)
    across = _overlap(last.columns, columns, round(place[6] - last.place[6]) + last.place[0] - place[0], margin)
    if down is None or across is None:
        return None
    (y0, y1, dy), (x0, x1, dx) = down, across
    out = np.empty((rows.size, columns.size), np.uint32)
    out[y0:y1, x0:x1] = last.pixels[y0 - dy : y1 - dy, x0 - dx : x1 - dx]
    n, m = rows.size, columns.size
    for top, bottom, left, right in ((0, y0, 0, m), (y1, n, 0, m), (y0, y1, 0, x0), (y0, y1, x1, m)):
        if bottom > top and right > left:
            above, before = min(top, margin), min(left, margin)
            strip = _filled(
                shown, rows[top - above : bottom + margin], columns[left - before : right + margin], last.ratio
            )
            out[top:bottom, left:right] = strip[above : above + bottom - top, before : before + right - left]
    return out


def _overlap(old: Places, new: Places, shift: int, margin: int) -> tuple[int, int, int] | None:
    """Where the new axis equals the old one moved by `shift`: begin, end and shift; None: nowhere."""
    begin, end = max(0, shift) + margin, min(new.size, old.size + shift) - margin
    if end - begin < new.size // 2:  # nothing would be saved
        return None
    near = slice(begin - margin, end + margin)
    same = np.array_equal(new[near], old[near.start - shift : near.stop - shift])
    return (begin, end, shift) if same else None


def pixels_of(settings: RenderSettings) -> npt.NDArray[np.uint32]:
    """The whole plane, one pixel per image pixel, 0xffRRGGBB (Y, X)."""
    _, height, width = settings.image.shape
    rows, columns = (np.arange(side, dtype=np.int32) for side in (height, width))
    return _filled(settings, rows, columns, 1.0)


def first_pixel(settings: RenderSettings) -> npt.NDArray[np.uint32]:
    """The top left pixel, 0xffRRGGBB (1, 1)."""
    first = np.zeros(1, np.int32)
    return _filled(settings, first, first, 1.0)


def rendered(settings: RenderSettings) -> QImage:
    """The whole plane as a QImage."""
    pixels = pixels_of(settings)
    height, width = pixels.shape
    return QImage(pixels.data, width, height, 4 * width, QImage.Format.Format_RGB32).copy()


def _filled(shown: RenderSettings, rows: Places, columns: Places, ratio: float) -> npt.NDArray[np.uint32]:
    """Screen pixels, 0xffRRGGBB, for these rows and columns of the image."""
    from cellpose.gui.views._kernels import fill_rows

    out = np.empty((rows.size, columns.size), np.uint32)
    fine_y, fine_x = shown.fineness
    cell_rows, cell_columns = _coarser(rows, fine_y), _coarser(columns, fine_x)
    given = (shown.image, shown.channels, shown.tables, shown.colors, shown.palette, shown.labels, shown.cells)
    width, smallest = _outline_pixels(shown, ratio), max(32, _SLICE // max(1, columns.size))
    places = (rows, columns, cell_rows, cell_columns)
    run_sliced(fill_rows, rows.size, out, *places, *given, width, np.uint32(BACKGROUND), smallest=smallest)
    return out


def _outline_pixels(shown: RenderSettings, ratio: float) -> int:
    """Width of the outlines in screen pixels."""
    return max(1, round(shown.outline_width * ratio)) if shown.outline_width else 0


def _sources(start: int, stop: int, scale: float, move: float, length: int) -> Places:
    """The image pixel that each screen pixel shows along one axis; -1 outside the image."""
    places = np.floor((np.arange(start, stop) + 0.5 - move) / scale + 1e-9)  # the same wherever the view is dragged
    return np.where((places >= 0) & (places < length), places, -1).astype(np.int32)


def _coarser(places: Places, fineness: float) -> Places:
    """The label rows or columns for those of a finer image; -1 stays -1."""
    if fineness == 1:
        return places
    return np.where(places >= 0, (places + 0.5) / fineness, -1).astype(np.int32)


class Scene(pg.GraphicsView):  # type: ignore[misc]
    """The view with the canvas, the stroke being drawn and its start, and the disk that shows the diameter."""

    def __init__(self) -> None:
        super().__init__(background=QColor(BACKGROUND & 0xFFFFFF))
        pg.setConfigOptions(mouseRateLimit=-1)  # a fast hand must not lose points
        self.box = pg.ViewBox(lockAspect=True, invertY=True, enableMenu=False, border=None)
        self.setCentralItem(self.box)
        self.canvas, self.after = Canvas(), Canvas()  # the second lies over the first for comparisons
        for canvas in (self.canvas, self.after):
            self.box.addItem(canvas, ignoreBounds=True)
        self.halo, self.stroke, self.waiting = QGraphicsPathItem(), QGraphicsPathItem(), QGraphicsPathItem()
        halo = QPen(QColor(0, 0, 0, 140), 5)
        halo.setCosmetic(True)
        self.halo.setPen(halo)
        self.pixels = QGraphicsPixmapItem()
        self.start = QGraphicsEllipseItem()
        self.disk = QGraphicsEllipseItem()
        for item, color in ((self.start, _START), (self.disk, _DISK)):
            item.setBrush(color)
            item.setPen(QPen(Qt.PenStyle.NoPen))
        for item in (self.halo, self.waiting, self.stroke, self.pixels, self.start, self.disk):
            self.box.addItem(item, ignoreBounds=True)
            item.setVisible(False)
        self.text = pg.TextItem(color=MEASURE, fill=QColor(0, 0, 0, 170))
        self.box.addItem(self.text, ignoreBounds=True)
        self.text.setVisible(False)
        self._below = 0.0  # rows below the image that are part of the full view
        self._whole: tuple[int, int] | None = None  # the image shown in full, until the user zooms or pans
        self.box.sigRangeChangedManually.connect(lambda *_: self._forget_whole())
        self.viewport().setMouseTracking(True)
        self.setCursor(Qt.CursorShape.CrossCursor)

    def fit(self, height: int, width: int) -> None:
        """Show the full image, and keep doing so when the window is resized."""
        self._whole = (height, width)
        far = _FARTHEST * (max(height, width) + self._below)
        self.box.setLimits(minXRange=1, minYRange=1, maxXRange=far, maxYRange=far)  # the image stays in reach
        self.box.setRange(xRange=(0, width), yRange=(0, height + self._below), padding=0.01)

    def show_disk(self, diameter: float | None, height: int) -> None:
        """Show a disk of this diameter in pixels below an image of this height; None: no disk."""
        self.disk.setVisible(diameter is not None)
        gap = 0.02 * height
        self._below = 0.0 if diameter is None else diameter + gap
        if diameter is not None:
            self.disk.setRect(QRectF(0, height + gap, diameter, diameter))
        if self._whole is not None:
            self.fit(*self._whole)

    def look_at(self, box: Box) -> None:
        """Center a cell; zoom in if it would be tiny, zoom out if it does not fit."""
        self._forget_whole()
        (x0, x1), (y0, y1) = self.box.viewRange()
        _, height, width = box.shape
        share = max(height / max(y1 - y0, 1e-9), width / max(x1 - x0, 1e-9))
        zoom = share / _SHARE if share < _SHARE / 2 else max(1.0, share / _MOST_SHARE)
        half_x, half_y = zoom * (x1 - x0) / 2, zoom * (y1 - y0) / 2
        y, x = (box.y0 + box.y1) / 2, (box.x0 + box.x1) / 2
        self.box.setRange(xRange=(x - half_x, x + half_x), yRange=(y - half_y, y + half_y), padding=0)

    def zoom(self, factor: float) -> None:
        """Scale the visible range by a factor around the center."""
        self._forget_whole()
        self.box.scaleBy((factor, factor))

    def zoom_at(self, factor: float, place: QPointF) -> None:
        """Scale the visible range by a factor, keeping this place where it is."""
        self._forget_whole()
        self.box.scaleBy((factor, factor), center=place)

    def go_to(self, y: float, x: float) -> None:
        """Center this place."""
        self._forget_whole()
        seen = self.box.viewRect().center()
        self.box.translateBy(x=x - seen.x(), y=y - seen.y())

    @property
    def shows_all(self) -> bool:
        """Whether the full image is shown, and stays so when the window is resized."""
        return self._whole is not None

    def _forget_whole(self) -> None:
        self._whole = None

    def resizeEvent(self, event: Any) -> None:
        """Keep the full image in view if it was."""
        super().resizeEvent(event)
        whole = getattr(self, "_whole", None)  # Qt sends this before the constructor has finished
        if whole:
            self.fit(*whole)

    def place(self, position: QPointF) -> tuple[float, float]:
        """The pixel (y, x) of the image under a position of the viewport."""
        point = self.box.mapSceneToView(self.mapToScene(position.toPoint()))
        return float(point.y()), float(point.x())

    def show_preview(self, preview: Preview | None) -> None:
        """Show what a tool is about to do: a path, pixels, or nothing."""
        drawn = preview is not None and len(preview.path) > 0
        self.stroke.setVisible(drawn)
        self.start.setVisible(drawn and preview is not None and not (preview.closed or preview.text))
        self.pixels.setVisible(preview is not None and preview.mask is not None)
        for item in (self.halo, self.text):
            item.setVisible(preview is not None and bool(preview.text))
        if preview is None:
            return
        if drawn:
            self._show_path(preview)
        if preview.mask is not None:
            self.pixels.setPixmap(_tinted(preview.mask))
            self.pixels.setPos(preview.corner[1], preview.corner[0])

    def show_waiting(self, strokes: Sequence[Preview]) -> None:
        """Show strokes that are waiting to become a cell."""
        whole = QPainterPath()
        for stroke in strokes:
            whole.addPath(_path_of(stroke)[0])
        self.waiting.setPath(whole)
        self.waiting.setVisible(bool(strokes))
        if strokes:
            self.waiting.setPen(_pen_of(strokes[-1]))

    def _show_path(self, preview: Preview) -> None:
        path, points = _path_of(preview)
        if preview.text:
            self.halo.setPath(path)
            self.text.setText(preview.text)
            self.text.setAnchor((0.0 if points[-1].x() >= points[0].x() else 1.0, 0.5))
            self.text.setPos(points[-1])
        self.stroke.setPen(_pen_of(preview))
        self.stroke.setPath(path)
        side = max(1.0, preview.width)
        self.start.setRect(QRectF(points[0].x() - side / 2, points[0].y() - side / 2, side, side))


def _path_of(preview: Preview) -> tuple[QPainterPath, list[QPointF]]:
    """The path of a stroke: its line and corners, at pixel centers."""
    points = [QPointF(x + 0.5, y + 0.5) for y, x in preview.path.tolist()]
    path = QPainterPath(points[0])
    for point in points[1:] or points:
        path.lineTo(point)
    if preview.closed:
        path.closeSubpath()
    return path, points


def _pen_of(preview: Preview) -> QPen:
    pen = QPen(MEASURE if preview.text else _STROKE, preview.width or 2)
    pen.setCosmetic(preview.width == 0)
    pen.setCapStyle(Qt.PenCapStyle.RoundCap)
    pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
    return pen


def _tinted(mask: npt.NDArray[np.bool_]) -> QPixmap:
    """The pixels of a mask; those on its outline are opaque."""
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    colors = np.where(mask & ~inner, _PREVIEW_EDGE, np.where(mask, _PREVIEW, 0)).astype(np.uint32)
    height, width = colors.shape
    image = QImage(colors.tobytes(), width, height, 4 * width, QImage.Format.Format_ARGB32)
    return QPixmap.fromImage(image)
