"""Makes pictures of the window for the documents, without a screen: an image with its cells, in both styles.

python examples/window_pictures.py [--out docs/images]
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SIZE = 1280, 800
PICTURES = {"window_main.png": ("nuclei_large.png", True), "window_light.png": ("tissue_pink.png", False)}
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
        take(images, out)


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
        session = window.session
        session.files.open(images / image)
        session.segmentation.run()
        until = time.monotonic() + MOST_SECONDS
        while time.monotonic() < until and (session.segmentation.is_running or session.cell_count() == 0):
            application.processEvents()
            time.sleep(0.01)
        for _ in range(100):  # what is painted later: thumbnails, scores
            application.processEvents()
            time.sleep(0.01)
        window.grab().save(str(out / name))
        print(f"{name}: {session.cell_count()} cells")
        window.close()


if __name__ == "__main__":
    main()
