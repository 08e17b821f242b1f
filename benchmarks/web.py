"""How long the page that needs no server takes for an image, and the Python path on the same machine.

    make web
    python benchmarks/web.py

The image is one of 1024 x 1024 pixels, example images beside each other. The page runs in headless Chromium with as
many threads as the machine has, Python with its defaults; both use `generalist`. They take turns, and the best of a
few runs counts. Reported are the seconds of a whole run: preparation, network, masks. Other programs that use the
processor at the same time slow down both.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from eval import mosaic

from cellpose import io, models

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "src" / "cellpose" / "serve" / "local"
MOST_RATIO = 3.0  # of the times


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


def in_page(address: str, image: Path, times: int, chromium: str) -> dict[str, Any]:
    """Seconds of runs of the page, and the number of cells."""
    command = ["node", str(ROOT / "web" / "test" / "time.mjs"), address, str(image), str(times)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "CHROMIUM": chromium}, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def in_python(model: models.CellposeModel, image: Path) -> float:
    """Seconds of one run."""
    array = io.imread(image)
    began = time.perf_counter()
    model.eval(array)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=1024, help="of the image in pixels")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("google-chrome"))
    args = parser.parse_args()
    if not (PAGE / "index.html").is_file() or not args.chromium:
        sys.exit("this needs the built page (make web) and Chromium (--chromium)")
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "page"
        shutil.copytree(PAGE, site)
        shutil.copy(ROOT / "src/cellpose/weights/bundled/generalist.safetensors", site)
        image = site / "image.png"
        io.imsave(image, mosaic(args.side))
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/page/"
        model = models.CellposeModel(pretrained_model="generalist")
        in_python(model, image)
        python, page = [], []
        for _ in range(args.rounds):
            python.append(in_python(model, image))
            told = in_page(address, image, 2, args.chromium)
            page += told["seconds"]
            python.append(in_python(model, image))
        server.shutdown()
    ratio = min(page) / min(python)
    load = os.getloadavg()[0]
    print(f"{args.side} x {args.side}, {os.cpu_count()} threads, load {load:.1f}; {told['engine'].strip()}")
    print(f"Python {min(python):.2f} s ({model.engine}), page {min(page):.2f} s")
    print(f"{ratio:.1f} times as long (goal: {MOST_RATIO:g})")


if __name__ == "__main__":
    main()
