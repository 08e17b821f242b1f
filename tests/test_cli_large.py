"""Large planes, OME-Zarr and sizes in micrometres on the command line."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from bench import Bench, make_bench
from cellpose import io
from cellpose.cli import _large
from cellpose.cli._parser import get_arg_parser

U_NET = ("--pretrained_model", "cyto3")


@pytest.fixture
def bench(tmp_path):
    with make_bench(tmp_path) as place:
        place.model("cyto3")
        yield place


def cells_of(path):
    masks = io.imread(path)
    return masks.shape, len(np.unique(masks)) - 1, (masks > 0).sum()


def test_blocks_write_the_same_masks(bench: Bench):
    images = bench.images("a.tif", "b.tif")
    assert bench.run(*U_NET, "--save_tif", "--no_npy") == 0
    whole = [cells_of(bench.folder / f"{name}_cp_masks.tif") for name in "ab"]
    assert bench.run(*U_NET, "--large") == 0
    assert bench.new_files(without=images) == ["a_cp_masks.tif", "b_cp_masks.tif"]
    assert [cells_of(bench.folder / f"{name}_cp_masks.tif") for name in "ab"] == whole
    assert whole[0][1] == 9
    entry = bench.manifest()["images"][0]
    assert (entry["cells"], entry["blocks"], entry["outputs"]) == (9, True, ["a_cp_masks.tif"])


def test_large_images_are_run_in_blocks_unasked(bench: Bench, monkeypatch, caplog):
    monkeypatch.setattr(_large, "_WHOLE_AT_MOST", 1000)
    images = bench.images("a.tif")
    assert bench.run(*U_NET) == 0
    assert bench.new_files(without=images) == ["a_cp_masks.tif"]
    assert "in blocks" in caplog.text
    # what needs the whole image is done as before
    assert bench.run(*U_NET, "--no_resample") == 0
    assert (bench.folder / "a_seg.npy").is_file()


@pytest.mark.parametrize("option", [("--do_3D",), ("--exclude_on_edges",), ("--no_resample",)])
def test_what_blocks_cannot_do_is_refused(bench: Bench, option, capsys):
    images = bench.images("a.tif")
    assert bench.run(*U_NET, "--large", *option) == 2
    assert f"{option[0]} needs the whole image" in capsys.readouterr().err
    assert not bench.new_files(without=images)


def test_the_estimate_is_printed_and_nothing_is_done(bench: Bench, capsys):
    images = bench.images("a.tif", "b.tif")
    assert bench.run(*U_NET, "--estimate_memory") == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "GiB" in line]
    assert [line.split(":")[0] for line in lines] == [str(image) for image in images]
    assert len(lines) == 2
    assert all("GiB in blocks" in line and "GiB as a whole" in line for line in lines)
    assert bench.new_files(without=images) == []


def test_zarr_in_and_out(bench: Bench):
    pytest.importorskip("zarr", reason="needs zarr: pip install 'cellpose[distributed]'")
    (tif,) = bench.images("a.tif")
    io.write_ome_zarr(bench.folder / "a.zarr", io.imread(tif), "YX", pixel_size_um=(None, 0.5, 0.5))
    tif.unlink()
    image = ("--image_path", bench.folder / "a.zarr")
    found = []
    for options in ((), ("--large",), ("--large",)):  # the last one in the place of the one before
        assert bench.run(*U_NET, *image, "--save_zarr", "--no_npy", *options) == 0
        labels = io.read_image(bench.folder / "a_cp_masks.zarr")
        assert labels.pixel_size_um == (None, 0.5, 0.5)
        found.append((labels.data.shape, len(np.unique(labels.data)) - 1, (labels.data > 0).sum()))
    assert found[0][1] == 9
    assert found[1] == found[2] == found[0]
    assert sorted(path.name for path in bench.folder.iterdir()) == ["a.zarr", "a_cp_masks.zarr", "cellpose_run.json"]


def test_diameters_in_micrometres(bench: Bench, caplog):
    (tif,) = bench.images("a.tif")
    data = io.imread(tif)
    tifffile.imwrite(tif, data, ome=True, metadata={"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5})
    for options in ((), ("--large",)):
        assert bench.run(*U_NET, "--diameter_um", "17", *options) == 0
        assert bench.manifest()["images"][0]["diameter_px"] == 34
    tifffile.imwrite(tif, data)
    assert bench.run(*U_NET, "--diameter_um", "17") == 1
    assert "does not contain" in caplog.text
    assert bench.run(*U_NET, "--diameter_um", "17", "--diameter", "30") == 2
    assert bench.run(*U_NET, "--diameter_um", "0") == 2


def test_old_abbreviations_keep_their_meaning():
    args = get_arg_parser().parse_args(
        ["--diamet", "20", "--save_ti", "--no_res", "--verb", "--diame=21", "--lo", "--ex"]
    )
    assert (args.diameter, args.diameter_um, args.save_tif, args.verbose, args.no_resample) == (
        21,
        None,
        True,
        True,
        True,
    )
    assert (args.look_one_level_down, args.large, args.exclude_on_edges, args.estimate_memory) == (
        True,
        False,
        True,
        False,
    )
    assert get_arg_parser().parse_args(["--esti"]).estimate_memory
