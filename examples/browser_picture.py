"""Makes the picture of the page for the browser in the documents: python examples/browser_picture.py docs/images.

Needs a server (cellpose serve --examples examples), playwright and Chromium.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("folder", type=Path, help="where the picture is written")
parser.add_argument("--address", default="http://localhost:8770", help="of the server")
args = parser.parse_args()
images = [Path(__file__).with_name(f"{name}.png") for name in ("nuclei_dense", "tissue_pink", "phase_cells_1")]

with sync_playwright() as playwright:
    chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
    page = chromium.new_page(viewport={"width": 1280, "height": 800})
    page.goto(args.address)
    page.set_input_files("#files", images)
    page.wait_for_selector(".image:nth-child(3) img[src]")
    page.click("#segment-all")
    page.wait_for_selector(".image:nth-child(3) .image-state:has-text('cell')", timeout=120_000)
    page.wait_for_timeout(1000)
    page.mouse.move(800, 420)
    page.wait_for_timeout(200)
    page.screenshot(path=args.folder / "browser.png")
    chromium.close()
print(f"wrote {args.folder / 'browser.png'}")
