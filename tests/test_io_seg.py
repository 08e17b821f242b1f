"""``_seg.npy``: what is written, what is read of every version, and what is refused."""

from __future__ import annotations

import contextlib
import datetime
import io as stdio
import logging
import os
import pathlib
import pickle
import pickletools
import subprocess
import sys
from collections import Counter, OrderedDict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cellpose import io
from cellpose.errors import FileMissingError, FileReadError, InputError, UnsafeFileError
from cellpose.io._npy import load_npy, write_npy_object
from cellpose.io._unpickle import unpickle_data

MASKS = np.zeros((20, 30), np.int32)
MASKS[2:9, 2:9] = 1
MASKS[10:18, 15:25] = 2
RNG = np.random.default_rng(0)
FLOWS = [
    RNG.integers(0, 255, (20, 30, 3), dtype=np.uint8),
    RNG.normal(size=(2, 20, 30)).astype(np.float32),
    RNG.normal(size=(20, 30)).astype(np.float32),
]
STACK = np.stack([MASKS] * 4)
STACK_FLOWS = [
    np.stack([FLOWS[0]] * 4),
    RNG.normal(size=(3, 4, 20, 30)).astype(np.float32),
    np.stack([FLOWS[2]] * 4),
]


def load(path):
    return np.load(path, allow_pickle=True).item()


# ---------------------------------------------------------------------------------------------------------- writing


def test_keys_and_types_of_a_plane(tmp_path):
    io.masks_flows_to_seg(None, MASKS, FLOWS, tmp_path / "im.tif", diams=21.5, model="cpsam")
    seg = load(tmp_path / "im_seg.npy")
    assert list(seg)[:7] == ["outlines", "masks", "chan_choose", "ismanual", "filename", "flows", "diameter"]
    assert seg["masks"].dtype == seg["outlines"].dtype == np.uint16
    np.testing.assert_array_equal(seg["masks"], MASKS)
    assert set(np.unique(seg["outlines"][MASKS == 2])) == {0, 2}
    assert seg["chan_choose"] == [0, 0]
    assert seg["ismanual"].tolist() == [False, False]
    assert seg["filename"] == str(tmp_path / "im.tif")
    assert seg["diameter"] == seg["diams"] == 21.5
    assert seg["model"] == "cpsam"
    assert [getattr(item, "shape", item) for item in seg["flows"]] == [
        (1, 20, 30, 3),
        (1, 20, 30),
        (1, 20, 30, 3),
        [],
        (3, 20, 30),
    ]


def test_stack(tmp_path):
    io.masks_flows_to_seg(None, STACK, STACK_FLOWS, tmp_path / "im.tif")
    seg = load(tmp_path / "im_seg.npy")
    assert [getattr(item, "shape", item) for item in seg["flows"]] == [
        (4, 20, 30, 3),
        (4, 20, 30),
        (4, 20, 30),
        [],
        (4, 4, 20, 30),
    ]
    assert np.isnan(seg["diameter"])
    read = io.read_seg(tmp_path / "im_seg.npy")
    np.testing.assert_array_equal(read.dP, STACK_FLOWS[1])
    np.testing.assert_array_equal(read.cellprob, STACK_FLOWS[2])
    np.testing.assert_array_equal(read.dz_view, seg["flows"][2])


def test_labels_above_65535_are_kept(tmp_path):
    masks = np.arange(300 * 300, dtype=np.int32).reshape(300, 300)
    flows = [np.zeros((300, 300, 3), np.uint8), np.zeros((2, 300, 300), np.float32), np.zeros((300, 300), np.float32)]
    io.masks_flows_to_seg(None, masks, flows, tmp_path / "im.tif")
    seg = load(tmp_path / "im_seg.npy")
    assert seg["masks"].dtype == seg["outlines"].dtype == np.uint32
    np.testing.assert_array_equal(seg["masks"], masks)


def test_small_flows_are_shown_at_the_size_of_the_masks(tmp_path):
    small = [FLOWS[0][::2, ::2], FLOWS[1][:, ::2, ::2], FLOWS[2][::2, ::2]]
    io.masks_flows_to_seg(None, MASKS, small, tmp_path / "im.tif")
    flows = load(tmp_path / "im_seg.npy")["flows"]
    np.testing.assert_array_equal(flows[0][0], np.repeat(np.repeat(small[0], 2, 0), 2, 1))
    assert flows[1].shape == (1, 20, 30)
    assert flows[4].shape == (3, 10, 15)


@pytest.mark.parametrize(
    "arguments",
    [
        ([MASKS], [MASKS], [FLOWS], 25.0, ["a.tif"], [2, 1]),
        ([MASKS], [MASKS], [FLOWS], ["a.tif"], 25.0, [2, 1]),
        ([MASKS], [MASKS], [FLOWS], ["a.tif"], np.array([25.0]), [2, 1]),
        (MASKS, MASKS, FLOWS, "a.tif", [25.0], [2, 1]),
        (MASKS, MASKS, FLOWS, [pathlib.Path("a.tif")], 25, [2, 1]),
    ],
    ids=["version 2", "version 3", "array", "single", "one name in a list"],
)
def test_earlier_orders_of_arguments(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    io.masks_flows_to_seg(*arguments)
    seg = load("a_seg.npy")
    assert seg["diameter"] == 25.0
    assert seg["chan_choose"] == [2, 1]


def test_lists_take_channels_diameters_and_restored_images_in_turn(tmp_path):
    names = [tmp_path / "1.tif", tmp_path / "2.tif"]
    io.masks_flows_to_seg(
        None,
        [MASKS] * 2,
        [FLOWS] * 2,
        names,
        channels=[[1, 2], [3, 0]],
        imgs_restore=[MASKS + 1.0, MASKS + 2.0],
        restore_type="denoise_cyto3",
        diams=[10.0, 20.0],
    )
    seg = load(tmp_path / "2_seg.npy")
    assert seg["chan_choose"] == [3, 0]
    assert seg["diameter"] == 20.0
    assert (seg["restore"], seg["ratio"], seg["img_restore"][0, 0]) == ("denoise_cyto3", 1.0, 2.0)


def test_lists_of_different_lengths(tmp_path):
    with pytest.raises(InputError, match="2 masks"):
        io.masks_flows_to_seg(None, [MASKS] * 2, [FLOWS], [tmp_path / "a.tif"] * 2)
    with pytest.raises(InputError, match="3 diameters"):
        io.masks_flows_to_seg(None, [MASKS] * 2, [FLOWS] * 2, [tmp_path / "a.tif"] * 2, diams=[1.0, 2.0, 3.0])
    with pytest.raises(InputError, match="flows hold 1"):
        io.masks_flows_to_seg(None, MASKS, FLOWS[:1], tmp_path / "a.tif")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shape", [(9, 12), (12, 9, 3), (2, 12, 9), (5, 9, 12)])
def test_masks_of_another_size_than_the_image_are_told(tmp_path, shape, caplog):
    """They are written all the same: what does not fit may be meant."""
    labels = np.ones((9, 12), np.uint16)
    log = logging.getLogger("cellpose.io")
    log.addHandler(caplog.handler)
    try:
        io.save_masks(np.zeros(shape), labels, None, tmp_path / "a.tif")
    finally:
        log.removeHandler(caplog.handler)
    fits = shape[-2:] == (9, 12)
    assert ("masks of 9 x 12 pixels do not fit" in caplog.text) is not fits
    assert (tmp_path / "a_cp_masks.png").is_file()


def test_nothing_of_the_caller_is_changed(tmp_path):
    masks, flows = MASKS.copy(), [item.copy() for item in FLOWS]
    io.masks_flows_to_seg(None, masks, flows, tmp_path / "a.tif")
    np.testing.assert_array_equal(masks, MASKS)
    for item, before in zip(flows, FLOWS, strict=True):
        np.testing.assert_array_equal(item, before)


def test_write_seg_needs_masks_and_outlines(tmp_path):
    with pytest.raises(InputError, match="outlines"):
        io.write_seg(tmp_path / "a_seg.npy", {"masks": MASKS})
    io.write_seg(tmp_path / "a_seg.npy", {"masks": MASKS, "outlines": MASKS * 0, "zdraw": [None, None]})
    assert io.read_seg(tmp_path / "a_seg.npy").zdraw == (None, None)


# ---------------------------------------------------------------------------------------------------------- reading


def seg_with(tmp_path, **entries):
    path = tmp_path / "x_seg.npy"
    content = {"masks": MASKS.astype(np.uint16), "outlines": MASKS.astype(np.uint16)} | entries
    np.save(path, content)
    return io.read_seg(path)


def test_windows_of_version_3_and_4(tmp_path):
    rgb, view = FLOWS[0][np.newaxis], FLOWS[2][np.newaxis].astype(np.uint8)
    three = seg_with(tmp_path, flows=[rgb, view])
    assert three.dP is None
    np.testing.assert_array_equal(three.cellprob_view, view[0])
    for dP in (FLOWS[1], FLOWS[1][np.newaxis], FLOWS[1][:, np.newaxis]):
        four = seg_with(tmp_path, flows=[rgb, view, dP, FLOWS[2][np.newaxis]])
        np.testing.assert_array_equal(four.flows_rgb, FLOWS[0])
        np.testing.assert_array_equal(four.dP, FLOWS[1])
        np.testing.assert_array_equal(four.cellprob, FLOWS[2])


def test_windows_of_stacks(tmp_path):
    stack = {"masks": STACK.astype(np.uint16), "outlines": STACK.astype(np.uint16)}
    view, dz = STACK_FLOWS[2].astype(np.uint8), np.full(STACK.shape, 7, np.uint8)
    three = seg_with(tmp_path, **stack, flows=[STACK_FLOWS[0], view, dz])
    np.testing.assert_array_equal(three.dz_view, dz)
    # three flows of a volume are not taken for two flows and a probability, since that has its own array
    four = seg_with(tmp_path, **stack, flows=[STACK_FLOWS[0], view, STACK_FLOWS[1], STACK_FLOWS[2], dz])
    np.testing.assert_array_equal(four.dP, STACK_FLOWS[1])
    np.testing.assert_array_equal(four.cellprob, STACK_FLOWS[2])
    np.testing.assert_array_equal(four.dz_view, dz)


def test_final_positions_of_version_2_are_not_taken_for_flows(tmp_path):
    positions = RNG.normal(size=(2, 20, 30)).astype(np.float32)
    joined = np.concatenate([FLOWS[1], FLOWS[2][np.newaxis]])
    zeros = np.zeros((1, 20, 30, 3), np.uint8)
    two = seg_with(tmp_path, flows=[FLOWS[0][np.newaxis], zeros[..., 0], zeros, positions, joined])
    np.testing.assert_array_equal(two.dP, FLOWS[1])
    np.testing.assert_array_equal(two.cellprob, FLOWS[2])
    np.testing.assert_array_equal(two.flows_rgb, FLOWS[0])


def test_pictures_among_the_flows_are_left_out(tmp_path):
    view = RNG.integers(1, 255, (1, 20, 30), dtype=np.uint8)
    flows = [FLOWS[0][None], view, view + 1, [], np.concatenate([FLOWS[1], FLOWS[2][None]])]
    content = {"masks": MASKS, "outlines": MASKS, "flows": flows, "shared": view}
    path = tmp_path / "im_seg.npy"
    io.write_seg(path, content)
    seg = io.read_seg(path, without=("outlines", "views"))
    assert (seg.count, seg.cellprob_view.any(), seg.dz_view.any()) == (2, False, False)
    assert np.array_equal(seg.flows_rgb, FLOWS[0])
    assert np.array_equal(seg.dP, FLOWS[1])
    assert np.array_equal(seg.cellprob, FLOWS[2])
    assert np.array_equal(seg.content["shared"], view), "the same array under another key was left out"
    assert np.array_equal(io.read_seg(path).cellprob_view, view[0])


def test_masks_that_were_not_read_count_nothing(tmp_path):
    path = tmp_path / "im_seg.npy"
    io.write_seg(path, {"masks": MASKS, "outlines": MASKS, "flows": FLOWS})
    seg = io.read_seg(path, without=("masks",))
    assert (seg.count, seg.masks.shape, seg.masks.any()) == (0, MASKS.shape, False)


def test_first_version_counted_from_minus_one(tmp_path):
    old = seg_with(tmp_path, masks=MASKS - 1, outlines=MASKS - 1, est_diam=17.0, img=MASKS.astype(np.uint8))
    np.testing.assert_array_equal(old.masks, MASKS)
    np.testing.assert_array_equal(old.outlines, MASKS)
    assert old.diameter == 17.0
    assert old.image.dtype == np.uint8


def test_edits_and_odd_entries(tmp_path):
    change = ["01/02/2024, 10:11:12", "added mask", [[1, 2], [3, 4]]]
    read = seg_with(
        tmp_path,
        outlines=[np.ones((5, 2), int)],
        manual_changes=[change],
        ismanual=np.array([True, False]),
        colors=np.array([[1, 2, 3], [4, 5, 6]]),
        diameter=np.nan,
        model_path="/models/mine",
        filename=pathlib.PurePosixPath("/data/im.tif"),
        flows=None,
        zdraw=[],
    )
    assert len(read.strokes) == 1
    assert read.outlines is None
    assert read.manual_changes == (change,)
    assert read.ismanual.tolist() == [True, False]
    assert read.colors.dtype == np.uint8
    assert (read.diameter, read.model, read.filename, read.zdraw) == (None, "/models/mine", "/data/im.tif", None)
    assert seg_with(tmp_path, ismanual=np.ones(7, bool), colors=np.ones((7, 3))).colors is None
    with pytest.raises(TypeError):
        read.content["masks"] = None


def test_imread_gives_the_masks(tmp_path):
    io.masks_flows_to_seg(None, MASKS, FLOWS, tmp_path / "im.tif")
    np.testing.assert_array_equal(io.imread(tmp_path / "im_seg.npy"), MASKS)
    np.save(tmp_path / "x.npy", {"other": 1})
    with pytest.raises(FileReadError, match="no entry 'masks'"):
        io.imread(tmp_path / "x.npy")


def test_files_that_are_no_segmentation(tmp_path):
    with pytest.raises(FileMissingError, match="does not exist"):
        io.read_seg(tmp_path / "x_seg.npy")
    for content, reason in ((MASKS, "no 'masks'"), ({"a": 1}, "no 'masks'"), ({"masks": MASKS + 0.5}, "labels")):
        np.save(tmp_path / "x_seg.npy", content)
        with pytest.raises(FileReadError, match=reason):
            io.read_seg(tmp_path / "x_seg.npy")


def test_truncated_seg(tmp_path):
    io.masks_flows_to_seg(None, MASKS, FLOWS, tmp_path / "im.tif")
    whole = (tmp_path / "im_seg.npy").read_bytes()
    for length in (1, 50, 130, 200, len(whole) // 2, len(whole) - 1):
        (tmp_path / "im_seg.npy").write_bytes(whole[:length])
        with pytest.raises(FileReadError, match="im_seg"):
            io.read_seg(tmp_path / "im_seg.npy")


# ------------------------------------------------------------------------------------------------ plain data only


def unpickle(data: bytes):
    return unpickle_data(stdio.BytesIO(data), "x_seg.npy")


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.dates()
    | st.datetimes()
    | st.builds(np.float32, st.integers(-100, 100))
    | st.sampled_from([np.str_("µ"), np.bool_(True), 1 + 2j, pathlib.PurePosixPath("/a"), frozenset({1})]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=60, deadline=None)
@given(plain, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_plain_data_comes_back(content, protocol):
    assert unpickle(pickle.dumps(content, protocol=protocol)) == content


dtypes = st.sampled_from(["u1", "<u2", ">u2", "i4", "f4", ">f8", "?", "c8", "U3", "S2"])


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(dtypes, hnp.array_shapes(min_dims=0, min_side=0, max_side=4)), st.integers(0, 5), st.booleans())
def test_arrays_come_back(array, protocol, fortran):
    array = np.asfortranarray(array) if fortran else array
    got = unpickle(pickle.dumps({"a": array, "again": array}, protocol=protocol))
    assert got["a"].dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(got["a"], array)
    assert got["again"] is got["a"]
    assert got["a"].flags.writeable


def test_both_names_of_the_core_of_numpy_are_known():
    for protocol in range(5):
        new = pickle.dumps([np.arange(3.0), np.float64(2)], protocol=protocol)
        old = new.replace(b"numpy._core.", b"numpy.core.") if protocol < 4 else None
        for data in filter(None, (new, old)):
            array, scalar = unpickle(data)
            assert array.tolist() == [0, 1, 2]
            assert scalar == 2


def test_object_arrays_and_ordered_dicts():
    box = np.empty(2, object)
    box[:] = [{"a": np.arange(3)}, OrderedDict(b=1)]
    got = unpickle(pickle.dumps(box, protocol=4))
    assert got.dtype == object
    assert got[0]["a"].tolist() == [0, 1, 2]
    assert got[1] == OrderedDict(b=1)


class Evil:
    def __init__(self, function, *arguments):
        self.made = function, arguments

    def __reduce__(self):
        return self.made


CANARY: list[str] = []


def call_canary(text="called"):
    CANARY.append(text)


HOSTILE = {
    "system": Evil(os.system, "touch /tmp/never"),
    "subprocess": Evil(subprocess.Popen, ["true"]),
    "eval": Evil(eval, "1"),
    "exec": Evil(exec, "1"),
    "getattr": Evil(getattr, [], "append"),
    "own function": Evil(call_canary),
    "open": Evil(open, "/etc/hostname"),
    "import": Evil(__import__, "os"),
    "numpy load": Evil(np.load, "x.npy"),
    "memmap": Evil(np.fromfile, "x.npy"),
    "counter": Counter("ab"),
    "datetime subclass": datetime.tzinfo(),
    "type": int,
    "allowed type as a value": set,
    "path type": pathlib.PurePosixPath,
    "structured": np.zeros(2, [("a", "i4")]),
    "dates": np.zeros(2, "M8[s]"),
    "lambda of numpy": np.add,
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_hostile_pickles_are_refused_and_nothing_runs(tmp_path, name, protocol):
    CANARY.clear()
    content = {"masks": MASKS, "outlines": MASKS, "x": HOSTILE[name]}
    box = np.empty((), object)
    box[()] = content
    data = pickle.dumps(box, protocol=protocol)
    with pytest.raises(UnsafeFileError, match="not loaded"):
        unpickle(data)
    assert CANARY == []


def assemble(*parts: bytes) -> bytes:
    return b"\x80\x04" + b"".join(parts) + b"."


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


# pickles that no pickler writes; P and S are a protocol 0 text, ( marks, t ends a tuple, R calls, b sets a state
CRAFTED = {
    "huge array": name("numpy", "ndarray") + b"(I1000000000000\ntV<f8\nt" + b"R",
    "ndarray called": name("numpy", "ndarray") + b"((I1000000\nI1000000\nttR",
    "reconstruct with size": name("numpy.core.multiarray", "_reconstruct")
    + b"("
    + name("numpy", "ndarray")
    + b"(I1000000000\ntVb\ntR",
    "array of the wrong length": name("numpy.core.multiarray", "_reconstruct")
    + b"("
    + name("numpy", "ndarray")
    + b"(I0\ntVb\ntR(I1\n(I5\nt"
    + name("numpy", "dtype")
    + b"(Vf8\nI0\nI1\ntRI00\nVabc\ntb",
    "negative shape": name("numpy.core.multiarray", "_reconstruct")
    + b"("
    + name("numpy", "ndarray")
    + b"(I0\ntVb\ntR(I1\n(I-5\nI-1\nt"
    + name("numpy", "dtype")
    + b"(Vu1\nI0\nI1\ntRI00\nVabcde\ntb",
    "dtype with metadata": name("numpy", "dtype") + b"(Vu1\nI0\nI1\ntR(I3\nV|\n(I1\nt(Va\nt}I8\nI1\nI0\ntb",
    "dtype of a huge item": name("numpy", "dtype") + b"(VV99999999999\nI0\nI1\ntR",
    "state of a class": name("collections", "OrderedDict") + b"(N}Vmro\nI1\nstb",
    "state of a function": name("_codecs", "encode") + b"}V__code__\nI1\nsb",
    "other encoding": name("_codecs", "encode") + b"(Vabc\nVrot13\ntR",
    "bytes of a number": name("builtins", "bytes") + b"(I100000000000\ntR",
    "bytearray of a number": name("builtins", "bytearray") + b"(I100000000000\ntR",
    "dotted name": b"\x8c\x08builtins\x8c\x0bset.__doc__\x93",
    "scalar of an object": name("numpy.core.multiarray", "scalar")
    + b"("
    + name("numpy", "dtype")
    + b"(VO8\nI0\nI1\ntR]tR",
    "list within itself": b"]\x94h\x00a",
    "instance of a function": b"(ios\nsystem\n",
    "persistent id": b"Pabc\n",
    "extension": b"\x82\x01",
    "nothing on the stack": b"0",
    "memo of a huge index": b"Nr\xff\xff\xff\xff",
    "bytes longer than the file": b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7fab",
}


@pytest.mark.parametrize("kind", CRAFTED)
def test_crafted_pickles_are_refused_without_memory(kind):
    import tracemalloc

    tracemalloc.start()
    try:
        if kind == "memo of a huge index":
            assert unpickle(assemble(CRAFTED[kind])) is None
        else:
            with pytest.raises(FileReadError, match="x_seg"):
                unpickle(assemble(CRAFTED[kind]))
        # the objects of the unpickler itself need some kilobytes
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


def test_a_file_that_claims_gigabytes_takes_no_memory(tmp_path):
    import tracemalloc

    np.save(tmp_path / "x_seg.npy", {"masks": MASKS})
    whole = (tmp_path / "x_seg.npy").read_bytes()
    head = whole[: whole.index(b"\n") + 1]
    (tmp_path / "x_seg.npy").write_bytes(head + b"\x80\x04\x8e" + (10**11).to_bytes(8, "little") + b"abc.")
    tracemalloc.start()
    try:
        with pytest.raises(FileReadError, match="truncated or corrupt"):
            io.read_seg(tmp_path / "x_seg.npy")
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


def test_deep_nesting_is_an_error_and_no_crash():
    with pytest.raises(FileReadError, match="truncated or corrupt"):
        unpickle(assemble(b"]" * 100_000 + b"a" * 99_999))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60))
def test_random_bytes_never_do_anything_else(data):
    with contextlib.suppress(FileReadError):
        unpickle(data)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_changed_bytes_give_data_or_an_error(data):
    whole = bytearray(pickle.dumps({"masks": np.arange(6, dtype=np.uint16), "b": [1, "x"]}, protocol=4))
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(FileReadError):
        unpickle(bytes(whole))


def test_only_names_of_the_list_are_ever_looked_up():
    """What an ordinary file names is all that is needed."""
    io_names = set()
    for opcode, argument, _ in pickletools.genops(pickle.dumps({"a": np.arange(3), "b": np.float64(1)}, protocol=2)):
        if opcode.name == "GLOBAL":
            io_names.add(argument.replace("_core", "core"))
    assert io_names <= {
        "numpy.core.multiarray _reconstruct",
        "numpy.core.multiarray scalar",
        "numpy ndarray",
        "numpy dtype",
        "_codecs encode",
    }


def test_written_files_are_read_by_numpy_and_by_us(tmp_path):
    content = {"a": np.arange(3), "b": [None, "ü", 1.5]}
    write_npy_object(tmp_path / "a.npy", content)
    for got in (load(tmp_path / "a.npy"), load_npy(tmp_path / "a.npy")):
        np.testing.assert_array_equal(got["a"], content["a"])
        assert got["b"] == content["b"]


def test_reading_does_not_import_torch():
    code = "import sys, cellpose.io as io; io.read_seg; io.imread; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_large_arrays_are_written_as_numpy_writes_them(tmp_path: pathlib.Path) -> None:
    """The same array twice is one, whatever its kind, order and place in the file."""
    large = np.arange(200_000, dtype=np.uint16).reshape(400, 500)
    content = {
        "masks": large,
        "outlines": large,
        "flows": [np.asfortranarray(large), large[:, ::2], np.zeros((3, 0, 40_000), np.float32), large.astype(">i4")],
        "colors": np.ones((70_000, 3), np.uint8),
        "small": (np.float32(2.5), large[:3, :2], "text", None, np.zeros((), np.int64)),
    }
    io.write_seg(tmp_path / "x_seg.npy", content)
    plain = stdio.BytesIO()
    np.save(plain, content, allow_pickle=True)
    plain.seek(0)
    for read in (np.load(tmp_path / "x_seg.npy", allow_pickle=True), np.load(plain, allow_pickle=True)):
        found = read.item()
        assert found["masks"] is found["outlines"]
        assert np.array_equal(found["masks"], large)
        for array, expected in zip(found["flows"], content["flows"], strict=True):
            assert array.dtype == expected.dtype.newbyteorder("=")
            assert array.flags.writeable
            assert np.array_equal(array, expected)
        assert np.array_equal(found["colors"], content["colors"])
        assert found["small"][0] == 2.5
    again = io.read_seg(tmp_path / "x_seg.npy")
    assert np.array_equal(again.masks, large)
