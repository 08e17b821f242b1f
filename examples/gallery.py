"""Makes the pictures of the gallery: each example image, the outlines found in it, and its cells in colors.

    python examples/gallery.py [--out docs/images]

The bundled model and its default settings; the same code makes the same pictures.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from cellpose import io, models, plot
from cellpose.utils import masks_to_outlines

HERE = Path(__file__).resolve().parent
SIDE = 384  # of a panel, in pixels
GAP = 8
FIRST = ("nuclei_dense", "phase_cells_1")  # the images of the page "First ten minutes"


def panel(picture: np.ndarray) -> np.ndarray:
    """A picture as a square panel, uint8 RGB."""
    height, width = picture.shape[:2]
    side = min(height, width)
    return cv2.resize(picture[:side, :side], (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)


def panels(image: np.ndarray, masks: np.ndarray) -> list[np.ndarray]:
    """The image, the image with outlines, the cells in colors."""
    rgb = image if image.ndim == 3 else plot.image_to_rgb(image, channels=[0, 0])
    # outlines are drawn at the size of the panel, so that they stay thin
    side = min(masks.shape)
    large = cv2.resize(masks[:side, :side], (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
    outlined = panel(rgb)
    outlined[masks_to_outlines(large)] = (255, 215, 0)
    colors = np.random.default_rng(0).integers(40, 256, (int(masks.max()), 3))  # the same in every run
    return [panel(rgb), outlined, panel(plot.mask_overlay(rgb, masks, colors=colors))]


def save(path: Path, pictures: list[np.ndarray]) -> None:
    """Pictures in a row, with white gaps, as a JPEG."""
    gap = np.full((SIDE, GAP, 3), 255, np.uint8)
    row = np.concatenate([part for picture in pictures for part in (picture, gap)][:-1], axis=1)
    cv2.imwrite(str(path), row[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])


def main() -> None:
    """Makes all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "images", help="folder for the pictures")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    model = models.CellposeModel(pretrained_model="generalist")
    first: list[np.ndarray] = []
    for name in map(Path, io.get_image_files(HERE, "_masks")):
        image = io.imread(name)
        masks = model.eval(image, channels=[0, 0], progress=False)[0]
        row = panels(image, masks)
        save(out / f"gallery_{name.stem}.jpg", row)
        if name.stem in FIRST:
            first += row[:2]
        print(f"{name.name}: {masks.max()} cells")
    save(out / "gallery_first.jpg", first)


if __name__ == "__main__":
    main()
