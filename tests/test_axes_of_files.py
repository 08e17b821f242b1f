"""Numbers of axes are those of the file; what contradicts the file is refused, what is assumed is told."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from bench import Bench, make_bench
from blobs import blob_image
from cellpose import io
from cellpose.errors import AxesError, AxisRangeError
from cellpose.models import segment_image
from small_model import discs, toy_model

U_NET = ("--pretrained_model", "cyto3", "--save_tif", "--no_npy")


@pytest.fixture
def model(tmp_path):
    return toy_model(tmp_path)


@pytest.fixture
def bench(tmp_path):
    with make_bench(tmp_path) as place:
        place.model("cyto3")
        yield place


def stack_of(n_planes=4, n_channels=3, side=60):
    """(c, z, y, x): the discs of each plane in the first channel, noise in the others."""
    rng = np.random.default_rng(0)
    planes = np.stack([discs(side, side + 8)] * n_planes)
    noise = [rng.integers(0, 20, planes.shape) for _ in range(n_channels - 1)]
    return np.stack([planes, *noise]).astype(np.uint16)


def ome(folder):
    path = folder / "a.ome.tif"
    tifffile.imwrite(path, stack_of()[np.newaxis], metadata={"axes": "TCZYX"})
    return path, "TCZYX", (1, 3, 4, 60, 68)


def imagej(folder):
    path = folder / "a.tif"
    stack = stack_of().transpose(1, 0, 2, 3)[np.newaxis]
    tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "TZCYX"})
    return path, "TZCYX", (1, 4, 3, 60, 68)


def ome_zarr(folder):
    pytest.importorskip("zarr", reason="needs zarr: pip install 'cellpose[distributed]'")
    path = folder / "a.zarr"
    io.write_ome_zarr(path, stack_of()[np.newaxis], "TCZYX")
    return path, "TCZYX", (1, 3, 4, 60, 68)


@pytest.mark.parametrize("write", [ome, imagej, ome_zarr])
def test_numbers_are_those_of_the_file(tmp_path, model, write):
    path, axes, shape = write(tmp_path)
    keywords = {"diameter": 15, "stitch_threshold": 0.3, "channels": [1, 0]}
    want = segment_image(model, path, **keywords)[0]
    assert want.shape == (4, 60, 68)
    assert want.max() >= 4
    c, z = axes.index("C"), axes.index("Z")
    squeezed = axes[1:]
    numbers = [(c, z), (c - 5, z - 5), (c, None), (None, z), (squeezed.index("C"), squeezed.index("Z"))]
    for channel_axis, z_axis in numbers:
        given = {"channel_axis": channel_axis, "z_axis": z_axis}
        np.testing.assert_array_equal(segment_image(model, path, **given, **keywords)[0], want)
        np.testing.assert_array_equal(model.eval(path, **given, **keywords)[0], want)
    np.testing.assert_array_equal(model.eval([path, path], channel_axis=c, z_axis=z, **keywords)[0][1], want)
    for given in ({"z_axis": 3}, {"channel_axis": -1}, {"channel_axis": c, "z_axis": 4}):
        with pytest.raises(AxesError, match=rf"axes {axes}, shape \({shape[0]}, .*{squeezed}") as caught:
            segment_image(model, path, **given, **keywords)
        assert "leave it out" in str(caught.value)
        with pytest.raises(AxesError):
            model.eval(path, **given, **keywords)
    with pytest.raises(AxisRangeError, match="no axis 5"):
        segment_image(model, path, z_axis=5, **keywords)


def test_an_axis_of_length_one_may_be_named():
    image = io.Image(np.zeros((4, 9, 9)), "ZYX", file_axes=io.FileAxes("TCZYX", (1, 1, 4, 9, 9)))
    assert (image.place("C", 1), image.place("Z", 2)) == (None, 0)
    with pytest.raises(AxesError, match="axis 1 is C"):
        image.place("Z", 1)


def test_what_a_file_does_not_declare_is_taken_as_given(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((1, 4, 9, 8)))
    image = io.read_image(tmp_path / "a.npy")
    assert [image.place("Z", k) for k in (0, 1, 3, -1)] == [0, 1, 3, 3]
    # rows of pixels in pages, planes that are stored like colors: the order in the file declares nothing
    for shape in ((30, 31, 3), (4, 30, 31), (3, 30, 31), (5, 30, 31), (2, 5, 30, 31), (1, 5, 30, 31)):
        beside = {"photometric": "rgb", "planarconfig": "separate"} if shape[0] in (3, 4) else {}
        tifffile.imwrite(tmp_path / "a.tif", np.zeros(shape, np.uint8), **(beside or {"photometric": "minisblack"}))
        image = io.read_image(tmp_path / "a.tif")
        assert [image.place("Z", k) for k in range(len(shape))] == list(range(image.data.ndim)), shape
    # colors of a pixel are channels
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 30, 31, 3), np.uint8), photometric="rgb")
    image = io.read_image(tmp_path / "a.tif")
    assert (image.axes, image.place("Z", 0), image.place("C", -1)) == ("QYXC", 0, 3)
    for letter, number in (("C", 0), ("Z", 3)):
        with pytest.raises(AxesError, match="contradicts"):
            image.place(letter, number)


def test_names_beside_numbers():
    image = io.Image(np.zeros((3, 4, 9, 9)), "CZYX", file_axes=io.FileAxes("TCZYX", (1, 3, 4, 9, 9)))
    # of the array, or of the file
    for names in ("ZCYX", "TZCYX"):
        named = image.named(names)
        assert named.axes == "ZCYX"
        assert (named.place("Z", 1), named.place("C", 2), named.place("C", 1)) == (0, 1, 1)
        with pytest.raises(AxesError, match="TZCYX"):
            named.place("Z", 2)
    with pytest.raises(AxesError, match="one letter for each axis"):
        image.named("ZYX")


def test_plane_by_rows(tmp_path):
    image = np.arange(2 * 30 * 40, dtype=np.uint16).reshape(1, 2, 1, 30, 40)
    tifffile.imwrite(tmp_path / "a.ome.tif", image, metadata={"axes": "TCZYX"})
    for number in (None, 1, -4, 0):  # the last one counts without axes of length 1
        assert io.open_plane(tmp_path / "a.ome.tif", number).shape == (30, 40, 2)
    for number in (2, 3, 4, -1):
        with pytest.raises(AxesError, match=r"TCZYX, shape \(1, 2, 1, 30, 40\)"):
            io.open_plane(tmp_path / "a.ome.tif", number)
    assert io.open_plane(tmp_path / "a.ome.tif", axes="TCZYX", channel_axis=1).shape == (30, 40, 2)


def test_command_line(bench: Bench, capsys):
    plane = blob_image((64, 72))
    stack = np.stack([np.stack([plane] * 4), np.zeros((4, 64, 72), plane.dtype)])[np.newaxis]
    tifffile.imwrite(bench.folder / "a.ome.tif", stack, metadata={"axes": "TCZYX"})
    run = (*U_NET, "--chan", "1", "--stitch_threshold", "0.3")
    labels = []
    for options in ("", "--z_axis 2 --channel_axis 1", "--axes TCZYX", "--axes CZYX --z_axis 2"):
        assert bench.run(*run, *options.split()) == 0, options
        labels.append(io.imread(bench.folder / "a.ome_cp_masks.tif"))
        assert labels[-1].shape == (4, 64, 72)
        np.testing.assert_array_equal(labels[-1], labels[0])
    capsys.readouterr()
    for options in ("--z_axis 3", "--channel_axis 2", "--axes TZCYX --z_axis 3"):
        assert bench.run(*run, *options.split()) == 1, options
        assert "shape (1, 2, 4, 64, 72)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("write", "shape", "said"),
    [
        ("npy", (4, 64, 72), "read as 4 channels of a plane; if they are z planes: --z_axis 0"),
        ("tif", (4, 64, 72), "read as 4 channels of a plane; if they are z planes: --z_axis 0"),
        ("tif", (2, 64, 72), "read as 2 channels of a plane"),
        ("npy", (64, 72, 3), "--z_axis 2 with --do_3D or --stitch_threshold, or --axes YXZ"),
        ("npy", (5, 2, 64, 72), "read as 5 planes along axis 0 of 2 channels along axis 1"),
    ],
)
def test_what_is_assumed_is_told_once(bench: Bench, capsys, write, shape, said):
    plane = blob_image((64, 72))
    image = np.empty(shape, plane.dtype)
    image[...] = plane[..., np.newaxis] if shape[-1] == 3 else plane
    for name in "ab":
        if write == "npy":
            np.save(bench.folder / f"{name}.npy", image)
        else:
            beside = {"photometric": "rgb", "planarconfig": "separate"} if shape[0] == 4 else {}
            tifffile.imwrite(bench.folder / f"{name}.tif", image, **(beside or {"photometric": "minisblack"}))
    names = [bench.folder / f"{name}.{write}" for name in "ab"]
    run = (*U_NET, *(("--image_path", names[0]) if write == "npy" else ()))
    assert bench.run(*run) == 0
    err = capsys.readouterr().err
    assert f".{write}: shape {shape} without named axes: read as " in err
    assert said in err
    assert err.count("without named axes") == 1
    if len(shape) == 4:
        return
    # what it says to type does what it says
    axis = min(range(3), key=shape.__getitem__)
    axes = "".join("Z" if k == axis else a for k, a in enumerate("YXX" if axis == 2 else "YYX"))
    want = (shape[axis], 64, 72)
    for options in (f"--z_axis {axis}", f"--axes {axes}", f"--axes {axes} --z_axis {axis}"):
        assert bench.run(*run, *options.split(), "--stitch_threshold", "0.2") == 0
        assert io.imread(bench.folder / "a_cp_masks.tif").shape == want
        assert "without named axes" not in capsys.readouterr().err
    assert bench.run(*run, "--channel_axis", str(axis)) == 0
    assert io.imread(bench.folder / "a_cp_masks.tif").shape == (64, 72)
    assert "without named axes" not in capsys.readouterr().err


def test_arrays_are_told_of_once_in_a_call(model, caplog):
    stack = np.stack([discs(40, 44)] * 4)
    model.eval([stack, stack, stack], diameter=15)
    said = [r for r in caplog.records if "without named axes" in r.message]
    assert len(said) == 1
    assert "shape (4, 40, 44)" in said[0].message
    assert said[0].levelname == "WARNING"
    caplog.clear()
    model.eval(stack, diameter=15, channel_axis=0)
    model.eval(stack, diameter=15, z_axis=0)
    model.eval(stack, diameter=15, stitch_threshold=0.2)
    model.eval(stack.transpose(1, 2, 0)[..., :3], diameter=15)
    assert not [r for r in caplog.records if r.levelname == "WARNING" and "named axes" in r.message]


@pytest.mark.parametrize("write", ["png", "tif", "npy"])
@pytest.mark.parametrize("option", ["--do_3D", "--stitch_threshold 0.2"])
def test_a_plane_of_colors_is_no_stack(bench: Bench, capsys, write, option):
    plane = blob_image((64, 72))
    colors = np.stack([plane, plane // 2, plane // 3], axis=-1).astype(np.uint8)
    path = bench.folder / f"a.{write}"
    np.save(path, colors) if write == "npy" else io.imsave(path, colors)
    assert bench.run(*U_NET, "--image_path", path, *option.split()) == 1
    assert "one plane with 3 channels along axis 2" in capsys.readouterr().err
    io.imsave(path.with_suffix(".png"), plane)
    assert bench.run(*U_NET, "--image_path", path.with_suffix(".png"), *option.split()) == 1
    assert "is one plane" in capsys.readouterr().err


def test_times_may_be_planes(bench: Bench, capsys):
    """ImageJ and OME-TIFF have all five axes; z has length 1 where planes were written as times."""
    stack = np.stack([blob_image((64, 72))] * 3)
    tifffile.imwrite(bench.folder / "a.tif", stack, imagej=True, metadata={"axes": "TYX"})
    for options in ("--z_axis 0", "--axes ZYX"):
        assert bench.run(*U_NET, "--stitch_threshold", "0.2", *options.split()) == 0
        assert io.imread(bench.folder / "a_cp_masks.tif").shape == (3, 64, 72)
    capsys.readouterr()
    assert bench.run(*U_NET, "--channel_axis", "0") == 1
    assert "no axis C: leave channel_axis out" in (err := capsys.readouterr().err)
    assert "axes='CYX'" in err


def test_large_planes_without_names_are_told(bench: Bench, capsys):
    image = np.stack([blob_image((64, 72))] * 4)
    tifffile.imwrite(bench.folder / "a.tif", image, photometric="rgb", planarconfig="separate")
    for options, said in (("", True), ("--channel_axis 0", False), ("--axes CYX", False)):
        assert bench.run(*U_NET, "--large", *options.split()) == 0
        assert ("a.tif: the axes have no names; they are read as 4 channels" in capsys.readouterr().err) == said


@pytest.mark.parametrize("option", ["--do_3D", "--stitch_threshold 0.2", ""])
def test_pages_are_planes_even_if_there_are_more_of_them_than_rows(bench: Bench, option):
    stack = np.stack([blob_image((40, 48))] * 50)
    tifffile.imwrite(bench.folder / "deep.tif", stack, photometric="minisblack")
    assert bench.run(*U_NET, *option.split()) == 0
    masks = io.imread(bench.folder / "deep_cp_masks.tif")
    assert masks.shape == stack.shape
    assert all(plane.any() for plane in masks)


@pytest.mark.parametrize("n", [2, 3, 5])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_channels_that_are_written_as_columns_of_pages(bench: Bench, n, compression):
    plane = blob_image((60, 48)).astype(np.float32)
    image = np.stack([plane / (k + 1) for k in range(n)], axis=-1)
    path = bench.folder / "a.tif"
    tifffile.imwrite(path, image, photometric="minisblack", compression=compression)
    tifffile.imwrite(bench.folder / "b.tif", plane)
    assert bench.run(*U_NET) == 0
    masks = io.imread(bench.folder / "a_cp_masks.tif")
    np.testing.assert_array_equal(masks, io.imread(bench.folder / "b_cp_masks.tif"))
    lazy = io.open_plane(path)
    assert lazy.shape == image.shape
    np.testing.assert_array_equal(lazy.read(7, 19), image[7:19])


def test_channels_that_may_be_planes(bench: Bench, capsys):
    tifffile.imwrite(bench.folder / "a.tif", np.stack([blob_image((64, 72))] * 5), imagej=True)
    assert bench.run(*U_NET, "--stitch_threshold", "0.2") == 1
    assert "channels but no planes; if the channels are planes, set axes ZYX" in capsys.readouterr().err
    assert bench.run(*U_NET, "--stitch_threshold", "0.2", "--axes", "ZYX") == 0
    assert io.imread(bench.folder / "a_cp_masks.tif").shape == (5, 64, 72)


def test_a_stack_whose_planes_are_not_first_is_warned_of(model, caplog):
    stack = np.stack([discs(60, 68)] * 20)
    model.eval(stack, channels=[0, 0], stitch_threshold=0.2)
    assert "z_axis" not in "".join(r.message for r in caplog.records if r.levelname == "WARNING")
    model.eval(np.moveaxis(stack, 0, 2), channels=[0, 0], stitch_threshold=0.2)
    assert "z_axis=2 assumed" in "".join(r.message for r in caplog.records if r.levelname == "WARNING")
