"""Runs of the command line over small folders: outputs, failures, interruption, resuming."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import roifile
import tifffile

from bench import Bench, make_bench
from blobs import blob_image, write_images
from cellpose import io, models, weights
from cellpose.cli import _segment
from cellpose.cli._manifest import Manifest


@pytest.fixture
def bench(tmp_path):
    with make_bench(tmp_path) as place:
        place.model("cyto3")
        yield place


U_NET = ("--pretrained_model", "cyto3")


def test_without_a_save_flag_only_seg_is_written(bench: Bench):
    images = bench.images("a.tif", "b.png")
    assert bench.run(*U_NET) == 0
    assert bench.new_files(without=images) == ["a_seg.npy", "b_seg.npy"]
    seg = io.read_seg(bench.folder / "a_seg.npy")
    assert (seg.count, seg.diameter, seg.filename, seg.model) == (9, 30.0, str(images[0]), "cyto3")


def test_exact_rois_are_the_masks_to_the_pixel(bench: Bench):
    bench.images("a.tif")
    assert bench.run(*U_NET, "--save_tif", "--save_rois", "--exact_rois") == 0
    masks = io.imread(bench.folder / "a_cp_masks.tif")
    assert np.array_equal(io.read_cells(bench.folder / "a_rois.zip").labels, masks)


def test_every_output_goes_to_savedir(bench: Bench):
    images = bench.images("a.tif")
    out = bench.root / "out"
    out.mkdir()
    flags = ("--save_png", "--save_tif", "--save_flows", "--save_outlines", "--save_rois", "--save_txt")
    assert bench.run(*U_NET, *flags, "--savedir", out) == 0
    assert sorted(bench.folder.iterdir()) == images
    names = ["a_cellprob_cp_masks.tif", "a_cp_masks.png", "a_cp_masks.tif", "a_cp_outlines.txt", "a_dP_cp_masks.tif"]
    names += ["a_flows_cp_masks.tif", "a_outlines_cp_masks.png", "a_rois.zip", "a_seg.npy"]
    assert bench.new_files(out) == names
    # the window finds the image of a _seg.npy through its file name, wherever it stands
    assert io.read_seg(out / "a_seg.npy").filename == str(images[0])
    entry = bench.manifest(out)["images"][0]
    assert (entry["image"], sorted(entry["outputs"])) == (str(images[0]), names)


def test_dir_above_and_in_folders(bench: Bench):
    images = bench.images("a.tif")
    flags = ("--save_tif", "--save_flows", "--save_outlines", "--save_rois", "--dir_above", "--in_folders")
    assert bench.run(*U_NET, *flags) == 0
    assert bench.new_files(without=images) == []
    places = ["flows/a_cellprob_cp_masks.tif", "flows/a_dP_cp_masks.tif", "flows/a_flows_cp_masks.tif"]
    places += ["masks/a_cp_masks.tif", "outlines/a_outlines_cp_masks.png", "rois/a_rois.zip"]
    places += ["txt_outlines/a_cp_outlines.txt"]
    found = [file for file in bench.new_files(bench.root) if not file.startswith(("in/", "home/", "models/"))]
    assert found == sorted(["a_seg.npy", *places])


@pytest.mark.parametrize(
    ("flag", "name"),
    [("--save_outlines", "a_outlines_cp_masks.png"), ("--save_mpl", "a_cp_output_cp_masks.png")],
)
def test_pictures_are_saved_without_masks(bench: Bench, flag, name):
    bench.images("a.tif")
    assert bench.run(*U_NET, "--no_npy", flag) == 0
    assert (bench.folder / name).stat().st_size > 0


EVERY = (
    "--save_png", "--save_tif", "--save_flows", "--save_outlines", "--save_rois", "--save_txt", "--save_mpl",
    "--save_zarr", "--save_ome_tif",
)  # fmt: skip


def test_every_file_is_written_even_if_there_is_no_cell(bench: Bench, capsys):
    bench.images("a.tif")
    assert bench.run(*U_NET, *EVERY) == 0
    with_cells = bench.new_files()
    for name in with_cells:
        if name != "a.tif" and not name.startswith("a_cp_masks.zarr"):
            (bench.folder / name).unlink()
    assert bench.run(*U_NET, *EVERY, "--cellprob_threshold", "99") == 0
    zarr = "a_cp_masks.zarr"
    assert [n for n in bench.new_files() if zarr not in n] == [n for n in with_cells if zarr not in n]
    for name in ("a_cp_masks.png", "a_cp_masks.tif"):
        masks = io.imread(bench.folder / name)
        assert (masks.shape, masks.dtype, masks.max()) == ((64, 72), np.uint16, 0)
    assert (bench.folder / "a_cp_outlines.txt").read_text() == ""
    assert "a.tif: no masks found" in capsys.readouterr().err
    assert len(bench.manifest()["images"][0]["outputs"]) == 12


MOVIE = {"TYX": 3, "ZYX": 3, "TZYX": 4}


@pytest.fixture(params=MOVIE)
def movie(request, bench: Bench):
    """The axes of a movie or stack in the folder of images."""
    plane = blob_image()
    shape = (*(2 for _ in request.param[:-2]), *plane.shape)
    tifffile.imwrite(bench.folder / "m.ome.tif", np.broadcast_to(plane, shape), metadata={"axes": request.param})
    return request.param


def test_outputs_that_a_movie_cannot_have_are_named(bench: Bench, movie, capsys):
    assert bench.run(*U_NET, *(word for word in EVERY if word != "--save_zarr")) == 0
    told = capsys.readouterr().err
    for option in ("--save_png", "--save_outlines", "--save_txt", "--save_mpl"):
        assert option in told
    assert "m.ome.tif: not written, because a " in told
    written = ["cellprob_cp_masks.tif", "cp_masks.ome.tif", "cp_masks.tif", "dP_cp_masks.tif", "flows_cp_masks.tif"]
    written += [] if MOVIE[movie] == 4 else ["rois.zip", "seg.npy"]
    assert bench.new_files() == sorted(["m.ome.tif", *(f"m.ome_{name}" for name in written)])
    assert ("--save_rois, _seg.npy" in told) == (MOVIE[movie] == 4)


def test_a_movie_as_png_only_is_refused_before_the_network_runs(bench: Bench, movie, monkeypatch, capsys):
    monkeypatch.setattr(_segment.Segmenter, "__call__", None)
    assert bench.run(*U_NET, "--save_png", "--no_npy") == 1
    assert "cannot save 3D outputs as PNG, use tif option instead: --save_tif (m.ome.tif" in capsys.readouterr().err
    assert bench.run(*U_NET, "--save_txt", "--save_mpl", "--no_npy") == 1
    assert "cannot have --save_txt, --save_mpl; add --save_tif" in capsys.readouterr().err


def test_masks_of_a_stack_that_did_not_look_like_one_are_kept(bench: Bench, capsys):
    tifffile.imwrite(bench.folder / "s.tif", np.stack([blob_image()] * 12))
    assert bench.run(*U_NET, "--save_png", "--no_npy") in (0, 1)
    told = capsys.readouterr().err
    assert "--save_png" in told or "cannot save 3D outputs as PNG" in told
    if (bench.folder / "s_cp_masks.tif").exists():
        assert "the masks are written as TIFF" in told


def test_images_of_many_channels_have_their_summary_picture(bench: Bench):
    tifffile.imwrite(bench.folder / "c.tif", np.stack([blob_image()] * 5), metadata={"axes": "CYX"})
    assert bench.run(*U_NET, "--save_mpl", "--no_npy") == 0
    assert "c_cp_output_cp_masks.png" in bench.new_files()


def test_warnings_name_the_image_that_they_are_about(bench: Bench, capsys):
    for name in ("s.tif", "t.tif"):
        tifffile.imwrite(
            bench.folder / name, np.stack([blob_image()] * 3), metadata={"axes": "ZYX"}, photometric="minisblack"
        )
    assert bench.run(*U_NET, "--no_npy", "--save_tif") == 0
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("WARNING")]
    assert told
    assert not [line for line in told if "s.tif" not in line and "t.tif" not in line]


def test_names_of_all_alphabets(bench: Bench):
    names = ["ÄÖ ü.tif", "細胞.png", "клетка (1).tif", "a.b.c.tif"]
    bench.images(*names)
    assert bench.run(*U_NET, "--save_png", "--no_npy") == 0
    for name in names:
        assert io.imread(bench.folder / f"{Path(name).stem}_cp_masks.png").max() == 9


def test_a_failed_image_does_not_stop_the_others(bench: Bench, capsys):
    bench.images("a.tif", "c.tif")
    (bench.folder / "b.tif").write_bytes(b"II*\0 cut")
    assert bench.run(*U_NET, "--save_png", "--no_npy") == 1
    assert {"a_cp_masks.png", "c_cp_masks.png"} < set(bench.new_files())
    error = capsys.readouterr().err
    assert f"{bench.folder / 'b.tif'} failed: " in error
    assert f"1 of 3 images failed, for the reasons above: {bench.folder / 'b.tif'}" in error
    entries = {entry["image"]: entry for entry in bench.manifest()["images"]}
    assert "error" in entries["b.tif"]
    assert entries["c.tif"]["cells"] == 9


def test_a_stack_asked_for_as_png_is_refused_before_the_network_runs(bench: Bench, monkeypatch, capsys):
    tifffile.imwrite(bench.folder / "stack.tif", np.zeros((12, 30, 31), np.uint8))
    monkeypatch.setattr(_segment.Segmenter, "__call__", None)
    assert bench.run(*U_NET, "--save_png", "--stitch_threshold", "0.3") == 1
    assert "cannot save 3D outputs as PNG, use tif option instead: --save_tif" in capsys.readouterr().err


def test_an_image_of_too_many_axes_is_refused_with_its_axes(bench: Bench, capsys):
    tifffile.imwrite(bench.folder / "movie.tif", np.zeros((2, 3, 2, 30, 31), np.uint8), metadata={"axes": "QZCYX"})
    assert bench.run(*U_NET, "--save_tif") == 1
    error = capsys.readouterr().err
    assert "movie.tif failed: AxesError: an image with axes QZCYX of shape (2, 3, 2, 30, 31)" in error


def test_the_log_names_each_image_and_its_cells(bench: Bench):
    bench.images("a.tif", "b.tif")
    assert bench.run(*U_NET, "--no_npy", "--verbose") == 0
    assert re.findall(r"(\w\.tif): (\d+) cells in \d+\.\d\d s", bench.log()) == [("a.tif", "9"), ("b.tif", "9")]


@pytest.mark.skipif(sys.platform == "win32", reason="folders that cannot be written to are made otherwise there")
def test_a_folder_that_takes_no_results_is_told_before_any_work(bench: Bench, monkeypatch, capsys):
    bench.images("a.tif")

    def refuse(dir):
        raise PermissionError(13, "Permission denied", str(dir))

    # the tests may run as a user to whom nothing is forbidden
    monkeypatch.setattr("cellpose.cli._images.tempfile.TemporaryFile", refuse)
    assert bench.run(*U_NET, "--save_tif") == 2
    error = capsys.readouterr().err
    assert (
        f"results cannot be written to {bench.folder}: Permission denied; choose another folder with --savedir" in error
    )


def test_interruption_keeps_what_is_finished(bench: Bench, monkeypatch, capsys):
    bench.images("a.tif", "b.tif", "c.tif")
    save = _segment.save_results

    def save_until_b(file, *rest):
        if file.stem == "b":
            raise KeyboardInterrupt
        return save(file, *rest)

    monkeypatch.setattr(_segment, "save_results", save_until_b)
    assert bench.run(*U_NET, "--save_png", "--no_npy") == 130
    assert "interrupted; the results of 1 of 3 images are kept" in capsys.readouterr().err
    manifest = bench.manifest()
    assert [entry["image"] for entry in manifest["images"]] == ["a.tif"]
    assert manifest["ended"] is not None


def _times(bench: Bench) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in bench.folder.glob("*_cp_masks.png")}


def test_resume_does_only_what_is_missing(bench: Bench):
    images = bench.images("a.tif", "b.tif", "c.tif", "d.tif")
    words = (*U_NET, "--save_png", "--no_npy")
    assert bench.run(*words) == 0
    before = _times(bench)
    (bench.folder / "b_cp_masks.png").unlink()  # a result that is gone
    os.utime(images[2], ns=(1, 1))  # an image that has changed
    assert bench.run(*words, "--resume", "--batch_size", "2", "--verbose") == 0
    after = _times(bench)
    assert [after[f"{name}_cp_masks.png"] == before[f"{name}_cp_masks.png"] for name in "abcd"] == [
        True, False, False, True
    ]  # fmt: skip
    assert ">>>> resuming: 2 of 4 images are done already" in bench.log()
    assert len(bench.manifest()["images"]) == 4


@pytest.mark.parametrize("change", ["option", "model", "manifest"])
def test_resume_starts_anew_after_a_change(bench: Bench, change, capsys):
    bench.images("a.tif")
    words = [*U_NET, "--save_png", "--no_npy"]
    assert bench.run(*words) == 0
    before = _times(bench)
    if change == "option":
        words += ["--cellprob_threshold", "1"]
    elif change == "model":
        bench.model("cyto3", diam=20.0)
    else:
        (bench.folder / "cellpose_run.json").write_text("{ not json", encoding="utf-8")
    assert bench.run(*words, "--resume") == 0
    assert _times(bench) != before
    assert "all images are segmented again" in capsys.readouterr().err


def test_manifest_says_what_ran(bench: Bench):
    bench.images("a.tif")
    model = bench.model("cyto3")
    assert bench.run(*U_NET, "--save_tif", "--no_npy", "--min_size", "7") == 0
    manifest = bench.manifest()
    assert manifest["version"] == __import__("cellpose").__version__
    assert manifest["models"]["model"] == {
        "name": "cyto3",
        "path": str(model),
        "sha256": __import__("hashlib").sha256(model.read_bytes()).hexdigest(),
    }
    assert (manifest["options"]["min_size"], manifest["device"]) == (7, "cpu")
    (entry,) = manifest["images"]
    facts = ("image", "shape", "axes", "dtype", "cells", "diameter_px", "outputs")
    assert {key: entry[key] for key in facts} == {
        "image": "a.tif", "shape": [64, 72], "axes": "YX", "dtype": "uint16", "cells": 9, "diameter_px": 30.0,
        "outputs": ["a_cp_masks.tif"],
    }  # fmt: skip
    assert entry["seconds"] > 0


def test_results_named_by_the_user_are_no_images_of_the_next_run(bench: Bench):
    bench.images("a.png")
    words = (*U_NET, "--save_png", "--no_npy", "--output_name", "_x")
    assert bench.run(*words) == bench.run(*words) == 0
    assert bench.new_files() == ["a.png", "a_x.png"]


EVERY_PICTURE = ("--save_tif", "--save_flows", "--save_outlines", "--save_mpl", "--save_ome_tif", "--no_npy")


def test_results_of_all_earlier_runs_are_no_images(bench: Bench):
    bench.images("a.png", "b.png")
    assert bench.run(*U_NET, *EVERY_PICTURE, "--output_name", "_mine") == 0
    assert bench.run(*U_NET, "--save_tif", "--no_npy") == 0
    for place in ("other", "in_folder"):
        (bench.root / place).mkdir()
    (bench.root / "in_folder" / "a.png").write_bytes((bench.folder / "a.png").read_bytes())
    words = (*U_NET, "--save_tif", "--no_npy", "--savedir", bench.root / "other")
    assert bench.run(*words) == 0
    assert bench.new_files(bench.root / "other") == ["a_cp_masks.tif", "b_cp_masks.tif"]
    files = bench.new_files()
    assert bench.run(*U_NET, "--save_tif", "--no_npy") == 0
    assert bench.new_files() == files
    # every command looks for images in the same way
    assert [Path(name).name for name in io.get_image_files(bench.folder, "_masks")] == ["a.png", "b.png"]
    # the results of a run over folders inside, when one of these is given
    assert bench.run("--dir", bench.root, "--look_one_level_down", *words[:-2], "--output_name", "_x") == 0
    assert [Path(name).name for name in io.get_image_files(bench.root / "in_folder")] == ["a.png"]


def test_results_in_the_folder_above_are_no_images_there(bench: Bench):
    bench.images("a.png")
    assert bench.run(*U_NET, "--save_png", "--no_npy", "--output_name", "_x", "--dir_above") == 0
    write_images(bench.root, ["b.png"])
    assert [Path(name).name for name in io.get_image_files(bench.root)] == ["b.png"]


def test_a_folder_of_results_alone_has_no_images(bench: Bench, capsys):
    bench.images("a.png")
    out = bench.root / "out"
    out.mkdir()
    assert bench.run(*U_NET, "--save_png", "--no_npy", "--output_name", "_x", "--savedir", out) == 0
    assert bench.run(*U_NET, "--dir", out) == 2
    assert "listed as results in cellpose_run.json; give the folder of the images" in capsys.readouterr().err


def test_only_what_a_run_wrote_is_told_and_listed(bench: Bench, capsys):
    bench.images("a.png")
    assert bench.run(*U_NET, "--save_tif", "--no_npy") == 0
    capsys.readouterr()
    assert bench.run(*U_NET, "--save_png", "--no_npy") == 0
    assert "a_cp_masks.png; cellpose_run.json" in (told := capsys.readouterr().err)
    assert "a_cp_masks.tif" not in told
    assert bench.manifest()["images"][0]["outputs"] == ["a_cp_masks.png"]


def test_other_runs_leave_what_a_batch_can_resume(bench: Bench, capsys):
    images = bench.images("a.png", "b.png", "c.png")
    batch = (*U_NET, "--save_png")
    assert bench.run(*batch) == 0
    before = _times(bench)
    # another image of the same folder, all with an error, and one whose results are replaced in part
    bad = bench.folder / "bad.tif"
    bad.write_bytes(b"II*\0 cut")
    assert bench.run(*U_NET, "--image_path", bad, "--save_tif") == 1
    bad.unlink()
    assert bench.run(*U_NET, "--image_path", images[1], "--diameter", "20", "--save_tif") == 0
    assert bench.run(*U_NET, "--img_filter", "c", "--no_npy", "--save_rois") == 0
    assert [run["options"]["diameter"] for run in bench.manifest()["earlier_runs"]] == [20.0, None]
    capsys.readouterr()
    assert bench.run(*batch, "--resume") == 0
    assert "9 cells in 1 image, 2 done before; results in" in (told := capsys.readouterr().err)
    assert "segmented again" not in told
    after = _times(bench)
    assert [after[name] == before[name] for name in sorted(before)] == [True, False, True]
    manifest = bench.manifest()
    assert [entry["image"] for entry in manifest["images"]] == ["a.png", "c.png", "b.png"]
    left = [entry["outputs"] for run in manifest["earlier_runs"] for entry in run["images"]]
    assert left == [["c_rois.zip"], ["b_cp_masks.tif"]]
    assert bench.run(*batch, "--resume", "--verbose") == 0
    told = "".join(capsys.readouterr())
    assert "nothing left to do, 3 images done before; " in told
    assert "0it" not in told


def test_runs_in_one_folder_at_the_same_time_keep_the_results_of_each(tmp_path: Path):
    a, b, c = (tmp_path / name for name in ("a.png", "b.png", "c.png"))
    for file in (a, b, c):
        file.write_bytes(b"")
    masks = lambda file: [file.with_name(f"{file.stem}_cp_masks.png")]  # noqa: E731
    before, one, two = (Manifest(tmp_path, {}, {"diameter": size}, "cpu") for size in (10, 20, 30))
    before.add_result(c, masks(c), {})
    before.close()
    two.add_result(b, masks(b), {})
    two.close()
    one.add_result(a, masks(a), {})
    one.add_result(b, masks(b), {})  # the results of the last one are there
    one.close()
    runs = [
        (run["options"]["diameter"], [(entry["image"], entry["outputs"]) for entry in run["images"]])
        for run in io.read_manifest(tmp_path / io.MANIFEST_NAME)
    ]
    assert runs == [
        (20, [("a.png", ["a_cp_masks.png"]), ("b.png", ["b_cp_masks.png"])]),
        (10, [("c.png", ["c_cp_masks.png"])]),
    ]
    two.add_result(c, masks(c), {})
    two.close()
    runs = {run["options"]["diameter"]: run["images"] for run in io.read_manifest(tmp_path / io.MANIFEST_NAME)}
    assert [entry["image"] for entry in runs[30]] == ["b.png", "c.png"]
    assert [entry["image"] for entry in runs[20]] == ["a.png"]
    assert 10 not in runs


NUCLEI = Path(__file__).parents[1] / "examples" / "nuclei_dense.png"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--diameter", "90"), "try --diameter 0 (it is estimated), --diameter"),
        (("--diameter", "90", "--pretrained_model_ortho", "cyto3"), "try --diameter 0 (it is estimated), --diameter"),
        (("--diameter", "90", "--pretrained_model", "mine"), ""),
        (("--diameter", "0"), ">>>> estimating diameter for each image"),
        (("--diameter", "0", "--pretrained_model_ortho", "cyto3"), ">>>> estimating diameter for each image"),
        (("--diameter", "0", "--pretrained_model", "mine"), ">>>> this model has no size model, cannot auto-estimate"),
        (("--diameter", "0", "--restore_type", "oneclick"), ">>>> size models are not used with --restore_type"),
    ],
)
def test_estimated_diameters_are_offered_where_they_are_possible(bench: Bench, words, told, capsys):
    (bench.folder / "a.png").write_bytes(NUCLEI.read_bytes())
    mine = [bench.model("mine") if word == "mine" else word for word in words]  # a model without a size model
    assert bench.run("--pretrained_model", "nuclei-cells", *mine, "--no_npy", "--save_tif", "--verbose") == 0
    shown = "".join(capsys.readouterr())
    assert told in shown
    assert ("try --diameter 0" in shown) == ("try --diameter 0" in told)


def test_images_with_results_of_the_same_name_are_told(bench: Bench, capsys):
    bench.images("a.png", "a.tif")
    assert bench.run(*U_NET) == 0
    told = capsys.readouterr().err
    assert "have the same names" in told
    assert "into separate folders (savedir) to keep all" in told


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("axes", ["ZYX", "TYX", "ZCYX", "TCYX"])
def test_rois_are_bound_to_planes_as_imagej_counts_them(bench: Bench, axes, exact):
    """Of a hyperstack ImageJ counts planes along each axis, of a stack with one axis of planes along that one."""
    planes = np.stack([blob_image((64, 72), seed) for seed in range(3)])
    image = np.stack([planes, planes[::-1]], axis=1) if "C" in axes else planes
    tifffile.imwrite(bench.folder / "a.tif", image, imagej=True, metadata={"axes": axes})
    assert bench.run(*U_NET, "--save_rois", "--no_npy", *["--chan", "1"], *["--exact_rois"] * exact) == 0
    rois = [roi for roi in roifile.roiread(bench.folder / "a_rois.zip") if roi.name.startswith("1-")]
    assert [roi.name for roi in rois] == [f"1-{axes[0].lower()}{plane}" for plane in (1, 2, 3)]
    field = "position" if "C" not in axes else f"{axes[0].lower()}_position"
    fields = ("position", "c_position", "z_position", "t_position")
    for plane, roi in enumerate(rois, 1):
        assert {name: getattr(roi, name) for name in fields} == {name: plane * (name == field) for name in fields}
    read = io.read_cells(bench.folder / "a_rois.zip")
    assert read.labels.shape[0] == 3


def test_cells_of_separate_planes_have_nothing_in_common(bench: Bench, capsys):
    """Each plane of a stack is numbered from 1; equal numbers in two planes are different cells."""
    planes = [blob_image((64, 72), seed, radius=3.0) for seed in range(3)]
    tifffile.imwrite(bench.folder / "z.tif", np.stack(planes), imagej=True, metadata={"axes": "ZYX"})
    results = []
    for options in ((), ("--exclude_on_edges",), ("--one_piece",)):
        assert bench.run(*U_NET, "--save_tif", "--no_npy", *options) == 0
        results.append(io.imread(bench.folder / "z_cp_masks.tif"))
        assert bench.manifest()["images"][0]["cells"] == 27
    assert [int(plane.max()) for plane in results[0]] == [9, 9, 9]
    assert all(np.array_equal(result, results[0]) for result in results)
    assert "27 cells in 1 image" in capsys.readouterr().err


def test_images_of_two_folders_never_share_results(bench: Bench, capsys):
    for place in ("a", "b"):
        (bench.folder / place).mkdir()
        write_images(bench.folder / place, ["x.tif"])
    out = bench.root / "out"
    out.mkdir()
    for options in (("--savedir", out), ("--dir_above",)):
        assert bench.run(*U_NET, "--look_one_level_down", *options) == 2
        assert f"a/x.tif and b/x.tif would have the same names; leave out {options[0]}" in capsys.readouterr().err
    assert not bench.new_files(out)
    assert bench.run(*U_NET, "--look_one_level_down") == 0


def test_images_in_folders_inside_are_named_with_these(bench: Bench, capsys):
    for place in ("a", "b"):
        (bench.folder / place).mkdir()
        tifffile.imwrite(
            bench.folder / place / "x.tif",
            np.zeros((3, 32, 32), np.uint8),
            metadata={"axes": "ZYX"},
            photometric="minisblack",
        )
    assert bench.run(*U_NET, "--look_one_level_down", "--save_tif", "--save_png") == 0
    told = capsys.readouterr().err
    for name in ("a/x.tif", "b/x.tif"):
        assert f"{name}: not written, because a stack or movie cannot have them: --save_png" in told


def test_retired_options_warn_once_each(bench: Bench, capsys):
    bench.images("a.png")
    assert bench.run(*U_NET, "--net_avg", "--omni", "--net_avg", "--nclasses", "3", "--no_npy") == 0
    error = capsys.readouterr().err
    assert [error.count(f"the option {flag} is retired") for flag in ("--net_avg", "--omni")] == [1, 1]
    assert error.count("the option --nclasses has no effect without --train") == 1


def test_quiet_and_verbose_lines(bench: Bench, capsys):
    bench.images("a.png", "b.png")
    assert bench.run(*U_NET, "--no_npy") == 0
    assert capsys.readouterr().out == (
        ">>>> !LOGGING OFF BY DEFAULT! To see cellpose progress, set --verbose\n"
        "No --verbose => no progress or info printed\n"
    )
    assert bench.run(*U_NET, "--no_npy", "--verbose") == 0
    out = capsys.readouterr().out
    for line in (
        "WRITING LOG OUTPUT TO",
        ">>>> using CPU",
        f">>>> loading model {bench.models / 'cyto3'}",
        ">>>> running cellpose on 2 images using chan_to_seg GRAY and chan (opt) NONE",
        ">>>> using diameter 30.000 for all images",
        "100%|##########| 2/2",
        ">>>> completed in ",
    ):
        assert line in out
        assert line in bench.log() or line.startswith("WRITING")


def test_the_reason_of_an_error_stands_in_the_log(bench: Bench):
    bench.images("a.png")
    assert bench.run("--pretrained_model", "no-such-model", "--verbose") == 2
    assert "[ERROR] 'no-such-model' is neither a file nor the name of a model" in bench.log()


def test_nothing_is_left_in_the_logger(bench: Bench):
    import logging

    bench.images("a.png")
    before = list(logging.getLogger("cellpose").handlers)
    bench.run(*U_NET, "--no_npy", "--verbose")
    bench.run(*U_NET, "--no_npy")
    assert logging.getLogger("cellpose").handlers == before


def test_exclude_on_edges(bench: Bench):
    (whole,) = write_images(bench.root, ["whole.tif"])
    bench.folder.mkdir(exist_ok=True)
    tifffile.imwrite(bench.folder / "cut.tif", io.imread(whole)[8:])  # the first row of blobs touches the border
    result = bench.folder / "cut_cp_masks.tif"
    assert bench.run(*U_NET, "--save_tif", "--no_npy") == 0
    all_masks = io.imread(result)
    border = np.concatenate([all_masks[0], all_masks[-1], all_masks[:, 0], all_masks[:, -1]])
    cut = np.unique(border[border > 0])
    assert 0 < len(cut) < all_masks.max()
    assert bench.run(*U_NET, "--save_tif", "--no_npy", "--exclude_on_edges") == 0
    kept = io.imread(result)
    assert np.array_equal(kept > 0, (all_masks > 0) & ~np.isin(all_masks, cut))
    assert np.unique(kept).tolist() == list(range(int(all_masks.max()) - len(cut) + 1))


def test_one_piece(bench: Bench, monkeypatch):
    bench.images("a.png")
    assert bench.run(*U_NET, "--save_tif", "--no_npy") == 0
    whole = io.imread(bench.folder / "a_cp_masks.tif")
    assert bench.run(*U_NET, "--save_tif", "--no_npy", "--one_piece") == 0
    np.testing.assert_array_equal(io.imread(bench.folder / "a_cp_masks.tif"), whole)
    cut = whole.copy()
    cut[0, 0] = whole.max()  # a pixel far from its cell

    def segment(*_, **__):
        return cut, [None] * 3, None

    monkeypatch.setattr("cellpose.models.segment_image", segment)
    assert bench.run(*U_NET, "--save_tif", "--no_npy") == 0
    assert io.imread(bench.folder / "a_cp_masks.tif")[0, 0]
    assert bench.run(*U_NET, "--save_tif", "--no_npy", "--one_piece") == 0
    np.testing.assert_array_equal(io.imread(bench.folder / "a_cp_masks.tif"), whole)


def test_filters_are_those_of_eval(bench: Bench):
    (image,) = bench.images("a.tif")
    assert bench.run(*U_NET, "--save_tif", "--no_npy", "--sharpen_radius", "4", "--smooth_radius", "1.5") == 0
    masks = io.imread(bench.folder / "a_cp_masks.tif")
    model = models.CellposeModel(pretrained_model="cyto3")
    filters = {"sharpen_radius": 4, "smooth_radius": 1.5}
    assert np.array_equal(masks, model.eval(io.imread(image), diameter=30, normalize=filters)[0])
    assert bench.run(*U_NET, "--resume", "--save_tif", "--no_npy", "--sharpen_radius", "4") == 0
    assert bench.manifest()["options"]["smooth_radius"] == 0
    assert "seconds" in bench.manifest()["images"][0]


def test_large_planes_cannot_be_filtered(bench: Bench, capsys):
    bench.images("a.tif")
    assert bench.run(*U_NET, "--large", "--tile_norm_blocksize", "50") == 2
    assert "--tile_norm_blocksize needs the whole image" in capsys.readouterr().err


def test_look_one_level_down_and_filter(bench: Bench):
    write_images(bench.folder / "deep", ["x_img.tif", "x_other.tif"])
    bench.images("y_img.tif")
    assert bench.run(*U_NET, "--look_one_level_down", "--img_filter", "_img", "--save_tif", "--no_npy") == 0
    assert [f for f in bench.new_files() if "masks" in f] == ["deep/x_img_cp_masks.tif", "y_img_cp_masks.tif"]


def test_stack_with_axes_from_its_file(bench: Bench):
    (file,) = bench.images("a.tif")
    plane = io.imread(file)
    stack = np.stack([np.stack([plane, plane * 0])] * 3)  # planes, channels, y, x: no shape tells which is which
    tifffile.imwrite(file, stack, imagej=True, metadata={"axes": "ZCYX"})
    words = (*U_NET, "--stitch_threshold", "0.3", "--save_tif", "--no_npy", "--chan", "1", "--min_size", "20")
    assert bench.run(*words) == 0
    masks = io.imread(bench.folder / "a_cp_masks.tif")
    assert (masks.shape, int(masks.max())) == ((3, 64, 72), 9)
    assert bench.manifest()["images"][0]["axes"] == "ZCYX"


def test_bundled_or_default_model_is_named(bench: Bench, monkeypatch):
    from cellpose import weights

    monkeypatch.setattr(weights, "default_model", lambda: "cyto3")
    bench.images("a.tif")
    assert bench.run("--no_npy", "--verbose") == 0
    assert ">>>> no model given, using cyto3" in bench.log()


def test_read_only_manifest_folder_is_no_failure(bench: Bench, monkeypatch, capsys):
    from cellpose.errors import FileWriteError

    bench.images("a.tif")

    def refuse(path):
        message = "read-only"
        raise FileWriteError(message)

    monkeypatch.setattr("cellpose.cli._manifest.replacing", refuse)
    assert bench.run(*U_NET, "--no_npy") == 0
    assert capsys.readouterr().err.count("the run continues without it") == 1


@pytest.mark.parametrize("home", [None, "/proc/none"])
def test_runs_without_a_home_that_can_be_written_to(bench: Bench, monkeypatch, home):
    bench.images("a.tif")
    if home is None:
        monkeypatch.delenv("HOME")
        monkeypatch.setattr(Path, "home", staticmethod(_no_home))
    else:
        monkeypatch.setenv("HOME", home)
    assert bench.run(*U_NET, "--save_tif", "--no_npy", "--verbose") == 0
    assert (bench.folder / "a_cp_masks.tif").is_file()


def _no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_models_commands(bench: Bench, capsys):
    own = bench.model("../mine")
    assert bench.run("--version") == 0
    capsys.readouterr()

    def models(*words):
        from cellpose.cli import main

        code = main(["models", *map(str, words)])
        return code, capsys.readouterr()

    assert models("add", own)[0] == 0
    assert (bench.models / "gui_models.txt").read_text(encoding="utf-8") == "mine\n"
    listed = {row["name"]: row for row in json.loads(models("list", "--json")[1].out)}
    assert (listed["mine"]["kind"], listed["cyto3"]["installed"], listed["cpsam"]["installed"]) == ("user", True, False)
    assert models("path", "mine")[1].out.strip() == str(bench.models / "mine")
    assert models("path")[1].out.strip() == str(bench.models)
    assert "family       cpnet" in models("info", "mine")[1].out
    card = models("info", weights.BUNDLED)[1].out
    for part in ("\ndata\n", "licence CC0 1.0", "\ntraining\n", "  hardware: ", "\nfailures\n", "AP@0.75 0."):
        assert part in card
    shown = models("list")[1].out
    assert "cpsam" in shown
    bundled = next(line for line in shown.splitlines() if weights.BUNDLED in line)
    assert weights.ModelFile("", weights.bundled_models()[weights.BUNDLED]).card["summary"] in bundled
    # Short unless all are asked for: what is here, and what to begin with.
    assert len(shown.splitlines()) < 16
    assert "more can be downloaded: cellpose models list --all" in shown
    everything = models("list", "--all")[1].out
    assert "not supported" in next(line for line in everything.splitlines() if " transformer_cp3 " in line)
    assert models("remove", "mine", "--delete")[0] == 0
    assert not (bench.models / "mine").exists()
    assert models("remove", "mine")[0] == 2


def test_add_model_and_use_it(bench: Bench, capsys):
    from cellpose.cli import main

    own = bench.model("../mine")
    assert main(["--add_model", str(own)]) == 0
    assert f"{own} copied to models folder {bench.models}" in capsys.readouterr().out
    own.unlink()
    bench.images("a.tif")
    assert bench.run("--pretrained_model", "mine", "--save_png", "--no_npy") == 0
    assert io.imread(bench.folder / "a_cp_masks.png").max() == 9


def test_doctor(bench: Bench, capsys, monkeypatch):
    from cellpose.cli import main

    code = main(["doctor", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert code == bool(report["problems"])
    assert report["models"]["folder"] == str(bench.models)
    assert "cyto3" in report["models"]["installed"]
    assert report["libraries"]["numpy"] == np.__version__
    assert report["torch"]["threads"] >= 1
    assert report["home"] == {
        "folder": str(bench.home), "writable": True, "log": str(bench.home / ".cellpose" / "run.log"),
    }  # fmt: skip
    monkeypatch.setenv("HOME", "/proc/none")
    assert main(["doctor"]) == 1
    text = capsys.readouterr().out
    assert "wrong: /proc/none is not writable" in text
    assert "mend:  set CELLPOSE_LOCAL_MODELS_PATH" in text


def test_doctor_comes_to_an_end_on_a_sick_machine(bench: Bench, capsys, monkeypatch):
    from cellpose.cli import main

    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "numba", None)
    assert main(["doctor", "--json"]) == 1
    problems = [problem["what"] for problem in json.loads(capsys.readouterr().out)["problems"]]
    assert any("torch cannot be imported" in what for what in problems)
    assert any("numba cannot be imported" in what for what in problems)


@pytest.mark.parametrize("nchan", [1, 3])
def test_unets_of_other_numbers_of_channels(bench: Bench, nchan):
    bench.model("other", nchan=nchan)
    bench.images("a.tif")
    assert bench.run("--pretrained_model", "other", "--save_tif", "--no_npy") == 0
    assert io.imread(bench.folder / "a_cp_masks.tif").max() == 9


def test_all_channels_of_an_rgb_image(bench: Bench):
    (file,) = bench.images("a.tif")
    plane = io.imread(file)
    tifffile.imwrite(file, np.stack([plane, plane * 0, plane * 0], axis=-1), photometric="rgb")
    assert bench.run(*U_NET, "--all_channels", "--save_tif", "--no_npy") == 0
    assert io.imread(bench.folder / "a_cp_masks.tif").max() == 9


def test_none_as_model_means_the_default_one_and_says_so(bench: Bench, capsys):
    bench.images("a.tif")
    assert bench.run("--pretrained_model", "None", "--no_npy") == 0
    assert "only training can start without a model" in capsys.readouterr().err
    assert bench.manifest()["models"]["model"]["name"] == weights.BUNDLED


def test_the_bundled_model_segments_without_any_option(bench: Bench):
    (bench.models / "cyto3").unlink()
    bench.images("a.tif")
    assert bench.run() == 0
    seg = io.read_seg(bench.folder / "a_seg.npy")
    assert (seg.count, seg.model) == (9, weights.BUNDLED)


def test_ortho_model_is_used_and_noted(bench: Bench):
    (file,) = bench.images("a.tif")
    tifffile.imwrite(file, np.stack([io.imread(file)] * 6), metadata={"axes": "ZYX"})
    bench.model("ortho", diam=30.0)
    words = (*U_NET, "--do_3D", "--pretrained_model_ortho", "ortho", "--flow3D_smooth", "1", "--save_tif", "--no_npy")
    assert bench.run(*words) == 0
    assert io.imread(bench.folder / "a_cp_masks.tif").shape == (6, 64, 72)
    assert set(bench.manifest()["models"]) == {"model", "ortho"}


def _training_folder(bench: Bench) -> Path:
    import torch

    from cellpose.nets import CPnet

    torch.manual_seed(0)
    torch.save(CPnet([2, 4, 8]).state_dict(), bench.models / "starter")
    folder = bench.root / "train"
    write_images(folder, ["a.tif"])
    masks = np.zeros((64, 72), np.uint16)
    masks[5:20, 5:20], masks[30:50, 30:50] = 1, 2
    tifffile.imwrite(folder / "a_masks.tif", masks)
    return folder


TRAIN = ("--train", "--pretrained_model", "starter", "--n_epochs", "1", "--min_train_masks", "1")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--learning_rate", "0.01"], ">>> SGD, learning_rate=0.01000"),
        (["--learning_rate", "0.00001"], ">>> AdamW, learning_rate=0.00001"),
        (["--learning_rate", "0.00001", "--SGD", "1"], ">>> SGD, learning_rate=0.00001"),
        (["--SGD", "0"], ">>> AdamW, learning_rate=0.20000"),
    ],
)
def test_optimiser_follows_the_learning_rate(bench: Bench, words, line):
    folder = _training_folder(bench)
    assert bench.run(*TRAIN, "--dir", folder, "--verbose", "--model_name_out", "m", *words) == 0
    assert line in bench.log()
    assert (folder / "models" / "m").is_file()


def test_training_from_a_list_of_files(bench: Bench, capsys):
    folder = _training_folder(bench)
    assert bench.run(*TRAIN, "--dir", folder) == 0  # writes the flows that the list relies on
    listed = folder / "list.npy"
    np.save(listed, np.array({"train_files": [str(folder / "a.tif")]}, object), allow_pickle=True)
    assert bench.run(*TRAIN, "--dir", folder, "--file_list", listed, "--model_name_out", "listed") == 0
    assert f"model saved to {folder / 'models' / 'listed'}" in capsys.readouterr().out
    np.save(listed, np.array({"files": []}, object), allow_pickle=True)
    assert bench.run(*TRAIN, "--dir", folder, "--file_list", listed) == 2
    assert "must hold a dict with train_files" in capsys.readouterr().err


def test_training_without_masks_ends_with_a_reason(bench: Bench, capsys):
    folder = _training_folder(bench)
    (folder / "a_masks.tif").unlink()
    assert bench.run(*TRAIN, "--dir", folder) == 2
    assert "error" in capsys.readouterr().err


def test_a_reader_that_leaves_is_no_traceback(tmp_path):
    import subprocess

    command = f"{sys.executable} -m cellpose models list | head -n 1"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, timeout=120, check=True)
    assert "Traceback" not in done.stderr


def test_several_at_once_write_and_tell_what_one_by_one_does(bench: Bench, monkeypatch):
    """Same files, same order of the log, a broken image in the middle stays by itself."""
    images = bench.images(*(f"{k:02d}.tif" for k in range(7)))
    images[3].write_bytes(b"no image")
    logs, entries = [], []
    for threads in ("1", "2"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        out = bench.root / f"out{threads}"
        out.mkdir()
        assert bench.run(*U_NET, "--save_tif", "--verbose", "--savedir", out) == 1
        of_images = re.findall(r"(\d\d\.tif)(?:: \d+ cells| failed:)", bench.log())
        logs.append(of_images[-7:])
        entries.append(
            [{k: v for k, v in e.items() if k not in ("seconds", "outputs")} for e in bench.manifest(out)["images"]]
        )
    assert logs[0] == logs[1] == [f"{k:02d}.tif" for k in range(7)]
    assert entries[0] == entries[1]
    names = bench.new_files(bench.root / "out1")
    assert names == bench.new_files(bench.root / "out2")
    assert len(names) == 12
    for name in names:
        if name.endswith(".tif"):
            one, other = (tifffile.imread(bench.root / f"out{t}" / name) for t in "12")
            np.testing.assert_array_equal(one, other)


def test_images_with_the_same_results_are_run_one_after_the_other(bench: Bench, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    bench.images("a.tif", "a.png", "b.tif")
    alive = []
    whole = _segment._segment_whole

    def spy(*args):
        import threading

        alive.append(threading.current_thread() is threading.main_thread())
        return whole(*args)

    monkeypatch.setattr(_segment, "_segment_whole", spy)
    assert bench.run(*U_NET) == 0
    assert alive == [True] * 3


def test_files_of_one_set_are_read_once(bench: Bench, capsys):
    text = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        '<Pixels DimensionOrder="XYCZT" Type="uint8" SizeX="72" SizeY="64" SizeC="1" SizeZ="1" SizeT="2">'
        '<TiffData IFD="0" FirstT="0"><UUID FileName="a.ome.tif"/></TiffData>'
        '<TiffData IFD="0" FirstT="1"><UUID FileName="b.ome.tif"/></TiffData></Pixels></Image></OME>'
    )
    for name in "ab":
        tifffile.imwrite(bench.folder / f"{name}.ome.tif", blob_image((64, 72)), description=text, metadata=None)
    assert bench.run("--pretrained_model", "cyto3", "--save_tif", "--no_npy") == 0
    assert "a.ome.tif, b.ome.tif are one set of 2 files: read once" in capsys.readouterr().err
    assert len(bench.manifest()["images"]) == 1
    labels = io.read_image(bench.folder / "a.ome_cp_masks.tif")
    assert (labels.axes, labels.data.shape) == ("TYX", (2, 64, 72))
    # without the other one it is an image of its own
    (bench.folder / "a.ome.tif").unlink()
    assert bench.run("--pretrained_model", "cyto3", "--save_tif", "--no_npy") == 0
    assert io.imread(bench.folder / "b.ome_cp_masks.tif").shape == (64, 72)
    assert "a.ome.tif" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ismanual", [True] + 8 * [False]),
        ("checked", np.array([0] * 8 + [1], bool)),
        ("links", np.array([0, 1], np.int32)),
    ],
)
def test_a_persons_work_in_a_seg_file_is_kept(bench: Bench, capsys, key, value):
    bench.images("a.tif")
    assert bench.run(*U_NET) == 0
    seg = bench.folder / "a_seg.npy"
    assert bench.run(*U_NET) == 0  # what a model found is replaced without a word
    assert not list(bench.folder.glob("*kept*"))
    for copy in ("a_seg_kept.npy", "a_seg_kept1.npy"):
        io.write_seg(seg, {**io.read_seg(seg).content, key: value})
        corrected = seg.read_bytes()
        capsys.readouterr()
        assert bench.run(*U_NET) == 0
        assert f"it is kept as {copy}" in "".join(capsys.readouterr())
        assert (bench.folder / copy).read_bytes() == corrected
        assert not io.read_seg(seg).by_hand
