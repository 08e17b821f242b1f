"""The list of cells without a window: order, filter, steps, classes."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellpose.errors import EditRefusedError, InputError
from cellpose.gui.model import Box, LabelStore
from cellpose.gui.model import _operations as operations
from cellpose.gui.model._cell_filter import filter_of
from cellpose.gui.model._cell_list import COLUMNS, CellList
from cellpose.gui.model._classes import Classes
from cellpose.gui.model._history import History
from cellpose.gui.model._marks import check, set_class


def scored(*scores: float) -> LabelStore:
    """Cells 1..n of 10, 20, 30, ... pixels with these scores."""
    labels = np.zeros((2 * len(scores), 10 * len(scores)), np.int32)
    for number in range(1, len(scores) + 1):
        labels[2 * number - 2, : 10 * number] = number
    store = LabelStore(labels)
    store.restore("score", np.array(scores, np.float32))
    return store


@pytest.mark.parametrize(
    ("text", "found"),
    [("", [1, 2, 3, 4]), ("score<0.5", [2, 4]), ("score < .5 and size>20", [4]), ("not score<0.5", [1, 3]),
     ("class=2", [3]), ('class="immune cell"', [3]), ("class!=0,unchecked", [3]), ("checked", [1]),
     ("not checked", [2, 3, 4]),
     ("manual", [4]), ("unchecked", [2, 3]), ("id>=3 id<=3", [3]), ("DIAMETER>7", [4]), ("!scored", [3])],
)  # fmt: skip
def test_filters(text: str, found: list[int]) -> None:
    store = scored(0.9, 0.1, np.nan, 0.2)
    set_class(store, [3], 2)
    check(store, [1])
    store.restore("manual", np.array([False, False, False, True]))
    cells = CellList(store)
    cells.set_filter(text, ["tumour", "immune cell"])
    assert cells.order.tolist() == found


@pytest.mark.parametrize(
    ("text", "told"),
    [("nonsense", "words are"), ("score", "score<5"), ("weight>3", "no field"), ("size<big", "no number"),
     ("class=unknown", "no number"), ("score<0.5 ???", "not understood"), ("<3", "not understood")],
)  # fmt: skip
def test_a_filter_that_makes_no_sense_says_what_is_allowed(text: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        filter_of(text)


def test_order_by_any_column_with_unknown_scores_last() -> None:
    cells = CellList(scored(0.9, 0.1, np.nan, 0.2))
    for column, descending, order in (
        ("score", False, [2, 4, 1, 3]), ("score", True, [1, 4, 2, 3]), ("size", True, [4, 3, 2, 1]),
        ("id", False, [1, 2, 3, 4]),
    ):  # fmt: skip
        cells.sort(column, descending)
        assert cells.order.tolist() == order
    assert [cells.value(0, column) for column in COLUMNS[:5]] == pytest.approx([1, 10, 3.568, 0.9, 0], rel=1e-3)
    assert cells.value(0, "state") == ""


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**31), st.sampled_from(COLUMNS), st.booleans(), st.sampled_from(["", "unchecked", "class=1 size>3"])
)
def test_steps_after_any_edit_undo_and_redo_give_the_list_made_anew(
    seed: int, column: str, descending: bool, text: str
) -> None:
    rng = np.random.default_rng(seed)
    store = scored(*rng.random(6).round(1))
    history = History(store)
    cells = CellList(store)
    cells.set_filter(text)
    cells.sort(column, descending)

    def some(n: int) -> list[int]:
        return rng.choice(store.ids, min(n, store.count), replace=False).tolist()

    def anywhere() -> tuple[Box, np.ndarray]:
        y = int(rng.integers(0, 11))
        box = Box(0, 1, y, y + 1, 20, 60)
        return box, np.ones(box.shape, bool)

    edits = [
        lambda: set_class(store, some(2), int(rng.integers(3))),
        lambda: check(store, some(3), bool(rng.integers(2))),
        lambda: operations.delete(store, some(1)),
        lambda: operations.merge(store, some(2)),
        lambda: operations.add_cell(store, *anywhere()),
    ]
    for _ in range(15):
        choice = int(rng.integers(7))
        try:
            edit = edits[choice]() if choice < 5 else history.undo() if choice == 5 else history.redo()
        except EditRefusedError:
            continue
        if edit is None:
            continue
        if choice < 5:
            history.record(edit)
        ids = edit.ids.tolist()
        for n, cell in enumerate(ids, 1):
            cells.take(cells.step(cell, ids[n:]))
        stepped = cells.order.tolist()
        cells.refresh()
        assert stepped == cells.order.tolist()


def test_20000_cells_are_listed_and_one_is_marked_quickly() -> None:
    side = 150
    store = LabelStore(np.arange(1, 20_001, dtype=np.int32).reshape(100, 200).repeat(3, 0).repeat(3, 1))
    store.restore("score", np.random.default_rng(0).random(20_000).astype(np.float32))
    begin = time.process_time()
    cells = CellList(store)
    cells.set_filter("score<0.9")
    cells.sort("score")
    assert time.process_time() - begin < 1, "three sorts of 20,000 numbers, about 10 ms"
    begin = time.process_time()
    for cell in range(1, side):
        for number in check(store, [cell]).ids.tolist():
            cells.take(cells.step(number))
    assert (time.process_time() - begin) / side < 0.02, "about 0.5 ms each"


def test_names_and_colors_of_classes_go_into_a_file_and_come_back() -> None:
    classes, others = Classes(), Classes()
    told = []
    classes.changed.connect(lambda: told.append(1))
    classes[0].rename("  tumour \n cell ")
    classes[8].color = "#102030"
    assert told == [1, 1]
    others.read(classes.content())
    assert others.names == ["tumour cell", *(f"class {n}" for n in range(2, 10))]
    assert others.colors[8].tolist() == [16, 32, 48]
    for nonsense in (None, {}, {"names": ["a"], "colors": np.zeros(3)}, {"names": [1] * 9, "colors": "red"}):
        others.read(nonsense)
    assert others.names[0] == "tumour cell"
    classes[0].rename(" ")
    assert classes.names[0] == "class 1"
