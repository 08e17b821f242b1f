"""Colors, scores of a U-Net, downloads, progress in the log."""

from __future__ import annotations

import colorsys
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from tqdm import tqdm

from cellpose import utils
from cellpose.errors import DownloadError, FileWriteError, InputError, OptionError

# ----------------------------------------------------------------------------------------------------------- colors


def test_colors_are_those_of_colorsys() -> None:
    rng = np.random.default_rng(0)
    arr = np.concatenate([rng.random((200, 3)), np.eye(3), np.zeros((1, 3)), np.ones((1, 3)), 1 - np.eye(3)])
    # the same formulas, in another order of operations
    np.testing.assert_allclose(utils.rgb_to_hsv(arr), [colorsys.rgb_to_hsv(*c) for c in arr], atol=1e-12)
    np.testing.assert_allclose(utils.hsv_to_rgb(arr), [colorsys.hsv_to_rgb(*c) for c in arr], atol=1e-12)
    np.testing.assert_allclose(utils.hsv_to_rgb(utils.rgb_to_hsv(arr)), arr, atol=1e-12)
    assert utils.rgb_to_hsv(arr.astype(np.float32)).dtype == np.float32


def test_colors_have_three_channels() -> None:
    for function in (utils.rgb_to_hsv, utils.hsv_to_rgb):
        with pytest.raises(InputError, match=r"shape \(4, 2\)"):
            function(np.zeros((4, 2)))


# ------------------------------------------------------------------------------------------------------------- U-Net


def test_boundary_pixels_join_the_cell_around_them() -> None:
    scores = np.zeros((30, 30, 3))
    scores[5:12, 5:12, 1] = 1
    scores[18:25, 18:25, 1] = 1
    scores[4:13, 4:13, 2] = 1
    labels = utils.get_masks_unet(scores, cell_threshold=0.5, boundary_threshold=0.5)
    assert (labels[4:13, 4:13] == 1).all()
    assert (labels == 1).sum() == 81
    assert (labels == 2).sum() == 49
    two = utils.get_masks_unet(scores[..., :2], cell_threshold=0.5)
    assert (two == 1).sum() == 49
    with pytest.raises(InputError, match=r"\(30, 30\)"):
        utils.get_masks_unet(scores[..., 0])


def test_a_cell_that_covers_the_image_is_a_cell() -> None:
    assert (utils.get_masks_unet(np.dstack([np.zeros((5, 6)), np.ones((5, 6))])) == 1).all()


# --------------------------------------------------------------------------------------------------------- downloads


ANSWERS = {
    "/nothing": b"HTTP/1.1 204 No Content\r\n\r\n",
    "/empty": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "/part": b"HTTP/1.1 206 Partial Content\r\nContent-Length: 1\r\n\r\nx",
    "/login": b"HTTP/1.1 200 OK\r\nContent-Type: Text/HTML\r\nContent-Length: 6\r\n\r\n<html>",
    "/packed": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 6\r\n\r\n<html>",
    "/away": b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\n\r\n",
    "/file": b"HTTP/1.1 302 Found\r\nLocation: file:///etc/hostname\r\n\r\n",
    "/odd": b"no HTTP at all\r\n\r\n",
}


class Handler(BaseHTTPRequestHandler):
    """A server of one file that can break off."""

    def do_GET(self) -> None:
        if self.path == "/missing":
            self.send_error(404)
            return
        answer = ANSWERS.get(self.path)
        if answer is not None:
            self.wfile.write(answer)
            return
        self.send_response(200)
        self.send_header("Content-Length", "3000")
        self.end_headers()
        self.wfile.write(b"x" * (3000 if self.path == "/whole" else 1000))

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


@pytest.mark.parametrize("progress", [True, False])
def test_a_file_arrives_whole(server: str, tmp_path: Path, progress: bool) -> None:
    target = tmp_path / "file.bin"
    utils.download_url_to_file(f"{server}/whole", target, progress=progress)
    assert target.read_bytes() == b"x" * 3000
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("path", "message"), [("broken", "1000"), ("missing", "404"), *((name[1:], name[1:]) for name in ANSWERS)]
)
def test_a_broken_download_leaves_nothing_behind(server: str, tmp_path: Path, path: str, message: str) -> None:
    target = tmp_path / "file.bin"
    target.write_bytes(b"before")
    with pytest.raises(DownloadError, match=message):
        utils.download_url_to_file(f"{server}/{path}", str(target), progress=False)
    assert target.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [target]


def test_other_addresses_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="https://"):
        utils.download_url_to_file("file:///etc/hostname", tmp_path / "x")
    with pytest.raises(OptionError, match="dst=3"):
        utils.download_url_to_file("http://127.0.0.1/", 3)
    with pytest.raises(DownloadError):
        utils.download_url_to_file("http://[::1", tmp_path / "x", progress=False)


def test_a_file_that_cannot_be_written_is_told(server: str, tmp_path: Path) -> None:
    with pytest.raises(FileWriteError, match="nowhere"):
        utils.download_url_to_file(f"{server}/whole", tmp_path / "nowhere" / "x", progress=False)


# ---------------------------------------------------------------------------------------------------------- progress


def test_progress_ends_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("cellpose.test_progress")
    caplog.set_level(logging.INFO, logger=logger.name)
    for _ in tqdm(range(2), file=utils.TqdmToLogger(logger, level=logging.INFO), mininterval=0, ascii=True):
        pass
    messages = [record.getMessage() for record in caplog.records]
    assert messages[0].startswith("0%|")
    assert messages[-1].startswith("100%|##########| 2/2")
    assert all(messages)


# ------------------------------------------------------------------------------------------------------------ import


def test_importing_utils_is_light() -> None:
    code = (
        "import sys, cellpose.utils, cellpose.metrics, cellpose.plot; "
        "print([m for m in ('torch', 'numba', 'matplotlib', 'skimage', 'tqdm') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_face_names_what_it_has() -> None:
    for name in utils.__all__:
        assert callable(getattr(utils, name))
        assert getattr(utils, name).__doc__
