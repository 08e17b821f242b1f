"""Many cells at once: selected by clicks, lassos and boxes, and changed together."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from cellpose.gui.model import LabelStore
from cellpose.gui.model import _regions as regions
from cellpose.gui.views._window import Window
from hand import Modifier, click, drag, hover, key, place

SIDE = 120
SHIFT, CTRL, ALT = Modifier.ShiftModifier, Modifier.ControlModifier, Modifier.AltModifier
AROUND_FOUR = [(4, 4), (4, 58), (58, 58), (58, 4), (5, 4)]  # cells 1, 2, 5, 6


@pytest.fixture
def many(many: Window) -> Window:
    """With a hole in cell 1."""
    document = many.session.document
    labels = document.labels.planes.copy()
    labels[0, 15:18, 15:18] = 0
    many.session.open_array(document.stack, labels)
    return many


def test_ctrl_shift_click_adds_and_takes_away(many: Window) -> None:
    document = many.session.document
    click(many, 20, 20)
    click(many, 20, 45, keys=CTRL | SHIFT)
    click(many, 45, 20, keys=CTRL | SHIFT)
    assert document.selection == {1, 2, 5}
    click(many, 20, 45, keys=CTRL | SHIFT)
    assert document.selection == {1, 5}
    click(many, 2, 2, keys=CTRL | SHIFT)
    assert document.selection == {1, 5}, "background is no cell"
    assert many.session.cell_count() == 16
    assert many.session.pointer.mode == "select"
    key(many, "Delete")
    assert many.session.cell_count() == 14


def test_a_lasso_selects_more_and_fewer(many: Window) -> None:
    document = many.session.document
    key(many, "L", SHIFT)
    drag(many, *AROUND_FOUR)
    assert document.selection == {1, 2, 5, 6}
    drag(many, (60, 60), (60, 115), (115, 115), (115, 60), (61, 60), keys=SHIFT)
    assert document.selection == {1, 2, 5, 6, 11, 12, 15, 16}
    drag(many, *AROUND_FOUR, keys=ALT)
    assert document.selection == {11, 12, 15, 16}
    click(many, 20, 20, keys=SHIFT)
    click(many, 75, 75, keys=SHIFT)
    assert document.selection == {1, 12, 15, 16}
    click(many, 75, 75, keys=CTRL)
    assert not document.labels.has(11), "Ctrl+click removes with every tool"
    assert many.session.pointer.mode == "lasso"


def test_a_box_selects_what_it_touches_while_it_is_dragged(many: Window) -> None:
    viewport, left = many.scene.viewport(), Qt.MouseButton.LeftButton
    key(many, "V")
    spots = [place(many, *point) for point in ((2, 2), (12, 40), (40, 40))]
    QTest.mousePress(viewport, left, Modifier.NoModifier, spots[0])
    QTest.mouseMove(viewport, spots[1])
    assert many.session.document.selection == {1, 2}
    assert many.scene.stroke.isVisible()
    assert not many.scene.start.isVisible()
    QTest.mouseMove(viewport, spots[2])
    QTest.mouseRelease(viewport, left, Modifier.NoModifier, spots[2])
    assert many.session.document.selection == {1, 2, 5, 6}
    assert not many.scene.stroke.isVisible()


def test_a_box_merges_what_it_touches(many: Window) -> None:
    document = many.session.document
    click(many, 100, 100)
    key(many, "J")
    QTest.mousePress(many.scene.viewport(), Qt.MouseButton.LeftButton, Modifier.NoModifier, place(many, 20, 20))
    QTest.mouseMove(many.scene.viewport(), place(many, 20, 70))
    assert document.selection == {1, 2, 3}, "seen before it is done"
    key(many, "Escape")
    assert document.selection == {16}, "as it was"
    QTest.mouseRelease(many.scene.viewport(), Qt.MouseButton.LeftButton, Modifier.NoModifier, place(many, 20, 70))
    assert many.session.cell_count() == 16
    drag(many, (20, 20), (20, 40), (20, 70))
    assert many.session.cell_count() == 14
    assert document.labels.at(0, 20, 20) == document.labels.at(0, 20, 70) == 1, "the lowest number"
    assert "3 pieces" in many.statusBar().currentMessage()
    key(many, "Z", CTRL)
    assert many.session.cell_count() == 16


@pytest.mark.parametrize(("name", "keys", "grows"), [("F", SHIFT, 9), ("BracketRight", Modifier.NoModifier, None)])
def test_shapes_of_all_selected_cells_change_as_one_step(
    many: Window, name: str, keys: Modifier, grows: int | None
) -> None:
    document = many.session.document
    before = document.labels.table["area"].copy()
    key(many, "A", CTRL)
    assert len(document.selection) == 16
    key(many, name, keys)
    now = document.labels.table["area"]
    assert (now[1:] > before[1:]).all() if grows is None else now[1] == before[1] + grows
    assert len(document.history) == 1


def test_merging_and_shrinking_what_is_selected(many: Window) -> None:
    document = many.session.document
    key(many, "L", SHIFT)
    drag(many, *AROUND_FOUR)
    key(many, "J", SHIFT)
    assert many.session.cell_count() == 13
    area = int(document.labels.table["area"][1])
    assert document.selection == {1}
    key(many, "BracketLeft")
    assert document.labels.table["area"][1] < area


def test_removing_by_lassos(many: Window) -> None:
    many.panel.drawing.lasso.click()
    assert many.session.pointer.mode == "remove"
    drag(many, *AROUND_FOUR)
    click(many, 100, 100)
    click(many, 20, 20)
    assert many.session.document.selection == {2, 5, 6, 16}
    key(many, "Return")
    assert many.session.cell_count() == 12
    assert many.session.pointer.mode == "select"
    drag(many, *AROUND_FOUR)
    assert many.session.cell_count() == 12, "a drag pans again"


def test_cells_inside_of_a_line_also_of_a_large_plane(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    labels = np.arange(1, 401, dtype=np.int32).reshape(20, 20).repeat(20, axis=0).repeat(20, axis=1)
    store = LabelStore(labels)
    line = np.array([(15.0, 30.0), (300.0, 90.0), (380.0, 390.0), (100.0, 200.0)])
    exact = regions.cells_inside(store, 0, line)
    assert 30 < len(exact) < 200
    monkeypatch.setattr(regions, "_MOST_PIXELS", 10_000)
    assert len(exact ^ regions.cells_inside(store, 0, line)) <= 0.1 * len(exact)
    assert regions.cells_inside(store, 0, line[:2]) == set()
    assert regions.cells_inside(store, 0, line - 5000) == set()
    assert regions.cells_inside(store, 0, rng.uniform(-900, 900, (3, 2))) <= set(range(1, 401))


@pytest.mark.parametrize("tool", ["brush", "outline"])
def test_other_cells_are_left_alone_unless_it_is_wanted(filled: Window, tool: str) -> None:
    document, view = filled.session.document, filled.session.view
    assert filled.panel.drawing.preserve.isChecked()

    def draw_across() -> None:
        if tool == "brush":
            filled.session.pointer.choose("brush")
            drag(filled, (50, 10), (50, 30), (50, 70))  # from the background through both cells
            filled.session.pointer.choose("select")
        else:
            path = [(y, 10.0) for y in range(47, 54)] + [(53.0, x) for x in range(11, 71, 2)] + [(47.0, 70.0)]
            click(filled, *path[0], "RightButton")
            for y, x in path[1:]:
                hover(filled, y, x)
            click(filled, *path[-1], "RightButton")

    draw_across()
    assert document.labels.table["area"][[1, 2]].tolist() == [400, 400]
    key(filled, "Z", CTRL)
    view.preserve = False
    view.brush = 3
    draw_across()
    table = document.labels.table
    assert table["area"][1] < 400
    assert document.labels.at(0, 50, 30) == document.labels.at(0, 50, 50) == document.labels.at(0, 50, 15)
    assert "cell 1 fell into 2 pieces" in filled.statusBar().currentMessage()
    assert filled.session.cell_count() == 5, "pieces that were cut off are cells"
