"""Makes pictures of the window for the documents, without a screen.

They show cells in both styles and by score, a cell that a click would add, the keys, a restored image, a movie, a
volume, a queue of folders, a training.

python examples/window_pictures.py [--out docs/images] [--only window_main.png ...]
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Collection
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
FRAME = 15  # of the movie
VOXEL_UM = 0.6, 0.3  # depth, and height and width, of the volume
TRAINED_SIDE, TRAINED_BY, EPOCHS, SHOWN_EPOCHS = 210, "nuclei-cells", 24, 10  # of the training
PHOTONS, DIAMETER = 5, 45  # of the noisy image: at full intensity; of its nuclei, in pixels
MOST_SECONDS = 600


def main() -> None:
    """Makes all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "images", help="folder for the pictures")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, help="pictures to make; all by default")
    args = parser.parse_args()
    out: Path = args.out
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
        take(images, out, args.only)


def make_noisy(source: Path, target: Path) -> None:
    """An image of few photons."""
    import cv2
    import numpy as np

    image = cv2.imread(str(source), cv2.IMREAD_GRAYSCALE)
    photons = np.random.default_rng(0).poisson(image / 255 * PHOTONS)
    cv2.imwrite(str(target), (photons * (255 / photons.max())).astype(np.uint8))


def take(images: Path, out: Path, names: Collection[str]) -> None:
    """Open each image in a window, segment it, and keep what is seen; then what is no single image."""
    from qtpy.QtWidgets import QApplication

    application = QApplication(["window"])
    for name, (image, dark) in PICTURES.items():
        if name in names:
            window = opened(application, dark)
            segment(application, window, images / image)
            seen = SHOWN.get(name, lambda window: window)(window)
            keep(application, window, out / name, seen)
    for name, show in OTHERS.items():
        if name in names:
            window = opened(application, dark=True)
            keep(application, window, out / name, show(application, window, images))


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
    training = window.session.training
    training.stop()
    wait(application, lambda: training.is_running)  # a process of its own, which writes into the folder of this run
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


def show_movie(application: Any, window: Any, images: Path) -> Any:
    """A movie: its frames are segmented, and their cells linked."""
    session = window.session
    session.files.open(write_movie(images))
    session.segmentation.run_all_frames()
    wait(application, lambda: session.segmentation.is_running or session.cell_count() == 0)
    session.movies.link()
    wait(application, lambda: session.movies.is_linking)
    session.volumes.see(FRAME)
    window.cells.raise_()
    column = window.panel.verticalScrollBar()
    wait(application, lambda: column.maximum() == 0)
    column.setValue(column.maximum() * 4 // 5)
    return window


def write_volume(folder: Path) -> tuple[Path, Path]:
    """A synthetic volume of nuclei, and its true masks."""
    import numpy as np
    import tifffile

    from cellpose import synthetic

    depth, side = VOXEL_UM
    made = synthetic.sample_volume(5, (40, 176, 200), "nuclei", channels=1, diameter=26, anisotropy=depth / side)
    path, masks = folder / "nuclei_volume.tif", folder / "truth.tif"
    image = np.rint(255 * made.image[0]).astype(np.uint8)
    metadata = {"axes": "ZYX", "spacing": depth, "unit": "um"}
    tifffile.imwrite(path, image, imagej=True, resolution=(1 / side, 1 / side), metadata=metadata)
    tifffile.imwrite(masks, made.masks.astype(np.uint16))
    return path, masks


def show_volume(application: Any, window: Any, images: Path) -> Any:
    """A volume with its cells, in three views that cut through one of them."""
    session, (volume, masks) = window.session, write_volume(images)
    for dock in (window.folder, window.cells):
        dock.close()
    session.files.open(volume)
    session.files.open_masks(masks)
    wait(application, lambda: session.cell_count() == 0)
    session.volumes.layout("three views")
    session.view.outlines_on = True
    depth, height, width = session.document.labels.shape
    session.view.cross = height // 2, width // 2
    session.volumes.see(depth // 2)
    wait(application, lambda: session.jobs.any)
    return window


def show_batch(application: Any, window: Any, images: Path) -> Any:
    """Two folders that were segmented, one of them with a file that is no image."""
    from qtpy.QtWidgets import QApplication

    from cellpose.gui.views._batch_window import BatchWindow

    batch = window.session.batch
    folders = {"tissue and nuclei": ("nuclei_*.png", "tissue_*.png"), "phase contrast": ("phase_*.png",)}
    for name, patterns in folders.items():
        (images / name).mkdir()
        for pattern in patterns:
            for image in images.glob(pattern):
                shutil.copy(image, images / name)
    (images / "tissue and nuclei" / "broken.png").write_bytes(b"no image")
    window.session.dialogs.show_batch(window.session)
    (shown,) = (each for each in QApplication.topLevelWidgets() if isinstance(each, BatchWindow))
    for name in folders:
        batch.add(images / name)
    shown.resize(1200, 700)
    shown.run.click()
    wait(application, lambda: batch.is_running)
    shown.rows.setCurrentItem(shown.rows.topLevelItem(0))
    return shown


def write_seg(image: Path, masks: Any) -> None:
    """The ``_seg.npy`` of an image whose cells were drawn by hand."""
    import numpy as np

    from cellpose import io
    from cellpose.gui.model._seg_file import seg_path

    numbers, places = np.unique(np.append(0, masks), return_inverse=True)
    labels = places[1:].reshape(masks.shape).astype(np.int32)
    by_hand = {"ismanual": np.ones(len(numbers) - 1, bool)}
    io.write_seg(seg_path(image), io.seg_content(labels, None, image) | by_hand)


def show_training(application: Any, window: Any, images: Path) -> Any:
    """A training on corrected images, after some epochs."""
    from qtpy.QtWidgets import QApplication

    from cellpose.gui.views._training_dialog import TrainingDialog

    session, epochs = window.session, []
    first, second, *_ = write_corrected(images / "corrected")
    session.files.open(first)
    session.training.progressed.connect(lambda told: epochs.append(told.rows))
    session.training.ask()
    wait(application, lambda: session.jobs.any)
    (dialog,) = (each for each in QApplication.topLevelWidgets() if isinstance(each, TrainingDialog))
    dialog.base.setCurrentText(TRAINED_BY)
    dialog.epochs.setValue(EPOCHS)
    dialog.name.setText("phase_cells")
    dialog.train.click()
    wait(application, lambda: session.training.is_running and (not epochs or len(epochs[-1]) < SHOWN_EPOCHS))
    session.files.open(second)
    session.view.outlines_on = True
    return window


def write_corrected(folder: Path) -> list[Path]:
    """Quarters of the images in phase contrast, all but the last with their hand-drawn masks as corrected cells."""
    import cv2
    import numpy as np

    from cellpose.gui.model._seg_file import seg_path

    folder.mkdir()
    paths = []
    for source in sorted(HERE.glob("phase_cells_?.png")):
        image = cv2.imread(str(source), cv2.IMREAD_GRAYSCALE)
        masks = cv2.imread(str(source.with_name(f"{source.stem}_masks.png")), cv2.IMREAD_UNCHANGED)
        corners = [(y, x) for y in (0, TRAINED_SIDE) for x in (0, TRAINED_SIDE)]
        for letter, (y, x) in zip("abcd", corners, strict=True):
            quarter = np.s_[y : y + TRAINED_SIDE, x : x + TRAINED_SIDE]
            paths.append(folder / f"{source.stem}_{letter}.png")
            cv2.imwrite(str(paths[-1]), image[quarter])
            write_seg(paths[-1], masks[quarter])
    seg_path(paths[-1]).unlink()
    return paths


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
OTHERS = {
    "window_movie.png": show_movie,
    "window_volume.png": show_volume,
    "window_batch.png": show_batch,
    "window_training.png": show_training,
}
NAMES = (*PICTURES, *OTHERS)


def wait(application: Any, busy: Callable[[], bool]) -> None:
    """Go on while something is done in the background."""
    until = time.monotonic() + MOST_SECONDS
    while time.monotonic() < until and busy():
        application.processEvents()
        time.sleep(0.01)


if __name__ == "__main__":
    main()
