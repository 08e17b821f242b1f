"""Going through the cells by keys, clicks and the table."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QItemSelectionModel, Qt
from qtpy.QtTest import QTest

from cellpose.gui.model import _operations as operations
from cellpose.gui.views._window import Window
from hand import Modifier, click, draw, key

SHIFT, CTRL = Modifier.ShiftModifier, Modifier.ControlModifier


@pytest.fixture
def doubtful(window: Window) -> Window:
    """Nine cells 1..9 of 8 x 8 pixels in a grid, with scores 0.9, 0.8, ... 0.1."""
    labels = np.zeros((200, 200), np.int32)
    for number in range(9):
        y, x = divmod(number, 3)
        labels[20 + 60 * y : 28 + 60 * y, 20 + 60 * x : 28 + 60 * x] = number + 1
    document = window.session.open_array(np.zeros((1, 1, 200, 200), np.uint8))
    document.do(operations.replace_all, labels[None], np.linspace(0.9, 0.1, 9, dtype=np.float32))
    window.cells.raise_()
    return window


def listed(window: Window) -> list[int]:
    return window.cells.model.cells.order.tolist()


def selected_rows(window: Window) -> list[int]:
    return sorted(index.row() for index in window.cells.table.selectionModel().selectedRows())


def click_row(window: Window, row: int, keys: Modifier = Modifier.NoModifier) -> None:
    table = window.cells.table
    spot = table.visualRect(window.cells.model.index(row, 1)).center()
    QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, keys, spot)


def click_header(window: Window, column: int) -> None:
    header = window.cells.table.horizontalHeader()
    spot = header.viewport().rect().topLeft()
    spot.setX(header.sectionViewportPosition(column) + 6)
    spot.setY(header.height() // 2)
    QTest.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, Modifier.NoModifier, spot)


def type_filter(window: Window, text: str) -> None:
    window.cells.filter.clear()
    QTest.keyClicks(window.cells.filter, text)


def test_the_next_doubtful_cell_is_shown_large_and_checking_goes_on(doubtful: Window) -> None:
    session = doubtful.session
    key(doubtful, "N")
    assert session.document.selection == {9}
    y0, x0, y1, x1 = session.seen
    assert ((y0 + y1) / 2, (x0 + x1) / 2) == pytest.approx((144, 144), abs=0.5)
    assert 8 / min(y1 - y0, x1 - x0) == pytest.approx(1 / 6, rel=0.5)
    assert "score 0.10; 0 of 9 checked" in doubtful.statusBar().currentMessage()
    key(doubtful, "Y")
    assert session.document.selection == {8}
    assert doubtful.cells.words.text().startswith("1 of 9 checked")
    key(doubtful, "N")
    key(doubtful, "Y")
    assert session.document.labels.table["checked"][[9, 8, 7]].tolist() == [True, False, True]
    assert session.document.selection == {6}, "a cell that was passed over does not come back at once"
    key(doubtful, "N", CTRL | SHIFT)
    assert session.document.selection == {8}
    key(doubtful, "Z", CTRL)
    assert not session.document.labels.table["checked"][7]
    click(doubtful, 142, 82)
    for _ in range(9):
        key(doubtful, "Y")
    assert "9 of 9" in doubtful.statusBar().currentMessage()


def test_a_cell_drawn_by_hand_needs_no_check(doubtful: Window) -> None:
    draw(doubtful, 55, 55, 8)
    assert doubtful.cells.words.text().startswith("1 of 10 checked")
    key(doubtful, "N")
    assert doubtful.session.document.selection == {9}


def test_unchecked_again(doubtful: Window) -> None:
    key(doubtful, "N")
    key(doubtful, "Y")
    doubtful.session.document.select([9])
    key(doubtful, "Y", SHIFT)
    assert not doubtful.session.document.labels.table["checked"].any()


def test_a_click_in_the_table_selects_and_centres_and_the_view_selects_the_row(doubtful: Window) -> None:
    session = doubtful.session
    click_row(doubtful, 3)
    assert session.document.selection == {4}
    y0, x0, y1, x1 = session.seen
    assert ((y0 + y1) / 2, (x0 + x1) / 2) == pytest.approx((84, 24), abs=0.5)
    session.fit.emit()
    click(doubtful, 24, 84)
    assert selected_rows(doubtful) == [1]
    click_row(doubtful, 5, SHIFT)
    assert session.document.selection == {2, 3, 4, 5, 6}
    click_row(doubtful, 3, CTRL)
    assert session.document.selection == {2, 3, 5, 6}
    key(doubtful, "Delete")
    assert listed(doubtful) == [1, 4, 7, 8, 9]
    key(doubtful, "Z", CTRL)
    assert listed(doubtful) == list(range(1, 10))
    key(doubtful, "A", CTRL)
    assert len(selected_rows(doubtful)) == 9


def test_the_table_has_its_arrows_and_the_window_its_digits(doubtful: Window) -> None:
    click_row(doubtful, 0)
    color = doubtful.session.view.color
    QTest.keyClick(doubtful.cells.table, Qt.Key.Key_Down)
    assert doubtful.session.document.selection == {2}
    QTest.keyClick(doubtful.cells.table, Qt.Key.Key_3)
    assert doubtful.session.document.labels.table["kind"][2] == 3
    assert doubtful.session.view.color == color


def test_sorted_by_a_click_on_the_title(doubtful: Window) -> None:
    click_header(doubtful, 3)
    assert listed(doubtful) == list(range(9, 0, -1))
    click_header(doubtful, 3)
    assert listed(doubtful) == list(range(1, 10))
    doubtful.session.document.select([4])
    assert selected_rows(doubtful) == [3]
    click_header(doubtful, 3)
    assert selected_rows(doubtful) == [5], "the selection stays with the cell"


def test_a_filter_follows_the_edits_and_says_what_it_does_not_understand(doubtful: Window) -> None:
    type_filter(doubtful, "score<0.45 unchecked")
    assert listed(doubtful) == [6, 7, 8, 9]
    key(doubtful, "N")
    key(doubtful, "Y")
    assert listed(doubtful) == [6, 7, 8]
    assert doubtful.session.document.selection == {8}
    assert selected_rows(doubtful) == [2]
    key(doubtful, "Z", CTRL)
    assert listed(doubtful) == [6, 7, 8, 9]
    assert "4 listed" in doubtful.cells.words.text()
    type_filter(doubtful, "score<<")
    assert listed(doubtful) == list(range(1, 10))
    assert "score<5" in doubtful.cells.filter.toolTip() or "no number" in doubtful.cells.filter.toolTip()
    assert doubtful.cells.filter.property("wrong")
    assert doubtful.cells.words.text() == doubtful.cells.filter.toolTip()


def test_digits_give_classes_to_the_selected_and_to_the_clicked(doubtful: Window) -> None:
    document, table = doubtful.session.document, lambda: doubtful.session.document.labels.table["kind"]
    click(doubtful, 24, 24)
    key(doubtful, "2")
    key(doubtful, "3", CTRL)
    assert table()[1] == 3
    key(doubtful, "Z", CTRL)
    assert table()[1] == 2
    key(doubtful, "0")
    assert table()[1] == 0
    document.select([])
    key(doubtful, "4")
    assert doubtful.session.pointer.tool == "classify"
    assert doubtful.status.mode.text() == "4: class 4"
    click(doubtful, 24, 84)
    click(doubtful, 84, 24)
    key(doubtful, "5")
    assert doubtful.status.mode.text() == "5: class 5"
    click(doubtful, 84, 84)
    assert table()[[2, 4, 5]].tolist() == [4, 4, 5]
    assert document.selection == set()
    key(doubtful, "Escape")
    assert doubtful.session.pointer.tool == "select"
    click(doubtful, 84, 84)
    assert document.selection == {5}
    steps = len(document.history)
    key(doubtful, "5")
    assert len(document.history) == steps, "it is of this class already"


def test_other_cells_are_hidden_and_cannot_be_clicked(doubtful: Window) -> None:
    document, view = doubtful.session.document, doubtful.session.view
    document.select([1, 5])
    key(doubtful, "I")
    assert view.isolated == {1, 5}
    click(doubtful, 24, 84)
    assert document.selection == set()
    draw(doubtful, 55, 55, 8)
    assert view.isolated == {1, 5, 10}, "a new cell is seen"
    key(doubtful, "I")
    assert not view.isolated
    click(doubtful, 24, 84)
    assert document.selection == {2}
    key(doubtful, "I")
    doubtful.session.open_array(np.zeros((1, 1, 9, 9), np.uint8))
    assert not view.isolated


def test_names_of_classes_are_typed_and_shown(doubtful: Window) -> None:
    doubtful.session.document.select([1])
    key(doubtful, "1")
    name = doubtful.cells.names[0]
    name.selectAll()
    QTest.keyClicks(name, "neuron 1")
    QTest.keyClick(name, Qt.Key.Key_Return)
    assert doubtful.session.review.classes.name(1) == "neuron 1"
    model = doubtful.cells.model
    assert model.data(model.index(0, 4)) == "neuron 1"
    assert model.data(model.index(0, 4), Qt.ItemDataRole.DecorationRole).name() == "#0072b2"
    type_filter(doubtful, 'class="neuron 1"')
    assert listed(doubtful) == [1]


def test_sizes_are_in_micrometres_where_the_pixel_is_known(window: Window) -> None:
    labels = np.zeros((20, 20), np.int32)
    labels[2:12, 2:12] = 1
    window.session.open_array(np.zeros((1, 1, 20, 20), np.uint8), labels, pixel_um=(0.5, 0.5))
    model = window.cells.model
    assert [model.headerData(column, Qt.Orientation.Horizontal) for column in (1, 2)] == ["µm²", "⌀ µm"]
    assert [model.data(model.index(0, column)) for column in range(5)] == ["1", "25", "5.642", "", ""]
    assert model.data(model.index(0, 1), Qt.ItemDataRole.ToolTipRole) == "100 pixels"


def test_what_qt_is_told_is_what_happened(doubtful: Window, qtmodeltester: object) -> None:
    """Rows are inserted, removed and moved one by one, and Qt's own checks agree."""
    model = doubtful.cells.model
    resets, changes = [], []
    model.modelReset.connect(lambda: resets.append(1))
    model.dataChanged.connect(lambda first, last: changes.append((first.row(), last.row())))
    qtmodeltester.check(model)
    doubtful.cells.table.selectionModel().select(model.index(2, 0), QItemSelectionModel.SelectionFlag.ClearAndSelect)
    key(doubtful, "7")
    doubtful.session.document.do(operations.delete, [1])
    doubtful.session.document.do(operations.merge, [4, 5])
    doubtful.session.undo()
    assert listed(doubtful) == list(range(2, 10))
    assert not resets
    assert changes[0] == (2, 2)
    qtmodeltester.check(model)


@pytest.mark.parametrize("rows", [(3, 4), (4, 3), (2, 4), (7, 8), (0, 1, 2)])
def test_an_edit_that_removes_rows_does_not_move_the_view(doubtful: Window, rows: tuple[int, ...]) -> None:
    looked, session = [], doubtful.session
    click_row(doubtful, rows[0])
    for row in rows[1:]:
        click_row(doubtful, row, CTRL)
    session.review.look_at.connect(looked.append)
    first = min(rows) + 1
    key(doubtful, "J", SHIFT)
    assert len(listed(doubtful)) == 10 - len(rows)
    assert (session.document.selection, selected_rows(doubtful)) == ({first}, [first - 1])
    session.undo()
    assert session.document.selection == {first}
    session.document.select([row + 1 for row in rows])
    session.document.do(operations.delete, [first])
    assert session.document.selection == {row + 1 for row in rows} - {first}
    assert not looked
