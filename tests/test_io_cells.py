"""Cells in the files of other programs: labels come back to the pixel, and what a format cannot hold is told."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
import roifile

from cellpose import io, utils
from cellpose.errors import (
    FileMissingError,
    FileReadError,
    FileWriteError,
    InputError,
    MissingExtraError,
    OptionError,
)
from cellpose.io._cells._rings import outlines_of, trace
from test_io_write import log_reaches_the_root  # noqa: F401  (a fixture)

RNG = np.random.default_rng(5)


def noise(n: int = 25):
    """Labels with holes, pieces, single pixels, corners that touch, cells at the border and gaps in the numbers."""
    for _ in range(n):
        height, width = RNG.integers(1, 13, 2)
        yield RNG.integers(0, RNG.integers(2, 7), (height, width)) * int(RNG.choice([1, 7, 50_000]))


def discs(shape=(60, 70)) -> np.ndarray:
    labels = np.zeros(shape, np.int32)
    for number, (x, y, radius) in enumerate([(15, 15, 9), (40, 20, 12), (20, 45, 8), (55, 48, 14)], 3):
        cv2.circle(labels, (x, y), radius, number, -1)
    return labels


STACK = np.stack([discs(), np.zeros((60, 70), int), np.roll(discs(), 9, 1)])
RING = np.zeros((7, 9), np.uint16)
RING[1:6, 2:8], RING[3, 4], RING[6, 8] = 4, 0, 9
EXACT = ["a_rois.zip", "a.geojson", "a_coco.json", "a_outlines.csv", "a_masks.tif", "a.ome.tif", "a_seg.npy"]


@pytest.mark.parametrize("name", EXACT)
def test_labels_come_back_to_the_pixel(tmp_path, name):
    for labels in [*noise(), discs(), STACK, RING, np.zeros((3, 4), int), np.ones((1, 1), bool)]:
        io.write_cells(tmp_path / name, labels)
        again = io.read_cells(tmp_path / name, labels.shape if name.endswith("csv") else None).labels
        assert again.shape == labels.shape
        assert np.array_equal(again, labels)


@pytest.mark.parametrize("name", EXACT)
def test_more_labels_than_16_bits_hold_come_back(tmp_path, name):
    labels = np.zeros((3, 1000), np.int64)
    labels[::2, ::2] = 65_000 + np.arange(1000).reshape(2, 500)
    io.write_cells(tmp_path / name, labels)
    assert np.array_equal(io.read_cells(tmp_path / name, labels.shape).labels, labels)


def area(ring: np.ndarray) -> float:
    x, y = ring.astype(np.int64).T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


@pytest.mark.parametrize("name", [*(name for name in EXACT if name != "a_seg.npy"), "a_cells.parquet", "a.ome.zarr"])
def test_frames_of_a_movie_come_back_as_frames(tmp_path, name):
    for library in {"a_cells.parquet": ("geopandas", "pyarrow"), "a.ome.zarr": ("zarr",)}.get(name, ()):
        pytest.importorskip(library, reason=f"needs {library}")
    for labels in (STACK, STACK[1:2]):
        io.write_cells(tmp_path / name, io.Cells(labels, axes="TYX"))
        again = io.read_cells(tmp_path / name, labels.shape)
        if again.labels.ndim == 3:  # readers of images leave out axes of length 1
            assert again.axes == "TYX" or not again.numbers.size
            assert np.array_equal(again.labels, labels)
    io.write_cells(tmp_path / name, STACK)
    assert io.read_cells(tmp_path / name, STACK.shape).axes == "ZYX"


def test_frames_are_named_as_such(tmp_path):
    io.write_cells(tmp_path / "a.geojson", io.Cells(STACK, axes="TYX"))
    content = json.loads((tmp_path / "a.geojson").read_text())
    assert {(f["geometry"]["plane"]["z"], f["geometry"]["plane"]["t"]) for f in content["features"]} == {(0, 0), (0, 2)}
    assert content["features"][-1]["id"].endswith("-t3")
    del content["image_axes"]  # as other programs write it
    (tmp_path / "b.geojson").write_text(json.dumps(content))
    assert io.read_cells(tmp_path / "b.geojson").axes == "TYX"
    content["features"][0]["geometry"]["plane"]["z"] = 1
    (tmp_path / "b.geojson").write_text(json.dumps(content))
    with pytest.raises(InputError, match="several planes of several frames"):
        io.read_cells(tmp_path / "b.geojson")
    with pytest.raises(InputError, match=r"axes='CYX' does not fit labels of shape \(3, 60, 70\)"):
        io.Cells(STACK, axes="CYX")


def test_narrow_stacks_are_labels_where_the_file_names_its_axes(tmp_path):
    for name in ("a_masks.tif", "a_seg.npy"):
        for side in (3, 4):
            narrow = np.arange(5 * 9 * side).reshape(5, 9, side) % 7
            io.write_cells(tmp_path / name, narrow)
            assert np.array_equal(io.read_cells(tmp_path / name).labels, narrow)
    io.imsave(tmp_path / "b_masks.tif", np.zeros((20, 30, 3), np.uint8))
    with pytest.raises(InputError, match="is a color image"):
        io.read_cells(tmp_path / "b_masks.tif")


def test_polygons_are_simple_and_holes_lie_in_their_piece():
    for labels in noise():
        for outline in outlines_of(labels.astype(np.int32)):
            for ring in outline.rings:
                assert len(set(map(tuple, ring.tolist()))) == len(ring)
            assert sum(area(ring) for ring in outline.rings) == np.count_nonzero(labels == outline.label)
            for outer, *holes in outline.polygons:
                assert area(outer) > 0
                for hole in holes:
                    assert area(hole) < 0
                    assert (hole.min(axis=0) >= outer.min(axis=0)).all()
                    assert (hole.max(axis=0) <= outer.max(axis=0)).all()


def test_a_cell_in_a_hole_of_another_belongs_to_itself():
    labels = np.zeros((9, 9), np.int32)
    labels[:], labels[2:7, 2:7], labels[3:6, 3:6], labels[4, 4] = 5, 0, 2, 5
    assert [(o.label, [len(p) for p in o.polygons]) for o in outlines_of(labels)] == [(2, [2]), (5, [2, 1])]
    assert trace(labels).points.dtype == np.int32


def test_rois_are_traced_polygons_and_composites_bound_to_their_planes(tmp_path):
    io.write_cells(tmp_path / "a.zip", np.stack([RING, RING * 0, RING]))
    rois = roifile.roiread(tmp_path / "a.zip")
    assert [(roi.name, roi.position) for roi in rois] == [("4-z1", 1), ("9-z1", 1), ("4-z3", 3), ("9-z3", 3)]
    whole, single = rois[:2]
    assert (whole.composite, single.roitype) == (True, roifile.ROI_TYPE.TRACED)
    assert (whole.left, whole.top, whole.right, whole.bottom) == (2, 1, 8, 6)
    assert (single.left, single.top, single.right, single.bottom) == (8, 6, 9, 7)
    assert single.coordinates().tolist() == [[8, 6], [9, 6], [9, 7], [8, 7]]
    # filled as ImageJ fills them: a pixel belongs to a path if its centre is inside, by the even-odd rule
    points = np.mgrid[:9, :9].reshape(2, -1).T + 0.5
    inside = np.zeros(len(points), int)
    for ring in whole.coordinates(multi=True):
        inside += [cv2.pointPolygonTest(ring[:-1], point, False) > 0 for point in points.tolist()]
    assert np.array_equal((inside % 2).reshape(9, 9).T[:7], RING == 4)


def test_save_rois_writes_exact_outlines_where_it_is_asked_to(tmp_path):
    io.save_rois(RING, tmp_path / "im.png", prefix="P", pad=True, exact=True)
    assert np.array_equal(io.read_cells(tmp_path / "im_rois.zip").labels, RING)
    io.save_rois(np.zeros((4, 5), int), tmp_path / "no.png", exact=True)
    assert io.read_cells(tmp_path / "no_rois.zip").labels.shape == (4, 5)


def test_rois_through_pixels_are_filled_with_the_pixels_they_run_through(tmp_path):
    labels = discs()
    labels[0, 0], labels[58:60, 0:2], labels[55, 3:6], labels[30, 1:7] = 20, 21, 22, 23
    io.save_rois(labels, tmp_path / "im.png")
    assert np.array_equal(io.read_cells(tmp_path / "im_rois.zip", labels.shape).labels, labels)
    assert len(utils.outlines_list(labels)) == 8


def test_rois_of_other_makers_are_filled_by_the_centres_of_pixels(tmp_path, caplog):
    types, made = roifile.ROI_TYPE, []
    for kind, box in ((types.RECT, (1, 2, 4, 5)), (types.OVAL, (10, 0, 16, 6)), (types.LINE, (0, 0, 3, 3))):
        roi = roifile.ImagejRoi(roitype=kind, name=f"0001-{kind}")
        roi.left, roi.top, roi.right, roi.bottom = box
        made.append(roi)
    triangle = roifile.ImagejRoi.frompoints([[2.0, 8.0], [12.0, 8.0], [2.0, 18.0]], name="drawn by hand")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        for k, roi in enumerate([*made, triangle]):
            archive.writestr(f"{k}.roi", roi.tobytes())
    labels = io.read_cells(tmp_path / "b.zip", (20, 20)).labels
    assert np.argwhere(labels == 1).tolist() == [[y, x] for y in (2, 3, 4) for x in (1, 2, 3)]
    assert np.count_nonzero(labels == 2) == pytest.approx(np.pi * 9, abs=5)
    y, x = np.mgrid[:20, :20]
    assert np.array_equal(labels == 3, (x >= 2) & (y >= 8) & (x + 0.5 - 2 + y + 0.5 - 8 < 10))
    assert "ROIs of lines, points and texts enclose no pixels and are left out (1)" in caplog.text
    (tmp_path / "one.roi").write_bytes(made[0].tobytes())
    assert np.count_nonzero(io.read_cells(tmp_path / "one.roi").labels) == 9


@pytest.mark.parametrize("letter", ["z", "t"])
def test_rois_of_a_hyperstack_lie_in_its_planes_or_its_frames(tmp_path, letter):
    square = np.array([[2, 2], [5, 2], [5, 5], [2, 5]])

    def save(*places):
        rois = [roifile.ImagejRoi.frompoints(square, name=f"{k}-cell") for k in range(1, len(places) + 1)]
        for roi, (z, t) in zip(rois, places, strict=True):
            roi.z_position, roi.t_position = z, t
        (tmp_path / "a_rois.zip").unlink(missing_ok=True)
        roifile.roiwrite(tmp_path / "a_rois.zip", rois)

    save(*((k, 3) if letter == "z" else (1, k) for k in (1, 2, 3)))
    cells = io.read_cells(tmp_path / "a_rois.zip")
    assert (cells.labels > 0).sum(axis=(1, 2)).tolist() == [9, 9, 9]
    assert cells.axes.startswith("T") == (letter == "t")
    save((1, 1), (2, 2))
    with pytest.raises(InputError, match="several planes of several frames"):
        io.read_cells(tmp_path / "a_rois.zip")


def test_geojson_keeps_names_classes_and_measurements(tmp_path):
    classes = {3: "round", 4: ("flat", (1, 2, 3))}
    table = {"label": [3, 4, 6], "area": [1, 2.5, np.nan], "kind": ["a", "b", "c"]}
    cells = io.Cells(discs(), classes, table, {5: "the third"})
    io.write_cells(tmp_path / "a.geojson", cells)
    again = io.read_cells(tmp_path / "a.geojson")
    assert [again.class_of(n) for n in (3, 4, 5)] == [("round", None), ("flat", (1, 2, 3)), None]
    assert [again.measured(n) for n in (3, 4, 5, 6)] == [{"area": 1.0}, {"area": 2.5}, {}, {}]
    assert [again.name_of(n) for n in (3, 5)] == ["cell 3", "the third"]
    collection = json.loads((tmp_path / "a.geojson").read_text())
    assert collection["features"][0]["properties"]["objectType"] == "annotation"
    io.write_cells(tmp_path / "a_detections.geojson", cells)
    text = (tmp_path / "a_detections.geojson").read_text()
    assert text.replace('"detection"', '"annotation"') == (tmp_path / "a.geojson").read_text()
    planes = [f["geometry"]["plane"] for f in json.loads(_geojson(tmp_path, STACK))["features"]]
    assert planes == [{"c": -1, "z": z, "t": 0} for z in (0, 0, 0, 0, 2, 2, 2, 2)]


def _geojson(folder: Path, labels: np.ndarray) -> str:
    io.write_cells(folder / "s.geojson", labels)
    return (folder / "s.geojson").read_text()


def test_geojson_of_other_makers_is_read(tmp_path, caplog):
    square = [[[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]], [[1, 1], [1, 3], [3, 3], [3, 1], [1, 1]]]
    feature = {
        "type": "Feature", "id": "0f3c0d1e-4d3c-4a43-9d4f-2a6c4c1f8b11",
        "geometry": {"type": "Polygon", "coordinates": square},
        "properties": {"classification": {"names": ["Tumor", "Positive"], "colorRGB": -3670016},
                       "measurements": [{"name": "Area", "value": 12.0}]},
    }  # fmt: skip
    point = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 1]}, "properties": {}}
    for content in (feature, [feature, point], {"type": "FeatureCollection", "features": [point, feature]}):
        caplog.clear()
        (tmp_path / "q.json").write_text(json.dumps(content))
        cells = io.read_cells(tmp_path / "q.json", (5, 6))
        assert np.count_nonzero(cells.labels == 1) == 12
        assert (cells.class_of(1), cells.measured(1)) == (("Tumor: Positive", (200, 0, 0)), {"Area": 12.0})
        assert (
            "points, lines and features without a geometry enclose no pixels and are left out (1)" in caplog.text
        ) == (content is not feature)
    (tmp_path / "q.geojson").write_text(json.dumps(feature["geometry"]))
    assert io.read_cells(tmp_path / "q.geojson").labels.shape == (4, 4)


def test_outlines_that_overlap_or_hold_no_pixel_are_told(tmp_path, caplog):
    io.write_cells(tmp_path / "a.geojson", discs())
    content = json.loads((tmp_path / "a.geojson").read_text())
    content["features"][1]["geometry"] = content["features"][0]["geometry"]
    (tmp_path / "a.geojson").write_text(json.dumps(content))
    cells = io.read_cells(tmp_path / "a.geojson")
    assert cells.numbers.tolist() == [4, 5, 6]
    assert "overlap in 253 pixels" in caplog.text
    assert "1 outlines contain no pixel center" in caplog.text


def test_wrong_files_shapes_and_formats_are_told(tmp_path):
    io.write_cells(tmp_path / "a.geojson", STACK)
    with pytest.raises(InputError, match=r"shape \(60, 70\) does not fit"):
        io.read_cells(tmp_path / "a.geojson", (60, 70))
    with pytest.raises(InputError, match="in plane 3"):
        io.read_cells(tmp_path / "a.geojson", (2, 60, 70))
    for text in ("{}", "[1, 2", '{"type": "FeatureCollection"}', '{"type": "Polygon", "coordinates": [[["a", 1]]]}'):
        (tmp_path / "b.geojson").write_text(text)
        with pytest.raises(FileReadError, match=r"b\.geojson"):
            io.read_cells(tmp_path / "b.geojson")
    (tmp_path / "b.json").write_text("{}")
    with pytest.raises(FileReadError, match="neither COCO nor GeoJSON"):
        io.read_cells(tmp_path / "b.json")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("1.roi", b"Iout nonsense")
    for name in ("b.zip",):
        with pytest.raises(FileReadError, match=r"b\.zip|1\.roi"):
            io.read_cells(tmp_path / name)
    with pytest.raises(FileMissingError):
        io.read_cells(tmp_path / "no.geojson")
    with pytest.raises(OptionError, match="'qupath' is not a format; choose one of roi"):
        io.write_cells(tmp_path / "a.geojson", RING, "qupath")
    with pytest.raises(OptionError, match="is not a known format"):
        io.write_cells(tmp_path / "a.xyz", RING)
    with pytest.raises(FileReadError, match="memory are free"):
        io.read_cells(tmp_path / "a.geojson", (10**6, 10**6, 10**3))


@pytest.mark.parametrize(
    ("table", "told"),
    [({"area": [1]}, "column 'label'"), ({"label": [1, 2], "area": [1]}, "one value for each cell")],
)
def test_a_table_without_labels_or_of_other_lengths_is_refused(table, told):
    with pytest.raises(InputError, match=told):
        io.Cells(RING, table=table)


def test_classes_come_from_a_column_of_the_table():
    cells = io.Cells(RING, table={"label": [4, 9], "class": [1, 2], "class_name": ["big", ""]})
    assert (cells.class_of(4), cells.class_of(9), cells.class_names) == (("big", None), None, ["big"])


# ------------------------------------------------------------------------------------------------ COCO, text, drawings


def runs_of(text: str) -> list[int]:
    """Counts of a compressed text, by the definition: letters of five bits and one that says that more follow."""
    counts: list[int] = []
    value = shift = 0
    for letter in text.encode():
        value |= (letter - 48 & 31) << shift
        shift += 5
        if not letter - 48 & 32:
            value -= (1 << shift) * (letter - 48 >> 4 & 1)
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    return counts


def test_coco_has_masks_boxes_areas_and_categories(tmp_path):
    labels = np.zeros((300, 90), int)
    labels[1:250, 2:8], labels[100, 4], labels[299, 89], labels[0:300, 20:23] = 4, 0, 9, 2
    io.write_cells(tmp_path / "a_coco.json", labels, classes={4: "flat"})
    content = json.loads((tmp_path / "a_coco.json").read_text())
    assert content["images"] == [{"id": 1, "file_name": "a.tif", "height": 300, "width": 90}]
    assert [(row["id"], row["name"]) for row in content["categories"]] == [(1, "flat"), (2, "cell")]
    rows = content["annotations"]
    assert [(row["label"], row["category_id"]) for row in rows] == [(2, 2), (4, 1), (9, 2)]
    assert [(row["area"], row["bbox"]) for row in rows] == [
        (900, [20, 0, 3, 300]), (1493, [2, 1, 6, 249]), (1, [89, 299, 1, 1])
    ]  # fmt: skip
    for row in rows:
        counts = runs_of(row["segmentation"]["counts"])
        flat = np.repeat(np.arange(len(counts)) % 2, counts).reshape(90, 300).T
        assert np.array_equal(flat > 0, labels == row["label"])
    again = io.read_cells(tmp_path / "a_coco.json")
    assert (again.class_of(4), again.class_of(2)) == (("flat", None), None)


@pytest.mark.parametrize("name", ["a.geojson", "a_coco.json", "a_cells.parquet"])
def test_cells_of_different_frames_are_different_cells(tmp_path, name):
    for library in ("geopandas", "pyarrow") if name.endswith("parquet") else ():
        pytest.importorskip(library, reason=f"needs {library}")
    movie = np.stack([discs(), discs() * 0, discs()])
    table = {"label": [3, 3, 4], "frame": [0, 2, 2], "area": [16, 100, 4], "class": ["young", "old", ""]}
    cells = io.Cells(movie, table=table, names={(4, 0): "the first"}, axes="TYX")
    assert len(cells.present) == 8
    io.write_cells(tmp_path / name, cells)
    for told in (cells, io.read_cells(tmp_path / name, movie.shape)):
        assert [told.measured(3, t) for t in (0, 2)] == [{"area": 16.0}, {"area": 100.0}]
        assert [told.class_of(3, t) for t in (0, 2)] == [("young", None), ("old", None)]
        assert (told.measured(4, 0), told.measured(4, 2), told.class_of(4, 2)) == ({}, {"area": 4.0}, None)
        assert [told.name_of(4, t) for t in (0, 2)] == ["the first", "cell 4"]
        assert (told.measured(3), told.class_of(3), told.name_of(3)) == ({}, None, "cell 3")  # not of all frames


def test_what_is_alike_in_all_frames_is_said_of_the_label(tmp_path):
    movie = np.stack([discs(), discs()])
    io.write_cells(tmp_path / "a.geojson", io.Cells(movie, {3: "round"}, {"label": [4], "area": [2.5]}, axes="TYX"))
    again = io.read_cells(tmp_path / "a.geojson")
    assert (again.class_of(3), again.measured(4)) == (("round", None), {"area": 2.5})


def test_frames_of_a_table_are_whole_numbers():
    for frames in ([0.5], ["first"], [np.nan]):
        with pytest.raises(InputError, match="the column 'frame' of the table must hold whole numbers"):
            io.Cells(STACK, table={"label": [3], "frame": frames}, axes="TYX")
    io.Cells(STACK, table={"label": [3], "frame": ["first"]})  # of stacks it is a column as others


def test_movies_of_volumes_are_refused_by_name():
    with pytest.raises(InputError, match="of volumes at several times one time, or one plane of each"):
        io.Cells(np.stack([STACK, STACK]))


def test_polygons_of_coco_have_no_holes_and_say_so(tmp_path, caplog):
    io.write_cells(tmp_path / "a_coco_polygons.json", RING)
    assert "1 cells have holes" in caplog.text
    filled = RING.copy()
    filled[3, 4] = 4
    assert np.array_equal(io.read_cells(tmp_path / "a_coco_polygons.json").labels, filled)
    for labels in noise(8):
        io.write_cells(tmp_path / "a_coco_polygons.json", labels, "coco-polygons")
        again = io.read_cells(tmp_path / "a_coco_polygons.json").labels
        assert np.array_equal(again > 0, labels > 0) or (again[labels == 0] > 0).any()


def test_the_cells_of_one_image_of_a_data_set_are_read(tmp_path):
    io.write_cells(tmp_path / "a.json", RING)
    content = json.loads((tmp_path / "a.json").read_text())
    content["images"] += [{"id": 7, "file_name": "b.tif", "height": 2, "width": 3}]
    content["annotations"] += [
        {"id": 5, "image_id": 7, "category_id": 1, "segmentation": {"size": [2, 3], "counts": [1, 2, 3]}},
        {"id": 6, "image_id": 7, "category_id": 1, "segmentation": [[2, 0, 3, 0, 3, 2, 2, 2]]},
    ]
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert io.read_cells(tmp_path / "a.json", image="b.tif").labels.tolist() == [[0, 1, 2], [1, 0, 2]]
    with pytest.raises(InputError, match=r"of 2 images; choose one with image=: a\.tif, b\.tif"):
        io.read_cells(tmp_path / "a.json")
    with pytest.raises(InputError, match="has no image 'c'"):
        io.read_cells(tmp_path / "a.json", image="c")


@pytest.mark.parametrize("counts", ["~~~", [1, 2], [-1, 7], "0", [3, 2, 1, 7]])
def test_run_lengths_that_do_not_fill_the_image_are_refused(tmp_path, counts):
    image = {"id": 1, "file_name": "a", "height": 2, "width": 3}
    row = {"image_id": 1, "segmentation": {"size": [2, 3], "counts": counts}}
    (tmp_path / "a.json").write_text(json.dumps({"images": [image], "annotations": [row]}))
    with pytest.raises(FileReadError, match="run lengths of cell 1 do not fill"):
        io.read_cells(tmp_path / "a.json")


def test_csv_of_other_columns_is_read_and_what_is_no_outline_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("name,Label,X,Y\nn,7,1,1\nn,7,4,1\nn,7,4,3\nn,7,1,3\n")
    assert np.argwhere(io.read_cells(tmp_path / "a.csv").labels == 7).tolist() == [
        [y, x] for y in (1, 2) for x in (1, 2, 3)
    ]
    for text, told in (("a,b\n1,2\n", "it must have label, x, y"), ("label,x,y\n1.5,0,0\n", "label 1.5")):
        (tmp_path / "b.csv").write_text(text)
        with pytest.raises(FileReadError, match=told):
            io.read_cells(tmp_path / "b.csv")


def test_outlines_as_text_are_those_of_save_masks_and_say_what_they_lose(tmp_path, caplog):
    io.write_cells(tmp_path / "a_cp_outlines.txt", discs())
    io.outlines_to_text(tmp_path / "b", utils.outlines_list(discs()))
    assert (tmp_path / "a_cp_outlines.txt").read_bytes() == (tmp_path / "b_cp_outlines.txt").read_bytes()
    again = io.read_cells(tmp_path / "a_cp_outlines.txt", (60, 70)).labels
    assert np.array_equal(again, np.where(discs() > 0, discs() - 2, 0))
    assert not caplog.records
    io.write_cells(tmp_path / "a.txt", np.array([[1, 1, 1, 0, 2], [1, 0, 1, 0, 0], [1, 1, 1, 0, 2]]))
    assert "1 cells have holes and 1 are in several pieces" in caplog.text
    (tmp_path / "c.txt").write_text("1,2,3\n")
    with pytest.raises(FileReadError, match="line 1"):
        io.read_cells(tmp_path / "c.txt")


def test_a_drawing_has_a_path_for_each_cell_and_is_not_read_back(tmp_path):
    io.write_cells(tmp_path / "a.svg", RING, classes={4: ("a<b", (255, 0, 16))})
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    first, second = root[0]
    assert root.attrib["viewBox"] == "0 0 9 7"
    assert first.attrib["d"] == "M2 1H8V6H2ZM4 4H5V3H4Z"
    assert (first.attrib["fill"], first.attrib["data-class"], first[0].text) == ("#ff0010", "a<b", "cell 4")
    assert second.attrib["id"] == "cell-9"
    with pytest.raises(OptionError, match="cannot be read back: svg can only be written"):
        io.read_cells(tmp_path / "a.svg")
    with pytest.raises(InputError, match="svg can only hold a single plane"):
        io.write_cells(tmp_path / "a.svg", STACK)


# ------------------------------------------------------------------------------------- label images, spatial libraries


def test_label_files_say_what_they_cannot_hold(tmp_path):
    with pytest.raises(InputError, match="PNG can hold labels up to 65535"):
        io.write_cells(tmp_path / "a.png", np.array([[70_000]]))
    io.imsave(tmp_path / "b.png", np.full((5, 6, 3), (1, 2, 3), np.uint8))
    with pytest.raises(InputError, match="is a color image"):
        io.read_cells(tmp_path / "b.png")
    io.write_cells(tmp_path / "c.png", RING)
    assert np.array_equal(io.read_cells(tmp_path / "c.png").labels, RING)
    io.write_cells(tmp_path / "d_seg.npy", RING)
    assert io.read_seg(tmp_path / "d_seg.npy").filename == str(tmp_path / "d.tif")


def test_labels_of_ome_zarr_have_colors_and_properties(tmp_path):
    zarr = pytest.importorskip("zarr")
    classes, table = {4: ("flat", (9, 8, 7))}, {"label": [4, 9], "area": [29, 1]}
    for labels in (RING, STACK):
        io.write_cells(tmp_path / "a.zarr", labels, classes=classes, table=table)
        again = io.read_cells(tmp_path / "a.zarr")
        assert np.array_equal(again.labels, labels)
    assert (again.class_of(4), again.measured(4), again.class_of(5)) == (("flat", (9, 8, 7)), {"area": 29.0}, None)
    told = zarr.open(tmp_path / "a.zarr", mode="r").attrs["image-label"]
    assert told["version"] == "0.4"
    assert told["colors"][1] == {"label-value": 4, "rgba": [9, 8, 7, 255]}
    assert told["properties"][1] == {"label-value": 4, "area": 29.0, "class": "flat"}
    assert told["properties"][0] == {"label-value": 3}


def test_labels_of_ome_zarr_say_what_frames_they_cannot_hold(tmp_path, caplog):
    pytest.importorskip("zarr", reason="needs zarr")
    table = {"label": [3, 3, 4, 4], "frame": [0, 1, 0, 1], "area": [16, 100, 4, 4]}
    io.write_cells(tmp_path / "a.ome.zarr", io.Cells(np.stack([discs(), discs()]), table=table, axes="TYX"))
    assert "1 labels have another class, name or measurements in each frame" in caplog.text
    again = io.read_cells(tmp_path / "a.ome.zarr")
    assert (again.measured(3), again.measured(4)) == ({}, {"area": 4.0})


def test_labels_go_into_the_image_that_they_belong_to_and_never_over_an_image(tmp_path):
    pytest.importorskip("zarr")
    io.write_ome_zarr(tmp_path / "im.zarr", np.ones(RING.shape, np.uint16), "YX")
    io.write_cells(tmp_path / "im.zarr" / "labels" / "cells", RING, "ome-zarr", classes={4: "flat"})
    again = io.read_cells(tmp_path / "im.zarr")
    assert np.array_equal(again.labels, RING)
    assert again.class_of(4)[0] == "flat"
    with pytest.raises(InputError, match="with the labels cells; choose one with image="):
        io.read_cells(tmp_path / "im.zarr", image="nuclei")
    with pytest.raises(FileWriteError, match="it is an image"):
        io.write_cells(tmp_path / "im.zarr", RING)


def test_geoparquet_holds_holes_pieces_and_columns(tmp_path):
    geopandas = pytest.importorskip("geopandas", reason="the extra spatial is not installed")
    pytest.importorskip("pyarrow", reason="the extra spatial is not installed")
    for labels in [*noise(6), STACK, RING]:
        io.write_cells(tmp_path / "a.parquet", labels, classes={4: "flat"}, table={"label": [4], "area": [29]})
        again = io.read_cells(tmp_path / "a.parquet")
        assert np.array_equal(again.labels, labels)
    assert (again.class_of(4), again.class_of(9), again.measured(4)) == (("flat", None), None, {"area": 29.0})
    frame = geopandas.read_parquet(tmp_path / "a.parquet")
    assert frame.geometry.is_valid.all()
    assert frame.geometry.area.tolist() == [29.0, 1.0]


@pytest.mark.filterwarnings("ignore")
def test_a_store_of_spatialdata_holds_labels_outlines_and_a_table(tmp_path):
    spatialdata = pytest.importorskip("spatialdata", reason="the extra spatialdata is not installed")
    for labels in (STACK, RING):
        io.write_cells(tmp_path / "a_spatialdata.zarr", labels, table={"label": [4, 9], "area": [29, 1]})
        assert np.array_equal(io.read_cells(tmp_path / "a_spatialdata.zarr").labels, labels)
    store = spatialdata.read_zarr(tmp_path / "a_spatialdata.zarr")
    assert store.shapes["cell_outlines"].geometry.area.tolist() == [29.0, 1.0]
    assert store.tables["cell_table"].X.tolist() == [[29.0], [1.0]]


@pytest.mark.parametrize(("name", "library"), [("a.parquet", "geopandas"), ("a_spatialdata.zarr", "spatialdata")])
def test_what_is_not_installed_is_named_with_its_extra(tmp_path, monkeypatch, name, library):
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.setitem(sys.modules, "pyarrow", sys)
    with pytest.raises(MissingExtraError, match=rf"{library} is needed .*cellpose\[spatial"):
        io.write_cells(tmp_path / name, RING)
    assert not list(tmp_path.iterdir())
