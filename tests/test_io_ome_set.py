"""OME-TIFF whose planes lie in several files."""

from __future__ import annotations

import os

import numpy as np
import pytest
import tifffile

from cellpose import io
from cellpose.errors import FileReadError

XMLNS = 'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'
RNG = np.random.default_rng(0)


def uuid(name):
    return f"urn:uuid:{abs(hash(name)) % 10**12:012d}"


def pixels(blocks, sizes=(1, 1, 1), side=24, order="XYCZT", ids=True, spp=1):
    """A Pixels element; blocks are (file name, ifd, (t, c, z), count), sizes those of T, C and Z."""
    t, c, z = sizes
    data = ""
    for name, ifd, (ft, fc, fz), count in blocks:
        text = uuid(name) if ids else ""
        data += (
            f'<TiffData IFD="{ifd}" FirstT="{ft}" FirstC="{fc}" FirstZ="{fz}" PlaneCount="{count}">'
            f'<UUID FileName="{name}">{text}</UUID></TiffData>'
        )
    return (
        f'<Pixels ID="Pixels:0" DimensionOrder="{order}" Type="uint8" SizeX="{side}" SizeY="{side}" SizeC="{c}" '
        f'SizeZ="{z}" SizeT="{t}" PhysicalSizeX="0.5" PhysicalSizeY="0.5" PhysicalSizeZ="2">'
        f'<Channel ID="Channel:0:0" SamplesPerPixel="{spp}" Name="DAPI"/>{data}</Pixels>'
    )


def xml(name, *images, ids=True):
    own = f' UUID="{uuid(name)}"' if ids else ""
    inside = "".join(f'<Image ID="Image:{k}">{image}</Image>' for k, image in enumerate(images))
    return f'<?xml version="1.0" encoding="UTF-8"?><OME {XMLNS}{own}>{inside}</OME>'


def plane(*lead, side=24):
    return RNG.integers(1, 255, (*lead, side, side), dtype=np.uint8)


def put(path, image, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, image, description=text, metadata=None, photometric="minisblack")


def times(folder, names, n_pages=1, here=None, **options):
    """One file per time, each with the OME-XML of all; only those in ``here`` are written."""
    blocks = [(name, 0, (t, 0, 0), n_pages) for t, name in enumerate(names)]
    images = [plane(n_pages) for _ in names]
    for name, image in zip(names, images, strict=True):
        if here is None or name in here:
            text = xml(name, pixels(blocks, (len(names), 1, n_pages), **options), ids=options.get("ids", True))
            put(folder / name, image, text)
    return np.stack(images)


NAMES = ["A.ome.tif", "B.ome.tif", "C.ome.tif"]


@pytest.mark.parametrize("ids", [True, False])
def test_each_file_gives_the_whole_set(tmp_path, ids):
    images = times(tmp_path, NAMES, ids=ids)[:, 0]
    for name in NAMES:
        image = io.read_image(tmp_path / name)
        assert (image.axes, image.pixel_size_um, image.channel_names) == ("TYX", (2.0, 0.5, 0.5), ("DAPI",))
        np.testing.assert_array_equal(image.data, images)


def test_order_of_axes_and_pages(tmp_path):
    """Two channels in files of their own, planes and times within them, z slowest."""
    stack = plane(2, 2, 3)  # channel, plane, time
    blocks = [(f"c{c}.ome.tif", 3 * z + t, (t, c, z), 1) for z in range(2) for t in range(3) for c in range(2)]
    for c in range(2):
        name = f"c{c}.ome.tif"
        put(tmp_path / name, stack[c].reshape(6, 24, 24), xml(name, pixels(blocks, (3, 2, 2), order="XYCTZ")))
    image = io.read_image(tmp_path / "c1.ome.tif")
    assert image.axes == "ZTCYX"
    np.testing.assert_array_equal(image.data, stack.transpose(1, 2, 0, 3, 4))


def test_colors(tmp_path):
    blocks = [(name, 0, (t, 0, 0), 1) for t, name in enumerate(NAMES)]
    images = [RNG.integers(0, 255, (24, 24, 3), dtype=np.uint8) for _ in NAMES]
    for name, image in zip(NAMES, images, strict=True):
        text = xml(name, pixels(blocks, (3, 3, 1), spp=3))
        tifffile.imwrite(tmp_path / name, image, description=text, metadata=None, photometric="rgb")
    image = io.read_image(tmp_path / NAMES[0])
    assert image.axes == "TYXC"
    np.testing.assert_array_equal(image.data, images)


@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize("here", [["B.ome.tif"], ["B.ome.tif", "C.ome.tif"]])
def test_of_a_set_that_is_not_whole_the_own_planes(tmp_path, caplog, here, ids):
    images = times(tmp_path, NAMES, here=here, ids=ids)
    image = io.read_image(tmp_path / "B.ome.tif")
    assert image.axes == "YX"
    np.testing.assert_array_equal(image.data, images[1, 0])
    np.testing.assert_array_equal(io.open_plane(tmp_path / "B.ome.tif").read(0, 24)[..., 0], images[1, 0])
    assert "one of a set of 3 files" in caplog.text
    assert "A.ome.tif" in caplog.text
    assert io.once_per_set([tmp_path / name for name in here]) == [tmp_path / name for name in here]


def test_own_planes_keep_their_axes(tmp_path):
    images = times(tmp_path, NAMES, n_pages=4, here=["C.ome.tif"])
    image = io.read_image(tmp_path / "C.ome.tif")
    assert image.axes == "ZYX"
    np.testing.assert_array_equal(image.data, images[2])


def test_a_renamed_file_is_known_by_its_uuid(tmp_path, caplog):
    images = times(tmp_path, NAMES, here=["B.ome.tif"])
    os.rename(tmp_path / "B.ome.tif", tmp_path / "cells.ome.tif")
    np.testing.assert_array_equal(io.imread(tmp_path / "cells.ome.tif"), images[1, 0])
    # all others beside it: it is still the second of three
    images = times(tmp_path, NAMES)
    os.rename(tmp_path / "B.ome.tif", tmp_path / "cells.ome.tif")
    np.testing.assert_array_equal(io.imread(tmp_path / "cells.ome.tif"), images[:, 0])


def test_a_renamed_file_without_uuid(tmp_path, caplog):
    images = times(tmp_path, NAMES, here=["B.ome.tif"], ids=False)
    os.rename(tmp_path / "B.ome.tif", tmp_path / "cells.ome.tif")
    np.testing.assert_array_equal(io.imread(tmp_path / "cells.ome.tif"), images[1, 0])
    assert "nly the planes in this file" in caplog.text
    single = times(tmp_path, ["A.ome.tif"], n_pages=3, ids=False)
    os.rename(tmp_path / "A.ome.tif", tmp_path / "one.ome.tif")
    image = io.read_image(tmp_path / "one.ome.tif")
    assert image.axes == "ZYX"
    np.testing.assert_array_equal(image.data, single[0])


def test_another_file_of_the_same_name_is_none_of_the_set(tmp_path, caplog):
    images = times(tmp_path, NAMES)
    put(tmp_path / "A.ome.tif", plane(), xml("stranger", pixels([("A.ome.tif", 0, (0, 0, 0), 1)])))
    np.testing.assert_array_equal(io.imread(tmp_path / "B.ome.tif"), images[1, 0])
    assert "another file of this name" in caplog.text


def test_nothing_outside_the_folder_is_read(tmp_path):
    """Names with a path: below the folder they are followed, elsewhere only their last part counts."""
    secret = plane()
    put(tmp_path / "secret.tif", secret, "")
    folder = tmp_path / "images"
    for name in ("../secret.tif", str(tmp_path / "secret.tif"), "..\\secret.tif", "sub/../../secret.tif"):
        own = plane()
        blocks = [(name, 0, (0, 0, 0), 1), ("B.ome.tif", 0, (1, 0, 0), 1)]
        put(folder / "B.ome.tif", own, xml("B.ome.tif", pixels(blocks, (2, 1, 1))))
        np.testing.assert_array_equal(io.imread(folder / "B.ome.tif"), own)
    names = ["sub/A.ome.tif", "C:\\data\\B.ome.tif"]
    images = times(folder, names, here=names[:1])
    blocks = [(name, 0, (t, 0, 0), 1) for t, name in enumerate(names)]
    put(folder / "B.ome.tif", images[1, 0], xml(names[1], pixels(blocks, (2, 1, 1))))
    np.testing.assert_array_equal(io.imread(folder / "B.ome.tif"), images[:, 0])


@pytest.mark.parametrize("master", ["all.companion.ome", "A.ome.tif"])
def test_metadata_in_another_file(tmp_path, caplog, master):
    images = [plane() for _ in NAMES]
    blocks = [(name, 0, (t, 0, 0), 1) for t, name in enumerate(NAMES)]
    text = xml(master, pixels(blocks, (3, 1, 1)))
    for name, image in zip(NAMES, images, strict=True):
        binary = f'<BinaryOnly MetadataFile="{master}" UUID="{uuid(master)}"/>'
        binary = f'<?xml version="1.0"?><OME {XMLNS} UUID="{uuid(name)}">{binary}</OME>'
        put(tmp_path / name, image, text if name == master else binary)
    if master != NAMES[0]:
        (tmp_path / master).write_text(text)
        np.testing.assert_array_equal(io.imread(tmp_path / master), images)
    for name in NAMES:
        np.testing.assert_array_equal(io.imread(tmp_path / name), images)
    assert io.once_per_set([tmp_path / name for name in NAMES]) == [tmp_path / NAMES[0]]
    (tmp_path / master).unlink()
    np.testing.assert_array_equal(io.imread(tmp_path / "B.ome.tif"), images[1])
    assert "has its metadata in" in caplog.text


def test_each_position_is_an_image_of_its_own(tmp_path):
    """The OME-XML of all positions stands in each file; what is read are the planes of the file's own."""
    names = [["p0a.ome.tif", "p0b.ome.tif"], ["p1a.ome.tif", "p1b.ome.tif"]]
    elements = [pixels([(name, 0, (t, 0, 0), 1) for t, name in enumerate(pair)], (2, 1, 1)) for pair in names]
    images = {name: plane() for pair in names for name in pair}
    for name, image in images.items():
        put(tmp_path / name, image, xml(name, *elements))
    for pair in names:
        for name in pair:
            np.testing.assert_array_equal(io.imread(tmp_path / name), [images[one] for one in pair])
    files = [tmp_path / name for pair in names for name in pair]
    assert io.once_per_set(files) == [files[0], files[2]]


def test_planes_that_no_file_holds_are_an_error_that_counts_them(tmp_path):
    blocks = [(name, 0, (t, 0, 0), 1) for t, name in enumerate(NAMES[:2])]
    for name in NAMES[:2]:
        put(tmp_path / name, plane(), xml(name, pixels(blocks, (5, 1, 1))))
    with pytest.raises(FileReadError, match="3 of the 5 planes"):
        io.imread(tmp_path / "A.ome.tif")
    times(tmp_path, NAMES, n_pages=4)
    for name in NAMES[:2]:
        with tifffile.TiffFile(tmp_path / name) as tif:
            text = tif.pages[0].description
        put(tmp_path / name, plane(2), text)
    with pytest.raises(FileReadError, match="4 of the 12 planes"):
        io.imread(tmp_path / "C.ome.tif")
    (tmp_path / "C.ome.tif").unlink()
    with pytest.raises(FileReadError, match="2 of the 4 planes"):
        io.imread(tmp_path / "A.ome.tif")


def test_broken_files_of_a_set_are_named(tmp_path):
    times(tmp_path, NAMES)
    (tmp_path / "B.ome.tif").write_bytes((tmp_path / "B.ome.tif").read_bytes()[:-60])
    with pytest.raises(FileReadError, match=r"B\.ome\.tif"):
        io.imread(tmp_path / "A.ome.tif")
    times(tmp_path, NAMES)
    with tifffile.TiffFile(tmp_path / "B.ome.tif") as tif:
        text = tif.pages[0].description
    put(tmp_path / "B.ome.tif", plane(side=30), text)
    with pytest.raises(FileReadError, match=r"B\.ome\.tif has planes of shape \(30, 30\)"):
        io.imread(tmp_path / "A.ome.tif")


def test_channels_in_files_are_read_by_rows(tmp_path):
    blocks = [(name, 0, (0, c, 0), 1) for c, name in enumerate(NAMES)]
    images = [plane() for _ in NAMES]
    for name, image in zip(NAMES, images, strict=True):
        put(tmp_path / name, image, xml(name, pixels(blocks, (1, 3, 1))))
    lazy = io.open_plane(tmp_path / "B.ome.tif")
    assert lazy.shape == (24, 24, 3)
    np.testing.assert_array_equal(lazy.read(5, 11), np.stack(images, axis=-1)[5:11])


def test_sets_of_many_files(tmp_path, caplog):
    names = [f"t{t:03d}.ome.tif" for t in range(120)]
    images = times(tmp_path, names)
    files = [tmp_path / name for name in names]
    assert io.once_per_set([*files, tmp_path / "other.tif"]) == [files[0], tmp_path / "other.tif"]
    assert "t003.ome.tif and 116 more are one set of 120 files: read once, results under the name" in caplog.text
    np.testing.assert_array_equal(io.imread(files[7]), images[:, 0])
