"""Pens of tablets, and undo in the middle of a stroke."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QInputDevice, QPointingDevice, QTabletEvent
from qtpy.QtWidgets import QApplication

from cellpose.gui.model._strokes import painted
from cellpose.gui.views._window import Window
from hand import Modifier, circle, click, entry, hover, key, place

CTRL = Modifier.ControlModifier
Kind = QEvent.Type


ERASER = QPointingDevice(
    "pen", 7, QInputDevice.DeviceType.Stylus, QPointingDevice.PointerType.Eraser, QInputDevice.Capability.Pressure, 1, 1
)


def pen(
    window: Window, kind: Kind, y: float, x: float, pressure: float = 0.5, button: str = "LeftButton",
    held: bool = True, device: QPointingDevice | None = None,
) -> bool:  # fmt: skip
    """What a pen does; whether the window took it."""
    viewport, spot = window.scene.viewport(), QPointF(place(window, y, x))
    pressed = getattr(Qt.MouseButton, button) if kind != Kind.TabletMove else Qt.MouseButton.NoButton
    buttons = getattr(Qt.MouseButton, button) if held and kind != Kind.TabletRelease else Qt.MouseButton.NoButton
    event = QTabletEvent(
        kind, device or QPointingDevice.primaryPointingDevice(), spot, QPointF(viewport.mapToGlobal(spot)), pressure,
        0, 0, 0, 0, 0, Modifier.NoModifier, pressed, buttons,
    )  # fmt: skip
    QApplication.sendEvent(viewport, event)
    return event.isAccepted()


def stroke(
    window: Window, points: list[tuple[float, float, float]], device: QPointingDevice | None = None, end: bool = True
) -> None:
    first, *others = points
    assert pen(window, Kind.TabletPress, *first, device=device)
    for point in others:
        assert pen(window, Kind.TabletMove, *point, device=device)
    assert not end or pen(window, Kind.TabletRelease, *points[-1], device=device)


def test_no_point_of_a_fast_pen_is_dropped(filled: Window) -> None:
    """A thousand moves without a pause: the outline of the cell has each of them."""
    filled.resize(900, 700)
    path = circle(90, 85, 20)[:-3]
    rng = np.random.default_rng(0)
    zigzag = [(90 + 4 * k % 20, 15 + rng.integers(0, 30)) for k in range(40)]
    pen(filled, Kind.TabletPress, *path[0], button="RightButton")
    pen(filled, Kind.TabletRelease, *path[0], button="RightButton")
    drawn = []
    filled.session.pointer.preview_changed.connect(lambda preview: drawn.append(preview))
    for point in path[1:]:
        assert pen(filled, Kind.TabletMove, *point, held=False)
    assert len(drawn[-1].path) == len({tuple(np.floor(point + 0.5)) for point in path})
    pen(filled, Kind.TabletPress, *path[-1], button="RightButton")
    assert filled.session.cell_count() == 3
    key(filled, "P")
    stroke(filled, [(float(y), float(x), 0.5) for y, x in zigzag])
    assert filled.session.cell_count() == 4
    assert len(filled.session.document.history) == 2, "one step for a stroke"


@pytest.mark.parametrize("counts", [True, False])
def test_pressure_scales_the_brush_if_wanted(filled: Window, counts: bool) -> None:
    filled.session.view.brush = 12
    if counts:
        entry(filled, "Edit", "Pen pressure scales the brush").trigger()
    key(filled, "P")
    stroke(filled, [(90.0, float(x), 0.25 if x < 60 else 1.0) for x in range(20, 101, 4)])
    (cell,) = filled.session.document.labels.ids[2:]
    mask = filled.session.document.labels.planes[0] == cell
    thin, thick = mask[:, 35].sum(), mask[:, 85].sum()
    assert thick == 13
    assert thin == (3 if counts else 13)


@pytest.mark.parametrize("tool", ["select", "brush", "click", "box"])
def test_the_other_end_of_a_pen_erases_with_every_tool_which_stays(filled: Window, tool: str) -> None:
    session, document = filled.session, filled.session.document
    if tool != "select":
        session.pointer.choose(tool)
    session.view.brush = 7
    stroke(filled, [(50.0, float(x), 0.5) for x in range(25, 36)], ERASER)
    assert session.pointer.tool == tool
    assert len(document.history) == 1
    assert not document.labels.planes[0][50, 25:36].any()
    assert document.labels.table["area"][2] == 400, "the cell beside it is whole"
    stroke(filled, [(50.0, 45.0, 0.5), (50.0, 50.0, 0.5)], ERASER, end=False)
    assert session.pointer.mode == "drawing"
    key(filled, "Escape")
    assert (session.pointer.mode, session.pointer.tool) == (tool, tool)
    assert document.labels.table["area"][2] == 400


def test_the_other_end_of_a_pen_begins_nothing_while_an_outline_is_open(filled: Window) -> None:
    click(filled, 90, 20, "RightButton")
    pen(filled, Kind.TabletPress, 50, 30, device=ERASER)
    pen(filled, Kind.TabletRelease, 50, 30, device=ERASER)
    assert filled.session.pointer.mode == "drawing"
    assert not filled.session.document.history.edits


def test_a_mouse_paints_in_full_size_with_pressure_on(filled: Window) -> None:
    from hand import drag

    filled.session.view.brush, filled.session.view.pressure = 12, True
    key(filled, "P")
    drag(filled, (90, 20), (90, 60), (90, 100))
    assert (filled.session.document.labels.planes[0] == 3)[:, 60].sum() == 13


def test_what_no_tool_wants_is_left_to_the_view(filled: Window) -> None:
    assert not pen(filled, Kind.TabletPress, 90, 60)
    assert not pen(filled, Kind.TabletRelease, 90, 60)


def test_sizes_along_a_path_and_one_size_are_the_same_brush() -> None:
    path = np.array([(5.0, 5.0), (20.0, 9.0), (30.0, 30.0)])
    box, mask = painted(path, 7, (1, 40, 40))
    other, same = painted(path, np.full(3, 7.0), (1, 40, 40))
    assert box == other
    assert np.array_equal(mask, same)


def test_undo_takes_back_the_end_of_an_open_outline_first(filled: Window) -> None:
    session, drawn = filled.session, []
    session.document.select([1])
    key(filled, "Delete")
    session.pointer.preview_changed.connect(lambda preview: drawn.append(preview))
    click(filled, 90, 20, "RightButton")
    for x in range(21, 61):
        hover(filled, 90, x)
    key(filled, "Z", CTRL)
    assert len(drawn[-1].path) == 41 - 12
    assert session.pointer.mode == "drawing"
    hover(filled, 100, 40)
    for _ in range(3):
        key(filled, "Z", CTRL)
    assert session.pointer.mode == "select", "nothing is left of it"
    assert session.cell_count() == 1
    key(filled, "Z", CTRL)
    assert session.cell_count() == 2


def test_undo_takes_back_the_end_of_a_stroke_of_the_brush_that_is_one_step(filled: Window) -> None:
    session = filled.session
    session.view.brush = 5
    key(filled, "P")
    assert pen(filled, Kind.TabletPress, 90, 20)
    for x in range(22, 82, 2):
        pen(filled, Kind.TabletMove, 90, x)
    key(filled, "Z", CTRL)
    pen(filled, Kind.TabletRelease, 90, 82)
    columns = np.flatnonzero((session.document.labels.planes[0] == 3).any(axis=0))
    assert columns.max() == 20 + 2 * (30 - 12) + 2
    assert len(session.document.history) == 1
    key(filled, "Z", CTRL)
    assert session.cell_count() == 2
