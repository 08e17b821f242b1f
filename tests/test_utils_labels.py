"""Kernels on label images: numbers, sizes, boxes, holes, overlaps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from cellpose._labels import arrays as lb
from cellpose.errors import InputError

settings.register_profile("kernels", deadline=None)  # the first call compiles
settings.load_profile("kernels")

label_images = arrays(np.int32, st.tuples(st.integers(1, 9), st.integers(1, 11)), elements=st.integers(0, 6))
label_volumes = arrays(
    np.int32, st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 6)), elements=st.integers(0, 3)
)


def picture(text: str) -> np.ndarray:
    """Digits as labels, dots as background."""
    return np.array([[0 if c == "." else int(c) for c in line] for line in text.split()], np.int32)


@given(label_images | label_volumes)
def test_sizes_and_boxes_are_those_of_scipy(labels: np.ndarray) -> None:
    np.testing.assert_array_equal(lb.sizes(labels), np.bincount(labels.reshape(-1), minlength=1))
    boxes = lb.bounding_boxes(labels)
    for box, found in zip(boxes, ndimage.find_objects(labels), strict=True):
        want = [[0, 0]] * labels.ndim if found is None else [[s.start, s.stop] for s in found]
        np.testing.assert_array_equal(box, want)


@given(label_images)
def test_renumber_is_by_first_appearance(labels: np.ndarray) -> None:
    numbered, n = lb.renumber(labels)
    values, first = np.unique(labels, return_index=True)
    in_order = [v for _, v in sorted(zip(first, values, strict=True)) if v]
    assert n == len(in_order)
    for number, value in enumerate(in_order, start=1):
        np.testing.assert_array_equal(numbered == number, labels == value)


@given(label_images, st.integers(0, 2**31))
def test_overlap_counts_pairs(a: np.ndarray, seed: int) -> None:
    b = np.random.default_rng(seed).integers(0, 5, a.shape)
    found = lb.overlap(a, b)
    dense = np.zeros((7, 5), int)
    np.add.at(dense, (a, b), 1)
    assert np.count_nonzero(dense) == found.counts.size
    np.testing.assert_array_equal(dense[found.a, found.b], found.counts)


def test_overlap_needs_equal_shapes() -> None:
    with pytest.raises(InputError, match="shapes"):
        lb.overlap(np.zeros((2, 3), int), np.zeros((3, 2), int))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64, np.uint64, np.float32, bool])
def test_labels_of_every_type(dtype: type) -> None:
    given_labels = np.array([[0, 1], [1, 0]], dtype)
    labels = lb.as_labels(given_labels)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, [[0, 1], [1, 0]])


def test_huge_and_negative_numbers_become_small_ones() -> None:
    labels = lb.as_labels(np.array([[0, 2**40], [-3, 2**40]]))
    np.testing.assert_array_equal(labels, [[0, 2], [1, 2]])
    np.testing.assert_array_equal(lb.fill_holes_and_remove_small(np.array([[0, -3], [-3, 0]]), 0), [[0, 1], [1, 0]])


@pytest.mark.parametrize("bad", [np.array([[0.5]]), np.array([[np.nan]]), np.array([["a"]])])
def test_what_is_no_label_image_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(InputError):
        lb.as_labels(bad)


def test_more_labels_than_uint16_holds() -> None:
    labels = np.arange(300 * 300, dtype=np.uint32).reshape(300, 300)
    numbered, n = lb.renumber(labels[::-1])
    assert n == 300 * 300 - 1
    assert numbered.max() == n
    assert lb.smallest_dtype(n) is np.uint32


def test_small_labels_are_removed_whatever_their_numbers() -> None:
    labels = picture("2222. 4.77. ..77.")
    np.testing.assert_array_equal(lb.remove_small(labels, 4), picture("1111. ..22. ..22."))
    np.testing.assert_array_equal(lb.remove_small(labels, 5), np.zeros_like(labels))


def test_a_full_image_has_no_background_to_spare() -> None:
    labels = np.ones((3, 4), int)
    labels[0] = 2
    np.testing.assert_array_equal(lb.fill_holes_and_remove_small(labels, 5), picture(".... 1111 1111"))


def test_hole_and_bay() -> None:
    ring = picture("11111 1...1 1.1.1 1...1 11111")
    np.testing.assert_array_equal(lb.fill_holes_and_remove_small(ring, 0), np.ones((5, 5)))
    bay = picture("111 1.. 111")
    np.testing.assert_array_equal(lb.fill_holes_and_remove_small(bay, 0), bay)


def test_holes_end_at_diagonals() -> None:
    # The background leaks through faces only, so a ring closed by diagonals holds.
    diamond = picture("..1.. .1.1. 1...1 .1.1. ..1..")
    want = picture("..1.. .111. 11111 .111. ..1..")
    np.testing.assert_array_equal(lb.fill_holes_and_remove_small(diamond, 0), want)


def test_enclosed_cells_keep_their_pixels_and_their_own_holes() -> None:
    nested = picture("""111111111 1.......1 1.22222.1 1.2...2.1 1.2.3.2.1 1.2...2.1 1.22222.1 1.......1 111111111""")
    want = picture("""111111111 111111111 112222211 112222211 112232211 112222211 112222211 111111111 111111111""")
    np.testing.assert_array_equal(lb.fill_holes_and_remove_small(nested, 0), want)
    # Whichever has the lower number.
    swapped = np.array([0, 3, 2, 1])[nested]
    np.testing.assert_array_equal(lb.fill_holes_and_remove_small(swapped, 0), np.array([0, 3, 2, 1])[want])


def test_stray_pixels_in_a_hole_are_filled() -> None:
    labels = picture("1111.. 1.21.. 1111.2 ....22")
    want = picture("1111.. 1111.. 1111.2 ....22")
    np.testing.assert_array_equal(lb.fill_holes_and_remove_small(labels, 0), want)
    # A label that loses its pixels may become too small.
    np.testing.assert_array_equal(lb.fill_holes_and_remove_small(labels, 4) == 1, want == 1)
    assert lb.fill_holes_and_remove_small(labels, 4).max() == 1


def test_holes_of_volumes_are_closed_on_all_sides() -> None:
    cube = np.ones((3, 3, 3), int)
    cube[1, 1, 1] = 0
    assert lb.fill_holes_and_remove_small(cube, 0).all()
    tunnel = np.ones((3, 3, 3), int)
    tunnel[:, 1, 1] = 0
    np.testing.assert_array_equal(lb.fill_holes_and_remove_small(tunnel, 0), tunnel)
    # A ring in one plane of a volume has no hole.
    plane = np.zeros((3, 5, 5), int)
    plane[1] = 1
    plane[1, 2, 2] = 0
    np.testing.assert_array_equal(lb.fill_holes_and_remove_small(plane, 0), plane)


@given(arrays(np.int32, (8, 9), elements=st.sampled_from([0, 1, 1])))
def test_filling_one_label_is_that_of_scipy(labels: np.ndarray) -> None:
    want = ndimage.binary_fill_holes(labels)
    np.testing.assert_array_equal(lb.fill_holes_and_remove_small(labels, 0) > 0, want)


def filled_slowly(labels: np.ndarray, min_size: int) -> np.ndarray:
    """What `fill_holes_and_remove_small` does, written as plainly as can be."""

    def numbered(image: np.ndarray) -> np.ndarray:
        values, first, counts = np.unique(image, return_index=True, return_counts=True)
        rows = sorted((i if min_size > 0 else v, v) for v, i, n in zip(values, first, counts, strict=True)
                      if v != 0 and n >= min_size)  # fmt: skip
        return sum((k * (image == v) for k, (_, v) in enumerate(rows, start=1)), np.zeros_like(image))

    out = numbered(labels)
    boxes, before = ndimage.find_objects(out), np.bincount(out.reshape(-1))
    pending = set(range(1, before.size))

    def fill(label: int) -> None:
        pending.discard(label)
        box = out[boxes[label - 1]]  # a view
        hole = ndimage.binary_fill_holes(box == label) & (box != label)
        inside = [v for v in dict.fromkeys(box[hole]) if v and np.sum(out == v) == np.sum(box[hole] == v)]
        first = [v for v in inside if v in pending]
        pending.difference_update(first)
        for v in reversed(first):
            fill(v)
        if first:
            fill(label)
        else:
            box[hole & ~np.isin(box, inside)] = label

    for label in range(1, before.size):
        if label in pending:
            fill(label)
    lost = (np.bincount(out.reshape(-1), minlength=before.size) < before)[1:].any()
    return numbered(out) if lost and min_size > 0 else out


def rings(rng: np.random.Generator, shape: tuple[int, ...], n: int) -> np.ndarray:
    """Boxes and shells of boxes, nested, crossing and cut by the border, with stray pixels and scattered numbers."""
    out = np.zeros(shape, np.int32)
    labels = rng.permutation(rng.choice(60, n, replace=False) + 1)
    sizes = [[int(rng.integers(3, side + 2)) for side in shape] for _ in labels]
    for label, size in zip(labels, sorted(sizes, key=lambda size: -np.prod(size)), strict=True):
        low = [int(rng.integers(-1, max(side - length, 0) + 1)) for side, length in zip(shape, size, strict=True)]
        outer = tuple(slice(max(a, 0), a + b) for a, b in zip(low, size, strict=True))
        inner = tuple(slice(max(a + 1, 0), max(a + b - 1, 0)) for a, b in zip(low, size, strict=True))
        keep = out[inner].copy()
        out[outer] = label
        if rng.random() < 0.8:
            out[inner] = np.where(keep == label, 0, keep)
    stray = rng.random(shape) < (0.04 if len(shape) == 2 else 0.005)  # shells have many voxels to lose
    out[stray] = rng.choice(np.append(np.unique(out), 0), int(stray.sum()))
    return out


@pytest.mark.parametrize("min_size", [-1, 0, 3, 15])
@pytest.mark.parametrize("shape", [(14, 17), (40, 70), (9, 150), (5, 8, 9), (7, 6, 70)])
def test_filling_many_labels_is_that_of_the_plain_rule(shape: tuple[int, ...], min_size: int) -> None:
    rng = np.random.default_rng(sum(shape) + min_size)
    changed = 0
    for _ in range(30):
        labels = rings(rng, shape, 9 if len(shape) == 2 else 4)
        want = filled_slowly(labels, min_size)
        np.testing.assert_array_equal(lb.fill_holes_and_remove_small(labels, min_size), want)
        changed += int(np.any((want > 0) & (labels == 0)))
    assert changed > 0  # there were holes


@given(label_images | label_volumes, st.integers(-1, 4))
def test_filling_noise_is_that_of_the_plain_rule(labels: np.ndarray, min_size: int) -> None:
    want = filled_slowly(labels, min_size)
    np.testing.assert_array_equal(lb.fill_holes_and_remove_small(labels, min_size), want)


@given(arrays(np.int32, st.integers(1, 300), elements=st.integers(0, 2)))
def test_runs_of_any_length_are_found(line: np.ndarray) -> None:
    # Words of 64 pixels and what is left of a line.
    found = lb.scan(line[None])
    for label in range(int(line.max()) + 1):
        at = np.flatnonzero(line == label)
        assert found.counts[label] == at.size
        if label and at.size:
            assert found.boxes[label].tolist() == [0, 1, 0, 1, at[0], at[-1] + 1]
            assert found.broken[label] == (np.diff(at) > 1).any()


@given(label_images, st.integers(-1, 5))
def test_arguments_stay_as_they_are(labels: np.ndarray, min_size: int) -> None:
    before = labels.copy()
    lb.fill_holes_and_remove_small(labels, min_size)
    lb.renumber(labels)
    np.testing.assert_array_equal(labels, before)


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (1, 1), (1, 7), (7, 1), (1, 1, 1)])
def test_empty_and_thin_images(shape: tuple[int, ...]) -> None:
    for value in (0, 1):
        labels = np.full(shape, value)
        np.testing.assert_array_equal(lb.fill_holes_and_remove_small(labels, 1), labels)


def test_kernels_work_where_machine_code_cannot_be_kept() -> None:
    from cellpose._machine.compiled import compiled

    names: dict[str, object] = {}
    exec("def double(x):\n    return 2 * x", names)  # a function without a file has no folder for its machine code
    assert compiled(names["double"])(21) == 42


def large_labels(seed: int, n: int, shape: tuple[int, int] = (1000, 700)) -> np.ndarray:
    """Random runs of labels, some of them absent: more pixels than one slice takes."""
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, n + 1, shape[0] * shape[1] // 8) * (rng.random(shape[0] * shape[1] // 8) < 0.7)
    return np.repeat(starts, 8)[: shape[0] * shape[1]].reshape(shape).astype(np.int32)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_slices_give_the_same_as_the_whole(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
    labels, other = large_labels(0, 900), large_labels(1, 2000)
    found = lb.scan(labels)
    np.testing.assert_array_equal(found.counts, np.bincount(labels.reshape(-1)))
    values, first = np.unique(labels, return_index=True)
    np.testing.assert_array_equal(found.first[values[1:]], first[1:])
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is not None:
            assert found.boxes[label].tolist() == [0, 1, box[0].start, box[0].stop, box[1].start, box[1].stop]
            rows = labels[box] == label
            starts = (np.diff(rows.astype(np.int8), axis=1, prepend=0) == 1).sum(axis=1)
            assert found.broken[label] == (starts.max() > 1)
    pairs, counts = np.unique(np.stack([labels, other]).reshape(2, -1), axis=1, return_counts=True)
    shared = lb.overlap(labels, other)
    np.testing.assert_array_equal([shared.a, shared.b, shared.counts], [*pairs, counts])
    np.testing.assert_array_equal(lb.renumber(labels)[0] > 0, labels > 0)


@given(label_images)
def test_wide_boxes_are_filled_as_narrow_ones(labels: np.ndarray) -> None:
    wide = np.repeat(labels, 80, axis=1)  # lines of boxes then hold more pixels than a word has bits
    filled = lb.fill_holes_and_remove_small(labels, 0)
    np.testing.assert_array_equal(lb.fill_holes_and_remove_small(wide, 0), np.repeat(filled, 80, axis=1))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_slices_cover_the_range_once_and_in_order(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from cellpose._machine.threads import run_sliced

    monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
    for n, smallest in ((0, 1), (5, 1), (100, 1), (100, 30)):
        parts = run_sliced(lambda start, stop, offset: range(start + offset, stop + offset), n, 7, smallest=smallest)
        assert [i for part in parts for i in part] == list(range(7, n + 7))

    def fails(start: int, stop: int) -> None:
        if start <= 50 < stop:
            raise MemoryError

    with pytest.raises(MemoryError):
        run_sliced(fails, 100)
