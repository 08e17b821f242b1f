"""The API of a real server process, from the upload to the downloads."""

from __future__ import annotations

import csv
import io as bytes_io
import json
import re
import shutil
import subprocess
import time
import zipfile

import httpx
import numpy as np
import pytest
import roifile
import tifffile

from cellpose import io, models
from cellpose.errors import FileMissingError, InputError
from cellpose.serve import Client
from served import EXAMPLES

MODEL = "nuclei-cells"


@pytest.fixture(scope="module")
def client(served):
    return Client(served.address)


@pytest.fixture(scope="module")
def picture():
    return io.imread(EXAMPLES / "nuclei_dense.png")[:120, :140]


@pytest.fixture(scope="module")
def segmented(client, picture, tmp_path_factory):
    """A small image that is segmented, for tests that leave it as it is."""
    path = tmp_path_factory.mktemp("images") / "nuclei.tif"
    tifffile.imwrite(path, picture, resolution=(2e4, 2e4), resolutionunit="CENTIMETER")
    image = client.upload(path)
    client.segment(image, model=MODEL)
    return image


def test_the_server_says_what_it_has(client):
    about = client.about()
    assert {"generalist", MODEL} <= {model["name"] for model in about["models"]}
    assert {"png", "tif", "seg", "roi", "geojson", "csv"} <= {form["name"] for form in about["formats"]}
    assert "nuclei_dense.png" in about["examples"]
    assert not any("_masks" in name for name in about["examples"])


def test_an_image_is_described(client, segmented):
    about = client.image(segmented)
    assert (about["name"], about["width"], about["height"], about["channels"]) == ("nuclei.tif", 140, 120, 1)
    assert about["pixel_size_um"][1:] == pytest.approx([0.5, 0.5])
    assert about["cells"]["model"] == MODEL


@pytest.mark.parametrize("thresholds", [{}, {"cellprob_threshold": 2.0}, {"flow_threshold": 0.1, "min_size": 60}])
def test_cells_are_those_of_eval_at_any_threshold(client, segmented, picture, thresholds):
    expected = models.CellposeModel(pretrained_model=MODEL).eval(picture, **thresholds)[0]
    told = client.threshold(segmented, **thresholds)
    np.testing.assert_array_equal(client.masks(segmented), expected)
    assert told["count"] == expected.max() > 3
    client.threshold(segmented)


def test_warnings_of_a_run_come_with_its_job_and_its_cells(client, picture, tmp_path, caplog):
    io.imsave(tmp_path / "small.png", picture)
    image = client.upload(tmp_path / "small.png")
    found = client.segment(image, model=MODEL, diameter=6)
    (warning,) = found["cells"]["warnings"]
    assert "pixels across, but 6 were assumed; try diameter" in warning
    assert caplog.messages == [warning]
    assert client.segment(image, model=MODEL)["cells"]["warnings"] == []
    io.imsave(tmp_path / "empty.png", np.zeros((50, 50), np.uint8))
    empty = client.upload(tmp_path / "empty.png")
    job = client._json("POST", f"images/{empty}/segmentation", body={"model": MODEL})
    while job["state"] in ("queued", "running"):
        job = client._json("GET", f"jobs/{job['id']}")
    assert job["warnings"][-1].startswith("no cells were found; try a lower threshold")


def test_clicks_remove_and_add_cells_and_can_be_taken_back(client, segmented):
    before = client.masks(segmented)
    y, x = (int(np.median(places)) for places in np.nonzero(before == 3))
    removed = client.click(segmented, x, y)
    without = client.masks(segmented)
    assert removed["added"] == 0
    assert removed["cells"]["count"] == before.max() - 1
    np.testing.assert_array_equal(without, np.where(before == before[y, x], 0, before))
    client.threshold(segmented, min_size=20)  # edits stay where thresholds change
    assert client.masks(segmented)[y, x] == 0
    client.threshold(segmented)
    added = client.click(segmented, x, y)
    again = client.masks(segmented) == added["added"]
    assert (again & (before == before[y, x])).sum() > 0.8 * (before == before[y, x]).sum()
    for _ in range(2):
        client._send("DELETE", f"images/{segmented}/cells/last")
    np.testing.assert_array_equal(client.masks(segmented), before)


def test_a_click_outside_is_refused(client, segmented):
    with pytest.raises(InputError, match="there is no pixel x=5000"):
        client.click(segmented, 5000, 3)


def test_results_of_all_formats_hold_the_cells(client, segmented, tmp_path):
    masks = client.masks(segmented)
    for form in ("png", "tif", "seg", "roi", "geojson", "coco"):
        path = client.download(segmented, form, tmp_path / f"cells{_ending(client, form)}")
        np.testing.assert_array_equal(io.read_cells(path, masks.shape).labels, masks, err_msg=form)
    seg = io.read_seg(tmp_path / "cells_seg.npy")
    assert seg.dP.shape == (2, *masks.shape)
    assert seg.model == MODEL
    with client.download(segmented, "csv", tmp_path / "cells.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["label"]) for row in rows] == list(range(1, masks.max() + 1))
    assert float(rows[0]["area_um2"]) == pytest.approx(0.25 * (masks == 1).sum())
    assert io.imread(client.download(segmented, "overlay", tmp_path / "o.png")).shape == (*masks.shape, 3)


def _ending(client, form):
    return next(each["ending"] for each in client.about()["formats"] if each["name"] == form)


def test_archives_hold_all_results_of_all_images(client, segmented, served, tmp_path):
    with zipfile.ZipFile(client.download(segmented, "zip", tmp_path / "one.zip")) as archive:
        assert {"nuclei_masks.png", "nuclei_seg.npy", "nuclei_rois.zip", "nuclei_cells.csv"} <= set(archive.namelist())
    with zipfile.ZipFile(client.download_all([segmented, segmented], tmp_path / "two.zip", ["csv"])) as archive:
        assert archive.namelist() == ["nuclei/nuclei_cells.csv", "nuclei_2/nuclei_cells.csv"]
    answer = httpx.get(f"{served.address}api/v1/images/{segmented}/results/csv")
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''nuclei_cells.csv"


def test_stacks_are_segmented_plane_by_plane_joined_or_as_a_volume(client, picture, tmp_path):
    stack = np.stack([picture[:64, :80], picture[:64, :80], picture[:64, :80]])
    tifffile.imwrite(tmp_path / "stack.ome.tif", stack, metadata={"axes": "ZYX"})
    image = client.upload(tmp_path / "stack.ome.tif")
    assert client.image(image)["planes"] == 3
    counts = {}
    for mode in ("planes", "stitch", "volume"):
        counts[mode] = client.segment(image, model=MODEL, mode=mode)["cells"]["count"]
        masks = client.masks(image)
        assert masks.shape == stack.shape
        assert len(np.unique(masks)) - 1 == counts[mode] > 0
        client.threshold(image)
        np.testing.assert_array_equal(client.masks(image), masks, err_msg=mode)
    assert counts["planes"] == 3 * counts["stitch"]
    with pytest.raises(InputError, match="holds a single plane"):
        client.download(image, "png", tmp_path / "x.png")
    with zipfile.ZipFile(client.download(image, "zip", tmp_path / "all.zip")) as archive:
        assert "stack_masks.tif" in archive.namelist()
        assert "stack_masks.png" not in archive.namelist()


def test_results_of_movies_know_their_times(client, picture, tmp_path):
    plane = picture[:64, :80]
    two_colors = np.stack([plane, plane // 2])
    tifffile.imwrite(tmp_path / "movie.tif", np.stack([two_colors] * 3), imagej=True, metadata={"axes": "TCYX"})
    image = client.upload(tmp_path / "movie.tif")
    client.segment(image, model=MODEL, channels=(1, 0))
    with tifffile.TiffFile(client.download(image, "tif", tmp_path / "movie_masks.tif")) as tif:
        assert tif.series[0].axes == "TYX"
    masks = client.masks(image)
    for form in ("tif", "roi", "geojson", "coco"):
        path = client.download(image, form, tmp_path / f"cells{_ending(client, form)}")
        cells = io.read_cells(path)
        assert cells.axes == "TYX"
        np.testing.assert_array_equal(cells.labels, masks, err_msg=form)
    with zipfile.ZipFile(tmp_path / "cells_rois.zip") as archive:
        assert {name.rpartition("-")[2] for name in archive.namelist()} == {"t1.roi", "t2.roi", "t3.roi"}
    rois = roifile.roiread(tmp_path / "cells_rois.zip")
    assert {(roi.t_position, roi.position) for roi in rois} == {(1, 0), (2, 0), (3, 0)}


def test_results_of_movies_of_stacks_have_four_axes_or_are_refused(client, picture, tmp_path):
    plane = picture[:64, :80]
    tifffile.imwrite(tmp_path / "film.tif", np.tile(plane, (3, 2, 1, 1)), imagej=True, metadata={"axes": "TZYX"})
    image = client.upload(tmp_path / "film.tif")
    client.segment(image, model=MODEL)
    with tifffile.TiffFile(client.download(image, "tif", tmp_path / "film_masks.tif")) as tif:
        assert (tif.series[0].axes, tif.series[0].shape) == ("TZYX", (3, 2, 64, 80))
    assert client.masks(image).shape == (3, 2, 64, 80)
    with pytest.raises(InputError, match=r"roi holds a single stack, or a movie of single planes; .* the axes TZYX"):
        client.download(image, "roi", tmp_path / "x_rois.zip")
    with zipfile.ZipFile(client.download(image, "zip", tmp_path / "all.zip")) as archive:
        assert set(archive.namelist()) == {"film_masks.tif", "film_cells.csv"}
    with client.download(image, "csv", tmp_path / "cells.csv").open(encoding="utf-8") as file:
        places = {(row["frame"], row["plane"]) for row in csv.DictReader(file)}
    assert places == {(str(frame), str(plane)) for frame in range(3) for plane in range(2)}


def test_tiles_show_the_image(served, client, segmented, picture):
    answer = httpx.get(f"{served.address}api/v1/images/{segmented}/tiles/0/0/0")
    assert answer.headers["content-type"] == "image/png"
    path = bytes_io.BytesIO(answer.content)
    assert path.getbuffer().nbytes > 1000
    labels = np.frombuffer(httpx.get(f"{served.address}api/v1/images/{segmented}/labels/0/0/0").content, "<u4")
    bordered = np.pad(client.masks(segmented), 1, mode="edge")
    np.testing.assert_array_equal(labels.reshape(bordered.shape), bordered)
    missing = httpx.get(f"{served.address}api/v1/images/{segmented}/tiles/0/7/0")
    assert (missing.status_code, "no tile" in missing.json()["error"]) == (404, True)


def test_progress_is_told_until_the_end(served, client, picture, tmp_path):
    io.imsave(tmp_path / "a.png", picture[:50, :50])
    image = client.upload(tmp_path / "a.png")
    job = client._json("POST", f"images/{image}/segmentation", body={"model": MODEL})
    with httpx.stream("GET", f"{served.address}api/v1/jobs/{job['id']}/events", timeout=60) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        told = [json.loads(line.removeprefix("data: ")) for line in stream.iter_lines() if line.startswith("data: ")]
    assert told[-1]["state"] == "done"
    assert told[-1]["progress"] == 1
    assert [each["progress"] for each in told] == sorted(each["progress"] for each in told)


def test_jobs_can_be_cancelled(client, tmp_path):
    rng = np.random.default_rng(0)
    io.imsave(tmp_path / "large.tif", rng.integers(0, 255, (1500, 1500), np.uint8))
    large, other = (client.upload(tmp_path / "large.tif") for _ in range(2))
    jobs = [client._json("POST", f"images/{image}/segmentation", body={"model": MODEL}) for image in (large, other)]
    assert jobs[1]["ahead"] == 1
    for job in reversed(jobs):
        client._json("DELETE", f"jobs/{job['id']}")
    while (state := client._json("GET", f"jobs/{jobs[0]['id']}")["state"]) == "running":
        time.sleep(0.1)  # it stops at its next report
    assert state == "cancelled"
    assert client._json("GET", f"jobs/{jobs[1]['id']}")["state"] == "cancelled"
    assert client.image(large)["cells"] is None


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"model": "../../etc/passwd"}, "is not on this server; choose one of"),
        ({"diameter": -1}, "diameter: Input should be greater than or equal to 0"),
        ({"channels": [7, 0]}, r"channels=\(7, 0\) is not allowed; the image has 1"),
        ({"mode": "volume"}, "the image is no stack of planes"),
        ({"nonsense": 1}, "nonsense: Extra inputs are not permitted"),
        ({"flow_threshold": "high"}, "flow_threshold: Input should be a valid number"),
    ],
)
def test_wrong_options_are_refused_with_a_reason(client, segmented, options, reason):
    with pytest.raises(InputError, match=reason):
        client.segment(segmented, **options)


@pytest.mark.parametrize("use", ["segment", "image", "threshold", "masks", "delete"])
def test_a_path_in_place_of_an_id_is_told_what_to_do(client, use):
    with pytest.raises(InputError, match=r"'cells\.tif' is not the id.*client\.upload"):
        getattr(client, use)("cells.tif")


def test_what_is_deleted_is_gone(client, served, picture, tmp_path):
    io.imsave(tmp_path / "a.png", picture)
    image = client.upload(tmp_path / "a.png")
    assert image in served.kept
    client.delete(image)
    assert image not in served.kept
    with pytest.raises(InputError, match="there is no such image"):
        client.image(image)
    with pytest.raises(FileMissingError):
        client.upload(tmp_path / "missing.png")


def test_the_api_describes_itself(served):
    document = httpx.get(f"{served.address}api/v1/openapi.json").json()
    assert document["openapi"].startswith("3.")
    assert document["servers"] == [{"url": "../../"}]
    fields = document["components"]["schemas"]["SegmentRequest"]["properties"]
    assert fields["flow_threshold"]["default"] == 0.4
    assert all("description" in field for field in fields.values())
    assert "warnings" in document["components"]["schemas"]["JobAnswer"]["required"]


DOCS = EXAMPLES.parent / "docs" / "browser.md"


@pytest.mark.skipif(not DOCS.is_file(), reason="the documents are not part of this installation")
def test_the_code_of_the_documents_runs(served, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    io.imsave("cells.tif", io.imread(EXAMPLES / "nuclei_dense.png"))
    text = DOCS.read_text(encoding="utf-8").replace("http://localhost:8770", served.address.rstrip("/"))
    exec(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1], {})
    assert "cells" in capsys.readouterr().out
    assert (tmp_path / "cells_rois.zip").stat().st_size > 1000
    if shutil.which("curl") and shutil.which("jq"):
        commands = re.search(r"```bash\n(API=.*?)\n```", text, re.DOTALL)[1]
        subprocess.run(["bash", "-e", "-c", commands], check=True)
        assert io.imread("cells_masks.tif").max() > 20
