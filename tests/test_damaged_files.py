"""Damaged files: an error of ours that names the file, at once, and never an image that looks whole."""

from __future__ import annotations

import gzip
import io as streams
import json
import os
import random
import shutil
import struct
import time
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cellpose import io
from cellpose.errors import AxesError, CellposeError, FileReadError, UnsafeFileError, WeightsError
from cellpose.io import _limits
from damage import damaged

# Damaged files for each format; the suite takes few, CELLPOSE_FUZZ=2000 looks for more.
_FILES = int(os.environ.get("CELLPOSE_FUZZ", "40"))
_SECONDS = 2.0  # of the processor, for one file

_RNG = np.random.default_rng(0)
PLANE = _RNG.integers(0, 50, (40, 48)).astype(np.uint8)
STACK = _RNG.integers(0, 50, (4, 40, 48)).astype(np.uint16)
RGB = _RNG.integers(0, 50, (40, 48, 3)).astype(np.uint8)


@pytest.fixture(autouse=True)
def little_memory(monkeypatch):
    """What is claimed is compared with the same memory on every machine."""
    monkeypatch.setattr(_limits, "available_memory", lambda: 2**28)


def tiff(array, **settings) -> bytes:
    file = streams.BytesIO()
    tifffile.imwrite(file, array, photometric="rgb" if array.shape[-1] == 3 else "minisblack", **settings)
    return file.getvalue()


def encoded(suffix: str, array=RGB) -> bytes:
    import cv2

    return cv2.imencode(suffix, array)[1].tobytes()


def npy(content) -> bytes:
    file = streams.BytesIO()
    np.save(file, content)
    return file.getvalue()


def gif() -> bytes:
    import imagecodecs

    return bytes(imagecodecs.gif_encode(PLANE))


def nrrd(more: bytes = b"") -> bytes:
    head = b"NRRD0004\ntype: uint8\ndimension: 2\nsizes: 48 40\nencoding: gzip\n" + more + b"\n"
    return head + gzip.compress(PLANE.tobytes())


def torch_file(zipped: bool) -> bytes:
    import torch

    file = streams.BytesIO()
    state = {"a.weight": torch.arange(3000.0), "b": torch.ones(2, 3)}
    torch.save(state, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def safetensors() -> bytes:
    from safetensors.numpy import save

    return save({"a.weight": np.arange(300, dtype=np.float32), "b": np.ones((2, 3), np.float32)})


SEG = {
    "masks": np.eye(8, dtype=np.uint16),
    "outlines": np.eye(8, dtype=np.uint16),
    "ismanual": [True],
    "zdraw": [[0, 1]],
}
FORMATS = {
    **{
        f"{name or 'plain'}.tif": lambda name=name: tiff(PLANE, compression=name, rowsperstrip=16)
        for name in (None, "zlib", "lzw", "packbits", "zstd", "lzma", "jpeg", "jpeg2000")
    },
    "tiles.tif": lambda: tiff(RGB, tile=(16, 16), compression="zlib", predictor=True),
    "big.tif": lambda: tiff(STACK, bigtiff=True),
    "imagej.tif": lambda: tiff(STACK, imagej=True, metadata={"axes": "ZYX"}),
    "ome.tif": lambda: tiff(STACK, ome=True, compression="zlib", metadata={"axes": "ZYX"}),
    "pages.tif": lambda: tiff(STACK, metadata=None),
    **{f"a{suffix}": lambda suffix=suffix: encoded(suffix) for suffix in (".png", ".jpg", ".bmp", ".webp", ".jp2")},
    "a.gif": gif,
    "a.nrrd": nrrd,
    "a.npy": lambda: npy(PLANE),
    "a_seg.npy": lambda: npy(SEG),
    "zip.pth": lambda: torch_file(True),
    "old.pth": lambda: torch_file(False),
    "a.safetensors": safetensors,
}


def read_everywhere(file: Path) -> None:
    """Every door through which a file of this kind goes."""
    if file.suffix in (".pth", ".safetensors"):
        from cellpose import weights

        calls = [weights.load_state_dict, weights.load_arrays, lambda path: weights.find(path).card]
    elif file.name.endswith("_seg.npy"):
        calls = [io.read_seg, io.imread]
    else:
        calls = [io.imread, read_rows]
        calls += [lambda path: io.open_ome_zarr(path).array[...]] if file.suffix == ".zarr" else []
    for call in calls:
        started, told = time.process_time(), file.name
        try:
            call(file)
        except CellposeError as error:
            told = str(error)
        assert file.name in told
        assert time.process_time() - started < _SECONDS


def read_rows(file: Path) -> None:
    plane = io.open_plane(file)
    rows, height = plane.reader(), plane.shape[0]
    for start in (0, height // 2):
        rows(start, min(start + 8, height))


@pytest.mark.filterwarnings("ignore")  # of libraries, about what they found
@pytest.mark.parametrize("name", FORMATS)
def test_any_damage_is_an_error_of_ours_that_names_the_file(tmp_path, name):
    if name.endswith("nrrd"):
        pytest.importorskip("nrrd")
    whole, file, chance = FORMATS[name](), tmp_path / name, random.Random(name)
    for _ in range(_FILES):
        file.write_bytes(damaged(whole, chance))
        read_everywhere(file)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("version", [2, 3])
def test_any_damage_of_a_zarr_folder(tmp_path, version):
    pytest.importorskip("zarr")
    whole, folder, chance = tmp_path / "whole.zarr", tmp_path / "a.zarr", random.Random(version)
    io.write_ome_zarr(whole, STACK, "ZYX", zarr_format=version)
    files = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    for _ in range(_FILES):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole, folder)
        file = folder / chance.choice(files)
        file.write_bytes(damaged(file.read_bytes(), chance))
        read_everywhere(folder)


# ---------------------------------------------------------------------------------------------------------------- TIFF


def with_tags(whole: bytes, **changes: int) -> bytes:
    """A classic little-endian TIFF with other values of tags of its first page."""
    content = bytearray(whole)
    (start,) = struct.unpack_from("<I", content, 4)
    for i in range(struct.unpack_from("<H", content, start)[0]):
        place = start + 2 + 12 * i
        tag = struct.unpack_from("<H", content, place)[0]
        if f"t{tag}" in changes:
            struct.pack_into("<HII", content, place + 2, 4, 1, changes[f"t{tag}"])
    return bytes(content)


@pytest.mark.parametrize("compression", ["zlib", "lzw", "packbits", "zstd", "lzma", "jpeg", "jpeg2000", "webp"])
def test_rows_that_cannot_be_decoded(tmp_path, compression):
    file = tmp_path / "a.tif"
    array = RGB if compression == "webp" else PLANE
    content = bytearray(tiff(array, compression=compression))
    file.write_bytes(content)
    with tifffile.TiffFile(file) as tif:
        start, count = tif.pages[0].dataoffsets[0], tif.pages[0].databytecounts[0]
    content[start : start + count // 2] = b"\xff" * (count // 2)
    file.write_bytes(content)
    with pytest.raises(FileReadError, match=r"a\.tif"):
        read_rows(file)


@pytest.mark.parametrize("tag", ["t256", "t257", "t278", "t277", "t258"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_sides_of_nothing(tmp_path, tag, compression):
    file = tmp_path / "a.tif"
    file.write_bytes(with_tags(tiff(PLANE, compression=compression), **{tag: 0}))
    read_everywhere(file)  # a TIFF without rows per strip has one strip


@pytest.mark.parametrize("compression", [8, 5, 7, 34925, 50000, 34712, 50001, 50002])
def test_strips_that_claim_too_much_take_no_memory(tmp_path, compression):
    file = tmp_path / "a.tif"
    file.write_bytes(with_tags(tiff(PLANE), t256=60_000, t257=60_000, t278=60_000, t259=compression))
    tracemalloc.start()
    try:
        with pytest.raises(FileReadError, match=r"a\.tif"):
            read_rows(file)
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


def test_a_tile_that_claims_more_than_its_page(tmp_path):
    file, content = tmp_path / "a.tif", bytearray(tiff(PLANE, compression="jpeg2000"))
    place = content.index(b"\xff\x4f\xff\x51")
    struct.pack_into(">II", content, place + 8, 50_000, 50_000)
    file.write_bytes(content)
    for call in (io.imread, read_rows):
        with pytest.raises(FileReadError, match="claims 50000 x 50000"):
            call(file)


def test_directories_that_overlap_take_no_time(tmp_path):
    file = tmp_path / "a.tif"
    entries, pages = 100, 3000
    directory = struct.pack("<H", entries) + struct.pack("<HHII", 65000, 4, 1, 0) * entries
    # each page begins 12 bytes behind the one before, so that its entries are those of the others
    content = bytearray(b"II*\0" + struct.pack("<I", 8) + directory * 30)
    for page in range(pages):
        place = 8 + 12 * page
        if place + 2 + 12 * entries + 4 < len(content):
            struct.pack_into("<H", content, place, entries)
            struct.pack_into("<I", content, place + 2 + 12 * entries, place + 12)
    file.write_bytes(content)
    started = time.process_time()
    for call in (io.imread, read_rows):
        with pytest.raises(FileReadError, match=r"a\.tif"):
            call(file)
    assert time.process_time() - started < _SECONDS


def test_a_tiff_larger_than_the_memory_is_read_by_rows(tmp_path, monkeypatch):
    for name, settings in (("a.tif", {}), ("b.tif", {"compression": "zlib", "rowsperstrip": 8})):
        (tmp_path / name).write_bytes(tiff(PLANE, **settings))
        monkeypatch.setattr(_limits, "available_memory", lambda: 1000)
        np.testing.assert_array_equal(io.open_plane(tmp_path / name).reader()(8, 16)[..., 0], PLANE[8:16])
        with pytest.raises(FileReadError, match="memory are free"):
            io.open_plane(tmp_path / name).reader()(0, 40)


def ome(size_z: int, tiff_data: str) -> str:
    return (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="48" SizeY="40" '
        f'SizeZ="{size_z}" SizeC="1" SizeT="1">{tiff_data}</Pixels></Image></OME>'
    )


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("tiff_data", ["<TiffData/>", '<TiffData IFD="0" PlaneCount="4"/>'])
def test_planes_that_ome_names_and_the_file_lacks(tmp_path, tiff_data, compression):
    file = tmp_path / "a.ome.tif"
    file.write_bytes(tiff(STACK, description=ome(7, tiff_data), metadata=None, compression=compression))
    for call in (io.imread, read_rows, lambda path: io.tiff_to_zarr(path, tmp_path / "a.zarr")):
        with pytest.raises(FileReadError, match=r"3 of the 7 planes that .*a\.ome\.tif names are missing"):
            call(file)
    assert not (tmp_path / "a.zarr").exists()


def test_more_planes_than_any_file_has(tmp_path):
    file = tmp_path / "a.ome.tif"
    for size_z, count in ((10**15, 1), (4, 10**12)):
        file.write_bytes(tiff(STACK, description=ome(size_z, f'<TiffData PlaneCount="{count}"/>'), metadata=None))
        with pytest.raises(FileReadError, match="corrupt: its OME-XML names"):
            io.imread(file)


@pytest.mark.parametrize("kind", ["imagej", "shaped", "ome"])
def test_a_chain_of_pages_that_ends_too_early(tmp_path, kind):
    settings = {"imagej": {"imagej": True}, "shaped": {}, "ome": {"ome": True}}[kind]
    content = bytearray(tiff(STACK, compression="zlib", metadata={"axes": "ZYX"}, **settings))
    (first,) = struct.unpack_from("<I", content, 4)
    (entries,) = struct.unpack_from("<H", content, first)
    struct.pack_into("<I", content, first + 2 + 12 * entries, 0)
    (tmp_path / "a.tif").write_bytes(content)
    for call in (io.imread, read_rows):
        with pytest.raises(FileReadError, match=r"3 of the 4 planes that .*a\.tif names"):
            call(tmp_path / "a.tif")


def test_planes_behind_a_single_page(tmp_path):
    whole = tiff(STACK, imagej=True, metadata={"axes": "ZYX"})
    (tmp_path / "a.tif").write_bytes(whole[: -STACK[0].nbytes * 2])
    with pytest.raises(FileReadError, match=r"a\.tif"):
        io.imread(tmp_path / "a.tif")
    planar = np.moveaxis(RGB, -1, 0)  # some programs count the samples of a page as planes
    tifffile.imwrite(tmp_path / "b.tif", planar, imagej=True, metadata={"axes": "CYX"})
    np.testing.assert_array_equal(io.imread(tmp_path / "b.tif"), planar)


def test_a_page_without_any_strip(tmp_path):
    file = tmp_path / "a.tif"
    tifffile.imwrite(file, (b"" for _ in range(4)), shape=(64, 64), dtype=np.uint8, tile=(32, 32), compression="zlib")
    for call in (io.imread, read_rows):
        with pytest.raises(FileReadError, match="1 of the 1 planes"):
            call(file)


# ---------------------------------------------------------------------------------------------------------------- Zarr


@pytest.fixture
def zarr_image(tmp_path):
    pytest.importorskip("zarr")
    folder = tmp_path / "a.zarr"
    io.write_ome_zarr(folder, STACK, "ZYX")
    return folder


def test_zarr_claims_are_compared_with_the_memory(zarr_image):
    file = zarr_image / "0/.zarray"
    facts = json.loads(file.read_text())
    file.write_text(json.dumps({**facts, "shape": [4, 20_000, 20_000]}))
    with pytest.raises(FileReadError, match="claims an image"):
        io.read_image(zarr_image)
    file.write_text(json.dumps({**facts, "chunks": [4, 20_000, 20_000]}))
    with pytest.raises(FileReadError, match="claims an image"):
        io.open_plane(zarr_image)
    for change in ({"shape": [0, 40, 48]}, {"dtype": "|O"}, {"dtype": "<U3"}):
        file.write_text(json.dumps({**facts, **change}))
        with pytest.raises(FileReadError, match=r"a\.zarr"):
            io.read_image(zarr_image)


@pytest.mark.parametrize("version", [2, 3])
def test_zarr_metadata_of_wrong_types(tmp_path, version):
    pytest.importorskip("zarr")
    folder = tmp_path / "a.zarr"
    io.write_ome_zarr(folder, PLANE, "YX", zarr_format=version)
    group, array = (
        folder / ("zarr.json" if version == 3 else ".zattrs"),
        folder / "0" / ("zarr.json" if version == 3 else ".zarray"),
    )
    whole = group.read_text()
    for change in ({"axes": 5}, {"datasets": 1.5}, {"datasets": [{"path": "0", "coordinateTransformations": [1.5]}]}):
        facts = json.loads(whole)
        (facts["attributes"]["ome"] if version == 3 else facts)["multiscales"][0].update(change)
        group.write_text(json.dumps(facts))
        for call in (io.open_ome_zarr, io.open_plane, io.imread):
            with pytest.raises(FileReadError, match=r"a\.zarr"):
                call(folder)
    group.write_text(whole)
    for text in (b"", b'{"zarr_format": 2, "sha', b"\xff\xfe{}", b"[" * 100_000):
        array.write_bytes(text)
        for call in (io.open_ome_zarr, io.open_plane, io.imread):
            with pytest.raises(FileReadError, match=r"a\.zarr"):
                call(folder)


def test_a_damaged_chunk_names_the_folder_whenever_it_is_read(zarr_image):
    lazy = io.open_ome_zarr(zarr_image)
    (zarr_image / "0/2/0/0").write_bytes(b"nonsense")
    np.testing.assert_array_equal(lazy.array[1], STACK[1])
    with pytest.raises(FileReadError, match=r"a\.zarr"):
        lazy.array[2]
    with pytest.raises(FileReadError, match=r"a\.zarr"):
        np.asarray(lazy.array)


def test_chunks_that_are_not_there(zarr_image, caplog):
    shutil.rmtree(zarr_image / "0/1")
    shutil.rmtree(zarr_image / "0/2")
    image = io.read_image(zarr_image)
    assert not image.data[1:3].any()
    np.testing.assert_array_equal(image.data[[0, 3]], STACK[[0, 3]])
    assert "2 of 4 planes have no stored chunk" in caplog.text
    shutil.rmtree(zarr_image / "0/0")
    shutil.rmtree(zarr_image / "0/3")
    for call in (io.read_image, io.open_plane):
        with pytest.raises(FileReadError, match="none of its 4 chunks"):
            call(zarr_image)
    io.write_ome_zarr(zarr_image, np.zeros((3, 40, 48), np.uint8), "ZYX", overwrite=True)
    assert not io.read_image(zarr_image).data.any()
    io.write_ome_zarr(zarr_image, np.zeros((3, 40, 48), np.uint8), "ZYX", labels=True, overwrite=True)
    caplog.clear()
    assert io.read_image(zarr_image).data.shape == (3, 40, 48)


def test_very_many_chunks_of_which_few_are_there(tmp_path, caplog):
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array(str(tmp_path / "a.zarr"), shape=(8000, 8000), chunks=(8, 8), dtype="u1", zarr_format=2)
    array[16:24, 7992:] = 7
    started = time.process_time()
    data = io.imread(tmp_path / "a.zarr")
    assert time.process_time() - started < _SECONDS
    assert int(data.sum()) == 7 * 64 == int(data[16:24, 7992:].sum())


# ------------------------------------------------------------------------------------------------------------ pictures


def test_checksums_of_png(tmp_path):
    whole = encoded(".png", PLANE)
    place = whole.index(b"IDAT")
    (length,) = struct.unpack_from(">I", whole, place - 4)
    text = b"tEXt" + b"Comment\0nothing"
    for end, right in ((place + 4 + length, False), (len(whole), True)):
        content = bytearray(whole)
        if right:  # what stands beside the picture may be wrong
            content[33:33] = struct.pack(">I", len(text) - 4) + text + b"\0\0\0\0"
        else:
            content[end] ^= 1
        (tmp_path / "a.png").write_bytes(content)
        if right:
            np.testing.assert_array_equal(io.imread(tmp_path / "a.png"), PLANE)
        else:
            with pytest.raises(FileReadError, match="checksum of its IDAT"):
                io.imread(tmp_path / "a.png")


def test_what_libjpeg_says(tmp_path, capfd):
    file, whole = tmp_path / "a.jpg", encoded(".jpg", _RNG.integers(0, 255, (64, 64), np.uint8))
    scan = whole.index(b"\xff\xda") + 12
    file.write_bytes(whole[: scan + 40] + whole[scan + 60 :])
    with pytest.raises(FileReadError, match=r"a\.jpg is corrupt: .*JPEG"):
        io.imread(file)
    # cameras fill up their buffers
    file.write_bytes(whole[:-2] + bytes(30) + whole[-2:])
    assert io.imread(file).shape == (64, 64)
    assert "JPEG" not in capfd.readouterr().err


@pytest.mark.parametrize("suffix", [".webp", ".jp2", ".pgm", ".pfm", ".hdr"])
def test_pictures_that_claim_too_much(tmp_path, suffix):
    float_header = b"Pf\n60000 60000\n-1.0\n"
    content = {
        ".webp": b"RIFF\x30\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff\xff\0" * 2 + bytes(30),
        ".jp2": b"\xff\x4f\xff\x51\0\x29\0\0" + struct.pack(">IIII", 60_000, 60_000, 0, 0) + bytes(40),
        ".pgm": b"P5\n# made by\n60000 60000\n255\n" + bytes(100),
        ".pfm": float_header + bytes(100),
        ".hdr": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 60000 +X 60000\n" + bytes(100),
    }[suffix]
    (tmp_path / f"a{suffix}").write_bytes(content)
    with pytest.raises(FileReadError, match="claims an image"):
        io.imread(tmp_path / f"a{suffix}")


def test_pictures_of_an_animation_are_claimed_together(tmp_path):
    picture = b",\0\0\0\0\1\0\1\0\0\2\2\x44\1\0"
    content = b"GIF89a" + struct.pack("<HHBBB", 4000, 4000, 0x80, 0, 0) + bytes(6) + picture * 500 + b";"
    (tmp_path / "a.gif").write_bytes(content)
    with pytest.raises(FileReadError, match="header claims 24000000000 bytes"):
        io.imread(tmp_path / "a.gif")


def test_lines_that_an_nrrd_leaves_out(tmp_path):
    pytest.importorskip("nrrd")
    (tmp_path / "a.nrrd").write_bytes(nrrd())
    np.testing.assert_array_equal(io.imread(tmp_path / "a.nrrd"), PLANE.T)
    (tmp_path / "a.nrrd").write_bytes(nrrd(b"line skip: 1000000000000\n"))
    with pytest.raises(FileReadError, match="skips 1000000000000 lines"):
        io.imread(tmp_path / "a.nrrd")


# --------------------------------------------------------------------------------------------------------------- NumPy


def pickled(opcodes: bytes) -> bytes:
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }".ljust(117) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + b"\x80\x04" + opcodes + b"."


@pytest.mark.parametrize(
    "opcodes", [b"(" + b"]" * 300_000 + b"l", b"(" + b"NN\x86" * 90_000 + b"l", b"]" + b"\x94" * 300_000]
)
def test_a_pickle_of_very_many_parts_takes_no_time(tmp_path, opcodes):
    (tmp_path / "a_seg.npy").write_bytes(pickled(opcodes))
    started = time.process_time()
    with pytest.raises(FileReadError, match=r"a_seg\.npy"):
        io.read_seg(tmp_path / "a_seg.npy")
    assert time.process_time() - started < _SECONDS


@pytest.mark.parametrize("key", ["ismanual", "colors", "zdraw", "manual_changes", "flows"])
def test_lists_that_name_each_other(tmp_path, key):
    nested = [True, True]
    for _ in range(28):
        nested = [nested, nested]
    (tmp_path / "a_seg.npy").write_bytes(npy({**SEG, key: nested}))
    with pytest.raises(UnsafeFileError, match="parts"):
        io.read_seg(tmp_path / "a_seg.npy")


def test_npy_by_rows(tmp_path, monkeypatch):
    file = tmp_path / "a.npy"
    file.write_bytes(npy(PLANE))
    monkeypatch.setattr(_limits, "available_memory", lambda: 1000)
    np.testing.assert_array_equal(io.open_plane(file).reader()(3, 5)[..., 0], PLANE[3:5])
    for content, message in (
        (npy(PLANE)[:-1], "truncated"),
        (b"", "is empty"),
        (b"nonsense" * 9, "not a NumPy file"),
        (npy({"a": 1}), "Python objects"),
    ):
        file.write_bytes(content)
        with pytest.raises(FileReadError, match=message):
            io.open_plane(file)


@pytest.mark.parametrize("change", [{"A": np.zeros(3)}, {"smean": "text"}, {"diam_mean": np.nan}, {"ymean": [1, 2]}])
def test_size_models_that_do_not_fit_together(tmp_path, change):
    from cellpose.models._size import _size_parameters

    content = {"A": np.zeros(256), "smean": np.zeros(256), "ymean": 0.5, "diam_mean": 30.0}
    (tmp_path / "size.npy").write_bytes(npy(content))
    assert _size_parameters(tmp_path / "size.npy")["diam_mean"] == 30
    (tmp_path / "size.npy").write_bytes(npy({**content, **change}))
    with pytest.raises(FileReadError, match=r"size\.npy"):
        _size_parameters(tmp_path / "size.npy")


# ------------------------------------------------------------------------------------------------------------- weights


def flipped(content: bytes) -> bytes:
    """The same with one bit of the numbers of ``a.weight`` flipped."""
    place = content.index(np.arange(1000, 1010, dtype=np.float32).tobytes())
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def test_checksums_of_torch_archives(tmp_path):
    from cellpose import weights

    (tmp_path / "w.pth").write_bytes(torch_file(True))
    assert weights.load_state_dict(tmp_path / "w.pth")["a.weight"][1000] == 1000
    (tmp_path / "w.pth").write_bytes(flipped(torch_file(True)))
    os.utime(tmp_path / "w.pth", ns=(1, 1))  # a clock of coarse steps would not tell the two files apart
    with pytest.raises(WeightsError, match=r"w\.pth is corrupt: the checksum"):
        weights.load_state_dict(tmp_path / "w.pth")


def test_checksums_are_the_same_by_both_functions():
    imagecodecs = pytest.importorskip("imagecodecs")
    from cellpose.nets._archive import _LARGE, _crc32

    content = memoryview(bytes(range(256)) * 9)
    assert _crc32(0)(content[9:], _crc32(0)(content[:9], 0)) == zlib.crc32(content)
    if hasattr(imagecodecs, "deflate_crc32"):
        assert _crc32(_LARGE)(content[9:], _crc32(_LARGE)(content[:9], 0)) == zlib.crc32(content)


def test_weights_that_are_no_numbers(tmp_path):
    from safetensors.numpy import save_file

    from cellpose import weights

    for value in (np.nan, np.inf):
        save_file({"a": np.ones(3, np.float32), "b": np.array([1, value], np.float32)}, tmp_path / "w.safetensors")
        for call in (weights.load_state_dict, weights.load_arrays):
            with pytest.raises(WeightsError, match=r"w\.safetensors are damaged: 'b'"):
                call(tmp_path / "w.safetensors")
    # a sum beyond the range of half-precision numbers is none
    save_file({"a": np.full(9, 6e4, np.float16)}, tmp_path / "w.safetensors")
    assert weights.load_arrays(tmp_path / "w.safetensors")["a"].shape == (9,)


def test_a_missing_tensor_is_told_with_its_file(tmp_path):
    import torch

    from cellpose import resnet_torch, weights

    state = resnet_torch.CPnet([2, 4, 8], 3, 3).state_dict()
    state = {key: value for key, value in state.items() if "res_down_0.conv.conv_0" not in key}
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"w\.pth"):
        weights.architecture(tmp_path / "w.pth")


def test_numbers_without_a_sum(tmp_path):
    import torch
    from safetensors.torch import save_file

    from cellpose import weights

    state = {"a": torch.ones(3).to(torch.float8_e4m3fn), "b": torch.ones(3, dtype=torch.complex64)}
    save_file(state, tmp_path / "w.safetensors")
    assert weights.load_state_dict(tmp_path / "w.safetensors").keys() == state.keys()


def test_a_tensor_that_repeats_a_number_for_ever(tmp_path):
    import torch

    from cellpose import weights

    torch.save({"a": torch.zeros(1).expand(10**6, 10**6)}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="claims 4000000000000 bytes"):
        weights.load_state_dict(tmp_path / "w.pth")


@pytest.mark.parametrize("damage", ["flip", "cut", "text", "list", "keys"])
def test_damaged_checkpoints(tmp_path, damage):
    import torch

    from cellpose.train._checkpoint import read_checkpoint, restore

    path = tmp_path / "checkpoint.pt"
    content = {"version": 3, "run": "{}", "progress": "{}", "net": {"a.weight": torch.arange(3000.0)}}
    file = streams.BytesIO()
    torch.save([1] if damage == "list" else content, file)
    whole = file.getvalue()
    path.write_bytes({"flip": flipped, "cut": lambda b: b[:-99], "text": lambda _: b"text"}.get(damage, bytes)(whole))
    with pytest.raises(WeightsError, match=r"checkpoint\.pt"):
        restore(path, read_checkpoint(path, "{}"), None, None, None)


def test_lists_of_models_that_are_damaged(tmp_path, monkeypatch, caplog):
    from cellpose.weights import _cache

    monkeypatch.setenv(_cache.MODEL_DIR_ENV, str(tmp_path))
    for text in ("[" * 100_000, "{", '{"a": 5, "b": "\\u0000"}', "[1]"):
        (tmp_path / _cache.TRAINED).write_text(text)
        assert _cache.trained_models() == {}
    assert "trained_models.json" in caplog.text


def test_an_error_of_an_array_is_told_the_name_of_its_file(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 3, 4, 5, 6), np.uint8))
    for call in (io.imread_2D, io.imread_3D, io.open_plane):
        with pytest.raises(AxesError, match=r"a\.npy"):
            call(tmp_path / "a.npy")


def test_an_interrupt_passes(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(encoded(".png"))

    def interrupted(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr("cellpose.io._raster.check_header", interrupted)
    with pytest.raises(KeyboardInterrupt):
        io.imread(tmp_path / "a.png")
