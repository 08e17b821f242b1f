"""Planes read by rows, OME-Zarr, and labels written in bands."""

from __future__ import annotations

import gc
import json
import sys
import zlib

import numpy as np
import pytest
import tifffile

from cellpose import io
from cellpose.errors import AxesError, FileReadError, FileWriteError, InputError, MissingExtraError


@pytest.fixture
def zarr():
    return pytest.importorskip("zarr", reason="needs zarr: pip install 'cellpose[distributed]'")


def numbered(*shape, dtype=np.uint16):
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def rows_of(source, *ranges, **options):
    plane = io.open_plane(source, **options)
    read = plane.reader()
    return plane, [read(*r) for r in ranges]


TIFFS = {
    "plain": {},
    "tiles": {"tile": (32, 48)},
    "zlib tiles": {"tile": (32, 48), "compression": "zlib"},
    "zlib strips": {"rowsperstrip": 7, "compression": "zlib", "predictor": True},
    "big": {"bigtiff": True, "rowsperstrip": 5},
    "big-endian": {"byteorder": ">", "tile": (16, 16)},
    "ome": {"ome": True, "tile": (32, 32)},
}


@pytest.mark.parametrize("layout", TIFFS)
@pytest.mark.parametrize(
    ("shape", "axes", "settings"),
    [
        ((90, 110), "YX", {}),
        ((90, 110, 3), "YXS", {"photometric": "rgb"}),
        ((3, 90, 110), "SYX", {"photometric": "rgb", "planarconfig": "separate"}),
        ((4, 90, 110), "CYX", {}),
    ],
)
def test_tiff_by_rows(tmp_path, layout, shape, axes, settings):
    path, image = tmp_path / "image.tif", numbered(*shape)
    settings = {"photometric": "minisblack", **settings}
    tifffile.imwrite(path, image, metadata={"axes": axes}, **settings, **TIFFS[layout])
    expected = image[..., np.newaxis] if image.ndim == 2 else image if axes == "YXS" else np.moveaxis(image, 0, -1)
    ranges = [(0, 10), (5, 40), (38, 90), (89, 90), (0, 90), (31, 33)]
    plane, parts = rows_of(path, *ranges)
    assert plane.shape == expected.shape
    assert plane.dtype == np.uint16
    for (start, stop), part in zip(ranges, parts, strict=True):
        np.testing.assert_array_equal(part, expected[start:stop])
    del plane, parts
    gc.collect()  # an open file would be an error here


def test_pyramid_and_its_metadata(tmp_path):
    path, image = tmp_path / "pyramid.ome.tif", numbered(2, 128, 160)
    metadata = {"axes": "CYX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5, "Channel": {"Name": ["cells", "nuclei"]}}
    with tifffile.TiffWriter(path, ome=True) as tif:
        tif.write(image, subifds=1, tile=(32, 32), metadata=metadata)
        tif.write(image[:, ::2, ::2], subfiletype=1, tile=(32, 32))
    plane, (rows,) = rows_of(path, (60, 70))
    assert (plane.shape, plane.pixel_size_um, plane.channel_names) == (
        (128, 160, 2),
        (None, 0.5, 0.25),
        ("cells", "nuclei"),
    )
    np.testing.assert_array_equal(rows, np.moveaxis(image, 0, -1)[60:70])


def test_sparse_files_have_zeros(tmp_path):
    path = tmp_path / "sparse.tif"
    tiles = (b"" if i == 0 else zlib.compress(bytes([7]) * 32 * 32) for i in range(4))
    tifffile.imwrite(path, tiles, shape=(64, 64), dtype=np.uint8, tile=(32, 32), compression="zlib")
    plane, (rows,) = rows_of(path, (0, 64))
    assert plane.shape == (64, 64, 1)
    assert rows[:32, :32].max() == 0
    assert rows[32:].min() == rows[:32, 32:].min() == 7


def test_arrays_and_npy(tmp_path):
    image = numbered(50, 60, 2)
    np.save(tmp_path / "image.npy", image)
    for source in (image, tmp_path / "image.npy", np.memmap(tmp_path / "raw", np.uint16, "w+", shape=image.shape)):
        plane, (rows,) = rows_of(source, (10, 20))
        assert plane.shape == (50, 60, 2)
        if not isinstance(source, np.memmap):
            np.testing.assert_array_equal(rows, image[10:20])
    assert io.open_plane(np.zeros((1, 3, 40, 50))).shape == (40, 50, 3)
    assert io.open_plane(np.zeros((40, 50, 9)), channel_axis=-1).shape == (40, 50, 9)


def test_what_is_no_plane_is_refused(tmp_path):
    with pytest.raises(AxesError, match="not a single plane"):
        io.open_plane(np.zeros((9, 40, 50)))
    tifffile.imwrite(tmp_path / "z.tif", np.zeros((4, 40, 50), np.uint8), imagej=True, metadata={"axes": "ZYX"})
    with pytest.raises(AxesError, match="axes ZYX"):
        io.open_plane(tmp_path / "z.tif")
    (tmp_path / "no.tif").write_bytes(b"nothing of the kind")
    with pytest.raises(FileReadError, match="not a TIFF"):
        io.open_plane(tmp_path / "no.tif")
    with pytest.raises(FileReadError, match="does not exist"):
        io.open_plane(tmp_path / "missing.tif")
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object))
    with pytest.raises(FileReadError, match=r"objects\.npy"):
        io.open_plane(tmp_path / "objects.npy")


# ------------------------------------------------------------------------------------------------------------ OME-Zarr


@pytest.mark.parametrize(
    ("shape", "axes"), [((70, 80), "YX"), ((2, 70, 80), "CYX"), ((5, 70, 80), "ZYX"), ((2, 2, 5, 30, 40), "TCZYX")]
)
def test_ome_zarr_there_and_back(tmp_path, zarr, shape, axes):
    image, sizes = numbered(*shape), (2.0 if "Z" in axes else None, 0.5, 0.25)
    names = ("cells", "nuclei") if "C" in axes else ()
    path = tmp_path / "image.ome.zarr"
    io.write_ome_zarr(path, image, axes, pixel_size_um=sizes, channel_names=names)
    back = io.read_image(path)
    np.testing.assert_array_equal(back.data, image)
    assert (back.axes, back.pixel_size_um, back.channel_names) == (axes, sizes, names)
    assert io.open_ome_zarr(path).array.shape == shape


def test_resolutions_of_labels(tmp_path, zarr):
    labels = numbered(1100, 700, dtype=np.uint32)
    io.write_ome_zarr(tmp_path / "one.zarr", labels, "YX", labels=True, pixel_size_um=(None, 0.5, 0.5))
    bands = ((first, labels[first : first + 97]) for first in range(0, 1100, 97))
    io.write_label_bands(tmp_path / "two.zarr", (1100, 700), bands, pixel_size_um=(None, 0.5, 0.5))
    one, two = (zarr.open_group(str(tmp_path / name), mode="r") for name in ("one.zarr", "two.zarr"))
    assert {**one.attrs, "multiscales": 0} == {**two.attrs, "multiscales": 0}
    assert "image-label" in two.attrs
    datasets = two.attrs["multiscales"][0]["datasets"]
    assert [d["path"] for d in datasets] == ["0", "1", "2"]
    assert datasets[2]["coordinateTransformations"][0]["scale"] == [2.0, 2.0]
    for d in datasets:
        step = 2 ** int(d["path"])
        for group in (one, two):
            np.testing.assert_array_equal(group[d["path"]][...], labels[::step, ::step])


def test_the_format_that_readers_know(tmp_path, zarr):
    io.write_ome_zarr(tmp_path / "a.zarr", numbered(20, 30), "YX")
    assert json.loads((tmp_path / "a.zarr/.zgroup").read_text()) == {"zarr_format": 2}
    array = json.loads((tmp_path / "a.zarr/0/.zarray").read_text())
    assert (array["zarr_format"], array["dimension_separator"], array["compressor"]["id"]) == (2, "/", "zlib")
    assert (tmp_path / "a.zarr/0/0/0").is_file()


def test_version_0_5_and_plain_arrays(tmp_path, zarr):
    if not hasattr(zarr, "create_array"):
        pytest.skip("format 3 needs version 3 of zarr")
    image = numbered(3, 40, 50)
    group = zarr.open_group(str(tmp_path / "v3.zarr"), mode="w", zarr_format=3)
    group.create_array("full", data=image, chunks=(1, 16, 16))
    axes = [{"name": "c", "type": "channel"}] + [{"name": n, "type": "space", "unit": "nanometer"} for n in "yx"]
    scale = [{"type": "scale", "scale": [1.0, 650.0, 325.0]}]
    datasets = [{"path": "full", "coordinateTransformations": scale}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    read = io.read_image(tmp_path / "v3.zarr")
    assert (read.axes, read.pixel_size_um) == ("CYX", (None, 0.65, 0.325))
    plane, (rows,) = rows_of(tmp_path / "v3.zarr", (10, 30))
    assert plane.chunk_rows == 16
    np.testing.assert_array_equal(rows, np.moveaxis(image, 0, -1)[10:30])
    np.testing.assert_array_equal(io.read_image(tmp_path / "v3.zarr/full").data, image)


def test_broken_zarr(tmp_path, zarr, monkeypatch):
    (tmp_path / "a.zarr").mkdir()
    with pytest.raises(FileReadError):
        io.read_image(tmp_path / "a.zarr")
    (tmp_path / "a.zarr/.zgroup").write_text('{"zarr_format": 2}')
    with pytest.raises(FileReadError, match="without an image"):
        io.read_image(tmp_path / "a.zarr")
    (tmp_path / "a.zarr/.zgroup").write_text("nonsense")
    with pytest.raises(FileReadError, match=r"a\.zarr"):
        io.read_image(tmp_path / "a.zarr")
    with pytest.raises(InputError, match="axes='XY'"):
        io.write_ome_zarr(tmp_path / "b.zarr", np.zeros((3, 3)), "XY")
    with pytest.raises(FileWriteError, match="exists already"):
        io.write_ome_zarr(tmp_path / "a.zarr", np.zeros((3, 3)), "YX")
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(MissingExtraError, match=r"cellpose\[distributed\]"):
        io.read_image(tmp_path / "a.zarr")


# --------------------------------------------------------------------------------------------------------------- bands


@pytest.mark.parametrize("name", ["labels.tif", "labels.npy"])
@pytest.mark.parametrize("shape", [(1300, 600), (5, 3), (512, 1024)])
def test_bands(tmp_path, name, shape):
    labels = numbered(*shape, dtype=np.uint32)
    for height in (1, 64, 513, 2000):
        bands = ((first, labels[first : first + height]) for first in range(0, shape[0], height))
        io.write_label_bands(tmp_path / name, shape, bands, pixel_size_um=(None, 0.5, 0.25))
        np.testing.assert_array_equal(io.imread(tmp_path / name), labels)
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_bands_that_do_not_fill_the_image(tmp_path):
    (tmp_path / "labels.tif").write_bytes(b"what was there")
    for bands in ([(0, np.zeros((3, 4)))], [(1, np.zeros((9, 4)))], [(0, np.zeros((9, 5)))]):
        with pytest.raises(InputError, match="band"):
            io.write_label_bands(tmp_path / "labels.tif", (9, 4), bands)
    assert (tmp_path / "labels.tif").read_bytes() == b"what was there"
