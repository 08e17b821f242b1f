"""OME-Zarr and OME-TIFF as other programs read them: axes, sizes, resolutions, labels in the folder of their image."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile

from cellpose import io
from cellpose.errors import AxesError, FileWriteError, InputError

zarr = pytest.importorskip("zarr", reason="needs zarr: pip install 'cellpose[distributed]'")
from cellpose.io._ome_zarr_labels import finish_labels  # noqa: E402
from cellpose.io._zarr import create_array  # noqa: E402

ORDER = {"time": 0, "channel": 1, "space": 2}
INTEGERS = {np.dtype(f"{kind}{size}") for kind in "ui" for size in (1, 2, 4, 8)}
FORMATS = [2, pytest.param(3, marks=pytest.mark.skipif(not hasattr(zarr, "create_array"), reason="zarr < 3"))]


def numbered(*shape, dtype=np.uint32):
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def described(path):
    """The metadata of a group as a reader without any library finds them, and their version."""
    if (path / "zarr.json").is_file():
        content = json.loads((path / "zarr.json").read_text())
        assert (content["zarr_format"], content["node_type"]) == (3, "group")
        ome = content["attributes"]["ome"]
        return ome, ome["version"]
    assert json.loads((path / ".zgroup").read_text()) == {"zarr_format": 2}
    attributes = json.loads((path / ".zattrs").read_text())
    return attributes, attributes.get("multiscales", [{}])[0].get("version")


def check_image(path):
    """What OME-NGFF 0.4 and 0.5 demand of the metadata of an image or label image; the arrays, finest first."""
    ome, version = described(path)
    assert version in {"0.4", "0.5"}
    (multiscale,) = ome["multiscales"]
    axes = multiscale["axes"]
    assert 2 <= len(axes) <= 5
    assert len({axis["name"] for axis in axes}) == len(axes)
    kinds = [ORDER[axis["type"]] for axis in axes]
    assert kinds == sorted(kinds)
    assert 2 <= kinds.count(2) <= 3
    assert max(kinds.count(0), kinds.count(1)) <= 1
    assert [axis["name"] for axis in axes if axis["type"] == "space"] in (["y", "x"], ["z", "y", "x"])
    assert {axis["unit"] for axis in axes if "unit" in axis} <= {"micrometer"}
    group = zarr.open_group(str(path), mode="r")
    arrays = [group[dataset["path"]] for dataset in multiscale["datasets"]]
    before = None
    for array, dataset in zip(arrays, multiscale["datasets"], strict=True):
        assert array.ndim == len(axes)
        (transform,) = dataset["coordinateTransformations"]
        assert transform["type"] == "scale"
        assert len(transform["scale"]) == len(axes)
        assert all(isinstance(number, float) and number > 0 for number in transform["scale"])
        if before is not None:  # from the finest to the coarsest
            assert all(a <= b for a, b in zip(array.shape, before, strict=True))
        before = array.shape
    for channel in ome.get("omero", {}).get("channels", ()):
        assert len(channel["color"]) == 6
        assert set(channel["window"]) == {"min", "max", "start", "end"}
    if "image-label" in ome:
        assert {array.dtype for array in arrays} <= INTEGERS
    return arrays


def check_labels(image, name):
    """Labels in the folder of their image, found from the image on, as napari and QuPath do."""
    listed, _ = described(image / "labels")
    assert name in listed["labels"]
    ome, version = described(image / "labels" / name)
    assert version == described(image)[1]
    # the image, seen from the labels
    assert (image / "labels" / name / ome["image-label"]["source"]["image"]).resolve() == image.resolve()
    arrays = check_image(image / "labels" / name)
    of_image = check_image(image)
    assert len(arrays) == len(of_image)  # the format wants as many resolutions as the image has
    space = len(arrays[0].shape)
    for ours, theirs in zip(arrays, of_image, strict=True):
        assert ours.shape[-2:] == theirs.shape[-2:]
    assert space <= len(of_image[0].shape)
    return arrays


@pytest.mark.parametrize("zarr_format", FORMATS)
@pytest.mark.parametrize(
    ("shape", "axes"), [((600, 700), "YX"), ((2, 600, 700), "CYX"), ((2, 3, 4, 60, 70), "TCZYX"), ((3, 40, 50), "TYX")]
)
def test_metadata_are_those_of_the_format(tmp_path, zarr_format, shape, axes):
    names = ("cells", "nuclei") if "C" in axes else ()
    image, sizes = numbered(*shape, dtype=np.uint16), (None, 0.5, 0.25)
    io.write_ome_zarr(
        tmp_path / "a.zarr", image, axes, pixel_size_um=sizes, channel_names=names, zarr_format=zarr_format
    )
    check_image(tmp_path / "a.zarr")
    back = io.read_image(tmp_path / "a.zarr")
    np.testing.assert_array_equal(back.data, image)
    assert (back.axes, back.pixel_size_um, back.channel_names) == (axes, sizes, names)


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_labels_in_the_folder_of_their_image(tmp_path, zarr_format):
    path = tmp_path / "image.zarr"
    sizes = (None, 0.5, 0.25)
    io.write_ome_zarr(
        path, numbered(2, 1100, 700, dtype=np.uint16), "CYX", pixel_size_um=sizes, zarr_format=zarr_format
    )
    labels = numbered(1100, 700)
    assert io.write_labels(path, "cells", labels, "YX") == path / "labels/cells"
    bands = ((first, labels[first : first + 97]) for first in range(0, 1100, 97))
    io.write_label_bands(io.labels_group(path, "nuclei"), (1100, 700), bands)
    assert sorted(described(path / "labels")[0]["labels"]) == ["cells", "nuclei"]
    for name in ("cells", "nuclei"):
        arrays = check_labels(path, name)
        np.testing.assert_array_equal(arrays[0][...], labels)
        np.testing.assert_array_equal(arrays[1][...], labels[::2, ::2])
        back = io.read_image(path / "labels" / name)
        assert (back.axes, back.pixel_size_um) == ("YX", sizes)
    # the image itself is what it was
    np.testing.assert_array_equal(io.read_image(path).data, numbered(2, 1100, 700, dtype=np.uint16))
    for again in (lambda: io.write_labels(path, "cells", labels + 1, "YX"), lambda: io.labels_group(path, "nuclei")):
        with pytest.raises(FileWriteError, match="labels with this name"):
            again()
    np.testing.assert_array_equal(io.read_image(path / "labels/cells").data, labels)


def test_labels_follow_the_resolutions_of_their_image(tmp_path):
    """Pyramids of other programs: steps that are no powers of two, axes of length 1, several times."""
    path = tmp_path / "image.zarr"
    datasets = []
    for level, shape in enumerate([(2, 1, 1, 90, 100), (2, 1, 1, 30, 33), (2, 1, 1, 10, 11)]):
        create_array(path / str(level), shape, (1, 1, 1, 64, 64), np.uint8)[...] = 1
        scale = [{"type": "scale", "scale": [1, 1, 1, 0.5 * 3**level, 0.5 * 100 / shape[-1]]}]
        datasets.append({"path": str(level), "coordinateTransformations": scale})
    kinds = ["time", "channel", "space", "space", "space"]
    axes = [{"name": name, "type": kind} for name, kind in zip("tczyx", kinds, strict=True)]
    axes[-1]["unit"] = axes[-2]["unit"] = "millimeter"
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    multiscales = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    (path / ".zattrs").write_text(json.dumps({"multiscales": multiscales, "mine": 7}))
    masks = numbered(2, 90, 100)
    io.write_labels(path, "cells", masks, "TYX")
    arrays = [zarr.open_group(str(path / "labels/cells"), mode="r")[str(level)] for level in range(3)]
    assert [array.shape for array in arrays] == [(2, 90, 100), (2, 30, 33), (2, 10, 11)]
    np.testing.assert_array_equal(arrays[1][...][:, :, 0], masks[:, ::3, 0])
    assert io.read_image(path / "labels/cells").pixel_size_um == (None, 500, 500)
    assert json.loads((path / ".zattrs").read_text())["mine"] == 7
    with pytest.raises(InputError, match="do not fit"):
        io.write_labels(path, "other", masks[:1], "TYX")
    for name in ("", "a/b", ".hidden"):
        with pytest.raises(InputError, match="cannot be named"):
            io.labels_group(path, name)
    with pytest.raises(FileWriteError, match="not an OME-Zarr image"):
        io.labels_group(tmp_path, "cells")


def test_labels_written_by_others_become_an_image(tmp_path):
    labels = numbered(3, 1300, 700)
    create_array(tmp_path / "out.zarr/0", labels.shape, (2, 256, 256), labels.dtype)[...] = labels
    finish_labels(tmp_path / "out.zarr", "ZYX", (2.0, 0.5, 0.5))
    arrays = check_image(tmp_path / "out.zarr")
    assert len(arrays) == 3
    for level, array in enumerate(arrays):
        np.testing.assert_array_equal(array[...], labels[:, :: 2**level, :: 2**level])
    assert io.read_image(tmp_path / "out.zarr").pixel_size_um == (2.0, 0.5, 0.5)


def test_more_labels_than_a_million(tmp_path):
    side = 1100
    labels = numbered(side, side) + 1  # a cell a pixel
    assert labels.max() == 1_210_000 > 2**20
    assert io.smallest_labels(labels).dtype == np.uint32
    for name in ("a.zarr", "a.tif", "a.ome.tif", "a.npy"):
        bands = ((first, labels[first : first + 300]) for first in range(0, side, 300))
        io.write_label_bands(tmp_path / name, (side, side), bands)
        np.testing.assert_array_equal(io.imread(tmp_path / name), labels)
    io.write_ome_tiff(tmp_path / "b.ome.tif", labels, "YX")
    np.testing.assert_array_equal(io.imread(tmp_path / "b.ome.tif"), labels)


# ------------------------------------------------------------------------------------------------------------ OME-TIFF


@pytest.mark.parametrize(
    ("shape", "axes"), [((60, 70), "YX"), ((3, 60, 70), "TYX"), ((2, 3, 600, 700), "TZYX"), ((2, 60, 70), "CYX")]
)
def test_ome_tiff(tmp_path, shape, axes):
    path, labels = tmp_path / "a.ome.tif", numbered(*shape)
    names = ("cells", "nuclei") if "C" in axes else ()
    io.write_ome_tiff(path, labels, axes, pixel_size_um=(2.0, 0.5, 0.25), channel_names=names)
    back = io.read_image(path)
    np.testing.assert_array_equal(back.data, labels)
    assert (back.axes, back.data.dtype, back.channel_names) == (axes, np.uint32, names)
    assert back.pixel_size_um == (2.0 if "Z" in axes else None, 0.5, 0.25)
    with tifffile.TiffFile(path) as tif:
        assert tif.is_ome
        assert not tif.is_bigtiff
        assert f'SizeT="{shape[0] if "T" in axes else 1}"' in tif.ome_metadata
        assert f'SizeZ="{shape[axes.index("Z")] if "Z" in axes else 1}"' in tif.ome_metadata


def test_ome_tiff_by_bands_and_big(tmp_path, monkeypatch):
    monkeypatch.setattr("cellpose.io._bands.CLASSIC_TIFF_LIMIT", 1000)
    monkeypatch.setattr("cellpose.io._write.CLASSIC_TIFF_LIMIT", 1000)
    labels = numbered(700, 600)
    bands = ((first, labels[first : first + 300]) for first in range(0, 700, 300))
    io.write_label_bands(tmp_path / "a.ome.tif", labels.shape, bands, pixel_size_um=(None, 0.5, 0.25))
    io.write_ome_tiff(tmp_path / "b.ome.tif", labels, "YX", pixel_size_um=(None, 0.5, 0.25))
    for name in ("a.ome.tif", "b.ome.tif"):
        back = io.read_image(tmp_path / name)
        np.testing.assert_array_equal(back.data, labels)
        assert (back.axes, back.pixel_size_um) == ("YX", (None, 0.5, 0.25))
        with tifffile.TiffFile(tmp_path / name) as tif:
            assert tif.is_ome
            assert tif.is_bigtiff


def test_what_ome_tiff_cannot_hold(tmp_path):
    with pytest.raises(AxesError, match="Y and X last"):
        io.write_ome_tiff(tmp_path / "a.ome.tif", np.zeros((3, 4, 5), np.uint8), "YXC")
    with pytest.raises(AxesError, match="one letter for each axis"):
        io.write_ome_tiff(tmp_path / "a.ome.tif", np.zeros((3, 4, 5), np.uint8), "YX")
    with pytest.raises(InputError, match="int64"):
        io.write_ome_tiff(tmp_path / "a.ome.tif", np.zeros((4, 5), np.int64), "YX")
    assert list(tmp_path.iterdir()) == []


# ----------------------------------------------------------------------------------------------------------------- axes


def test_axes_that_are_given_go_before_those_of_the_file(tmp_path):
    image = numbered(4, 60, 70, dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", image, imagej=True, metadata={"axes": "ZYX"})
    read = io.read_image(tmp_path / "a.tif")
    assert read.axes == "ZYX"
    assert read.named("tyx").axes == "TYX"
    assert [frame.axes for frame in read.named("TYX").frames()] == ["YX"] * 4
    assert [frame.axes for frame in read.frames()] == ["ZYX"]
    assert io.open_plane(tmp_path / "a.tif", axes="CYX").shape == (60, 70, 4)
    with pytest.raises(AxesError, match="not a single plane"):
        io.open_plane(tmp_path / "a.tif", axes="TYX")
    for wrong in ("YX", "TTYX", "TTX", "ABC"):
        with pytest.raises(AxesError, match="one letter for each axis"):
            read.named(wrong)
    # axes of length 1 may be left out
    io.write_ome_zarr(tmp_path / "a.zarr", image[:, np.newaxis], "TZYX")
    assert io.open_plane(tmp_path / "a.zarr", axes="CYX").shape == (60, 70, 4)
    plane = io.open_plane(tmp_path / "a.tif", axes="CYX")
    assert io.open_plane(plane) is plane


def test_the_time_between_frames_is_read(tmp_path):
    movie = np.zeros((3, 20, 30), np.uint16)
    known = {
        "minutes.ome.tif": {"axes": "TYX", "TimeIncrement": 2.5, "TimeIncrementUnit": "min"},
        "unsaid.ome.tif": {"axes": "TYX"},
    }
    for name, metadata in known.items():
        tifffile.imwrite(tmp_path / name, movie, metadata=metadata)
    tifffile.imwrite(tmp_path / "imagej.tif", movie, imagej=True, metadata={"axes": "TYX", "finterval": 90.0})
    io.write_ome_zarr(tmp_path / "movie.zarr", movie, "TYX")
    attributes = zarr.open_group(tmp_path / "movie.zarr", mode="r+").attrs
    described = json.loads(json.dumps(dict(attributes)))
    image = described.get("ome", described)["multiscales"][0]
    image["axes"][0]["unit"] = "minute"
    image["datasets"][0]["coordinateTransformations"][0]["scale"][0] = 2.0
    attributes.update(described)
    found = {path.name: io.read_image(path).interval_s for path in tmp_path.iterdir()}
    assert found == {"minutes.ome.tif": 150.0, "unsaid.ome.tif": None, "imagej.tif": 90.0, "movie.zarr": 120.0}
