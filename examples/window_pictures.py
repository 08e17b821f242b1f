"""Makes pictures of the window for the documents, without a screen: cells, in both styles, and a restored image.

python examples/window_pictures.py [--out docs/images]
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SIZE = 1280, 800
PICTURES = {
    "window_main.png": ("nuclei_large.png", True),
    "window_light.png": ("tissue_pink.png", False),
    "window_restore.png": ("noisy.png", True),
}
PHOTONS, DIAMETER = 5, 45  # of the noisy image: at full intensity; of its nuclei, in pixels
MOST_SECONDS = 300


def main() -> None:
    """Makes all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "images", help="folder for the pictures")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        # settings and results of whoever runs this stay as they are
        os.environ.update(QT_QPA_PLATFORM="offscreen", QT_API="pyside6", HOME=folder, USERPROFILE=folder)
        images = Path(folder) / "images"
        images.mkdir()
        for image in HERE.glob("*.png"):
            if not image.stem.endswith("_masks"):
                shutil.copy(image, images)
        make_noisy(HERE / "nuclei_large.png", images / "noisy.png")
        take(images, out)


def make_noisy(source: Path, target: Path) -> None:
    """An image of few photons."""
    import cv2
    import numpy as np

    image = cv2.imread(str(source), cv2.IMREAD_GRAYSCALE)
    photons = np.random.default_rng(0).poisson(image / 255 * PHOTONS)
    cv2.imwrite(str(target), (photons * (255 / photons.max())).astype(np.uint8))


def take(images: Path, out: Path) -> None:
    """Open each image in a window, segment it, and keep what is seen."""
    from qtpy.QtWidgets import QApplication

    from cellpose.gui.views._style import apply_style
    from cellpose.gui.views._window import Window

    application = QApplication(["window"])
    for name, (image, dark) in PICTURES.items():
        window = Window()
        window.resize(*SIZE)
        window.show()
        apply_style(application, dark)
        count = segment(application, window, images / image)
        for _ in range(100):  # what is painted later: thumbnails, scores
            application.processEvents()
            time.sleep(0.01)
        window.grab().save(str(out / name))
        print(f"{name}: {count} cells")
        window.close()


def segment(application: Any, window: Any, image: Path) -> int:
    """Open an image and segment it, a noisy one restored; how many cells are found."""
    session = window.session
    session.files.open(image)
    if image.name == "noisy.png":
        session.settings.diameter = DIAMETER
        session.restoration.start("oneclick")
        wait(application, lambda: session.restoration.task != "")
        session.view.compare, session.view.masks_on, session.view.outlines_on = True, False, True
        bar = window.panel.verticalScrollBar()
        bar.setValue(bar.maximum())
    session.segmentation.run()
    wait(application, lambda: session.segmentation.is_running or session.cell_count() == 0)
    return int(session.cell_count())


def wait(application: Any, busy: Callable[[], bool]) -> None:
    """Go on while something is done in the background."""
    until = time.monotonic() + MOST_SECONDS
    while time.monotonic() < until and busy():
        application.processEvents()
        time.sleep(0.01)


if __name__ == "__main__":
    main()
