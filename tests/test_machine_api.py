"""Requests to a REST API: what is sent, and what becomes of answers that are not good."""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest

from cellpose._machine.api import Api, ApiError
from cellpose.errors import OptionError


class Answers(BaseHTTPRequestHandler):
    """Notes requests, and answers as the path says."""

    requests: ClassVar[list[tuple[str, str, dict[str, str], bytes]]] = []

    def _answer(self) -> None:
        large = self.path.endswith("/large")
        body = self.rfile.read(10 if large else int(self.headers.get("Content-Length", 0)))
        self.requests.append((self.command, self.path, dict(self.headers), body))
        place = self.path.removeprefix("/lab/api/v1/").partition("?")[0]
        seen = sum(path == self.path for _, path, *_ in self.requests)
        status, headers, content = 200, {}, b'{"ok": true}'
        if place == "busy":
            status, headers = (429, {"Retry-After": "0"}) if seen < 3 else (200, {})
        elif place == "full":
            status, headers, content = 429, {"Retry-After": "900"}, b'{"error": "full"}'
        elif place == "elsewhere":
            status, headers = 302, {"Location": f"http://127.0.0.1:{self.server.server_port}/lab/api/v1/there"}
        elif place == "refused":
            status, content = 422, b'{"error": "no\\n  image"}'
        elif large:
            status, content, self.close_connection = 413, b'{"error": "too large"}', True
        elif place == "strange":
            content = b"<html>"
        elif place == "packed":
            headers, content = {"Content-Encoding": "deflate"}, zlib.compress(b"labels")
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = _answer

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    Answers.requests = []
    with HTTPServer(("127.0.0.1", 0), Answers) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/lab/"
        running.shutdown()
        thread.join()


def test_the_kind_of_a_body_is_stated_and_not_guessed(server):
    api, shares = Api(server, "secret"), []
    assert api.ask_json("POST", "images", params={"name": "a b.tif", "x": [1, 2]}, content=b"{}", report=shares.append)
    api.ask("POST", "contributions", body={"image": "x"})
    api.ask("DELETE", "images/a?b")
    first, second, third = Answers.requests
    assert first[1] == "/lab/api/v1/images?name=a+b.tif&x=1&x=2"
    assert (first[2]["Content-Type"], first[3], shares) == ("application/octet-stream", b"{}", [0.0])
    assert (second[2]["Content-Type"], json.loads(second[3])) == ("application/json", {"image": "x"})
    assert (third[0], third[1]) == ("DELETE", "/lab/api/v1/images/a%3Fb")
    assert all(headers["Authorization"] == "Bearer secret" for *_, headers, _ in Answers.requests)


def test_answers_that_are_not_good(server):
    api = Api(server)
    for place, status, reason in (
        ("refused", 422, "no image"),
        ("full", 429, "full"),
        ("strange", 200, "it answered '<html>'"),
    ):
        with pytest.raises(ApiError) as error:
            api.ask_json("GET", place)
        assert (error.value.status, error.value.reason) == (status, reason)
    with pytest.raises(ApiError) as error:
        Api("http://127.0.0.1:9").ask("GET", "about")
    assert error.value.status == 0
    with pytest.raises(OptionError, match="is not allowed; give an address"):
        Api("ftp://a")


def test_a_busy_server_is_asked_again_for_as_long_as_patience_lasts(server):
    assert Api(server, patience_s=30).ask("POST", "busy", content=b"image") == b'{"ok": true}'
    assert [body for *_, body in Answers.requests] == [b"image"] * 3
    with pytest.raises(ApiError, match="full"):
        Api(server, patience_s=30).ask("GET", "full")


def test_the_token_is_not_passed_on_to_another_address(server):
    Api(server, "secret").ask("GET", "elsewhere")
    assert ["Authorization" in headers for *_, headers, _ in Answers.requests] == [True, False]


def test_packed_answers_are_unpacked(server):
    assert Api(server).ask("GET", "packed") == b"labels"


def test_the_answer_of_a_server_that_hangs_up_while_it_is_sent_to_is_read(server):
    """As one that refuses an upload because of its size."""
    for _ in range(5):
        with pytest.raises(ApiError, match="too large") as told:
            Api(server).ask("POST", "large", content=bytes(20_000_000))
        assert told.value.status == 413
