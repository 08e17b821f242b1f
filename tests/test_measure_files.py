"""Measuring files: the command, its tables, plots and report."""

from __future__ import annotations

import csv
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from cellpose import dynamics, io, measure, plot
from cellpose.__main__ import main
from cellpose.errors import FileMissingError, InputError, OptionError

EXTRA = "needs the extra measure (pip install 'cellpose[measure]')"


def two_cells(shape: tuple[int, int] = (30, 40)) -> np.ndarray:
    labels = np.zeros(shape, np.uint16)
    labels[3:13, 4:16], labels[18:28, 20:36] = 1, 2
    return labels


def write_pair(folder: Path, name: str, image: np.ndarray | None = None, ending: str = "_cp_masks.tif") -> np.ndarray:
    """An image and its masks, which are given back."""
    labels = two_cells()
    io.imsave(folder / f"{name}.tif", labels.astype(np.uint16) * 100 if image is None else image)
    io.imsave(folder / f"{name}{ending}", labels)
    return labels


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_folder_becomes_one_table_with_plots_and_a_report(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_pair(tmp_path, "a")
    write_pair(tmp_path, "b", np.dstack([two_cells() * 10, two_cells() * 20]).astype(np.uint8).transpose(2, 0, 1))
    assert main(["measure", "--dir", str(tmp_path)]) == 0
    folder = tmp_path / "measurements"
    rows = rows_of(folder / "measurements.csv")
    assert [(row["image"], row["frame"], row["label"]) for row in rows] == [
        ("a.tif", "0", "1"), ("a.tif", "0", "2"), ("b.tif", "0", "1"), ("b.tif", "0", "2"),
    ]  # fmt: skip
    assert [row["area"] for row in rows] == ["120", "160"] * 2
    assert [row["intensity_mean-0"] for row in rows] == ["100", "200", "10", "20"]
    assert [row["intensity_mean-1"] for row in rows] == ["", "", "20", "40"]
    names = [*rows[0]]
    assert names.index("intensity_mean-1") == names.index("intensity_mean-0") + 1
    report = (folder / "measurements_report.html").read_text(encoding="utf-8")
    assert report.count("data:image/jpeg;base64,") == 2
    assert not re.search(r"(src|href)=.?(http|file|/)", report)  # it needs nothing else
    assert "4 cells in 2 images; results in" in capsys.readouterr().err
    # no command takes the plots for images
    for place in (tmp_path, folder):
        if place == tmp_path:
            assert [Path(name).name for name in io.get_image_files(place, "_cp_masks")] == ["a.tif", "b.tif"]
        else:
            with pytest.raises(InputError):
                io.get_image_files(place)


def test_one_bad_file_never_ends_the_batch(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_pair(tmp_path, "good")
    write_pair(tmp_path, "cut")
    (tmp_path / "cut.tif").write_bytes((tmp_path / "cut.tif").read_bytes()[:40])
    io.imsave(tmp_path / "bare.tif", two_cells())
    write_pair(tmp_path, "other", np.zeros((7, 9), np.uint8))
    assert main(["measure", "--dir", str(tmp_path), "--no_plots"]) == 1
    assert {row["image"] for row in rows_of(tmp_path / "measurements" / "measurements.csv")} == {"good.tif"}
    told = capsys.readouterr().err
    assert "2 cells in 1 image, 3 failed" in told
    assert "no masks of" in told
    assert "(30, 40)" in told
    assert "bare.tif" in told.splitlines()[-1]
    report = (tmp_path / "measurements" / "measurements_report.html").read_text(encoding="utf-8")
    assert all(f"<b>{name}.tif</b>" in report for name in ("bare", "cut", "other"))


def test_failures_in_folders_inside_are_named_with_these(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_pair(tmp_path, "good")
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        io.imsave(tmp_path / place / "bare.tif", two_cells())
    words = ["measure", "--dir", str(tmp_path), "--look_one_level_down", "--no_plots", "--no_report"]
    assert main(words) == 1
    assert "2 of 3 images failed, for the reasons above: a/bare.tif, b/bare.tif" in capsys.readouterr().err


def test_images_of_equal_names_in_folders_inside_are_told_apart(tmp_path: Path) -> None:
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        write_pair(tmp_path / place, "x")
    words = ["measure", "--dir", str(tmp_path), "--look_one_level_down", "--no_plots"]
    assert main(words) == 0
    folder = tmp_path / "measurements"
    assert [row["image"] for row in rows_of(folder / "measurements.csv")] == ["a/x.tif"] * 2 + ["b/x.tif"] * 2
    report = (folder / "measurements_report.html").read_text(encoding="utf-8")
    assert all(f"{place}/x.tif" in report for place in ("a", "b"))


def test_nothing_that_can_be_measured(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    io.imsave(tmp_path / "bare.tif", two_cells())
    assert main(["measure", "--dir", str(tmp_path)]) == 1
    assert "none of 1 image could be measured" in capsys.readouterr().err
    assert not (tmp_path / "measurements").exists()


def test_wrong_command_lines(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_pair(tmp_path, "a")
    assert main(["measure"]) == 2
    assert main(["measure", "--dir", str(tmp_path), "--properties", "nonsense"]) == 2
    assert main(["measure", "--dir", str(tmp_path), "--spots_sigma", "3", "1", "--spots", "0"]) == 2
    assert main(["measure", "--dir", str(tmp_path), "--spots", "7"]) == 1  # another image may have it
    assert main(["measure", "--dir", str(tmp_path), "--properties", "area", "coords", "slice"]) == 2
    for sizes in (["-1"], ["1", "2", "3", "4"], ["-2", "0.5", "0.5"], ["nan", "1", "1"]):
        assert main(["measure", "--dir", str(tmp_path), "--pixel_size_um", *sizes]) == 2
    told = capsys.readouterr().err
    assert "nonsense" in told
    assert "no channel 7" in told
    assert "not an array for each cell as in coords, slice; leave that out" in told


def test_masks_are_found_where_the_program_puts_them(tmp_path: Path) -> None:
    labels = write_pair(tmp_path, "a", ending="_masks.png")
    find = lambda **options: measure.measure_file(tmp_path / "a.tif", measure.FileOptions(**options)).masks.name  # noqa: E731
    assert find() == "a_masks.png"
    io.imsave(tmp_path / "a_cp_masks.png", labels)
    assert find() == "a_cp_masks.png"
    flows = [np.zeros((*labels.shape, 3), np.uint8), 5 * dynamics.masks_to_flows(labels), np.ones(labels.shape)]
    io.masks_flows_to_seg([labels], [labels], [flows], [tmp_path / "a.tif"])
    assert find() == "a_seg.npy"
    assert find(mask_filter="_masks") == "a_masks.png"
    assert find(mask_filter="_cp_masks.png") == "a_cp_masks.png"
    (tmp_path / "elsewhere").mkdir()
    io.imsave(tmp_path / "elsewhere" / "a_cp_masks.tif", labels)
    assert find(masks_dir=tmp_path / "elsewhere") == "a_cp_masks.tif"
    with pytest.raises(FileMissingError, match=r"no masks of .*_nothing"):
        find(mask_filter="_nothing")


def test_masks_newer_than_the_seg_file_are_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    labels = write_pair(tmp_path, "a")
    flows = [np.zeros((*labels.shape, 3), np.uint8), 5 * dynamics.masks_to_flows(labels), np.ones(labels.shape)]
    io.masks_flows_to_seg([labels], [labels], [flows], [tmp_path / "a.tif"])
    words = ["measure", "--dir", str(tmp_path), "--no_plots", "--no_report"]
    in_future = (tmp_path / "a_seg.npy").stat().st_mtime + 60
    told = []
    for cells, when in ((labels, in_future), (labels == 1, in_future), (labels == 1, in_future - 120)):
        io.imsave(tmp_path / "a_cp_masks.tif", cells.astype(np.uint16))
        os.utime(tmp_path / "a_cp_masks.tif", (when, when))
        assert main(words) == 0
        told.append(capsys.readouterr().err)
        assert len(rows_of(tmp_path / "measurements" / "measurements.csv")) == 2
    # the same cells in another format, other cells, other cells of an earlier run
    assert ["is newer" in each for each in told] == [False, True, False]
    assert "a_seg.npy is measured, but a_cp_masks.tif is newer and holds other cells" in told[1]
    assert main([*words, "--mask_filter", "_cp_masks.tif"]) == 0
    assert len(rows_of(tmp_path / "measurements" / "measurements.csv")) == 1


def test_masks_of_all_formats_are_found(tmp_path: Path) -> None:
    pytest.importorskip("zarr", reason="needs the extra distributed")
    labels = write_pair(tmp_path, "a", ending="_none.tif")
    io.write_ome_zarr(tmp_path / "a_cp_masks.zarr", labels, "YX", labels=True)
    assert measure.measure_file(tmp_path / "a.tif").n_cells == 2
    io.write_ome_tiff(tmp_path / "a_cp_masks.ome.tif", labels, "YX")
    assert measure.measure_file(tmp_path / "a.tif").masks.name == "a_cp_masks.ome.tif"


def test_names_of_images_with_an_ending(tmp_path: Path) -> None:
    labels = two_cells()
    io.imsave(tmp_path / "a_img.png", labels.astype(np.uint8))
    io.imsave(tmp_path / "a_masks.png", labels)
    assert main(["measure", "--dir", str(tmp_path), "--img_filter", "_img", "--no_plots", "--no_report"]) == 0
    assert len(rows_of(tmp_path / "measurements" / "measurements.csv")) == 2


def test_classes_and_scores_of_a_seg_file(tmp_path: Path) -> None:
    labels = two_cells()
    io.imsave(tmp_path / "a.tif", labels)
    flows = [np.zeros((*labels.shape, 3), np.uint8), 5 * dynamics.masks_to_flows(labels), np.ones(labels.shape)]
    content = io.seg_content(labels, flows, tmp_path / "a.tif", model="nuclei-cells")
    content |= {"classes": np.array([2, 0], np.uint8), "class_names": {"names": ["round", "flat"]}}
    io.write_seg(tmp_path / "a_seg.npy", content)
    columns = measure.measure_file(tmp_path / "a.tif").columns
    assert columns["class"].tolist() == ["flat", ""]
    assert (columns["correct"] > 0).all()
    assert (columns["flow_error"] < 0.1).all()


def test_scores_of_flow_files_are_those_of_the_model_that_the_manifest_names(tmp_path: Path) -> None:
    labels = two_cells()
    io.imsave(tmp_path / "a.tif", labels)
    flows = [np.zeros((*labels.shape, 3), np.uint8), 5 * dynamics.masks_to_flows(labels), np.ones(labels.shape)]
    io.save_masks(labels, labels, flows, tmp_path / "a.tif", png=False, tif=True, save_flows=True)
    assert "correct" not in measure.measure_file(tmp_path / "a.tif").columns
    run = {"models": {"model": {"name": "nuclei-cells"}}, "options": {}}
    images = [{"image": "a.tif", "outputs": [path.name for path in tmp_path.glob("a_*")]}]
    (tmp_path / io.MANIFEST_NAME).write_text(json.dumps(run | {"images": images}))
    columns = measure.measure_file(tmp_path / "a.tif").columns
    assert (columns["correct"] > 0).all()
    assert (columns["flow_error"] < 0.1).all()


def test_movies_have_a_row_for_each_cell_and_frame(tmp_path: Path) -> None:
    frames = np.stack([two_cells(), np.where(two_cells() == 2, 0, two_cells())])
    tifffile.imwrite(
        tmp_path / "m.tif", frames[:, None].repeat(2, 1), imagej=True, metadata={"axes": "TCYX"}, resolution=(4, 4)
    )
    io.imsave(tmp_path / "m_cp_masks.tif", frames)
    measured = measure.measure_file(tmp_path / "m.tif")
    assert list(zip(measured.columns["frame"].tolist(), measured.columns["label"].tolist(), strict=True)) == [
        (0, 1), (0, 2), (1, 1),
    ]  # fmt: skip
    assert measured.columns["intensity_mean-1"].tolist() == [1, 2, 1]
    io.imsave(tmp_path / "m_cp_masks.tif", frames[:1].repeat(3, 0))
    with pytest.raises(InputError, match="movie of 2 frames"):
        measure.measure_file(tmp_path / "m.tif")


def test_stacks_in_micrometres(tmp_path: Path) -> None:
    labels = np.zeros((4, 30, 40), np.uint16)
    labels[1:3] = two_cells()
    io.write_ome_tiff(tmp_path / "z.ome.tif", labels, "ZYX", pixel_size_um=(2.0, 0.5, 0.5))
    io.imsave(tmp_path / "z.ome_cp_masks.tif", labels)
    columns = measure.measure_file(tmp_path / "z.ome.tif").columns
    assert columns["volume_um3"].tolist() == [120, 160]
    assert columns["centroid_um-0"].tolist() == [3, 3]
    given = measure.measure_file(tmp_path / "z.ome.tif", measure.FileOptions(pixel_size_um=(1.0,))).columns
    assert given["volume_um3"].tolist() == [240, 320]


def test_nuclei_and_spots(tmp_path: Path) -> None:
    pytest.importorskip("skimage", reason=EXTRA)
    labels = two_cells((60, 60))
    labels[18:28, 20:36] = 0
    labels[20:55, 20:55] = 2
    rng = np.random.default_rng(0)
    spots = np.zeros((60, 60))
    spots[[8, 30, 45], [9, 30, 40]] = 1
    image = np.stack([rng.normal(100, 5, (60, 60)), rng.normal(50, 2, (60, 60))])
    image[1] += 3000 * ndimage.gaussian_filter(spots, 1.5)
    nuclei = np.zeros((60, 60), np.uint16)
    nuclei[25:35, 25:35], nuclei[40:48, 40:48] = 1, 2
    io.imsave(tmp_path / "a.tif", image.astype(np.float32))
    io.imsave(tmp_path / "a_cp_masks.tif", labels)
    io.imsave(tmp_path / "a_nuclei.tif", nuclei)
    assert main(["measure", "--dir", str(tmp_path), "--nuclei", "_nuclei", "--spots", "1", "--no_plots"]) == 0
    rows = rows_of(tmp_path / "measurements" / "measurements.csv")
    assert [row["nuclei_count"] for row in rows] == ["0", "2"]
    assert [row["spots_count-1"] for row in rows] == ["1", "2"]
    found = rows_of(tmp_path / "measurements" / "measurements_spots.csv")
    assert [row["label"] for row in sorted(found, key=lambda row: float(row["y"]))] == ["1", "2", "2"]


def test_images_without_cells(tmp_path: Path) -> None:
    write_pair(tmp_path, "a")
    io.imsave(tmp_path / "none.tif", np.zeros((20, 20), np.uint8))
    io.imsave(tmp_path / "none_cp_masks.tif", np.zeros((20, 20), np.uint16))
    assert main(["measure", "--dir", str(tmp_path)]) == 0
    assert len(rows_of(tmp_path / "measurements" / "measurements.csv")) == 2
    assert main(["measure", "--image_path", str(tmp_path / "none.tif"), "--savedir", str(tmp_path / "out")]) == 0
    assert rows_of(tmp_path / "out" / "measurements.csv") == []


def test_arrays_are_not_written_as_shortened_texts(tmp_path: Path) -> None:
    columns = measure.table(two_cells(), properties=["area", "coords"])
    for ending in ("csv", "parquet", "h5ad"):
        with pytest.raises(InputError, match="not an array for each cell as in coords"):
            measure.write_table(tmp_path / f"a.{ending}", columns)
    assert not [*tmp_path.iterdir()]


def test_csv_keeps_all_digits_and_names(tmp_path: Path) -> None:
    columns = {"image": np.array(['a,"b".tif', "é.tif"]), "x": np.array([1 / 3, np.nan]), "n": np.array([2.0, 3.0])}
    measure.write_table(tmp_path / "t.csv", columns)
    rows = rows_of(tmp_path / "t.csv")
    assert [row["image"] for row in rows] == ['a,"b".tif', "é.tif"]
    assert float(rows[0]["x"]) == 1 / 3
    assert rows[1] == {"image": "é.tif", "x": "", "n": "3"}
    with pytest.raises(OptionError, match=r"csv, parquet, h5ad"):
        measure.write_table(tmp_path / "t.xlsx", columns)


def test_parquet_and_anndata(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason=EXTRA)
    anndata = pytest.importorskip("anndata", reason=EXTRA)
    write_pair(tmp_path, "a")
    columns = measure.measure_file(tmp_path / "a.tif").columns
    measure.write_table(tmp_path / "t.parquet", columns)
    assert parquet.read_table(tmp_path / "t.parquet").to_pydict()["area"] == [120, 160]
    measure.write_table(tmp_path / "t.h5ad", columns)
    table = anndata.read_h5ad(tmp_path / "t.h5ad")
    assert table.obs["label"].tolist() == [1, 2]
    assert table[:, "area"].X.ravel().tolist() == [120, 160]
    assert table.obsm["spatial"][0].tolist() == [9.5, 7.5]  # x, y


def test_plots_are_pictures() -> None:
    pytest.importorskip("matplotlib", reason="needs the extra plot (pip install 'cellpose[plot]')")
    summary = measure._summary.ImageSummary("a.tif", 2, 1, "a_cp_masks.tif", b"", {})
    columns = measure.table(two_cells(), two_cells())
    for images in ([summary], [summary] * 2, [summary] * 60):
        plots = measure.plots_of(columns, images)
        assert set(plots) == {"sizes", "intensity", *(["counts"] if len(images) > 1 else [])}
        assert all(plot.startswith(b"\x89PNG") for plot in plots.values())


@pytest.mark.parametrize("n_images", [2, 60])
def test_axes_of_numbers_of_cells_have_whole_ticks(n_images: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra plot (pip install 'cellpose[plot]')")
    figures: list[Any] = []
    monkeypatch.setattr(measure._plots, "_png", lambda figure: figures.append(figure) or b"")
    summary = measure._summary.ImageSummary("a.tif", 2, 1, "a_cp_masks.tif", b"", {})
    measure.plots_of(measure.table(two_cells(), two_cells()), [summary] * n_images)
    assert len(figures) == 3
    for figure in figures:
        (axes,) = figure.axes
        counted = [axis for axis in (axes.xaxis, axes.yaxis) if axis.label.get_text().startswith(("cells", "images"))]
        assert counted
        for axis in counted:
            ticks = axis.get_major_locator()()
            assert len(ticks) > 1
            np.testing.assert_array_equal(ticks, np.round(ticks))


@pytest.mark.parametrize("shape", [(7, 5), (300, 2000), (3000, 1700), (3, 40, 900)])
def test_pictures_have_the_size_of_a_report(shape: tuple[int, ...]) -> None:
    import cv2

    labels = np.zeros(shape, np.int32)
    labels[..., 1:-1, 1:-1] = 70_000
    image = np.random.default_rng(0).random((*shape, 2))
    picture = cv2.imdecode(np.frombuffer(plot.thumbnail(image, labels), np.uint8), cv2.IMREAD_COLOR)
    assert max(picture.shape) <= 520
    assert abs(picture.shape[0] / picture.shape[1] - shape[-2] / shape[-1]) < 0.02


def test_names_in_a_report_are_no_html() -> None:
    summary = measure._summary.ImageSummary("<script>x</script>", 0, 1, "m", b"", {})
    text = measure.report_of("<b>&", {}, [summary], {}, {"<i>": "<u>"})
    assert "<script>x" not in text
    assert "&lt;b&gt;&amp;" in text
    assert "<b>&lt;i&gt;</b> &lt;u&gt;" in text


def planes_of_their_own(n: int = 4) -> np.ndarray:
    """Planes whose cells are numbered 1..n again in each, at other places."""
    planes = np.zeros((n, 60, 60), np.uint16)
    for z, plane in enumerate(planes):
        for k in range(4):
            plane[2 + 14 * k : 10 + 14 * k, 2 + 14 * z : 10 + 14 * z] = k + 1
    return planes


def test_planes_that_were_segmented_separately_are_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    planes = planes_of_their_own()
    io.write_tiff(tmp_path / "a.tif", planes * 50, axes="ZYX")
    io.write_tiff(tmp_path / "a_cp_masks.tif", planes, axes="ZYX")
    words = ["measure", "--dir", str(tmp_path), "--no_plots", "--no_report"]
    assert main(words) == 0
    told = capsys.readouterr().err
    assert "12 do not touch" in told
    assert "--axes TYX" in told
    assert len(rows_of(tmp_path / "measurements/measurements.csv")) == 4
    # and what it says helps
    assert main([*words, "--axes", "TYX"]) == 0
    assert "touch" not in capsys.readouterr().err
    rows = rows_of(tmp_path / "measurements/measurements.csv")
    assert [(row["frame"], row["label"], row["area"]) for row in rows] == [
        (str(z), str(k + 1), "64") for z in range(4) for k in range(4)
    ]


def test_cells_of_a_volume_are_not_taken_for_separate_planes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    planes = planes_of_their_own()
    volume = np.zeros_like(planes)
    for z, plane in enumerate(volume):
        plane[:, z : z + 60 - 14] = planes[0][:, : 60 - 14]  # cells that lean
    io.write_tiff(tmp_path / "a.tif", volume * 50, axes="ZYX")
    io.write_tiff(tmp_path / "a_cp_masks.tif", volume, axes="ZYX")
    assert measure.measure_file(tmp_path / "a.tif").n_cells == 4
    assert "touch" not in caplog.text


def test_converting_separate_planes_is_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for axes in ("ZYX", "TYX"):
        io.write_tiff(tmp_path / f"{axes}_cp_masks.tif", planes_of_their_own(), axes=axes)
        assert main(["convert", str(tmp_path / f"{axes}_cp_masks.tif"), "--to", "geojson"]) == 0
        assert ("segmented separately" in capsys.readouterr().err) is (axes == "ZYX")


def test_what_holds_no_label_images_is_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """A binary mask to be measured, an image in place of its masks, and a movie in place of its masks."""
    cells = np.zeros((60, 60), np.uint8)
    for k in range(16):
        cells[2 + 14 * (k // 4) :, 2 + 14 * (k % 4) :][:8, :8] = k + 1
    image = np.random.default_rng(0).integers(0, 60_000, (60, 60), np.uint16)
    io.imsave(tmp_path / "a.tif", image)
    (tmp_path / "movie").mkdir()
    for name, frame in (("t0.tif", image), ("t1.tif", image[::-1])):
        io.imsave(tmp_path / "movie" / name, frame)
    for wrong, masks in ((False, cells), (True, (cells > 0) * np.uint8(255)), (True, (cells > 0).astype(np.uint8))):
        io.imsave(tmp_path / "a_masks.tif", masks)
        assert main(["measure", "--dir", str(tmp_path), "--no_plots", "--no_report"]) == 0
        told = capsys.readouterr().err
        assert ("a_masks.tif: its numbers lie as those of an image or of a binary mask" in told) is wrong
    assert main(["convert", str(tmp_path / "a.tif"), "--to", "csv"]) == 0
    assert "a.tif: its numbers lie as those of an image" in capsys.readouterr().err
    assert main(["track", str(tmp_path / "movie")]) == 0
    assert "movie: its numbers lie as those of an image" in capsys.readouterr().err
