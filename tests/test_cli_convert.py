"""``cellpose convert``: files and folders, both ways, and what fails alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from cellpose import io
from cellpose.cli import main
from test_io_cells import RING, STACK, discs


def run(*words: object) -> int:
    return main(["convert", *map(str, words)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images with masks, and what else lies in such folders."""
    for name, labels in (("a", discs()), ("b", RING)):
        io.imsave(tmp_path / f"{name}.tif", np.zeros(labels.shape, np.uint8))
        io.imsave(tmp_path / f"{name}_cp_masks.tif", labels.astype(np.uint16))
        io.write_cells(tmp_path / f"{name}_seg.npy", labels * 0)
    (tmp_path / "a_flows_cp_masks.txt").write_text("no masks")
    return tmp_path


@pytest.mark.parametrize("form", ["roi", "geojson", "coco", "csv", "seg", "png"])
def test_a_folder_there_and_back(folder, form, capsys):
    out, back = folder / "out", folder / "back"
    assert run(folder, "--to", form, "--savedir", out) == 0
    told = capsys.readouterr()
    ending = {"roi": "_rois.zip", "geojson": ".geojson", "coco": "_coco.json", "csv": "_outlines.csv"}.get(form)
    ending = ending or {"seg": "_seg.npy", "png": "_masks.png"}[form]
    assert told.err == f"6 cells in 2 files in {out}: *{ending}\n"
    assert told.out == ""  # the notice of the original is about another command
    assert sorted(path.name for path in out.iterdir()) == [f"a{ending}", f"b{ending}"]
    for name in ("a", "b"):  # outlines as CSV do not tell how large the image is
        io.imsave(out / f"{name}.tif", io.imread(folder / f"{name}.tif"))
    assert run(out, "--to", "tif", "--savedir", back) == 0
    assert np.array_equal(io.imread(back / "a_masks.tif"), discs())
    assert np.array_equal(io.imread(back / "b_masks.tif"), RING)


def test_pictures_and_flows_of_a_run_are_no_masks(tmp_path, capsys):
    labels = discs()
    flows = [np.zeros((*labels.shape, 3), np.uint8), np.zeros((2, *labels.shape)), np.zeros(labels.shape)]
    image = tmp_path / "a.png"
    io.imsave(image, labels.astype(np.uint8))
    io.save_masks(labels, labels, flows, image, tif=True, save_flows=True, save_outlines=True)
    assert run(tmp_path, "--to", "geojson") == 0
    assert run(tmp_path, "--from", "tif", "--to", "roi") == 0
    assert [path.name for path in sorted(tmp_path.glob("*.geojson")) + sorted(tmp_path.glob("*.zip"))] == [
        "a.geojson", "a_rois.zip"
    ]  # fmt: skip
    capsys.readouterr()


def test_masks_as_ome_tiff_are_found(tmp_path):
    io.write_ome_tiff(tmp_path / "a_cp_masks.ome.tif", discs().astype(np.uint16), "YX")
    assert run(tmp_path, "--to", "geojson") == 0
    assert np.array_equal(io.read_cells(tmp_path / "a.geojson").labels, discs())


def test_one_bad_file_does_not_stop_the_others(folder, capsys):
    (folder / "a_cp_masks.tif").write_bytes(b"II*\0 broken")
    assert run(folder, "--to", "roi") == 1
    told = capsys.readouterr().err
    assert "ERROR: " in told
    assert "a_cp_masks.tif failed: " in told
    assert told.splitlines()[-1] == f"2 cells in 1 file, 1 failed: {folder / 'b_rois.zip'}"
    assert not (folder / "a_rois.zip").exists()
    assert run(folder, "--to", "roi", "--savedir", folder) == 1
    assert "it exists already; give --overwrite" in capsys.readouterr().err
    assert run(folder / "b_cp_masks.tif", "--to", "roi", "--overwrite") == 0


def test_the_ending_of_the_output_chooses_the_format(folder, capsys):
    assert run(folder / "b_cp_masks.tif", "--output", folder / "drawn.svg") == 0
    assert capsys.readouterr().err == f"2 cells in 1 file: {folder / 'drawn.svg'}\n"
    assert (folder / "drawn.svg").read_text().startswith("<svg")


def test_a_table_gives_measurements_and_classes(folder, tmp_path):
    table = tmp_path / "cells.csv"
    table.write_text("image,label,area,class\na.tif,3,1.5,\nb.tif,4,29,flat\nb.tif,9,1,\n")
    assert run(folder, "--to", "geojson", "--table", table) == 0
    a, b = (io.read_cells(folder / f"{name}.geojson") for name in "ab")
    assert (a.measured(3), a.class_of(3), a.measured(4)) == ({"area": 1.5}, None, {})
    assert (b.measured(4), b.class_of(4), b.class_of(9)) == ({"area": 29.0}, ("flat", None), None)


def test_a_table_of_images_in_folders_gives_each_its_rows(folder, tmp_path):
    (tmp_path / "p1").mkdir()
    (tmp_path / "p1" / "a_cp_masks.tif").write_bytes((folder / "a_cp_masks.tif").read_bytes())
    table = tmp_path / "cells.csv"
    table.write_text("image,label,area\np1/a.tif,3,1.5\np2/a.tif,3,29\n")
    assert run(tmp_path / "p1", "--to", "geojson", "--table", table) == 0
    assert io.read_cells(tmp_path / "p1" / "a.geojson").measured(3) == {"area": 1.5}


def test_a_table_tells_the_image_of_a_folder_from_that_in_it(folder, tmp_path, capsys):
    (tmp_path / "p1").mkdir()
    (tmp_path / "p1" / "a_cp_masks.tif").write_bytes((folder / "a_cp_masks.tif").read_bytes())
    table = tmp_path / "cells.csv"
    table.write_text("image,label,area\na.tif,3,1\np1/a.tif,3,2\nelse.tif,3,3\n")
    assert run(folder, tmp_path / "p1", "--to", "geojson", "--table", table) == 0
    told = capsys.readouterr().err
    assert [io.read_cells(tmp_path / f"{name}.geojson").measured(3)["area"] for name in ("a", "p1/a")] == [1, 2]
    assert "cells.csv has no rows of b: their cells have no measurements" in told
    table.write_text("image,label,area\np1/a.tif,3,5\n")  # the image above it was not measured
    assert run(folder, tmp_path / "p1", "--to", "geojson", "--table", table, "--overwrite") == 0
    assert [io.read_cells(tmp_path / f"{name}.geojson").measured(3) for name in ("a", "p1/a")] == [{}, {"area": 5}]
    assert "has no rows of a, b" in capsys.readouterr().err
    table.write_text("image,label,area\np1/a.tif,3,1\np2/a.tif,3,2\n")
    words = (folder / "a_cp_masks.tif", "--to", "geojson", "--table", table, "--overwrite")
    assert run(*words) == 1
    assert "has rows of p1/a.tif, p2/a.tif" in capsys.readouterr().err
    table.write_text("image,label,area\na.tif,3,1\na.tif,3,2\n")
    assert run(*words) == 1
    assert "several rows of one label for a;" in capsys.readouterr().err


def test_a_table_names_the_image_and_the_file_another(folder, tmp_path):
    table = tmp_path / "cells.csv"
    table.write_text("image,label,area\nplane.tif,3,7\n")
    (tmp_path / "labels.tif").write_bytes((folder / "a_cp_masks.tif").read_bytes())
    assert run(tmp_path / "labels.tif", "--output", tmp_path / "plane.geojson", "--table", table) == 0
    assert io.read_cells(tmp_path / "plane.geojson").measured(3) == {"area": 7}
    coco = tmp_path / "annotations.json"
    io.write_cells(coco, io.read_cells(tmp_path / "labels.tif"), "coco")
    content = json.loads(coco.read_text())
    content["images"][0]["file_name"] = "plane.tif"
    coco.write_text(json.dumps(content))
    assert run(tmp_path / "annotations.json", "--output", tmp_path / "x.geojson", "--table", table) == 0
    assert io.read_cells(tmp_path / "x.geojson").measured(3) == {"area": 7}


def test_a_table_gives_each_frame_of_a_movie_its_rows(tmp_path, capsys):
    movie = np.stack([RING, RING, RING]).astype(np.uint16)
    io.write_tiff(tmp_path / "a_cp_masks.tif", movie, axes="TYX")
    (tmp_path / "cells.csv").write_text("frame,label,area\n0,4,16\n1,4,100\n")
    assert run(tmp_path, "--to", "geojson", "--table", tmp_path / "cells.csv") == 0
    assert capsys.readouterr().err.startswith("6 cells in 1 file")
    cells = io.read_cells(tmp_path / "a.geojson")
    assert [cells.measured(4, t) for t in range(3)] == [{"area": 16.0}, {"area": 100.0}, {}]
    io.write_tiff(tmp_path / "a_cp_masks.tif", movie, axes="ZYX")
    assert run(tmp_path, "--to", "geojson", "--table", tmp_path / "cells.csv", "--overwrite") == 1
    assert "which --axes TYX names as such" in capsys.readouterr().err


def test_nothing_that_a_run_wrote_is_replaced_in_the_same_run(folder, tmp_path, capsys):
    (tmp_path / "p1").mkdir()
    io.imsave(tmp_path / "p1" / "a_cp_masks.tif", RING.astype(np.uint16))
    assert run(folder, tmp_path / "p1", "--to", "geojson", "--savedir", tmp_path / "out", "--overwrite") == 1
    told = capsys.readouterr().err
    assert "this run has already written it, for another image of that name" in told
    assert told.splitlines()[-1].startswith("6 cells in 2 files, 1 failed")
    assert np.array_equal(io.read_cells(tmp_path / "out" / "a.geojson").labels, discs())


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.geojson", "[]"), ("a_outlines.csv", "label,x,y\n"), ("a_cp_outlines.txt", "")],
)
def test_outlines_of_no_cell_need_the_size_of_their_image(tmp_path, name, content, capsys):
    (tmp_path / name).write_text(content)
    assert run(tmp_path / name, "--to", "tif") == 1
    assert "holds no outlines, and does not state the size of its image; give --like" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [name]
    io.imsave(tmp_path / "other.tif", np.zeros((6, 7), np.uint8))
    assert run(tmp_path / name, "--to", "tif", "--like", tmp_path / "other.tif") == 0
    assert io.imread(tmp_path / "a_masks.tif").shape == (6, 7)


def test_outlines_fill_an_image_of_the_size_of_that_beside_them_or_given(tmp_path, capsys):
    shape = (20, 30)
    io.save_rois(RING, tmp_path / "im.tif")
    io.imsave(tmp_path / "im.tif", np.zeros(shape, np.uint8))
    assert run(tmp_path / "im_rois.zip", "--to", "tif") == 0
    assert io.imread(tmp_path / "im_masks.tif").shape == shape
    io.imsave(tmp_path / "other.tif", np.zeros((6, 7), np.uint8))
    assert run(tmp_path / "im_rois.zip", "--to", "tif", "--overwrite", "--like", tmp_path / "other.tif") == 0
    assert io.imread(tmp_path / "im_masks.tif").shape == (6, 7)
    assert "outlines extend beyond the image" in capsys.readouterr().err
    io.write_cells(tmp_path / "s.csv", STACK)
    io.imsave(tmp_path / "s.tif", np.zeros((4, 65, 75), np.uint8))
    assert run(tmp_path / "s.csv", "--output", tmp_path / "made.tif") == 0
    assert io.imread(tmp_path / "made.tif").shape == (4, 65, 75)


def test_of_a_data_set_every_image_gets_its_file(tmp_path):
    io.write_cells(tmp_path / "a.json", RING)
    content = json.loads((tmp_path / "a.json").read_text())
    content["images"].append({"id": 2, "file_name": "sub/b.png", "height": 2, "width": 3})
    content["annotations"].append({"id": 9, "image_id": 2, "segmentation": [[0, 0, 2, 0, 2, 2, 0, 2]]})
    (tmp_path / "all.json").write_text(json.dumps(content))
    assert run(tmp_path / "all.json", "--to", "tif", "--savedir", tmp_path / "out") == 0
    assert np.array_equal(io.imread(tmp_path / "out" / "a_masks.tif"), RING)
    assert io.imread(tmp_path / "out" / "b_masks.tif").tolist() == [[1, 1, 0], [1, 1, 0]]
    assert run(tmp_path / "all.json", "--output", tmp_path / "c.tif") == 1
    assert run(tmp_path / "all.json", "--output", tmp_path / "c.tif", "--image", "sub/b.png") == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "give either --to"),
        (("--to", "roi", "--output", "x.svg"), "give either --to"),
        (("--to", "nothing"), "'nothing' is not a format; choose one of roi"),
        (("--output", "x.abc"), "the ending of x.abc is not a known format"),
        (("--to", "roi", "--from", "svg"), "cannot be read back"),
        (("--to", "roi", "--table", "{folder}/no.csv"), "no.csv does not exist"),
    ],
)
def test_a_wrong_command_line_is_told_before_anything_is_written(folder, capsys, words, told):
    before = sorted(folder.iterdir())
    assert run(folder / "a_cp_masks.tif", *(word.format(folder=folder) for word in words)) == 2
    assert told in capsys.readouterr().err
    assert sorted(folder.iterdir()) == before


def test_folders_without_masks_and_files_that_are_not_there_are_told(tmp_path, capsys):
    assert run(tmp_path, "--to", "roi") == 2
    assert "give the files themselves, or --from" in capsys.readouterr().err
    assert run(tmp_path / "no.tif", "--to", "roi") == 2
    assert run(tmp_path, tmp_path, "--output", tmp_path / "x.svg") == 2


def test_a_library_that_is_missing_is_told_once(folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert run(folder, "--to", "geoparquet") == 1
    assert capsys.readouterr().err.count("pyarrow is needed") == 1


def test_a_movie_stays_a_movie(tmp_path):
    io.write_ome_tiff(tmp_path / "a_cp_masks.ome.tif", STACK.astype(np.uint16), "TYX")
    assert run(tmp_path / "a_cp_masks.ome.tif", "--to", "geojson") == 0
    features = json.loads((tmp_path / "a.geojson").read_text())["features"]
    assert {feature["geometry"]["plane"]["t"] for feature in features} == {0, 2}
    assert run(tmp_path / "a.geojson", "--to", "tif") == 0
    image = io.read_image(tmp_path / "a_masks.tif")
    assert image.axes == "TYX"
    np.testing.assert_array_equal(image.data, STACK)


def test_planes_are_frames_if_the_axes_say_so(tmp_path, capsys):
    masks = np.zeros((3, 20, 60), np.uint16)
    for t in range(3):
        masks[t, 2:9, 20 * t : 20 * t + 9] = 1
    io.write_tiff(tmp_path / "a_cp_masks.tif", masks, axes="ZYX")
    assert run(tmp_path, "--to", "tif") == 0
    assert "If these are times, give --axes TYX" in capsys.readouterr().err
    for form, axes in (("tif", "TYX"), ("geojson", "TYX"), ("tif", "ZYX")):
        source = tmp_path / ("a.geojson" if axes == "ZYX" else "a_cp_masks.tif")
        assert run(source, "--to", form, "--overwrite", "--axes", axes) == 0
        assert ("If these are times" in capsys.readouterr().err) is (axes == "ZYX")
        if form == "tif":
            assert io.read_image(tmp_path / "a_masks.tif").axes == axes
    features = json.loads((tmp_path / "a.geojson").read_text())["features"]
    assert [feature["geometry"]["plane"]["t"] for feature in features] == [0, 1, 2]
    io.write_tiff(tmp_path / "plane.tif", masks[0], axes="YX")
    assert run(tmp_path / "plane.tif", "--to", "geojson", "--axes", "TYX") == 1
    assert "--axes TYX does not fit masks of shape (20, 60)" in capsys.readouterr().err
