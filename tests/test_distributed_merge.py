"""Blocks of distributed runs, and how their labels become cells: no Dask needed."""

from __future__ import annotations

import numpy as np
import pytest

from cellpose.contrib.distributed_segmentation import (
    get_block_crops,
    get_nblocks,
    global_segment_ids,
    merge_all_boxes,
    remove_overlaps,
)
from cellpose.contrib.distributed_segmentation._blocks import core_of, later_neighbours, neighbours
from cellpose.contrib.distributed_segmentation._merge import match_labels, number_cells
from cellpose.errors import InputError, OptionError


@pytest.mark.parametrize(("shape", "side", "overlap"), [((50, 61), (20, 20), 6), ((9, 30, 31), (4, 16, 10), 2)])
def test_blocks_fill_the_array_once(shape, side, overlap):
    filled = np.zeros(shape, int)
    indices, crops = get_block_crops(shape, side, overlap)
    assert len(indices) == np.prod(get_nblocks(shape, side))
    numbers = np.arange(np.prod(shape)).reshape(shape)
    for index, crop in zip(indices, crops, strict=True):
        inner, outer = remove_overlaps(numbers[crop], crop, overlap, side)
        np.testing.assert_array_equal(inner, numbers[tuple(outer)])
        assert tuple(outer) == core_of(index, shape, side)
        filled[tuple(outer)] += 1
    assert (filled == 1).all()


def test_the_mask_may_be_coarser_or_finer():
    for factor in (0.1, 1, 3):
        mask = np.zeros((round(100 * factor), round(80 * factor)), bool)
        mask[round(70 * factor), round(50 * factor)] = True
        indices, _ = get_block_crops((100, 80), (20, 20), 4, mask)
        assert indices == [(3, 2)]
    with pytest.raises(InputError, match="mask of shape"):
        get_block_crops((100, 80), (20, 20), 4, np.ones(3))
    with pytest.raises(OptionError, match="blocksize"):
        get_nblocks((100, 80), (20,))


def test_neighbours_are_met_once():
    processed = set(np.ndindex(3, 3)) - {(0, 1)}
    assert set(neighbours((1, 1), processed)) == processed - {(1, 1)}
    pairs = [(i, other) for i in processed for other in later_neighbours(i, processed)]
    assert len(pairs) == len(set(pairs))
    assert {frozenset(pair) for pair in pairs} == {
        frozenset((i, j)) for i in processed for j in processed if i != j and max(abs(np.subtract(i, j))) == 1
    }


def test_ids_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="100000 labels"):
        global_segment_ids(np.arange(100_001), (0,), (1,))
    with pytest.raises(InputError, match="block 50000"):
        global_segment_ids(np.array([1]), (50_000,), (100_000,))


def test_each_label_is_matched_at_most_once():
    a = np.array([[1] * 10 + [0] * 2 + [2] * 4])
    b = np.array([[5] * 6 + [6] * 4 + [0] * 2 + [6] * 4])
    assert [(one, other) for one, other, _ in match_labels(a, b)] == [(1, 5), (2, 6)]
    assert match_labels(np.zeros((3, 3), int), a[:, :9].reshape(3, 3)) == []


def test_neighbours_that_only_touch_are_not_matched():
    # the same border seen two pixels apart: each cell shares a little with its neighbour
    a, b = np.repeat([1, 2], [20, 20]), np.repeat([1, 2], [18, 22])
    assert [(one, other) for one, other, _ in match_labels(a, b)] == [(2, 2), (1, 1)]


def test_a_cell_over_four_blocks_is_one():
    blocks = [(0, 0), (0, 1), (1, 0), (1, 1)]
    present = {index: np.array([1, 3]) for index in blocks}
    pairs = [(i, j, [(3, 3, 0.9)]) for n, i in enumerate(blocks) for j in blocks[n + 1 :]]
    tables, n = number_cells(present, pairs)
    assert n == 5
    assert len({int(table[3]) for table in tables.values()}) == 1
    assert sorted({int(v) for table in tables.values() for v in table}) == [0, 1, 2, 3, 4, 5]


def test_two_cells_of_a_block_are_never_joined_through_others():
    # block 1 sees one cell where block 0 sees two; block 2 agrees with each of them
    present = {(0,): np.array([1, 2]), (1,): np.array([1]), (2,): np.array([1])}
    pairs = [((0,), (1,), [(1, 1, 0.9)]), ((1,), (2,), [(1, 1, 0.8)]), ((0,), (2,), [(2, 1, 0.7)])]
    tables, n = number_cells(present, pairs)
    assert n == 2
    assert tables[0,][1] == tables[1,][1] == tables[2,][1] != tables[0,][2]


def test_labels_that_a_block_sees_only_in_its_overlap_have_no_number():
    tables, n = number_cells({(0,): np.array([2]), (1,): np.array([], int)}, [((0,), (1,), [(2, 1, 1.0)])])
    assert (n, tables[0,].tolist(), tables[1,].tolist()) == (1, [0, 0, 1], [0])


def test_boxes():
    assert merge_all_boxes([], []) == []
    boxes = [(slice(4, 9), slice(0, 2)), (slice(0, 3), slice(5, 6)), (slice(2, 5), slice(1, 7))]
    assert merge_all_boxes(boxes, [9, 4, 9]) == [(slice(0, 3), slice(5, 6)), (slice(2, 9), slice(0, 7))]
