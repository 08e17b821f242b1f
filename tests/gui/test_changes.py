"""What a ``_seg.npy`` tells of the cells that a person added and removed."""

from __future__ import annotations

import numpy as np
import pytest

from cellpose.gui.model import Box, LabelStore, _changes
from cellpose.gui.model import _operations as operations
from cellpose.gui.model._changes import changes_after


def test_places_are_found_once_for_each_edit() -> None:
    labels = np.zeros((40, 50), np.int32)
    labels[2:8, 3:9], labels[20:30, 10:40] = 1, 2
    store = LabelStore(labels)
    edits = [operations.delete(store, [2, 1])]
    changes = changes_after((), edits, planes=1)
    assert [action for _, action, _ in changes] == ["removed mask"] * 2
    for cell, (_, _, place) in enumerate(changes, 1):
        np.testing.assert_array_equal(place, np.nonzero(labels == cell))
    edits.append(operations.add_cell(store, Box(0, 1, 30, 34, 1, 5), np.ones((1, 4, 4), bool)))
    again = changes_after((), edits, planes=1)
    assert all(one is other for one, other in zip(changes, again[:2], strict=True))
    assert [(action, len(place[0])) for _, action, place in again[2:]] == [("added mask", 16)]


def test_pixels_of_patches_that_overlap_are_told_once() -> None:
    store = LabelStore(np.zeros((20, 20), np.int32))
    boxes = [Box(0, 1, 2, 8, 2, 8), Box(0, 1, 5, 12, 2, 8)]
    edit = store.write("draw cell", [(box, np.full(box.shape, 1, np.int32)) for box in boxes])
    ((_, _, place),) = changes_after((), [edit], planes=1)
    np.testing.assert_array_equal(place, np.nonzero(store.planes[0] == 1))


def test_places_of_very_many_pixels_stay_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.repeat(np.arange(1, 5, dtype=np.int32), 25).reshape(10, 10)
    for most, told in ((100, [25] * 4), (99, [0] * 4)):
        monkeypatch.setattr(_changes, "_MOST", most)
        edit = operations.delete(LabelStore(labels), [1, 2, 3, 4])
        changes = changes_after((), [edit], planes=1)
        assert [len(np.transpose(place)) for _, _, place in changes] == told
