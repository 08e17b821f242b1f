"""Contributions to a real server: sent by the client of the window, reviewed as a browser does it."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest

from cellpose import contributions, io
from cellpose.__main__ import main
from cellpose.contributions import CONSENT, Provenance, Store, checked_pair
from cellpose.errors import OptionError, SendError
from served import EXAMPLES, Served, serving

FIELDS = {"licence": "CC-BY-4.0", "consent": CONSENT, "contributor": "<b>Ada</b>", "source": "room 12"}
TOKEN = "a-secret"  # of the server


def pair(row: int = 0) -> contributions.Pair:
    image = io.imread(EXAMPLES / "nuclei_dense.png")[row : row + 96, :96]
    masks = np.zeros((96, 96), np.int32)
    for k, (y, x) in enumerate([(8, 8), (8, 50), (50, 8), (50, 50), (70, 70), (30, 30)], 1):
        masks[y : y + 14, x : x + 14] = k
    masks[:4] = -1
    return checked_pair(image, masks)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("collection") / "given"


@pytest.fixture(scope="module")
def collecting(folder: Path, tmp_path_factory) -> Iterator[Served]:
    words = ["--contributions", str(folder), "--token", TOKEN]
    with serving(*words, folder=tmp_path_factory.mktemp("serve")) as server:
        yield server


@pytest.fixture
def store(collecting: Served, folder: Path) -> Store:
    return Store(folder)


@pytest.fixture
def reviewer(collecting: Served, folder: Path) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=collecting.address, headers=headers, follow_redirects=True, timeout=60) as browser:
        answer = browser.get("contributions", params={"review": (folder / "reviewer_token").read_text()})
        assert answer.status_code == 200
        assert "review=" not in str(answer.url)
        yield browser


@pytest.fixture(scope="module")
def sent(collecting: Served) -> dict[str, object]:
    shares: list[float] = []
    answer = contributions.send(
        collecting.address, pair(), Provenance.of({**FIELDS, "file": "a.tif"}), token=TOKEN, report=shares.append
    )
    assert shares == sorted(shares)
    assert shares[-1] >= 0.5
    return answer


def test_what_is_sent_is_what_is_kept(sent: dict[str, object], store: Store, collecting: Served) -> None:
    assert sent["state"] == "received"
    kept = store.find(str(sent["id"]))
    assert kept.id == pair().id
    assert kept.provenance.contributor == FIELDS["contributor"]
    read = store.read(kept)
    np.testing.assert_array_equal(read.image, pair().image)
    np.testing.assert_array_equal(read.labels, pair().labels)
    assert not [name for name in collecting.kept if "image" in name]  # the uploads are gone


def test_it_is_found_out_whether_it_is_dense(sent: dict[str, object], store: Store, reviewer: httpx.Client) -> None:
    import time

    until = time.monotonic() + 120
    while store.unmeasured() and time.monotonic() < until:
        time.sleep(0.2)
    kept = store.find(str(sent["id"]))
    assert kept.dense is not None
    assert kept.dense < 0.5
    assert "are cells missing?" in kept.notes[-1]
    assert "look for missing cells" in reviewer.get("contributions").text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "this segmentation was contributed"),
        ({"licence": "mine"}, "licence='mine' is not allowed"),
        ({"consent": "no"}, "no consent"),
    ],
)
def test_the_server_says_why_it_takes_nothing(
    sent: dict[str, object], collecting: Served, change: dict[str, str], words: str
) -> None:
    with pytest.raises(SendError, match=f"did not take it: .*{words}"):
        contributions.send(collecting.address, pair(), Provenance(**{**FIELDS, **change}), token=TOKEN)


def test_without_the_token_of_the_server_nothing_is_taken(collecting: Served) -> None:
    with pytest.raises(SendError, match="did not take it: a token is needed"):
        contributions.send(collecting.address, pair(1), Provenance.of(FIELDS))


def test_other_servers_and_addresses_are_named(served: Served) -> None:
    with pytest.raises(SendError, match="it collects no contributions; start it with --contributions FOLDER"):
        contributions.send(served.address, pair(1), Provenance.of(FIELDS))
    with pytest.raises(SendError, match="cannot be reached"):
        contributions.send("http://127.0.0.1:9", pair(1), Provenance.of(FIELDS))
    for wrong in ("", "ftp://a", "http://", "http://a b", "file:///etc/passwd", "http://u:p@a"):
        with pytest.raises(OptionError, match="is not allowed; give an address"):
            contributions.send(wrong, pair(1), Provenance.of(FIELDS))


def test_the_command_sends_what_it_has_consent_for(
    collecting: Served, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = pair(40)
    io.imsave(tmp_path / "b.tif", given.image)
    io.imsave(tmp_path / "b_masks.tif", given.labels)
    words = ["contributions", "send", str(tmp_path / "b.tif"), str(tmp_path / "b_masks.tif"), "--token", TOKEN]
    words += ["--server", collecting.address, "--licence", "CC0-1.0", "--contributor", "Bo", "--source", "room 12"]
    assert main(words) == 2
    assert "nothing was sent; if you agree to the text above, add --consent" in capsys.readouterr().err
    assert main([*words, "--consent"]) == 0
    assert f"has received it as {given.id[:12]}" in capsys.readouterr().out
    assert store.find(given.id).provenance.file == "b.tif"


def test_cells_found_on_the_page_are_given_without_uploading_masks(collecting: Served, store: Store) -> None:
    from cellpose.serve import Client

    client = Client(collecting.address, TOKEN)
    image = client.upload(EXAMPLES / "nuclei_dense.png")
    client.segment(image, model="nuclei-cells")
    masks = client.masks(image)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    terms = httpx.get(f"{collecting.address}api/v1/contributions/terms", headers=headers).json()
    asked = {"image": image, "provenance": {**FIELDS, "consent": terms["consent"], "method": "corrected"}}
    answer = httpx.post(f"{collecting.address}api/v1/contributions", headers=headers, json=asked, timeout=60)
    assert answer.status_code == 201, answer.text
    kept = store.find(answer.json()["id"])
    assert kept.n_cells == masks.max()
    assert client.image(image)["name"] == "nuclei_dense.png"  # still there
    again = httpx.post(f"{collecting.address}api/v1/contributions", headers=headers, json=asked, timeout=60)
    assert again.status_code == 409


# --- reviewing ---


def test_only_reviewers_see_and_decide(sent: dict[str, object], collecting: Served, folder: Path, store: Store) -> None:
    assert stat.S_IMODE((folder / "reviewer_token").stat().st_mode) == 0o600
    headers, name = {"Authorization": f"Bearer {TOKEN}"}, sent["id"]
    with httpx.Client(base_url=collecting.address, headers=headers, timeout=60) as other:
        page = other.get("contributions")
        assert "Token of reviewers" in page.text
        assert "room 12" not in page.text
        assert other.post("contributions", data={"token": "guess"}).status_code == 403
        assert other.get("contributions", params={"review": "guess"}).status_code == 403
        assert other.get(f"contributions/{name}/picture").status_code == 401
        assert other.post(f"contributions/{name}", data={"decision": "accepted"}).status_code == 401
        assert other.get("contributions").text == page.text
    assert store.find(str(name)).state == "received"


def test_the_page_shows_pictures_and_trusts_no_text(sent: dict[str, object], reviewer: httpx.Client) -> None:
    page = reviewer.get("contributions")
    assert "&lt;b&gt;Ada&lt;/b&gt;: room 12" in page.text
    assert "<b>Ada" not in page.text
    assert "<script" not in page.text
    assert page.headers["referrer-policy"] == "same-origin"  # else browsers send forms from the origin "null"
    assert "script-src 'self'" in page.headers["content-security-policy"]
    outlined, plain = (
        cv2.imdecode(np.frombuffer(reviewer.get(f"contributions/{sent['id']}/picture{more}").content, np.uint8), 1)
        for more in ("", "?plain=1")
    )
    assert outlined.shape == plain.shape == (288, 288, 3)
    assert np.ptp(plain.astype(int), axis=2).max() < 8 < np.ptp(outlined.astype(int), axis=2).max()
    for wrong in ("0" * 64, "..%2f..%2fetc", "x"):
        assert reviewer.get(f"contributions/{wrong}/picture").status_code in (404, 422)


def test_accepting_and_rejecting(sent: dict[str, object], reviewer: httpx.Client, store: Store) -> None:
    name = str(sent["id"])
    page = reviewer.post(f"contributions/{name}", data={"decision": "accepted", "source": "microscope 3"})
    assert page.url.path == "/contributions"
    assert name not in page.text
    kept = store.find(name)
    assert (kept.state, kept.source, kept.role) == ("accepted", "microscope 3", "train")
    page = reviewer.get("contributions?state=accepted")
    assert name in page.text
    assert "used for" in page.text
    reviewer.post(f"contributions/{name}", data={"decision": "rejected", "reason": "blurred", "state": "accepted"})
    assert store.find(name).reason == "blurred"
    page = reviewer.get("contributions?state=rejected")
    assert "blurred" in page.text
    assert "used for" not in page.text
    assert reviewer.post(f"contributions/{name}", data={"decision": "maybe"}).status_code == 422
    assert reviewer.post(f"contributions/{name}", content=b"a" * 20_000).status_code == 413
    origin = {"Origin": "http://elsewhere.example", "Sec-Fetch-Site": "cross-site"}
    assert reviewer.post(f"contributions/{name}", data={"decision": "accepted"}, headers=origin).status_code == 403
    assert store.find(name).state == "rejected"


def test_labels_that_32_bits_of_floats_do_not_hold_are_refused(collecting: Served, tmp_path: Path) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=f"{collecting.address}api/v1/", headers=headers, timeout=60) as api:
        names = []
        for name, array in (("i", pair(7).image), ("m", pair(7).labels + 2**24)):
            io.write_tiff(tmp_path / f"{name}.tif", array)
            names.append(api.post("images", content=(tmp_path / f"{name}.tif").read_bytes()).json()["id"])
        asked = {"image": names[0], "masks": names[1], "provenance": FIELDS}
        answer = api.post("contributions", json=asked)
        assert answer.status_code == 422
        assert "labels above 16777215" in answer.json()["error"]
        asked["image"] = "nothing"
        assert api.post("contributions", json=asked).status_code == 404
