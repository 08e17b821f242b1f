"""The labels of the window: edits, undo, redo, and what every operation keeps true."""

from __future__ import annotations

from collections.abc import Callable
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellpose._labels.arrays import scan
from cellpose.errors import EditRefusedError, InputError
from cellpose.gui.model import _frozen
from cellpose.gui.model import _operations as operations
from cellpose.gui.model._box import Box
from cellpose.gui.model._history import History
from cellpose.gui.model._labels import Edit, LabelStore
from cellpose.gui.model._marks import check, next_doubtful, set_class
from cellpose.gui.model._packed import Packed
from cellpose.gui.model._strokes import outlined, painted


def cells(*boxes: tuple[int, int, int, int], shape: tuple[int, int] = (40, 40)) -> LabelStore:
    labels = np.zeros(shape, np.int32)
    for number, (y0, y1, x0, x1) in enumerate(boxes, 1):
        labels[y0:y1, x0:x1] = number
    return LabelStore(labels)


def box_mask(y0: int, y1: int, x0: int, x1: int) -> tuple[Box, np.ndarray]:
    box = Box(0, 1, y0, y1, x0, x1)
    return box, np.ones(box.shape, bool)


def assert_table_true(store: LabelStore) -> None:
    """Areas and boxes of the table are those of the pixels."""
    found = scan(store.planes)
    area, box = np.zeros(store.next_id, np.int64), np.zeros((store.next_id, 6), np.int32)
    area[: len(found.counts)], box[: len(found.counts)] = found.counts, found.boxes
    area[0], box[0] = 0, 0
    assert np.array_equal(store.table["area"], area)
    alive = area > 0
    assert np.array_equal(store.table["box"][alive], box[alive])


def test_a_new_cell_takes_free_pixels_only() -> None:
    store = cells((10, 20, 10, 20))
    edit = operations.add_cell(store, *box_mask(15, 30, 15, 30))
    assert edit.added.tolist() == [2]
    assert store.table["area"].tolist() == [0, 100, 225 - 25]
    assert store.table["manual"].tolist() == [False, False, True]
    assert_table_true(store)


def test_a_cell_without_room_is_refused_and_changes_nothing() -> None:
    store = cells((10, 20, 10, 20))
    before = store.planes.copy()
    with pytest.raises(EditRefusedError, match="0 free pixels"):
        operations.add_cell(store, *box_mask(11, 15, 11, 15))
    with pytest.raises(EditRefusedError, match="9 free pixels, at least 10"):
        operations.add_cell(store, *box_mask(30, 33, 30, 33))
    assert np.array_equal(store.planes, before)
    assert store.next_id == 2


def test_a_new_cell_cut_by_another_keeps_its_largest_piece_and_says_so() -> None:
    store = cells((0, 40, 18, 20))
    edit = operations.add_cell(store, *box_mask(10, 20, 10, 25))
    assert store.table["area"][2] == 80
    assert "2 pieces" in edit.note
    assert "50 pixels" in edit.note


def test_remove_merge_and_back() -> None:
    store = cells((0, 10, 0, 10), (0, 10, 10, 20), (20, 30, 20, 30))
    first = store.planes.copy()
    history = History(store)
    history.record(operations.merge(store, [2, 1]))
    assert store.ids.tolist() == [2, 3]
    assert store.table["area"][2] == 200
    history.record(operations.delete(store, [2, 3]))
    assert store.count == 0
    assert (history.next_undo, history.next_redo) == ("remove 2 cells", None)
    history.undo()
    history.undo()
    assert np.array_equal(store.planes, first)
    assert history.undo() is None
    assert_table_true(store)


def test_merging_cells_that_do_not_touch_says_so() -> None:
    edit = operations.merge(store := cells((0, 10, 0, 10), (20, 30, 20, 30)), [1, 2])
    assert edit.note == "cell 1 is in 2 pieces"
    assert store.box(1) == Box(0, 1, 0, 30, 0, 30)


def test_a_line_splits_a_cell_and_no_pixel_is_lost() -> None:
    store = cells((10, 20, 5, 35))
    operations.split(store, 1, np.array([[5, 15], [25, 22]]))
    assert store.count == 2
    assert store.table["area"][1:].sum() == 300
    assert store.table["area"][1:].min() > 90
    assert_table_true(store)
    with pytest.raises(EditRefusedError, match="does not cut"):
        operations.split(store, 1, np.array([[12, 12], [14, 14]]))


def test_erasing_through_a_cell_makes_two() -> None:
    store = cells((10, 20, 5, 35), (20, 25, 5, 35))
    edit = operations.erase(store, *box_mask(8, 22, 18, 20), cell=1)
    assert edit.note == "cell 1 fell into 2 pieces"
    assert sorted(store.table["area"][store.ids].tolist()) == [130, 150, 150]
    assert store.table["area"][2] == 150, "only the cell that was named is erased"
    assert_table_true(store)


@pytest.mark.parametrize(
    ("operation", "area"),
    [
        (lambda store: operations.grow(store, [1], 2), 11 * 11 + 4 * 11 * 2 + 4 * 1),
        (lambda store: operations.grow(store, [1], -2), 49),
        (lambda store: operations.fill_holes(store, [1]), 121),
    ],
)
def test_shapes(operation: Callable[[LabelStore], Edit], area: int) -> None:
    labels = np.zeros((40, 40), np.int32)
    labels[10:21, 10:21] = 1
    if area == 121:
        labels[15, 15] = 0
    store = LabelStore(labels)
    operation(store)
    assert store.table["area"][1] == pytest.approx(area, abs=8)
    assert store.table["manual"][1]
    assert_table_true(store)


def test_growing_cells_do_not_take_each_others_pixels() -> None:
    store = cells((10, 20, 10, 20), (10, 20, 22, 32))
    operations.grow(store, [1], 5)
    assert store.table["area"][2] == 100
    with pytest.raises(EditRefusedError, match="nothing to change"):
        operations.grow(store, [2], -20)


def test_numbers_and_classes() -> None:
    store = cells((0, 10, 0, 10), (20, 30, 20, 30))
    set_class(store, [2], 3)
    check(store, [2])
    operations.change_number(store, 2, 7)
    assert store.ids.tolist() == [1, 7]
    assert store.table["kind"][7] == 3
    labels, rows = store.numbered()
    assert np.unique(labels).tolist() == [0, 1, 2]
    assert rows["checked"].tolist() == [False, True]
    with pytest.raises(EditRefusedError, match="number 1 is not free"):
        operations.change_number(store, 7, 1)
    with pytest.raises(EditRefusedError, match="no cell is selected"):
        operations.delete(store, [2])


@pytest.mark.parametrize(
    ("other", "areas", "note"),
    [
        (False, 64, "cell 1 is in 2 pieces"),
        (True, 52, "other cells cut it into 3 pieces; the largest stayed, 8 pixels did not; cell 2 is in 2 pieces"),
    ],
)
def test_a_cell_that_is_drawn_in_pieces_keeps_them(other: bool, areas: int, note: str) -> None:
    """As by a brush that leaves the image and comes back."""
    store = LabelStore.empty((1, 20, 20))
    if other:
        operations.add_cell(store, Box(0, 1, 0, 20, 2, 3), np.ones((1, 20, 1), bool))
    mask = np.zeros((1, 20, 20), bool)
    mask[0, 2:6, :8] = mask[0, 12:16, 10:18] = True
    edit = operations.add_cell(store, Box(0, 1, 0, 20, 0, 20), mask)
    assert store.table["area"][edit.added].tolist() == [areas]
    assert edit.note == note


def test_a_cell_that_was_changed_by_hand_has_no_score_and_its_pieces_keep_its_class() -> None:
    labels = np.zeros((1, 40, 40), np.int32)
    labels[0, 10:20, 5:35], labels[0, 25:35, 5:35] = 1, 2
    store = cells()
    operations.replace_all(store, labels, np.array([0.9, 0.4], np.float32))
    assert store.table["score"][1:].tolist() == pytest.approx([0.9, 0.4])
    set_class(store, [1], 4)
    edit = operations.split(store, 1, np.array([[5, 20], [25, 20]]))
    assert np.isnan(store.table["score"][[1, 3]]).all()
    assert store.table["kind"][1:].tolist() == [4, 0, 4]
    store.revert(edit)
    assert store.table["score"][1] == pytest.approx(0.9)


def test_marks_that_change_nothing_are_refused() -> None:
    store = cells((0, 10, 0, 10))
    set_class(store, [1], 2)
    for mark in (lambda: set_class(store, [1], 2), lambda: check(store, [1], False), lambda: check(store, [])):
        with pytest.raises(EditRefusedError, match=r"nothing to change|no cell"):
            mark()
    with pytest.raises(EditRefusedError, match="no class 10"):
        set_class(store, [1], 10)


def test_the_most_doubtful_first_round_and_round() -> None:
    store = cells(*((10 * n, 10 * n + 8, 0, 8) for n in range(4)))
    labels = store.planes.copy()
    operations.replace_all(store, labels, np.array([0.9, 0.2, np.nan, 0.5], np.float32))
    first = store.ids[0]  # numbers are new
    seen, here = [], None
    for _ in range(5):
        here = next_doubtful(store, here)
        seen.append(here - first)
    assert seen == [1, 3, 0, 2, 1]
    assert next_doubtful(store, here, back=True) == first + 2
    check(store, [first + 1])
    assert next_doubtful(store) == next_doubtful(store, int(first + 1)) == first + 3, "from a checked cell on"
    assert next_doubtful(store, int(first + 1), back=True) == first + 2
    check(store, store.ids.tolist())
    assert next_doubtful(store) is None


def test_saved_or_not() -> None:
    history = History(store := cells((0, 10, 0, 10), (20, 30, 20, 30)))
    history.record(operations.delete(store, [1]))
    assert not history.is_saved
    history.mark_saved()
    history.undo()
    assert not history.is_saved
    history.redo()
    assert history.is_saved
    history.undo()
    history.record(operations.delete(store, [2]))
    assert not history.is_saved, "as many edits, but others"
    written = history.state
    history.undo()
    history.record(operations.delete(store, [1]))
    history.mark_saved(written)
    assert not history.is_saved, "as many edits as when the file was begun, but others"
    history.mark_saved()
    history.resume(history.edits, history.undone, history.saved)
    assert history.is_saved


def test_large_patches_are_packed() -> None:
    labels = np.zeros((600, 600), np.int32)
    labels[100:500, 100:500] = 70_000
    packed = Packed.of(labels)
    assert packed.nbytes < labels.nbytes / 50
    assert np.array_equal(packed.unpacked(), labels)


def test_wrong_labels_are_refused() -> None:
    with pytest.raises(InputError, match="shape"):
        LabelStore(np.zeros(5, np.int32))
    with pytest.raises(InputError, match="down to -1"):
        LabelStore(np.full((5, 5), -1))
    with pytest.raises(InputError, match="no cell 4"):
        cells((0, 5, 0, 5)).box(4)


def test_strokes() -> None:
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    circle = np.stack([20 + 8 * np.sin(angle), 20 + 8 * np.cos(angle)], axis=1)
    box, mask = outlined(circle, (1, 40, 40))
    assert mask.sum() == pytest.approx(np.pi * 8.5**2, rel=0.05)
    assert box.slices[1].start <= 12
    with pytest.raises(EditRefusedError, match="8 points"):
        outlined(circle[:8], (1, 40, 40))
    with pytest.raises(EditRefusedError, match="outside"):
        outlined(circle + 100, (1, 40, 40))
    box, mask = outlined(circle - 18, (1, 40, 40))
    assert (box.y0, box.x0) == (0, 0)
    assert mask.shape == box.shape
    assert painted(np.array([[5, 5]]), 1, (1, 40, 40))[1].sum() == 1
    assert painted(np.array([[5, 5], [5, 25]]), 5, (1, 40, 40))[1].sum() == pytest.approx(5 * 21 + 16, abs=8)


Draw = Callable[[LabelStore, np.random.Generator], Edit]


def _some(store: LabelStore, rng: np.random.Generator, n: int) -> list[int]:
    return [int(cell) for cell in rng.choice(store.ids, min(n, store.count), replace=False)] if store.count else []


def _anywhere(rng: np.random.Generator) -> tuple[Box, np.ndarray]:
    y, x = rng.integers(0, 30, 2)
    box = Box(0, 1, int(y), int(y + rng.integers(1, 10)), int(x), int(x + rng.integers(1, 10)))
    return box, rng.random(box.shape) < 0.9


def _anew(store: LabelStore, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    box, mask = _anywhere(rng)
    labels = np.zeros(store.shape, np.int32)
    labels[box.slices][mask] = 1
    return labels, rng.random(1, np.float32)


RANDOM: list[Draw] = [
    lambda store, rng: operations.add_cell(store, *_anywhere(rng)),
    lambda store, rng: operations.delete(store, _some(store, rng, 3)),
    lambda store, rng: operations.merge(store, _some(store, rng, 2)),
    lambda store, rng: operations.add_to_cell(store, *_some(store, rng, 1), *_anywhere(rng), over_others=True),
    lambda store, rng: operations.add_to_cell(store, *_some(store, rng, 1), *_anywhere(rng)),
    lambda store, rng: operations.erase(store, *_anywhere(rng)),
    lambda store, rng: operations.split(store, *_some(store, rng, 1), rng.integers(0, 40, (2, 2))),
    lambda store, rng: operations.fill_holes(store, _some(store, rng, 9)),
    lambda store, rng: operations.smooth(store, _some(store, rng, 2)),
    lambda store, rng: operations.grow(store, _some(store, rng, 2), int(rng.choice([-2, -1, 1, 2]))),
    lambda store, rng: operations.change_number(store, *_some(store, rng, 1), int(rng.integers(1, 60))),
    lambda store, rng: set_class(store, _some(store, rng, 2), int(rng.integers(9))),
    lambda store, rng: check(store, _some(store, rng, 2), bool(rng.integers(2))),
    lambda store, rng: operations.replace_all(store, *_anew(store, rng), keep=_some(store, rng, 2)),
    lambda store, rng: operations.clear(store),
]  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, len(RANDOM) - 2), min_size=1, max_size=40), st.integers(0, 2**31))
def test_any_edits_undone_give_the_first_labels_and_redone_the_last(steps: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    store = cells((0, 10, 0, 10), (0, 10, 10, 20), (20, 30, 20, 30), shape=(40, 40))
    history = History(store)
    states = [(store.planes.copy(), store.table.copy())]
    for step in [*steps, len(RANDOM) - 1]:
        try:
            history.record(RANDOM[step](store, rng))
        except (EditRefusedError, TypeError):  # TypeError: no cell is left to choose
            continue
        assert_table_true(store)
        states.append((store.planes.copy(), store.table.copy()))
    for planes, rows in reversed(states[:-1]):
        assert history.undo() is not None
        assert np.array_equal(store.planes, planes)
        assert store.table[: len(rows)].tobytes() == rows.tobytes()
        assert not store.table["area"][len(rows) :].any()
    while history.redo():
        pass
    assert np.array_equal(store.planes, states[-1][0])
    assert store.table.tobytes() == states[-1][1].tobytes()


def test_many_cells_are_deleted_at_once_and_come_back() -> None:
    store = LabelStore(np.kron(np.arange(1, 901, dtype=np.int32).reshape(30, 30), np.ones((4, 4), np.int32)))
    before, rows = store.planes.copy(), store.table.copy()
    edit = operations.delete(store, range(1, 900))
    assert len(edit.patches) == 1
    assert store.ids.tolist() == [900]
    assert np.count_nonzero(store.planes) == 16
    store.revert(edit)
    assert np.array_equal(store.planes, before)
    assert np.array_equal(store.table["box"], rows["box"])


def test_a_store_without_cells_looks_through_no_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    from cellpose.gui.model import _labels

    monkeypatch.setattr(_labels, "scan", lambda *_: pytest.fail("the pixels were looked through"))
    store = LabelStore.empty((1, 30, 40))
    assert (store.shape, store.count, store.next_id, store.ids.size) == ((1, 30, 40), 0, 1, 0)
    assert np.isnan(store.table["score"]).all()


def test_cells_of_a_large_patch_are_told_as_those_of_a_small_one() -> None:
    """From some size on a kernel finds what changes."""
    rng = np.random.default_rng(0)
    tiles = rng.integers(0, 40, (2, 20, 20)).astype(np.int32)
    edits = []
    for repeat in (1, 16):  # the second has 102,400 pixels
        old, new = (np.kron(each, np.ones((repeat, repeat), np.int32)) for each in tiles)
        store = LabelStore(old)
        edit = operations.replace_all(store, new[None])
        assert_table_true(store)
        edits.append(
            (edit.ids.tolist(), (store.table["area"] // repeat**2).tolist(), store.planes[0, ::repeat, ::repeat])
        )
        store.revert(edit)
        assert np.array_equal(store.planes[0], old)
        assert_table_true(store)
    assert edits[0][:2] == edits[1][:2]
    assert np.array_equal(edits[0][2], edits[1][2])


def test_frozen_labels_are_those_of_their_moment() -> None:
    """Whatever is edited until they are copied, and while they are."""
    rng = np.random.default_rng(0)
    store = LabelStore(np.kron(np.arange(1, 26).reshape(5, 5), np.ones((12, 12), int)).astype(np.int32))
    store.write("remove", [(Box(0, 1, 0, 12, 0, 12), np.zeros((1, 12, 12), np.int32))])
    expected = store.numbered()[0].copy()
    frozen, rows = store.frozen()

    class Edited(np.ndarray):
        """Labels that are edited each time a part of them is read."""

        def __getitem__(self, place: object) -> object:
            part = np.asarray(self)[place].copy()
            _edit_anywhere(store, rng)
            return part

    _edit_anywhere(store, rng)
    frozen._planes = store.planes.view(Edited)
    with patch.object(_frozen, "_BAND", 60):
        copied = frozen.labels()
    assert np.array_equal(copied, expected)
    assert not np.array_equal(store.planes, expected)
    assert len(rows) == copied.max() == 24
    _edit_anywhere(store, rng)
    assert frozen.labels() is copied
    assert np.array_equal(copied, expected)


def _edit_anywhere(store: LabelStore, rng: np.random.Generator) -> None:
    """An edit, taken back or not, and done again or not."""
    y, x = rng.integers(0, 50, 2)
    box = Box(0, 1, int(y), int(y) + 9, int(x), int(x) + 8)
    edit = store.write("draw", [(box, np.full(box.shape, store.next_id, np.int32))])
    if rng.random() < 0.6:
        store.revert(edit)
        if rng.random() < 0.6:
            store.apply(edit)


def test_to_freeze_labels_copies_no_pixel_and_is_forgotten_with_its_user() -> None:
    store = LabelStore.empty((1, 30_000, 30_000))  # 3.6 GB, were they touched
    store.write("draw", [(Box(0, 1, 5, 9, 5, 9), np.ones((1, 4, 4), np.int32))])
    frozen, rows = store.frozen()
    assert (len(rows), len(store._frozen)) == (1, 1)
    del frozen
    assert not len(store._frozen)


@pytest.mark.parametrize("pixels", [1, 2, 4, -1, -2])
@pytest.mark.parametrize("n_planes", [1, 3])
def test_many_cells_are_grown_as_one_by_one(pixels: int, n_planes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also at the border, where they touch, are in pieces, would vanish, or stay as they are beside others."""
    rng = np.random.default_rng(pixels + 2)
    coarse = rng.integers(0, 160, (n_planes, 24, 30)) * (rng.random((n_planes, 24, 30)) < 0.5)
    labels = np.kron(coarse, np.ones((1, 4, 5), int)).astype(np.int32)
    chosen = rng.permutation(160)[:120].tolist()
    stores = [LabelStore(labels), LabelStore(labels)]
    edits = []
    for store, many in zip(stores, (10, 10_000), strict=True):
        monkeypatch.setattr(operations, "_MANY", many)
        edits.append(operations.grow(store, chosen, pixels))
    assert np.array_equal(stores[0].planes, stores[1].planes)
    assert stores[0].table.tobytes() == stores[1].table.tobytes()
    assert edits[0].ids.tolist() == edits[1].ids.tolist()
    assert edits[0].note == edits[1].note
    stores[0].revert(edits[0])
    assert np.array_equal(stores[0].planes, labels)
