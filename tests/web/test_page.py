"""The page that needs no server, in Chromium: cells as those of Python, nothing sent anywhere, offline, for everyone.

It is driven by ``web/test/drive.mjs``; ``make web`` builds it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cellpose import io, metrics, models

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "src" / "cellpose" / "serve" / "local"
EXAMPLES = sorted(path for path in (ROOT / "examples").glob("*.png") if "_masks" not in path.name)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = [
    pytest.mark.slow,  # a browser, and six images in it
    pytest.mark.skipif(not (PAGE / "index.html").is_file(), reason="the page is not built: make web"),
    pytest.mark.skipif(shutil.which("node") is None, reason="Node drives the browser"),
    pytest.mark.skipif(not (ROOT / "web" / "node_modules" / "playwright-core").is_dir(), reason="needs make web"),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
]


def _drive(address: str, folder: Path, images: list[Path]) -> dict[str, Any]:
    """What the page does with some images, whose results are saved to a folder."""
    command = ["node", str(ROOT / "web" / "test" / "drive.mjs"), address, str(folder), *map(str, images)]
    environment = {**os.environ, "CHROMIUM": str(CHROMIUM)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=800, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def static_host(tmp_path_factory) -> Iterator[str]:
    """The address of the page on a server of files that sends no headers of its own."""
    site = tmp_path_factory.mktemp("site") / "page"
    shutil.copytree(PAGE, site)
    shutil.copy(ROOT / "src/cellpose/weights/bundled/generalist.safetensors", site)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(site.parent)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/page/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("saved")


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> list[Path]:
    """The examples, and 16-bit pixels of one that are more than one tile."""
    large = tmp_path_factory.mktemp("large") / "large.tif"
    small = io.imread(next(path for path in EXAMPLES if path.stem == "nuclei_dense")).astype(np.uint16)
    io.imsave(large, 90 * np.block([[small, small[::-1]], [small[:, ::-1], small]]))
    return [large, *EXAMPLES]


@pytest.fixture(scope="module")
def told(static_host, saved, images) -> dict[str, Any]:
    return _drive(static_host, saved, images)


def test_cells_are_those_of_python(told, saved, images):
    model = models.CellposeModel(pretrained_model="generalist")
    found, matched = 0, 0
    for path in images:
        masks, _, _ = model.eval(io.imread(path), channels=[0, 0])
        page = io.imread(saved / f"{path.stem}_masks.tif")
        assert page.shape == masks.shape
        assert page.max() == told["counts"][path.name]
        _, true_positives, _, _ = metrics.average_precision(masks, page, threshold=[0.9])
        found += int(masks.max())
        matched += int(true_positives[0])
    assert found > 500
    # the network rounds otherwise, the rest is the same; 0.99 is what was promised
    assert matched >= 0.99 * found


def test_all_formats_hold_the_same_cells(told, saved):
    last = EXAMPLES[-1].stem
    labels = io.imread(saved / f"{last}_masks.tif")
    assert labels.dtype == np.uint16
    np.testing.assert_array_equal(io.imread(saved / f"{last}_masks.png"), labels)
    for name in (f"{last}_rois.zip", f"{last}.geojson"):
        np.testing.assert_array_equal(io.read_cells(saved / name, shape=labels.shape).labels, labels)
    table = np.genfromtxt(saved / f"{last}.csv", delimiter=",", names=True)
    np.testing.assert_array_equal(table["area"], np.bincount(labels.ravel())[1:])
    rows, columns = np.nonzero(labels == 1)
    np.testing.assert_allclose([table["centroid0"][0], table["centroid1"][0]], [rows.mean(), columns.mean()])


def test_nothing_is_sent_anywhere(told):
    assert told["elsewhere"] == []


def test_it_works_without_a_network_after_the_first_time(told):
    assert told["offline"] == told["counts"]["large.tif"]


def test_a_run_that_is_cancelled_leaves_no_progress(told):
    assert told["leftover"] is False


def test_images_removed_during_a_run_stay_away(told):
    assert told["removed"] == [False, False, False]


def test_it_has_no_faults_and_can_be_read_by_everyone(told):
    assert told["faults"] == []
    assert told["axe"] == []
    assert not told["wide"], "the page is wider than a phone"


def test_cellpose_serve_shows_it(tmp_path):
    for library in ("fastapi", "uvicorn"):
        pytest.importorskip(library, reason=f"cellpose serve needs {library}")
    from served import serving

    with serving(folder=tmp_path) as server:
        told = _drive(f"{server.address}local/", tmp_path, EXAMPLES[:1])
    assert told["faults"] == []
    assert told["elsewhere"] == []
    assert told["offline"] == told["counts"][EXAMPLES[0].name] > 20
