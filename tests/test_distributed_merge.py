"""Blocks of distributed runs, and how their labels become cells: no Dask needed."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from cellpose.contrib import distributed_segmentation as ds
from cellpose.contrib.distributed_segmentation import (
    block_faces,
    determine_merge_relabeling,
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


def one_by_one(present, matches):
    """The rule of `number_cells` as it reads: the best pair first, none that gives a block two labels of a cell."""
    cell = {(index, int(label)): {(index, int(label))} for index in present for label in present[index]}
    pairs = [(-iou, (one, a), (other, b)) for one, other, rows in matches for a, b, iou in rows]
    for _, first, second in sorted(pairs):
        a, b = cell[first], cell[second]
        if a is not b and not {index for index, _ in a} & {index for index, _ in b}:
            a |= b
            for key in b:
                cell[key] = a
    numbers = {}
    return {key: numbers.setdefault(id(cell[key]), len(numbers) + 1) for key in sorted(cell)}


@pytest.mark.parametrize("seed", range(5))
def test_cells_are_numbered_as_if_pairs_were_joined_one_by_one(seed):
    rng = np.random.default_rng(seed)
    blocks = [tuple(int(i) for i in at) for at in np.ndindex(3, 4)]
    present = {index: np.sort(rng.choice(20, rng.integers(0, 12), replace=False)) + 1 for index in blocks}
    matches = []
    for index in blocks:
        for other in later_neighbours(index, set(blocks)):
            n = min(len(present[index]), len(present[other]), 3)
            if n:
                ours, theirs = (rng.choice(present[b], n, replace=False) for b in (index, other))
                rows = zip(ours.tolist(), theirs.tolist(), rng.choice([0.3, 0.5, 0.9], n).tolist(), strict=True)
                matches.append((index, other, list(rows)))
    expected = one_by_one(present, matches)
    tables, n_cells = number_cells(present, matches)
    assert n_cells == max(expected.values())
    found = {(index, int(label)): int(tables[index][label]) for index in blocks for label in present[index]}
    assert found == expected
    assert n_cells < len(expected)  # something was joined


def test_more_than_a_million_cells_are_numbered():
    side, cells = 8, 2500
    blocks = [tuple(int(i) for i in at) for at in np.ndindex(side, side, side)]
    present = {index: np.arange(1, cells + 1) for index in blocks}
    matches = [(index, (*index[:2], index[2] + 1), [(cells, 1, 0.9)]) for index in blocks if index[2] + 1 < side]
    tables, n_cells = number_cells(present, matches)
    assert n_cells == side**3 * cells - len(matches) > 2**20
    assert tables[0, 0, 0][cells] == tables[0, 0, 1][1] == cells
    last = (side - 1,) * 3
    assert tables[last].dtype == np.uint32
    assert tables[last][cells] == n_cells
    total = np.concatenate([table[1:] for table in tables.values()])
    assert len(np.unique(total)) == n_cells


def test_labels_are_joined_across_faces_where_only_faces_are_known():
    left, right = np.zeros((2, 12, 6), np.uint32)
    left[2:7, 3:], right[2:7, :4] = 1, 100_001  # one cell
    left[8:11, 1:3], right[9:11, 3:5] = 2, 100_002
    left[11, 5], right[7:12, 0] = 3, 100_003  # these only touch
    used = np.array([1, 2, 3, 100_001, 100_002, 100_003])
    new = determine_merge_relabeling([(0, 0), (0, 1)], [block_faces(left), block_faces(right)], used)
    assert (new.dtype, new.shape) == (np.uint32, (100_004,))
    assert new[used].tolist() == [1, 2, 3, 1, 4, 5]
    assert np.count_nonzero(new) == 6
    assert determine_merge_relabeling([], [], []).tolist() == [0]


@pytest.mark.parametrize(
    ("name", "parameters"),
    {
        "distributed_eval": "input_zarr blocksize write_path mask preprocessing_steps model_kwargs eval_kwargs cluster "
        "cluster_kwargs temporary_directory",
        "process_block": "block_index crop input_zarr model_kwargs eval_kwargs blocksize overlap output_zarr "
        "preprocessing_steps worker_logs_directory test_mode",
        "numpy_array_to_zarr": "write_path array chunks",
        "wrap_folder_of_tiffs": "filename_pattern block_index_pattern",
        "myLocalCluster": "ncpus config config_name persist_config kwargs",
        "janeliaLSFCluster": "ncpus min_workers max_workers config config_name persist_config kwargs",
        "get_block_crops": "shape blocksize overlap mask",
        "get_nblocks": "shape blocksize",
        "remove_overlaps": "array crop overlap blocksize",
        "global_segment_ids": "segmentation block_index nblocks",
        "block_faces": "segmentation",
        "determine_merge_relabeling": "block_indices faces used_labels",
        "merge_all_boxes": "boxes box_ids",
    }.items(),
)
def test_names_and_parameters_that_scripts_use(name, parameters):
    assert name in ds.__all__
    assert list(inspect.signature(getattr(ds, name)).parameters) == parameters.split()
