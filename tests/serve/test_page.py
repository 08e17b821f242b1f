"""The page in a real Chromium: a whole job by mouse, by keys and by touch, wide and narrow, light and dark."""

from __future__ import annotations

import json
import shutil
import zipfile

import numpy as np
import pytest
import tifffile

from cellpose import io
from served import EXAMPLES, serving

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright (pip install playwright)")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.slow,  # `make test-browser` runs them
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
    # of playwright, when its loop ends
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
MINUTE = 60_000


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(params=["desktop", "phone"])
def page(request, browser, served):
    """The page, empty; it must end without an error of its scripts."""
    phone = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True, "is_mobile": True}
    desktop = {"viewport": {"width": 1280, "height": 800}}
    context = browser.new_context(**(phone if request.param == "phone" else desktop))
    shown = context.new_page()
    faults = []
    shown.on("pageerror", lambda error: faults.append(str(error)))
    shown.goto(served.address)
    shown.wait_for_selector(".example")
    yield shown
    context.close()
    assert faults == []


def segment(page, path, model="nuclei-cells"):
    page.set_input_files("#files", path)
    page.wait_for_selector(".image img[src]")
    page.select_option("#model", model)
    page.click("#segment")
    page.wait_for_selector("#cells:not([hidden])", timeout=MINUTE)
    return count(page)


def count(page):
    return int(page.inner_text("#count"))


def slide(page, name, value):
    """Drag a slider, and wait for the cells."""
    with page.expect_response(lambda answer: answer.request.method == "PATCH"):
        page.locator(name).fill(str(value))
    page.wait_for_timeout(100)


def test_the_image_that_was_added_last_is_shown(page):
    for name in ("phase_cells_1.png", "nuclei_dense.png"):
        page.set_input_files("#files", EXAMPLES / name)
        page.wait_for_selector(f".is-chosen .image-name:text-is('{name}')")


def test_a_whole_job(page, tmp_path):
    n = segment(page, EXAMPLES / "nuclei_dense.png")
    assert n > 40
    assert f"{n} cells" in page.inner_text(".image-state")
    slide(page, "#probability", 4)
    assert 0 < count(page) != n
    page.click("#reset")
    sync_api.expect(page.locator("#count")).to_have_text(str(n))
    with page.expect_download() as download:
        page.click('#downloads a[data-form="tif"]')
    assert download.value.suggested_filename == "nuclei_dense_masks.tif"
    download.value.save_as(tmp_path / "masks.tif")
    assert io.imread(tmp_path / "masks.tif").max() == n
    with page.expect_download() as download:
        page.click("#zip")
    download.value.save_as(tmp_path / "all.zip")
    assert len(zipfile.ZipFile(tmp_path / "all.zip").namelist()) >= 8
    page.reload()
    page.wait_for_selector("#cells:not([hidden])")  # images of the tab are found again
    assert count(page) == n


def test_doubts_about_the_cells_stand_beside_them(page):
    page.fill("#diameter", "7")
    segment(page, EXAMPLES / "nuclei_dense.png")
    said = page.inner_text("#warnings")
    assert "pixels across, but 7 were assumed; try diameter" in said
    assert said in page.inner_text("#news")
    page.reload()
    sync_api.expect(page.locator("#warnings")).to_have_text(said)
    page.fill("#diameter", "")
    page.click("#segment")
    sync_api.expect(page.locator("#warnings")).to_be_hidden(timeout=MINUTE)


def test_cells_are_removed_and_added_by_clicks_and_by_keys(page):
    n = segment(page, EXAMPLES / "nuclei_dense.png")
    page.click("#edit")
    viewer = page.locator(".viewer")
    viewer.focus()
    page.keyboard.press("1")
    with page.expect_response("**/cells"):
        page.keyboard.press("Enter")
    sync_api.expect(page.locator("#count")).not_to_have_text(str(n))
    page.keyboard.press("Control+z")
    sync_api.expect(page.locator("#count")).to_have_text(str(n))
    assert page.locator("#undo").is_disabled()
    box = viewer.bounding_box()
    for step in range(40):  # to a cell near the middle
        at = box["x"] + box["width"] / 2 + 3 * step, box["y"] + box["height"] / 2
        page.mouse.move(*at)
        if "cell" in page.inner_text("#place"):
            break
    with page.expect_response("**/cells"):
        page.mouse.click(*at)
    sync_api.expect(page.locator("#count")).not_to_have_text(str(n))
    assert page.inner_text("#news") == "Removed a cell"


def test_what_cannot_be_taken_says_why(page, tmp_path):
    (tmp_path / "cells.txt").write_text("no image")
    (tmp_path / "cut.png").write_bytes((EXAMPLES / "nuclei_dense.png").read_bytes()[:3000])
    page.set_input_files("#files", [tmp_path / "cells.txt", tmp_path / "cut.png"])
    sync_api.expect(page.locator(".image.is-bad")).to_have_count(2)
    texts = page.locator(".image-state").all_inner_texts()
    assert texts[0] == "the file is no PNG, JPEG or TIFF"
    assert "cut.png is truncated" in texts[1]
    assert page.locator("#segment").is_disabled()


def test_stacks_have_a_slider_of_planes_and_16_bits(page, tmp_path):
    picture = io.imread(EXAMPLES / "nuclei_dense.png")[:100, :120].astype(np.uint16) * 100
    tifffile.imwrite(tmp_path / "stack.ome.tif", np.stack([picture] * 3), metadata={"axes": "ZYX"})
    page.set_input_files("#files", tmp_path / "stack.ome.tif")
    page.wait_for_selector("#frames:not([hidden])")
    page.locator("#frame").fill("2")
    assert page.inner_text("#frame-number") == "3 / 3"
    page.select_option("#mode", "stitch")
    assert page.locator("#stitching").is_visible() is False  # it is below More
    page.select_option("#model", "nuclei-cells")
    page.click("#segment")
    page.wait_for_selector("#cells:not([hidden])", timeout=MINUTE)
    assert count(page) > 3
    assert page.locator('#downloads a[data-form="png"]').is_hidden()


def test_several_images_are_segmented_one_after_the_other_and_can_be_cancelled(page):
    names = ("nuclei_dense.png", "phase_cells_1.png", "tissue_pink.png")
    page.set_input_files("#files", [EXAMPLES / name for name in names])
    page.wait_for_selector(".image:nth-child(3) img[src]")
    page.select_option("#model", "nuclei-cells")
    page.click("#segment-all")
    sync_api.expect(page.locator(".image-state", has_text="cell")).to_have_count(3, timeout=MINUTE)
    assert page.locator("#zip-all").is_visible()
    page.fill("#diameter", "3")  # enlarged many times: slow
    page.click("#segment")
    page.wait_for_selector("#running:not([hidden])")
    page.click("#cancel")
    page.wait_for_selector("#running", state="hidden", timeout=MINUTE)
    assert page.locator("#fault").is_hidden()


def test_nothing_is_wider_than_the_screen_and_every_theme_has_enough_contrast(page):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    states = []
    segment(page, EXAMPLES / "nuclei_dense.png")
    page.evaluate("() => document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_timeout(300)
        found = axe.Axe().run(page).response["violations"]
        states.append([(fault["id"], fault["nodes"][0]["html"]) for fault in found])
    assert states == [[], []], json.dumps(states, indent=1)
    width = page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
    assert width[0] == width[1]


def test_a_theme_that_was_chosen_stands_against_that_of_the_system(page, served):
    back = {"light": "rgb(244, 246, 248)", "dark": "rgb(16, 20, 24)"}
    for scheme, other in (("light", "dark"), ("dark", "light")):
        page.emulate_media(color_scheme=scheme)
        page.evaluate("() => { localStorage.clear(); delete document.documentElement.dataset.theme; }")
        sync_api.expect(page.locator("body")).to_have_css("background-color", back[scheme])
        page.click("#theme")
        sync_api.expect(page.locator("body")).to_have_css("background-color", back[other])
        page.goto(served.address + "sign-in")  # every page has the choice
        sync_api.expect(page.locator("body")).to_have_css("background-color", back[other])
        page.goto(served.address)
        sync_api.expect(page.locator("body")).to_have_css("background-color", back[other])


def test_the_welcome_and_the_small_pages_are_accessible(page, served):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    for place in ("", "sign-in", "local/"):
        page.goto(served.address + place)
        page.wait_for_timeout(300)
        found = axe.Axe().run(page).response["violations"]
        assert [(fault["id"], fault["nodes"][0]["html"]) for fault in found] == [], place


def test_the_page_works_under_a_prefix_and_with_a_token(browser, tmp_path):
    with serving("--prefix", "/lab/cells", "--token", "secret", folder=tmp_path) as server:
        context = browser.new_context()
        shown = context.new_page()
        shown.goto(server.address)
        shown.fill("#token", "secret")
        shown.click("button")
        shown.wait_for_selector("#model option", state="attached")
        assert shown.url == server.address
        assert segment(shown, EXAMPLES / "nuclei_dense.png") > 40
        with shown.expect_download() as download:
            shown.click('#downloads a[data-form="csv"]')
        assert download.value.suggested_filename == "nuclei_dense_cells.csv"
        context.close()


def test_an_image_with_its_cells_is_contributed(browser, tmp_path):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    with serving("--contributions", str(tmp_path / "collection"), folder=tmp_path) as server:
        shown = browser.new_page()
        shown.goto(server.address)
        shown.wait_for_selector("#model option", state="attached")
        segment(shown, EXAMPLES / "nuclei_dense.png")
        shown.click("#contribution-details summary")
        shown.fill("#contributor", "Ada")
        shown.fill("#origin", "room 12")
        shown.select_option("#licence", "CC-BY-4.0")
        shown.click("#give")
        assert shown.locator("#given").is_hidden()  # not without consent
        shown.check("#consent")
        assert axe.Axe().run(shown).response["violations"] == []
        shown.click("#give")
        shown.wait_for_selector("#given:not([hidden])")
        assert "Thank you" in shown.inner_text("#given")
        shown.check("#consent")
        shown.click("#give")
        shown.wait_for_selector("#given.is-bad")
        shown.close()
    assert len(list((tmp_path / "collection" / "files").iterdir())) == 2
