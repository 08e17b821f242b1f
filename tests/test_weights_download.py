"""Downloads, against a server on this machine: resume, retries, damage, proxies, no room, no connection."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.server
import io
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cellpose import weights
from cellpose._machine import connect
from cellpose.errors import DownloadError, UnknownModelError, WeightsError
from cellpose.nets import CPnet
from cellpose.weights import _content, _download, _names, _partial
from cellpose.weights._download import Retry, download


def archive(value: float = 0.0, n: int = 1000, **how: Any) -> bytes:
    """A weight file as torch writes it."""
    buffer = io.BytesIO()
    torch.save({"a": torch.full((n,), value)}, buffer, **how)
    return buffer.getvalue()


def safetensors(n_bytes: int, value: int = 0) -> bytes:
    """A weight file of so many bytes."""
    n = n_bytes - 8 - 96
    head = f'{{"a":{{"dtype":"U8","shape":[{n}],"data_offsets":[0,{n}]}}}}'.ljust(96).encode()
    return (96).to_bytes(8, "little") + head + bytes([value]) * n


def size_model(**entries: float) -> bytes:
    """A size model as it is published."""
    buffer = io.BytesIO()
    np.save(buffer, {"A": np.zeros(3), **entries}, allow_pickle=True)
    return buffer.getvalue()


QUICK = Retry(attempts=3, backoff_s=0.0, timeout_s=5.0)


class Server(http.server.ThreadingHTTPServer):
    """Serves ``content`` under every path; ``faults`` are used up one per request, first to last."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = safetensors(1_024_000)
        self.tag = '"1"'
        self.ranges = True
        self.tells_length = True
        self.faults: list[Any] = []
        self.bad: bytes | None = None  # what is sent under /bad
        self.asked: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        server = self.server
        server.asked.append((self.path, self.headers.get("Range")))
        fault = server.faults.pop(0) if server.faults else None
        if isinstance(fault, str):
            self.send_response(302)
            self.send_header("Location", fault)
            self.end_headers()
            return
        if isinstance(fault, int) and 400 <= fault < 600:
            self.send_error(fault)
            return
        if server.bad is not None and self.path.startswith("/bad"):
            fault = server.bad
        if isinstance(fault, bytes):
            self.wfile.write(fault)
            self.close_connection = True
            return
        first = self._first()
        if first >= len(server.content):
            self.send_error(416)
            return
        body = size_model() if self.path.endswith(".npy") else server.content[first:]
        self.send_response(206 if first else 200)
        self.send_header("ETag", server.tag)
        self.send_header("Content-Type", "text/html" if fault == "page" else "application/octet-stream")
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(server.content) - 1}/{len(server.content)}")
        if server.tells_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        # Any greater number: so many bytes, then the connection ends.
        self.wfile.write(body if fault is None else body[:fault])

    def _first(self) -> int:
        wanted = self.headers.get("Range")
        condition = self.headers.get("If-Range")
        if not wanted or not self.server.ranges or (condition and condition != self.server.tag):
            return 0
        return int(wanted.removeprefix("bytes=").rstrip("-"))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A models folder whose published files come from the server, and from nowhere else."""
    path = tmp_path / "models"
    monkeypatch.setenv(weights.MODEL_DIR_ENV, str(path))
    monkeypatch.delenv(weights.MIRROR_ENV, raising=False)
    for name in ("_UNET_URL", "_SAM_URL"):
        monkeypatch.setattr(_names, name, f"{server.url}/published/")
    return path


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def no_parts(folder: Path) -> bool:
    return not [path for path in folder.iterdir() if ".part" in path.name]


def test_whole_file(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    target = tmp_path / "w"
    digest, url = download([f"{server.url}/w"], target, lambda have, total: seen.append((have, total)), QUICK)
    assert target.read_bytes() == server.content
    assert (digest, url) == (sha256(server.content), f"{server.url}/w")
    assert seen[0] == (0, len(server.content))
    assert seen[-1] == (len(server.content), len(server.content))
    assert no_parts(tmp_path)


def test_goes_on_where_the_connection_ended(server: Server, tmp_path: Path) -> None:
    server.faults = [300_000, 100_000]
    download([f"{server.url}/w"], tmp_path / "w", False, QUICK)
    assert (tmp_path / "w").read_bytes() == server.content
    assert [wanted for _, wanted in server.asked] == [None, "bytes=300000-", "bytes=400000-"]


def test_goes_on_in_a_later_call(server: Server, tmp_path: Path) -> None:
    server.faults = [300_000]
    with pytest.raises(DownloadError, match="300000 of 1024000 bytes"):
        download([f"{server.url}/w"], tmp_path / "w", False, Retry(1, 0))
    assert not (tmp_path / "w").exists()
    download([f"{server.url}/w"], tmp_path / "w", False, QUICK)
    assert (tmp_path / "w").read_bytes() == server.content
    assert server.asked[-1][1] == "bytes=300000-"
    assert no_parts(tmp_path)


@pytest.mark.parametrize("obeys_if_range", [True, False])
def test_starts_again_where_the_file_has_changed(
    server: Server, tmp_path: Path, obeys_if_range: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.faults = [300_000]
    with pytest.raises(DownloadError):
        download([f"{server.url}/w"], tmp_path / "w", False, Retry(1, 0))
    server.content, server.tag = safetensors(1_024_000, 1), '"2"'
    if not obeys_if_range:
        monkeypatch.setattr(
            Handler, "_first", lambda self: int((self.headers.get("Range") or "=0-")[:-1].split("=")[1])
        )
    download([f"{server.url}/w"], tmp_path / "w", False, QUICK)
    assert (tmp_path / "w").read_bytes() == server.content


def test_starts_again_where_the_server_knows_no_ranges(server: Server, tmp_path: Path) -> None:
    server.ranges, server.faults = False, [300_000]
    download([f"{server.url}/w"], tmp_path / "w", False, QUICK)
    assert (tmp_path / "w").read_bytes() == server.content


def test_a_part_longer_than_the_file_is_dropped(server: Server, tmp_path: Path) -> None:
    server.faults = [900_000]
    with pytest.raises(DownloadError):
        download([f"{server.url}/w"], tmp_path / "w", False, Retry(1, 0))
    server.content = safetensors(1000)
    download([f"{server.url}/w"], tmp_path / "w", False, QUICK)
    assert (tmp_path / "w").read_bytes() == server.content


def test_a_complete_part_is_taken(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_download, "_finish", fail)
        with pytest.raises(KeyboardInterrupt):
            download([f"{server.url}/w"], tmp_path / "w", False, QUICK)
    download([f"{server.url}/w"], tmp_path / "w", False, QUICK)
    assert (tmp_path / "w").read_bytes() == server.content
    assert len(server.asked) == 2


@pytest.mark.parametrize(("code", "n_asked"), [(503, 3), (429, 3), (404, 1), (403, 1)])
def test_faults_that_pass_are_tried_again(server: Server, tmp_path: Path, code: int, n_asked: int) -> None:
    server.faults = [code] * 3
    with pytest.raises(DownloadError, match=f"answered {code}"):
        download([f"{server.url}/w"], tmp_path / "w", False, QUICK)
    assert len(server.asked) == n_asked
    assert list(tmp_path.iterdir()) == []


def test_tries_that_end_well(server: Server, tmp_path: Path) -> None:
    server.faults = [500, 0]
    download([f"{server.url}/w"], tmp_path / "w", False, QUICK)
    assert (tmp_path / "w").read_bytes() == server.content


def test_the_next_address_is_taken(server: Server, tmp_path: Path) -> None:
    server.faults = [404]
    _, url = download([f"{server.url}/a", "ftp://127.0.0.1/b", f"{server.url}/c"], tmp_path / "w", False, QUICK)
    assert url == f"{server.url}/c"


def test_redirections_are_followed_but_not_into_the_open(server: Server, tmp_path: Path) -> None:
    server.faults = ["/elsewhere"]
    download([f"{server.url}/w"], tmp_path / "w", False, QUICK)
    assert [path for path, _ in server.asked] == ["/w", "/elsewhere"]
    request = urllib.request.Request("https://127.0.0.1/w")
    with pytest.raises(Exception, match="not encrypted"):
        connect._NoDowngrade().redirect_request(request, None, 302, "", {}, "http://127.0.0.1/w")


def test_certificates_are_verified() -> None:
    import ssl

    context = connect._tls()
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname


def test_a_web_page_is_no_model(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    send = Handler.send_header
    monkeypatch.setattr(
        Handler,
        "send_header",
        lambda self, k, v: send(self, k, "text/html; charset=utf-8" if k == "Content-Type" else v),
    )
    with pytest.raises(DownloadError, match="web page"):
        download([f"{server.url}/w"], tmp_path / "w", False, QUICK)
    assert list(tmp_path.iterdir()) == []


def test_archives_of_unknown_length_are_checked(server: Server, tmp_path: Path) -> None:
    server.content, server.tells_length, server.faults = archive(), False, [2000]
    download([f"{server.url}/w"], tmp_path / "w", False, QUICK)
    assert (tmp_path / "w").read_bytes() == server.content
    assert len(server.asked) == 2


def test_no_room(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 1000

    monkeypatch.setattr(_download.shutil, "disk_usage", lambda _: Usage)
    with pytest.raises(DownloadError, match="not enough space"):
        download([f"{server.url}/w"], tmp_path / "w", False, QUICK)


def test_two_at_once_do_not_mix(server: Server, tmp_path: Path) -> None:
    errors: list[BaseException] = []

    def fetch() -> None:
        try:
            download([f"{server.url}/w"], tmp_path / "w", False, QUICK)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=fetch) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert (tmp_path / "w").read_bytes() == server.content
    assert no_parts(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows renames no open file")
def test_the_partial_file_is_locked_until_it_has_its_name(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, locked = Path.replace, []

    def replace(self: Path, target: Path) -> Path:
        if self.suffix == ".part":
            other = _partial.open_alone(self)
            locked.append(other is None)
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    download([f"{server.url}/w"], tmp_path / "w", False, QUICK)
    assert locked == [True]
    assert (tmp_path / "w").read_bytes() == server.content


def test_a_wall_that_answers_nothing_does_not_take_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    now = time.monotonic()

    def swallow(number: tuple[str, int], timeout: float, source: Any) -> Any:
        waited.append(timeout)
        raise TimeoutError

    numbers = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"192.0.2.{i}", 443)) for i in range(20)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: numbers)
    monkeypatch.setattr(socket, "create_connection", swallow)
    monkeypatch.setattr(connect.time, "monotonic", lambda: now + sum(waited))
    with pytest.raises(DownloadError, match="the server does not answer; a firewall or a missing proxy"):
        download(["https://models.invalid/w"], tmp_path / "w", False)
    assert 9 < sum(waited) < 11


def test_no_connection_tells_what_to_do(folder: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(_names, "_SAM_URL", "https://models.invalid/")
    monkeypatch.setattr(socket, "getaddrinfo", offline)
    with pytest.raises(DownloadError) as caught:
        weights.resolve("cpsam", progress=False)
    message = str(caught.value)
    assert "offline" in message
    assert "https://models.invalid/cpsam" in message
    assert str(folder / "cpsam") in message
    assert weights.BUNDLED in message


def test_names_are_downloaded_once(folder: Path, server: Server) -> None:
    buffer = io.BytesIO()
    torch.save(CPnet([2, 4, 8]).state_dict(), buffer)
    server.content = buffer.getvalue()
    net = weights.load_network("cyto2")
    assert net.nchan == 2
    assert server.asked == [("/published/cyto2torch_0", None)]
    weights.load_network("cyto2torch_0")
    assert len(server.asked) == 1
    assert weights.resolve("cyto2").path == folder / "cyto2torch_0"


def test_pull_brings_the_size_model(folder: Path, server: Server) -> None:
    files = weights.pull("cyto3", progress=False, retry=QUICK)
    assert [file.path.name for file in files] == ["cyto3", "size_cyto3.npy"]
    weights.pull("cyto3", progress=False, retry=QUICK)
    assert len(server.asked) == 2
    weights.pull("cyto3", progress=False, retry=QUICK, force=True)
    assert len(server.asked) == 4
    with pytest.raises(UnknownModelError, match="cyto3"):
        weights.pull("cyto33")


def test_models_that_cannot_be_used_are_not_downloaded(folder: Path, server: Server) -> None:
    with pytest.raises(WeightsError, match="transformer_cp3 is a transformer of Cellpose 3"):
        weights.pull("transformer_cp3", progress=False, retry=QUICK)
    assert server.asked == []


def test_damage_after_the_download_is_noticed(folder: Path, server: Server) -> None:
    path = weights.resolve("cyto3", progress=False).path
    whole = path.read_bytes()
    path.write_bytes(whole)
    assert weights.resolve("cyto3").path == path  # another time of change alone is no damage
    path.write_bytes(whole[:-1] + b"?")
    with pytest.raises(WeightsError, match="not the file that was downloaded"):
        weights.resolve("cyto3")
    path.write_bytes(whole[:-1])
    with pytest.raises(WeightsError, match="models pull cyto3"):
        weights.resolve("cyto3")
    weights.pull("cyto3", progress=False, retry=QUICK)
    assert weights.resolve("cyto3").path.read_bytes() == whole
    CPnet([2, 4], diam_mean=12.0).save_model(path)
    mine = path.read_bytes()
    weights.add_model(path)
    assert weights.resolve("cyto3").path.read_bytes() == mine != whole


def test_mirrors_go_first(folder: Path, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(weights.MIRROR_ENV, f"{server.url}/mirror/")
    weights.resolve("cyto3", progress=False)
    assert server.asked == [("/mirror/cyto3", None)]
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    (shelf / "cpsam").write_bytes(archive(2.0))
    monkeypatch.setenv(weights.MIRROR_ENV, f"{(tmp_path / 'nothing').as_uri()}, {shelf.as_uri()}")
    assert weights.resolve("cpsam", progress=False).path.read_bytes() == archive(2.0)
    assert weights.resolve("livecell", progress=False).path.read_bytes() == server.content
    assert server.asked[-1][0] == "/published/livecell"


def test_a_bar_needs_a_terminal(folder: Path, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    weights.resolve("cyto3")
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


# ------------------------------------------------------------------------------------------- what a server sends


WHOLE = archive()
LEGACY = archive(_use_new_zipfile_serialization=False)


def answer(body: bytes, *headers: str, status: str = "200 OK", length: int | str | None = None) -> bytes:
    """An answer as it goes over the line."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(body: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(body), body) + end


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


NO_FILE = {
    "204": answer(b"", status="204 No Content"),
    "202": answer(WHOLE, status="202 Accepted"),
    "206": answer(WHOLE, f"Content-Range: bytes 0-{len(WHOLE) - 1}/{len(WHOLE)}", status="206 Partial Content"),
    "416": answer(b"", status="416 Range Not Satisfiable"),
    "300": answer(b"", status="300 Multiple Choices"),
    "nothing": answer(b""),
    "text": answer(b"error", "Content-Type: text/plain"),
    "long text": answer(b"Sorry, the file has moved. " * 40),
    "html in capitals": answer(b"<HTML>" * 20, "Content-Type: Text/HTML"),
    "html without a type": answer(b"\n <!doctype html>" * 20),
    "json": answer(b'{"error": "login"}', "Content-Type: application/json"),
    "gzip": answer(gzip.compress(b"<html>" * 30), "Content-Encoding: gzip"),
    "gzip untold": answer(gzip.compress(b"<html>" * 30)),
    "lfs": answer(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n"),
    "size model": answer(size_model()),
    "no archive of torch": answer(b"PK\x05\x06" + bytes(18)),
    "archive of something": answer(b"PK\x03\x04" + bytes(500)),
    "archive cut": answer(WHOLE[:-200]),
    "archive and more": answer(WHOLE + bytes(50)),
    "archive with a flipped bit": answer(flipped(WHOLE, len(WHOLE) // 2)),
    "legacy cut": answer(LEGACY[:-40]),
    "safetensors cut": answer(safetensors(1000)[:-1]),
    "safetensors and more": answer(safetensors(1000) + b"?"),
    "safetensors with a broken head": answer((96).to_bytes(8, "little") + b"{" * 96 + bytes(500)),
    "longer than told": answer(WHOLE, length=1000),
    "absurd length": answer(WHOLE, length=10**20),
    "length of no model": answer(WHOLE, length=10**12),
    "to a broken address": answer(b"", "Location: http://[::1", status="302 Found"),
    "to a file": answer(b"", "Location: file:///etc/hostname", status="302 Found"),
    "to ftp": answer(b"", "Location: ftp://127.0.0.1/w", status="302 Found"),
    "to nowhere": answer(b"", status="302 Found"),
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "a broken chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "chunks that end early": chunked(WHOLE[:2000], b""),
    "too many headers": answer(WHOLE, *(f"X-{i}: 1" for i in range(200))),
    "closes at once": b"",
}


@pytest.mark.parametrize("what", NO_FILE)
def test_what_is_no_weight_file_is_not_taken(folder: Path, server: Server, what: str, monkeypatch: Any) -> None:
    """The next address is asked; where there is none, the reason is told and nothing is left."""
    server.content, server.bad = WHOLE, NO_FILE[what]
    folder.mkdir()
    with pytest.raises(DownloadError, match=f"could not download w: {server.url}/bad: ") as caught:
        download([f"{server.url}/bad"], folder / "w", False, QUICK)
    assert len(str(caught.value)) < 600
    assert not (folder / "w").exists()
    # Whatever was left of the first call is no part of what comes from elsewhere.
    monkeypatch.setattr(_download.time, "sleep", lambda _: None)
    monkeypatch.setenv(weights.MIRROR_ENV, f"{server.url}/bad")
    assert weights.resolve("cyto3", progress=False).path.read_bytes() == WHOLE
    download([f"{server.url}/bad", f"{server.url}/good"], folder / "w", False, QUICK)
    assert (folder / "w").read_bytes() == WHOLE


@pytest.mark.parametrize("length", ["abc", "-5", "", "1e3", "٣"])
def test_a_length_that_is_no_number_is_no_length(server: Server, tmp_path: Path, length: str) -> None:
    server.faults = [answer(WHOLE, length="?").replace(b"Content-Length: ?", f"Content-Length: {length}".encode())]
    download([f"{server.url}/w"], tmp_path / "w", False, QUICK)
    assert (tmp_path / "w").read_bytes() == WHOLE


@pytest.mark.parametrize("content", [WHOLE, LEGACY, safetensors(3000)], ids=["zip", "legacy", "safetensors"])
@pytest.mark.parametrize("told", [True, False])
def test_every_format_of_weights_is_taken(server: Server, tmp_path: Path, content: bytes, told: bool) -> None:
    server.content, server.tells_length = content, told
    download([f"{server.url}/w"], tmp_path / "w", False, QUICK)
    assert (tmp_path / "w").read_bytes() == content
    server.faults = [chunked(content)]
    download([f"{server.url}/w"], tmp_path / "x", False, QUICK)
    assert (tmp_path / "x").read_bytes() == content


@pytest.mark.parametrize("body", [b"", b"error", size_model()[:-1], size_model() + b".", WHOLE, b"\x93NUMPY\1\0\x10\0"])
def test_a_size_model_is_checked_too(folder: Path, server: Server, body: bytes) -> None:
    folder.mkdir()
    (folder / "cyto3").write_bytes(WHOLE)
    server.faults = [answer(body)]
    with pytest.raises(DownloadError, match=r"size_cyto3\.npy"):
        weights.size_model_path("cyto3")
    assert [path.name for path in folder.iterdir()] == ["cyto3"]
    assert weights.size_model_path("cyto3").read_bytes() == size_model()


def test_arrays_of_numbers_are_no_size_model(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(5))
    with (tmp_path / "a.npy").open("r+b") as file:
        assert "damaged" in str(_content.flaw_of(file, tmp_path / "a.npy", "size_a.npy"))


def test_a_model_that_could_run_code_is_not_taken(server: Server, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save(CPnet([2, 4], 3), buffer)
    server.content = buffer.getvalue()
    with pytest.raises(DownloadError, match="could run code"):
        download([f"{server.url}/w"], tmp_path / "w", False, QUICK)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("left", [b"<html>" * 100, WHOLE[:600], b"PK\x03\x04" + bytes(700)], ids=["page", "w", "junk"])
@pytest.mark.parametrize(
    "note", ['{"url": "URL", "validator": "\\"1\\"", "total": TOTAL}', '{"url": "URL"}', "[]", "{"]
)
def test_garbage_that_was_left_is_not_gone_on_from(server: Server, tmp_path: Path, left: bytes, note: str) -> None:
    server.content = WHOLE
    (tmp_path / ".w.part").write_bytes(left)
    told = note.replace("URL", f"{server.url}/w").replace("TOTAL", str(len(WHOLE)))
    (tmp_path / ".w.part.json").write_text(told)
    download([f"{server.url}/w"], tmp_path / "w", False, QUICK)
    assert (tmp_path / "w").read_bytes() == WHOLE
    assert len(server.asked) <= 2
    assert no_parts(tmp_path)


def test_a_server_that_drips_is_left(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes before the time of a single read is over."""

    def drip(self: Handler) -> None:
        parts = (b"HTTP/1.1 200 OK\r\nX: ", WHOLE) if self.path == "/head" else (answer(b"", length=len(WHOLE)), WHOLE)
        with contextlib.suppress(OSError):
            self.wfile.write(parts[0])
            for place in range(200):
                self.wfile.write(parts[1][place : place + 1])
                time.sleep(0.02)
        self.close_connection = True

    monkeypatch.setattr(Handler, "do_GET", drip)
    begin = time.monotonic()
    with pytest.raises(DownloadError, match=r"does not answer.*less than 1024 bytes per second"):
        download([f"{server.url}/head", f"{server.url}/body"], tmp_path / "w", False, Retry(3, 0, 0.3))
    assert time.monotonic() - begin < 3


def test_a_full_disk_is_told_and_not_the_fault_of_a_mirror(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Any) -> bytes:
        raise OSError(28, "No space left on device")

    server.faults = [404]
    monkeypatch.setattr(_download, "_finish", lambda *_: full(None))
    with pytest.raises(DownloadError, match=r"/a: the server answered 404.*/b: .*No space left"):
        download([f"{server.url}/{name}" for name in "abc"], tmp_path / "w", False, QUICK)
    assert [path for path, _ in server.asked] == ["/a", "/b"]


@pytest.mark.parametrize(
    "url",
    ["", "w", "http://", "http://[::1", "http://127.0.0.1:99999/w", "http://127.0.0.1/ /", "http://127.0\n.0.1/w",
     "data:,a", "http://127.0.0.1:1/w", "file:///", "file://elsewhere/w"],
)  # fmt: skip
def test_no_address_ends_the_search(server: Server, tmp_path: Path, url: str) -> None:
    server.content = WHOLE
    download([url, f"{server.url}/w"], tmp_path / "w", False, Retry(1, 0, 5))
    assert (tmp_path / "w").read_bytes() == WHOLE
