"""Segments the example images with the bundled model, offline, and shows how well it did.

For each image of this folder: masks, outlines, flows and the other result files, an overlay picture to look at, and
a line of a table with the number of cells, the seconds and, where the true masks are known, the average precision.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from cellpose import io, metrics, models, plot, weights
from cellpose.utils import masks_to_outlines

HERE = Path(__file__).resolve().parent


def true_masks_of(image_file: Path) -> np.ndarray | None:
    """The hand-drawn masks beside an image, or None."""
    found = sorted(image_file.parent.glob(f"{image_file.stem}_masks.*"))
    return io.imread(found[0]) if found else None


def overlay(image: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """The image with its cells tinted and outlined, uint8 RGB."""
    picture = image.copy() if image.ndim == 3 else plot.image_to_rgb(image, channels=[0, 0])
    tint = plot.mask_rgb(masks)
    cells = masks > 0
    picture[cells] = (0.65 * picture[cells] + 0.35 * tint[cells]).astype(np.uint8)
    picture[masks_to_outlines(masks)] = (255, 220, 0)
    return picture


def segment(model: models.CellposeModel, image_file: Path, out: Path) -> str:
    """Segments one image, writes its results to `out` and returns its line of the table."""
    image = io.imread(image_file)
    start = time.perf_counter()
    masks, flows, _ = model.eval(image, channels=[0, 0])
    seconds = time.perf_counter() - start

    file_name = str(out / image_file.name)
    io.imsave(file_name, image)
    io.save_masks(
        image, masks, flows, file_name, png=True, tif=True, save_flows=True, save_outlines=True, save_txt=True
    )
    io.masks_flows_to_seg(image, masks, flows, file_name)
    io.save_rois(masks, file_name)
    io.imsave(str(out / f"{image_file.stem}_overlay.png"), overlay(image, masks))

    truth = true_masks_of(image_file)
    precision = "-" if truth is None else f"{metrics.average_precision(truth, masks, threshold=[0.5])[0][0]:.2f}"
    return f"{image_file.name:<32} {masks.max():>6} {seconds:>8.2f} {precision:>8}"


def main() -> None:
    """Runs the demonstration."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for the results")
    parser.add_argument("--model", default=weights.BUNDLED, help="name or path of the model")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    model = models.CellposeModel(pretrained_model=arguments.model)
    print(f"model: {arguments.model}")
    print(f"{'image':<32} {'cells':>6} {'seconds':>8} {'AP@0.5':>8}")
    for image_file in io.get_image_files(HERE, "_masks"):
        print(segment(model, Path(image_file), arguments.out))
    print(f"results and *_overlay.png pictures are in {arguments.out}/")


if __name__ == "__main__":
    main()
