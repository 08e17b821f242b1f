"""What is painted: as little as can be, and never anything else than all of it painted anew would show."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from cellpose.gui.model import Box
from cellpose.gui.model import _operations as operations
from cellpose.gui.views import _canvas, _divider
from cellpose.gui.views._window import Window
from hand import click, key


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """What was made to be painted, in order."""
    known: list[object] = []
    real = _divider.render_settings

    def render_settings(*given: object) -> object:
        known.append(real(*given))
        return known[-1]

    monkeypatch.setattr(_divider, "render_settings", render_settings)
    return known


@pytest.fixture
def filled_pixels(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pixels of the screen were filled each time."""
    counts: list[int] = []
    real = _canvas._filled

    def filled(shown: object, rows: np.ndarray, columns: np.ndarray, ratio: float) -> np.ndarray:
        counts.append(rows.size * columns.size)
        return real(shown, rows, columns, ratio)

    monkeypatch.setattr(_canvas, "_filled", filled)
    return counts


def test_an_edit_is_pictured_once(many: Window, made: list[object]) -> None:
    QApplication.processEvents()
    for act in (
        lambda: click(many, 15, 15),
        lambda: click(many, 15, 45, keys=Qt.KeyboardModifier.AltModifier),
        lambda: key(many, "Z", Qt.KeyboardModifier.ControlModifier),
        lambda: click(many, 45, 45, keys=Qt.KeyboardModifier.ControlModifier),
        lambda: many.session.clear(),
        lambda: many.session.undo(),
    ):
        before = len(many.session.document.history)
        made.clear()
        act()
        QApplication.processEvents()
        assert len(made) == 1, before


def test_what_changes_before_it_is_painted_is_seen(many: Window) -> None:
    QApplication.processEvents()
    document = many.session.document
    document.do(operations.delete, [6])
    document.do(operations.delete, [7])
    shown = many.scene.canvas.shown
    assert not np.isin([6, 7], shown.labels).any()
    document.select([1])
    assert many.scene.canvas.shown.cells[1, 0] != shown.cells[1, 0]


@pytest.mark.parametrize("width", [0, 1, 3])
@pytest.mark.parametrize("half", [25.0, 90.0])
def test_a_view_that_is_dragged_fills_strips_and_shows_the_same(
    many: Window, filled_pixels: list[int], width: int, half: float
) -> None:
    session, canvas, box = many.session, many.scene.canvas, many.scene.box
    session.view.minimap_on = False
    session.view.outlines_on, session.view.outline_width = width > 0, width or 1
    box.setRange(xRange=(60 - half, 60 + half), yRange=(60 - half, 60 + half), padding=0)
    many.scene.viewport().repaint()
    for across, down in ((12, 0), (-7, 3), (0, -20), (5, 5), (-64, -33)):
        pixel_x, pixel_y = box.viewPixelSize()
        before, whole = canvas._frame, canvas._pixels.size
        filled_pixels.clear()
        box.translateBy(x=across * pixel_x, y=down * pixel_y)
        many.scene.viewport().repaint()
        frame = canvas._frame
        assert frame is not before
        assert sum(filled_pixels) < whole / 2
        assert np.array_equal(canvas._pixels, _canvas._filled(canvas.shown, frame.rows, frame.columns, frame.ratio))


def test_a_view_that_jumps_or_zooms_is_filled_anew(many: Window) -> None:
    canvas, box = many.scene.canvas, many.scene.box
    for x0, x1 in ((10, 60), (70, 120), (10, 61), (11.3, 61.3), (-900, 1000)):
        box.setRange(xRange=(x0, x1), yRange=(x0, x1), padding=0)
        many.scene.viewport().repaint()
        frame = canvas._frame
        assert np.array_equal(canvas._pixels, _canvas._filled(canvas.shown, frame.rows, frame.columns, frame.ratio))


def test_the_minimap_looks_up_the_labels_that_changed(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    side = 2000
    labels = np.zeros((side, side), np.int32)
    labels[100:300, 100:300], labels[1500:1700, 1500:1700] = 1, 2
    window.session.open_array(np.zeros((1, 1, side, side), np.uint8), labels)
    document, small = window.session.document, window.minimap
    rows = columns = 50
    first = small._sampled(document.labels.planes[0], (rows, columns)).copy()
    assert set(np.unique(first)) == {0, 1, 2}

    def nothing(*_: object) -> None:
        pytest.fail("the whole plane was looked up again")

    for act in (
        lambda: document.do(operations.delete, [1]),
        lambda: document.do(operations.add_cell, Box(0, 1, 900, 1100, 40, 90), np.ones((1, 200, 50), bool)),
        document.undo,
        document.undo,
        document.redo,
    ):
        act()
        planes = document.labels.planes
        with monkeypatch.context() as patch:
            patch.setattr("cellpose.gui.views._minimap.samples", nothing)
            seen = small._sampled(planes[0], (rows, columns))
        middles = (np.arange(rows) * 2 + 1) * side // (2 * rows)
        assert np.array_equal(seen, planes[0][np.ix_(middles, middles)])
