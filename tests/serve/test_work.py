"""What a segmentation would cost is known before it starts, and too much is refused with what to change."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import replace

import anyio
import httpx
import numpy as np
import pytest

from cellpose._progress.stages import stage
from cellpose.errors import InputError, OptionError
from cellpose.nets import family_named
from cellpose.options import Masking
from cellpose.serve import _api
from cellpose.serve._about import About
from cellpose.serve._app import create_app
from cellpose.serve._cells import Settings
from cellpose.serve._jobs import Jobs
from cellpose.serve._models import Models
from cellpose.serve._store import Store
from cellpose.serve._work import Scaling, check_work
from small_model import small_file

UNET = Scaling(family_named("cpnet"), 30.0, 30.0)
VIT = Scaling(family_named("vit_sam"), 30.0, 30.0)
SETTINGS = Settings("any", None, (0, 0), "planes", Masking(), 0.25, 1.0, invert=False)
MOST = 256e6


def about(side, planes=1, times=1):
    return About(side, side, planes, times, 1, "uint8", (), (None, None, None), ((0.0, 1.0),))


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (about(8000), {}),
        (about(100), {"diameter": 1}),
        (about(1000), {"diameter": 10_000}),
        (about(512, planes=40), {"mode": "volume", "anisotropy": 3.0}),
        (about(1000, planes=64), {"mode": "stitch"}),
    ],
)
@pytest.mark.parametrize("scaling", [UNET, VIT])
def test_ordinary_work_is_taken(image, words, scaling):
    check_work(image, replace(SETTINGS, **words), scaling, MOST)


@pytest.mark.parametrize(
    ("image", "words", "reason"),
    [
        (about(1000), {"diameter": 1.0}, r"diameter=1 is not allowed: the image, enlarged 30 times, has 900\.0"),
        (
            about(1000, times=300),
            {"diameter": 15.0},
            r"has 1200\.0 megapixels for the network; at most 256",
        ),
        (about(400, planes=400), {"diameter": 9.0, "mode": "volume"}, r"has 7105\.8 megapixels"),
        (about(8000), {"diameter": 8000.0}, r"64\.0 megapixels: its flows would be followed for 53333 steps; give"),
    ],
)
def test_too_much_work_is_refused_and_the_advice_is_allowed(image, words, reason):
    settings = replace(SETTINGS, **words)
    with pytest.raises(OptionError, match=reason) as refused:
        check_work(image, settings, UNET, MOST)
    advice = float(re.search(r"give a diameter of at (?:least|most) ([\d.e+]+)", str(refused.value))[1])
    check_work(image, replace(settings, diameter=advice), UNET, MOST)
    with pytest.raises(OptionError):
        check_work(image, replace(settings, diameter=(9 * advice + words["diameter"]) / 10), UNET, MOST)


def test_distant_planes_and_many_tiny_ones_are_counted():
    deep = replace(SETTINGS, mode="volume", anisotropy=100.0)
    with pytest.raises(OptionError, match=r"the image, with anisotropy=100, has .* give a part of the image"):
        check_work(about(500, planes=50), deep, UNET, MOST)
    # each is a tile for a network, however small it is
    check_work(about(4, times=4000), SETTINGS, UNET, MOST)
    with pytest.raises(OptionError, match=r"^the image has 262\.1 megapixels"):
        check_work(about(4, times=4000), SETTINGS, VIT, MOST)


def test_a_job_ends_where_its_time_is_over_though_it_reports_nothing():
    jobs = Jobs(most=1, most_s=0.2)

    def work(_job):
        for number in range(500):
            stage(f"stage {number}")
            time.sleep(0.01)

    job = jobs.add("image", work, lambda: None)
    until = time.monotonic() + 20
    while not job.has_ended and time.monotonic() < until:
        time.sleep(0.01)
    jobs.close()
    assert (job.state, job.error) == ("failed", "it took more than 0.2 s, which is all that is allowed")


def test_of_two_requests_at_once_for_one_image_one_is_taken(monkeypatch):
    sites, ended, both_there = [], threading.Event(), threading.Barrier(2, timeout=60)

    def reserve(_store, _n_bytes):
        both_there.wait()
        return lambda: None

    def segment(*_):
        ended.wait(60)
        raise InputError("it ends with the test")

    monkeypatch.setattr(Store, "reserve", reserve)
    monkeypatch.setattr(_api, "segment", segment)
    app = create_app(routes=[lambda site: sites.append(site) or []])
    (site,) = sites
    folder = site.store.new_folder()
    np.save(folder / "image.npy", np.zeros((1, 1, 64, 64, 1), np.uint8))
    place = f"/api/v1/images/{site.store.add(folder, 'a', about(64)).id}/segmentation"

    async def ask() -> list[int]:
        states: list[int] = []

        async def post() -> None:
            states.append((await client.post(place, json={"model": "nuclei-cells"})).status_code)

        async with (
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(post)
            tasks.start_soon(post)
        return states

    try:
        assert sorted(anyio.run(ask)) == [202, 409]
    finally:
        ended.set()
        site.close()


def test_a_model_whose_file_was_replaced_is_loaded_again(tmp_path, monkeypatch):
    path = str(small_file(tmp_path))
    monkeypatch.setattr(Models, "kinds", staticmethod(lambda: {path: "user"}))
    models = Models()
    first, scaling = models.get(path), models.scaling(path)
    assert models.get(path) is first
    assert models.scaling(path) is scaling
    small_file(tmp_path, nbase=(2, 4, 16))
    assert models.get(path).nbase == [2, 4, 16]
    assert models.scaling(path) is not scaling
