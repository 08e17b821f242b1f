"""Reading images: every format round trip, axes and sizes, and every kind of broken file."""

from __future__ import annotations

import logging
import os
import struct
import sys
import types
import zlib

import numpy as np
import pytest
import tifffile

from cellpose import io
from cellpose.errors import AxesError, FileMissingError, FileReadError, MissingExtraError
from cellpose.io import _limits


@pytest.fixture(autouse=True)
def log_reaches_the_root(monkeypatch):
    """An earlier test may have set up the log, which then goes to its own handlers only."""
    monkeypatch.setattr(logging.getLogger("cellpose"), "propagate", True)


@pytest.fixture
def gray():
    return np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)


@pytest.fixture
def color():
    return np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff", ".PNG", ".TIF", ".flex"])
def test_lossless_round_trip(tmp_path, gray, color, suffix):
    for name, array, axes in (("gray", gray, "YX"), ("color", color, "YXC")):
        file = tmp_path / f"{name}{suffix}"
        if suffix == ".flex":
            tifffile.imwrite(file, array, photometric="minisblack" if array.ndim == 2 else "rgb")
        else:
            io.imsave(file, array)
        image = io.read_image(file)
        np.testing.assert_array_equal(image.data, array)
        assert image.axes == axes
        np.testing.assert_array_equal(io.imread(str(file)), array)


def test_jpeg_keeps_shape_and_color_order(tmp_path):
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 200
    io.imsave(tmp_path / "a.jpg", red)
    # JPEG is lossy, a uniform color changes by a few levels
    np.testing.assert_allclose(io.imread(tmp_path / "a.jpg").astype(int), red, atol=6)


def test_jpeg_with_fill_bytes_and_thumbnail(tmp_path, gray):
    io.imsave(tmp_path / "a.jpg", gray)
    whole = (tmp_path / "a.jpg").read_bytes()
    thumbnail = b"\xff\xe1" + struct.pack(">H", 2 + len(whole)) + whole
    (tmp_path / "b.jpg").write_bytes(whole[:2] + thumbnail + b"\xff\xff" + whole[2:] + b"behind the end")
    np.testing.assert_array_equal(io.imread(tmp_path / "b.jpg"), io.imread(tmp_path / "a.jpg"))
    # the end of the thumbnail is not taken for that of the image
    (tmp_path / "b.jpg").write_bytes(whole[:2] + thumbnail + whole[2:-30])
    with pytest.raises(FileReadError, match="truncated"):
        io.imread(tmp_path / "b.jpg")


def test_ome_series_over_two_files(tmp_path):
    """The second file is longer than the first, so that a page of it ends behind the end of the first."""
    small, large = np.zeros((8, 8), np.uint8), np.full((8, 8), 7, np.uint8)
    names = ("one.ome.tif", "two.ome.tif")
    planes = "".join(
        f'<TiffData FirstZ="{z}" FirstC="0" FirstT="0" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{name}">urn:uuid:0000000{z}-0000-0000-0000-000000000000</UUID></TiffData>'
        for z, name in enumerate(names)
    )
    for z, (name, plane) in enumerate(zip(names, (small, large), strict=True)):
        xml = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="urn:uuid:0000000{z}-0000-0000-0000-000000000000"><Image ID="Image:0"><Pixels ID="Pixels:0" '
            'DimensionOrder="XYZCT" Type="uint8" SizeX="8" SizeY="8" SizeZ="2" SizeC="1" SizeT="1">'
            f"{planes}</Pixels></Image><!-- {'x' * 5000 * z} --></OME>"
        )
        tifffile.imwrite(tmp_path / name, plane, description=xml, metadata=None, photometric="minisblack")
    image = io.read_image(tmp_path / "one.ome.tif")
    assert image.axes == "ZYX"
    np.testing.assert_array_equal(image.data, np.stack([small, large]))


def test_gif_palette_is_read_as_rgb(tmp_path, gray):
    import imagecodecs

    coded = imagecodecs.gif_encode(gray)
    (tmp_path / "a.gif").write_bytes(coded)
    image = io.imread(tmp_path / "a.gif")
    np.testing.assert_array_equal(image, np.repeat(gray[..., np.newaxis], 3, axis=-1))


def test_animated_gif_gives_the_first_picture_and_says_so(tmp_path, gray, caplog):
    import imagecodecs

    (tmp_path / "a.gif").write_bytes(imagecodecs.gif_encode(np.stack([gray, 255 - gray])))
    assert io.imread(tmp_path / "a.gif").shape == (20, 30, 3)
    assert "animation of 2 pictures" in caplog.text


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_other_animations_give_the_first_picture_and_say_so(tmp_path, gray, caplog, suffix):
    from PIL import Image as Picture

    pictures = [Picture.fromarray(each).convert("RGB") for each in (gray, 255 - gray)]
    pictures[0].save(tmp_path / f"one.{suffix}", lossless=True)
    pictures[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=pictures[1:], lossless=True)
    one = io.imread(tmp_path / f"one.{suffix}")
    assert not caplog.text
    np.testing.assert_array_equal(io.imread(tmp_path / f"a.{suffix}"), one)
    assert "is an animation; only the first picture is read" in caplog.text


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_alpha_is_no_channel(tmp_path, gray, dtype):
    import imagecodecs

    gray = gray.astype(dtype)
    opaque = np.iinfo(gray.dtype).max
    alpha = np.where(np.arange(30) < 12, 0, opaque).astype(dtype) * np.ones_like(gray)
    (tmp_path / "la.png").write_bytes(imagecodecs.png_encode(np.dstack([gray, alpha])))
    keywords = {"photometric": "minisblack", "planarconfig": "contig", "extrasamples": ["unassalpha"]}
    tifffile.imwrite(tmp_path / "la.tif", np.dstack([gray, gray[::-1]]), **keywords)
    for name in ("la.png", "la.tif"):
        image = io.read_image(tmp_path / name)
        assert image.axes == "YX"
        np.testing.assert_array_equal(image.data, gray)
    colors = np.dstack([gray, gray // 2, gray // 3])
    for number, masked in enumerate((alpha, np.full_like(gray, opaque))):
        tifffile.imwrite(tmp_path / f"rgba{number}.tif", np.dstack([colors, masked]), photometric="rgb")
        image = io.read_image(tmp_path / f"rgba{number}.tif")
        assert image.axes == "YXC"
        np.testing.assert_array_equal(image.data, colors)
    # writers declare every fourth channel as alpha, and every second one as unspecified
    four = np.dstack([colors, gray[::-1]])
    tifffile.imwrite(tmp_path / "four.tif", four, photometric="rgb")
    np.testing.assert_array_equal(io.imread(tmp_path / "four.tif"), four)
    tifffile.imwrite(tmp_path / "two.tif", four[..., :2], photometric="minisblack", planarconfig="contig")
    np.testing.assert_array_equal(io.imread(tmp_path / "two.tif"), four[..., :2])


def test_sixteen_bits_alpha_and_one_bit(tmp_path, gray):
    import cv2

    deep = gray.astype(np.uint16) * 257
    io.imsave(tmp_path / "deep.png", deep)
    np.testing.assert_array_equal(io.imread(tmp_path / "deep.png"), deep)
    with_alpha = np.dstack([deep, deep // 2, deep // 3, deep])
    cv2.imwrite(str(tmp_path / "alpha.png"), cv2.cvtColor(with_alpha, cv2.COLOR_RGBA2BGRA))
    np.testing.assert_array_equal(io.imread(tmp_path / "alpha.png"), with_alpha[..., :3])
    bits = (gray > 128).astype(np.uint8) * 255
    cv2.imwrite(str(tmp_path / "bits.png"), bits, [cv2.IMWRITE_PNG_BILEVEL, 1])
    np.testing.assert_array_equal(io.imread(tmp_path / "bits.png"), bits)


@pytest.mark.parametrize("compression", [None, "packbits", "zlib"])
def test_tiff_of_one_bit(tmp_path, compression):
    mask = np.random.default_rng(0).random((200, 300)) > 0.5
    tifffile.imwrite(tmp_path / "mask.tif", mask, compression=compression)
    np.testing.assert_array_equal(io.imread(tmp_path / "mask.tif"), mask)


def test_names_with_spaces_and_unicode(tmp_path, gray):
    for name in ("mit Leerzeichen.png", "細胞 ß µm.tif", "клетка.bmp"):
        io.imsave(tmp_path / name, gray)
        np.testing.assert_array_equal(io.imread(tmp_path / name), gray)


def test_imagej_axes_and_pixel_size(tmp_path):
    stack = np.arange(4 * 2 * 6 * 5, dtype=np.uint16).reshape(4, 2, 6, 5)
    tifffile.imwrite(
        tmp_path / "ij.tif",
        stack,
        imagej=True,
        resolution=(4.0, 5.0),
        metadata={"axes": "ZCYX", "spacing": 1.5, "unit": "um"},
    )
    image = io.read_image(tmp_path / "ij.tif")
    np.testing.assert_array_equal(image.data, stack)
    assert image.axes == "ZCYX"
    assert image.pixel_size_um == (1.5, 0.2, 0.25)
    assert image.anisotropy == 6.0


def test_ome_axes_pixel_size_and_channel_names(tmp_path):
    stack = np.arange(3 * 2 * 6 * 5, dtype=np.uint16).reshape(3, 2, 6, 5)
    metadata = {
        "axes": "ZCYX",
        "PhysicalSizeX": 0.2,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": 0.2,
        "PhysicalSizeZ": 700,
        "PhysicalSizeZUnit": "nm",
        "Channel": {"Name": ["DAPI", "actin"]},
    }
    tifffile.imwrite(tmp_path / "a.ome.tif", stack, ome=True, metadata=metadata)
    image = io.read_image(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(image.data, stack)
    assert image.axes == "ZCYX"
    assert image.channel_names == ("DAPI", "actin")
    # nanometres become micrometres by a multiplication
    np.testing.assert_allclose(image.pixel_size_um, (0.7, 0.2, 0.2), rtol=1e-12)


def test_bigtiff_and_many_pages(tmp_path):
    stack = np.arange(12 * 6 * 5, dtype=np.uint8).reshape(12, 6, 5)
    tifffile.imwrite(tmp_path / "big.tif", stack, bigtiff=True, compression="zlib", photometric="minisblack")
    image = io.read_image(tmp_path / "big.tif")
    np.testing.assert_array_equal(image.data, stack)
    assert image.axes == "QYX"
    with tifffile.TiffWriter(tmp_path / "pages.tif") as writer:
        for plane in stack:
            writer.write(plane, metadata=None, photometric="minisblack")
    np.testing.assert_array_equal(io.imread(tmp_path / "pages.tif"), stack)


def test_tiff_under_another_name_is_still_read_whole(tmp_path):
    stack = np.arange(3 * 6 * 5, dtype=np.uint8).reshape(3, 6, 5)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    (tmp_path / "a.tif").rename(tmp_path / "a.png")
    np.testing.assert_array_equal(io.imread(tmp_path / "a.png"), stack)


def test_dax(tmp_path):
    frames = np.arange(3 * 6 * 8, dtype=np.uint16).reshape(3, 6, 8)
    for kind, order in (("little", "<u2"), ("big", ">u2")):
        frames.astype(order).tofile(tmp_path / f"{kind}.dax")
        (tmp_path / f"{kind}.inf").write_text(
            f"frame dimensions = 8 x 6\nnumber of frames = 3\ndata type = 16 bit integers (binary, {kind} endian)\n"
        )
        np.testing.assert_array_equal(io.load_dax(tmp_path / f"{kind}.dax"), frames)
        np.testing.assert_array_equal(io.imread(tmp_path / f"{kind}.dax"), frames)
    (tmp_path / "little.inf").write_text("frame dimensions = 8 x 6\nnumber of frames = 1000000000\n")
    with pytest.raises(FileReadError, match="truncated"):
        io.imread(tmp_path / "little.dax")
    (tmp_path / "little.inf").unlink()
    with pytest.raises(FileMissingError, match=r"little\.inf"):
        io.imread(tmp_path / "little.dax")


def test_nrrd(tmp_path):
    nrrd = pytest.importorskip("nrrd")
    volume = np.arange(5 * 4 * 3, dtype=np.uint16).reshape(5, 4, 3)
    nrrd.write(str(tmp_path / "a.nrrd"), volume)
    image = io.read_image(tmp_path / "a.nrrd")
    assert image.axes == "ZYX"
    np.testing.assert_array_equal(image.data, volume.transpose(2, 0, 1))
    nrrd.write(str(tmp_path / "b.nhdr"), volume)
    (tmp_path / "b.nhdr").rename(tmp_path / "b.nrrd")
    with pytest.raises(FileReadError, match="in another file"):
        io.imread(tmp_path / "b.nrrd")


@pytest.mark.parametrize("suffix", [".nrrd", ".nd2", ".czi", ".lif"])
def test_missing_libraries_are_named_with_their_extra(tmp_path, monkeypatch, suffix):
    for module in ("nrrd", "bioio"):
        monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / f"a{suffix}").write_bytes(b"something")
    with pytest.raises(MissingExtraError, match=r"cellpose\[formats\]"):
        io.imread(tmp_path / f"a{suffix}")


class FakeReader:
    """What bioio gives of a file; the libraries and their files are too large for the tests."""

    array = np.arange(2 * 3 * 2 * 4 * 5, dtype=np.uint16).reshape(2, 3, 2, 4, 5)
    dtype = np.uint16
    channel_names = ("a", "b", "c")
    physical_pixel_sizes = types.SimpleNamespace(Z=1.0, Y=0.5, X=0.5)

    class dims:
        order = "TCZYX"

        @classmethod
        def __class_getitem__(cls, letter):
            return (FakeReader.array.shape["TCZYX".index(letter)],)

    def __init__(self, path):
        pass

    def get_image_data(self, axes):
        assert axes == "TZCYX"
        return self.array.transpose(0, 2, 1, 3, 4)


def test_bioio_formats_give_planes_channels_and_sizes(tmp_path, monkeypatch, caplog):
    module = types.ModuleType("bioio")
    module.BioImage = FakeReader
    monkeypatch.setitem(sys.modules, "bioio", module)
    (tmp_path / "a.czi").write_bytes(b"something")
    image = io.read_image(tmp_path / "a.czi")
    assert image.axes == "TZCYX"
    assert image.data.shape == (2, 2, 3, 4, 5)
    # numbers are those of the file
    assert (image.place("Z", 2), image.place("C", 1)) == (1, 2)
    assert image.pixel_size_um == (1.0, 0.5, 0.5)
    assert image.channel_names == ("a", "b", "c")
    assert not caplog.text


def test_what_bioio_cannot_read_is_told_in_one_line(tmp_path, monkeypatch, capsys):
    class UnsupportedFileFormatError(Exception):
        pass

    def refuse(path):
        logging.getLogger("bioio.bio_image").warning("attempted")
        raise UnsupportedFileFormatError("call 'bioio.plugins.dump_plugins()'")

    module = types.ModuleType("bioio")
    module.BioImage = refuse
    monkeypatch.setitem(sys.modules, "bioio", module)
    (tmp_path / "a.czi").write_bytes(b"something")
    with pytest.raises(FileReadError, match=r"corrupt or truncated; if no \.czi file can be read") as caught:
        io.read_image(tmp_path / "a.czi")
    assert "dump_plugins" not in str(caught.value)
    assert "attempted" not in capsys.readouterr().err
    assert logging.getLogger("bioio").level == logging.NOTSET


def test_plain_npy(tmp_path, gray):
    np.save(tmp_path / "a.npy", gray)
    np.testing.assert_array_equal(io.imread(tmp_path / "a.npy"), gray)
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(whole[:-5])
    with pytest.raises(FileReadError, match="truncated"):
        io.imread(tmp_path / "a.npy")
    np.save(tmp_path / "text.npy", np.array(["a", "b"]))
    with pytest.raises(FileReadError, match="holds no image"):
        io.imread(tmp_path / "text.npy")


# ---------------------------------------------------------------------------------------------------- broken files


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.jpg", "a.gif", "a.bmp", "a.npy", "a_seg.npy", "a.dax", "noname"])
def test_missing_and_empty_files(tmp_path, name):
    with pytest.raises(FileMissingError, match="does not exist"):
        io.imread(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        io.imread(tmp_path / name)
    (tmp_path / name).touch()
    with pytest.raises(FileReadError, match="is empty"):
        io.imread(tmp_path / name)


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.jpg", "a.gif", "a.bmp", "a.npy", "noname"])
def test_garbage_is_refused_by_name(tmp_path, name):
    (tmp_path / name).write_bytes(b"this is not an image at all " * 20)
    with pytest.raises(FileReadError, match=name):
        io.imread(tmp_path / name)


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp", "gif", "tif", "zip.tif", "stack.tif", "ij.tif"])
@pytest.mark.parametrize("part", [0.05, 0.5, 0.98])
def test_truncated_files(tmp_path, kind, part):
    import imagecodecs

    noise = np.random.default_rng(0).integers(0, 256, (12, 100, 100), dtype=np.uint8)
    file = tmp_path / f"a.{kind}"
    if kind == "gif":
        file.write_bytes(imagecodecs.gif_encode(noise[0] // 64))
    elif kind == "ij.tif":
        tifffile.imwrite(file, noise, imagej=True)
    elif kind.endswith("tif"):
        array = noise if kind == "stack.tif" else noise[0]
        compression = None if kind == "tif" else "zlib"
        tifffile.imwrite(file, array, compression=compression, photometric="minisblack")
    else:
        io.imsave(file, noise[0])
    assert io.imread(file).size
    whole = file.read_bytes()
    file.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(FileReadError, match=r"a\."):
        io.imread(file)


def png_of(width: int, height: int, pixels: bytes) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 16, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def claiming(kind: str, side: int) -> bytes:
    """A file of a few bytes whose header speaks of side x side pixels."""
    if kind == "png":
        return png_of(side, side, zlib.compress(b"\0" * 100))
    if kind == "gif":
        side = min(side, 65535)
        return b"GIF89a" + struct.pack("<HHBBB", side, side, 0, 0, 0) + b"," + b"\0" * 10 + b";"
    if kind == "bmp":
        header = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
        return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + header + b"\0" * 100
    if kind == "jpg":
        side = min(side, 65535)
        frame = b"\xff\xc0" + struct.pack(">HBHHB", 8 + 9, 8, side, side, 3) + b"\1\x11\0\2\x11\0\3\x11\0"
        return b"\xff\xd8" + frame + b"\xff\xda" + struct.pack(">H", 8) + b"\1\1\0\0\x3f\0" + b"\0" * 50 + b"\xff\xd9"
    if kind == "npy":
        header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({side}, {side}), }}".ljust(117).encode() + b"\n"
        return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + b"\0" * 100
    compression = {"tif": 1, "deflate.tif": 8, "lzw.tif": 5, "zstd.tif": 50000}[kind]
    tags = [(256, 4, side), (257, 4, side), (258, 3, 8), (259, 3, compression), (262, 3, 1), (273, 4, 200)]
    tags += [(277, 3, 1), (278, 4, side), (279, 4, 100)]
    entries = b"".join(struct.pack("<HHII", tag, size, 1, value) for tag, size, value in tags)
    return (b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + b"\0\0\0\0").ljust(200, b"\0") + b"\0" * 100


@pytest.mark.parametrize("kind", ["png", "gif", "bmp", "jpg", "npy", "tif", "deflate.tif", "lzw.tif", "zstd.tif"])
@pytest.mark.parametrize("side", [30_000, 1_000_000])
def test_headers_that_claim_too_much_take_no_memory(tmp_path, monkeypatch, kind, side):
    # the bound is set low, so that the test does the same on every machine
    monkeypatch.setattr(_limits, "available_memory", lambda: 2**28)
    (tmp_path / f"a.{kind}").write_bytes(claiming(kind, side))
    import tracemalloc

    tracemalloc.start()
    try:
        with pytest.raises(FileReadError, match=r"claims|truncated|could not"):
            io.imread(tmp_path / f"a.{kind}")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # the claims are of 900 MB and more; libraries and code objects need a few MB
    assert peak < 50e6


def test_tiff_without_pages(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"II*\0" + struct.pack("<I", 0))
    with pytest.raises(FileReadError, match="without images"):
        io.imread(tmp_path / "a.tif")


def test_wrong_suffix_is_explained(tmp_path, gray):
    io.imsave(tmp_path / "a.png", gray)
    (tmp_path / "a.png").rename(tmp_path / "a.tif")
    with pytest.raises(FileReadError, match="correct suffix"):
        io.imread(tmp_path / "a.tif")


def test_a_folder_is_no_image(tmp_path):
    (tmp_path / "a.tif").mkdir()
    with pytest.raises(FileReadError, match="could not be opened"):
        io.imread(tmp_path / "a.tif")
    with pytest.raises(FileReadError, match="could not be opened"):
        io.tiff_to_zarr(tmp_path / "a.tif", tmp_path / "a.zarr")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file(tmp_path, gray):
    io.imsave(tmp_path / "a.png", gray)
    (tmp_path / "a.png").chmod(0)
    with pytest.raises(FileReadError, match="could not be opened"):
        io.imread(tmp_path / "a.png")


def test_reading_beyond_the_memory(tmp_path, monkeypatch, gray):
    monkeypatch.setattr(_limits, "available_memory", lambda: 100)
    for name in ("a.tif", "a.png"):
        io.imsave(tmp_path / name, gray)
        with pytest.raises(FileReadError, match="memory are free"):
            io.imread(tmp_path / name)


def test_available_memory_is_known_here_or_none():
    amount = _limits.available_memory()
    assert amount is None or amount > 2**20


# ---------------------------------------------------------------------------------------------------- imread_2D, _3D


def test_imread_3d_takes_the_shortest_axis_for_channels(tmp_path):
    stack = np.arange(7 * 2 * 40 * 50, dtype=np.uint16).reshape(7, 2, 40, 50)
    io.imsave(tmp_path / "zc.tif", stack)
    np.testing.assert_array_equal(io.imread_3D(tmp_path / "zc.tif"), stack.transpose(0, 2, 3, 1))
    io.imsave(tmp_path / "cz.tif", stack.transpose(1, 0, 2, 3))
    np.testing.assert_array_equal(io.imread_3D(tmp_path / "cz.tif"), stack.transpose(0, 2, 3, 1))
    io.imsave(tmp_path / "z.tif", stack[:, 0])
    np.testing.assert_array_equal(io.imread_3D(tmp_path / "z.tif"), stack[:, 0, :, :, np.newaxis])


def test_imread_3d_refuses_a_plane(tmp_path, gray):
    io.imsave(tmp_path / "a.tif", gray)
    with pytest.raises(AxesError, match="imread_2D"):
        io.imread_3D(tmp_path / "a.tif")


def test_imread_2d(tmp_path, gray, color):
    io.imsave(tmp_path / "a.tif", gray)
    np.testing.assert_array_equal(io.imread_2D(tmp_path / "a.tif"), gray[..., np.newaxis])
    io.imsave(tmp_path / "b.png", color)
    np.testing.assert_array_equal(io.imread_2D(tmp_path / "b.png"), color)
    with pytest.raises(ValueError, match="does not exist"):
        io.imread_2D(tmp_path / "c.png")


@pytest.mark.parametrize(
    ("resolution", "unit", "size"),
    [((40_000, 20_000), "CENTIMETER", (0.5, 0.25)), ((300, 300), "INCH", (None, None)), ((1, 1), "NONE", (None, None))],
)
def test_pixel_size_of_a_plain_tiff_if_finer_than_a_printer(tmp_path, resolution, unit, size):
    path = tmp_path / "plain.tif"
    tifffile.imwrite(path, np.zeros((9, 8), np.uint8), resolution=resolution, resolutionunit=unit, metadata=None)
    assert io.read_image(path).pixel_size_um == (None, *size)


@pytest.mark.parametrize(("per_metre", "size"), [((4_000_000, 2_000_000), (0.5, 0.25)), ((2835, 2835), (None, None))])
def test_pixel_size_of_a_png(tmp_path, per_metre, size):
    path = tmp_path / "a.png"
    io.imsave(path, np.zeros((9, 8), np.uint8))
    coded = path.read_bytes()
    body = b"pHYs" + struct.pack(">IIB", *per_metre, 1)
    chunk = struct.pack(">I", 9) + body + struct.pack(">I", zlib.crc32(body))
    end_of_header = 8 + 8 + 13 + 4
    path.write_bytes(coded[:end_of_header] + chunk + coded[end_of_header:])
    assert io.read_image(path).pixel_size_um == (None, *size)
