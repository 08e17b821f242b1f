"""Times are not planes: movies are segmented frame by frame, in Python and on the command line."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from bench import Bench, make_bench
from blobs import blob_image
from cellpose import denoise, io
from cellpose.errors import AxesError, InputError
from cellpose.models import segment_image
from small_model import discs, toy_model

U_NET = ("--pretrained_model", "cyto3")


@pytest.fixture
def model(tmp_path):
    return toy_model(tmp_path)


@pytest.fixture
def bench(tmp_path):
    with make_bench(tmp_path) as place:
        place.model("cyto3")
        yield place


def moving(n, *shape):
    """Discs that go down from frame to frame; brighter ones later, so that frames differ in their intensities too."""
    return np.stack([np.roll(discs(*shape), 5 * t, axis=0) * (t + 1) for t in range(n)]).astype(np.uint16)


@pytest.mark.parametrize("ome", [False, True], ids=["imagej", "ome"])
def test_eval_takes_no_movie_from_a_file(model, tmp_path, ome):
    """It does not run, as planes or channels, what the file calls times; the ways that its message names do."""
    path, movie = tmp_path / ("a.ome.tif" if ome else "a.tif"), moving(3, 60, 72)
    tifffile.imwrite(path, movie, imagej=not ome, metadata={"axes": "TYX"})
    message = r"a\.\S*tif has axes TYX of shape \(3, 60, 72\): .*models\.segment_image.*frames\(\).*: z_axis=0"
    for given in (path, [path], tmp_path):
        for keywords in ({}, {"stitch_threshold": 0.3}, {"do_3D": True}):
            with pytest.raises(AxesError, match=message):
                model.eval(given, diameter=15, **keywords)
    restorer = denoise.DenoiseModel(model_type="denoise")
    with pytest.raises(AxesError, match=message):
        restorer.eval(path)
    alone = [model.eval(frame, diameter=15)[0] for frame in movie]
    np.testing.assert_array_equal(segment_image(model, path, diameter=15)[0], alone)
    frames = [frame.data for frame in io.read_image(path).frames()]
    np.testing.assert_array_equal(model.eval(frames, diameter=15)[0], alone)
    as_planes = model.eval(path, z_axis=0, diameter=15, stitch_threshold=0.3)[0]
    np.testing.assert_array_equal(as_planes, model.eval(movie, z_axis=0, diameter=15, stitch_threshold=0.3)[0])


def test_a_movie_is_its_frames(model):
    movie = moving(3, 60, 72)
    masks, flows, styles = segment_image(model, io.Image(movie, "TYX"), diameter=15)
    alone = [model.eval(frame, diameter=15) for frame in movie]
    assert masks.shape == movie.shape
    assert [f.shape for f in flows] == [(3, 60, 72, 3), (2, 3, 60, 72), (3, 60, 72)]
    assert len(styles) == 3
    for t, (mask, (rgb, dP, cellprob), style) in enumerate(alone):
        assert mask.max() >= 4
        np.testing.assert_array_equal(masks[t], mask)
        np.testing.assert_array_equal(flows[0][t], rgb)
        np.testing.assert_array_equal(flows[1][:, t], dP)
        np.testing.assert_array_equal(flows[2][t], cellprob)
        np.testing.assert_array_equal(styles[t], style)


@pytest.mark.parametrize("axes", ["TZYX", "TCZYX", "ZTYX", "CTYX", "TYXC"])
def test_times_planes_and_channels_stay_apart(model, axes):
    sides = {"T": 2, "Z": 3, "C": 2, "Y": 48, "X": 60}
    rng = np.random.default_rng(0)
    image = rng.integers(0, 9, [sides[a] for a in axes]).astype(np.uint16)
    shape = [n if a in "YX" else 1 for a, n in zip(axes, image.shape, strict=True)]
    image += discs(48, 60).reshape(shape)
    image = image * np.arange(1, 3, dtype=np.uint16).reshape(
        [n if a == "T" else 1 for a, n in zip(axes, image.shape, strict=True)]
    )
    masks, _, _ = segment_image(model, io.Image(image, axes), diameter=15)
    t, rest = axes.index("T"), axes.replace("T", "")
    for time in range(2):
        frame = image.take(time, t)
        given = {
            "z_axis": rest.find("Z") if "Z" in rest else None,
            "channel_axis": rest.find("C") if "C" in rest else None,
        }
        np.testing.assert_array_equal(masks[time], model.eval(frame, diameter=15, **given)[0])
    assert masks.shape == tuple(sides[a] for a in "TZYX" if a in axes)


class Sized:
    """A model that finds another diameter for each frame."""

    def __init__(self, model, diameters):
        self.model, self.diameters = model, iter(diameters)

    def eval(self, image, **keywords):
        return self.model.eval(image, diameter=next(self.diameters), **keywords)


def test_frames_of_different_diameters(model):
    movie = np.stack([discs(6, 40, 44)] * 2)
    keywords = {"do_3D": True, "niter": 20}
    masks, flows, styles = segment_image(Sized(model, (30, 15)), io.Image(movie, "TZYX"), **keywords)
    assert masks.shape == movie.shape
    assert flows[1].shape == (3, *movie.shape)
    assert [style.ndim for style in styles] == [2, 2]
    assert len(styles[0]) != len(styles[1])
    with pytest.raises(InputError, match="give one diameter for all, or leave out resample=False"):
        segment_image(Sized(model, (30, 15, 15)), io.Image(moving(3, 60, 72), "TYX"), resample=False)


def test_movies_of_volumes(model):
    movie = np.stack([discs(6, 40, 44)] * 2)
    keywords = {"do_3D": True, "niter": 20, "diameter": 30}
    masks, flows, _ = segment_image(model, io.Image(movie, "TZYX"), **keywords)
    assert masks.shape == movie.shape
    assert flows[1].shape == (3, *movie.shape)
    np.testing.assert_array_equal(masks[1], model.eval(movie[1], z_axis=0, **keywords)[0])
    # times are planes only where that is said
    with pytest.raises(AxesError, match="time points but no planes"):
        segment_image(model, io.Image(movie[0], "TYX"), **keywords)
    for image, more in ((io.Image(movie[0], "ZYX"), {}), (io.Image(movie[0], "TYX"), {"z_axis": 0})):
        np.testing.assert_array_equal(segment_image(model, image, **more, **keywords)[0], masks[0])
    with pytest.raises(AxesError, match="axis 7"):
        segment_image(model, io.Image(movie, "TZYX"), z_axis=7)


def blobs(n):
    """Nine cells per frame, others in each; later frames are brighter."""
    return np.stack([blob_image((74, 80), seed=t) // (n - t) for t in range(n)])


def imagej(path, movie, axes):
    tifffile.imwrite(path, movie, imagej=True, metadata={"axes": axes})


def ome(path, movie, axes):
    tifffile.imwrite(path, movie, ome=True, metadata={"axes": axes, "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5})


@pytest.mark.parametrize("write", [imagej, ome])
def test_movies_in_tiff(bench: Bench, write):
    movie = blobs(3)
    write(bench.folder / "a.tif", movie, "TYX")
    assert bench.run(*U_NET, "--save_tif", "--save_ome_tif", "--save_rois") == 0
    plain, labels = (io.read_image(bench.folder / f"a_cp_masks{suffix}") for suffix in (".tif", ".ome.tif"))
    assert (plain.axes, labels.axes) == ("TYX", "TYX")
    np.testing.assert_array_equal(plain.data, labels.data)
    assert labels.pixel_size_um == ((None, 0.5, 0.5) if write is ome else (None, None, None))
    entry = bench.manifest()["images"][0]
    counts = [len(np.unique(frame)) - 1 for frame in labels.data]
    assert (entry["axes"], entry["cells"]) == ("TYX", sum(counts))
    assert min(counts) >= 4
    # each frame for itself
    for t, frame in enumerate(movie):
        tifffile.imwrite(bench.folder / f"frame{t}.tif", frame)
        image = ("--image_path", bench.folder / f"frame{t}.tif")
        assert bench.run(*U_NET, *image, "--save_tif", "--no_npy") == 0
        np.testing.assert_array_equal(io.imread(bench.folder / f"frame{t}_cp_masks.tif"), labels.data[t])


def test_movies_in_ome_zarr(bench: Bench):
    pytest.importorskip("zarr", reason="needs zarr: pip install 'cellpose[distributed]'")
    movie = np.repeat(blobs(2)[:, np.newaxis], 3, axis=1)
    path = bench.folder / "a.zarr"
    io.write_ome_zarr(path, movie, "TZYX", pixel_size_um=(2.0, 0.5, 0.5))
    run = (*U_NET, "--image_path", path, "--save_zarr", "--zarr_labels", "cells", "--save_tif")
    assert bench.run(*run, "--save_rois") == 0  # ROIs and _seg.npy cannot hold times and planes both
    found = [io.read_image(p) for p in (bench.folder / "a_cp_masks.zarr", path / "labels/cells")]
    found.append(io.read_image(bench.folder / "a_cp_masks.tif"))
    for labels in found:
        assert labels.axes == "TZYX"
        assert labels.data.shape == movie.shape
        np.testing.assert_array_equal(labels.data, found[0].data)
    assert [labels.pixel_size_um for labels in found[:2]] == [(2.0, 0.5, 0.5)] * 2
    assert sorted(p.name for p in bench.folder.iterdir()) == [
        "a.zarr",
        "a_cp_masks.tif",
        "a_cp_masks.zarr",
        "cellpose_run.json",
    ]
    assert all(len(np.unique(plane)) > 4 for frame in found[0].data for plane in frame)
    # labels that are there stay
    before = found[1].data
    assert bench.run(*run) == 1
    np.testing.assert_array_equal(io.imread(path / "labels/cells"), before)


def test_axes_on_the_command_line(bench: Bench, caplog):
    movie = blobs(3)
    tifffile.imwrite(bench.folder / "a.tif", movie, photometric="minisblack")  # a stack of pages that nobody named
    assert bench.run(*U_NET, "--axes", "tyx", "--save_tif") == 0
    assert bench.manifest()["images"][0]["axes"] == "TYX"
    assert io.read_image(bench.folder / "a_cp_masks.tif").axes == "TYX"
    assert bench.run(*U_NET, "--axes", "TYX", "--stitch_threshold", "0.5") == 1
    assert "time points but no planes" in caplog.text
    assert bench.run(*U_NET, "--axes", "ZYX", "--stitch_threshold", "0.5", "--save_tif") == 0
    assert io.read_image(bench.folder / "a_cp_masks.tif").axes == "ZYX"
    assert bench.run(*U_NET, "--axes", "YX") == 1
    assert "one letter for each axis" in caplog.text


def test_masks_at_the_border_go_frame_by_frame(bench: Bench):
    movie = blobs(3)
    imagej(bench.folder / "a.tif", movie, "TYX")
    assert bench.run(*U_NET, "--save_tif", "--exclude_on_edges") == 0
    masks = io.imread(bench.folder / "a_cp_masks.tif")
    assert masks[0].any()
    assert masks[-1].any()
    assert not masks[:, [0, -1]].any()
    assert not masks[:, :, [0, -1]].any()


def test_large_planes_in_several_formats(bench: Bench):
    pytest.importorskip("zarr", reason="needs zarr: pip install 'cellpose[distributed]'")
    (tif,) = bench.images("a.tif")
    image = io.imread(tif)
    tif.unlink()
    path = bench.folder / "a.zarr"
    io.write_ome_zarr(path, image, "YX", pixel_size_um=(None, 0.5, 0.5))
    outputs = ("--save_zarr", "--save_tif", "--save_ome_tif", "--zarr_labels", "cells")
    assert bench.run(*U_NET, "--image_path", path, "--large", *outputs) == 0
    names = [path / "labels/cells", *(bench.folder / f"a_cp_masks{s}" for s in (".zarr", ".tif", ".ome.tif"))]
    found = [io.read_image(name) for name in names]
    assert len(np.unique(found[0].data)) == 10
    for labels in found:
        np.testing.assert_array_equal(labels.data, found[0].data)
    assert [labels.pixel_size_um for labels in found[:2]] == [(None, 0.5, 0.5)] * 2
    assert found[3].pixel_size_um == (None, 0.5, 0.5)
