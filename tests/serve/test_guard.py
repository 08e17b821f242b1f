"""Who may ask, how much, and what is kept: tokens, origins, prefixes, rates, limits, deletion."""

from __future__ import annotations

import re
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import anyio
import httpx
import numpy as np
import pytest
import tifffile
from starlette.applications import Starlette
from starlette.routing import Mount

from cellpose import io
from cellpose.errors import FileMissingError, FileReadError, InputError, OptionError
from cellpose.options import Serving
from cellpose.serve import Client, run
from cellpose.serve._pages import built_or_not
from cellpose.serve._readers import Readers
from served import EXAMPLES, serving

PICTURE = (EXAMPLES / "nuclei_dense.png").read_bytes()


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    """A server with a token, a prefix, and small limits."""
    words = ("--token", "secret", "--prefix", "/lab/cells", "--upload_mb", "0.3", "--image_mp", "0.2", "--queue", "0")
    more = ("--keep_min", "0.05", "--rate_per_min", "40", "--store_gb", "0.02", "--job_s", "1", "--work_mp", "20")
    with serving(*words, *more, folder=tmp_path_factory.mktemp("strict")) as server:
        yield server


@pytest.fixture(scope="module")
def trusted(strict):
    return Client(strict.address, strict.token, patience_s=0)


def ask(place, method="GET", **words):
    return httpx.request(method, place, follow_redirects=False, **words)


def test_without_the_token_nothing_is_told(strict):
    assert strict.address.endswith("/lab/cells/")
    assert strict.token == "secret"
    for place in ("api/v1/about", "api/v1/images/x", "api/v1/openapi.json", "app.js", "api/v1/jobs/x/events"):
        assert ask(strict.address + place).status_code == 401, place
        assert ask(strict.address + place, headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert ask(strict.address + place, cookies={"cellpose_token": "wrong"}).status_code == 401
    assert ask(strict.address + "healthz").text == "ok\n"


def test_a_browser_without_the_token_is_asked_for_it(strict):
    html = {"Accept": "text/html"}
    answer = ask(strict.address, headers=html)
    assert (answer.status_code, answer.headers["location"]) == (303, "sign-in")
    assert "asks for a token" in ask(strict.address + "sign-in", headers=html).text
    assert ask(strict.address + "page.css").status_code == 200
    wrong = ask(strict.address + "?token=wrong", headers=html)
    assert (wrong.status_code, wrong.headers["location"]) == (303, "sign-in#wrong")
    assert 'id="wrong"' in ask(strict.address + "sign-in", headers=html).text
    answer = ask(strict.address + "?token=secret&a=b", headers=html)
    assert (answer.status_code, answer.headers["location"]) == (303, "./?a=b")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert "<title>cellpose" in ask(strict.address, headers=html, cookies={"cellpose_token": "secret"}).text


def test_a_server_behind_a_prefix_answers_with_and_without_it(strict):
    bare = strict.address.replace("/lab/cells", "")
    headers = {"Authorization": "Bearer secret"}
    assert ask(bare + "api/v1/about", headers=headers).status_code == 200
    assert ask(strict.address.rstrip("/"), headers=headers).headers["location"] == "cells/"
    signing_in = ask(strict.address.rstrip("/") + "?token=a%2Bb&c=d")
    assert signing_in.headers["location"] == "cells/?token=a%2Bb&c=d"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_requests_of_other_sites_are_refused(served, headers):
    answer = ask(f"{served.address}api/v1/images?name=a.png", "POST", content=PICTURE, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (403, "requests of other sites are refused")


def test_pictures_are_not_for_other_pages(served):
    other = {"Sec-Fetch-Site": "cross-site"}
    assert ask(f"{served.address}api/v1/about", headers=other | {"Sec-Fetch-Mode": "no-cors"}).status_code == 403
    assert ask(served.address, headers=other | {"Sec-Fetch-Mode": "navigate"}).status_code == 200
    answer = ask(served.address)
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert "script-src 'self';" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_name_of_another_site_is_refused_where_there_is_no_token(served):
    answer = ask(f"{served.address}api/v1/about", headers={"Host": "evil.example:80"})
    assert (answer.status_code, "is not called" in answer.json()["error"]) == (421, True)
    port = served.address.rsplit(":", 1)[1].strip("/")
    assert ask(f"{served.address}api/v1/about", headers={"Host": f"127.0.0.1:{port}"}).status_code == 200


def test_the_page_that_needs_no_server_is_apart_from_others(served):
    answer = ask(f"{served.address}local/")
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert answer.headers["cross-origin-embedder-policy"] == "require-corp"
    assert "wasm-unsafe-eval" in answer.headers["content-security-policy"]
    assert answer.status_code == 200


def test_the_page_that_needs_no_server_is_there_as_soon_as_it_is_built(tmp_path):
    app = Starlette(routes=[Mount("/local", built_or_not(tmp_path / "local"))])

    def answer(place: str) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
                return await client.get(place)

        return anyio.run(ask)

    for _ in range(2):
        assert (answer("/local/").status_code, "make web" in answer("/local/").text) == (200, True)
        assert answer("/local/sw.js").status_code == 404
        (tmp_path / "local").mkdir()
        (tmp_path / "local" / "index.html").write_text("built")
        (tmp_path / "local" / "sw.js").write_text("worker")
        assert answer("/local/").text == "built"
        assert answer("/local/sw.js").text == "worker"
        shutil.rmtree(tmp_path / "local")


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        (b"", 422, "the file is empty"),
        (b"GIF89a....", 415, "the file is no PNG, JPEG or TIFF"),
        (bytes(400_000), 413, "at most 0.3 MB are allowed"),
        (PICTURE[:2000], 422, "cells.png is truncated"),
    ],
)
def test_uploads_that_are_not_taken_say_why(trusted, strict, content, status, reason):
    with pytest.raises(InputError, match=reason):
        trusted._send("POST", "images", params={"name": "../../cells.png"}, content=content)
    headers = {"Authorization": "Bearer secret"}
    assert ask(strict.address + "api/v1/images", "POST", content=content, headers=headers).status_code == status
    assert [name for name in strict.kept if "image" in name or "upload" in name] == []


def test_a_form_in_place_of_a_file_is_told_what_to_do(strict):
    headers = {"Authorization": "Bearer secret"}
    answer = httpx.post(strict.address + "api/v1/images", files={"file": ("cells.png", PICTURE)}, headers=headers)
    assert answer.status_code == 415
    assert "send the file itself as the body of the request: with curl --data-binary @FILE" in answer.json()["error"]


def test_a_length_must_be_given(strict):
    headers = {"Authorization": "Bearer secret"}
    answer = ask(strict.address + "api/v1/images", "POST", content=iter([PICTURE]), headers=headers)
    assert answer.status_code == 411


def test_images_of_too_many_pixels_are_refused_before_they_are_decoded(trusted, tmp_path):
    tifffile.imwrite(tmp_path / "bomb.tif", np.zeros((5000, 5000), np.uint8), compression="zlib")
    assert (tmp_path / "bomb.tif").stat().st_size < 300_000
    with pytest.raises(InputError, match=r"^bomb\.tif has 25\.0 megapixels; at most 0\.2 are allowed$"):
        trusted.upload(tmp_path / "bomb.tif")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not say how much memory was used")
@pytest.mark.parametrize("kind", ["png", "jpg", "tif", "stack.tif"])
def test_a_refusal_takes_no_memory_of_the_size_of_the_image(kind, tmp_path):
    bomb, small = tmp_path / f"bomb.{kind}", tmp_path / f"small.{kind}"
    for path, side in ((bomb, 9000), (small, 90)):  # 81 megapixels, and ordinary work that loads all libraries
        image = np.zeros((side, side), np.uint8)
        if kind == "stack.tif":
            image = image.reshape(9, side // 9, side)
        if path.suffix == ".tif":
            tifffile.imwrite(path, image, compression="zlib", photometric="minisblack")
        else:
            io.imsave(path, image)
    assert bomb.stat().st_size < 2_000_000
    readers = Readers(1, 64e6)
    try:
        (tmp_path / "folder").mkdir()
        readers.read(small, tmp_path / "folder", "small")
        before = most_memory(readers)
        with pytest.raises(FileReadError, match=r"^bomb has 81\.0 megapixels; at most 64 are allowed$"):
            readers.read(bomb, tmp_path / "folder", "bomb")
        assert most_memory(readers) - before < 10_000_000
    finally:
        readers.close()


def most_memory(readers):
    """The most bytes that the process of readers has had in memory so far."""
    text = Path(f"/proc/{readers._all[0]._process.pid}/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", text)[1])


def test_work_that_is_too_much_is_refused_before_it_waits(trusted, tmp_path):
    io.imsave(tmp_path / "a.png", np.zeros((440, 440), np.uint8))
    image = trusted.upload(tmp_path / "a.png")
    reason = "diameter=2 is not allowed: the image, enlarged 15 times, has 43.6 megapixels for the network; at most 20 "
    with pytest.raises(InputError, match=f"^{reason}are allowed; give a diameter of at least 3, or"):
        trusted.segment(image, model="generalist", diameter=2)


def test_jobs_that_take_too_long_and_queues_that_are_full(trusted, strict, tmp_path):
    io.imsave(tmp_path / "a.png", np.random.default_rng(0).integers(0, 255, (440, 440), np.uint8))
    first, other = (trusted.upload(tmp_path / "a.png") for _ in range(2))
    slow = {"model": "generalist", "diameter": 4}  # enlarged many times
    job = trusted._json("POST", f"images/{first}/segmentation", body=slow)
    headers = {"Authorization": "Bearer secret"}
    again = ask(f"{strict.address}api/v1/images/{first}/segmentation", "POST", json=slow, headers=headers)
    assert (again.status_code, "is being segmented" in again.json()["error"]) == (409, True)
    full = ask(f"{strict.address}api/v1/images/{other}/segmentation", "POST", json=slow, headers=headers)
    assert (full.status_code, int(full.headers["retry-after"]) >= 1) == (429, True)
    while (state := trusted._json("GET", f"jobs/{job['id']}"))["state"] == "running":
        time.sleep(0.1)
    assert state["state"] == "failed"
    assert "took more than 1 s" in state["error"]


def test_nothing_is_kept_after_the_set_time(trusted, strict, tmp_path):
    io.imsave(tmp_path / "a.png", np.zeros((20, 20), np.uint8))
    image = trusted.upload(tmp_path / "a.png")
    assert image in strict.kept
    until = time.monotonic() + 30
    while image in strict.kept and time.monotonic() < until:
        time.sleep(0.2)
    assert image not in strict.kept
    with pytest.raises(InputError, match="there is no such image"):
        trusted.image(image)


def test_a_client_that_asks_for_too_much_is_told_to_wait(strict):
    headers = {"Authorization": "Bearer secret"}
    with httpx.Client(headers=headers) as client:
        answers = [client.post(strict.address + "api/v1/images", content=b"none") for _ in range(60)]
    states = [answer.status_code for answer in answers]
    assert set(states) == {415, 429}
    refused = answers[states.index(429)]
    assert "more than 40 requests in a minute" in refused.json()["error"]
    assert int(refused.headers["retry-after"]) >= 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
def test_a_server_that_ends_leaves_nothing(tmp_path):
    with serving("--examples", str(EXAMPLES), folder=tmp_path) as server:
        Client(server.address).upload(EXAMPLES / "nuclei_dense.png")
        assert len(server.kept) > 1
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(20) == 0
        assert "interrupted" not in "".join(server.lines)
    assert list(server.folder.iterdir()) == []


def test_a_host_that_others_reach_gets_a_token(tmp_path):
    with serving("--host", "0.0.0.0", folder=tmp_path) as server:
        assert len(server.token) > 15
        assert ask(server.address + "api/v1/about").status_code == 401
    (tmp_path / "open").mkdir()
    with serving("--host", "0.0.0.0", "--no_token", folder=tmp_path / "open") as server:
        assert server.token is None
        assert "everyone who reaches this machine may use it" in "".join(server.lines)
        assert ask(server.address + "api/v1/about", headers={"Host": "space.example"}).status_code == 200


def test_what_cannot_be_served_is_said_before_it_begins(served):
    port = int(served.address.rsplit(":", 1)[1].strip("/"))
    with pytest.raises(OptionError, match=f"cannot listen on 127.0.0.1, port {port}"):
        run(Serving(port=port))
    with pytest.raises(OptionError, match="contradict"):
        run(token="x", no_token=True)
    for proxy in ("nonsense", "", "10.0.0"):
        with pytest.raises(OptionError, match=r"^--trusted_proxy .*; give "):
            run(trusted_proxy=["10.0.0.0/8", "::1", proxy])
    for origin in ("lab.example.org", "https://lab.example.org/", "https://a b", "https://x; script-src *"):
        with pytest.raises(OptionError, match=r"^--frame .*; give "):
            run(frame=["https://*.hf.space", "http://localhost:8000", origin])
    for token in ("", "a b", "tökén", "a\nb"):
        with pytest.raises(OptionError, match=r"^--token .*; give "):
            run(token=token)
        with pytest.raises(OptionError, match=r"^--review_token .*; give "):
            run(review_token=token)
    with pytest.raises(FileMissingError, match="is no folder"):
        run(examples="/nowhere")


def test_the_printed_address_opens_whatever_is_in_the_token(tmp_path):
    token = 'a&b#c+d/e=;"%26'
    with serving("--token", token, "--prefix", "/my lab", folder=tmp_path) as server:
        assert server.token == token
        assert server.address.endswith("/my%20lab/")
        printed = next(word for word in server.lines[-1].split() if word.startswith("http")).rstrip(".")
        with httpx.Client(headers={"Accept": "text/html"}, follow_redirects=True) as browser:
            assert "<title>cellpose" in browser.get(printed).text
            assert browser.get(server.address + "api/v1/about").status_code == 200


def test_every_refusal_is_json_with_its_reason(served):
    def refused(method: str, place: str, **words) -> tuple[int, str]:
        answer = httpx.request(method, f"{served.address}api/v1/{place}", **words)
        return answer.status_code, answer.json()["error"]

    assert refused("GET", "nothing") == (404, "there is nothing at this address")
    status, reason = refused("PUT", "about")
    assert (status, reason) == (405, "PUT is not allowed at this address; allowed: GET, HEAD")
    image = httpx.post(f"{served.address}api/v1/images?example=phase_cells_1.png").json()["id"]
    text = {"content": '{"diameter": 30}', "headers": {"Content-Type": "text/plain"}}
    for body in ({"content": "{"}, {"content": ""}, {"json": []}, text):
        status, reason = refused("POST", f"images/{image}/segmentation", **body)
        assert status == 422
        assert reason.startswith("the body of the request: "), reason
        assert reason.endswith("send JSON with the header Content-Type: application/json"), reason
    status, reason = refused("POST", f"images/{image}/segmentation", json={"diameter": "x", "mode": 1})
    assert status == 422
    assert reason.startswith("diameter: ")
    assert "; mode: " in reason


@pytest.mark.slow  # many runs
def test_one_image_is_changed_by_one_request_at_a_time(served):
    client = Client(served.address)
    image = client.upload(EXAMPLES / "nuclei_dense.png")
    client.segment(image, model="nuclei-cells")
    faults: list[BaseException] = []

    def work(level: float) -> None:
        try:
            for _ in range(5):
                client.threshold(image, cellprob_threshold=level)
                assert client.masks(image).max() > 10
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work, args=(level,)) for level in (-1.0, 0.0, 1.0)]
    for thread in threads:
        thread.start()
    for _ in range(3):  # which puts other cells in the place of those that are changed
        client.segment(image, model="nuclei-cells")
    for thread in threads:
        thread.join()
    assert faults == []
    assert "Traceback" not in "".join(served.lines)
