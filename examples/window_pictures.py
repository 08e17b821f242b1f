"""Makes pictures of the window for the documents, without a screen.

They show cells in both styles and by score, a cell that a click would add, the keys, a restored image, a movie.

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
    "window_keys.png": ("nuclei_dense.png", True),
    "window_click.png": ("phase_cells_1.png", True),
    "window_cells.png": ("phase_cells_2.png", True),  # its choice of colors is kept, as is the diameter of the next
    "window_restore.png": ("noisy.png", True),
}
CELL = 365, 340  # (row, column) in the image of the click, inside a cell
MOVIE, FRAME = "window_movie.png", 15
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
    """Open each image in a window, segment it, and keep what is seen; then a movie, whose cells are linked."""
    from qtpy.QtWidgets import QApplication

    application = QApplication(["window"])
    for name, (image, dark) in PICTURES.items():
        window = opened(application, dark)
        segment(application, window, images / image)
        seen = SHOWN.get(name, lambda window: window)(window)
        keep(application, window, out / name, seen)
    window = opened(application, dark=True)
    link(application, window, write_movie(images))
    keep(application, window, out / MOVIE)


def opened(application: Any, dark: bool) -> Any:
    """An empty window."""
    from cellpose.gui.views._style import apply_style
    from cellpose.gui.views._window import Window

    window = Window()
    window.resize(*SIZE)
    window.show()
    apply_style(application, dark)
    return window


def keep(application: Any, window: Any, path: Path, seen: Any = None) -> None:
    """Save a picture of the window, or of ``seen``, another widget of it, and close the window."""
    for _ in range(100):  # what is painted later: thumbnails, scores
        application.processEvents()
        time.sleep(0.01)
    (seen or window).grab().save(str(path))
    print(f"{path.name}: {window.session.cell_count()} cells")
    window.close()


def write_movie(folder: Path) -> Path:
    """A synthetic movie of nuclei that wander and divide, a frame every five minutes."""
    import numpy as np
    import tifffile

    from cellpose import synthetic

    image = synthetic.sample_movie(seed=3, n_frames=24, size=(256, 256), cells=18, cycle=14).image
    path = folder / "nuclei.tif"
    metadata = {"axes": "TYX", "finterval": 300.0, "tunit": "sec"}
    tifffile.imwrite(path, np.rint(image * 255).astype(np.uint8), imagej=True, metadata=metadata)
    return path


def link(application: Any, window: Any, movie: Path) -> None:
    """Open a movie, segment its frames and link their cells."""
    session = window.session
    session.files.open(movie)
    session.segmentation.run_all_frames()
    wait(application, lambda: session.segmentation.is_running or session.cell_count() == 0)
    session.movies.link()
    wait(application, lambda: session.movies.is_linking)
    session.volumes.see(FRAME)
    window.cells.raise_()
    column = window.panel.verticalScrollBar()
    wait(application, lambda: column.maximum() == 0)
    column.setValue(column.maximum() * 4 // 5)


def segment(application: Any, window: Any, image: Path) -> None:
    """Open an image and segment it, a noisy one restored."""
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


def show_cells(window: Any) -> Any:
    """The cells colored by their scores, and the table of cells."""
    window.session.view.coloring = "score"
    window.cells.raise_()
    return window


def show_click(window: Any) -> Any:
    """The outline of a cell that was deleted, and that a click would add again."""
    from qtpy.QtCore import QPointF, Qt
    from qtpy.QtTest import QTest

    def at(y: int, x: int) -> Any:
        return window.scene.mapFromScene(window.scene.box.mapViewToScene(QPointF(x + 0.5, y + 0.5)))

    viewport = window.scene.viewport()
    QTest.mouseClick(viewport, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ControlModifier, at(*CELL))
    window.session.view.outlines_on = True
    QTest.keyClick(window, Qt.Key.Key_C)
    QTest.qWait(1000)  # until the cell can be looked for
    QTest.mouseMove(viewport, at(CELL[0] - 4, CELL[1]))
    QTest.qWait(100)
    QTest.mouseMove(viewport, at(*CELL))
    return window


def show_keys(window: Any) -> Any:
    """The sheet of keys, over the window."""
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QApplication

    from cellpose.gui.views._key_sheet import KeySheet

    QTest.keyClick(window, Qt.Key.Key_Question)
    (sheet,) = (each for each in QApplication.topLevelWidgets() if isinstance(each, KeySheet) and each.isVisible())
    return sheet


SHOWN = {"window_cells.png": show_cells, "window_click.png": show_click, "window_keys.png": show_keys}


def wait(application: Any, busy: Callable[[], bool]) -> None:
    """Go on while something is done in the background."""
    until = time.monotonic() + MOST_SECONDS
    while time.monotonic() < until and busy():
        application.processEvents()
        time.sleep(0.01)


if __name__ == "__main__":
    main()
