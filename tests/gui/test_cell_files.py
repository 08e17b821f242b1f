"""What is known of cells goes into files: the ``_seg.npy``, CSV, GeoJSON, and the history of a file."""

from __future__ import annotations

import csv
import importlib.util
import itertools
import json
import threading
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from cellpose import io, measure
from cellpose.gui.controllers._exports import OWN_ENTRIES, TABLES
from cellpose.gui.model import Document, LabelStore, SegmentationSettings
from cellpose.gui.model import _operations as operations
from cellpose.gui.model._classes import Classes
from cellpose.gui.model._folder import state_of_image
from cellpose.gui.model._frozen import Frozen
from cellpose.gui.model._marks import check, set_class
from cellpose.gui.model._provenance import Origin, origins_of, told
from cellpose.gui.model._scores import Scoring
from cellpose.gui.model._seg_file import Snapshot, content_of, restore
from cellpose.gui.views._window import Window
from cellpose.io._cells._geojson import geojson_of
from cellpose.io._cells._rings import trace
from hand import Answers, Modifier, click, draw, key


def area(ring: list[list[int]]) -> float:
    x, y = np.array(ring).T
    return float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum() / 2)


def test_rings_have_the_area_of_the_pixels_and_holes_run_backwards() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        mask = rng.random((9, 11)) < 0.6
        traced = trace(mask.astype(np.int32))
        found = [traced.points[[*range(start, end), start]].tolist() for start, end in zip(*traced[1:3], strict=True)]
        assert sum(area(ring) for ring in found) == np.count_nonzero(mask)
        assert [area(ring) > 0 for ring in found] == traced.outer.tolist()
        drawn = np.zeros((9, 11), np.uint8)
        for y, x in np.argwhere(np.ones_like(mask)):  # odd crossings of a line to the left: inside
            n = sum(
                a[0] == b[0] and a[0] <= x and min(a[1], b[1]) <= y < max(a[1], b[1])
                for ring in found
                for a, b in itertools.pairwise(ring)
            )
            drawn[y, x] = n % 2
        assert np.array_equal(drawn > 0, mask)


def test_geojson_has_polygons_classes_and_finite_measurements() -> None:
    labels = np.zeros((12, 12), np.int32)
    labels[1:4, 1:6], labels[6:11, 1:6], labels[0:2, 8:10], labels[4:6, 8:10] = 1, 2, 4, 4
    labels[8, 3] = 0
    table = {"label": [1, 2, 3, 4], "score": [np.nan] * 4, "a": [1] * 4}
    told_ = json.loads(geojson_of(io.Cells(labels, {2: ("immune", (1, 2, 3))}, table)))
    first, second, parts = told_["features"]
    assert first["geometry"] == {"type": "Polygon", "coordinates": [[[1, 1], [6, 1], [6, 4], [1, 4], [1, 1]]]}
    assert second["properties"]["classification"] == {"name": "immune", "color": [1, 2, 3]}
    assert [area(ring) for ring in second["geometry"]["coordinates"]] == [25, -1]
    assert (parts["id"], parts["geometry"]["type"], len(parts["geometry"]["coordinates"])) == ("4", "MultiPolygon", 2)
    assert "classification" not in first["properties"]
    assert first["properties"]["measurements"] == {"a": 1.0}


@pytest.fixture
def document(tmp_path: Path) -> Document:
    """Cells 1 to 4; 1 was removed, 2 has class 5, 3 is checked, 4 was grown by hand."""
    labels = np.zeros((40, 40), np.int32)
    for number in range(4):
        labels[2:12, 10 * number : 10 * number + 6] = number + 1
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((40, 40), np.uint8))
    made = Document(np.zeros((1, 1, 40, 40), np.uint8), None, tmp_path / "a.png")
    origins = (Origin("segment", "generalist", 4, {"diameter": 30.0, "percentile": [1.0, 99.0]}),)
    scores = np.array([0.1, 0.5, 0.75, 0.25], np.float32)
    made.do(operations.replace_all, labels[None], scores, beside={"origins": origins})
    made.scoring = Scoring("generalist", True)
    made.do(operations.delete, [1])
    made.do(set_class, [2], 5)
    made.do(check, [3])
    made.do(operations.grow, [4], 1)
    return made


def test_a_file_keeps_scores_classes_checks_and_where_they_come_from(document: Document) -> None:
    classes, again = Classes(), Classes()
    classes[4].rename("immune")
    path = document.path.with_name("a_seg.npy")
    io.write_seg(path, content_of(Snapshot.of(document, SegmentationSettings(), classes), "state"))
    seg = io.read_seg(path)
    other = Document(document.stack, np.asarray(seg.masks), document.path)
    restore(other, seg)
    again.read(seg.content["class_names"])
    rows = other.labels.table[1:]
    assert rows["score"].tolist() == pytest.approx([0.5, 0.75, np.nan], nan_ok=True)
    assert (rows["kind"].tolist(), rows["checked"].tolist()) == ([5, 0, 0], [False, True, False])
    assert rows["manual"].tolist() == [False, False, True]
    assert again.names[4] == "immune"
    assert other.scoring == document.scoring
    assert other.origins == document.origins
    assert seg.content["provenance"]["now"] == {
        "cells": 3, "drawn or corrected": 1, "checked or by hand": 2, "with a class": 1
    }  # fmt: skip
    state = state_of_image(document.path)
    assert (state.cells, state.settled, state.doubt) == (3, 2, pytest.approx(0.375))


def test_a_segmentation_that_is_taken_back_leaves_the_history(document: Document) -> None:
    text = told("a.png", document.origins, document.labels.table[document.labels.ids])
    assert all(part in text for part in ("generalist", "4 cells", "diameter 30", "percentile [1.0, 99.0]"))
    for _ in range(5):
        document.undo()
    assert document.origins == ()
    assert "Nothing is known" in told("a.png", (), document.labels.table[document.labels.ids])
    document.redo()
    assert [origin.model for origin in document.origins] == ["generalist"]


@pytest.mark.parametrize("content", [None, 3, {}, {"origins": 3}, {"origins": [3, {}, {"what": "x", "cells": "many"}]}])
def test_a_history_that_makes_no_sense_is_none(content: object) -> None:
    assert origins_of(content) == ()


def test_csv_and_geojson_are_written_from_the_menu(window: Window, qtbot: object, tmp_path: Path) -> None:
    image = np.zeros((60, 60), np.uint8)
    cv2.imwrite(str(tmp_path / "b.png"), image)
    window.session.files.open(tmp_path / "b.png")
    qtbot.waitUntil(lambda: window.session.document is not None and not window.session.jobs.any, timeout=20_000)
    labels = np.zeros((1, 60, 60), np.int32)
    labels[0, 10:20, 10:20], labels[0, 30:40, 30:50] = 1, 2
    window.session.document.do(operations.replace_all, labels, np.array([0.5, np.nan], np.float32))
    click(window, 15, 15)
    key(window, "3")
    window.session.review.classes[2].rename("glia, large")
    for name in ("file.save_table", "file.save_geojson"):
        next(command for command in window.commands if command.id == name).trigger()
    qtbot.waitUntil(lambda: not window.session.jobs.any, timeout=20_000)
    with (tmp_path / "b_cells.csv").open(newline="", encoding="utf-8") as file:
        first, second = csv.DictReader(file)
    assert (first["y_px"], first["area_px"], first["score"]) == ("14.5", "100", "0.5000")
    assert (first["class"], first["class_name"], second["class"], second["score"]) == ("3", "glia, large", "0", "")
    features = json.loads((tmp_path / "b.geojson").read_text("utf-8"))["features"]
    assert features[0]["properties"]["classification"]["name"] == "glia, large"
    assert len(features) == 2


@pytest.mark.parametrize("depth", [1, 3])
def test_every_format_is_exported_from_the_menu(window: Window, qtbot: object, tmp_path: Path, depth: int) -> None:
    labels = np.zeros((depth, 40, 40), np.int32)
    labels[:, 5:15, 5:15], labels[0, 20:30, 20:36] = 1, 2
    window.session.open_array(np.zeros((depth, 1, 40, 40), np.uint8), labels, tmp_path / "b.tif")
    needs = {"geoparquet": "geopandas", "spatialdata": "spatialdata", "ome-zarr": "zarr"}
    for name, form in io.CELL_FORMATS.items():
        if name in OWN_ENTRIES:
            continue
        window.notice.hide()
        next(command for command in window.commands if command.id == f"file.save_{name}").trigger()
        qtbot.waitUntil(lambda: not window.session.jobs.any, timeout=60_000)
        target = tmp_path / f"b{form.endings[0]}"
        if depth > 1 and not form.stacks:
            assert "single planes only" in window.statusBar().currentMessage()
            assert not target.exists()
        elif importlib.util.find_spec(needs.get(name, "numpy")) is None:
            assert "pip install" in window.notice.text.text()
        elif form.reads and form.exact:
            shape = labels.shape if depth > 1 else labels.shape[1:]
            assert np.array_equal(io.read_cells(target, shape).labels.reshape(labels.shape), labels), name
        else:
            assert target.stat().st_size > 0


@pytest.mark.parametrize("suffix", ["csv", "parquet", "h5ad"])
def test_measurements_are_exported_from_the_menu(window: Window, qtbot: object, tmp_path: Path, suffix: str) -> None:
    pytest.importorskip({"csv": "numpy", "parquet": "pyarrow", "h5ad": "anndata"}[suffix])
    assert set(TABLES) == set(measure.FORMATS)
    image = np.zeros((1, 1, 40, 40), np.uint8)
    labels = np.zeros((40, 40), np.int32)
    labels[5:15, 5:15], labels[20:30, 20:36] = 1, 2
    image[0, 0][labels == 2] = 50
    window.session.open_array(image, labels, tmp_path / "b.tif", pixel_um=(0.5, 0.5))
    click(window, 10, 10)
    key(window, "2")
    next(command for command in window.commands if command.id == f"file.measure_{suffix}").trigger()
    qtbot.waitUntil(lambda: not window.session.jobs.any, timeout=60_000)
    target = tmp_path / f"b_measurements.{suffix}"
    assert target.exists(), window.notice.text.text()
    if suffix == "csv":
        with target.open(newline="", encoding="utf-8") as file:
            first, second = csv.DictReader(file)
        assert (first["area"], first["area_um2"], second["intensity_mean-0"]) == ("100", "25", "50")
        assert (first["class"], second["class"]) == (window.session.review.classes.names[1], "")


def test_the_history_of_the_open_file_is_shown(window: Window, document: Document) -> None:
    window.session.dialogs = answers = Answers()
    window.session.open_array(document.stack, LabelStore(document.labels.planes).planes)
    next(command for command in window.commands if command.id == "file.history").trigger()
    assert any("Nothing is known" in str(shown) for shown in answers.shown)


def test_a_run_and_a_threshold_score_the_cells_and_are_told_until_they_are_taken_back(
    window: Window, qtbot: object, tmp_path: Path
) -> None:
    image = np.zeros((96, 96), np.uint8)
    for y, x in ((25, 25), (25, 70), (70, 48)):
        cv2.circle(image, (x, y), 12, 200, -1)
    cv2.imwrite(str(tmp_path / "c.png"), cv2.GaussianBlur(image, (0, 0), 2))
    window.session.files.open(tmp_path / "c.png")

    def rest() -> Document:
        qtbot.waitUntil(lambda: window.session.document is not None and not window.session.jobs.any, timeout=60_000)
        return window.session.document

    rest()
    window.session.settings.diameter = 24
    key(window, "Return", Modifier.ShiftModifier)
    document = rest()
    scores = document.labels.table["score"][document.labels.ids]
    assert scores.size == 3
    assert (scores > 0.7).all()
    assert document.scoring == Scoring("generalist", True)
    window.panel.segmentation.cellprob.box.setValue(0.5)
    rest()
    assert [(origin.what, origin.model) for origin in document.origins] == [
        ("segment", "generalist"), ("thresholds", "generalist")
    ]  # fmt: skip
    assert document.origins[0].settings["diameter"] == 24
    assert document.origins[1].settings["cellprob_threshold"] == 0.5
    window.session.undo()
    assert len(document.origins) == 1
    window.session.undo()
    assert (document.origins, document.scoring) == ((), None)
    window.session.redo()
    window.session.files.save()
    rest()
    window.session.files.open(tmp_path / "c_seg.npy")
    document = rest()
    assert [origin.what for origin in document.origins] == ["segment"]
    np.testing.assert_allclose(document.labels.table["score"][document.labels.ids], scores)
    draw(window, 48, 20, 8)
    window.session.dialogs = answers = Answers()
    next(command for command in window.commands if command.id == "file.history").trigger()
    assert "generalist" in answers.shown[0]
    assert "<td align='right'>1</td><td>drawn or corrected</td>" in answers.shown[0]


@pytest.mark.parametrize("command", ["masks", "rois", "table"])
def test_what_is_edited_while_a_file_is_written_is_not_in_it(
    window: Window, qtbot: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    cv2.imwrite(str(tmp_path / "c.png"), np.zeros((60, 60), np.uint8))
    window.session.files.open(tmp_path / "c.png")
    draw(window, 20, 20, 8)
    go, copy = threading.Event(), Frozen.labels
    monkeypatch.setattr(Frozen, "labels", lambda self: (go.wait(20), copy(self))[1])
    getattr(window.session.exports, command)()
    draw(window, 45, 45, 8)
    go.set()
    qtbot.waitUntil(lambda: not window.session.jobs.any, timeout=30_000)
    cells = {
        "masks": lambda: int(cv2.imread(str(tmp_path / "c_cp_masks.png"), cv2.IMREAD_UNCHANGED).max()),
        "rois": lambda: len(zipfile.ZipFile(tmp_path / "c_rois.zip").namelist()),
        "table": lambda: len((tmp_path / "c_cells.csv").read_text().splitlines()) - 1,
    }
    assert cells[command]() == 1
    assert window.session.cell_count() == 2
